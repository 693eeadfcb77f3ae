"""How jobs come into a lane: through the ledger, in whatever state it has them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from .._errors import BudgetExceededError, KinoviError, LedgerError
from .._events import JobQueued
from .._ledger import JobRow, JobState
from .._outcomes import OutcomeStatus
from ._ending import close_row, conclude
from ._job import outcome_of

if TYPE_CHECKING:
    from ._job import Job
    from ._lane import Lane

__all__ = ["Arrival", "enter", "start"]


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

    def price(self, lane: Lane, *, check: bool = True) -> None:
        """Sets what the jobs are expected to cost.

        Raises:
            BudgetExceededError: with a budget, a price is unknown.
        """
        for job in self.jobs:
            if job.cost is None:
                job.cost = lane.options.assume_cost
            if check and job.cost is None and lane.options.budget is not None:
                raise unknown_price(job)


def unknown_price(job: Job) -> BudgetExceededError:
    """What a budget says to a request whose price nobody knows."""
    return BudgetExceededError(
        f"the price of model {job.request.model} is unknown; a budget needs one"
    )


async def enter(lane: Lane, arrival: Arrival) -> None:
    """Takes an arrival through the ledger; what goes wrong is its `error`."""
    now = lane.account.wall()
    try:
        rows = await lane.book.ledger.add(
            [job.to_ledger(now) for job in arrival.jobs],
            rerun=arrival.rerun,
            replace_unsent=arrival.replace_unsent,
        )
        for job, row in zip(arrival.jobs, rows, strict=True):
            await start(lane, job, row)
    except KinoviError as error:
        arrival.error = error
        if arrival.unheard:
            _tell(lane, arrival.jobs, error)
    finally:
        lane.arriving.discard(arrival)
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


async def start(lane: Lane, job: Job, row: JobRow) -> None:
    """Goes on with a job from where the ledger has it."""
    live = lane.book.live.get(job.key)
    if live is not None and live is not job:
        _follow(lane, job, live)
        return
    if row.state is JobState.SENDING:
        row = await _no_longer_sending(lane, row)
    if row.state is JobState.ENDED and row.status is OutcomeStatus.EXPIRED:
        job.task_id = row.task_id
        row = await lane.book.ledger.adopt(job.key, at=lane.account.wall())
    if row.state is JobState.ENDED:
        outcome = outcome_of(row, job.request, index=job.index)
        job.settle(outcome)
        lane.deliver(outcome)
        return
    live = lane.book.live.get(job.key)  # again: somebody may have been faster
    if live is not None and live is not job:
        _follow(lane, job, live)
    elif lane.stopped is not None and row.state is JobState.QUEUED:
        outcome = job.ended_as(OutcomeStatus.CANCELLED, lane.stopped)
        if not lane.book.durable or lane.options.cancel_on_leave:
            await close_row(lane, job, outcome)
        job.settle(outcome)
        lane.deliver(outcome)
    else:
        await _drive(lane, job, row)


async def _no_longer_sending(lane: Lane, row: JobRow) -> JobRow:
    """A row that was on the wire when it was read, and is live no more."""
    ledger = lane.book.ledger
    if row.execution == lane.book.execution:
        row = await ledger.get(row.key) or row
    if row.state is not JobState.SENDING:
        return row
    task_id = lane.book.unwritten.pop(row.key, None)
    if task_id is not None:
        at = lane.account.wall()
        await ledger.accepted(row.key, lane.book.execution, task_id, at=at)
        return await ledger.get(row.key) or row
    return await lane.book.settle_dangling(row) or row


async def _drive(lane: Lane, job: Job, row: JobRow) -> None:
    job.body_hash = row.body_hash
    if row.body == job.body:
        job.body = row.body  # one copy of each queued request, not two
    entry = lane.track(job)
    now = anyio.current_time()
    if row.state is JobState.ACCEPTED:
        wall = lane.account.wall()
        job.task_id = row.task_id
        lane.account.state.adopt(entry, now, age=max(0.0, wall - (row.accepted_at or wall)))
        lane.begin_wait(job)
        return
    lane.account.state.enqueue(entry, now)
    if job.max_queue_wait is not None:
        lane.watch(now + job.max_queue_wait, job)
    if lane.options.on_event is not None:
        await lane.emit(JobQueued(at=lane.account.wall(), key=job.key, model=job.request.model))


def _follow(lane: Lane, job: Job, live: Job) -> None:
    """The key is driven under another handle: this one tells the same."""
    job.leader = live
    job.lane = lane
    lane.followers.add(job)

    async def follow() -> None:
        outcome = await live.outcome()
        with anyio.CancelScope(shield=True):
            job.leader = None
            job.task_id = outcome.task_id
            if outcome.seq is not None:
                await conclude(lane, job, replace(outcome, index=job.index))
            elif not lane.closing:  # given up by whoever drove it: now it is ours
                again = lane.arrive([job], rerun={OutcomeStatus.CANCELLED}, check_price=False)
                again.unheard = True
                lane.followers.discard(job)

    lane.begin(follow)
