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
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import anyio
import anyio.abc
import anyio.lowlevel

from .._errors import ConfigurationError, KinoviError
from .._events import Event, EventHandler
from .._outcomes import Outcome, OutcomeStatus
from .._requests import describe
from .._scheduling import Entry, LazyHeap
from .._shield import finish
from ._arrival import Arrival, enter
from ._ending import leave_behind, overdue
from ._job import Job
from ._memory import recall, remember
from ._poll import poll
from ._submit import submit

if TYPE_CHECKING:
    from .._transport import Transport
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

    def __init__(
        self,
        account: Account,
        book: Book,
        options: LaneOptions,
        transport: Transport | None = None,
    ) -> None:
        self.account = account
        self.book = book
        self.options = options
        self.transport = account.transport if transport is None else transport
        self.jobs: dict[str, Job] = {}
        """Not ended yet, and this lane's to drive."""
        self.followers: set[Job] = set()
        """Their key is driven under another handle."""
        self.arriving: set[Arrival] = set()
        """On their way through the ledger."""
        self._door: deque[Arrival] = deque()
        self.stopped: KinoviError | None = None
        """Why nothing more is submitted."""
        self.paused: KinoviError | None = None
        self.draining = False
        """Nobody will resume: what would pause ends what is unsent."""
        self.closing = False
        self.crash: Exception | None = None
        """Why it broke; raised by `run`."""
        self.bounded: set[anyio.CancelScope] = set()
        """What is shielded, and gets `GRACE` seconds when the wait is left."""
        self.running: set[str] = set()
        """Keys of jobs whose task runs."""
        self.spent = Decimal(0)
        self.reserved = Decimal(0)
        self.counts: dict[OutcomeStatus, int] = dict.fromkeys(OutcomeStatus, 0)
        self.deliver: Callable[[Outcome], None] = _ignore
        self._group: anyio.abc.TaskGroup | None = None
        self._early: list[Callable[[], Awaitable[None]]] = []
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
        """Drives the jobs until `done()`; `changed()` makes it look again.

        Cancellation: a submission on the wire gets `GRACE` seconds to be answered and is
        recorded; polls end at once; nothing queued is sent any more.

        Raises:
            LedgerError: the ledger cannot be written; what runs is left to it.
        """
        try:
            async with anyio.create_task_group() as group:
                self._group = group
                for act in self._early:
                    group.start_soon(self._guard, act)
                self._early.clear()
                self.account.drive(self)
                try:
                    while not done() and self.crash is None:
                        await self._sleep()
                finally:
                    self.close()
                group.cancel_scope.cancel()
        finally:
            self._group = None
            self.account.leave(self)
            # Also in a task of its own, which a second native cancellation does not reach:
            # whoever waits on these jobs must be told.
            with anyio.CancelScope(shield=True):
                await finish(self._leave, grace=GRACE)
        if self.crash is not None:
            raise self.crash

    def close(self) -> None:
        """Begins nothing more; what is on the wire gets `GRACE` seconds."""
        if not self.closing:
            self.closing = True
            self.account.retire(self)
            deadline = anyio.current_time() + GRACE
            for scope in self.bounded:
                scope.deadline = min(scope.deadline, deadline)

    def abandon(self) -> None:
        """Stops driving; what runs is left to the ledger."""
        self.close()
        if self._group is not None:
            self._group.cancel_scope.cancel()

    def fail(self, error: Exception) -> None:
        """Breaks the lane: its jobs are told, and `run` raises the error."""
        if self.crash is None:
            self.crash = error
        self._wakeup.set()

    async def _leave(self) -> None:
        try:
            await leave_behind(self)
            if self.crash is None:
                await remember(self.account, self.book)
        finally:
            self.changed()

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
            self._begin(overdue, job)
        wake_at = self.account.wake_at
        if wake_at is not None and wake_at <= now and self.account.keeps_time(self):
            self.account.pump()

    # -- waiting for the lane -----------------------------------------------------------

    @property
    def unsent(self) -> int:
        """Jobs that wait for a slot or are on their way to or from it."""
        arriving = sum(len(arrival.jobs) for arrival in self.arriving)
        return arriving + len(self.jobs) - len(self.running)

    @property
    def busy(self) -> bool:
        """Whether a job is left."""
        return bool(self.jobs or self.arriving or self.followers)

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

    # -- work ------------------------------------------------------------------------

    def begin_submission(self, job: Job) -> None:
        """The core gave this job a slot."""
        self._begin(submit, job)

    def begin_poll(self, job: Job) -> None:
        """The core wants this task looked at."""
        self._begin(poll, job)

    def _begin(self, act: Callable[[Lane, Job], Awaitable[None]], job: Job) -> None:
        async def run() -> None:
            await act(self, job)
            self.account.pump()

        self.begin(run)

    def begin(self, act: Callable[[], Awaitable[None]]) -> None:
        """Starts something in the lane's own tasks, now or as soon as it runs."""
        if self._group is not None:
            if not self.closing:
                self._group.start_soon(self._guard, act)
        elif not self.closing:
            self._early.append(act)

    async def _guard(self, act: Callable[[], Awaitable[None]]) -> None:
        """An error here is the ledger's or a bug: it ends the lane, alone and unwrapped."""
        try:
            await act()
        except Exception as error:  # noqa: BLE001 - raised again by run()
            self.fail(error)

    async def carry_out(self, act: Callable[[], Awaitable[None]]) -> None:
        """Does something to the end, whatever becomes of the caller.

        Raises:
            ConfigurationError: the lane is not running.
            LedgerError: it broke the lane.
        """
        self.check_alive()
        done = anyio.Event()

        async def run() -> None:
            with anyio.CancelScope(shield=True):
                try:
                    await act()
                except Exception as error:  # noqa: BLE001 - raised below, and by run()
                    self.fail(error)
                finally:
                    done.set()

        self.begin(run)
        await done.wait()
        if self.crash is not None:
            raise self.crash

    def check_alive(self) -> None:
        """Refuses work that nobody would do.

        Raises:
            ConfigurationError, LedgerError: the lane has ended, or broke.
        """
        if self.crash is not None:
            raise self.crash
        if self.closing:
            msg = "the wait these jobs belong to has ended"
            raise ConfigurationError(msg)

    # -- jobs ------------------------------------------------------------------------

    def arrive(
        self,
        jobs: Sequence[Job],
        *,
        rerun: Collection[OutcomeStatus] = (),
        replace_unsent: bool = False,
        check_price: bool = True,
    ) -> Arrival:
        """Sends jobs on their way through the ledger into the queue.

        A key that is live already is one job: the new handle follows the other.

        Raises:
            BudgetExceededError: with a budget, a price is unknown.
        """
        self.check_alive()
        arrival = Arrival(jobs, rerun=rerun, replace_unsent=replace_unsent)
        arrival.price(self, check=check_price)
        self.arriving.add(arrival)
        self._door.append(arrival)
        if len(self._door) == 1:
            self.begin(self._let_in)
        return arrival

    async def _let_in(self) -> None:
        # One after the other: the order of arrival is the order in the queue.
        with anyio.CancelScope(shield=True):
            while self._door:
                await enter(self, self._door[0])
                self._door.popleft()

    async def add(
        self,
        jobs: Sequence[Job],
        *,
        rerun: Collection[OutcomeStatus] = (),
        replace_unsent: bool = False,
        check_price: bool = True,
    ) -> None:
        """Like `arrive`, and waits until the jobs are in the ledger and the queue.

        Cancellation: only the waiting ends.

        Raises:
            KeyConflictError: a key belongs to another request; nothing was entered.
            BudgetExceededError: with a budget, a price is unknown.
            ConfigurationError, LedgerError: the lane has ended, or broke.
        """
        arrival = self.arrive(
            jobs, rerun=rerun, replace_unsent=replace_unsent, check_price=check_price
        )
        await arrival.done.wait()
        if arrival.error is not None:
            raise arrival.error

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
            batch=job.batch,
        )
        self.jobs[job.key] = job
        self.book.live[job.key] = job
        return entry

    def untrack(self, job: Job) -> None:
        """The job is nobody's to drive any more."""
        self.followers.discard(job)
        if self.jobs.get(job.key) is job:
            del self.jobs[job.key]
            self.running.discard(job.key)
        if self.book.live.get(job.key) is job:
            del self.book.live[job.key]
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
        self.watch(now + self.max_wait(job), job)
        self.running.add(job.key)
        self.changed()

    def max_wait(self, job: Job) -> float:
        """Seconds from acceptance after which the job is given up."""
        return default_max_wait(job.request.model) if job.max_wait is None else job.max_wait

    def watch(self, at: float, job: Job) -> None:
        """Looks at the job again at this time of the clock, and at no other set before."""
        self._deadlines.put(job, (at, next(self._ticket)))
        if at < self._sleeps_until:
            self._wakeup.set()

    async def emit(self, event: Event) -> None:
        """Tells the user's handler; what it raises is logged, never fatal."""
        handler = self.options.on_event
        if handler is None:
            return
        try:
            answer = handler(event)
            if inspect.isawaitable(answer):
                with self.bound(anyio.CancelScope()):
                    await answer
        except Exception:  # noqa: BLE001 - the user's
            _log.exception("on_event raised for %s", type(event).__name__)

    @contextmanager
    def bound(self, scope: anyio.CancelScope) -> Iterator[anyio.CancelScope]:
        """Enters a scope that gets `GRACE` seconds when the wait is left."""
        with self.bounding(scope), scope:
            yield scope

    @contextmanager
    def bounding(self, scope: anyio.CancelScope) -> Iterator[None]:
        """The same for a scope that somebody else enters."""
        if self.closing:
            scope.deadline = min(scope.deadline, anyio.current_time() + GRACE)
        self.bounded.add(scope)
        try:
            yield
        finally:
            self.bounded.discard(scope)


def _ignore(_: Outcome) -> None:
    """Nobody takes the outcomes as a stream."""
