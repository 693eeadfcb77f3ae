"""`asyncio.timeout` around single calls of a scheduler that lives on, cut off at every step.

What was waited for goes on or is cancelled as a whole; the scheduler works as before, and
nothing is paid twice.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from kinovi_async import AsyncKinovi, JobScheduler, NanoBanana2, OutcomeStatus
from tests.virtual import VirtualClockLoop

from .conftest import Api
from .members import InlineLedger

pytestmark = pytest.mark.unwatched

STEPS = 14
"""More than any of these calls takes without waiting for the API."""


def cat(name: str) -> NanoBanana2:
    return NanoBanana2(prompt=name)


async def submit(scheduler: JobScheduler) -> None:
    await scheduler.submit(cat("new"), key="new")


async def submit_and_wait(scheduler: JobScheduler) -> None:
    job = await scheduler.submit(cat("new"), key="new")
    await job.result()


async def submit_while_full(scheduler: JobScheduler) -> None:
    for n in range(4):
        await scheduler.submit(cat(f"more {n}"), key=f"more {n}")


async def wait(scheduler: JobScheduler) -> None:
    job = await scheduler.get("running")
    assert job is not None
    await job.outcome()


async def cancel(scheduler: JobScheduler) -> None:
    job = await scheduler.get("queued")
    assert job is not None
    await job.cancel()


async def read(scheduler: JobScheduler) -> None:
    assert await scheduler.get("ended") is not None
    assert [outcome.key async for outcome in scheduler.outcomes()] == ["ended"]


async def resume(scheduler: JobScheduler) -> None:
    await scheduler.resume()


CALLS: list[Callable[[JobScheduler], Awaitable[None]]] = [
    submit, submit_and_wait, submit_while_full, wait, cancel, read, resume,
]  # fmt: skip


async def cut_off(call: Callable[[JobScheduler], Awaitable[None]], ledger: Path, step: int) -> bool:
    """Whether the call was cut off."""
    api = Api()
    book = InlineLedger(ledger)
    client: AsyncKinovi = api.client(ledger=book)
    async with api.http, client:
        async with JobScheduler(client, max_in_flight=1, max_queue=3) as scheduler:
            await (await scheduler.submit(cat("ended"), key="ended")).result()
            await scheduler.submit(cat("running"), key="running")
            await scheduler.submit(cat("queued"), key="queued")
            await asyncio.sleep(2)
            reached = asyncio.get_running_loop().time()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None) as bound:
                    cutter = asyncio.ensure_future(cut(bound, step))
                    await call(scheduler)
            cutter.cancel()
            # Waiting for nothing but itself, it ends at once.
            assert asyncio.get_running_loop().time() - reached < 0.1 or not bound.expired()
            async with asyncio.timeout(600):
                again = await scheduler.submit(cat("new"), key="new")
                assert (await again.result()).urls
                running = await scheduler.get("running")
                assert running is not None
                assert (await running.outcome()).ok
                queued = await scheduler.get("queued")
                assert queued is not None
                expected = {OutcomeStatus.SUCCEEDED}
                if call is cancel:
                    expected.add(OutcomeStatus.CANCELLED)
                assert (await queued.outcome()).status in expected
        assert set(api.simulator.books.accepted_per_prompt().values()) == {1}
        await book.aclose()
        return bound.expired()


async def cut(bound: asyncio.Timeout, step: int) -> None:
    for _ in range(step):
        await asyncio.sleep(0)
    bound.reschedule(asyncio.get_running_loop().time() - 1)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_a_timeout_at_any_step_of_a_call_leaves_the_scheduler_as_it_was(
    tmp_path: Path, call: Callable[[JobScheduler], Awaitable[None]]
) -> None:
    cut_short = 0
    for step in range(STEPS):
        with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
            cut_short += runner.run(cut_off(call, tmp_path / f"{step}.sqlite3", step))
    assert cut_short


@pytest.mark.parametrize("deadline", [0.0, 0.5, 3.0, 10.0, 60.0])
def test_a_timeout_around_a_drain_leaves_the_rest_to_the_ledger(
    tmp_path: Path, deadline: float
) -> None:
    """As a server's lifespan does that has only so long."""

    async def main() -> None:
        api = Api()
        path = tmp_path / "jobs.sqlite3"
        async with api.http:
            book = InlineLedger(path)
            async with api.client(ledger=book) as client:
                with anyio.fail_after(deadline + 15), contextlib.suppress(TimeoutError):
                    async with JobScheduler(client) as scheduler:
                        for n in range(8):
                            await scheduler.submit(cat(f"cat {n}"), key=f"cat-{n}")
                        await asyncio.sleep(1)
                        async with asyncio.timeout(deadline):
                            await scheduler.drain()
            await book.aclose()
            book = InlineLedger(path)
            async with api.client(ledger=book) as client, JobScheduler(client) as scheduler:
                for n in range(8):
                    job = await scheduler.get(f"cat-{n}")
                    assert job is not None
                    assert (await job.outcome()).ok
            await book.aclose()
            assert set(api.simulator.books.accepted_per_prompt().values()) == {1}

    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        runner.run(main())
