"""Hints in a ledger: kept, bounded, read in order, and told apart from what is known."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kinovi_async import LedgerError, MemoryLedger, SQLiteLedger
from kinovi_async._ledger import Ending, Hinted, Ledger, NewJob
from kinovi_async._outcomes import OutcomeStatus


@pytest.fixture
def anyio_backend() -> str:
    """Real threads and files: nothing here depends on the event loop."""
    return "asyncio"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest.fixture(params=["memory", "sqlite"])
async def ledger(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[Ledger]:
    made: Ledger = MemoryLedger() if request.param == "memory" else SQLiteLedger(path)
    await made.open()
    await enter(made, "a", "b")
    yield made
    await made.aclose()


async def enter(ledger: Ledger, *keys: str) -> None:
    await ledger.add([NewJob(key=key, body={"model": "m", "inputs": {}}, at=1.0) for key in keys])


async def accept(ledger: Ledger, key: str, task_id: str) -> None:
    await ledger.intent(key, "x", at=2.0)
    await ledger.accepted(key, "x", task_id, at=3.0)


def ids(hints: list[Hinted]) -> list[tuple[str, int, str]]:
    return [(hint.key, hint.attempt, hint.task_id) for hint in hints]


async def test_hints_come_in_order_and_page_on(ledger: Ledger) -> None:
    await ledger.hint("a", 1, "t1")
    await ledger.hint("b", 2, "t2")
    found = await ledger.hints()
    assert ids(found) == [("a", 1, "t1"), ("b", 2, "t2")]
    assert ids(await ledger.hints(limit=1)) == [("a", 1, "t1")]
    assert ids(await ledger.hints(after=found[0].number)) == [("b", 2, "t2")]
    assert await ledger.hints(after=found[1].number) == []
    assert await ledger.hints(limit=0) == []


async def test_the_same_told_again_is_one_hint_with_a_new_number(ledger: Ledger) -> None:
    """Also when it was the latest: whoever has read it must see that it came again."""
    await ledger.hint("a", 1, "t1")
    (before,) = await ledger.hints()
    await ledger.hint("a", 1, "t1")
    (after,) = await ledger.hints(after=before.number)
    assert after.number > before.number


async def test_a_submission_has_its_latest_four_tasks(ledger: Ledger) -> None:
    for n in range(10):
        await ledger.hint("a", 1, f"t{n}")
    await ledger.hint("a", 2, "other")
    told = [hint.task_id for hint in await ledger.hints()]
    assert told == ["t6", "t7", "t8", "t9", "other"]


async def test_what_can_tell_nothing_more_is_not_read(ledger: Ledger) -> None:
    await accept(ledger, "a", "mine")
    for task_id in ("mine", "another"):
        await ledger.hint("a", 1, task_id)
    await ledger.hint("nobody's", 1, "t")
    assert ids(await ledger.hints()) == [("a", 1, "mine"), ("a", 1, "another")]
    await ledger.end("a", Ending(OutcomeStatus.SUCCEEDED, at=4.0))
    assert ids(await ledger.hints()) == [("a", 1, "another")]


async def test_the_task_of_an_expired_job_may_still_be_told_of(ledger: Ledger) -> None:
    """It was paid for, and only nobody waits for it any more."""
    await accept(ledger, "a", "mine")
    await ledger.hint("a", 1, "mine")
    await ledger.end("a", Ending(OutcomeStatus.EXPIRED, at=4.0))
    assert ids(await ledger.hints()) == [("a", 1, "mine")]


async def test_hints_are_no_part_of_the_money(ledger: Ledger) -> None:
    before = await ledger.totals()
    await ledger.hint("a", 1, "t1")
    assert await ledger.totals() == before
    row = await ledger.get("a")
    assert row is not None
    assert row.task_id is None


async def test_one_hint_told_again_and_again_pushes_no_other_one_out(path: Path) -> None:
    """Each time it takes a number; what is kept is counted in hints."""
    ledger = SQLiteLedger(path)
    await ledger.open()
    await enter(ledger, "a", "b")
    await ledger.hint("a", 1, "t1")
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        # As if it had been told so often.
        connection.execute("UPDATE sqlite_sequence SET seq = 20000 WHERE name = 'hints'")
    await ledger.hint("b", 1, "t2")
    assert ids(await ledger.hints()) == [("a", 1, "t1"), ("b", 1, "t2")]
    await ledger.aclose()


async def test_the_ledger_keeps_the_latest_ten_thousand() -> None:
    ledger = MemoryLedger()
    await enter(ledger, "a")
    for n in range(10_010):
        await ledger.hint("a", n + 1, "t")
    assert len(await ledger.hints(limit=20_000)) == 10_000


async def test_a_file_keeps_the_latest_ten_thousand(path: Path) -> None:
    ledger = SQLiteLedger(path)
    await ledger.open()
    await enter(ledger, "a")
    await ledger.aclose()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT INTO hints (key, attempt, task_id) VALUES ('a', ?, 't')",
            [(n + 1,) for n in range(10_010)],
        )
    await ledger.open()
    await ledger.hint("a", 20_000, "t")
    assert len(await ledger.hints(limit=20_000)) == 10_000
    await ledger.aclose()


# -- the file ------------------------------------------------------------------------------


async def test_another_process_sees_that_there_is_a_hint(path: Path) -> None:
    one, two = SQLiteLedger(path), SQLiteLedger(path)
    await one.open()
    await two.open()
    await enter(one, "a")
    assert (await two.position()).hinted == 0
    await one.hint("a", 1, "t1")
    assert (await two.position()).hinted == 1
    assert ids(await two.hints()) == [("a", 1, "t1")]
    await one.aclose()
    await two.aclose()


async def of_version_1(path: Path) -> None:
    ledger = SQLiteLedger(path)
    await ledger.open()
    await enter(ledger, "a")
    await accept(ledger, "a", "t1")
    await ledger.aclose()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript("DROP TABLE hints; PRAGMA user_version = 1")


async def test_a_ledger_of_the_first_format_is_read_on(path: Path) -> None:
    await of_version_1(path)
    one, two = SQLiteLedger(path), SQLiteLedger(path)
    await one.open()
    await two.open()
    row = await two.get("a")
    assert row is not None
    assert row.task_id == "t1"
    await one.hint("a", 1, "t2")
    assert ids(await two.hints()) == [("a", 1, "t2")]
    await one.acquire_lease("x", "a test")  # which checks the whole file
    await one.aclose()
    await two.aclose()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)


async def test_a_ledger_of_the_first_format_that_cannot_be_written_is_left_as_it_is(
    path: Path,
) -> None:
    await of_version_1(path)
    before = path.read_bytes()  # noqa: ASYNC240 - a small file
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA busy_timeout = 0")
        other.execute("BEGIN IMMEDIATE")
        ledger = Impatient(path)
        with pytest.raises(LedgerError, match="locked"):
            await ledger.open()
        other.execute("ROLLBACK")
    assert path.read_bytes() == before  # noqa: ASYNC240 - a small file


class _Impatient(sqlite3.Connection):
    def execute(self, sql: str, *args: object) -> sqlite3.Cursor:
        super().execute("PRAGMA busy_timeout = 0")
        return super().execute(sql, *args)  # type: ignore[arg-type]


class Impatient(SQLiteLedger):
    _factory = _Impatient
