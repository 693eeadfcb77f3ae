"""What one submission came to: six results, each a fact the scheduler acts on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from .._errors import AmbiguousSubmissionError, KinoviError, RateLimitError, ServerError
from .._policy import SubmitEvidence


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
    """The server refused the request for good; nothing is paid.

    An `APIStatusError`, except where the user's `classify` calls a broken exchange so.
    """

    error: KinoviError


@dataclass(frozen=True, slots=True)
class NotSent:
    """Provably never left. `retryable` is False for what cannot get better (TLS, proxy login)."""

    error: KinoviError
    retryable: bool
    answered: bool = False
    """Whether the API, or what stands before it, answered: then its address is right."""


@dataclass(frozen=True, slots=True)
class ServerFailed:
    """A 500 in the API's own JSON form, documented as "internal error, retry"."""

    error: ServerError
    evidence: SubmitEvidence | None = None


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """May or may not have been accepted."""

    error: AmbiguousSubmissionError
    final: bool = False
    """Held whatever `SubmitPolicy.ambiguous` says: a rule of its own decided so."""


SubmitResult: TypeAlias = Accepted | Refused | Rejected | NotSent | ServerFailed | Ambiguous
