"""Errors in the ledger's form, and back: what a later process tells about a job."""

from __future__ import annotations

from decimal import Decimal
from typing import cast

from .. import _errors
from .._errors import (
    AmbiguousSubmissionError,
    APIStatusError,
    KinoviError,
    TaskFailedError,
)
from .._ledger import Ending, JsonObject, JsonValue
from .._outcomes import AttemptResult, OutcomeStatus
from .._records import TaskRecord

_NUMBERS = ("required", "available", "retry_after", "limit", "current")


def error_to_json(error: KinoviError) -> JsonObject:
    """The error as a JSON object: `type`, `message`, and what else is known of it."""
    found: dict[str, JsonValue] = {"type": type(error).__name__, "message": error.message}
    if isinstance(error, APIStatusError):
        found["status_code"] = error.status_code
        for name in _NUMBERS:
            value = getattr(error, name, None)
            if value is not None:
                found[name] = str(value) if isinstance(value, Decimal) else value
    if isinstance(error, TaskFailedError):
        found["code"] = error.code
        found["retryable"] = error.retryable
    if isinstance(error, AmbiguousSubmissionError) and error.evidence is not None:
        found["phase"] = error.evidence.phase.value
        found["status_code"] = error.evidence.status
        found["exception"] = error.evidence.exception
    return found


def ending_of_attempt(error: KinoviError, result: AttemptResult, *, at: float) -> Ending:
    """The end of a job with its attempt, which names the status: rejected or ambiguous."""
    return Ending(
        OutcomeStatus(result.value),
        at=at,
        error=error_to_json(error),
        attempt_result=result,
        attempt_detail=error.message,
    )


def error_from_json(
    data: JsonObject, *, task_id: str | None, record: TaskRecord | None
) -> KinoviError:
    """The error again. A type of a newer version comes back as a plain KinoviError."""
    kind = getattr(_errors, str(data.get("type")), KinoviError)
    message = str(data.get("message", ""))
    if kind is TaskFailedError and record is not None:
        return TaskFailedError(message, record=record, retryable=data.get("retryable") is True)
    if not (isinstance(kind, type) and issubclass(kind, KinoviError)) or kind is TaskFailedError:
        return KinoviError(message, task_id=task_id)
    if issubclass(kind, APIStatusError):
        status = data.get("status_code")
        found = kind(message, status_code=cast("int", status or 0), task_id=task_id)
        for name in _NUMBERS:
            value = data.get(name)
            if value is not None:
                setattr(found, name, Decimal(value) if isinstance(value, str) else value)
        return found
    error = kind.__new__(kind, message)  # its own: some are built-in errors as well
    KinoviError.__init__(error, message, task_id=task_id)
    if isinstance(error, _errors.InvalidRequestError):
        error.problems = ()
    return error
