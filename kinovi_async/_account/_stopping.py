"""How submissions stop: a job is cancelled, a lane pauses, or is told that nothing more goes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anyio

from .._errors import AmbiguousSubmissionError, JobCancelledError, KinoviError
from .._events import SchedulerPaused, SchedulerResumed
from .._ledger import JobState
from .._outcomes import OutcomeStatus
from .._scheduling import State
from ._ending import conclude, end
from ._following import show_accepted, tell_ended

if TYPE_CHECKING:
    from ._job import Job
    from ._lane import Lane

__all__ = [
    "cancel_job",
    "cancel_unsent",
    "forgo",
    "give_back",
    "gone_if_stopped",
    "resume",
    "stop",
    "stop_at",
    "stop_uploads",
]

_log = logging.getLogger("kinovi_async")

# Seconds, for polls every 3 s, after which the jobs of other processes are tried again
# where no scheduler is there to be resumed. A refused submission costs nothing.
GUESTS_PAUSE = 60.0


async def cancel_job(lane: Lane, job: Job) -> bool:
    """Takes a queued job out; False for any other. The caller may go at any time."""
    if job.entry is None or lane.closing:
        return False
    if not (lane.account.state.withdraw(job.entry) or _stop_upload(lane, job)):
        return False
    status, error = job.unsent(
        JobCancelledError(f"job {job.key} was cancelled before it was submitted")
    )

    async def write() -> None:
        await end(lane, job, status, error=error)
        lane.account.pump()

    await lane.carry_out(write)
    return status is OutcomeStatus.CANCELLED


def _stop_upload(lane: Lane, job: Job) -> bool:
    """Breaks off the upload of a job that is to be cancelled; False when there is none."""
    if job.upload.scope is None or job.entry is None:
        return False
    job.upload.scope.cancel()
    job.upload.scope = None
    lane.account.state.dropped(job.entry, anyio.current_time())
    return True


def stop_uploads(lane: Lane) -> None:
    """Breaks off the uploads of a lane that closes; nothing of these jobs was submitted."""
    for job in lane.jobs.values():
        if job.upload.scope is not None:
            job.upload.scope.cancel()


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


async def stop_at(lane: Lane, job: Job, reason: KinoviError) -> None:
    """The job goes back to its place, then everything unsent stops, itself included."""
    assert job.entry is not None  # noqa: S101 - see submit
    lane.account.state.returned(job.entry, anyio.current_time())
    await stop(lane, reason)
    await gone_if_stopped(lane, job)


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
    if lane.stopped is not None:
        return
    lane.stopped = reason
    lane.changed()
    for job in list(lane.jobs.values()):
        if job.key in lane.book.followed:
            await _let_go(lane, job)
        elif job.entry is not None and lane.account.state.withdraw(job.entry):
            await give_back(lane, job)
    for job in list(lane.followers):
        await forgo(lane, job)


async def _let_go(lane: Lane, job: Job) -> None:
    """A handle of a stopped lane waits on for what the runner has sent, and for nothing else."""
    if job.key in lane.running:
        return
    row = await lane.book.ledger.get(job.key)
    if row is None or row.state is JobState.QUEUED:
        await give_back(lane, job)
    elif row.state is JobState.ENDED:
        await tell_ended(job, row)
    elif row.state is JobState.ACCEPTED:
        await show_accepted(lane, job, row)


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


async def gone_if_stopped(lane: Lane, job: Job) -> None:
    """A job that came back after its lane was stopped is not queued any more."""
    if (
        lane.stopped is not None
        and not job.done
        and job.entry is not None
        and lane.account.state.withdraw(job.entry)
    ):
        await give_back(lane, job)
        return
    for other in lane.book.lanes:
        for follower in list(other.followers):
            if follower.leader is job and other.stopped is not None:
                await forgo(other, follower)
