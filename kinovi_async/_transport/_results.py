"""What one submission came to: six results, each a fact the scheduler acts on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from .._errors import (
    AmbiguousSubmissionError,
    APIStatusError,
    KinoviError,
    RateLimitError,
    ServerError,
)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The server made a task of it; it is paid for."""

    task_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """429: nothing happened. A `ConcurrencyLimitError` unless it is about a rate."""

    error: RateLimitError


@dataclass(frozen=True, slots=True)
class Rejected:
    """The server refused the request for good; nothing is paid."""

    error: APIStatusError


@dataclass(frozen=True, slots=True)
class NotSent:
    """Provably never left. `retryable` is False for what cannot get better (TLS, proxy login)."""

    error: KinoviError
    retryable: bool


@dataclass(frozen=True, slots=True)
class ServerFailed:
    """A 500 in the API's own JSON form, documented as "internal error, retry"."""

    error: ServerError


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """May or may not have been accepted."""

    error: AmbiguousSubmissionError


SubmitResult: TypeAlias = Accepted | Refused | Rejected | NotSent | ServerFailed | Ambiguous
