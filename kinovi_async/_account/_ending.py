"""How jobs end, and how a lane stops: written first, then told."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anyio

from .._crash_points import point
from .._errors import (
    AmbiguousSubmissionError,
    JobCancelledError,
    KinoviError,
    LedgerError,
    WaitTimeoutError,
)
from .._events import JobEnded, SchedulerPaused, SchedulerResumed
from .._ledger import Ending, JobState
from .._outcomes import AttemptResult, OutcomeStatus
from .._scheduling import State
from ._error_json import error_to_json
from ._job import outcome_of
from ._uploading import stop_upload

if TYPE_CHECKING:
    from .._ledger import JobRow
    from .._outcomes import Outcome
    from ._job import Job
    from ._lane import Lane

__all__ = [
    "cancel_job",
    "cancel_unsent",
    "close_row",
    "conclude",
    "end",
    "end_refused",
    "expire",
    "forgo",
    "give_back",
    "observe_end",
    "overdue",
    "resume",
    "stop",
]

_log = logging.getLogger("kinovi_async")

# Seconds, for polls every 3 s, after which the jobs of other processes are tried again
# where no scheduler is there to be resumed. A refused submission costs nothing.
GUESTS_PAUSE = 60.0


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
    if job.done or job.leaving:
        return
    if ending is None:
        at = lane.account.wall()
        ending = Ending(status, at=at, error=error_to_json(error) if error else None)
    point("ending: before the ledger")
    row = await lane.book.ledger.end(job.key, ending)
    point("ending: in the ledger")
    await lane.book.count_money()
    echo = row is None
    if row is None:  # ended elsewhere: what the ledger says stands
        row = await lane.book.ledger.get(job.key)
    if row is None or row.state is not JobState.ENDED:
        msg = f"the ledger lost track of job {job.key}"
        raise LedgerError(msg, task_id=job.task_id)
    outcome = outcome_of(row, job.request, index=job.index, error=error)
    await conclude(lane, job, outcome, echo=echo)


async def end_refused(lane: Lane, job: Job, error: KinoviError, *, sent: bool = False) -> None:
    """Ends a job that the server (`sent`) or our own check refused.

    It is `rejected`, unless an earlier submission of it may have been accepted.
    """
    status, told = job.refused(error)
    ending = Ending(
        status,
        at=lane.account.wall(),
        error=error_to_json(told),
        attempt_result=AttemptResult.REJECTED if sent else None,
        attempt_detail=error.message if sent else None,
    )
    await end(lane, job, status, error=told, ending=ending)


async def conclude(lane: Lane, job: Job, outcome: Outcome, *, echo: bool = False) -> None:
    """Tells everybody how a job ended; `echo`: it was written, and told, elsewhere."""
    if job.done or job.leaving:
        return
    job.leaving = True
    lane.untrack(job)
    lane.counts[outcome.status] += 1
    try:
        if lane.events.heard:
            await lane.events.emit(_ended(lane, job, outcome, echo=echo))
    finally:  # also when the wait is left while a handler is at work
        job.settle(outcome)
        lane.deliver(outcome)
        lane.changed()


def _ended(lane: Lane, job: Job, outcome: Outcome, *, echo: bool = False) -> JobEnded:
    refusals = 0 if job.entry is None else job.entry.refusals
    at = lane.account.wall()
    return JobEnded(at=at, outcome=outcome, refusals=refusals, stamp=job.stamp, echo=echo)


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
        status, error = job.unsent(JobCancelledError(text))
        with anyio.CancelScope(shield=True):
            await end(lane, job, status, error=error)
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
    if job.entry is None or lane.closing:
        return False
    if not (lane.account.state.withdraw(job.entry) or stop_upload(lane, job)):
        return False
    status, error = job.unsent(
        JobCancelledError(f"job {job.key} was cancelled before it was submitted")
    )

    async def write() -> None:
        await end(lane, job, status, error=error)
        lane.account.pump()

    await lane.carry_out(write)
    return status is OutcomeStatus.CANCELLED


async def stop(lane: Lane, reason: KinoviError) -> None:
    """Submits nothing more: pauses, or tells what is unsent as cancelled.

    In a durable ledger the unsent jobs stay queued, for the next run.
    """
    if not lane.options.pause_on_stop or lane.draining:
        await cancel_unsent(lane, reason)
    elif _may_pause(lane):
        _log.error("submissions are paused: %s", reason)
        await _pause(lane, reason)
        other = lane.guests if lane.host is None else lane.host
        if other is not None and other.options.pause_on_stop and _may_pause(other):
            await _pause(other, reason)  # it concerns the account: resume() is for both
        elif lane.host is not None and not isinstance(reason, AmbiguousSubmissionError):
            lane.begin(lambda: _try_later(lane, reason))  # nobody has a handle to resume it
        if lane.host is not None:
            await _stop_followers(lane, reason)


async def _stop_followers(guests: Lane, reason: KinoviError) -> None:
    """Whoever here waits for jobs of other processes ends at what would end his own."""
    for lane in guests.book.lanes:
        waits = any(job.leader and job.leader.lane is guests for job in lane.followers)
        if waits and (lane.draining or not lane.options.pause_on_stop):
            await cancel_unsent(lane, reason)


def _may_pause(lane: Lane) -> bool:
    return lane.paused is None and lane.stopped is None and not lane.draining


async def _pause(lane: Lane, reason: KinoviError) -> None:
    lane.paused = reason
    lane.account.state.pause_lane(lane)
    # A lane for other processes' jobs pauses along with the one that it runs in.
    echo = lane.host is not None
    await lane.events.emit(SchedulerPaused(at=lane.account.wall(), reason=reason, echo=echo))


async def _try_later(lane: Lane, reason: KinoviError) -> None:
    await anyio.sleep(GUESTS_PAUSE * lane.account.second)
    if lane.paused is reason and lane.host is not None and not lane.host.leaving:
        await resume(lane)


async def resume(lane: Lane) -> None:
    """Goes on after a pause, with the lane that paused along with it."""
    for each in (lane, lane.host, lane.guests):
        if each is not None and each.paused is not None and each.stopped is None:
            each.paused = None
            each.account.state.resume_lane(each)
            await each.events.emit(SchedulerResumed(at=each.account.wall()))
    lane.account.pump()


async def cancel_unsent(lane: Lane, reason: KinoviError) -> None:
    """Tells what is queued as cancelled, now and from here on."""
    from ._following import let_go  # it imports this module

    if lane.stopped is not None:
        return
    lane.stopped = reason
    lane.changed()
    for job in list(lane.jobs.values()):
        if job.key in lane.book.followed:
            await let_go(lane, job)
        elif job.entry is not None and lane.account.state.withdraw(job.entry):
            await give_back(lane, job)
    for job in list(lane.followers):
        await forgo(lane, job)


async def forgo(lane: Lane, job: Job) -> None:
    """A handle of a stopped lane does not wait for what another lane has not sent either."""
    assert lane.stopped is not None  # noqa: S101 - only after cancel_unsent
    leader = job.leader
    if leader is None or leader.lane is None or leader.leaving or not _is_queued(leader):
        return
    job.leader = None
    await conclude(lane, job, job.ended_as(*leader.unsent(lane.stopped)))
    other = leader.lane
    if other.host is not None and leader.entry and other.account.state.withdraw(leader.entry):
        # Told here as not sent, so it is another process's to send.
        other.book.told_unsent.add(leader.key)
        await conclude(other, leader, leader.ended_as(*leader.unsent(lane.stopped)))


def _is_queued(job: Job) -> bool:
    assert job.lane is not None  # noqa: S101 - see forgo
    if job.key in job.lane.book.followed:
        return job.key not in job.lane.running
    return job.entry is not None and job.entry.state is State.QUEUED


async def give_back(lane: Lane, job: Job) -> None:
    """Tells a job that is out of the queue as cancelled by what stopped the lane."""
    assert lane.stopped is not None  # noqa: S101 - only after cancel_unsent
    status, error = job.unsent(lane.stopped)
    if lane.book.durable and not lane.options.cancel_on_leave:
        lane.book.told_unsent.add(job.key)
        await conclude(lane, job, job.ended_as(status, error))
    else:
        await end(lane, job, status, error=error)


async def close_row(lane: Lane, job: Job, outcome: Outcome) -> None:
    """Ends a row that no later process shall take up; a ledger that cannot is told of."""
    error = error_to_json(outcome.error) if outcome.error else None
    try:
        row = await lane.book.ledger.end(
            job.key, Ending(outcome.status, at=lane.account.wall(), error=error)
        )
    except LedgerError as failure:
        _log.warning("job %s stays unfinished in the ledger: %s", job.key, failure)
        return
    if row is not None:
        observe_end(lane, job, row, error=outcome.error)


def observe_end(lane: Lane, job: Job, row: JobRow, *, error: KinoviError | None = None) -> None:
    """Tells the client's observer of an end that was written here, and that `conclude` does not."""
    if lane.account.observer is not None:
        written = outcome_of(row, job.request, index=job.index, error=error)
        lane.events.observe(_ended(lane, job, written))
