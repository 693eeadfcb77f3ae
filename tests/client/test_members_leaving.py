"""Several processes, one ledger: drains, ends and hand-overs between them. In virtual time."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from kinovi_async import (
    BudgetExceededError,
    InsufficientCreditsError,
    JobCancelledError,
    JobScheduler,
    NanoBanana2,
    OutcomeStatus,
    TextToVideo,
)
from kinovi_async._ledger import JobRow, JobState

from .conftest import KEY, Api
from .members import InlineLedger, Life, process, scheduler


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.sqlite3"


def cat(n: object) -> NanoBanana2:
    return NanoBanana2(prompt=f"cat {n}")


def paid(api: Api) -> Counter[str]:
    return Counter(api.simulator.books.accepted_per_prompt())


async def test_a_drain_after_a_pause_tells_also_of_other_processes_jobs(
    api: Api, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A handle on a job that is driven for another process hangs on no paused lane."""
    caplog.set_level(logging.CRITICAL)
    async with (
        scheduler(api, path, budget=15) as first,
        scheduler(api, path) as second,
        anyio.create_task_group() as group,
    ):
        assert (await (await second.submit(cat("paid"), key="paid")).outcome()).ok
        theirs = await second.submit(cat("theirs"), key="theirs")
        await anyio.sleep(5)
        assert isinstance(first.statistics().paused, BudgetExceededError)
        mine = await first.submit(cat("theirs"), key="theirs")
        with anyio.fail_after(1):
            await first.drain()
            outcome = await mine.outcome()
        assert outcome.status is OutcomeStatus.CANCELLED
        assert isinstance(outcome.error, JobCancelledError)
        assert outcome.seq is None
        row = await first._book.ledger.get("theirs")
        assert row is not None
        assert row.state is JobState.QUEUED
        with anyio.fail_after(1):  # the lane is stopped, and the job still another process's
            new = await second.submit(cat("new"), key="new")
            await anyio.sleep(0.6)
            late = [await first.submit(cat(key), key=key) for key in ("theirs", "new")]
            assert {(await job.outcome()).status for job in late} == {OutcomeStatus.CANCELLED}
            assert not new.done
        assert not theirs.done
        group.start_soon(second.drain)
    assert paid(api) == {"cat paid": 1}


async def test_a_refusal_that_comes_after_a_drain_is_told_to_those_who_wait_for_others_jobs(
    api: Api, path: Path
) -> None:
    async with scheduler(api, path) as first, scheduler(api, path) as second:
        await first.submit(TextToVideo(prompt="a wave"))
        api.simulator.set_limit(1, key=KEY)
        api.simulator.latency = 20.0
        await second.submit(cat("theirs"), key="theirs")
        await anyio.sleep(30)  # its submission is on the wire, and will be answered with 429
        mine = await first.submit(cat("theirs"), key="theirs")
        with anyio.move_on_after(0):
            await first.drain()
        assert not mine.done
        with anyio.fail_after(60):
            assert (await mine.outcome()).status is OutcomeStatus.CANCELLED
        await second.drain(deadline=0)
        await first.drain(deadline=0)
    assert paid(api) == {"a wave": 1}


@pytest.mark.parametrize("way", ["batch", "call"])
async def test_a_call_that_waits_for_another_processs_job_ends_at_what_would_end_its_own(
    api: Api, path: Path, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    caplog.set_level(logging.CRITICAL)
    async with process(api, path) as runner, anyio.create_task_group() as group:
        group.start_soon(runner.client.generate, TextToVideo(prompt="film"))
        await anyio.sleep(3)
        async with scheduler(api, path) as member:
            api.simulator.set_credits(1, key=KEY)
            api.simulator.latency = 5.0
            job = await member.submit(cat(1), key="one")
            await anyio.sleep(3)
            with anyio.fail_after(60):
                if way == "batch":
                    (outcome,) = await runner.client.run_batch([("one", cat(1))])
                    assert isinstance(outcome.error, InsufficientCreditsError)
                else:
                    with pytest.raises(InsufficientCreditsError):
                        await runner.client.generate(cat(1), key="one")
            assert not job.done
            await member.drain(deadline=0)
    assert paid(api) == {"film": 1}


async def test_a_normal_end_lets_another_processs_submission_be_answered(
    api: Api, path: Path
) -> None:
    """It takes longer than what a wait that is cut off leaves it."""
    async with process(api, path) as runner, anyio.create_task_group() as group:
        async with JobScheduler(runner.client):
            member = await Life(api, path).start(group)
            api.simulator.latency = 40.0
            job = await member.scheduler.submit(cat("theirs"))
            await anyio.sleep(1)  # it is on the wire
            left_at = anyio.current_time()
        assert 30 < anyio.current_time() - left_at < 45
        api.simulator.latency = 0.0
        assert (await job.outcome()).ok
        member.leave()
    assert paid(api) == {"cat theirs": 1}


async def test_while_a_scheduler_lets_go_another_wait_of_its_process_drives_what_comes(
    api: Api, path: Path
) -> None:
    ended: dict[str, float] = {}
    async with process(api, path) as runner, anyio.create_task_group() as group:

        async def call(key: str) -> None:
            await runner.client.generate(cat(key), key=key)
            ended[key] = anyio.current_time()

        async def come() -> None:
            await anyio.sleep(1)
            job = await member.scheduler.submit(cat("new"))
            assert (await job.outcome()).ok
            ended["new"] = anyio.current_time()

        async with JobScheduler(runner.client):
            member = await Life(api, path).start(group)
            await runner.client.run_batch([cat(f"limit {n}") for n in range(6)])  # it learns
            group.start_soon(runner.client.generate, TextToVideo(prompt="film"))
            await anyio.sleep(3)
            api.simulator.latency = 70.0
            await member.scheduler.submit(cat("theirs"), key="theirs")
            await anyio.sleep(1)
            api.simulator.latency = 0.0
            group.start_soon(call, "theirs")
            group.start_soon(come)
            await anyio.sleep(0.5)
        assert ended["new"] < anyio.current_time()  # it held up nobody
        while len(ended) < 2:  # noqa: ASYNC110 - seconds of virtual time
            await anyio.sleep(1)
        assert not member.scheduler.statistics().runner
        member.leave()
    assert set(paid(api).values()) == {1}
    assert len(paid(api)) == 6 + 3


class LateLooks(InlineLedger):
    """Something happens while it is read for the watch; its answers come late from then on."""

    meanwhile: Callable[[], object] | None = None
    method = ""

    async def _late(self, method: str, seconds: float) -> None:
        if self.method == method:
            meanwhile, self.meanwhile = self.meanwhile, None
            if meanwhile is None:
                seconds *= 2
            else:
                meanwhile()
            await anyio.sleep(seconds)

    async def rows(self, **more: Any) -> list[JobRow]:
        rows = await super().rows(**more)
        if rows and more.get("states") == {JobState.QUEUED} and self.meanwhile is not None:
            await self._late("rows", 1.0)
        return rows

    async def get(self, key: str) -> JobRow | None:
        row = await super().get(key)
        await self._late("get", 1.0)
        return row


async def test_a_row_that_a_closing_wait_reads_is_left_to_the_next_one(
    api: Api, path: Path
) -> None:
    ledger = LateLooks(path)
    ledger.method = "rows"
    closing = anyio.CancelScope()
    begun = anyio.Event()
    async with api.client(ledger=ledger) as client, anyio.create_task_group() as group:

        async def first() -> None:
            with closing:
                async with JobScheduler(client):
                    begun.set()
                    await anyio.sleep_forever()

        group.start_soon(first)
        await begun.wait()
        async with JobScheduler(client) as stays, scheduler(api, path) as member:
            ledger.meanwhile = closing.cancel
            job = await member.submit(cat(1))
            with anyio.fail_after(120):
                assert (await job.outcome()).ok
            assert closing.cancel_called
            assert stays.statistics().runner
    await ledger.aclose()
    assert paid(api) == {"cat 1": 1}


async def test_a_job_whose_wait_is_left_during_a_takeover_is_not_driven_in_it(
    api: Api, path: Path
) -> None:
    ledger = LateLooks(path)
    leaving = anyio.CancelScope()
    async with api.client(ledger=ledger) as client, anyio.create_task_group() as group:
        runner = await Life(api, path).start(group)

        async def call() -> None:
            with leaving:
                await client.generate(TextToVideo(prompt="film"), key="film")

        async with JobScheduler(client) as stays:
            group.start_soon(call)
            await anyio.sleep(3)
            ledger.meanwhile, ledger.method = leaving.cancel, "get"
            runner.leave()
            await anyio.sleep(10)
            ledger.method = ""
            assert leaving.cancel_called
            assert stays.statistics().runner
            assert (await (await stays.submit(cat(1))).outcome()).ok
            found = await stays.get("film")
            assert found is not None
            assert (await found.outcome()).ok
    await ledger.aclose()
    assert paid(api) == {"film": 1, "cat 1": 1}


@pytest.mark.parametrize("way", ["cancelled", "raised", "drained"])
async def test_a_block_whose_jobs_wait_for_a_paused_runner_is_left_at_once(
    api: Api, path: Path, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    caplog.set_level(logging.CRITICAL)
    async with (
        scheduler(api, path) as first,
        process(api, path) as member,
        anyio.create_task_group() as group,
    ):
        api.simulator.set_credits(1, key=KEY)
        began = anyio.current_time()
        with anyio.CancelScope() as scope:
            try:
                async with JobScheduler(member.client) as second:
                    job = await second.submit(cat(1), key="one")
                    await anyio.sleep(5)
                    assert first.statistics().paused is not None
                    if way == "raised":
                        raise RuntimeError  # noqa: TRY301 - what leaves the block
                    if way == "drained":
                        await second.drain()
                    scope.deadline = began + (5 if way == "cancelled" else 600)
            except RuntimeError:
                assert way == "raised"
        assert anyio.current_time() - began < 5.1
        assert scope.cancelled_caught is (way == "cancelled")
        assert (await job.outcome()).status is OutcomeStatus.CANCELLED
        row = await first._book.ledger.get("one")
        assert row is not None
        assert row.state is JobState.QUEUED
        await first.drain()
        group.cancel_scope.cancel()
    assert not paid(api)


async def test_a_drain_with_a_deadline_ends_by_then_here_and_there(api: Api, path: Path) -> None:
    async with scheduler(api, path) as first, scheduler(api, path) as second:
        jobs = [await each.submit(TextToVideo(prompt=f"{each}")) for each in (first, second)]
        await anyio.sleep(5)
        for each in (second, first):
            began = anyio.current_time()
            await each.drain(deadline=10)
            assert 10 <= anyio.current_time() - began < 10.1
    assert [(await job.outcome()).status for job in jobs] == [OutcomeStatus.EXPIRED] * 2
    assert len(paid(api)) == 2


async def test_a_drain_takes_nothing_for_unsent_that_the_runner_has_sent(
    api: Api, path: Path
) -> None:
    async with scheduler(api, path), scheduler(api, path) as second:
        job = await second.submit(cat(1), key="one")
        # The member's own look comes later than the runner's submission.
        while not paid(api):  # noqa: ASYNC110 - the books tell nobody
            await anyio.sleep(0.01)
        await second.drain()
        assert (await job.outcome()).ok
    assert paid(api) == {"cat 1": 1}


async def test_a_slot_that_one_cancelled_wait_gives_up_goes_to_no_other_cancelled_wait(
    api: Api,
) -> None:
    async with api.client(max_in_flight=1) as client:
        with anyio.move_on_after(5):
            async with anyio.create_task_group() as group:
                for n in range(6):
                    group.start_soon(client.generate, cat(n))
        await anyio.sleep(60)
    assert len(paid(api)) == 1
