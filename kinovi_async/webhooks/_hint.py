"""What a webhook's body says, in any form the API has had: which task, and whether it ended.

The body decides nothing: everything but these two is left in it, addresses of results
before all. An id is asked for at the API before anything follows from it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["Hint", "MalformedPayloadError", "read_payload"]

DEEPEST: Final = 32
"""Levels of a JSON body. The deepest that the API's documents show is 4."""
LONGEST_ID: Final = 255
"""Characters of a task id; the documents' have 30."""
_ENVELOPES: Final = 4
# Words that say the task has not ended; whatever else is said, it is asked for.
_UNFINISHED: Final = frozenset({"waiting", "generating", "queued", "pending", "processing"})
# A text that nobody closes reaches to the end: it is not read again from each of its quotes,
# or 256 kB would take minutes.
_TEXT: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)


class MalformedPayloadError(ValueError):
    """The body is no JSON object."""


@dataclass(frozen=True, slots=True)
class Hint:
    """What a genuine webhook told."""

    key: str
    """Of the job."""
    attempt: int
    """Which of the job's submissions carried the address."""
    task_id: str | None
    """None when the body names none."""
    ended: bool = True
    """False when the body says that the task still runs."""


def read_payload(body: bytes) -> tuple[str | None, bool]:
    """The task's id, None when the body names none, and whether the task may have ended.

    Raises:
        MalformedPayloadError: the body is no JSON object, or too deep.
    """
    if _too_deep(body):
        raise MalformedPayloadError("the body is nested too deep")
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedPayloadError("the body is not JSON") from None
    if not isinstance(data, Mapping):
        raise MalformedPayloadError("the body is no JSON object")
    task_id: str | None = None
    state: object = None
    inner: object = data
    for _ in range(_ENVELOPES):  # the innermost says what the ones around it carry
        if not isinstance(inner, Mapping):
            break
        task_id = _identifier(inner.get("taskId", inner.get("task_id"))) or task_id
        state = inner.get("status", inner.get("state")) or state
        inner = inner.get("data")
    return task_id, not (isinstance(state, str) and state.strip().lower() in _UNFINISHED)


def _identifier(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**LONGEST_ID:
        return str(value)
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST_ID:
        return None
    return value if value.isprintable() else None


def _too_deep(body: bytes) -> bool:
    if body.count(b"[") + body.count(b"{") <= DEEPEST:
        return False
    depth = 0
    for each in re.findall(rb"[\[\]{}]", _TEXT.sub(b"", body)):
        depth += 1 if each in b"[{" else -1
        if depth > DEEPEST:
            return True
    return False
