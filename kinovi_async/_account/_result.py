"""What came of a submission: each result is one change of the ledger and one of the queue."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, assert_never

import anyio

from .._crash_points import point
from .._errors import (
    AmbiguousSubmissionError,
    AuthenticationError,
    ConcurrencyLimitError,
    InsufficientCreditsError,
    KinoviError,
    LedgerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
)
from .._events import JobAccepted, JobRefused
from .._outcomes import AttemptResult, OutcomeStatus
from .._scheduling import Refusal
from .._transport import (
    Accepted,
    Ambiguous,
    NotSent,
    Refused,
    Rejected,
    ServerFailed,
    SubmitResult,
    held,
    resubmission,
)
from ._breaker import stop_if_open
from ._ending import end, end_refused
from ._error_json import ending_of_attempt
from ._held import hold, seconds_to_hold
from ._stopping import gone_if_stopped, stop, stop_at

if TYPE_CHECKING:
    from ._job import Job
    from ._lane import Lane

__all__ = ["accept_held", "record_result"]

_log = logging.getLogger("kinovi_async")

# Submissions that never left, in a row, after which an address that never answered is
# taken for wrong. One that did answer is waited for without end: a network comes back.
MAX_UNSENT = 5
# Waits before a submission is sent again, in seconds for polls every 3 s.
FIRST_DELAY, MAX_DELAY = 1.0, 30.0


async def record_result(lane: Lane, job: Job, result: SubmitResult) -> None:
    """Books what a POST led to, and tells it; a part of the shielded unit of `submit`."""
    account = lane.account
    if not isinstance(result, NotSent):
        account.unsent_in_a_row = 0
    if not isinstance(result, NotSent) or result.answered:
        account.answered = True
    match result:
        case Accepted(task_id):
            account.breaker.clear()
            await _accepted(lane, job, task_id)
        case Refused(error):
            account.breaker.clear()
            await _refused(lane, job, error)
        case Rejected(error):
            account.breaker.clear()
            await _rejected(lane, job, error)
        case NotSent(error, retryable):
            await _not_sent(lane, job, error, retryable=retryable)
        case ServerFailed() | Ambiguous():
            await _unclear(lane, job, result)
        case _:
            assert_never(result)
    if lane.book.mailbox is not None:  # a webhook may have been faster
        lane.book.mailbox.nudge()


async def accept_held(lane: Lane, job: Job, task_id: str) -> None:
    """A webhook, and a GET of its task, proved that an unclear submission was accepted."""
    held, job.held = job.held, None
    lane.account.breaker.clear()
    await _accepted(lane, job, task_id, late=True)
    if held is not None:
        held.set()


def _runs(lane: Lane, job: Job, *, late: bool) -> None:
    """Tells the queue that the task runs, or that it has for a while."""
    assert job.entry is not None  # noqa: S101 - see submit
    state, now = lane.account.state, anyio.current_time()
    if late:
        state.adopt(job.entry, now, age=now - job.entry.sent_at, webhook=True)
        state.notified(job.entry, now)
    else:
        mailbox = lane.book.mailbox
        webhook = job.hooked and mailbox is not None and mailbox.speaks
        state.accepted(job.entry, now, webhook=webhook)


async def _accepted(lane: Lane, job: Job, task_id: str, *, late: bool = False) -> None:
    assert job.entry is not None  # noqa: S101 - see submit
    account = lane.account
    twin = account.note_task(task_id, job.key)
    if twin is not None:
        _log.error("jobs %s and %s were both told task %s", twin, job.key, task_id)
    job.task_id = task_id
    job.unclear = None
    _runs(lane, job, late=late)
    point("submission: before the acceptance")
    try:
        await lane.book.ledger.accepted(job.key, lane.book.execution, task_id, at=account.wall())
    except LedgerError as error:
        # The last place where the id of a paid task can still be told.
        lane.book.unwritten[job.key] = task_id
        _log.critical("job %s became task %s, which the ledger could not keep", job.key, task_id)
        error.task_id = task_id
        raise
    point("submission: after the acceptance")
    lane.begin_wait(job)
    await lane.events.emit(
        JobAccepted(
            at=account.wall(),
            key=job.key,
            task_id=task_id,
            model=job.request.model,
            queue_time=job.entry.sent_at - job.entry.enqueued_at,
        )
    )


async def _refused(lane: Lane, job: Job, error: RateLimitError) -> None:
    assert job.entry is not None  # noqa: S101 - see submit
    limited = error if isinstance(error, ConcurrencyLimitError) else None
    limit = limited.limit if limited else None
    refusal = Refusal(
        limit=limit,
        current=limited.current if limited else None,
        retry_after=error.retry_after,
        is_rate=limited is None,
    )
    point("submission: 429, not recorded")
    await lane.book.ledger.refused(job.key, lane.book.execution)
    lane.account.state.refused(job.entry, anyio.current_time(), refusal)
    point("submission: 429 recorded")
    at, model = lane.account.wall(), job.request.model
    await lane.events.emit(JobRefused(at=at, key=job.key, limit=limit, model=model))
    await gone_if_stopped(lane, job)


async def _rejected(lane: Lane, job: Job, error: KinoviError) -> None:
    assert job.entry is not None  # noqa: S101 - see submit
    # createTask documents no 404: the address is wrong, for every job alike.
    stops = AuthenticationError | InsufficientCreditsError | PermissionDeniedError | NotFoundError
    if isinstance(error, stops):
        # It concerns the account, not this request, which may well be sent later.
        await lane.book.ledger.refused(job.key, lane.book.execution)
        await stop_at(lane, job, error)
        return
    lane.account.state.dropped(job.entry, anyio.current_time())
    await end_refused(lane, job, error, sent=True)


async def _not_sent(lane: Lane, job: Job, error: KinoviError, *, retryable: bool) -> None:
    account = lane.account
    await _send_again(lane, job, AttemptResult.NOT_SENT, error)
    account.unsent_in_a_row += 1
    hopeless = not account.answered and account.unsent_in_a_row >= MAX_UNSENT
    if not retryable or hopeless:
        await stop(lane, error)
    await gone_if_stopped(lane, job)


async def _unclear(lane: Lane, job: Job, result: ServerFailed | Ambiguous) -> None:
    """Sends it again as often as the policy says, and holds it then."""
    row = await lane.book.ledger.get(job.key)
    earlier = [attempt.result for attempt in row.attempts] if row is not None else []
    booked = resubmission(result, earlier, lane.account.policy)
    # The documented 500 is clear enough while it may be retried: the API is there.
    if booked is not AttemptResult.SERVER_ERROR:
        lane.account.breaker.unclear()
    error = job.unclear = held(result).error
    seconds = 0.0 if booked is AttemptResult.SERVER_ERROR else seconds_to_hold(lane, job)
    if seconds > 0:
        hold(lane, job, seconds, otherwise=lambda: _given_up(lane, job, booked, error))
    elif booked is None:
        await _ambiguous(lane, job, error)
    else:
        _log.warning("job %s is sent again, though it may have been accepted: %s", job.key, error)
        await _send_again(lane, job, booked, result.error)
    if booked is not AttemptResult.SERVER_ERROR:
        await stop_if_open(lane, error)
    await gone_if_stopped(lane, job)


async def _send_again(lane: Lane, job: Job, result: AttemptResult, error: KinoviError) -> None:
    assert job.entry is not None  # noqa: S101 - see submit
    account = lane.account
    point("submission: failed, not recorded")
    await lane.book.ledger.send_again(
        job.key, lane.book.execution, result=result, detail=error.message
    )
    point("submission: failed, recorded")
    tries = min(account.unsent_in_a_row + account.breaker.in_a_row, 10)
    wait = min(MAX_DELAY, FIRST_DELAY * math.pow(2, tries))
    delay = account.second * wait * account.rng.uniform(0.5, 1.0)
    # A network that is down is down for every job: the account waits, not one job.
    account.state.returned(job.entry, anyio.current_time(), delay, whole_account=True)


async def _ambiguous(lane: Lane, job: Job, error: AmbiguousSubmissionError) -> None:
    assert job.entry is not None  # noqa: S101 - see submit
    account = lane.account
    account.state.unclear(job.entry, anyio.current_time())
    ending = ending_of_attempt(error, AttemptResult.AMBIGUOUS, at=account.wall())
    await end(lane, job, OutcomeStatus.AMBIGUOUS, error=error, ending=ending)


async def _given_up(
    lane: Lane, job: Job, booked: AttemptResult | None, error: AmbiguousSubmissionError
) -> None:
    """No webhook came in time: the policy decides, as it would have at once."""
    assert job.entry is not None  # noqa: S101 - see submit
    if booked is None:
        ending = ending_of_attempt(error, AttemptResult.AMBIGUOUS, at=lane.account.wall())
        await end(lane, job, OutcomeStatus.AMBIGUOUS, error=error, ending=ending)
        return
    _log.warning("job %s is sent again, though it may have been accepted: %s", job.key, error)
    await lane.book.ledger.send_again(
        job.key, lane.book.execution, result=booked, detail=error.message
    )
    lane.account.state.forget(job.entry, anyio.current_time())
    lane.requeue(job)
    await gone_if_stopped(lane, job)
