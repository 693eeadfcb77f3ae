"""Every error of the package; this docstring is the tree.

KinoviError                        base of all; `.task_id` when a task is known
  ConfigurationError               a wrong key, option, event loop or process
  InvalidRequestError              (also ValueError) our own check refused a request; nothing sent
  APIError                         the exchange with the API went wrong
    APIConnectionError             no usable answer came
      APITimeoutError              (also TimeoutError) not in time
    APIStatusError                 an answer with an error status
      BadRequestError              400
      AuthenticationError          401
      InsufficientCreditsError     402, `.required` and `.available` credits
      PermissionDeniedError        403
      NotFoundError                404
      RateLimitError               429, `.retry_after` seconds
        ConcurrencyLimitError      429 of createTask: `.limit` and `.current` tasks
      ServerError                  5xx
    InvalidResponseError           an answer that cannot be understood
  AmbiguousSubmissionError         a submission may or may not have been accepted, `.evidence`
  TaskFailedError                  the task ended in `fail`, `.record`, `.code`, `.retryable`
  WaitTimeoutError                 (also TimeoutError) we stopped waiting for an accepted task
  JobCancelledError                the job was never submitted
  QueueFullError                   the scheduler's queue is full
  KeyConflictError                 the key already belongs to another request
  BudgetExceededError              the budget does not cover the next submission
  LedgerError                      the ledger cannot be read or written
    LedgerInUseError               another live process runs it
  DownloadError                    a result file could not be fetched
  UploadError                      a local file could not be uploaded; nothing was submitted

No error of another library escapes, with one stated exception: the constructor
of a request model raises pydantic's own ValidationError. Every error can be
pickled. No error holds the API key or an object that could hold it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from ._policy import SubmitEvidence
    from ._records import TaskRecord

__all__ = [
    "APIConnectionError",
    "APIError",
    "APIStatusError",
    "APITimeoutError",
    "AmbiguousSubmissionError",
    "AuthenticationError",
    "BadRequestError",
    "BudgetExceededError",
    "ConcurrencyLimitError",
    "ConfigurationError",
    "DownloadError",
    "InsufficientCreditsError",
    "InvalidRequestError",
    "InvalidResponseError",
    "JobCancelledError",
    "KeyConflictError",
    "KinoviError",
    "LedgerError",
    "LedgerInUseError",
    "NotFoundError",
    "PermissionDeniedError",
    "Problem",
    "QueueFullError",
    "RateLimitError",
    "ServerError",
    "TaskFailedError",
    "UploadError",
    "WaitTimeoutError",
]


class KinoviError(Exception):
    """Base of every error of this package. `task_id` is set whenever a task is known."""

    def __init__(self, message: str, *, task_id: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.task_id = task_id

    def __reduce__(self) -> tuple[object, ...]:
        # The default would call __init__ with the message alone, which fails for
        # every subclass with a required keyword.
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[KinoviError], args: tuple[object, ...], state: dict[str, object]) -> object:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigurationError(KinoviError):
    """A key, an option, an event loop or a process the client cannot work with."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a request: where, what was given, what is allowed."""

    field: str
    """The field's name on the wire, e.g. `inputs.duration`."""
    given: str
    """What was given, as text, shortened to 80 characters; empty when nothing was, or
    when the field should not be there."""
    allowed: str
    """What is allowed, as a phrase: `a whole number from 4 to 15`."""

    def __str__(self) -> str:
        return f"{self.field}: {self.demand}"

    @property
    def demand(self) -> str:
        """The sentence without the field: what is allowed, not what was given."""
        end = f", not {self.given}" if self.given else ""
        return f"{self.allowed}{end}"


class InvalidRequestError(KinoviError, ValueError):
    """Our own check refused a request before anything was sent; nothing is paid."""

    def __init__(self, message: str, *, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.problems: tuple[Problem, ...] = tuple(problems)

    @classmethod
    def of(cls, problems: Sequence[Problem], *, what: str = "request") -> Self:
        """An error that names every problem, one a line when there are several."""
        if len(problems) == 1:
            return cls(f"invalid {what}: {problems[0]}", problems=problems)
        lines = "".join(f"\n  {problem}" for problem in problems)
        return cls(f"invalid {what}, {len(problems)} problems:{lines}", problems=problems)


class APIError(KinoviError):
    """The exchange with the API went wrong."""


class APIConnectionError(APIError):
    """No usable answer came: refused, reset, cut off, or no route."""


class APITimeoutError(APIConnectionError, TimeoutError):
    """No answer within the timeout of one HTTP exchange."""


class APIStatusError(APIError):
    """An answer whose status says error, in HTTP or in its envelope."""

    def __init__(
        self,
        message: str,
        *,
        status_code: int,
        body: object = None,
        task_id: str | None = None,
    ) -> None:
        super().__init__(message, task_id=task_id)
        self.status_code = status_code
        self.body = body
        """The answer's JSON, or its text shortened to 2,000 characters when it is none."""


class BadRequestError(APIStatusError):
    """400: the server refused the request's fields; nothing is paid."""


class AuthenticationError(APIStatusError):
    """401: the key is missing, wrong, inactive or expired."""


class InsufficientCreditsError(APIStatusError):
    """402: the balance does not cover the request; nothing is paid."""

    required: Decimal | None = None
    available: Decimal | None = None


class PermissionDeniedError(APIStatusError):
    """403: API access is not enabled, or the task belongs to another account."""


class NotFoundError(APIStatusError):
    """404: no such task."""


class RateLimitError(APIStatusError):
    """429: too many requests; nothing is paid."""

    retry_after: float | None = None
    """Seconds, from the Retry-After header; None when there was none."""


class ConcurrencyLimitError(RateLimitError):
    """createTask's 429: the account already runs as many tasks as it may."""

    limit: int | None = None
    current: int | None = None


class ServerError(APIStatusError):
    """5xx: the server or a gateway before it failed."""


class InvalidResponseError(APIError):
    """An answer that is no JSON, too large, cut off, or lacks what it must have."""


class AmbiguousSubmissionError(KinoviError):
    """A submission may or may not have been accepted, and paid; it is not sent again."""

    evidence: SubmitEvidence | None = None


class TaskFailedError(KinoviError):
    """The task ended in `fail`; its credits are refunded."""

    def __init__(self, message: str, *, record: TaskRecord, retryable: bool = False) -> None:
        super().__init__(message, task_id=record.task_id)
        self.record = record
        self.code: str | None = record.error.code if record.error else None
        self.retryable = retryable
        """Whether the same request may well succeed when it is run again."""


class WaitTimeoutError(KinoviError, TimeoutError):
    """We stopped waiting for an accepted task. It keeps running and is paid for; wait again."""


class JobCancelledError(KinoviError):
    """The job was cancelled before it was submitted; nothing is paid."""


class QueueFullError(KinoviError):
    """The scheduler's queue is full: answer 503, or wait in `submit`."""

    def __init__(self, message: str, *, queued: int, estimated_wait: float | None) -> None:
        super().__init__(message)
        self.queued = queued
        self.estimated_wait = estimated_wait
        """Seconds until a new job would start, or None while nothing has been learned."""


class KeyConflictError(KinoviError):
    """The key already belongs to a job with another request."""


class BudgetExceededError(KinoviError):
    """The budget does not cover the next submission; running tasks are polled on."""


class LedgerError(KinoviError):
    """The ledger cannot be opened, read or written; nothing is submitted without it."""


class LedgerInUseError(LedgerError):
    """Another live process runs the ledger; what is entered in it is run there."""


class UploadError(KinoviError):
    """A local file could not be uploaded. Nothing was submitted, nothing is paid."""

    retryable: bool = False
    """Whether uploading it again may well succeed."""
    status_code: int | None = None
    """The storage host's answer."""


class DownloadError(KinoviError):
    """A result file could not be fetched. The task succeeded and is paid for."""

    retryable: bool = False
    """Whether fetching it again may well succeed."""
    status_code: int | None = None
    """The host's answer when that was the trouble; 403, 404 and 410 say the address expired."""
    retry_after: float | None = None
    """Seconds after which the host wants to be asked again, 0 to 60, when it says so."""
    local: bool = False
    """The trouble is on this machine (disk full, no permission): other files will meet it too."""
    disk_full: bool = False
    """The disk has no room: once there is some, fetching again goes on."""
