"""A lane: one waiting call, or one scheduler, driving its own jobs through the account.

    add() -> ledger -> queue ...decide... -> submission -> polls -> end -> outcome

All I/O of a job runs in the task group of its lane, so it ends when the wait ends. What
is decided stands elsewhere: when to submit and poll in the scheduling core, what a
submission came to in the transport's classifier, what may be sent in the ledger.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import anyio
import anyio.abc

from .._errors import KinoviError
from .._outcomes import Outcome, OutcomeStatus
from .._scheduling import Entry
from .._shield import finish
from ._arrival import Arrival, Door
from ._deadlines import Deadlines
from ._ending import overdue
from ._following import overdue_followed
from ._grace import GRACE, Grace
from ._hosting import hand_over, has_let_go
from ._job import Job
from ._lane_options import LaneOptions, default_max_wait
from ._leaving import leave_behind
from ._memory import recall, remember
from ._poll import poll
from ._stopping import stop_uploads
from ._submit import submit
from ._tasks import Tasks
from ._telling import Teller
from ._watch import watch

if TYPE_CHECKING:
    from .._transport import Transport
    from ._account import Account
    from ._book import Book

__all__ = ["Lane", "LaneOptions", "default_max_wait"]


class Lane(Tasks):
    """Drives jobs; everything in it happens on the account's event loop."""

    def __init__(
        self,
        account: Account,
        book: Book,
        options: LaneOptions,
        transport: Transport | None = None,
        *,
        host: Lane | None = None,
    ) -> None:
        self._deadlines = Deadlines()
        super().__init__(self._deadlines.wake)
        self.account = account
        self.book = book
        self.options = options
        self.transport = account.transport if transport is None else transport
        self.host = host
        """The lane in whose tasks this one runs: this one drives other processes' jobs."""
        self.guests: Lane | None = None
        """The lane for other processes' jobs that runs in this one's tasks."""
        self.leaving = False
        """It takes no more of other processes' jobs."""
        self.jobs: dict[str, Job] = {}
        """Not ended yet, and this lane's to drive, or to follow in the ledger."""
        self.followers: set[Job] = set()
        """Their key is driven under another handle."""
        self._door = Door(self)
        self.let_in = self._door.has_let_in
        self.stopped: KinoviError | None = None
        """Why nothing more is submitted."""
        self.paused: KinoviError | None = None
        self.draining = False
        """Nobody will resume: what would pause ends what is unsent."""
        self.running: set[str] = set()
        """Keys of jobs whose task runs."""
        self.counts: dict[OutcomeStatus, int] = dict.fromkeys(OutcomeStatus, 0)
        self.deliver: Callable[[Outcome], None] = _ignore
        self._grace = Grace()
        self.events = Teller(account, options.on_event, self, self._grace)
        self.watching = anyio.CancelScope()
        self._changed = anyio.Event()
        self._turnstile = anyio.Lock()

    # -- life ------------------------------------------------------------------------

    async def open(self) -> None:
        """Opens the ledger and joins the account's queue.

        Raises:
            LedgerError: it cannot be opened, or is run by somebody who does not share it.
        """
        self.account.check_loop()
        await self.book.join(self)
        try:
            await self.book.count_money()
            await recall(self.account, self.book)
        except BaseException:
            with anyio.CancelScope(shield=True):  # bounded by the ledger's own timeout
                await self.book.leave(self)
            raise
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
                self.begin_in(group)
                self.account.drive(self)
                if self.host is None and self.book.shared:
                    self.book.line_up(self)
                    self.begin(lambda: watch(self))
                try:
                    while self.crash is None and not (done() and has_let_go(self)):
                        await self._sleep()
                finally:
                    self.close()
                group.cancel_scope.cancel()
        finally:
            self._group = None
            hand_over(self)
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
            self.closing = self.leaving = True
            self.book.step_back(self)
            if self.guests is not None:
                self.guests.close()
            self.account.retire(self)
            stop_uploads(self)
            self._grace.begin()

    def abandon(self) -> None:
        """Stops driving; what runs is left to the ledger."""
        self.close()
        if self._group is not None:
            self._group.cancel_scope.cancel()

    async def _leave(self) -> None:
        try:
            await leave_behind(self)
            # What a member knows is older than what the runner keeps.
            if self.crash is None and self.host is None and self.book.runs:
                await remember(self.account, self.book)
        finally:
            try:
                if self.host is None:
                    await self.book.leave(self)  # noqa: ASYNC102 - run() shields and bounds it
            finally:
                self.changed()

    def alarm(self, at: float | None) -> None:
        """The account's timer; wakes the sleeper only when it would oversleep."""
        if at is not None:
            self._deadlines.alarm(at)

    async def _sleep(self) -> None:
        await self._deadlines.sleep(self.account.wake_at if self.account.keeps_time(self) else None)
        now = anyio.current_time()
        for job in self._deadlines.take_due(now):
            followed = job.key in self.book.followed
            self._begin(overdue_followed if followed else overdue, job)
        wake_at = self.account.wake_at
        if wake_at is not None and wake_at <= now and self.account.keeps_time(self):
            self.account.pump()

    # -- waiting for the lane -----------------------------------------------------------

    @property
    def unsent(self) -> int:
        """Jobs that wait for a slot or are on their way to or from it."""
        return self._door.jobs + len(self.jobs) - len(self.running)

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
        self._deadlines.wake()

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
        if self.account.observer is not None:
            for job in jobs:
                job.stamp = job.stamp or self.account.observer.stamp()
        arrival = Arrival(jobs, rerun=rerun, replace_unsent=replace_unsent)
        arrival.price(self, check=check_price)
        self._door.take(arrival)
        return arrival

    @property
    def arriving(self) -> set[Arrival]:
        """On their way through the ledger."""
        return self._door.arriving

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

    def track(self, job: Job) -> Entry:
        """From here on the job is this lane's to drive."""
        self.hold_job(job)
        entry = job.entry = Entry(
            key=job.key,
            model=job.request.model,
            group=job.group or job.lane_group or self.options.group,
            priority=job.priority,
            lane=self,
            payload=job,
            batch=job.batch,
        )
        self.book.followed.pop(job.key, None)
        return entry

    def hold_job(self, job: Job) -> None:
        """From here on the job is told by this lane."""
        job.lane = self
        self.jobs[job.key] = job
        self.book.live[job.key] = job
        self.book.told_unsent.discard(job.key)

    def untrack(self, job: Job) -> None:
        """The job is nobody's to drive any more."""
        self.followers.discard(job)
        if self.jobs.get(job.key) is job:
            del self.jobs[job.key]
            self.running.discard(job.key)
        if self.book.live.get(job.key) is job:
            del self.book.live[job.key]
            self.book.followed.pop(job.key, None)
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
        self._deadlines.put(job, at)

    def bounding(self, scope: anyio.CancelScope) -> AbstractContextManager[None]:
        """For a scope that gets `GRACE` seconds when the wait is left."""
        return self._grace.bounding(scope)


def _ignore(_: Outcome) -> None:
    """Nobody takes the outcomes as a stream."""
