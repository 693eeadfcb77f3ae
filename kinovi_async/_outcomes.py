"""How a job ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._errors import KinoviError
    from ._records import TaskRecord
    from ._requests import Request

__all__ = ["Attempt", "AttemptResult", "Outcome", "OutcomeStatus"]


class OutcomeStatus(StrEnum):
    """The six ways in which a job ends."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """The task ended in `fail`; refunded."""
    REJECTED = "rejected"
    """The server or our own check refused the request; nothing paid."""
    AMBIGUOUS = "ambiguous"
    """The submission may or may not have been accepted."""
    EXPIRED = "expired"
    """We stopped waiting for an accepted task; its `task_id` is kept."""
    CANCELLED = "cancelled"
    """Never submitted."""


RERUNNABLE = frozenset({OutcomeStatus.FAILED, OutcomeStatus.REJECTED, OutcomeStatus.CANCELLED})
"""What may be started again under its key: nothing of it is paid for."""


class AttemptResult(StrEnum):
    """What became of one submission. A 429 is no attempt: nothing happened."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    NOT_SENT = "not_sent"
    SERVER_ERROR = "server_error"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One submission of a job."""

    number: int
    """1-based, over all runs and reruns of the job."""
    at: float
    """When the intent was written, seconds since the epoch."""
    result: AttemptResult | None = None
    """None while it is on the wire, or when the process died then."""
    detail: str | None = None
    """One sentence about what went wrong."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended. One failure hurts no other job: every job has one."""

    key: str
    status: OutcomeStatus
    request: Request | None
    """None when the item of a batch was no valid request."""
    index: int | None = None
    """Position in the batch, from 0; None for a single job."""
    record: TaskRecord | None = None
    error: KinoviError | None = None
    task_id: str | None = None
    credits: Decimal | None = None
    """Credits charged as far as known; 0 when failed, rejected or cancelled."""
    attempts: tuple[Attempt, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    created_at: datetime | None = None
    """When the job was queued, UTC."""
    accepted_at: datetime | None = None
    completed_at: datetime | None = None
    """When the job ended as we saw it, UTC."""
    seq: int | None = None
    """Order of ending in the ledger, from 1; None for what is told but not written."""
    download_error: str | None = None
    """Why a result file could not be fetched; the job is `succeeded` all the same."""

    @property
    def ok(self) -> bool:
        """Whether the job succeeded."""
        return self.status is OutcomeStatus.SUCCEEDED

    def _repr_html_(self) -> str:
        """The outcome in a notebook, with its pictures."""
        from ._notebook import outcome_html

        return outcome_html(self)

    def result(self) -> TaskRecord:
        """The record of a succeeded job; raises the job's error otherwise."""
        if self.error is not None:
            raise self.error
        if self.record is None:  # pragma: no cover - a succeeded job has a record
            msg = f"job {self.key} ended as {self.status} without a record"
            raise RuntimeError(msg)
        return self.record
