"""The two calls of the API by themselves, outside the account's queue."""

from __future__ import annotations

import logging
from random import Random
from typing import TYPE_CHECKING

import anyio

from ._errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    NotFoundError,
    PermissionDeniedError,
    WaitTimeoutError,
)
from ._outcomes import AttemptResult
from ._policy import SubmitPolicy
from ._records import TaskRecord
from ._shield import finish
from ._transport import Accepted, Ambiguous, NotSent, ServerFailed, SubmitResult, resubmission

if TYPE_CHECKING:
    from ._transport import HttpTransport

__all__ = ["create_task", "wait_for_task"]

_log = logging.getLogger("kinovi_async")

# A cancelled submission is waited for this many seconds: its answer names a paid task.
GRACE = 10.0
# Seconds before the first repetition of a submission that never left, and at most.
FIRST_WAIT, LONGEST_WAIT = 0.5, 8.0


async def create_task(
    transport: HttpTransport, body: bytes, *, policy: SubmitPolicy, rng: Random
) -> str:
    """Submits until accepted, or raises what came instead; see `AsyncKinovi.create_task`."""
    earlier: list[AttemptResult] = []
    while True:
        result = await _submit(transport, body, len(earlier) + 1)
        if isinstance(result, Accepted):
            return result.task_id
        unsent = earlier.count(AttemptResult.NOT_SENT)
        booked = None
        if isinstance(result, NotSent) and result.retryable and unsent < transport.max_retries:
            booked = AttemptResult.NOT_SENT
        elif isinstance(result, ServerFailed | Ambiguous):
            booked = resubmission(result, earlier, policy)
        if booked is None:
            raise result.error
        if booked is AttemptResult.AMBIGUOUS:
            _log.warning("a request is sent again, though it may have been accepted")
        earlier.append(booked)
        longest = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** len(earlier))
        await anyio.sleep(longest * rng.uniform(0.5, 1.0))


async def _submit(transport: HttpTransport, body: bytes, attempt: int) -> SubmitResult:
    results: list[SubmitResult] = []

    async def submit() -> SubmitResult:
        results.append(await transport.submit(body, attempt=attempt))
        return results[0]

    try:
        return await finish(submit, grace=GRACE)
    except anyio.get_cancelled_exc_class():
        if results and isinstance(results[0], Accepted):
            task_id = results[0].task_id
            _log.warning("a cancelled create_task became task %s, which is paid for", task_id)
        raise


async def wait_for_task(
    transport: HttpTransport,
    task_id: str,
    *,
    poll_interval: tuple[float, float],
    max_wait: float,
    rng: Random,
) -> TaskRecord:
    """Polls until the task has ended; see `AsyncKinovi.wait`."""
    with anyio.move_on_after(max_wait):
        while True:
            record = await _look(transport, task_id)
            if record is not None and record.is_terminal:
                return record
            await anyio.sleep(rng.uniform(*poll_interval))
    msg = f"task {task_id} was still running after {max_wait:g} s; it is paid for: wait again"
    raise WaitTimeoutError(msg, task_id=task_id)


async def _look(transport: HttpTransport, task_id: str) -> TaskRecord | None:
    try:
        return await transport.fetch(task_id, retries=0)
    except (
        NotFoundError,
        BadRequestError,
        AuthenticationError,
        PermissionDeniedError,
    ) as error:
        error.task_id = task_id
        raise
    except APIError as error:
        _log.debug("poll of task %s failed: %s", task_id, error)
        return None
