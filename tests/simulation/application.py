"""The user's program: it enters every job, waits, cancels some, and tells what it was told.

Each process of a schedule runs the same program over the same ledger, as a user would start
the same command again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from decimal import Decimal
from random import Random

import anyio
import httpx

from kinovi_async import (
    AsyncKinovi,
    BudgetExceededError,
    Event,
    JobScheduler,
    KinoviError,
    Outcome,
    Request,
    SchedulerPaused,
    SubmitPolicy,
)

from .ledger import MortalLedger
from .network import simulated_http_transport
from .plan import Job, Plan
from .transport import OwnSimulatedWire, SimulatedTransport
from .world import KEY, Process, World, request_of

__all__ = ["Application"]

BASE_URL = "http://localhost/api/v1"
OPERATOR = 20.0
"""Seconds until somebody notices a pause and calls `resume()`."""


class _StopError(Exception):
    """What the program raises when it is told to end that way."""


class _Client(AsyncKinovi):
    """The real client with the world's clock and repeatable chance."""

    def __init__(self, world: World, process: Process, ledger: MortalLedger) -> None:
        self._world = world
        self._process_number = process.number
        plan = world.plan
        super().__init__(
            api_key=KEY,
            base_url=BASE_URL,
            http_client=None if plan.speaks else _user_client(world, process),
            ledger=ledger.as_ledger(),
            max_in_flight=plan.max_in_flight,
            submit_policy=SubmitPolicy(server_error=plan.policy),
        )
        if plan.speaks:
            self._transport._wire = OwnSimulatedWire(lambda url: _connection(world, process, url))

    def _wall(self) -> float:
        return self._world.wall()

    def _new_random(self) -> Random:
        return Random(f"{self._world.plan.seed} client {self._process_number}")


def _connection(world: World, process: Process, url: str) -> httpx.AsyncBaseTransport:
    if world.plan.tier == "bytes":
        return simulated_http_transport(world, process, url, connections=1)
    return SimulatedTransport(world, process, speaks=True)


def _user_client(world: World, process: Process) -> httpx.AsyncClient:
    transport: httpx.AsyncBaseTransport
    if world.plan.tier == "bytes":
        transport = simulated_http_transport(world, process, BASE_URL, connections=20)
    else:
        transport = SimulatedTransport(world, process, speaks=False)
    return httpx.AsyncClient(transport=transport, trust_env=False)


class Application:
    """One run of the program."""

    def __init__(
        self,
        world: World,
        process: Process,
        ledger: MortalLedger,
        jobs: Sequence[Job],
        *,
        last: bool = False,
    ) -> None:
        self._world = world
        self.process = process
        self._ledger = ledger
        self._jobs = jobs
        self._last = last
        """Whether everything is to be run to its end: one scheduler, nothing cancelled."""
        self._budget = None if last else _budget(world.plan)
        everywhere = all(job.route != "generate" for job in world.plan.jobs)  # it takes none
        world.budget = self._budget if everywhere else None
        self.told: dict[str, Outcome] = {}
        self.failed: list[BaseException] = []
        self._paused = anyio.Event()

    async def run(self) -> None:
        """Until all is done, or the plan says so."""
        life = self.process.life
        await anyio.sleep(life.begins)
        try:
            if life.stop_at is None:
                await self._work()
            else:
                await self._interrupted(life.stop_at)
        except* (KinoviError, _StopError) as errors:
            self.failed += _flat(errors)

    async def _interrupted(self, after: float) -> None:
        if self.process.life.stop_by != "cancel":
            await self._work()  # the scheduler is told
            return
        async with anyio.create_task_group() as group:
            group.start_soon(self._note_stop, after)
            with anyio.move_on_after(after):
                await self._work()
            group.cancel_scope.cancel()

    async def _note_stop(self, after: float) -> None:
        await anyio.sleep(after - 1e-6)
        self.process.told_to_stop_at[""] = self._world.now
        self._world.note(f"p{self.process.number} is told to stop")

    async def _work(self) -> None:
        plan = self._world.plan
        async with AsyncExitStack() as stack:
            client = _Client(self._world, self.process, self._ledger)
            if not plan.speaks:
                await stack.enter_async_context(client._options["http_client"])  # type: ignore[arg-type]
            await stack.enter_async_context(client)
            async with anyio.create_task_group() as group:
                if self._last or any(job.route == "scheduler" for job in self._jobs):
                    group.start_soon(self._schedule, client)
                if not self._last:
                    if any(job.route == "batch" for job in self._jobs):
                        group.start_soon(self._batch, client)
                    for job in self._jobs:
                        if job.route == "generate":
                            group.start_soon(self._generate, client, job)

    # -- routes ----------------------------------------------------------------------------

    async def _schedule(self, client: AsyncKinovi) -> None:
        plan, life = self._world.plan, self.process.life
        jobs = [job for job in self._jobs if self._last or job.route == "scheduler"]
        async with JobScheduler(
            client,
            budget=self._budget,
            retry_failed=plan.retry_failed,
            on_event=self._heard,
            max_queue=5 if plan.seed % 3 == 0 and not self._last else 1000,
        ) as scheduler:
            async with anyio.create_task_group() as group:
                group.start_soon(self._operate, scheduler)
                if not self._last and life.stop_at is not None and life.stop_by != "cancel":
                    group.start_soon(self._stop, scheduler)
                async with anyio.create_task_group() as waits:
                    for job in jobs:
                        waits.start_soon(self._follow, scheduler, job)
                group.cancel_scope.cancel()
            if self.process.alive and not self.process.disk_failed:
                self._check_idle(scheduler)

    def _check_idle(self, scheduler: JobScheduler) -> None:
        mixed = any(job.route != "scheduler" for job in self._world.plan.jobs)
        if (mixed or not self.process.alone) and not self._last:
            return  # others of the account may still be at work
        seen = scheduler.statistics()
        if seen.paused is None and self.process.life.stop_at is None:
            left = (seen.submitting, seen.in_flight, seen.queued)
            unclear = [row for row in self._world.rows.values() if row.status == "ambiguous"]
            # An unclear submission holds its slot for a while.
            self._world.require(
                left == (0, 0, 0) or unclear, f"I6 {left} left submitting, in flight, queued"
            )

    async def _stop(self, scheduler: JobScheduler) -> None:
        life = self.process.life
        await anyio.sleep(life.stop_at or 0.0)
        self.process.told_to_stop_at[""] = self._world.now
        self._world.note(f"p{self.process.number} is told to stop")
        if life.stop_by == "raise":
            raise _StopError
        await scheduler.drain(deadline=5.0)

    async def _operate(self, scheduler: JobScheduler) -> None:
        """Somebody who sees to it that submissions go on after a pause."""
        while True:
            await self._paused.wait()
            self._paused = anyio.Event()
            await anyio.sleep(OPERATOR)
            reason = scheduler.statistics().paused
            if isinstance(reason, BudgetExceededError):
                self.process.told_to_stop_at["to drain"] = self._world.now
                self._world.note(f"p{self.process.number} drains")
                await scheduler.drain()
                return
            if reason is not None:
                self._world.note(f"p{self.process.number} resumes")
                await scheduler.resume()

    def _heard(self, event: Event) -> None:
        if isinstance(event, SchedulerPaused):
            self._world.note(f"p{self.process.number} paused: {type(event.reason).__name__}")
            self._paused.set()

    async def _follow(self, scheduler: JobScheduler, job: Job) -> None:
        await anyio.sleep(0 if self._last else job.at)
        made = await scheduler.submit(
            request_of(job),
            key=job.key,
            group=job.group,
            priority=job.priority,
            max_wait=job.max_wait,
            max_queue_wait=job.max_queue_wait,
        )
        async with anyio.create_task_group() as group:
            if not self._last:
                if job.twice:
                    group.start_soon(self._again, scheduler, job)
                if job.cancel_at is not None:
                    group.start_soon(self._cancel, made, job)
                if job.stop_waiting_at is not None:
                    group.start_soon(self._wait_a_while, made, job)
            self._tell(job, await made.outcome())
            group.cancel_scope.cancel()

    async def _again(self, scheduler: JobScheduler, job: Job) -> None:
        await anyio.sleep(job.priority + 0.3)
        again = await scheduler.submit(request_of(job), key=job.key, max_wait=job.max_wait)
        self._tell(job, await again.outcome())

    async def _cancel(self, made: object, job: Job) -> None:
        await anyio.sleep(job.cancel_at or 0.0)
        row = self._world.rows[job.key]
        row.may_cancel = True
        cancel = made.cancel  # type: ignore[attr-defined]
        if await cancel() and self.process.alive:
            self._world.note(f"p{self.process.number} cancelled {job.key}")
            self._world.require(row.status == "cancelled", f"I2 {job.key} cancelled, {row.state}")
            row.withdrawn = True

    @staticmethod
    async def _wait_a_while(made: object, job: Job) -> None:
        result = made.result  # type: ignore[attr-defined]
        with anyio.move_on_after(job.stop_waiting_at):
            try:
                await result()
            except KinoviError:
                return

    async def _batch(self, client: AsyncKinovi) -> None:
        jobs = [job for job in self._jobs if job.route == "batch"]
        source: list[_Item] = [(job.key, request_of(job)) for job in jobs]
        source += [(job.key, request_of(job)) for job in jobs if job.twice]
        async with client.stream_batch(
            _lazily(source) if self._world.plan.seed % 2 else source,
            budget=self._budget,
            retry_failed=self._world.plan.retry_failed,
            max_wait=self._world.plan.batch_max_wait,
        ) as outcomes:
            async for outcome in outcomes:
                self._tell(self._world.rows[outcome.key].job, outcome)

    async def _generate(self, client: AsyncKinovi, job: Job) -> None:
        await anyio.sleep(job.at)
        row = self._world.rows[job.key]
        limit = job.cancel_at if job.cancel_at is not None else float("inf")
        async with anyio.create_task_group() as group:
            if limit < float("inf"):
                group.start_soon(self._note_cancel, job, limit)
            # Leaving the call cancels what is queued: by a sibling's end, too.
            row.may_cancel = True
            with anyio.move_on_after(limit):
                try:
                    await client.generate(
                        request_of(job), key=job.key, priority=job.priority, max_wait=job.max_wait
                    )
                except KinoviError as error:
                    self._world.note(f"p{self.process.number} {job.key} {type(error).__name__}")
            group.cancel_scope.cancel()

    async def _note_cancel(self, job: Job, after: float) -> None:
        await anyio.sleep(max(0.0, after - 1e-6))
        self.process.told_to_stop_at[job.key] = self._world.now

    def _tell(self, job: Job, outcome: Outcome) -> None:
        """I2: one ending, written before it is told."""
        world, process = self._world, self.process
        if not process.alive:
            return
        row = world.rows[job.key]
        world.note(f"p{process.number} told {job.key} {outcome.status} {outcome.task_id}")
        if outcome.seq is not None:
            world.require(
                row.state == "ended" and row.status == outcome.status.value,
                f"I2 {job.key} is told {outcome.status}, but the ledger has {row.status}",
            )
        else:
            world.require(
                outcome.status.value in {"cancelled", "expired", "ambiguous"},
                f"I2 {job.key} is told {outcome.status}, which is not written",
            )
        world.require(KEY not in repr(outcome), f"I8 the key is in the outcome of {job.key}")
        self.told[job.key] = outcome


_Item = tuple[str, Request | Mapping[str, object]]


async def _lazily(source: list[_Item]) -> AsyncIterator[_Item]:
    for item in source:
        await anyio.sleep(0.5)
        yield item


def _budget(plan: Plan) -> Decimal | None:
    if plan.budget_share is None:
        return None
    prices = [_price(job) for job in plan.jobs]
    return (sum(prices, Decimal(0)) * Decimal(plan.budget_share)).quantize(Decimal(1))


def _price(job: Job) -> Decimal:
    if job.model != "nanobanana2":
        return Decimal(12)
    return Decimal(25 if job.resolution == "4k" else 15)


def _flat(errors: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in errors.exceptions:
        found += _flat(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
