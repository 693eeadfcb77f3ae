"""One submission of a job: intent, POST, record, shielded as one unit."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, assert_never

import anyio

from .._errors import (
    AmbiguousSubmissionError,
    AuthenticationError,
    BudgetExceededError,
    ConcurrencyLimitError,
    ConfigurationError,
    InsufficientCreditsError,
    KinoviError,
    LedgerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
)
from .._events import JobAccepted, JobRefused, JobSubmitted
from .._ledger import JobState, Permission
from .._outcomes import Attempt, AttemptResult, OutcomeStatus
from .._policy import Phase, SubmitEvidence
from .._scheduling import Refusal
from .._transport import (
    Accepted,
    Ambiguous,
    NotSent,
    Refused,
    Rejected,
    ServerFailed,
    SubmitResult,
)
from ._arrival import start, unknown_price
from ._ending import conclude, end, give_back, stop
from ._error_json import ending_of_attempt
from ._job import outcome_of

if TYPE_CHECKING:
    from ._job import Job
    from ._lane import Lane

__all__ = ["submit"]

_log = logging.getLogger("kinovi_async")

# Submissions that never left, in a row, after which an address that never answered is
# taken for wrong. One that did answer is waited for without end: a network comes back.
MAX_UNSENT = 5
# Unclear answers in a row after which nothing more is submitted: an outage must not
# turn a whole batch ambiguous.
MAX_AMBIGUOUS = 3
# Seconds, for polls every 3 s, until a job that the budget does not cover tries again.
BUDGET_DELAY = 3.0
# Waits before a submission is sent again, in seconds for polls every 3 s.
FIRST_DELAY, MAX_DELAY = 1.0, 30.0


async def submit(lane: Lane, job: Job) -> None:
    """Submits a job that the core gave a slot, and records what came of it.

    One shielded unit: cancelled between POST and record, a paid task would be lost.
    """
    with anyio.CancelScope(shield=True):
        await _submit(lane, job)


async def _submit(lane: Lane, job: Job) -> None:
    assert job.entry is not None  # noqa: S101 - it was in the queue
    account, state = lane.account, lane.account.state
    if lane.closing or lane.stopped is not None:
        state.dropped(job.entry, anyio.current_time())
        if lane.stopped is not None:
            await give_back(lane, job)
        return
    if job.cost is None and lane.options.budget is not None:
        state.dropped(job.entry, anyio.current_time())
        await end(lane, job, OutcomeStatus.REJECTED, error=unknown_price(job))
        return
    intent = await lane.book.ledger.intent(
        job.key,
        lane.book.execution,
        at=account.wall(),
        reserve=job.cost if job.cost is not None else Decimal(0),
        budget=lane.options.budget,
        body_hash=job.body_hash,
    )
    if intent.permission is Permission.GRANTED:
        await _send(lane, job, intent.attempt)
    elif intent.permission is Permission.OVER_BUDGET:
        await _over_budget(lane, job)
    else:
        await _taken(lane, job)


async def _send(lane: Lane, job: Job, attempt: int) -> None:
    assert job.entry is not None  # noqa: S101 - see submit
    await lane.emit(JobSubmitted(at=lane.account.wall(), key=job.key, attempt=attempt))
    if lane.closing:  # interrupted before anything left: as if it had not been tried
        await lane.book.ledger.refused(job.key, lane.book.execution)
        lane.account.state.dropped(job.entry, anyio.current_time())
        return
    result = await _post(lane, job)
    await _record(lane, job, result, attempt)


async def _post(lane: Lane, job: Job) -> SubmitResult:
    scope = anyio.CancelScope(shield=True)
    job.sending = True
    with lane.bounding(scope):
        try:
            result = await lane.transport.submit(job.encoded, scope=scope)
        except ConfigurationError as error:  # of a key function: before anything is sent
            result = NotSent(error, retryable=False)
        except BaseException:
            # The event loop is torn down: the last place to tell.
            _log.critical("job %s was cut off while it was sent; it may be paid for", job.key)
            raise
    job.sending = False
    return result


async def _over_budget(lane: Lane, job: Job) -> None:
    """Stops, unless what is reserved now may still come free: a refusal, a failed task."""
    assert job.entry is not None  # noqa: S101 - see submit
    if lane.running or any(other.sending for other in lane.jobs.values()):
        wait = BUDGET_DELAY * lane.account.second
        lane.account.state.returned(job.entry, anyio.current_time(), wait)
        await _gone_if_stopped(lane, job)
        return
    error = BudgetExceededError(
        f"the budget of {lane.options.budget} credits does not cover job {job.key} "
        f"({job.cost} credits)"
    )
    await _stop_at(lane, job, error)


async def _taken(lane: Lane, job: Job) -> None:
    """The ledger says no: somebody else cancelled, resolved or replaced the job meanwhile."""
    assert job.entry is not None  # noqa: S101 - see submit
    lane.account.state.dropped(job.entry, anyio.current_time())
    row = await lane.book.ledger.get(job.key)
    if row is None or row.state is JobState.SENDING:
        msg = f"job {job.key} is being sent by another process"
        raise LedgerError(msg)
    if row.status is not None and row.status is not OutcomeStatus.EXPIRED:
        await conclude(lane, job, outcome_of(row, job.request, index=job.index))
        return
    lane.untrack(job)
    if row.state is JobState.QUEUED:
        job.take_over(row)
    lane.followers.add(job)  # until it has found its place: the lane is not done
    await start(lane, job, row)
    if job.leader is None:
        lane.followers.discard(job)


async def _record(lane: Lane, job: Job, result: SubmitResult, attempt: int) -> None:
    if not isinstance(result, NotSent):
        lane.account.unsent_in_a_row = 0
        lane.account.answered = True
    if not isinstance(result, Ambiguous):
        lane.account.ambiguous_in_a_row = 0
    match result:
        case Accepted(task_id):
            await _accepted(lane, job, task_id)
        case Refused(error):
            await _refused(lane, job, error)
        case Rejected(error):
            await _rejected(lane, job, error)
        case NotSent(error, retryable):
            await _not_sent(lane, job, error, retryable=retryable)
        case ServerFailed(error):
            await _server_failed(lane, job, error, attempt)
        case Ambiguous(error):
            await _ambiguous(lane, job, error)
        case _:
            assert_never(result)


async def _accepted(lane: Lane, job: Job, task_id: str) -> None:
    assert job.entry is not None  # noqa: S101 - see submit
    account = lane.account
    twin = lane.account.find_task(task_id)
    if twin is not None:
        _log.error("jobs %s and %s were both told task %s", twin.key, job.key, task_id)
    job.task_id = task_id
    account.state.accepted(job.entry, anyio.current_time())
    try:
        await lane.book.ledger.accepted(job.key, lane.book.execution, task_id, at=account.wall())
    except LedgerError as error:
        # The last place where the id of a paid task can still be told.
        lane.book.unwritten[job.key] = task_id
        _log.critical("job %s became task %s, which the ledger could not keep", job.key, task_id)
        error.task_id = task_id
        raise
    lane.begin_wait(job)
    await lane.emit(JobAccepted(at=account.wall(), key=job.key, task_id=task_id))


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
    await lane.book.ledger.refused(job.key, lane.book.execution)
    lane.account.state.refused(job.entry, anyio.current_time(), refusal)
    await lane.emit(JobRefused(at=lane.account.wall(), key=job.key, limit=limit))
    await _gone_if_stopped(lane, job)


async def _rejected(lane: Lane, job: Job, error: KinoviError) -> None:
    assert job.entry is not None  # noqa: S101 - see submit
    # createTask documents no 404: the address is wrong, for every job alike.
    stops = AuthenticationError | InsufficientCreditsError | PermissionDeniedError | NotFoundError
    if isinstance(error, stops):
        # It concerns the account, not this request, which may well be sent later.
        await lane.book.ledger.refused(job.key, lane.book.execution)
        await _stop_at(lane, job, error)
        return
    lane.account.state.dropped(job.entry, anyio.current_time())
    ending = ending_of_attempt(error, AttemptResult.REJECTED, at=lane.account.wall())
    await end(lane, job, OutcomeStatus.REJECTED, error=error, ending=ending)


async def _not_sent(lane: Lane, job: Job, error: KinoviError, *, retryable: bool) -> None:
    account = lane.account
    await _send_again(lane, job, AttemptResult.NOT_SENT, error)
    account.unsent_in_a_row += 1
    hopeless = not account.answered and account.unsent_in_a_row >= MAX_UNSENT
    if not retryable or hopeless:
        await stop(lane, error)
    await _gone_if_stopped(lane, job)


async def _server_failed(lane: Lane, job: Job, error: KinoviError, attempt: int) -> None:
    row = await lane.book.ledger.get(job.key)
    if row is not None and _failures(row.attempts) < lane.account.policy.max_server_error_resubmits:
        await _send_again(lane, job, AttemptResult.SERVER_ERROR, error)
        await _gone_if_stopped(lane, job)
        return
    message = f"job {job.key}: the server failed {attempt} times; it may have been accepted"
    unclear = AmbiguousSubmissionError(message)
    unclear.evidence = SubmitEvidence(phase=Phase.SENT, status=500)
    await _ambiguous(lane, job, unclear)


def _failures(attempts: Sequence[Attempt]) -> int:
    """Server errors since the job was last accepted: an earlier run's do not count."""
    count = 0
    for attempt in reversed(attempts):
        if attempt.result is AttemptResult.ACCEPTED:
            break
        count += attempt.result is AttemptResult.SERVER_ERROR
    return count


async def _send_again(lane: Lane, job: Job, result: AttemptResult, error: KinoviError) -> None:
    assert job.entry is not None  # noqa: S101 - see submit
    account = lane.account
    await lane.book.ledger.send_again(
        job.key, lane.book.execution, result=result, detail=error.message
    )
    wait = min(MAX_DELAY, FIRST_DELAY * math.pow(2, account.unsent_in_a_row))
    delay = account.second * wait * account.rng.uniform(0.5, 1.0)
    # A network that is down is down for every job: the account waits, not one job.
    account.state.returned(job.entry, anyio.current_time(), delay, whole_account=True)


async def _ambiguous(lane: Lane, job: Job, error: AmbiguousSubmissionError) -> None:
    assert job.entry is not None  # noqa: S101 - see submit
    account = lane.account
    account.state.unclear(job.entry, anyio.current_time())
    ending = ending_of_attempt(error, AttemptResult.AMBIGUOUS, at=account.wall())
    await end(lane, job, OutcomeStatus.AMBIGUOUS, error=error, ending=ending)
    account.ambiguous_in_a_row += 1
    if account.ambiguous_in_a_row >= MAX_AMBIGUOUS:
        count = account.ambiguous_in_a_row
        outage = AmbiguousSubmissionError(
            f"{count} submissions in a row had an unclear answer; nothing more is submitted"
        )
        outage.evidence = error.evidence
        await stop(lane, outage)


async def _stop_at(lane: Lane, job: Job, reason: KinoviError) -> None:
    """The job goes back to its place, then everything unsent stops, itself included."""
    assert job.entry is not None  # noqa: S101 - see submit
    lane.account.state.returned(job.entry, anyio.current_time())
    await stop(lane, reason)
    await _gone_if_stopped(lane, job)


async def _gone_if_stopped(lane: Lane, job: Job) -> None:
    """A job that came back after its lane was stopped is not queued any more."""
    if (
        lane.stopped is not None
        and not job.done
        and job.entry is not None
        and lane.account.state.withdraw(job.entry)
    ):
        await give_back(lane, job)
