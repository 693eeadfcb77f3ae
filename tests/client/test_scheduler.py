"""JobScheduler in virtual time."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Any

import anyio
import pytest

from kinovi_async import (
    AsyncKinovi,
    ConfigurationError,
    Event,
    InsufficientCreditsError,
    InvalidRequestError,
    Job,
    JobCancelledError,
    JobEnded,
    JobQueued,
    JobScheduler,
    KeyConflictError,
    LedgerError,
    MemoryLedger,
    Midjourney,
    NanoBanana2,
    OutcomeStatus,
    QueueFullError,
    SchedulerPaused,
    SchedulerResumed,
    TaskFailedError,
    TextToVideo,
    WaitTimeoutError,
)
from kinovi_async.simulator import TaskRule

from .conftest import KEY, Api

CAT = NanoBanana2(prompt="a red cat")


def cat(n: int) -> NanoBanana2:
    return NanoBanana2(prompt=f"cat {n}")


async def test_jobs_are_submitted_and_awaited(client: AsyncKinovi, api: Api) -> None:
    async with JobScheduler(client) as scheduler:
        jobs = [await scheduler.submit(cat(n), key=f"cat-{n}") for n in range(8)]
        records = [await job.result() for job in jobs]
        statistics = scheduler.statistics()
    assert all(record.urls for record in records)
    assert statistics.done == 8
    assert statistics.limit == 3
    assert statistics.credits == Decimal(120)
    assert statistics.queued == statistics.in_flight == statistics.submitting == 0
    assert statistics.rejected == api.simulator.books.refused_count
    assert statistics.polls == api.simulator.books.polls


async def test_leaving_the_block_drains(client: AsyncKinovi, api: Api) -> None:
    async with JobScheduler(client) as scheduler:
        jobs = [await scheduler.submit(cat(n)) for n in range(5)]
    assert all([(await job.outcome()).ok for job in jobs])
    assert len(api.simulator.books.accepted) == 5


async def test_an_exception_in_the_block_comes_out_bare_and_stops_submitting(
    client: AsyncKinovi, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    jobs: list[Job] = []
    with pytest.raises(ZeroDivisionError):
        async with JobScheduler(client) as scheduler:
            jobs.extend([await scheduler.submit(cat(n)) for n in range(9)])
            await anyio.sleep(2)
            raise ZeroDivisionError
    assert len(api.simulator.books.accepted) == 3
    statuses = {(await job.outcome()).status for job in jobs}
    assert statuses == {OutcomeStatus.EXPIRED, OutcomeStatus.CANCELLED}
    assert caplog.text.count("runs on and is paid for") == 3


@pytest.mark.parametrize("kind", [JobQueued, JobEnded])
async def test_a_handler_may_submit_jobs_and_wait_for_them(
    client: AsyncKinovi, kind: type[Event]
) -> None:
    """Also the handler of a job that had ended when it was submitted: nobody waits for him."""
    made: dict[str, Job] = {}

    async def follow_up(event: Event) -> None:
        if isinstance(event, kind):
            key = event.key if isinstance(event, JobQueued) else ended(event).outcome.key
            if key == "cat":
                made[f"{event.echo}"] = job = await scheduler.submit(cat(2))
                await job.result()

    def ended(event: Event) -> JobEnded:
        assert isinstance(event, JobEnded)
        return event

    async with JobScheduler(client, on_event=follow_up) as scheduler:
        with anyio.fail_after(600):
            for _ in range(2):
                job = await scheduler.submit(cat(1), key="cat")
                assert (await job.outcome()).ok
                await (await scheduler.submit(cat(3))).result()
            assert all([(await job.outcome()).ok for job in made.values()])
    assert sorted(made) == (["False"] if kind is JobQueued else ["False", "True"])


async def test_cancelling_an_await_does_not_cancel_the_job(client: AsyncKinovi) -> None:
    async with JobScheduler(client) as scheduler:
        job = await scheduler.submit(CAT)
        with anyio.move_on_after(1):
            await job.result()
        assert not job.done
        assert (await job.result()).urls


async def test_a_queued_job_can_be_cancelled(client: AsyncKinovi, api: Api) -> None:
    async with JobScheduler(client, max_in_flight=1) as scheduler:
        first = await scheduler.submit(cat(1))
        second = await scheduler.submit(cat(2))
        await anyio.sleep(1)
        assert await second.cancel()
        assert not await first.cancel()
        with pytest.raises(JobCancelledError):
            await second.result()
    assert api.simulator.books.accepted_per_prompt() == {"cat 1": 1}


async def test_submit_waits_and_submit_nowait_raises_while_the_queue_is_full(
    client: AsyncKinovi,
) -> None:
    async with JobScheduler(client, max_in_flight=1, max_queue=2) as scheduler:
        running = await scheduler.submit(cat(0))
        await anyio.sleep(1)
        for n in (1, 2):
            scheduler.submit_nowait(cat(n))
        with pytest.raises(QueueFullError, match="the queue is full") as caught:
            scheduler.submit_nowait(cat(3))
        assert caught.value.queued == 2
        before = anyio.current_time()
        last = await scheduler.submit(cat(4))
        assert running.done
        assert anyio.current_time() > before
        assert (await last.result()).urls


async def test_a_nowait_conflict_ends_the_job_as_rejected(client: AsyncKinovi) -> None:
    async with JobScheduler(client) as scheduler:
        await scheduler.submit(cat(1), key="a")
        job = scheduler.submit_nowait(cat(2), key="a")
        with pytest.raises(KeyConflictError):
            await job.result()
        again = scheduler.submit_nowait(cat(1), key="a")
        assert (await again.result()).urls


async def test_an_invalid_request_is_refused_at_once(client: AsyncKinovi) -> None:
    async with JobScheduler(client) as scheduler:
        with pytest.raises(InvalidRequestError):
            await scheduler.submit({"model": "nanobanana2", "inputs": {}})
        with pytest.raises(InvalidRequestError):
            scheduler.submit_nowait({"model": "nanobanana2", "inputs": {}})


async def test_402_pauses_a_scheduler_and_resume_goes_on(client: AsyncKinovi, api: Api) -> None:
    api.simulator.set_credits(20, key=KEY)
    seen: list[Event] = []
    async with JobScheduler(client, max_in_flight=1, on_event=seen.append) as scheduler:
        jobs = [await scheduler.submit(cat(n)) for n in range(3)]
        await jobs[0].result()
        await anyio.sleep(20)
        paused = scheduler.statistics().paused
        assert isinstance(paused, InsufficientCreditsError)
        assert not jobs[1].done
        api.simulator.set_credits(1000, key=KEY)
        await scheduler.resume()
        assert [(await job.outcome()).ok for job in jobs] == [True] * 3
        assert scheduler.statistics().paused is None
    kinds = [type(event) for event in seen]
    assert kinds.count(SchedulerPaused) == kinds.count(SchedulerResumed) == 1


async def test_leaving_a_paused_scheduler_cancels_what_is_unsent(
    client: AsyncKinovi, api: Api
) -> None:
    api.simulator.set_credits(10, key=KEY)
    async with JobScheduler(client) as scheduler:
        job = await scheduler.submit(CAT)
        await anyio.sleep(10)
    with pytest.raises(InsufficientCreditsError):
        await job.result()


async def test_drain_stops_submitting_and_finishes_what_runs(client: AsyncKinovi, api: Api) -> None:
    async with JobScheduler(client) as scheduler:
        jobs = [await scheduler.submit(cat(n)) for n in range(8)]
        await anyio.sleep(1)
        await scheduler.drain()
        done = [(await job.outcome()).status.value for job in jobs]
    assert sorted(done) == ["cancelled"] * 5 + ["succeeded"] * 3
    assert len(api.simulator.books.accepted) == 3


async def test_drain_with_a_deadline_leaves_what_still_runs(client: AsyncKinovi) -> None:
    async with JobScheduler(client) as scheduler:
        job = await scheduler.submit(TextToVideo(prompt="a wave"))
        await anyio.sleep(1)
        before = anyio.current_time()
        await scheduler.drain(deadline=5)
        assert anyio.current_time() - before == pytest.approx(5, abs=0.1)
    with pytest.raises(WaitTimeoutError) as caught:
        await job.result()
    assert caught.value.task_id


async def test_the_bound_can_be_changed_while_it_runs(client: AsyncKinovi, api: Api) -> None:
    async with JobScheduler(client, max_in_flight=1) as scheduler:
        for n in range(6):
            await scheduler.submit(cat(n))
        await anyio.sleep(5)
        assert api.simulator.books.peak_running == 1
        scheduler.set_max_in_flight(2)
        await anyio.sleep(30)
        assert api.simulator.books.peak_running == 2


async def test_a_failed_job_is_the_same_job_until_it_is_rerun(
    client: AsyncKinovi, api: Api
) -> None:
    api.simulator.script(TaskRule(prompt="a red cat", code="2038", times=1))
    async with JobScheduler(client) as scheduler:
        job = await scheduler.submit(CAT, key="cat")
        with pytest.raises(TaskFailedError):
            await job.result()
        again = await scheduler.submit(CAT, key="cat")
        with pytest.raises(TaskFailedError):
            await again.result()
        assert len(api.simulator.books.accepted) == 1
        rerun = await scheduler.submit(CAT, key="cat", rerun=True)
        assert (await rerun.result()).urls
        assert len((await rerun.outcome()).attempts) == 2
        same = await scheduler.submit(CAT, key="cat", rerun=True)
        assert (await same.outcome()).ok
    assert len(api.simulator.books.accepted) == 2


async def test_jobs_and_outcomes_can_be_looked_up(client: AsyncKinovi) -> None:
    async with JobScheduler(client) as scheduler:
        await (await scheduler.submit(cat(1), key="one", tags={"client": "acme"})).result()
        await (await scheduler.submit(cat(2), key="two")).result()
        found = await scheduler.get("one")
        assert found is not None
        assert (await found.outcome()).tags == {"client": "acme"}
        assert await scheduler.get("nobody") is None
        seen = [outcome async for outcome in scheduler.outcomes()]
        assert [outcome.key for outcome in seen] == ["one", "two"]
        assert seen[0].seq is not None
        later = [outcome.key async for outcome in scheduler.outcomes(after=seen[0].seq)]
        assert later == ["two"]


async def test_what_a_scheduler_leaves_the_next_takes_up(api: Api) -> None:
    ledger = MemoryLedger()
    async with api.client() as client:
        with anyio.move_on_after(2):
            async with JobScheduler(client, ledger=ledger) as scheduler:
                for n in range(6):
                    await scheduler.submit(cat(n), key=f"cat-{n}", priority=n)
                await anyio.sleep(60)
    assert len(api.simulator.books.accepted) == 3
    async with api.client() as client, JobScheduler(client, ledger=ledger) as scheduler:
        for n in range(6):
            job = await scheduler.get(f"cat-{n}")
            assert job is not None
            assert (await job.result()).urls
    assert set(api.simulator.books.accepted_per_prompt().values()) == {1}
    assert len(api.simulator.books.accepted) == 6


async def test_a_group_with_thousands_does_not_starve_another(
    client: AsyncKinovi, api: Api
) -> None:
    async with JobScheduler(client, max_queue=5000) as scheduler:
        for n in range(300):
            await scheduler.submit(NanoBanana2(prompt=f"bulk {n}"), group="bulk")
        web = await scheduler.submit(Midjourney(prompt="web"), group="web")
        await web.result()
        assert len(api.simulator.books.accepted) < 60
        assert scheduler.statistics().groups["bulk"][0] > 200
        await scheduler.drain()


async def test_a_scheduler_is_used_inside_its_block_and_once(client: AsyncKinovi) -> None:
    scheduler = JobScheduler(client)
    with pytest.raises(ConfigurationError, match="inside `async with`"):
        await scheduler.submit(CAT)
    async with scheduler:
        pass
    with pytest.raises(ConfigurationError):
        await scheduler.submit(CAT)
    with pytest.raises(ConfigurationError, match="only once"):
        async with scheduler:
            pass
    with pytest.raises(ConfigurationError):
        JobScheduler(client, max_queue=0)
    with pytest.raises(ConfigurationError):
        JobScheduler(client, max_in_flight=0)


async def test_a_pause_is_logged(
    client: AsyncKinovi, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    api.simulator.set_credits(1, key=KEY)
    with caplog.at_level(logging.ERROR):
        async with JobScheduler(client) as scheduler:
            await scheduler.submit(CAT)
            await anyio.sleep(5)
    assert "submissions are paused" in caplog.text
    assert "CANARY" not in caplog.text


class _TornLedger(MemoryLedger):
    """A ledger whose disk is full from the first acceptance on."""

    async def accepted(self, key: str, execution: str, task_id: str, *, at: float) -> None:
        msg = f"cannot write {key}"
        raise LedgerError(msg)


async def test_a_ledger_that_breaks_ends_the_scheduler_and_names_the_paid_task(
    client: AsyncKinovi, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(LedgerError, match="cannot write one"):
        async with JobScheduler(client, ledger=_TornLedger()) as scheduler:
            job = await scheduler.submit(cat(1), key="one")
            outcome = await job.outcome()
            assert isinstance(outcome.error, LedgerError)
            with pytest.raises(LedgerError):
                await scheduler.submit(cat(2))
    (paid,) = api.simulator.books.accepted
    assert f"became task {paid.task_id}" in caplog.text


async def test_a_job_can_be_cancelled_right_after_submit_nowait(
    client: AsyncKinovi, api: Api
) -> None:
    async with JobScheduler(client, max_in_flight=1) as scheduler:
        scheduler.submit_nowait(cat(1))
        second = scheduler.submit_nowait(cat(2))
        assert await second.cancel()
    assert api.simulator.books.accepted_per_prompt() == {"cat 1": 1}


class StuckLedger(MemoryLedger):
    """Another process keeps it locked: each call waits half a minute, in vain."""

    is_stuck = False

    async def add(self, jobs: Any, **options: Any) -> Any:
        await self._wait()
        return await super().add(jobs, **options)

    async def end(self, key: str, ending: Any) -> Any:
        await self._wait()
        return await super().end(key, ending)

    async def _wait(self) -> None:
        if self.is_stuck:
            await anyio.sleep(30)
            raise LedgerError("database is locked")


async def test_a_scheduler_that_broke_asks_a_locked_ledger_for_no_job_more(
    client: AsyncKinovi,
) -> None:
    """Or its end would last for hours."""
    ledger = StuckLedger()
    told: list[str] = []

    async def submit(n: int) -> None:
        with pytest.raises(LedgerError) as caught:
            await scheduler.submit(cat(n))
        told.append(caught.value.message)

    begun = anyio.current_time()
    with pytest.raises(LedgerError, match="locked"):
        async with JobScheduler(client, ledger=ledger) as scheduler:
            await scheduler.submit(cat(-1))
            await anyio.sleep(2)
            ledger.is_stuck = True
            async with anyio.create_task_group() as group:
                for n in range(200):
                    group.start_soon(submit, n)
    assert told == ["database is locked"] * 200
    assert anyio.current_time() - begun < 600
