"""What becomes of the jobs that a lane leaves behind when its wait ends."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from .._crash_points import point
from .._errors import AmbiguousSubmissionError, ConfigurationError, KinoviError, LedgerError
from .._outcomes import OutcomeStatus
from ._ending import close_row
from ._following import leave_followed

if TYPE_CHECKING:
    from .._outcomes import Outcome
    from ._job import Job
    from ._lane import Lane

__all__ = ["leave_behind"]

_log = logging.getLogger("kinovi_async")


async def leave_behind(lane: Lane) -> None:
    """Gives up what is left when a lane ends: nobody drives it any more."""
    point("lane: left")
    for arrival in list(lane.arriving):  # never began
        arrival.error = _never_entered(lane)
        for job in arrival.jobs:
            job.arrival = None
            job.settle(_left_behind(lane, job))
        arrival.done.set()
    for job in list(lane.followers):
        job.settle(_left_behind(lane, job))
    lane.followers.clear()
    if any(lane.host is not None or job.task_id is not None for job in lane.jobs.values()):
        lane.book.duty.rescan = True  # what runs on is polled by another lane, if there is one
    for job in list(lane.jobs.values()):
        if job.key in lane.book.followed and lane.crash is None:
            await _leave_followed(lane, job)
            continue
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
            if job.task_id is None and lane.host is None and not forgotten:
                lane.book.told_unsent.add(job.key)


async def _leave_followed(lane: Lane, job: Job) -> None:
    try:
        await leave_followed(lane, job)
    except LedgerError as error:
        _log.warning("how job %s stands cannot be told: %s", job.key, error)
        outcome = _left_behind(lane, job)
        lane.untrack(job)
        job.settle(outcome)


def _never_entered(lane: Lane) -> KinoviError:
    """What to say to whoever waits until his jobs are in the ledger."""
    if isinstance(lane.crash, KinoviError):
        return lane.crash
    return ConfigurationError("the wait these jobs belong to has ended")


def _left_behind(lane: Lane, job: Job) -> Outcome:
    reason = lane.crash if isinstance(lane.crash, KinoviError) else None
    if job.task_id is not None:
        return job.ended_as(OutcomeStatus.EXPIRED, reason) if reason else job.abandoned()
    if job.sending:
        text = f"job {job.key}: its submission was cut off; it may have been accepted"
        return job.ended_as(OutcomeStatus.AMBIGUOUS, AmbiguousSubmissionError(text))
    reason = reason or lane.stopped
    return job.ended_as(*job.unsent(reason)) if reason else job.abandoned()
