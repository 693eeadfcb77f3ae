"""How jobs end, and how a lane stops: written first, then told."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anyio

from .._errors import (
    AmbiguousSubmissionError,
    JobCancelledError,
    KinoviError,
    LedgerError,
    WaitTimeoutError,
)
from .._events import JobEnded, SchedulerPaused, SchedulerResumed
from .._ledger import Ending, JobState
from .._outcomes import OutcomeStatus
from ._error_json import error_to_json
from ._job import outcome_of

if TYPE_CHECKING:
    from .._outcomes import Outcome
    from ._job import Job
    from ._lane import Lane

__all__ = [
    "cancel_job",
    "cancel_unsent",
    "close_row",
    "conclude",
    "end",
    "expire",
    "give_back",
    "leave_behind",
    "overdue",
    "resume",
    "stop",
]

_log = logging.getLogger("kinovi_async")


async def end(
    lane: Lane,
    job: Job,
    status: OutcomeStatus,
    *,
    error: KinoviError | None = None,
    ending: Ending | None = None,
) -> None:
    """Writes the end of a job, then tells it.

    Raises:
        LedgerError: it could not be written; the job is as it was.
    """
    if job.done:
        return
    if ending is None:
        at = lane.account.wall()
        ending = Ending(status, at=at, error=error_to_json(error) if error else None)
    row = await lane.book.ledger.end(job.key, ending)
    await lane.count_money()
    if row is None:  # ended elsewhere: what the ledger says stands
        row = await lane.book.ledger.get(job.key)
    if row is None or row.state is not JobState.ENDED:
        msg = f"the ledger lost track of job {job.key}"
        raise LedgerError(msg, task_id=job.task_id)
    await conclude(lane, job, outcome_of(row, job.request, index=job.index, error=error))


async def conclude(lane: Lane, job: Job, outcome: Outcome) -> None:
    """Tells everybody how a job ended."""
    if job.done:
        return
    lane.untrack(job)
    lane.counts[outcome.status] += 1
    try:
        if lane.options.on_event is not None:
            await lane.emit(JobEnded(at=lane.account.wall(), outcome=outcome))
    finally:  # also when the wait is left while a handler is at work
        job.settle(outcome)
        lane.deliver(outcome)
        lane.changed()


async def overdue(lane: Lane, job: Job) -> None:
    """A deadline passed: of the queue, when the job is still in it, else of the wait."""
    if job.done or job.entry is None:
        return
    now = anyio.current_time()
    if job.task_id is not None:
        # Not when it was the queue's deadline and the job has just been accepted.
        if job.accepted_at is not None and now >= job.accepted_at + lane.max_wait(job):
            await expire(lane, job, _waited(job, lane.max_wait(job)))
    elif lane.account.state.withdraw(job.entry):
        text = f"job {job.key} found no slot in {job.max_queue_wait or 0:g} s"
        with anyio.CancelScope(shield=True):
            await end(lane, job, OutcomeStatus.CANCELLED, error=JobCancelledError(text))
    else:  # on the wire: it may be refused and come back
        lane.watch(now + lane.account.second, job)


def _waited(job: Job, seconds: float) -> WaitTimeoutError:
    return WaitTimeoutError(
        f"task {job.task_id} was still running after {seconds:g} s; it is paid for: wait again",
        task_id=job.task_id,
    )


async def expire(lane: Lane, job: Job, error: KinoviError) -> None:
    """We stop waiting for an accepted task; its id is kept."""
    assert job.entry is not None  # noqa: S101 - a running job has one
    with anyio.CancelScope(shield=True):
        lane.account.state.forget(job.entry, anyio.current_time())
        await end(lane, job, OutcomeStatus.EXPIRED, error=error)


async def cancel_job(lane: Lane, job: Job) -> bool:
    """Takes a queued job out; False for any other. The caller may go at any time."""
    if job.entry is None or lane.closing or not lane.account.state.withdraw(job.entry):
        return False
    error = JobCancelledError(f"job {job.key} was cancelled before it was submitted")

    async def write() -> None:
        await end(lane, job, OutcomeStatus.CANCELLED, error=error)
        lane.account.pump()

    await lane.carry_out(write)
    return True


async def stop(lane: Lane, reason: KinoviError) -> None:
    """Submits nothing more: pauses, or tells what is unsent as cancelled.

    In a durable ledger the unsent jobs stay queued, for the next run.
    """
    if not lane.options.pause_on_stop or lane.draining:
        await cancel_unsent(lane, reason)
    elif lane.paused is None and lane.stopped is None:
        lane.paused = reason
        lane.account.state.pause_lane(lane)
        _log.error("submissions are paused: %s", reason)
        await lane.emit(SchedulerPaused(at=lane.account.wall(), reason=reason))


async def resume(lane: Lane) -> None:
    """Goes on after a pause."""
    if lane.paused is not None and lane.stopped is None:
        lane.paused = None
        lane.account.state.resume_lane(lane)
        await lane.emit(SchedulerResumed(at=lane.account.wall()))
        lane.account.pump()


async def cancel_unsent(lane: Lane, reason: KinoviError) -> None:
    """Tells what is queued as cancelled, now and from here on."""
    if lane.stopped is not None:
        return
    lane.stopped = reason
    lane.changed()
    for job in list(lane.jobs.values()):
        if job.entry is not None and lane.account.state.withdraw(job.entry):
            await give_back(lane, job)


async def give_back(lane: Lane, job: Job) -> None:
    """Tells a job that is out of the queue as cancelled by what stopped the lane."""
    assert lane.stopped is not None  # noqa: S101 - only after cancel_unsent
    if lane.book.durable and not lane.options.cancel_on_leave:
        await conclude(lane, job, job.ended_as(OutcomeStatus.CANCELLED, lane.stopped))
    else:
        await end(lane, job, OutcomeStatus.CANCELLED, error=lane.stopped)


async def leave_behind(lane: Lane) -> None:
    """Gives up what is left when a lane ends: nobody drives it any more."""
    for arrival in list(lane.arriving):  # never began
        for job in arrival.jobs:
            job.arrival = None
            job.settle(_left_behind(lane, job))
        arrival.done.set()
    for job in list(lane.followers):
        job.settle(_left_behind(lane, job))
    lane.followers.clear()
    for job in list(lane.jobs.values()):
        outcome = _left_behind(lane, job)
        forgotten = job.task_id is None and lane.options.cancel_on_leave
        try:
            if job.task_id is not None and not lane.book.durable:
                _log.warning(
                    "job %s is no longer waited for; its task %s runs on and is paid for",
                    job.key,
                    job.task_id,
                )
            if lane.crash is None and (forgotten or not lane.book.durable):
                await close_row(lane, job, outcome)
        finally:
            lane.untrack(job)
            job.settle(outcome)


def _left_behind(lane: Lane, job: Job) -> Outcome:
    reason = lane.crash if isinstance(lane.crash, KinoviError) else None
    if job.task_id is not None:
        return job.ended_as(OutcomeStatus.EXPIRED, reason) if reason else job.abandoned()
    if job.sending:
        text = f"job {job.key}: its submission was cut off; it may have been accepted"
        return job.ended_as(OutcomeStatus.AMBIGUOUS, AmbiguousSubmissionError(text))
    reason = reason or lane.stopped
    return job.ended_as(OutcomeStatus.CANCELLED, reason) if reason else job.abandoned()


async def close_row(lane: Lane, job: Job, outcome: Outcome) -> None:
    """Ends a row that no later process shall take up; a ledger that cannot is told of."""
    error = error_to_json(outcome.error) if outcome.error else None
    try:
        await lane.book.ledger.end(
            job.key, Ending(outcome.status, at=lane.account.wall(), error=error)
        )
    except LedgerError as failure:
        _log.warning("job %s stays unfinished in the ledger: %s", job.key, failure)
