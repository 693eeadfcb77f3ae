"""One submission of a job: intent, POST, record, shielded as one unit."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from .._crash_points import point
from .._errors import BudgetExceededError, ConfigurationError, InvalidRequestError
from .._events import JobSubmitted
from .._ledger import Permission
from .._transport import NotSent, SubmitResult
from ._arrival import look_again, unknown_price
from ._ending import end, end_refused
from ._result import record_result
from ._stopping import give_back, gone_if_stopped, stop_at
from ._uploading import uploaded

if TYPE_CHECKING:
    from ._job import Job
    from ._lane import Lane

__all__ = ["submit"]

_log = logging.getLogger("kinovi_async")

# Seconds, for polls every 3 s, until a job that the budget does not cover tries again.
BUDGET_DELAY = 3.0
# Seconds, for polls every 3 s, until a job looks whether the one that tries was answered.
TRIAL_DELAY = 1.0


async def submit(lane: Lane, job: Job) -> None:
    """Submits a job that the core gave a slot, and records what came of it.

    One shielded unit: cancelled between POST and record, a paid task would be lost.
    """
    # One cancellation may hit several waits, and the slot that the first one gives up goes to
    # another of them before that one is told: its job is not to be sent any more.
    await anyio.lowlevel.checkpoint()
    with anyio.CancelScope(shield=True):
        await _submit(lane, job)


async def _submit(lane: Lane, job: Job) -> None:
    assert job.entry is not None  # noqa: S101 - it was in the queue
    account, state = lane.account, lane.account.state
    if job.request.files and not await uploaded(lane, job):
        return
    if lane.closing or lane.stopped is not None:
        state.dropped(job.entry, anyio.current_time())
        if lane.stopped is not None:
            await give_back(lane, job)
        return
    try:
        _ = job.encoded
    except InvalidRequestError as error:  # entered for another generation of the API
        state.dropped(job.entry, anyio.current_time())
        await end_refused(lane, job, error)
        return
    if job.cost is None and lane.options.budget is not None:
        state.dropped(job.entry, anyio.current_time())
        await end_refused(lane, job, unknown_price(job))
        return
    if not account.breaker.admits:
        wait = TRIAL_DELAY * account.second
        state.returned(job.entry, anyio.current_time(), wait, whole_account=True)
        await gone_if_stopped(lane, job)
        return
    with account.breaker.sending():
        await _try(lane, job)


async def _try(lane: Lane, job: Job) -> None:
    point("submission: before the intent")
    intent = await lane.book.ledger.intent(
        job.key,
        lane.book.execution,
        at=lane.account.wall(),
        reserve=job.cost if job.cost is not None else Decimal(0),
        budget=budget_of(lane, job),
        body_hash=job.body_hash,
    )
    point("submission: after the intent")
    if intent.permission is Permission.GRANTED:
        await _send(lane, job, intent.attempt)
    elif intent.permission is Permission.OVER_BUDGET:
        await _over_budget(lane, job)
    else:
        await _taken(lane, job)


async def _send(lane: Lane, job: Job, attempt: int) -> None:
    assert job.entry is not None  # noqa: S101 - see submit
    at, model = lane.account.wall(), job.request.model
    await lane.events.emit(JobSubmitted(at=at, key=job.key, attempt=attempt, model=model))
    if lane.closing:  # interrupted before anything left: as if it had not been tried
        await lane.book.ledger.refused(job.key, lane.book.execution)
        lane.account.state.dropped(job.entry, anyio.current_time())
        return
    point("submission: before the POST")
    result = await _post(lane, job, attempt)
    point("submission: answered, not recorded")
    await record_result(lane, job, result)


async def _post(lane: Lane, job: Job, attempt: int) -> SubmitResult:
    scope = anyio.CancelScope(shield=True)
    address = None if lane.book.mailbox is None else lane.book.mailbox.address(job, attempt)
    job.hooked, job.hinted = address is not None, False
    job.sending = True
    with lane.bounding(scope):
        try:
            result = await lane.transport.submit(job.encode(address), scope=scope, attempt=attempt)
        except ConfigurationError as error:  # of a key function: before anything is sent
            result = NotSent(error, retryable=False)
        except BaseException:
            # The event loop is torn down: the last place to tell.
            _log.critical("job %s was cut off while it was sent; it may be paid for", job.key)
            raise
    job.sending = False
    if lane.host is not None:
        lane.host.changed()  # it may be about to end, and wait for this
    return result


def budget_of(lane: Lane, job: Job) -> Decimal | None:
    """The credits that bound this job: another process's jobs bring a bound of their own."""
    budget = lane.options.budget
    if lane.host is None or job.terms is None or job.terms.budget is None:
        return budget
    return job.terms.budget if budget is None else min(budget, job.terms.budget)


async def _over_budget(lane: Lane, job: Job) -> None:
    """Stops, unless what is reserved now may still come free: a refusal, a failed task."""
    assert job.entry is not None  # noqa: S101 - see submit
    budget = budget_of(lane, job)
    if budget != lane.options.budget:  # its own, which stops nobody else and waits for nobody
        lane.account.state.dropped(job.entry, anyio.current_time())
        status, error = job.unsent(_exceeded(job, budget))
        await end(lane, job, status, error=error)
        return
    if lane.running or any(other.sending for other in lane.jobs.values()):
        wait = BUDGET_DELAY * lane.account.second
        lane.account.state.returned(job.entry, anyio.current_time(), wait)
        await gone_if_stopped(lane, job)
        return
    await stop_at(lane, job, _exceeded(job, budget))


def _exceeded(job: Job, budget: Decimal | None) -> BudgetExceededError:
    return BudgetExceededError(
        f"the budget of {budget} credits does not cover job {job.key} ({job.cost} credits)"
    )


async def _taken(lane: Lane, job: Job) -> None:
    """The ledger says no: somebody else cancelled, resolved or replaced the job meanwhile."""
    assert job.entry is not None  # noqa: S101 - see submit
    lane.account.state.dropped(job.entry, anyio.current_time())
    await look_again(lane, job)
