"""One poll of a running task, and what its record means for the job."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import TYPE_CHECKING, cast

import anyio

from .._crash_points import point
from .._errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    KinoviError,
    NotFoundError,
    PermissionDeniedError,
    TaskFailedError,
    WaitTimeoutError,
)
from .._events import JobPolled
from .._ledger import Ending, JsonObject
from .._outcomes import OutcomeStatus
from .._records import TaskRecord, TaskStatus
from .._requests import settle_delay
from ._ending import end, expire
from ._error_json import error_to_json
from ._stopping import stop
from ._triage import is_retryable

if TYPE_CHECKING:
    from ._job import Job
    from ._lane import Lane

__all__ = ["failure_of", "poll"]

_log = logging.getLogger("kinovi_async")

# A task just made may be unknown for a while on another replica of the server.
NOT_FOUND_GRACE = 60.0
# Polls in a row answered 401 or 403 after which that is told, and a batch gives a task up.
MAX_UNHEARD = 5


async def poll(lane: Lane, job: Job) -> None:
    """Fetches the record once. A failed poll never ends the wait."""
    if _is_over(job) or job.entry is None or job.task_id is None:
        return
    point("poll: before")
    try:
        record = await lane.transport.fetch(job.task_id, retries=0)
        point("poll: answered")
    except (APIError, ConfigurationError) as error:  # the latter from a key function
        if not _is_over(job):
            await _failed(lane, job, error)
        return
    if _is_over(job):
        return
    lane.account.answered = True
    job.unheard_polls = 0
    if not record.is_terminal:
        lane.account.state.polled(job.entry, anyio.current_time())
        await _told(lane, job, record.status)
        return
    record = await _settled(lane, job, record)
    if _is_over(job):
        return
    with anyio.CancelScope(shield=True):
        await _ended(lane, job, record)


async def _settled(lane: Lane, job: Job, record: TaskRecord) -> TaskRecord:
    """The record with its final price, which some models set only seconds after success.

    Its slot is free meanwhile. Whoever is cancelled here leaves an accepted task to the
    ledger, which the next run reads again.
    """
    delay = settle_delay(job.request) if record.status is TaskStatus.SUCCESS else None
    if delay is None or job.entry is None:
        return record
    lane.account.state.ended(job.entry, anyio.current_time(), _seconds(record))
    lane.account.pump()
    await anyio.sleep(delay * lane.account.second)
    try:
        again = await lane.transport.fetch(record.task_id, retries=2)
    except (APIError, ConfigurationError) as error:
        _log.warning("the final price of task %s is not known: %s", record.task_id, error)
        return record
    return again if again.status is TaskStatus.SUCCESS else record


def _is_over(job: Job) -> bool:
    # A function, because a type checker takes a property's value for lasting.
    return job.done


async def _told(lane: Lane, job: Job, status: TaskStatus | None) -> None:
    if lane.events.heard:
        at = lane.account.wall()
        task_id = cast("str", job.task_id)
        model = job.request.model
        polled = JobPolled(at=at, key=job.key, task_id=task_id, status=status, model=model)
        await lane.events.emit(polled)


async def _failed(lane: Lane, job: Job, error: KinoviError) -> None:
    assert job.entry is not None  # noqa: S101 - see poll
    account = lane.account
    _log.debug("poll of task %s failed: %s", job.task_id, error)
    waited = anyio.current_time() - (job.accepted_at or 0)
    unknown = isinstance(error, NotFoundError | BadRequestError)
    lost = unknown and waited >= NOT_FOUND_GRACE * account.second
    if isinstance(error, AuthenticationError | PermissionDeniedError):
        job.unheard_polls += 1
        if job.unheard_polls == MAX_UNHEARD:
            told = "task %s of job %s cannot be read with this key: %s; is it another account's?"
            _log.warning(told, job.task_id, job.key, error.message)
        # A long-lived lane may be resumed with a new key; a batch would wait in vain.
        lost = job.unheard_polls >= MAX_UNHEARD and not lane.options.pause_on_stop
        if isinstance(error, AuthenticationError):
            with anyio.CancelScope(shield=True):
                await stop(lane, error)
    if lost:
        await expire(lane, job, _unreachable(job, error))
        return
    account.state.polled(job.entry, anyio.current_time(), failed=True)
    await _told(lane, job, None)


def _unreachable(job: Job, error: KinoviError) -> KinoviError:
    if isinstance(error, NotFoundError | BadRequestError):
        text = f"the server no longer knows task {job.task_id}, which it had accepted"
        return WaitTimeoutError(text, task_id=job.task_id)
    error.task_id = job.task_id
    return error


async def _ended(lane: Lane, job: Job, record: TaskRecord) -> None:
    assert job.entry is not None  # noqa: S101 - see poll
    account = lane.account
    account.state.ended(job.entry, anyio.current_time(), _seconds(record))
    if lane.book.mailbox is not None:
        lane.book.mailbox.ended(job)
    raw = cast("JsonObject", record.raw)
    if record.status is TaskStatus.SUCCESS:
        if not record.outputs:
            _log.warning("task %s succeeded without an output", record.task_id)
        used = record.credits_used if record.credits_used is not None else job.cost
        ending = Ending(OutcomeStatus.SUCCEEDED, at=account.wall(), record=raw, credits=used)
        await end(lane, job, OutcomeStatus.SUCCEEDED, ending=ending)
        return
    error = failure_of(record)
    ending = Ending(
        OutcomeStatus.FAILED,
        at=account.wall(),
        record=raw,
        error=error_to_json(error),
        credits=Decimal(0),
    )
    if error.retryable and await _run_again(lane, job, ending):
        return
    await end(lane, job, OutcomeStatus.FAILED, error=error, ending=ending)


async def _run_again(lane: Lane, job: Job, ending: Ending) -> bool:
    """Queues a failed job again when that is worth it and allowed: it was refunded."""
    if lane.stopped is not None or lane.closing:
        return False
    allowed = job.terms.retry_failed if job.terms is not None else 0
    if job.reruns >= max(allowed, lane.options.retry_failed):
        return False
    ledger = lane.book.ledger
    job.reruns += 1
    await ledger.end(job.key, ending)
    await ledger.add([job.to_ledger(lane.account.wall())], rerun={OutcomeStatus.FAILED})
    point("poll: failed job queued again")
    job.task_id = None
    job.accepted_at = None
    lane.requeue(job)
    return True


def failure_of(record: TaskRecord) -> TaskFailedError:
    """The error of a task that ended in `fail`."""
    error = record.error
    code = f"[{error.code}] " if error and error.code else ""
    text = error.message if error and error.message else "no reason given"
    return TaskFailedError(
        f"task {record.task_id} failed: {code}{text}",
        record=record,
        retryable=is_retryable(error),
    )


def _seconds(record: TaskRecord) -> float | None:
    if record.created_at is None or record.completed_at is None:
        return None
    return max(0.0, (record.completed_at - record.created_at).total_seconds())
