"""A lane: one waiting call, or one scheduler, driving its own jobs through the account.

    add() -> ledger -> queue ...decide... -> submission -> polls -> end -> outcome

All I/O of a job runs in the task group of its lane, so it ends when the wait ends. What
is decided stands elsewhere: when to submit and poll in the scheduling core, what a
submission came to in the transport's classifier, what may be sent in the ledger.
"""

from __future__ import annotations

import inspect
import itertools
import logging
import math
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import anyio
import anyio.abc
import anyio.lowlevel

from .._errors import (
    ConfigurationError,
    JobCancelledError,
    KinoviError,
    LedgerError,
    WaitTimeoutError,
)
from .._events import Event, EventHandler, JobEnded, SchedulerPaused, SchedulerResumed
from .._ledger import Ending, JobState
from .._outcomes import Outcome, OutcomeStatus
from .._requests import describe
from .._scheduling import Entry, LazyHeap
from ._enter import enter, enter_alone
from ._error_json import error_to_json
from ._job import Job, outcome_of
from ._memory import recall, remember
from ._poll import poll
from ._submit import submit

if TYPE_CHECKING:
    from ._account import Account
    from ._book import Book

__all__ = ["Lane", "LaneOptions", "default_max_wait"]

_log = logging.getLogger("kinovi_async")

# A wait of this many seconds after a cancellation for a submission on the wire: its
# answer carries the id of a paid task.
GRACE = 10.0
# No task is given up sooner than this, in seconds.
MIN_MAX_WAIT = 900.0


def default_max_wait(model: str) -> float:
    """Seconds to wait for a task when the user does not say: generous, at least 15 min."""
    description = describe(model)
    if description is None:
        return MIN_MAX_WAIT
    return max(MIN_MAX_WAIT, 3 * description.typical_seconds[1], description.give_up_seconds)


@dataclass(frozen=True, slots=True)
class LaneOptions:
    """What a lane's user chose."""

    max_in_flight: int | None = None
    max_queue: int | float = math.inf
    budget: Decimal | None = None
    assume_cost: Decimal | None = None
    retry_failed: int = 0
    on_event: EventHandler | None = None
    pause_on_stop: bool = False
    """True: keep the queue and wait for resume(). False: cancel what is unsent."""
    cancel_on_leave: bool = False
    """Whether jobs still queued when the wait is left are cancelled in a durable ledger."""
    group: str = ""
    """The group of jobs that are given none."""


class Lane:
    """Drives jobs; everything in it happens on the account's event loop."""

    def __init__(self, account: Account, book: Book, options: LaneOptions) -> None:
        self.account = account
        self.book = book
        self.options = options
        self.jobs: dict[str, Job] = {}
        """Not ended yet."""
        self.arriving: set[Job] = set()
        """Given to `add_soon`, and not yet in the ledger."""
        self.stopped: KinoviError | None = None
        """Why nothing more is submitted."""
        self.paused: KinoviError | None = None
        self.closing = False
        self.posts: set[anyio.CancelScope] = set()
        self.running: set[str] = set()
        """Keys of jobs whose task runs."""
        self.spent = Decimal(0)
        self.reserved = Decimal(0)
        self.counts: dict[OutcomeStatus, int] = dict.fromkeys(OutcomeStatus, 0)
        self.deliver: Callable[[Outcome], None] = _ignore
        self._crash: Exception | None = None
        self._group: anyio.abc.TaskGroup | None = None
        self._early: list[tuple[Callable[[Job], Awaitable[None]], Job]] = []
        """What was decided before `run` began."""
        self._wakeup = anyio.Event()
        self._sleeps_until = -math.inf
        self._deadlines: LazyHeap[Job] = LazyHeap()
        """When to look at a job again; ended jobs leave it at once, or they would pile up."""
        self._ticket = itertools.count()
        self._changed = anyio.Event()
        self._turnstile = anyio.Lock()

    # -- life ------------------------------------------------------------------------

    async def open(self) -> None:
        """Opens the ledger and joins the account's queue."""
        self.account.check_loop()
        await self.book.open()
        await self.count_money()
        await recall(self.account, self.book)
        self.account.join(self, self.options.max_in_flight)

    async def run(self, done: Callable[[], bool]) -> None:
        """Drives the jobs until `done()`; `wake()` makes it look again.

        Cancellation: a submission on the wire gets `GRACE` seconds to be answered and is
        recorded; polls end at once; nothing queued is sent any more.

        Raises:
            LedgerError: the ledger cannot be written; what runs is left to it.
        """
        try:
            async with anyio.create_task_group() as group:
                self._group = group
                for act, job in self._early:
                    self._begin(act, job)
                self._early.clear()
                self.account.drive(self)
                try:
                    while not done() and self._crash is None:
                        await self._sleep()
                finally:
                    self.closing = True
                    self._hurry()
                group.cancel_scope.cancel()
        finally:
            self._group = None
            self.account.leave(self)
            with anyio.CancelScope(shield=True):
                await self._leave()
        if self._crash is not None:
            raise self._crash

    def wake(self) -> None:
        """Lets `run` look at `done()` again."""
        self._wakeup.set()

    def alarm(self, at: float | None) -> None:
        """The account's timer; wakes the sleeper only when it would oversleep."""
        if at is not None and at < self._sleeps_until:
            self._wakeup.set()

    async def _sleep(self) -> None:
        now = anyio.current_time()
        first = self._deadlines.first_time
        until = math.inf if first is None else first
        if self.account.keeps_time(self) and self.account.wake_at is not None:
            until = min(until, self.account.wake_at)
        self._sleeps_until = until
        if until > now:
            with anyio.CancelScope(deadline=until):
                await self._wakeup.wait()
        else:
            await anyio.lowlevel.checkpoint()
        self._sleeps_until = -math.inf
        if self._wakeup.is_set():
            self._wakeup = anyio.Event()
        now = anyio.current_time()
        while (job := self._deadlines.first()) is not None and self._deadlines.key(job)[0] <= now:
            self._deadlines.discard(job)
            self._begin(self._overdue, job)
        wake_at = self.account.wake_at
        if wake_at is not None and wake_at <= now and self.account.keeps_time(self):
            self.account.pump()

    def _hurry(self) -> None:
        deadline = anyio.current_time() + GRACE
        for scope in self.posts:
            scope.deadline = min(scope.deadline, deadline)

    async def _leave(self) -> None:
        """Gives up what is left: nobody drives it any more."""
        for job in self.arriving:
            job.settle(self._left_behind(job))
        self.arriving.clear()
        for job in list(self.jobs.values()):
            self.book.live.pop(job.key, None)
            if job.task_id is not None and not self.book.durable:
                _log.warning(
                    "job %s is no longer waited for; its task %s runs on and is paid for",
                    job.key,
                    job.task_id,
                )
            outcome = self._left_behind(job)
            forgotten = job.task_id is None and self.options.cancel_on_leave
            if self._crash is None and (forgotten or not self.book.durable):
                await self._close_row(job, outcome)
            job.settle(outcome)
        self.jobs.clear()
        if self._crash is None:
            await remember(self.account, self.book)
        self.changed()

    async def _close_row(self, job: Job, outcome: Outcome) -> None:
        error = error_to_json(outcome.error) if outcome.error else None
        ending = Ending(outcome.status, at=self.account.wall(), error=error)
        try:
            await self.book.ledger.end(job.key, ending)
        except LedgerError as failure:
            _log.warning("job %s stays unfinished in the ledger: %s", job.key, failure)

    def _left_behind(self, job: Job) -> Outcome:
        """How a job is told that is left behind."""
        reason = self._crash if isinstance(self._crash, KinoviError) else None
        if job.task_id is not None:
            return job.ended_as(OutcomeStatus.EXPIRED, reason) if reason else job.abandoned()
        reason = reason or self.stopped
        return job.ended_as(OutcomeStatus.CANCELLED, reason) if reason else job.abandoned()

    # -- waiting for the lane -----------------------------------------------------------

    @property
    def unsent(self) -> int:
        """Jobs that wait for a slot or are on the wire."""
        return len(self.arriving) + len(self.jobs) - len(self.running)

    @property
    def busy(self) -> bool:
        """Whether a job is left."""
        return bool(self.jobs or self.arriving)

    async def wait_for_room(self) -> None:
        """Waits while the queue is full; in order of arrival."""
        async with self._turnstile:
            while self.unsent >= self.options.max_queue and not (self.stopped or self.closing):
                await self.next_change()

    async def wait_until_idle(self) -> None:
        """Waits until no job is left, or nobody drives them any more."""
        while self.busy and not self.closing:
            await self.next_change()

    async def next_change(self) -> None:
        """Waits until a job moves on."""
        await self._changed.wait()

    def changed(self) -> None:
        """A job moved on: whoever waits for room or for the end looks again."""
        self._changed.set()
        self._changed = anyio.Event()
        self._wakeup.set()

    def hold(self) -> None:
        """Submits nothing for a while: nobody takes the outcomes."""
        if self._group is not None:
            self.account.state.pause_lane(self)

    def release(self) -> None:
        """Undoes `hold`."""
        if self._group is not None:
            self.account.state.resume_lane(self)
            self.account.pump()

    def abandon(self) -> None:
        """Stops driving; what runs is left to the ledger."""
        self.closing = True
        if self._group is not None:
            self._hurry()
            self._group.cancel_scope.cancel()

    # -- work ------------------------------------------------------------------------

    def begin_submission(self, job: Job) -> None:
        """The core gave this job a slot."""
        self._begin(self._submit, job)

    def begin_poll(self, job: Job) -> None:
        """The core wants this task looked at."""
        self._begin(self._poll, job)

    def _begin(self, act: Callable[[Job], Awaitable[None]], job: Job) -> None:
        if self.closing:
            return
        if self._group is None:
            self._early.append((act, job))
        else:
            self._group.start_soon(self._guard, act, job)

    async def _guard(self, act: Callable[[Job], Awaitable[None]], job: Job) -> None:
        """An error here is the ledger's or a bug: it ends the lane, alone and unwrapped."""
        try:
            await act(job)
        except Exception as error:  # noqa: BLE001 - raised again by run()
            if self._crash is None:
                self._crash = error
            self._wakeup.set()

    async def _submit(self, job: Job) -> None:
        # One unit: cancelled between the POST and the record, a paid task would be lost.
        with anyio.CancelScope(shield=True):
            await submit(self, job)
        self.account.pump()

    async def _poll(self, job: Job) -> None:
        await poll(self, job)
        self.account.pump()

    # -- jobs ------------------------------------------------------------------------

    async def add(
        self,
        jobs: Sequence[Job],
        *,
        rerun: Collection[OutcomeStatus] = (),
        replace_unsent: bool = False,
    ) -> list[Job]:
        """Enters jobs in the ledger and the queue; a key that is live is that live job.

        Raises:
            KeyConflictError: a key belongs to another request.
            BudgetExceededError: with a budget, a price is unknown.
            ConfigurationError, LedgerError: the lane has ended, or broke.
        """
        if self.closing:
            raise self._crash or ConfigurationError("the wait these jobs belong to has ended")
        return await enter(self, jobs, rerun=rerun, replace_unsent=replace_unsent)

    def add_soon(self, job: Job) -> None:
        """Like `add`, for a caller that cannot wait; nothing is sent before it is written."""
        job.lane = self
        self.arriving.add(job)
        self._begin(self._add_alone, job)

    async def _add_alone(self, job: Job) -> None:
        with anyio.CancelScope(shield=True):
            await enter_alone(self, job)

    async def count_money(self) -> None:
        """Keeps the totals at hand for the statistics."""
        totals = await self.book.ledger.totals()
        self.spent = totals.spent
        self.reserved = totals.reserved + totals.exposed

    def track(self, job: Job) -> Entry:
        """From here on the job is this lane's to drive."""
        job.lane = self
        entry = job.entry = Entry(
            key=job.key,
            model=job.request.model,
            group=job.group or self.options.group,
            priority=job.priority,
            lane=self,
            payload=job,
        )
        self.jobs[job.key] = job
        self.book.live[job.key] = job
        return entry

    def untrack(self, job: Job) -> None:
        """The job is nobody's to drive any more."""
        self.jobs.pop(job.key, None)
        self.book.live.pop(job.key, None)
        self.running.discard(job.key)
        self._deadlines.discard(job)

    def requeue(self, job: Job) -> None:
        """Puts a job that ended in failure back into the queue, behind the others."""
        self.running.discard(job.key)
        self._deadlines.discard(job)
        now = anyio.current_time()
        self.account.state.enqueue(self.track(job), now)
        if job.max_queue_wait is not None:
            self.watch(now + job.max_queue_wait, job)

    def begin_wait(self, job: Job) -> None:
        """The task runs: from here on `max_wait` counts."""
        now = anyio.current_time()
        job.accepted_at = now
        wait = default_max_wait(job.request.model) if job.max_wait is None else job.max_wait
        self.watch(now + wait, job)
        self.running.add(job.key)
        self.changed()

    def watch(self, at: float, job: Job) -> None:
        """Looks at the job again at this time of the clock, and at no other set before."""
        self._deadlines.put(job, (at, next(self._ticket)))
        if at < self._sleeps_until:
            self._wakeup.set()

    async def _overdue(self, job: Job) -> None:
        """A deadline passed: of the queue, when the job is still in it, else of the wait."""
        if job.done or job.entry is None:
            return
        if job.task_id is not None and job.accepted_at is None:
            return  # just accepted and being recorded: its own deadline follows
        if job.task_id is not None:
            due = default_max_wait(job.request.model) if job.max_wait is None else job.max_wait
            if anyio.current_time() >= (job.accepted_at or 0) + due:
                await self.expire(job, _waited(job, due))
        elif self.account.state.withdraw(job.entry):
            error = JobCancelledError(f"job {job.key} found no slot in {job.max_queue_wait:g} s")
            await self.end(job, OutcomeStatus.CANCELLED, error=error)
            self.account.pump()
        else:  # on the wire: it may be refused and come back
            self.watch(anyio.current_time() + self.account.second, job)

    async def expire(self, job: Job, error: KinoviError) -> None:
        """We stop waiting for an accepted task; its id is kept."""
        assert job.entry is not None  # noqa: S101 - a running job has one
        self.account.state.forget(job.entry, anyio.current_time())
        await self.end(job, OutcomeStatus.EXPIRED, error=error)
        self.account.pump()

    async def cancel(self, job: Job) -> bool:
        """Takes a queued job out; False for any other."""
        if job.entry is None or not self.account.state.withdraw(job.entry):
            return False
        with anyio.CancelScope(shield=True):
            error = JobCancelledError(f"job {job.key} was cancelled before it was submitted")
            await self.end(job, OutcomeStatus.CANCELLED, error=error)
        self.account.pump()
        return True

    async def end(
        self,
        job: Job,
        status: OutcomeStatus,
        *,
        error: KinoviError | None = None,
        ending: Ending | None = None,
    ) -> None:
        """Writes the end of a job, then tells it."""
        if job.done:
            return
        if ending is None:
            ending = Ending(
                status, at=self.account.wall(), error=error_to_json(error) if error else None
            )
        row = await self.book.ledger.end(job.key, ending)
        await self.count_money()
        if row is None:  # ended elsewhere: what the ledger says stands
            row = await self.book.ledger.get(job.key)
        if row is None or row.state is not JobState.ENDED:
            msg = f"the ledger lost track of job {job.key}"
            raise LedgerError(msg, task_id=job.task_id)
        await self.conclude(job, outcome_of(row, job.request, index=job.index, error=error))

    async def conclude(self, job: Job, outcome: Outcome) -> None:
        """Tells everybody how a job ended."""
        if job.done:
            return
        self.untrack(job)
        self.counts[outcome.status] += 1
        if self.options.on_event is not None:
            await self.emit(JobEnded(at=self.account.wall(), outcome=outcome))
        job.settle(outcome)
        self.deliver(outcome)
        self.changed()

    # -- stopping --------------------------------------------------------------------

    async def stop(self, reason: KinoviError) -> None:
        """Submits nothing more: pauses, or tells what is unsent as cancelled.

        In a durable ledger the unsent jobs stay queued, for the next run.
        """
        if self.options.pause_on_stop:
            if self.paused is None and self.stopped is None:
                self.paused = reason
                self.account.state.pause_lane(self)
                _log.error("submissions are paused: %s", reason)
                await self.emit(SchedulerPaused(at=self.account.wall(), reason=reason))
            return
        await self.cancel_unsent(reason)

    async def cancel_unsent(self, reason: KinoviError) -> None:
        """Tells what is queued as cancelled, now and from here on."""
        if self.stopped is not None:
            return
        self.stopped = reason
        if self.paused is not None:
            self.account.state.resume_lane(self)
        for job in list(self.jobs.values()):
            if job.entry is not None and self.account.state.withdraw(job.entry):
                await self.give_back(job)
        self._wakeup.set()

    async def give_back(self, job: Job) -> None:
        """Tells a job that is out of the queue as cancelled by what stopped the lane."""
        assert self.stopped is not None  # noqa: S101 - only after cancel_unsent
        if self.book.durable:
            await self.conclude(job, job.ended_as(OutcomeStatus.CANCELLED, self.stopped))
        else:
            await self.end(job, OutcomeStatus.CANCELLED, error=self.stopped)

    async def resume(self) -> None:
        """Goes on after a pause."""
        if self.paused is not None and self.stopped is None:
            self.paused = None
            self.account.state.resume_lane(self)
            await self.emit(SchedulerResumed(at=self.account.wall()))
            self.account.pump()

    async def emit(self, event: Event) -> None:
        """Tells the user's handler; what it raises is logged, never fatal."""
        handler = self.options.on_event
        if handler is None:
            return
        try:
            answer = handler(event)
            if inspect.isawaitable(answer):
                await answer
        except Exception:  # noqa: BLE001 - the user's
            _log.exception("on_event raised for %s", type(event).__name__)


def _waited(job: Job, seconds: float) -> WaitTimeoutError:
    return WaitTimeoutError(
        f"task {job.task_id} was still running after {seconds:g} s; it is paid for: wait again",
        task_id=job.task_id,
    )


def _ignore(_: Outcome) -> None:
    """Nobody takes the outcomes as a stream."""
