"""How jobs end: written first, then told."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anyio

from .._crash_points import point
from .._errors import (
    JobCancelledError,
    KinoviError,
    LedgerError,
    WaitTimeoutError,
)
from .._events import JobEnded
from .._ledger import Ending, JobState
from .._outcomes import AttemptResult, OutcomeStatus
from ._error_json import error_to_json
from ._job import outcome_of

if TYPE_CHECKING:
    from .._ledger import JobRow
    from .._outcomes import Outcome
    from ._job import Job
    from ._lane import Lane

__all__ = [
    "close_row",
    "conclude",
    "end",
    "end_refused",
    "expire",
    "observe_end",
    "overdue",
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
