"""How jobs come into a lane: through the ledger, in whatever state it has them."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import anyio

from .._crash_points import point
from .._errors import BudgetExceededError, KinoviError, LedgerError
from .._events import JobEnded, JobQueued
from .._ledger import JobRow, JobState
from .._outcomes import OutcomeStatus
from ._ending import close_row, conclude
from ._following import follow_row
from ._job import outcome_of
from ._stopping import forgo
from ._terms import Terms

if TYPE_CHECKING:
    from ._job import Job
    from ._lane import Lane

__all__ = ["Arrival", "Door", "look_again", "place", "price"]

# Jobs that go through the ledger together, at most: the first of them waits for the last.
MOST_TOGETHER = 64


class Arrival:
    """Jobs on their way into a lane; whoever sent them may wait for `done`, or not."""

    __slots__ = ("done", "error", "jobs", "replace_unsent", "rerun", "unheard")

    def __init__(
        self,
        jobs: Sequence[Job],
        *,
        rerun: Collection[OutcomeStatus] = (),
        replace_unsent: bool = False,
    ) -> None:
        self.jobs = jobs
        self.rerun = rerun
        self.replace_unsent = replace_unsent
        self.unheard = False
        """Nobody waits for `done`: the handles must tell what went wrong."""
        self.done = anyio.Event()
        self.error: KinoviError | None = None
        for job in jobs:
            job.arrival = self

    def goes_with(self, other: Arrival) -> bool:
        """Whether the ledger is to be asked the same about both."""
        return set(self.rerun) == set(other.rerun) and self.replace_unsent == other.replace_unsent

    def price(self, lane: Lane, *, check: bool = True) -> None:
        """Sets what the jobs are expected to cost, and what else their row is to say.

        Raises:
            BudgetExceededError: with a budget, a price is unknown.
        """
        for job in self.jobs:
            price(lane, job)
            if job.terms is None and lane.book.durable:
                job.terms = Terms.of(
                    lane.options,
                    max_wait=job.max_wait,
                    max_queue_wait=job.max_queue_wait,
                    stamp=job.stamp,
                    api_generation=lane.account.api_generation,
                )
            if check and job.cost is None and lane.options.budget is not None:
                raise unknown_price(job)


class Door:
    """Where jobs come in, one arrival after the other: so they stand in the queue.

    Those that came while the ledger was busy go through it together, in that order.
    """

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._line: deque[Arrival] = deque()
        self.arriving: set[Arrival] = set()
        """On their way through the ledger."""
        self.jobs = 0
        """How many they are."""

    def take(self, arrival: Arrival) -> None:
        """Lets it in as soon as those before it are."""
        self.arriving.add(arrival)
        self.jobs += len(arrival.jobs)
        self._line.append(arrival)
        if len(self._line) == 1:
            self._lane.begin(self._let_in)

    def has_let_in(self, arrival: Arrival) -> None:
        """It is through, or was turned away."""
        self.arriving.discard(arrival)
        self.jobs -= len(arrival.jobs)

    async def _let_in(self) -> None:
        with anyio.CancelScope(shield=True):
            # A ledger that is busy keeps each waiting for long; whoever is left is told then.
            while self._line and self._lane.crash is None:
                together = self._together()
                await enter(self._lane, together)
                for _ in together:
                    self._line.popleft()

    def _together(self) -> list[Arrival]:
        """The first, and those behind it that the ledger can take with it: of other keys."""
        together = [self._line[0]]
        keys = {job.key for job in together[0].jobs}
        for arrival in islice(self._line, 1, None):
            size = len(keys) + len(arrival.jobs)
            keys.update(job.key for job in arrival.jobs)
            if size > MOST_TOGETHER or len(keys) < size or not arrival.goes_with(together[0]):
                break
            together.append(arrival)
        return together


def price(lane: Lane, job: Job) -> None:
    """Sets what a job is expected to cost, in the generation of the API in which it goes out."""
    job.speak(lane.account.api_generation)
    if job.cost is None:
        job.cost = lane.options.assume_cost
    if job.cost is None and job.terms is not None:
        job.cost = job.terms.assume_cost


def unknown_price(job: Job) -> BudgetExceededError:
    """What a budget says to a request whose price nobody knows."""
    return BudgetExceededError(
        f"the price of model {job.request.model} is unknown; a budget needs one"
    )


async def enter(lane: Lane, arrivals: Sequence[Arrival]) -> None:
    """Takes arrivals through the ledger, all at once; what is wrong with one is its `error`."""
    now = lane.account.wall()
    seen = lane.book.duty.ended
    point("arrival: before the ledger")
    try:
        rows = await lane.book.ledger.add(
            [job.to_ledger(now) for arrival in arrivals for job in arrival.jobs],
            rerun=arrivals[0].rerun,
            replace_unsent=arrivals[0].replace_unsent,
        )
        point("arrival: in the ledger")
    except KinoviError as error:
        half = len(arrivals) // 2
        if half and lane.crash is None:  # nothing was entered, because of one of them
            await enter(lane, arrivals[:half])
            await enter(lane, arrivals[half:])
            return
        for arrival in arrivals:
            _come_in(lane, arrival, error)
        return
    rest = iter(rows)
    for arrival in arrivals:
        refusal: KinoviError | None = None
        try:
            for job, row in zip(arrival.jobs, list(islice(rest, len(arrival.jobs))), strict=True):
                await start(lane, job, row, seen=seen)
        except KinoviError as error:
            refusal = error
        finally:
            _come_in(lane, arrival, refusal)


def _come_in(lane: Lane, arrival: Arrival, error: KinoviError | None) -> None:
    arrival.error = error
    if error is not None and arrival.unheard:
        _tell(lane, arrival.jobs, error)
    lane.let_in(arrival)
    for job in arrival.jobs:
        job.arrival = None
    arrival.done.set()
    lane.changed()
    lane.account.pump()


def _tell(lane: Lane, jobs: Sequence[Job], error: KinoviError) -> None:
    """Nothing of these was sent now; what an earlier run accepted is still running."""
    refused = OutcomeStatus.CANCELLED if isinstance(error, LedgerError) else OutcomeStatus.REJECTED
    for job in jobs:
        if not job.done:
            status = refused if job.task_id is None else OutcomeStatus.EXPIRED
            lane.counts[status] += 1
            job.settle(job.ended_as(status, error))


async def start(lane: Lane, job: Job, row: JobRow, *, seen: int) -> None:
    """Goes on with a job from where the ledger has it.

    Args:
        lane: Whose job it is.
        job: The job.
        row: Its row, read just now.
        seen: How far endings had been read (`Duty.ended`) before the row was.
    """
    book = lane.book
    live = book.live.get(job.key)
    if live is not None and live is not job:
        _follow(lane, job, live)
        return
    if row.state is JobState.SENDING and book.runs:
        row = await _no_longer_sending(lane, row)
    row = await book.put_right(row)
    if row.state is JobState.ENDED and row.status is OutcomeStatus.EXPIRED:
        job.task_id = row.task_id
        row = await book.ledger.adopt(job.key, at=lane.account.wall())
        point("arrival: adopted")
    if row.state is JobState.ENDED:
        outcome = outcome_of(row, job.request, index=job.index)
        if lane.events.heard:
            # Told when it happened; whoever counts jobs has to hear of this one all the same.
            at = lane.account.wall()
            await lane.events.emit_aside(
                JobEnded(at=at, outcome=outcome, stamp=job.stamp, echo=True)
            )
        job.settle(outcome)
        lane.deliver(outcome)
        return
    live = book.live.get(job.key)  # again: somebody may have been faster
    if live is not None and live is not job:
        _follow(lane, job, live)
    elif lane.stopped is not None and row.state is JobState.QUEUED:
        job.recall_unclear(row)
        outcome = job.ended_as(*job.unsent(lane.stopped))
        if not book.durable or lane.options.cancel_on_leave:
            await close_row(lane, job, outcome)
        else:
            book.told_unsent.add(job.key)
        job.settle(outcome)
        lane.deliver(outcome)
    elif book.runs:
        await _drive(lane, job, row)
    else:
        await follow_row(lane, job, row, seen=seen)


async def look_again(lane: Lane, job: Job) -> None:
    """Goes on with a job that left the queue because its row has moved: who moved it is right.

    Raises:
        LedgerError: somebody else sends it, without the lease.
    """
    row = await lane.book.ledger.get(job.key)
    if row is None or row.state is JobState.SENDING:
        msg = f"job {job.key} is being sent by another process"
        raise LedgerError(msg)
    if row.status is not None and row.status is not OutcomeStatus.EXPIRED:
        await conclude(lane, job, outcome_of(row, job.request, index=job.index), echo=True)
        return
    lane.untrack(job)
    if row.state is JobState.QUEUED:
        job.take_over(row)
    lane.followers.add(job)  # until it has found its place: the lane is not done
    await start(lane, job, row, seen=lane.book.duty.ended)
    if job.leader is None:
        lane.followers.discard(job)


async def _no_longer_sending(lane: Lane, row: JobRow) -> JobRow:
    """A row that was on the wire when it was read, and is live no more."""
    ledger = lane.book.ledger
    row = await ledger.get(row.key) or row
    if row.state is not JobState.SENDING:
        return row
    return await lane.book.settle_dangling(lane, row) or row


async def _drive(lane: Lane, job: Job, row: JobRow) -> None:
    place(lane, job, row)
    if row.state is JobState.QUEUED and lane.events.heard:
        queued = JobQueued(
            at=lane.account.wall(), key=job.key, model=job.request.model, cost=job.cost
        )
        await lane.events.emit_aside(queued)


def place(lane: Lane, job: Job, row: JobRow) -> None:
    """Puts a job into the account's queue, or among its running tasks, as its row says."""
    was_followed = job.key in lane.book.followed
    job.body_hash = row.body_hash
    if row.body == job.body:
        job.body = row.body  # one copy of each queued request, not two
    entry = lane.track(job)
    lane.running.discard(job.key)
    now = anyio.current_time()
    wall = lane.account.wall()
    if row.state is JobState.ACCEPTED:
        job.task_id = row.task_id
        if row.task_id is not None:
            lane.account.note_task(row.task_id, job.key)
        lane.account.state.adopt(entry, now, age=max(0.0, wall - (row.accepted_at or wall)))
        lane.begin_wait(job)
        return
    job.task_id = None
    job.recall_unclear(row)
    lane.account.state.enqueue(entry, now)
    # A job that was followed has its deadline in the queue already.
    if job.max_queue_wait is not None and not was_followed:
        waited = max(0.0, wall - row.created_at) if job.taken_up and not row.attempts else 0.0
        lane.watch(now + job.max_queue_wait - waited, job)


def _follow(lane: Lane, job: Job, live: Job) -> None:
    """The key is driven under another handle: this one tells the same."""
    job.leader = live
    job.lane = lane
    lane.followers.add(job)

    async def follow() -> None:
        outcome = await live.outcome()
        with anyio.CancelScope(shield=True):
            if job.done:  # told already: see forgo
                return
            job.leader = None
            job.task_id = outcome.task_id
            if outcome.seq is not None:
                await conclude(lane, job, replace(outcome, index=job.index), echo=True)
            elif not lane.closing:  # given up by whoever drove it: now it is ours
                again = lane.arrive([job], rerun={OutcomeStatus.CANCELLED}, check_price=False)
                again.unheard = True
                lane.followers.discard(job)

    lane.begin(follow)
    if lane.stopped is not None:
        lane.begin(partial(forgo, lane, job))  # whoever is told may send jobs
