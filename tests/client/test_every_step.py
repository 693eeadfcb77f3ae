"""Cancelled at every step of the event loop: nothing leaks, and the ledger knows all that is paid.

A run of three jobs takes some hundred steps. It is run once for each of them, cancelled
there, looked at, and then taken up again: by the same client, whose slots must all be
free, or by another one on the same ledger. `KINOVI_TEST_STRIDE=1` tries every step of
all three scenarios; without it each tries every third.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx
import pytest
import trio
import trio.testing

from kinovi_async import AsyncKinovi, JobScheduler, MemoryLedger, NanoBanana2
from kinovi_async._ledger import JobState
from kinovi_async.simulator import Simulator
from tests.canary import CANARY
from tests.virtual import VirtualClockLoop

pytestmark = pytest.mark.unwatched

STRIDE = int(os.environ.get("KINOVI_TEST_STRIDE", "3"))
JOBS = 3
LONGEST = 5000
"""Steps after which a run is taken for endless."""


def wish(n: int) -> NanoBanana2:
    return NanoBanana2(prompt=f"cat {n}")


async def batch(client: AsyncKinovi) -> None:
    await client.run_batch([(f"job-{n}", wish(n)) for n in range(JOBS)])


async def generate(client: AsyncKinovi) -> None:
    async def one(n: int) -> None:
        await client.generate(wish(n), key=f"job-{n}", rerun=True)

    async with anyio.create_task_group() as group:
        for n in range(JOBS):
            group.start_soon(one, n)


async def scheduler(client: AsyncKinovi) -> None:
    async with JobScheduler(client) as jobs:
        handles = [await jobs.submit(wish(n), key=f"job-{n}") for n in range(JOBS)]
        for handle in handles:
            await handle.result()


SCENARIOS: list[Callable[[AsyncKinovi], Awaitable[None]]] = [batch, generate, scheduler]


class Wire(httpx.AsyncBaseTransport):
    """The simulator at the other end of a slow wire, without a server between."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self.active = 0
        """Requests on their way."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.active += 1
        try:
            await anyio.sleep(0.05)
            authorization, media = request.headers["authorization"], "http://localhost/media"
            if request.method == "POST":
                delivery = self._simulator.submit(authorization, request.content, media)
            else:
                task_id = request.url.params.get("taskId")
                delivery = self._simulator.poll(authorization, task_id, media)
            await anyio.sleep(0.05)
            answer = delivery.answer
            return httpx.Response(answer.status, headers=dict(answer.headers), content=answer.body)
        finally:
            self.active -= 1


class World:
    """An account of two slots, so that one of three jobs meets a 429; and a ledger."""

    def __init__(self) -> None:
        self.simulator = Simulator(limit=2, clock=anyio.current_time)
        self.wire = Wire(self.simulator)
        self.http = httpx.AsyncClient(transport=self.wire)
        self.ledger = MemoryLedger()

    def client(self) -> AsyncKinovi:
        return AsyncKinovi(
            api_key=CANARY,
            base_url="http://localhost/api/v1",
            http_client=self.http,
            ledger=self.ledger,
        )

    async def check_ledger(self) -> None:
        """What is paid for stands in it, and nothing else does."""
        rows = {row.key: row for row in await self.ledger.rows()}
        assert [row.key for row in rows.values() if row.state is JobState.SENDING] == []
        paid = {
            task.prompt.replace("cat ", "job-"): task.task_id
            for task in self.simulator.books.accepted
        }
        assert {row.key: row.task_id for row in rows.values() if row.task_id} == paid

    async def check_end(self) -> None:
        """Every job ended, and was paid for once."""
        counts = Counter(task.prompt for task in self.simulator.books.accepted)
        assert counts == {f"cat {n}": 1 for n in range(JOBS)}
        assert [row.state for row in await self.ledger.rows()] == [JobState.ENDED] * JOBS
        await self.check_ledger()


class SteppedLoop(VirtualClockLoop):
    """Does something once, at the n-th iteration from when it is armed."""

    def __init__(self) -> None:
        super().__init__()
        self._left = -1
        self._act: Callable[[], object] = bool

    def arm(self, step: int, act: Callable[[], object]) -> None:
        self._left, self._act = step, act

    def _run_once(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._act()
        super()._run_once()  # type: ignore[misc] # not in the stubs


async def cancelled_at(step: int, scenario: Callable[[AsyncKinovi], Awaitable[None]]) -> bool:
    """Cancels natively, which no shield of a library holds off; False: it had ended before."""
    world = World()
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SteppedLoop)
    async with world.http:
        client = world.client()
        task = asyncio.ensure_future(scenario(client))
        loop.arm(step, task.cancel)
        done, _ = await asyncio.wait([task], timeout=3600)
        assert done, "it hangs"
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert world.wire.active == 0
        await world.check_ledger()
        if task.cancelled() and step % 2:
            await client.aclose()
            client = world.client()
        with anyio.fail_after(3600):
            await generate(client)
        await client.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await world.check_end()
        return task.cancelled()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_run_may_be_cancelled_at_any_step_of_the_loop(
    scenario: Callable[[AsyncKinovi], Awaitable[None]],
) -> None:
    # With a stride, each scenario tries other steps than the one before.
    for step in range(1 + SCENARIOS.index(scenario) % STRIDE, LONGEST, STRIDE):
        with asyncio.Runner(loop_factory=SteppedLoop) as runner:
            try:
                was_cancelled = runner.run(cancelled_at(step, scenario))
            except BaseException as error:
                error.add_note(f"cancelled at step {step} of {scenario.__name__}")
                raise
        if not was_cancelled:
            break
    assert not was_cancelled
    assert step > 100


class Steps(trio.abc.Instrument):
    """Does something once, before the n-th step of any task."""

    def __init__(self, step: int, act: Callable[[], object]) -> None:
        self._left, self._act = step, act

    def before_task_step(self, task: Any) -> None:
        self._left -= 1
        if self._left == 0:
            self._act()


async def cancelled_on_trio(step: int, scenario: Callable[[AsyncKinovi], Awaitable[None]]) -> bool:
    world = World()
    tasks = trio.lowlevel.current_statistics().tasks_living
    async with world.http:
        client = world.client()
        with trio.move_on_after(3600) as hangs, trio.CancelScope() as scope:
            token = trio.lowlevel.current_trio_token()
            steps = Steps(step, lambda: token.run_sync_soon(scope.cancel))
            trio.lowlevel.add_instrument(steps)
            try:
                await scenario(client)
            finally:
                trio.lowlevel.remove_instrument(steps)
        assert not hangs.cancelled_caught
        assert trio.lowlevel.current_statistics().tasks_living == tasks
        assert world.wire.active == 0
        await world.check_ledger()
        with trio.fail_after(3600):
            await generate(client)
        await client.aclose()
        await world.check_end()
        return scope.cancelled_caught


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_run_may_be_cancelled_at_steps_of_trio_too(
    scenario: Callable[[AsyncKinovi], Awaitable[None]],
) -> None:
    cancelled = 0
    for step in range(5, LONGEST, 17):
        clock = trio.testing.MockClock(autojump_threshold=0)
        if not trio.run(cancelled_on_trio, step, scenario, clock=clock):
            break
        cancelled += 1
    assert cancelled > 5
