"""A run at one moment, as numbers: what every display shows, and the JSON events tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from .._outcomes import OutcomeStatus
from .._text import USD_PER_CREDIT
from ._remaining import Remaining

__all__ = ["NOT_WELL", "Snapshot", "snapshot_facts"]

NOT_WELL = (
    OutcomeStatus.FAILED,
    OutcomeStatus.REJECTED,
    OutcomeStatus.AMBIGUOUS,
    OutcomeStatus.EXPIRED,
    OutcomeStatus.CANCELLED,
)
"""Ended, but not well: named in every display as soon as there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A run at one moment."""

    total: int
    """Jobs of the run, those that ended before it included; as far as known yet."""
    ended: Mapping[OutcomeStatus, int]
    """Jobs that ended, in this run or before, by status."""
    waiting: int = 0
    """Jobs that are not submitted."""
    submitting: int = 0
    """Submissions on the wire."""
    running: int = 0
    """Tasks that run."""
    limit: int | None = None
    """The account's slots as learned, None while unknown."""
    slot_use: float | None = None
    """Share of the slots in use while jobs waited, 0 to 1."""
    spent: Decimal = Decimal(0)
    """Credits charged."""
    reserved: Decimal = Decimal(0)
    """Credits that running and unclear jobs may cost on top."""
    budget: Decimal | None = None
    usd: Decimal = USD_PER_CREDIT
    """Dollars for one credit, about."""
    elapsed: float = 0.0
    """Seconds of this run."""
    per_minute: float | None = None
    """Jobs that ended in a minute lately; None before there is a rate."""
    remaining: Remaining | None = None
    """What is left, None while nothing is known."""
    files: int = 0
    """Files saved in this run."""
    fetched_bytes: int = 0
    """Bytes that came in this run, those of unfinished files included."""
    fetching_files: int = 0
    """Files being fetched."""
    to_fetch: int = 0
    """Jobs whose files are being fetched or wait for it."""
    failures: tuple[str, ...] = ()
    """The last ones, newest last."""
    paused: str | None = None
    """Why nothing more is submitted until somebody resumes."""
    held: str | None = None
    """Why nothing more is submitted for the moment: a full disk, say."""
    stopping: str | None = None
    """Why the run ends when what runs has ended."""

    @property
    def done(self) -> int:
        """Jobs that ended."""
        return sum(self.ended.values())

    @property
    def notice(self) -> tuple[str, str] | None:
        """What keeps jobs from being submitted: a word for it, and why."""
        for word, reason in (
            ("stopping", self.stopping),
            ("paused", self.paused),
            ("on hold", self.held),
        ):
            if reason is not None:
                return word, reason
        return None


def snapshot_facts(shot: Snapshot) -> dict[str, object]:
    """The snapshot for programs: the fields of the JSON event `progress`."""
    notice = shot.notice
    left = shot.remaining
    return {
        "total": shot.total,
        "done": shot.done,
        "waiting": shot.waiting,
        "submitting": shot.submitting,
        "running": shot.running,
        "limit": shot.limit,
        "credits": float(shot.spent),
        "credits_reserved": float(shot.reserved),
        "budget": None if shot.budget is None else float(shot.budget),
        "files": shot.files,
        "files_in_progress": shot.fetching_files,
        "bytes": shot.fetched_bytes,
        "jobs_to_fetch": shot.to_fetch,
        "elapsed": round(shot.elapsed, 1),
        "seconds_left": None if left is None else [_whole(left.low), _whole(left.high)],
        "state": "running" if notice is None else notice[0].replace(" ", "_"),
        "reason": None if notice is None else notice[1],
    }


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds)
