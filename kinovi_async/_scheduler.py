"""JobScheduler: many jobs, one account, every slot in use."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from decimal import Decimal
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio

from ._account import (
    Job,
    Lane,
    LaneOptions,
    Statistics,
    ask_to_resume,
    cancel_unsent,
    estimated_wait,
    outcome_of,
    resume,
    statistics_of,
)
from ._errors import ConfigurationError, JobCancelledError, QueueFullError
from ._ledger import JobState, Ledger
from ._options import check_bound, to_credits
from ._outcomes import RERUNNABLE, Outcome
from ._requests import as_request, restore_request

if TYPE_CHECKING:
    from ._client import AsyncKinovi
    from ._events import EventHandler
    from ._requests import ApiGeneration, Request

__all__ = ["JobScheduler", "Statistics"]


class JobScheduler:
    """Runs jobs of one client through the account's slots.

    ```python
    async with JobScheduler(client, ledger="jobs.sqlite3") as scheduler:
        job = await scheduler.submit(NanoBanana2(prompt="a red cat"), key="cat-1")
        record = await job.result()
    ```

    Leaving the block normally waits for all jobs. An exception, a cancellation or
    `drain()` stops submitting, finishes and records the submissions on the wire, and
    leaves running tasks to the ledger; without one they are named in a warning.

    Any number of processes of one machine may work in one SQLite ledger. One at a time
    runs it (`statistics().runner`), with its own bounds; the jobs of the others go to it
    through the ledger, and when it leaves or dies another takes over within a second. What
    a process entered is run also when that process is gone, unless it was cancelled.
    `on_event` tells of the jobs that were entered here.

    Args:
        client: Whose account and connection are used.
        max_in_flight: Upper bound of running tasks; None learns the account's limit.
        max_queue: Queued jobs after which `submit` waits and `submit_nowait` raises.
        ledger: A path (SQLite) or a Ledger; None takes the client's, or memory.
        budget: Credits that all jobs of the ledger together may cost; None: no bound.
        assume_cost: Credits to count for a request whose price is unknown.
        retry_failed: Times a failed task is run again when its failure is of the kind
            that passes (capacity); it was refunded.
        on_event: Called with every event, after the fact is in the ledger; sync or
            async. What it raises is logged.
        resume: True takes up everything unfinished in the ledger when this process begins
            to run it. False does not, and runs the ledger alone: it drives no other
            process's jobs, and raises `LedgerError` where another process runs it.

    Raises:
        ConfigurationError: an option is wrong, or it is entered a second time.
        LedgerError: on entering or leaving: the ledger cannot be opened, or broke.
    """

    def __init__(
        self,
        client: AsyncKinovi,
        *,
        max_in_flight: int | None = None,
        max_queue: int = 1000,
        ledger: str | PathLike[str] | Ledger | None = None,
        budget: Decimal | float | None = None,
        assume_cost: Decimal | float | None = None,
        retry_failed: int = 0,
        on_event: EventHandler | None = None,
        resume: bool = True,
    ) -> None:
        if max_queue < 1:
            msg = f"max_queue must be at least 1, not {max_queue}"
            raise ConfigurationError(msg)
        self._client = client
        self._book, self._owns_book = client._book_for(ledger)  # noqa: SLF001 - one package
        self._options = LaneOptions(
            max_in_flight=check_bound(max_in_flight),
            max_queue=max_queue,
            budget=to_credits(budget),
            assume_cost=to_credits(assume_cost),
            retry_failed=retry_failed,
            on_event=on_event,
            pause_on_stop=True,
            takes_all=resume,
            exclusive=not resume,
            group=client._group_name("scheduler"),  # noqa: SLF001
        )
        self._resume = resume
        self._lane: Lane | None = None
        self._block: AbstractAsyncContextManager[None] | None = None
        self._closing = False
        self._crash: Exception | None = None

    async def __aenter__(self) -> Self:
        if self._lane is not None:
            msg = "a JobScheduler is entered only once; make a new one"
            raise ConfigurationError(msg)
        self._block = self._running()
        await self._block.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        assert self._block is not None  # noqa: S101 - __aenter__ made it
        # The block shields and bounds its own clean-up.
        return await self._block.__aexit__(kind, error, traceback)  # noqa: ASYNC102

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        lane = Lane(self._client._account, self._book, self._options, self._client._transport)  # noqa: SLF001
        body_error: BaseException | None = None

        async def drive() -> None:
            try:
                await lane.run(lambda: self._closing and not lane.busy)
            except Exception as error:  # noqa: BLE001 - raised below, outside the group
                self._crash = error

        try:
            await lane.open()
            self._lane = lane
            async with anyio.create_task_group() as group:
                group.start_soon(drive)
                try:
                    if self._resume and self._book.durable and self._book.runs:
                        await self._take_up(lane)
                    yield
                    await self._finish(lane)
                except anyio.get_cancelled_exc_class():
                    raise
                except BaseException as error:  # noqa: BLE001 - raised below, outside the group
                    body_error = error
                    group.cancel_scope.cancel()
        finally:
            self._closing = True
            if self._owns_book:
                with anyio.CancelScope(shield=True):
                    await self._book.aclose()
        if body_error is not None:
            raise body_error
        if self._crash is not None:
            raise self._crash

    async def _finish(self, lane: Lane) -> None:
        """The normal end: drains. What is paused has nobody left to resume it."""
        lane.draining = True
        reason = lane.paused
        if reason is not None and not lane.closing:
            await lane.carry_out(lambda: cancel_unsent(lane, reason))
        self._closing = True
        lane.changed()

    async def _take_up(self, lane: Lane) -> None:
        for state in (JobState.ACCEPTED, JobState.QUEUED):
            after = 0
            while rows := await self._book.ledger.rows(states={state}, after=after):
                after = rows[-1].number
                await lane.add([Job.of_row(row) for row in rows], check_price=False)

    def _open_lane(self) -> Lane:
        if self._crash is not None:
            raise self._crash
        if self._lane is None or self._closing:
            msg = "the scheduler is not running: use it inside `async with`"
            raise ConfigurationError(msg)
        self._client._account.check_loop()  # noqa: SLF001
        self._lane.check_alive()
        return self._lane

    @property
    def _generation(self) -> ApiGeneration:
        return self._client._account.api_generation  # noqa: SLF001 - one package

    async def submit(
        self,
        request: Request | Mapping[str, object],
        *,
        key: str | None = None,
        group: str | None = None,
        priority: int = 0,
        tags: Mapping[str, str] | None = None,
        max_wait: float | None = None,
        max_queue_wait: float | None = None,
        rerun: bool = False,
    ) -> Job:
        """Enters a job; returns when it is in the queue, and durable when there is a ledger.

        Waits while the queue is full. With a key that the ledger has, the same request
        is the same job, whatever its state.

        Args:
            request: What is to be generated, or a mapping in the API's own form.
            key: Names the job; None makes a new one.
            group: Whose job it is: groups of one priority take turns.
            priority: Larger is sooner.
            tags: Travel with the job into outcomes and results.
            max_wait: Seconds from acceptance after which the job is `expired`.
            max_queue_wait: Seconds in the queue after which it is `cancelled`.
            rerun: Starts a job again that ended failed, rejected or cancelled.

        Raises:
            InvalidRequestError: the mapping is no valid request; nothing is sent.
            KeyConflictError: the key belongs to another request.
            BudgetExceededError: with a budget, the price of the model is unknown.
            LedgerError: the ledger cannot be written.
        """
        job = Job(
            as_request(request, api_generation=self._generation),
            key=key,
            group=group,
            priority=priority,
            tags=tags,
            max_wait=max_wait,
            max_queue_wait=max_queue_wait,
        )
        await self._enter([job], rerun=rerun)
        return job

    async def _enter(
        self, jobs: Sequence[Job], *, rerun: bool = False, replace_unsent: bool = False
    ) -> None:
        """Enters jobs in one go; `replace_unsent` takes over edits of what was never sent."""
        lane = self._open_lane()
        await lane.wait_for_room()
        again = RERUNNABLE if rerun else ()
        await lane.add(jobs, rerun=again, replace_unsent=replace_unsent)

    def submit_nowait(
        self,
        request: Request | Mapping[str, object],
        *,
        key: str | None = None,
        group: str | None = None,
        priority: int = 0,
        tags: Mapping[str, str] | None = None,
        max_wait: float | None = None,
        max_queue_wait: float | None = None,
    ) -> Job:
        """Like `submit`, without waiting: for a web handler that would answer 503.

        The job is queued when this returns; with a ledger it becomes durable a moment
        later, before anything is sent. A key conflict ends the job as `rejected`.

        Raises:
            QueueFullError: the queue is full; `.queued` and `.estimated_wait` tell how.
            InvalidRequestError: the mapping is no valid request.
        """
        lane = self._open_lane()
        job = Job(
            as_request(request, api_generation=self._generation),
            key=key,
            group=group,
            priority=priority,
            tags=tags,
            max_wait=max_wait,
            max_queue_wait=max_queue_wait,
        )
        if lane.unsent >= self._options.max_queue:
            msg = f"the queue is full: {lane.unsent} jobs wait for a slot"
            raise QueueFullError(msg, queued=lane.unsent, estimated_wait=estimated_wait(lane))
        lane.arrive([job]).unheard = True
        return job

    async def get(self, key: str) -> Job | None:
        """The job with this key, also one that ended in an earlier process, or None."""
        lane = self._open_lane()
        live = self._book.live.get(key)
        if live is not None and (live.lane is None or live.lane.host is None):
            return live
        row = await self._book.ledger.get(key)
        if row is None:
            return None
        job = Job.of_row(row)
        if row.status is None:
            await lane.add([job], check_price=False)
        else:
            job.settle(outcome_of(row, job.request))
        return job

    async def outcomes(self, *, after: int = 0) -> AsyncIterator[Outcome]:
        """Ended jobs from the ledger in order of ending: each at least once.

        Args:
            after: The `seq` of the last outcome that was dealt with; 0 for all.
        """
        self._open_lane()
        while rows := await self._book.ledger.ended_rows(after=after):
            for row in rows:
                yield outcome_of(row, restore_request(row.body))
            after = rows[-1].ended_number or after

    async def resume(self) -> None:
        """Goes on submitting after a pause (401, 402, 403).

        In whichever process: where another one runs the ledger, that one goes on within
        half a second.

        Raises:
            LedgerError: another process cannot be asked.
        """
        lane = self._open_lane()
        await lane.carry_out(lambda: resume(lane))
        if self._book.shared and not self._book.runs:
            await ask_to_resume(self._book)

    async def drain(self, *, deadline: float = math.inf) -> None:
        """Stops submitting and waits for running tasks, at most `deadline` seconds.

        Unsent jobs are told as cancelled; in a durable ledger they stay queued for the
        next process. What still runs after the deadline is left to the ledger when the
        block is left.
        """
        lane = self._open_lane()
        reason = JobCancelledError("the scheduler is draining")
        await lane.carry_out(lambda: cancel_unsent(lane, reason))
        with anyio.move_on_after(deadline):
            await lane.wait_until_idle()
            return
        lane.abandon()

    def set_max_in_flight(self, bound: int | None) -> None:
        """Changes the upper bound of this scheduler's running tasks; None learns it."""
        lane = self._open_lane()
        self._client._account.state.set_bound(lane, check_bound(bound))  # noqa: SLF001
        self._client._account.pump()  # noqa: SLF001

    def statistics(self) -> Statistics:
        """A snapshot; cheap enough for every frame of a display."""
        if self._lane is None:
            msg = "the scheduler is not running: use it inside `async with`"
            raise ConfigurationError(msg)
        return statistics_of(self._lane)
