"""How jobs come into a lane: through the ledger, in whatever state it has them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import anyio

from .._errors import BudgetExceededError, KinoviError
from .._events import JobQueued
from .._ledger import JobRow, JobState
from .._outcomes import OutcomeStatus
from ._job import outcome_of

if TYPE_CHECKING:
    from ._job import Job
    from ._lane import Lane

__all__ = ["enter", "enter_alone", "start"]


async def enter(
    lane: Lane,
    jobs: Sequence[Job],
    *,
    rerun: Collection[OutcomeStatus] = (),
    replace_unsent: bool = False,
) -> list[Job]:
    """Enters jobs; see `Lane.add`. Answers the job that each key belongs to."""
    for job in jobs:
        _price(lane, job)
    now = lane.account.wall()
    rows = await lane.book.ledger.add(
        [job.to_ledger(now) for job in jobs], rerun=rerun, replace_unsent=replace_unsent
    )
    found = [await start(lane, job, row) for job, row in zip(jobs, rows, strict=True)]
    lane.account.pump()
    return found


async def enter_alone(lane: Lane, job: Job) -> None:
    """Enters one job whose caller is gone already; its handle tells what became of it."""
    found = job
    try:
        (found,) = await enter(lane, [job])
    except KinoviError as error:
        lane.counts[OutcomeStatus.REJECTED] += 1
        job.settle(job.ended_as(OutcomeStatus.REJECTED, error))
    lane.arriving.discard(job)
    lane.changed()
    if found is not job:  # the key is live already: one job, two handles
        job.settle(await found.outcome())


def _price(lane: Lane, job: Job) -> None:
    if job.cost is None:
        job.cost = lane.options.assume_cost
    if job.cost is None and lane.options.budget is not None:
        msg = f"the price of model {job.request.model} is unknown; a budget needs one"
        raise BudgetExceededError(msg)


async def start(lane: Lane, job: Job, row: JobRow) -> Job:
    """Drives a job from where the ledger has it; answers the job the key belongs to."""
    live = lane.book.live.get(job.key)
    if live is not None:
        return live
    if row.state is JobState.SENDING:
        row = await _no_longer_sending(lane, row)
    if row.state is JobState.ENDED and row.status is OutcomeStatus.EXPIRED:
        row = await lane.book.ledger.adopt(job.key, at=lane.account.wall())
    if row.state is JobState.ENDED:
        job.settle(outcome_of(row, job.request, index=job.index))
        return job
    if lane.stopped is not None and row.state is JobState.QUEUED:
        job.settle(job.ended_as(OutcomeStatus.CANCELLED, lane.stopped))
        return job
    live = lane.book.live.get(job.key)  # again: another call may have been faster
    if live is not None:
        return live
    await _drive(lane, job, row)
    return job


async def _no_longer_sending(lane: Lane, row: JobRow) -> JobRow:
    """A row that was on the wire when it was read, and is live no more."""
    if row.execution != lane.book.execution:
        return await lane.book.settle_dangling(row) or row
    return await lane.book.ledger.get(row.key) or row


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
