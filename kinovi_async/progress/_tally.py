"""The counters behind every display, fed by a scheduler's events.

Every job is known by its key while it is unfinished, and by nothing but counts after
that; so a frame costs the same with ten jobs and with ten thousand.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum
from typing import TYPE_CHECKING

from .._errors import APIStatusError, InsufficientCreditsError, KinoviError, TaskFailedError
from .._events import (
    Event,
    JobAccepted,
    JobEnded,
    JobPolled,
    JobQueued,
    JobRefused,
    JobSubmitted,
    SchedulerPaused,
    SchedulerResumed,
)
from .._outcomes import Outcome, OutcomeStatus
from .._records import TaskStatus
from .._text import USD_PER_CREDIT, number, shortened
from ._learned import Learned, before_of
from ._remaining import Remaining, Work, remaining
from ._snapshot import Snapshot

if TYPE_CHECKING:
    from .._account import Statistics
    from .._scheduler import JobScheduler

__all__ = ["LAST_FAILURES", "Tally", "failure_line", "pause_reason"]

LAST_FAILURES = 4
"""Failures shown: enough to see whether they are of one kind."""
RATE_OF = 50
"""Ended jobs that the rate is taken from, the last ones."""
ENOUGH_FOR_RATE = 3
ESTIMATE_SECONDS = 1.0
"""Between two estimates of what is left; nobody reads faster."""
LONGEST_KEY = 40
_MINUTE = 60.0


class _Stage(IntEnum):
    WAITING = 0
    SUBMITTING = 1
    RUNNING = 2


@dataclass(slots=True)
class _Open:
    """An unfinished job."""

    model: str
    cost: Decimal | None
    stage: _Stage = _Stage.WAITING
    since: float = 0.0
    """When it was submitted, or first seen running: a slot is taken from there on."""
    whole: bool = False
    """Whether its task was seen from the start."""


@dataclass(slots=True)
class _Model:
    """The unfinished jobs of one model."""

    waiting: int = 0
    submitting: int = 0
    running: int = 0
    since: float = 0.0
    """Sum of the times at which the running ones began."""
    cost: Decimal = Decimal(0)
    """Credits of the waiting ones whose price is known."""
    priced: int = 0
    """How many these are."""
    held: Decimal = Decimal(0)
    """Credits that the others may cost."""


class Tally:
    """Counts what happens to the jobs of a run.

    Args:
        clock: Monotonic seconds.
        total: Jobs that will come, if known; else those that have come.
        budget: Credits that may be spent.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        total: int | None = None,
        budget: Decimal | None = None,
    ) -> None:
        self.total = total
        self.budget = budget
        self.files = 0
        self.to_fetch = 0
        self.stopping: str | None = None
        self.held: str | None = None
        self._clock = clock
        self._started = clock()
        self._scheduler: JobScheduler | None = None
        self._open: dict[str, _Open] = {}
        self._models: dict[str, _Model] = {}
        self._counts = [0, 0, 0]
        self._ended: dict[OutcomeStatus, int] = {}
        self._ended_at: deque[float] = deque(maxlen=RATE_OF)
        self._learned = Learned()
        self._failures: deque[str] = deque(maxlen=LAST_FAILURES)
        self._failed = 0
        self._paused: str | None = None
        self._limit: int | None = None
        self._most_running = 0
        self._busy_since: float | None = None
        self._busy_seconds = 0.0
        self._passed_at = 0.0
        self._spent = Decimal(0)
        self._unclear = Decimal(0)
        self._usd = USD_PER_CREDIT
        self._estimate: Remaining | None = None
        self._estimate_at = float("-inf")

    @property
    def failed(self) -> int:
        """Failures noted so far; the last few of them stand in the snapshot."""
        return self._failed

    # -- what comes in -----------------------------------------------------------------

    def follow(self, scheduler: JobScheduler) -> None:
        """Takes limit, credits and what is known of durations from a scheduler."""
        from .._requests import credit_usd

        self._scheduler = scheduler
        self._usd = credit_usd(scheduler._generation)  # noqa: SLF001 - one package
        self._learned.know_before(before_of(scheduler))

    def expect(self, key: str, model: str, cost: Decimal | None) -> None:
        """A job of this run, which may not have been queued yet."""
        if key not in self._open:
            self._open[key] = job = _Open(model, cost)
            self._count(job, 1)

    def ended_before(self, status: OutcomeStatus) -> None:
        """A job had ended before this run."""
        self._ended[status] = self._ended.get(status, 0) + 1

    def note_failure(self, failure: str) -> None:
        """Something went wrong, in a sentence."""
        self._failures.append(failure)
        self._failed += 1

    def note(self, event: Event) -> None:
        """An event of the scheduler."""
        match event:
            case JobQueued(key=key, model=model, cost=cost):
                self.expect(key, model, cost)
                self._move(key, _Stage.WAITING)
            case JobSubmitted(key=key):
                self._move(key, _Stage.SUBMITTING)
            case JobRefused(key=key, limit=limit):
                self._limit = self._limit if limit is None else limit
                self._move(key, _Stage.WAITING)
            case JobAccepted(key=key):
                self._move(key, _Stage.RUNNING, whole=True)
            case JobPolled(key=key, status=TaskStatus.WAITING | TaskStatus.GENERATING):
                self._move(key, _Stage.RUNNING)
            case JobEnded(outcome=outcome, echo=True) if outcome.key not in self._open:
                self.ended_before(outcome.status)
                self._spent += outcome.credits or 0
            case JobEnded(outcome=outcome):
                self.note_end(outcome)
            case SchedulerPaused(reason=reason):
                self._paused = pause_reason(reason)
            case SchedulerResumed():
                self._paused = None
            case _:
                pass

    def note_end(self, outcome: Outcome) -> None:
        """A job ended; one that did not end well is among the failures."""
        now = self._clock()
        self._pass(now)
        job = self._open.pop(outcome.key, None)
        if job is not None:
            self._count(job, -1)
            if job.whole and outcome.record is not None and job.stage is _Stage.RUNNING:
                self._learned.add(job.model, now - job.since)
        self.ended_before(outcome.status)
        self._ended_at.append(now)
        self._spent += outcome.credits or 0
        if outcome.status is OutcomeStatus.AMBIGUOUS and job is not None:
            self._unclear += job.cost or 0
        if outcome.error is not None and outcome.status is not OutcomeStatus.CANCELLED:
            self.note_failure(failure_line(outcome))

    def _move(self, key: str, stage: _Stage, *, whole: bool = False) -> None:
        job = self._open.get(key)
        if job is None:
            # Taken up from a ledger as a running task: no event told of its beginning.
            job = self._open[key] = _Open("", None)
            self._count(job, 1)
        if job.stage is stage:
            return
        now = self._clock()
        self._pass(now)
        self._count(job, -1)
        if stage is not _Stage.WAITING and job.stage is not _Stage.SUBMITTING:
            job.since = now
        job.stage, job.whole = stage, whole
        self._count(job, 1)
        self._most_running = max(self._most_running, self._busy)

    def _count(self, job: _Open, step: int) -> None:
        of_model = self._models.get(job.model)
        if of_model is None:
            of_model = self._models[job.model] = _Model()
        self._counts[job.stage] += step
        cost = step * (job.cost or Decimal(0))
        if job.stage is _Stage.WAITING:
            of_model.waiting += step
            of_model.cost += cost
            of_model.priced += step if job.cost is not None else 0
        else:
            of_model.held += cost
            if job.stage is _Stage.SUBMITTING:
                of_model.submitting += step
            else:
                of_model.running += step
                of_model.since += step * job.since

    def _pass(self, now: float) -> None:
        """Counts the time in which so many jobs were in slots."""
        if self._busy_since is None:
            self._busy_since = now if self._busy else None
        else:
            self._busy_seconds += self._busy * (now - self._passed_at)
        self._passed_at = now

    def _use(self, now: float) -> float | None:
        """Share of the most slots ever in use that was in use so far, on average."""
        room = 0.0 if self._busy_since is None else self._most_running * (now - self._busy_since)
        return self._busy_seconds / room if room > 0 else None

    @property
    def _busy(self) -> int:
        return self._counts[_Stage.SUBMITTING] + self._counts[_Stage.RUNNING]

    # -- what goes out -----------------------------------------------------------------

    def snapshot(self, *, fetching_files: int = 0, fetched_bytes: int = 0) -> Snapshot:
        """The run as it stands; costs the same however many jobs there are."""
        now = self._clock()
        self._pass(now)
        told = self._statistics()
        waiting, submitting, running = self._counts
        limit, spent, slot_use = self._limit, self._spent, None
        reserved = self._unclear + sum(
            (of_model.held for of_model in self._models.values()), Decimal(0)
        )
        paused = self._paused
        if told is not None:
            limit = told.limit or limit
            spent, slot_use = told.credits, told.slot_use
            # The ledger's figure is as old as the last ending; ours knows this run alone.
            reserved = max(reserved, told.reserved)
            if told.paused is not None and paused is None:
                paused = pause_reason(told.paused)
        ended = sum(self._ended.values())
        seen = waiting + submitting + running + ended
        coming = max(0, (self.total or 0) - seen)
        if self._estimate is None or now - self._estimate_at >= ESTIMATE_SECONDS:
            self._estimate_at = now
            room = None if self.budget is None else self.budget - spent - reserved
            self._estimate = remaining(
                self._works(now, coming),
                limit=limit,
                most_running=self._most_running,
                # While the limit is unknown, what was in use tells how fast it goes.
                slot_use=self._use(now) if limit is None else slot_use,
                room=room,
                paused=any((paused, self.stopping, self.held)),
            )
        return Snapshot(
            total=seen + coming,
            ended=dict(self._ended),
            waiting=waiting + coming,
            submitting=submitting,
            running=running,
            limit=limit,
            slot_use=slot_use,
            spent=spent,
            reserved=reserved,
            budget=self.budget,
            usd=self._usd,
            elapsed=now - self._started,
            per_minute=self._rate(now),
            remaining=self._estimate if seen + coming > ended else None,
            files=self.files,
            fetched_bytes=fetched_bytes,
            fetching_files=fetching_files,
            to_fetch=self.to_fetch,
            failures=tuple(self._failures),
            paused=paused,
            held=self.held,
            stopping=self.stopping,
        )

    def _statistics(self) -> Statistics | None:
        scheduler = self._scheduler
        if scheduler is None or scheduler._lane is None:  # noqa: SLF001 - one package
            return None
        return scheduler.statistics()

    def _works(self, now: float, coming: int) -> list[Work]:
        works = []
        for model, left in self._models.items():
            busy = left.submitting + left.running
            age = (left.running * now - left.since) / busy if busy else 0.0
            works.append(
                Work(
                    seconds=self._learned.seconds(model, running=busy, age=age),
                    waiting=left.waiting,
                    running=busy,
                    age=age,
                    cost=left.cost / left.priced if left.priced else None,
                )
            )
        if coming:
            works.append(Work(seconds=None, waiting=coming))
        return works

    def _rate(self, now: float) -> float | None:
        if len(self._ended_at) < ENOUGH_FOR_RATE:
            return None
        whole = len(self._ended_at) == RATE_OF
        passed = now - (self._ended_at[0] if whole else self._started)
        return len(self._ended_at) / passed * _MINUTE if passed > 0 else None


def failure_line(outcome: Outcome) -> str:
    """A job that did not end well, in a sentence: key, status, reason."""
    reason = "" if outcome.error is None else f": {failure_text(outcome.error)}"
    return f"{shortened(outcome.key, LONGEST_KEY)}: {outcome.status}{reason}"


def failure_text(error: KinoviError) -> str:
    """Why a job did not end well, without what stands before it in its line."""
    if isinstance(error, TaskFailedError):
        return error.message.removeprefix(f"task {error.task_id} failed: ")
    return error.message


def pause_reason(error: KinoviError) -> str:
    """Why nothing more is submitted, beginning with the HTTP status if there is one."""
    status = f"{error.status_code}: " if isinstance(error, APIStatusError) else ""
    if isinstance(error, InsufficientCreditsError) and error.required is not None:
        has = "" if error.available is None else f", the account has {number(error.available)}"
        return f"{status}not enough credits: the next job needs {number(error.required)}{has}"
    return f"{status}{error.message}"
