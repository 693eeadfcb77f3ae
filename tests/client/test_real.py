"""The client over real sockets, with SQLite and files, in real time made fast."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import httpx
import httpx2
import pytest

from kinovi_async import (
    APIConnectionError,
    AsyncKinovi,
    DownloadError,
    JobScheduler,
    LedgerError,
    Midjourney,
    NanoBanana2,
    OutcomeStatus,
    TaskFailedError,
)
from kinovi_async.simulator import RunningSimulator, Simulator, SubmitRule, TaskRule, serve

from .conftest import KEY

FAST = (0.06, 0.1)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def running() -> AsyncIterator[RunningSimulator]:
    async with serve(Simulator(speed=50, limit=4)) as running:
        yield running


@pytest.fixture
async def client(running: RunningSimulator) -> AsyncIterator[AsyncKinovi]:
    async with AsyncKinovi(api_key=KEY, base_url=running.base_url, poll_interval=FAST) as client:
        yield client


def cats(count: int) -> list[NanoBanana2]:
    return [NanoBanana2(prompt=f"cat {n}") for n in range(count)]


async def test_files_are_saved_and_streamed(client: AsyncKinovi, tmp_path: Path) -> None:
    record = await client.generate(Midjourney(prompt="four dogs"))
    paths = await client.download(record, tmp_path)
    assert [path.name for path in paths] == [f"{record.task_id}_{n}.png" for n in (1, 2, 3, 4)]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    async with client.open(record.outputs[0]) as stream:
        data = b"".join([chunk async for chunk in stream])
    assert data == paths[0].read_bytes()


async def test_a_missing_file_is_a_download_error(client: AsyncKinovi, tmp_path: Path) -> None:
    record = await client.generate(cats(1)[0])
    with pytest.raises(DownloadError):
        async with client.open(record.urls[0] + "x") as stream:
            _ = [chunk async for chunk in stream]


async def test_a_failed_record_has_nothing_to_save(
    client: AsyncKinovi, running: RunningSimulator, tmp_path: Path
) -> None:
    running.simulator.script(TaskRule(code="2038"))
    (outcome,) = await client.run_batch(cats(1))
    assert outcome.record is not None
    with pytest.raises(TaskFailedError):
        await client.download(outcome.record, tmp_path)


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
async def test_a_users_own_client_is_used_and_left_open(
    library: object, running: RunningSimulator
) -> None:
    http = library.AsyncClient()  # type: ignore[attr-defined]
    async with (
        http,
        AsyncKinovi(
            api_key=KEY, base_url=running.base_url, poll_interval=FAST, http_client=http
        ) as client,
    ):
        outcomes = await client.run_batch(cats(6))
        assert all(o.ok for o in outcomes)
        await client.aclose()
        assert not http.is_closed
    assert len(running.simulator.books.accepted) == 6


async def test_a_ledger_makes_a_batch_resumable(running: RunningSimulator, tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite3"
    items = [(f"cat-{n}", request) for n, request in enumerate(cats(12))]

    async def run(patience: float) -> list[OutcomeStatus]:
        async with AsyncKinovi(
            api_key=KEY, base_url=running.base_url, poll_interval=FAST, ledger=path
        ) as client:
            with anyio.move_on_after(patience):
                return [outcome.status for outcome in await client.run_batch(items)]
        return []

    assert await run(0.6) == []
    assert await run(60) == [OutcomeStatus.SUCCEEDED] * 12
    before = len(running.simulator.books.accepted)
    assert await run(60) == [OutcomeStatus.SUCCEEDED] * 12
    books = running.simulator.books
    assert before == len(books.accepted) == 12
    assert set(books.accepted_per_prompt().values()) == {1}
    assert KEY.encode() not in path.read_bytes()


async def test_a_ledger_in_use_is_refused_to_a_scheduler_of_its_own_naming_the_holder(
    client: AsyncKinovi, running: RunningSimulator, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.sqlite3"
    async with JobScheduler(client, ledger=path):
        with pytest.raises(LedgerError, match="pid"):
            async with JobScheduler(client, ledger=path, resume=False):
                pass
    async with JobScheduler(client, ledger=path) as scheduler:
        assert (await (await scheduler.submit(cats(1)[0])).result()).urls


async def test_lost_answers_are_never_paid_for_twice(
    client: AsyncKinovi, running: RunningSimulator
) -> None:
    running.simulator.script(
        SubmitRule(answer="lost-answer", prompt="cat 1"),
        SubmitRule(answer="reset", prompt="cat 3"),
        SubmitRule(answer="truncated", prompt="cat 5"),
        SubmitRule(answer="before-acceptance-drop", prompt="cat 7"),
    )
    outcomes = await client.run_batch(cats(9))
    unclear = [o.index for o in outcomes if o.status is OutcomeStatus.AMBIGUOUS]
    assert set(unclear) <= {1, 3, 5, 7}
    assert {1, 3, 7} <= set(unclear)
    assert all(o.ok for o in outcomes if o.index not in unclear)
    assert set(running.simulator.books.accepted_per_prompt().values()) == {1}
    assert "cat 7" not in running.simulator.books.accepted_per_prompt()


async def test_nobody_listening_ends_a_batch_with_the_reason() -> None:
    async with AsyncKinovi(
        api_key=KEY, base_url="http://127.0.0.1:9/api/v1", poll_interval=FAST
    ) as client:
        outcomes = await client.run_batch(cats(3))
        assert {o.status for o in outcomes} == {OutcomeStatus.CANCELLED}
        with pytest.raises(APIConnectionError):
            outcomes[0].result()


async def test_a_cancelled_crowd_leaves_the_client_working(
    client: AsyncKinovi, running: RunningSimulator
) -> None:
    for _ in range(20):
        with anyio.move_on_after(0.01):
            async with anyio.create_task_group() as group:
                for n in range(50):
                    group.start_soon(client.get_task, f"task_{n}")
    assert all(o.ok for o in await client.run_batch(cats(4)))


async def test_the_next_run_of_an_account_starts_with_what_the_last_one_learned(
    running: RunningSimulator, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.sqlite3"
    limits = []
    for n in range(2):
        async with (
            AsyncKinovi(api_key=KEY, base_url=running.base_url, poll_interval=FAST) as client,
            JobScheduler(client, ledger=path) as scheduler,
        ):
            limits.append(scheduler.statistics().limit)
            for number in range(6):
                await scheduler.submit(NanoBanana2(prompt=f"run {n} cat {number}"))
    assert limits[0] is None
    assert limits[1] is not None
    assert 3 <= limits[1] <= 4
