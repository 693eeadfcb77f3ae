"""Which failed tasks are worth running again: the message decides, never the code."""

from __future__ import annotations

from .._records import TaskError

# The API's catch-all codes (500, 1001) cover moderation and capacity alike; these are
# the messages its model pages call transient.
_TRANSIENT = (
    "temporarily unavailable",
    "serviceunavailable",
    "please try again",
    "community guidelines",
)


def is_retryable(error: TaskError | None) -> bool:
    """Whether the same request may well succeed when it is run again."""
    return error is not None and any(text in error.message.lower() for text in _TRANSIENT)
