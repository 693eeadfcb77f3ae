"""Several processes on one ledger, and processes that die."""

from __future__ import annotations

import sqlite3
import sys
from collections import Counter
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

import anyio
import pytest

from kinovi_async._errors import LedgerError
from kinovi_async._ledger import JobRow, JobState, SQLiteLedger, Totals

from .builders import job
from .processes import child, line, rest, tell

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and limits")
ORDER = ["queued", "sending", "accepted", "ended"]


def read(path: Path) -> tuple[dict[str, JobRow], Totals]:
    """What a process that comes later finds."""

    async def run() -> tuple[dict[str, JobRow], Totals]:
        ledger = SQLiteLedger(path)
        await ledger.open()
        try:
            await ledger.acquire_lease("later", "a test")
            rows = await ledger.rows(limit=100_000)
            return {row.key: row for row in rows}, await ledger.totals()
        finally:
            await ledger.aclose()

    return anyio.run(run)


def expected_totals(rows: dict[str, JobRow]) -> Totals:
    spent = sum((row.credits for row in rows.values() if row.credits), Decimal(0))
    running = {JobState.SENDING, JobState.ACCEPTED}
    reserved = sum((row.reserved for row in rows.values() if row.state in running), Decimal(0))
    return Totals(spent=spent, reserved=reserved)


@posix_only
@pytest.mark.parametrize("acknowledged", [1, 2, 3, 4, 9, 30, 81])
def test_sigkill_loses_nothing_that_was_acknowledged(tmp_path: Path, acknowledged: int) -> None:
    path = tmp_path / "ledger.sqlite3"
    with child("work", path) as worker:
        said = [line(worker) for _ in range(acknowledged)]
        worker.kill()
        told = [(words[0], words[1]) for words in said] + rest(worker)
    rows, totals = read(path)
    for state, key in told:
        assert ORDER.index(rows[key].state) >= ORDER.index(state)
    # At most the one step that was being written may be there without having been told.
    last_state, last_key = told[-1]
    ahead = [key for key in rows if key not in {key for _, key in told}]
    assert len(ahead) <= 1
    assert ORDER.index(rows[last_key].state) <= ORDER.index(last_state) + 1
    for row in rows.values():
        n = row.key.removeprefix("k")
        assert row.body == {"model": "m", "inputs": {"prompt": row.key, "pad": "x" * 500}}
        if row.state in {JobState.ACCEPTED, JobState.ENDED}:
            assert row.task_id == f"task-{n}"
    assert totals == expected_totals(rows)


def test_each_job_is_granted_to_exactly_one_of_several_processes(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    count = 200

    async def prepare() -> None:
        ledger = SQLiteLedger(path)
        await ledger.open()
        await ledger.add([job(f"k{n}") for n in range(count)])
        await ledger.aclose()

    anyio.run(prepare)
    with ExitStack() as stack:
        racers = [stack.enter_context(child("race", path, count)) for _ in range(3)]
        for racer in racers:
            assert line(racer) == ["ready"]
        for racer in racers:
            tell(racer)
        said = [rest(racer) for racer in racers]
    assert [lines[-1] for lines in said] == [("done", "done")] * 3
    granted = Counter(key for lines in said for word, key in lines if word == "granted")
    assert set(granted.values()) == {1}
    assert len(granted) == 150  # the budget covers no more, whoever asks
    rows, totals = read(path)
    assert {key for key, row in rows.items() if row.state is JobState.SENDING} == set(granted)
    assert totals.reserved == 150


def test_several_processes_make_and_fill_one_new_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    with ExitStack() as stack:
        writers = [stack.enter_context(child("enter", path, 100)) for _ in range(3)]
        for writer in writers:
            assert line(writer) == ["ready"]
        for writer in writers:
            tell(writer)
        assert [rest(writer) for writer in writers] == [[("done", "done")]] * 3
    rows, _ = read(path)
    assert sorted(rows) == sorted(f"k{n}" for n in range(100))
    assert sorted(row.number for row in rows.values()) == list(range(1, 101))
    assert list(tmp_path.glob("*.new-*")) == []


@posix_only
@pytest.mark.parametrize("limit", [40_000, 100_000, 300_000])
def test_a_full_disk_is_an_error_and_loses_nothing(tmp_path: Path, limit: int) -> None:
    path = tmp_path / "ledger.sqlite3"
    with child("fill", path, limit) as writer:
        *told, (failed, message) = rest(writer)
        assert writer.wait() == 0
    assert failed == "failed"
    assert message.startswith(f"cannot add jobs to the ledger {path}: ")
    rows, _ = read(path)
    assert list(rows) == [key for _, key in told]


async def test_a_ledger_that_may_not_grow_is_an_error_and_loses_nothing(tmp_path: Path) -> None:
    ledger = SQLiteLedger(tmp_path / "ledger.sqlite3")
    await ledger.open()
    assert ledger._connection is not None
    (pages,) = ledger._connection.execute("PRAGMA page_count").fetchone()
    ledger._connection.execute(f"PRAGMA max_page_count = {pages + 4}")
    entered: list[str] = []

    async def enter_endlessly() -> None:
        while True:
            key = f"k{len(entered)}"
            await ledger.add([job(key, "x" * 1000)])
            entered.append(key)

    with pytest.raises(LedgerError, match=r"cannot add jobs to .* is full \(SQLITE_FULL\)"):
        await enter_endlessly()
    assert [row.key for row in await ledger.rows()] == entered
    with pytest.raises(LedgerError):
        await ledger.add([job(f"late{n}", "x" * 1000) for n in range(10)])
    (pages,) = ledger._connection.execute("PRAGMA max_page_count = 100000").fetchone()
    await ledger.add([job("more")])
    await ledger.aclose()
    await ledger.open()
    assert [row.key for row in await ledger.rows()] == [*entered, "more"]
    await ledger.aclose()


def test_a_locked_ledger_is_an_error_in_the_end(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"

    async def run() -> None:
        ledger = SQLiteLedger(path)
        await ledger.open()
        assert ledger._connection is not None
        ledger._connection.execute("PRAGMA busy_timeout = 0")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match=r"cannot add jobs to .* database is locked"):
            await ledger.add([job()])
        assert await ledger.rows() == []
        other.execute("ROLLBACK")
        other.close()
        await ledger.add([job()])
        await ledger.aclose()

    anyio.run(run)
