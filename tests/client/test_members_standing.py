"""What the runner of a ledger tells the others, and what they ask of it. In virtual time."""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from kinovi_async import (
    InsufficientCreditsError,
    JobScheduler,
    LedgerError,
    NanoBanana2,
    SchedulerPaused,
    SchedulerResumed,
    TextToVideo,
)

from .conftest import KEY, Api
from .members import InlineLedger, Life, process, scheduler

if TYPE_CHECKING:
    from kinovi_async._ledger import JsonValue

LOOKS = 1.1
"""Seconds in which the runner writes, and everybody else reads."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.sqlite3"


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Pauses are logged as errors, which these tests do not mind."""
    caplog.set_level(logging.CRITICAL)


def cat(n: object) -> NanoBanana2:
    return NanoBanana2(prompt=f"cat {n}")


async def test_a_pause_is_seen_in_every_process_and_ended_from_any(api: Api, path: Path) -> None:
    """A web server's requests come to any of its workers."""
    told: list[object] = []
    async with (
        scheduler(api, path, on_event=told.append) as runner,
        scheduler(api, path) as member,
    ):
        api.simulator.set_credits(0, key=KEY)
        job = await member.submit(cat(1))
        await anyio.sleep(3)
        for each in (runner, member):
            reason = each.statistics().paused
            assert isinstance(reason, InsufficientCreditsError)
            assert reason.required == 15
        api.simulator.set_credits(1000, key=KEY)
        await anyio.sleep(30)
        assert not job.done
        await member.resume()
        with anyio.fail_after(30):
            assert (await job.outcome()).ok
        await anyio.sleep(LOOKS)
        assert (runner.statistics().paused, member.statistics().paused) == (None, None)
    assert [type(event) for event in told if not getattr(event, "echo", False)] == [
        SchedulerPaused,
        SchedulerResumed,
    ]


async def test_a_wish_to_resume_is_for_the_pause_that_was_seen_alone(api: Api, path: Path) -> None:
    """One that nothing was paused at ends no later pause, and one wish ends one pause."""
    async with scheduler(api, path) as runner, scheduler(api, path) as member:
        await member.resume()
        await anyio.sleep(LOOKS)
        api.simulator.set_credits(0, key=KEY)
        await runner.submit(cat(1))
        await anyio.sleep(30)
        assert api.simulator.books.refused_count == 1
        for tries in (2, 3):
            await member.resume()
            await anyio.sleep(30)
            assert api.simulator.books.refused_count == tries
            assert isinstance(member.statistics().paused, InsufficientCreditsError)
        await runner.drain(deadline=0)


async def test_a_pause_ends_with_the_process_that_made_it(api: Api, path: Path) -> None:
    """Whoever takes over tries for itself, and what the dead one told is past."""
    async with anyio.create_task_group() as group:
        runner = await Life(api, path).start(group)
        async with scheduler(api, path) as member:
            api.simulator.set_credits(0, key=KEY)
            job = await member.submit(cat(1))
            await anyio.sleep(3)
            assert isinstance(member.statistics().paused, InsufficientCreditsError)
            api.simulator.set_credits(1000, key=KEY)
            runner.kill()
            with anyio.fail_after(60):
                assert (await job.outcome()).ok
            assert member.statistics().paused is None


async def test_tasks_of_another_account_are_told_of(
    api: Api, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A ledger is one account's: with the key of another one, its tasks cannot be read."""
    async with anyio.create_task_group() as group:
        runner = await Life(api, path).start(group)
        await runner.scheduler.submit(cat(1), key="theirs")
        await anyio.sleep(3)
        runner.kill()
        await runner.gone.wait()
    caplog.set_level(logging.WARNING)
    async with process(api, path, api_key="sk-another") as other, JobScheduler(other.client) as one:
        await anyio.sleep(60)
        await one.drain(deadline=0)
    told = [record.getMessage() for record in caplog.records if "another account" in record.msg]
    assert len(told) == 1
    assert "job theirs" in told[0]


class FullDisk(InlineLedger):
    """Keeps no values any more, though it can be read."""

    full = False

    async def remember(self, name: str, value: JsonValue) -> None:
        if self.full:
            raise LedgerError("the disk is full")
        await super().remember(name, value)


async def test_a_runner_that_cannot_tell_how_it_stands_goes_on(api: Api, path: Path) -> None:
    ledger = FullDisk(path)
    async with (
        aclosing(ledger),
        api.client(ledger=ledger) as client,
        JobScheduler(client) as runner,
    ):
        ledger.full = True
        assert (await (await runner.submit(cat(1))).outcome()).ok
        await anyio.sleep(30)
        api.simulator.set_credits(0, key=KEY)
        await runner.submit(cat(2))
        await anyio.sleep(3)
        assert isinstance(runner.statistics().paused, InsufficientCreditsError)
        async with scheduler(api, path) as member:
            ledger.full = False
            await anyio.sleep(LOOKS)
            assert isinstance(member.statistics().paused, InsufficientCreditsError)
            await member.drain(deadline=0)
        await runner.drain(deadline=0)


async def test_members_tell_the_limit_that_the_runner_has_learned(api: Api, path: Path) -> None:
    async with scheduler(api, path) as runner, scheduler(api, path) as member:
        for n in range(12):
            await member.submit(cat(n))
        await anyio.sleep(25)
        assert runner.statistics().limit == 3
        assert member.statistics().limit == 3
        await member.drain(deadline=0)
        await runner.drain(deadline=0)


async def test_what_a_killed_runner_had_learned_is_known_to_the_next(api: Api, path: Path) -> None:
    """The limit is not found out again: its slots are filled and nothing more is tried."""
    async with anyio.create_task_group() as group:
        runner = await Life(api, path).start(group)
        async with scheduler(api, path) as member:
            await runner.scheduler.submit(TextToVideo(prompt="film"))
            for n in range(20):
                await member.submit(cat(n))
            await anyio.sleep(45)
            runner.kill()
            await anyio.sleep(LOOKS)
            assert member.statistics().runner
            assert member.statistics().limit == 3
            durations = member._client._account.state.durations
            assert len(durations.export()["nanobanana2"]) >= 2
            await member.drain(deadline=0)


async def test_a_member_that_leaves_keeps_nothing_that_it_has_not_learned(
    api: Api, path: Path
) -> None:
    """In a deploy the old runner leaves first, and the other old processes after it."""
    async with process(api, path) as late:
        async with anyio.create_task_group() as group:
            runner = await Life(api, path).start(group)
            member = await Life(api, path).start(group)
            for n in range(12):
                await runner.scheduler.submit(cat(n))
            await anyio.sleep(25)
            assert runner.scheduler.statistics().limit == 3
            second = await Life(api, path).start(group)
            runner.leave()
            await runner.gone.wait()
            member.leave()
            second.leave()
        async with JobScheduler(late.client, max_in_flight=50) as last:
            assert last.statistics().limit == 3
            await last.drain(deadline=0)
    assert set(Counter(api.simulator.books.accepted_per_prompt()).values()) == {1}
