"""A job that another process runs: its handle here follows its row in the ledger."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import anyio

from .._errors import JobCancelledError, LedgerError
from .._events import JobAccepted, JobQueued
from .._ledger import Ending, JobRow, JobState, is_unsent
from .._outcomes import OutcomeStatus
from ._ending import conclude, observe_end
from ._error_json import error_to_json
from ._job import outcome_of

if TYPE_CHECKING:
    from ._job import Job
    from ._lane import Lane

__all__ = [
    "cancel_followed",
    "follow_row",
    "leave_followed",
    "overdue_followed",
    "show_accepted",
    "tell_ended",
]


async def follow_row(lane: Lane, job: Job, row: JobRow, *, seen: int) -> None:
    """From here on the duty tells this job's lane what becomes of the row."""
    book = lane.book
    job.body_hash = row.body_hash
    job.task_id = row.task_id
    lane.hold_job(job)
    book.followed[job.key] = job
    if row.state is JobState.ACCEPTED:
        lane.running.add(job.key)
    elif job.max_queue_wait is not None:  # whoever runs it minds it too, while it lives
        lane.watch(anyio.current_time() + job.max_queue_wait, job)
    if book.duty.ended != seen:
        # Endings were read while the row was: this one's may have been among them.
        row = await book.ledger.get(job.key) or row
        if row.state is JobState.ENDED:
            lane.begin(partial(tell_ended, job, row))  # whoever is told may send jobs
            return
    if row.state is JobState.QUEUED and lane.events.heard:
        queued = JobQueued(
            at=lane.account.wall(),
            key=job.key,
            model=job.request.model,
            cost=job.cost,
            echo=True,
        )
        await lane.events.emit_aside(queued)


async def tell_ended(job: Job, row: JobRow) -> None:
    """The row ended; its handle here tells so."""
    assert job.lane is not None  # noqa: S101 - a followed job has one
    job.task_id = row.task_id
    await conclude(job.lane, job, outcome_of(row, job.request, index=job.index), echo=True)


async def show_accepted(lane: Lane, job: Job, row: JobRow) -> None:
    """The runner's submission was accepted."""
    job.task_id = row.task_id
    lane.running.add(job.key)
    lane.changed()
    if lane.events.heard and row.task_id is not None:
        at = lane.account.wall() if row.accepted_at is None else row.accepted_at
        model = job.request.model
        accepted = JobAccepted(at=at, key=job.key, task_id=row.task_id, model=model, echo=True)
        await lane.events.emit(accepted)


async def overdue_followed(lane: Lane, job: Job) -> None:
    """The queue's deadline passed: its runner minds it too, unless it has no time for it."""
    if job.done or job.task_id is not None:
        return
    text = f"job {job.key} found no slot in {job.max_queue_wait or 0:g} s"
    with anyio.CancelScope(shield=True):
        ended = await _end_queued(lane, job, JobCancelledError(text))
    if not ended and not job.done:
        # On the wire: it may be refused and come back.
        lane.watch(anyio.current_time() + lane.account.second, job)


async def cancel_followed(lane: Lane, job: Job) -> bool:
    """Ends a row that is still queued; False for any other, and when it may have been accepted.

    The runner finds out at its intent at the latest. The caller may go at any time.

    Raises:
        LedgerError: it cannot be written; the job goes on.
    """
    ended = False
    failure: LedgerError | None = None
    error = JobCancelledError(f"job {job.key} was cancelled before it was submitted")

    async def write() -> None:
        nonlocal ended, failure
        try:
            ended = await _end_queued(lane, job, error)
        except LedgerError as exc:  # another process's trouble, perhaps; not this lane's end
            failure = exc

    if lane.closing:
        return False
    await lane.carry_out(write)
    if failure is not None:
        raise failure
    return ended


async def _end_queued(lane: Lane, job: Job, error: JobCancelledError) -> bool:
    ledger = lane.book.ledger
    row = await ledger.get(job.key)
    if row is None or not is_unsent(row):
        return False
    ending = Ending(OutcomeStatus.CANCELLED, at=lane.account.wall(), error=error_to_json(error))
    row = await ledger.end(job.key, ending)
    if row is None:
        return False
    if job.entry is not None:  # taken over in the meantime
        lane.account.state.withdraw(job.entry)
    await conclude(lane, job, outcome_of(row, job.request, index=job.index, error=error))
    lane.account.pump()
    return True


async def leave_followed(lane: Lane, job: Job) -> None:
    """Nobody waits here any more: tells the handle how the job stands, and lets it be.

    What this process entered goes on without it, except where a lane cancels what it leaves.
    """
    ledger = lane.book.ledger
    row = await ledger.get(job.key)
    if lane.options.cancel_on_leave and row is not None and is_unsent(row):
        error = JobCancelledError(f"job {job.key} was not submitted before its wait was left")
        ending = Ending(OutcomeStatus.CANCELLED, at=lane.account.wall(), error=error_to_json(error))
        row = await ledger.end(job.key, ending)
        if row is not None:
            observe_end(lane, job, row, error=error)
        else:
            row = await ledger.get(job.key)
    lane.untrack(job)
    if row is None or row.state is not JobState.ENDED:
        job.task_id = None if row is None else row.task_id
        job.settle(job.abandoned())
        return
    outcome = outcome_of(row, job.request, index=job.index)
    lane.counts[outcome.status] += 1
    job.settle(outcome)
    lane.deliver(outcome)
