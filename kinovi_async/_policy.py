"""What may be submitted again, and what is known about a submission that went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

__all__ = ["Phase", "SubmitEvidence", "SubmitPolicy"]


class Phase(StrEnum):
    """How far a submission got, as shown by events of the transport, not by exception types."""

    NOT_SENT = "not_sent"
    """Proven: no byte of the request left."""
    SENDING = "sending"
    """Some of the request may have left."""
    SENT = "sent"
    """The whole request left."""
    UNKNOWN = "unknown"
    """The transport shows no events; only a failed connect proves that nothing left."""


@dataclass(frozen=True, slots=True)
class SubmitEvidence:
    """Everything known about one submission, without the key."""

    phase: Phase
    exception: str | None = None
    """Type and text of what went wrong below, None when an answer came."""
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """The answer's headers, names in lower case."""
    body: bytes = b""
    """The first 4,096 bytes of the answer."""
    elapsed: float = 0.0
    """Seconds from the start of the exchange."""


@dataclass(frozen=True, slots=True)
class SubmitPolicy:
    """Whether an unclear submission may be sent again. The defaults never pay twice.

    A submission that provably never left, and one refused with 429, are always
    sent again: neither can have been paid. Everything unclear is held as
    `ambiguous`.
    """

    server_error: Literal["retry", "hold"] = "retry"
    """A 500 in the API's own JSON form, documented as "internal error, retry":
    `retry` sends the request again at most twice, `hold` makes the job ambiguous."""
    max_server_error_resubmits: int = 2
    """Times one job is sent again after such a 500."""
