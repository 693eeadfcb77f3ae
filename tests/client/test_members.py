"""Several processes, one ledger: one runs it, the others are members. In virtual time."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest

from kinovi_async import (
    AmbiguousSubmissionError,
    BudgetExceededError,
    Event,
    InsufficientCreditsError,
    JobAccepted,
    JobCancelledError,
    JobEnded,
    JobQueued,
    JobScheduler,
    LedgerError,
    NanoBanana2,
    OutcomeStatus,
    QueueFullError,
    TextToVideo,
    WaitTimeoutError,
)
from kinovi_async._ledger import Ending, JobRow, JobState, NewJob

from .conftest import KEY, Api
from .members import InlineLedger, Life, process, scheduler


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.sqlite3"


def cat(n: object) -> NanoBanana2:
    return NanoBanana2(prompt=f"cat {n}")


def paid(api: Api) -> Counter[str]:
    return Counter(api.simulator.books.accepted_per_prompt())


async def test_members_jobs_are_run_by_the_one_that_holds_the_lease(api: Api, path: Path) -> None:
    async with scheduler(api, path) as first, scheduler(api, path) as second:
        mine = [await first.submit(cat(f"a{n}")) for n in range(5)]
        others = [await second.submit(cat(f"b{n}"), tags={"n": str(n)}) for n in range(5)]
        assert (first.statistics().runner, second.statistics().runner) == (True, False)
        assert second.statistics().queued == 5
        assert second.statistics().limit is None
        outcomes = [await job.outcome() for job in mine + others]
        assert all(outcome.ok and outcome.record is not None for outcome in outcomes)
        assert [outcome.tags for outcome in outcomes[5:]] == [{"n": str(n)} for n in range(5)]
        assert (first.statistics().done, second.statistics().done) == (5, 5)
        assert second.statistics().queued == 0
        await anyio.sleep(1)
        assert second.statistics().credits == first.statistics().credits == Decimal(150)
        assert not second._book.followed
    assert set(paid(api).values()) == {1}
    assert len(paid(api)) == 10


async def test_an_end_is_told_to_a_member_within_half_a_second(api: Api, path: Path) -> None:
    ended: dict[str, float] = {}

    def note(who: str) -> object:
        def told(event: Event) -> None:
            if isinstance(event, JobEnded):
                ended[who] = anyio.current_time()

        return told

    async with (
        scheduler(api, path, on_event=note("runner")) as first,
        scheduler(api, path, on_event=note("member")) as second,
    ):
        job = await first.submit(cat(1), key="one")
        await anyio.sleep(1)
        found = await second.get("one")
        assert found is not None
        assert await found.result() == await job.result()
    assert 0 <= ended["member"] - ended["runner"] <= 0.51


async def test_a_member_cancels_what_is_queued_and_nothing_else(api: Api, path: Path) -> None:
    async with scheduler(api, path, max_in_flight=1) as first, scheduler(api, path) as second:
        running = await second.submit(cat(1))
        queued = await second.submit(cat(2))
        await anyio.sleep(3)
        assert await running.cancel() is False
        assert await queued.cancel() is True
        assert await queued.cancel() is False
        with pytest.raises(JobCancelledError):
            await queued.result()
        assert (await running.outcome()).ok
        assert first.statistics().groups == {}
    assert paid(api) == {"cat 1": 1}


async def test_what_another_process_cancels_leaves_the_runners_queue_at_once(
    api: Api, path: Path
) -> None:
    async with scheduler(api, path, max_in_flight=1) as first, scheduler(api, path) as second:
        blocking = await first.submit(TextToVideo(prompt="a wave"))
        job = await first.submit(cat(1), key="one")
        await anyio.sleep(1)
        other = await second.get("one")
        assert other is not None
        assert await other.cancel()
        with anyio.fail_after(0.6):
            assert (await job.outcome()).status is OutcomeStatus.CANCELLED
        assert first.statistics().queued == 1 - 1
        assert not blocking.done
        await first.drain()
    assert paid(api) == {"a wave": 1}


async def test_a_member_meets_an_end_from_before_it_asked(api: Api, path: Path) -> None:
    async with scheduler(api, path) as first, scheduler(api, path) as second:
        await (await first.submit(cat(1), key="one")).result()
        found = await second.get("one")
        assert found is not None
        assert found.done
        again = await second.submit(cat(1), key="one")
        assert (await again.result()).urls
        assert await second.get("nobody") is None
        assert [outcome.key async for outcome in second.outcomes()] == ["one"]
    assert paid(api) == {"cat 1": 1}


async def test_the_lease_is_taken_over_within_a_second_when_its_holder_leaves(
    api: Api, path: Path
) -> None:
    async with anyio.create_task_group() as group:
        first = await Life(api, path).start(group)
        async with scheduler(api, path) as member:
            job = await member.submit(cat(1))
            assert not member.statistics().runner
            first.leave()
            await first.gone.wait()
            with anyio.fail_after(1):
                while not member.statistics().runner:  # noqa: ASYNC110 - a snapshot
                    await anyio.sleep(0.05)
            assert (await job.result()).urls
    assert paid(api) == {"cat 1": 1}


async def test_a_job_accepted_for_a_member_is_polled_on_by_the_next_runner(
    api: Api, path: Path
) -> None:
    async with anyio.create_task_group() as group:
        first = await Life(api, path).start(group)
        async with scheduler(api, path) as member:
            job = await member.submit(TextToVideo(prompt="a wave"))
            queued = [await member.submit(cat(n)) for n in range(6)]
            await anyio.sleep(3)
            assert job.task_id
            assert member.statistics().queued == 4
            first.leave()
            assert (await job.result()).task_id == job.task_id
            assert all([(await one.outcome()).ok for one in queued])
    assert set(paid(api).values()) == {1}
    assert len(paid(api)) == 7


async def test_the_jobs_of_a_killed_runner_are_taken_over_and_its_intent_is_ambiguous(
    api: Api, path: Path
) -> None:
    async with anyio.create_task_group() as group:
        victim = await Life(api, path).start(group)
        for n in range(6):
            await victim.scheduler.submit(cat(f"v{n}"), key=f"v{n}")
        async with scheduler(api, path) as member:
            jobs = [await member.submit(cat(f"m{n}")) for n in range(3)]
            await anyio.sleep(2)
            await victim.member.ledger.intent("v5", victim.scheduler._book.execution, at=1.0)
            victim.kill()
            assert all([(await job.outcome()).ok for job in jobs])
            others = [await member.get(f"v{n}") for n in range(6)]
            outcomes = [await other.outcome() for other in others if other is not None]
            assert [outcome.ok for outcome in outcomes] == [True] * 5 + [False]
            assert isinstance(outcomes[5].error, AmbiguousSubmissionError)
    assert paid(api) == Counter([f"cat v{n}" for n in range(5)] + [f"cat m{n}" for n in range(3)])


async def test_options_of_a_job_reach_the_process_that_runs_it(api: Api, path: Path) -> None:
    async with scheduler(api, path, max_in_flight=1) as first:
        await first.submit(TextToVideo(prompt="first"))
        async with scheduler(api, path) as second:
            short = await second.submit(TextToVideo(prompt="short"), max_wait=30, priority=9)
            patient = await second.submit(cat("patient"), max_queue_wait=10_000)
            with pytest.raises(WaitTimeoutError, match="30 s"):
                await short.result()
            assert (await patient.outcome()).ok
    assert [task.prompt for task in api.simulator.books.accepted] == [
        "first",
        "short",
        "cat patient",
    ]


@pytest.mark.parametrize("alive", [True, False])
async def test_a_deadline_in_the_queue_passes_with_its_owner_and_without(
    api: Api, path: Path, *, alive: bool
) -> None:
    async with (
        scheduler(api, path, max_in_flight=1) as first,
        anyio.create_task_group() as group,
    ):
        await first.submit(TextToVideo(prompt="a wave"))
        second = await Life(api, path).start(group)
        await anyio.sleep(1)
        late = await second.scheduler.submit(cat("late"), key="late", max_queue_wait=20)
        await anyio.sleep(1)
        if not alive:
            second.kill()
        await anyio.sleep(18)
        row = await first._book.ledger.get("late")
        assert row is not None
        assert row.state is JobState.QUEUED
        await anyio.sleep(2)
        row = await first._book.ledger.get("late")
        assert row is not None
        assert row.status is OutcomeStatus.CANCELLED
        if alive:
            with pytest.raises(JobCancelledError, match="no slot in 20 s"):
                await late.result()
            second.leave()
        await first.drain(deadline=0)


async def test_a_members_budget_holds_where_its_jobs_are_run(api: Api, path: Path) -> None:
    async with scheduler(api, path) as first, scheduler(api, path, budget=30) as second:
        jobs = [await second.submit(cat(n), key=f"m{n}") for n in range(4)]
        outcomes = [await job.outcome() for job in jobs]
        assert (
            sorted(outcome.status for outcome in outcomes) == ["cancelled"] * 2 + ["succeeded"] * 2
        )
        error = next(outcome.error for outcome in outcomes if not outcome.ok)
        assert isinstance(error, BudgetExceededError)
        assert (await (await first.submit(cat("runner's"))).outcome()).ok
        assert first.statistics().paused is None
    assert api.simulator.books.spent == 45


async def test_the_runners_bound_holds_for_everybodys_jobs(api: Api, path: Path) -> None:
    async with scheduler(api, path, max_in_flight=2) as first, scheduler(api, path) as second:
        jobs = [await one.submit(cat(f"{one} {n}")) for n in range(6) for one in (first, second)]
        await jobs[3].outcome()
        first.set_max_in_flight(1)
        assert all([(await job.outcome()).ok for job in jobs])
    assert api.simulator.books.peak_running == 2


async def test_members_take_turns_with_the_runner(api: Api, path: Path) -> None:
    async with scheduler(api, path, max_in_flight=1) as first, scheduler(api, path) as second:
        for n in range(30):
            await first.submit(cat(f"bulk {n}"))
        job = await second.submit(cat("single"))
        await job.result()
        assert len(paid(api)) < 6
        await first.drain()


async def test_calls_of_a_client_are_members_too(api: Api, path: Path) -> None:
    async with scheduler(api, path) as first, process(api, path) as member:
        async with anyio.create_task_group() as group:
            group.start_soon(member.client.generate, cat("call"))
            outcomes = await member.client.run_batch([cat(f"batch {n}") for n in range(5)])
        assert [outcome.index for outcome in outcomes] == list(range(5))
        assert all(outcome.ok for outcome in outcomes)
        assert not member.runs
        assert first.statistics().runner
    assert set(paid(api).values()) == {1}
    assert len(paid(api)) == 6


async def test_a_call_cancelled_as_a_member_takes_its_queued_job_along(
    api: Api, path: Path
) -> None:
    async with scheduler(api, path, max_in_flight=1) as first, process(api, path) as member:
        await first.submit(TextToVideo(prompt="a wave"))
        with anyio.move_on_after(3):
            await member.client.generate(cat(1), key="one")
        row = await first._book.ledger.get("one")
        assert row is not None
        assert row.status is OutcomeStatus.CANCELLED
        await first.drain()
    assert paid(api) == {"a wave": 1}


async def test_an_exclusive_scheduler_does_not_join_and_does_not_share(
    api: Api, path: Path
) -> None:
    async with scheduler(api, path):
        with pytest.raises(LedgerError, match="is in use by pid"):
            async with scheduler(api, path, resume=False):
                pass
    async with scheduler(api, path, resume=False) as first, scheduler(api, path) as second:
        job = await second.submit(cat(1))
        mine = await first.submit(cat(2))
        assert (await mine.outcome()).ok
        await anyio.sleep(60)
        assert not job.done
        assert await job.cancel()
    assert paid(api) == {"cat 2": 1}


async def test_one_object_is_not_shared_by_two_clients_at_a_time(api: Api, path: Path) -> None:
    ledger = InlineLedger(path)
    async with (
        api.client(ledger=ledger) as client,
        api.client(ledger=ledger) as other,
        JobScheduler(client),
    ):
        with pytest.raises(LedgerError, match="is in use by"):
            await other.generate(cat(1))
    await ledger.aclose()
    assert not paid(api)


async def test_calls_leave_leftovers_alone_and_run_what_comes(api: Api, path: Path) -> None:
    ledger = InlineLedger(path)
    await ledger.open()
    await ledger.add([NewJob("old", cat("old").to_wire(), 0.0)])
    await ledger.aclose()
    async with process(api, path) as first, process(api, path) as second:
        async with anyio.create_task_group() as group:
            group.start_soon(first.client.generate, TextToVideo(prompt="long"))
            await anyio.sleep(3)
            assert first.runs
            assert (await second.client.generate(cat("member"))).urls
            assert not second.runs
        # The lease changes hands between calls, and still nobody asked for the old job.
        async with anyio.create_task_group() as group:
            for n in range(4):
                group.start_soon((first, second)[n % 2].client.generate, cat(n))
                await anyio.sleep(7)
    assert "cat old" not in paid(api)
    assert len(paid(api)) == 6
    async with scheduler(api, path):
        pass
    assert paid(api)["cat old"] == 1


async def test_a_call_that_finds_the_lease_free_lets_a_waiting_member_take_it(
    api: Api, path: Path
) -> None:
    async with anyio.create_task_group() as group:
        victim = await Life(api, path).start(group)
        async with scheduler(api, path) as member, process(api, path) as caller:
            jobs = [await member.submit(cat(n)) for n in range(5)]
            victim.kill()
            record = await caller.client.generate(cat("call"))
            assert record.urls
            assert member.statistics().runner
            assert all([(await job.outcome()).ok for job in jobs])
    assert set(paid(api).values()) == {1}


async def test_a_pause_of_the_runner_lets_members_wait(
    api: Api, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    api.simulator.set_credits(20, key=KEY)
    caplog.set_level(logging.CRITICAL)
    async with scheduler(api, path, max_in_flight=1) as first, scheduler(api, path) as second:
        jobs = [await second.submit(cat(n)) for n in range(3)]
        assert (await jobs[0].outcome()).ok
        await anyio.sleep(30)
        assert isinstance(first.statistics().paused, InsufficientCreditsError)
        assert [job.done for job in jobs] == [True, False, False]
        api.simulator.set_credits(1000, key=KEY)
        await first.resume()
        assert [(await job.outcome()).ok for job in jobs] == [True] * 3
        assert first.statistics().paused is None


async def test_a_refusal_of_others_jobs_ends_no_batch_that_runs_the_ledger(
    api: Api, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    ok: list[bool] = []
    async with process(api, path) as runner, anyio.create_task_group() as group:

        async def batch() -> None:
            films = [TextToVideo(prompt=f"film {n}") for n in range(2)]
            ok.extend([o.ok for o in await runner.client.run_batch(films, max_in_flight=2)])

        group.start_soon(batch)
        await anyio.sleep(3)
        async with scheduler(api, path) as member:
            api.simulator.set_credits(1, key=KEY)
            job = await member.submit(cat(1))
            with anyio.fail_after(1000):
                while not ok:  # noqa: ASYNC110 - minutes of virtual time
                    await anyio.sleep(10)
            assert ok == [True, True]
            await anyio.sleep(1)
            assert member.statistics().runner
            api.simulator.set_credits(1000, key=KEY)
            await member.resume()
            assert (await job.outcome()).ok


async def test_others_refused_jobs_are_tried_again_where_nobody_can_resume(
    api: Api, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    async with process(api, path) as runner, anyio.create_task_group() as group:
        group.start_soon(runner.client.generate, TextToVideo(prompt="film"))
        await anyio.sleep(3)
        async with scheduler(api, path) as member:
            api.simulator.set_credits(1, key=KEY)
            job = await member.submit(cat(1))
            await anyio.sleep(5)
            api.simulator.set_credits(1000, key=KEY)
            with anyio.fail_after(110):
                assert (await job.outcome()).ok
            assert not member.statistics().runner


async def test_a_member_counts_its_own_jobs_against_its_queue(api: Api, path: Path) -> None:
    async with (
        scheduler(api, path, max_in_flight=1) as first,
        scheduler(api, path, max_queue=2) as second,
    ):
        await first.submit(TextToVideo(prompt="a wave"))
        await anyio.sleep(1)
        jobs = [await second.submit(cat(n)) for n in range(2)]
        with pytest.raises(QueueFullError) as caught:
            second.submit_nowait(cat(2))
        assert caught.value.queued == 2
        last = await second.submit(cat(3))  # waits until one of them runs
        assert jobs[0].task_id
        await jobs[1].outcome()
        nowait = second.submit_nowait(cat(4))
        assert (await last.outcome()).ok
        assert (await nowait.outcome()).ok


async def test_events_are_told_where_a_job_was_entered(api: Api, path: Path) -> None:
    at_runner: list[Event] = []
    at_member: list[Event] = []
    async with (
        scheduler(api, path, on_event=at_runner.append) as first,
        scheduler(api, path, on_event=at_member.append) as second,
    ):
        await (await second.submit(cat("member's"))).result()
        assert [type(event) for event in at_member] == [JobQueued, JobAccepted, JobEnded]
        assert at_runner == []
        await (await first.submit(cat("runner's"))).result()
    assert len(at_member) == 3
    assert [type(event) for event in at_runner if isinstance(event, JobEnded)] == [JobEnded]


async def test_a_member_leaves_in_order_when_its_jobs_have_ended(api: Api, path: Path) -> None:
    async with scheduler(api, path) as first:
        async with scheduler(api, path) as second:
            jobs = [await second.submit(cat(n)) for n in range(5)]
        assert all(job.done for job in jobs)
        assert all([(await job.outcome()).ok for job in jobs])
        assert first.statistics().in_flight == 0


async def test_what_a_member_leaves_is_run_all_the_same(api: Api, path: Path) -> None:
    async with scheduler(api, path) as first, anyio.create_task_group() as group:
        second = await Life(api, path).start(group)
        jobs = [await second.scheduler.submit(cat(n), key=f"m{n}") for n in range(5)]
        await anyio.sleep(3)
        second.leave()
        statuses = Counter([(await job.outcome()).status for job in jobs])
        assert statuses == {OutcomeStatus.EXPIRED: 3, OutcomeStatus.CANCELLED: 2}
        found = [await first.get(f"m{n}") for n in range(5)]
        assert all([(await job.outcome()).ok for job in found if job is not None])
    assert set(paid(api).values()) == {1}
    assert len(paid(api)) == 5


async def test_a_handle_at_the_runner_outlives_the_call_that_drove_its_job(
    api: Api, path: Path
) -> None:
    async with process(api, path) as runner, scheduler(api, path) as member:
        # The member's scheduler holds the lease first: let the call have it.
        assert member.statistics().runner
        other = await member.submit(cat("here"), key="here")
        async with JobScheduler(runner.client) as second:
            found = await second.get("here")
            assert found is not None
            assert (await found.outcome()).ok
        assert (await other.outcome()).ok
    assert paid(api) == {"cat here": 1}


async def test_resolved_and_rerun_rows_are_run(api: Api, path: Path) -> None:
    async with scheduler(api, path) as first, scheduler(api, path) as second:
        ledger = first._book.ledger
        await ledger.add([NewJob("gone", cat("gone").to_wire(), 0.0)])
        await ledger.end("gone", Ending(OutcomeStatus.CANCELLED, at=0.0))
        job = await second.submit(cat("gone"), key="gone", rerun=True)
        assert (await job.outcome()).ok
        await anyio.sleep(1)
        again = await second.submit(cat("gone"), key="gone", rerun=True)
        assert (await again.outcome()).ok
    assert paid(api) == {"cat gone": 1}


async def test_groups_of_members_take_turns(api: Api, path: Path) -> None:
    async with (
        scheduler(api, path, max_in_flight=1) as first,
        scheduler(api, path) as second,
        process(api, path) as third,
    ):
        for n in range(20):
            await second.submit(cat(f"bulk {n}"))
        assert (await third.client.generate(cat("single"))).urls
        assert len(paid(api)) < 6
        assert set(first.statistics().groups) == {f"scheduler-1@{os.getpid()}"}
        await second.drain(deadline=0)
        await first.drain(deadline=0)


async def test_what_a_process_told_as_unsent_it_does_not_send_behind_its_users_back(
    api: Api, path: Path
) -> None:
    async with process(api, path) as member, JobScheduler(member.client) as stays:
        films = [(f"f{n}", TextToVideo(prompt=f"film {n}")) for n in range(8)]
        with anyio.move_on_after(5):
            await member.client.run_batch(films, max_in_flight=2)
        # What is paid for is polled to its end by whoever is left, the rest stays queued.
        await anyio.sleep(1000)
        rows = await stays._book.ledger.rows()
        assert Counter(row.state for row in rows) == {JobState.ENDED: 2, JobState.QUEUED: 6}
        assert len(paid(api)) == 2
        found = await stays.get("f7")
        assert found is not None
        assert (await found.outcome()).ok
        await stays.drain()
    assert len(paid(api)) == 3


class LateLedger(InlineLedger):
    """Its answer to `add` comes a second after the rows are in the file."""

    meanwhile: Callable[[], Awaitable[object]] | None = None

    async def add(self, *args: Any, **more: Any) -> list[JobRow]:
        rows = await super().add(*args, **more)
        if self.meanwhile is not None:
            await self.meanwhile()
        await anyio.sleep(1)
        return rows


async def test_an_end_between_a_row_and_its_handle_is_not_missed(api: Api, path: Path) -> None:
    async with scheduler(api, path, resume=False) as first:
        elsewhere = first._book.ledger
        ledger = LateLedger(path)
        ledger.meanwhile = lambda: elsewhere.end("a", Ending(OutcomeStatus.CANCELLED, at=1.0))
        async with api.client(ledger=ledger) as client, JobScheduler(client) as second:
            job = await second.submit(cat(1), key="a")
            with anyio.fail_after(1):
                assert (await job.outcome()).status is OutcomeStatus.CANCELLED
        await ledger.aclose()
    assert not paid(api)


async def test_a_job_on_its_way_in_is_nobody_elses(api: Api, path: Path) -> None:
    ledger = LateLedger(path)
    seen: list[type[Event]] = []
    async with (
        api.client(ledger=ledger) as client,
        JobScheduler(client, on_event=lambda event: seen.append(type(event))) as runner,
    ):
        job = await runner.submit(cat(1))
        assert (await job.outcome()).ok
    await ledger.aclose()
    assert (seen[0], seen[-1]) == (JobQueued, JobEnded)
    assert paid(api) == {"cat 1": 1}
