"""What coverage watches: watched code runs up to five times slower, so each line is seen once.

It watches the process of the tests and not its children, asyncio and not trio, where the
same lines run; and not the tests marked `unwatched`, long runs over decisions that others
cover in short.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

__all__ = ["is_watched", "unwatched"]


def is_watched(item: pytest.Item) -> bool:
    """Whether coverage may learn something from a test."""
    if item.get_closest_marker("unwatched") is not None:
        return False
    given = getattr(item, "callspec", None)
    return given is None or given.params.get("anyio_backend") != "trio"


@contextmanager
def unwatched() -> Iterator[None]:
    """Coverage looks away; a debugger does not."""
    tracer, of_threads = sys.gettrace(), threading.gettrace()
    if not type(tracer).__module__.startswith("coverage"):
        yield
        return
    sys.settrace(None)
    threading.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)
        threading.settrace(of_threads)
