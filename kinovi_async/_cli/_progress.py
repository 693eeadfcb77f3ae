"""What a run tells about itself while it runs: counts, rate and what is left, as numbers.

Kept apart from every display: the live one, the plain lines and the JSON events show
the same snapshot.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from .._outcomes import OutcomeStatus
from ._text import counted, dollars, duration, in_credits, number

LAST_FAILURES = 4
_ENOUGH_FOR_RATE = 3
_MINUTE = 60.0

SHOWN_STATUSES = (
    OutcomeStatus.FAILED,
    OutcomeStatus.REJECTED,
    OutcomeStatus.AMBIGUOUS,
    OutcomeStatus.EXPIRED,
)
"""Ended, but not well: named in every display as soon as there is one."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at one moment."""

    total: int
    """Lines of the file."""
    ended: Mapping[OutcomeStatus, int]
    """Lines whose job ended, in this run or before, by status."""
    queued: int
    running: int
    limit: int | None
    """The account's slots as learned."""
    spent: Decimal
    """Credits charged in this output directory, over all runs."""
    reserved: Decimal
    """Credits that running and unclear jobs may cost on top."""
    budget: Decimal | None
    elapsed: float
    """Seconds of this run."""
    ended_now: int
    """Jobs that ended in this run."""
    files: int
    """Files saved in this run."""
    fetching: int
    """Jobs whose files are being fetched or wait for it."""
    failures: tuple[str, ...]
    """The last ones, newest last."""

    @property
    def done(self) -> int:
        """Lines whose job ended."""
        return sum(self.ended.values())

    @property
    def left(self) -> int:
        """Jobs that this run still works on."""
        return self.queued + self.running

    @property
    def per_minute(self) -> float | None:
        """Jobs that end in a minute, once enough have ended to say so."""
        if self.ended_now < _ENOUGH_FOR_RATE or self.elapsed <= 0:
            return None
        return self.ended_now / self.elapsed * _MINUTE

    @property
    def seconds_left(self) -> float | None:
        """An estimate from the rate so far; None while there is none."""
        rate = self.per_minute
        return None if not rate or not self.left else self.left / rate * _MINUTE


@dataclass(slots=True)
class Progress:
    """The counters behind the snapshots."""

    total: int
    clock: Callable[[], float]
    """Seconds, monotonic."""
    budget: Decimal | None = None
    to_do: int = 0
    """Jobs that this run works on."""
    ended: dict[OutcomeStatus, int] = field(default_factory=dict)
    ended_now: int = 0
    files: int = 0
    fetching: int = 0
    _failures: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_FAILURES))
    _started: float = field(init=False)

    def __post_init__(self) -> None:
        self._started = self.clock()

    def ended_before(self, status: OutcomeStatus) -> None:
        """A line was done with before this run began."""
        self.ended[status] = self.ended.get(status, 0) + 1

    def job_ended(self, status: OutcomeStatus, failure: str | None = None) -> None:
        """A job of this run ended; `failure` is a sentence when it did not end well."""
        self.ended_before(status)
        self.ended_now += 1
        if failure is not None:
            self._failures.append(failure)

    def failed(self, failure: str) -> None:
        """Something else went wrong: a file, say."""
        self._failures.append(failure)

    def snapshot(
        self, *, running: int, limit: int | None, spent: Decimal, reserved: Decimal
    ) -> Snapshot:
        """The run as it stands."""
        return Snapshot(
            total=self.total,
            ended=dict(self.ended),
            # Also the lines that have not been handed to the scheduler's queue yet.
            queued=max(0, self.to_do - self.ended_now - running),
            running=running,
            limit=limit,
            spent=spent,
            reserved=reserved,
            budget=self.budget,
            elapsed=self.clock() - self._started,
            ended_now=self.ended_now,
            files=self.files,
            fetching=self.fetching,
            failures=tuple(self._failures),
        )


def one_line(shot: Snapshot) -> str:
    """The snapshot as one line, for a log."""
    parts = [f"{shot.done:,} of {shot.total:,} done", running_text(shot)]
    if shot.queued:
        parts.append(f"{shot.queued:,} waiting")
    parts += [
        f"{shot.ended[status]:,} {status}" for status in SHOWN_STATUSES if shot.ended.get(status)
    ]
    if shot.fetching:
        parts.append(f"fetching files of {counted(shot.fetching, 'job')}")
    parts += [money_text(shot), duration(shot.elapsed)]
    left = shot.seconds_left
    if left is not None:
        parts.append(f"about {duration(left)} left")
    return ", ".join(parts)


def running_text(shot: Snapshot) -> str:
    """`3 running in 5 slots`, as far as the slots are known."""
    if shot.limit is None:
        return f"{shot.running:,} running"
    return f"{shot.running:,} running in {counted(shot.limit, 'slot')}"


def money_text(shot: Snapshot) -> str:
    """`200 credits ($1.00)`, with the budget when there is one."""
    if shot.budget is None:
        return f"{in_credits(shot.spent)} ({dollars(shot.spent)})"
    return f"{number(shot.spent)} of {in_credits(shot.budget)} ({dollars(shot.spent)})"
