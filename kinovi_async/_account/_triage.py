"""Which failed tasks are worth running again: by the table of the models' descriptions."""

from __future__ import annotations

from .._records import TaskError
from .._requests import advice


def is_retryable(error: TaskError | None) -> bool:
    """Whether the same request may well succeed when it is run again."""
    return error is not None and advice(error.code, error.message).retryable
