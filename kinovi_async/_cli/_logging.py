"""The library's warnings during a command: told by its reporter, made visible like the rest."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ._reporters import Reporter

_LOGGER = "kinovi_async"
# Told as an event as well, and then in better words.
_TOLD_OTHERWISE = ("submissions are paused",)
_LEFT = "job %s is no longer waited for"


def wants_logs() -> bool:
    """Whether `KINOVI_LOG` sends the library's log to standard error by itself."""
    return os.environ.get("KINOVI_LOG", "").strip().lower() in {"debug", "info"}


@contextmanager
def warnings_told(
    reporter: Reporter, *, left: Callable[[str], str] | None = None
) -> Iterator[None]:
    """Sends warnings of the library to the reporter while the block runs.

    `left` says in the command's own words that a running task, by its id, was left.
    """
    if wants_logs():
        yield
        return
    handler = _Handler(reporter, left)
    logger = logging.getLogger(_LOGGER)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Handler(logging.Handler):
    def __init__(self, reporter: Reporter, left: Callable[[str], str] | None) -> None:
        super().__init__(logging.WARNING)
        self._reporter = reporter
        self._left = left

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if self._left is not None and record.msg.startswith(_LEFT):
            _, task_id = record.args  # type: ignore[misc] # the job's key and the task's id
            text = self._left(str(task_id))
        if not text.startswith(_TOLD_OTHERWISE):
            self._reporter.warn(text)
