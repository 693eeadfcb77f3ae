"""Waits that are cut off, left or broken at awkward moments: nothing hangs, nothing is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import anyio
import pytest

from kinovi_async import (
    AsyncKinovi,
    BudgetExceededError,
    ConfigurationError,
    Event,
    InsufficientCreditsError,
    Job,
    JobAccepted,
    JobEnded,
    JobScheduler,
    LedgerError,
    MemoryLedger,
    NanoBanana2,
    OutcomeStatus,
)
from kinovi_async._ledger import Ending, JobRow, JobState
from tests.virtual import VirtualClockLoop

from .conftest import KEY, Api
from .members import InlineLedger, scheduler


def cat(n: int) -> NanoBanana2:
    return NanoBanana2(prompt=f"cat {n}")


class FailingLedger(MemoryLedger):
    """Fails the first call of one method."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self.method: str | None = method

    def _fail(self, method: str) -> None:
        if self.method == method:
            self.method = None
            msg = f"{method} failed"
            raise LedgerError(msg)

    async def end(self, key: str, ending: Ending) -> JobRow | None:
        self._fail("end")
        return await super().end(key, ending)

    async def accepted(self, key: str, execution: str, task_id: str, *, at: float) -> None:
        self._fail("accepted")
        await super().accepted(key, execution, task_id, at=at)


@pytest.mark.parametrize("cause", ["402", "budget"])
async def test_a_stop_while_a_block_drains_ends_it(
    client: AsyncKinovi, api: Api, cause: str
) -> None:
    if cause == "402":
        api.simulator.set_credits(30, key=KEY)
    with anyio.fail_after(600):
        async with JobScheduler(
            client, max_in_flight=1, budget=30 if cause == "budget" else None
        ) as scheduler:
            jobs = [await scheduler.submit(cat(n)) for n in range(5)]
    errors = [type((await job.outcome()).error) for job in jobs]
    error = InsufficientCreditsError if cause == "402" else BudgetExceededError
    assert errors == [type(None)] * 2 + [error] * 3


async def test_one_key_twice_without_waiting_does_not_keep_the_block(
    client: AsyncKinovi,
) -> None:
    jobs: list[Job] = []
    with anyio.fail_after(60), pytest.raises(ZeroDivisionError):
        async with JobScheduler(client) as scheduler:
            jobs += [scheduler.submit_nowait(cat(1), key="a") for _ in range(2)]
            await anyio.sleep(2)
            raise ZeroDivisionError
    assert {(await job.outcome()).status for job in jobs} <= {
        OutcomeStatus.EXPIRED,
        OutcomeStatus.CANCELLED,
    }


async def test_a_cancellation_cut_short_is_still_carried_out(client: AsyncKinovi) -> None:
    with anyio.fail_after(600):
        async with JobScheduler(client, max_in_flight=1) as scheduler:
            await scheduler.submit(cat(1))
            job = await scheduler.submit(cat(2))
            await anyio.sleep(1)
            with anyio.CancelScope() as scope:
                scope.cancel()
                await job.cancel()
            assert (await job.outcome()).status is OutcomeStatus.CANCELLED


async def test_a_ledger_that_fails_to_write_a_cancellation_ends_the_block(
    client: AsyncKinovi,
) -> None:
    with anyio.fail_after(600), pytest.raises(LedgerError, match="end failed"):
        async with JobScheduler(client, max_in_flight=1, ledger=FailingLedger("end")) as scheduler:
            await scheduler.submit(cat(1))
            job = await scheduler.submit(cat(2))
            await anyio.sleep(1)
            with pytest.raises(LedgerError):
                await job.cancel()
            assert isinstance((await job.outcome()).error, LedgerError)


async def test_a_handler_that_never_returns_does_not_keep_a_cancelled_wait(
    client: AsyncKinovi,
) -> None:
    async def stuck(event: Event) -> None:
        if isinstance(event, JobAccepted):
            await anyio.sleep_forever()

    with anyio.fail_after(100), anyio.move_on_after(20):
        async with JobScheduler(client, on_event=stuck) as scheduler:
            job = await scheduler.submit(cat(1))
            await job.outcome()
    assert (await job.outcome()).status is OutcomeStatus.EXPIRED


async def test_an_outcome_is_told_although_its_handler_is_cut_off(client: AsyncKinovi) -> None:
    reached = anyio.Event()

    async def slow(event: Event) -> None:
        if isinstance(event, JobEnded):
            reached.set()
            await anyio.sleep(1000)

    with anyio.move_on_after(100):
        async with JobScheduler(client, on_event=slow) as scheduler:
            job = await scheduler.submit(cat(1))
            await reached.wait()
            await scheduler.drain(deadline=1)
    with anyio.fail_after(1):
        assert (await job.outcome()).status is OutcomeStatus.SUCCEEDED


async def test_after_a_drain_nothing_more_is_taken(client: AsyncKinovi) -> None:
    async with JobScheduler(client) as scheduler:
        await scheduler.submit(NanoBanana2(prompt="long", resolution="4k"))
        await anyio.sleep(1)
        await scheduler.drain(deadline=0.5)
        with pytest.raises(ConfigurationError):
            scheduler.submit_nowait(cat(1))
        with pytest.raises(ConfigurationError):
            scheduler.set_max_in_flight(3)


async def test_a_call_that_raised_402_is_not_sent_by_the_next_run(api: Api) -> None:
    ledger = MemoryLedger()
    api.simulator.set_credits(1, key=KEY)
    async with api.client(ledger=ledger) as client:
        with pytest.raises(InsufficientCreditsError):
            await client.generate(cat(1))
        api.simulator.set_credits(1000, key=KEY)
        async with JobScheduler(client):
            await anyio.sleep(10)
    assert api.simulator.books.accepted == ()
    assert not await ledger.rows(states={JobState.QUEUED})


async def test_a_ledger_that_breaks_ends_a_batch_aloud(client: AsyncKinovi) -> None:
    seen = 0
    with pytest.raises(LedgerError, match="end failed"):
        async with client.stream_batch(
            [cat(n) for n in range(5)], ledger=FailingLedger("end")
        ) as outcomes:
            async for _ in outcomes:
                seen += 1
                await anyio.sleep(50)
    assert seen <= 5


async def test_a_task_the_ledger_could_not_keep_is_kept_when_it_can(
    client: AsyncKinovi, api: Api
) -> None:
    ledger = FailingLedger("accepted")
    async with api.client(ledger=ledger) as broken:
        with pytest.raises(LedgerError):
            await broken.generate(cat(1), key="a")
        record = await broken.generate(cat(1), key="a")
    assert [task.task_id for task in api.simulator.books.accepted] == [record.task_id]


async def test_a_key_function_that_fails_once_ends_no_wait(api: Api) -> None:
    calls = 0

    def key() -> str:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise OSError
        return KEY

    async with api.client(api_key=key) as client:
        outcomes = await client.run_batch([cat(n) for n in range(2)])
    assert [outcome.ok for outcome in outcomes] == [True, True]
    assert calls > 4


async def test_max_queue_bounds_concurrent_submits(client: AsyncKinovi) -> None:
    most = 0
    async with (
        JobScheduler(client, max_in_flight=1, max_queue=5) as scheduler,
        anyio.create_task_group() as group,
    ):
        for n in range(30):
            group.start_soon(scheduler.submit, cat(n))
        for _ in range(20):
            await anyio.sleep(1)
            most = max(most, scheduler.statistics().queued)
        await scheduler.drain()
    assert most == 5


async def test_a_handle_survives_the_call_that_drove_its_job(api: Api) -> None:
    async with (
        api.client(ledger=MemoryLedger()) as client,
        JobScheduler(client) as scheduler,
        anyio.create_task_group() as group,
    ):

        async def call() -> None:
            with anyio.move_on_after(2):
                await client.generate(cat(1), key="a")

        group.start_soon(call)
        await anyio.sleep(1)
        job = await scheduler.submit(cat(1), key="a")
        assert (await job.result()).urls
    assert len(api.simulator.books.accepted) == 1


async def test_closing_the_client_ends_what_still_waits(api: Api) -> None:
    client = api.client()
    errors: list[BaseException] = []

    async def call() -> None:
        try:
            await client.run_batch([cat(n) for n in range(20)])
        except ConfigurationError as error:
            errors.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        await anyio.sleep(2)
        await client.aclose()
    paid = len(api.simulator.books.accepted)
    await anyio.sleep(100)
    assert "closed" in str(errors[0])
    assert len(api.simulator.books.accepted) == paid <= 3


@pytest.mark.parametrize("step", range(1, 40))
def test_a_generate_cancelled_at_any_step_leaves_its_key_usable(step: int) -> None:
    """Native cancellation, which no shield of a library stops."""

    async def main() -> Any:
        api = Api()
        async with api.http, api.client() as client:
            task = asyncio.ensure_future(client.generate(cat(1), key="a"))
            for _ in range(step):
                await asyncio.sleep(0)
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=60)
            assert done
            with anyio.fail_after(300):
                record = await client.generate(cat(1), key="a", rerun=True)
            assert len(api.simulator.books.accepted) == 1
            return record.urls

    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        assert runner.run(main())


@pytest.mark.parametrize("step", range(12))
def test_a_call_that_begins_while_the_client_is_closed_is_told(step: int) -> None:
    """It had looked whether the client is open, and was not driving its job yet."""

    async def main() -> None:
        api = Api()
        client = api.client()
        async with api.http:
            calls = [
                asyncio.ensure_future(client.generate(cat(1))),
                asyncio.ensure_future(client.run_batch([cat(2)])),
            ]
            for _ in range(step):
                await asyncio.sleep(0)
            await client.aclose()
            _, waiting = await asyncio.wait(calls, timeout=100)
            assert not waiting
            assert {type(call.exception()) for call in calls} == {ConfigurationError}

    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        runner.run(main())


@pytest.mark.parametrize("step", range(12))
def test_a_close_cut_off_gives_the_lease_back(step: int, tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite3"

    async def main() -> None:
        api = Api()
        async with api.http:
            ledger = InlineLedger(path)
            client = api.client(ledger=ledger)
            call = asyncio.ensure_future(client.generate(cat(1)))
            await asyncio.sleep(1)
            closing = asyncio.ensure_future(client.aclose())
            for _ in range(step + 1):
                await asyncio.sleep(0)
            closing.cancel()
            await asyncio.wait([call, closing])
            async with scheduler(api, path) as other:
                assert other.statistics().runner
            await ledger.aclose()

    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        runner.run(main())
