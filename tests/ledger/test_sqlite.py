"""What only the ledger in a file does: last, be refused, be cancelled in the middle."""

from __future__ import annotations

import asyncio
import os
import pickle
import sqlite3
import stat
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import anyio
import pytest

from kinovi_async._errors import LedgerError
from kinovi_async._ledger import JobState, Ledger, Permission, SQLiteLedger
from kinovi_async._ledger._sqlite_file import APPLICATION_ID
from kinovi_async._outcomes import OutcomeStatus

from .builders import RUN, accepted, ended, job, row_of, sending

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes and paths")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest.fixture
async def whole(path: Path) -> Path:
    """A closed ledger with a job in every state."""
    ledger = SQLiteLedger(path)
    await ledger.open()
    await ended(ledger, OutcomeStatus.SUCCEEDED, "done", credits_=3)
    await accepted(ledger, "running")
    await ledger.add([job(f"queued-{n}") for n in range(50)])
    await ledger.aclose()
    return path


def change(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


async def refusal(path: str | Path) -> str:
    """Why a path is not opened; and nothing there is changed."""
    there = Path(path)
    before = await anyio.to_thread.run_sync(content, there)
    ledger = SQLiteLedger(path)
    with pytest.raises(LedgerError) as caught:
        await ledger.open()
    assert await anyio.to_thread.run_sync(content, there) == before
    with pytest.raises(LedgerError, match="is not open"):
        await ledger.rows()
    assert str(there) in str(caught.value)
    assert caught.value.__cause__ is None
    assert pickle.loads(pickle.dumps(caught.value)).args == caught.value.args  # noqa: S301
    return str(caught.value)


def content(path: Path) -> tuple[object, ...]:
    """What is at a path, and the names beside it."""
    try:
        beside = sorted(path.parent.iterdir())
    except OSError:
        beside = []
    return (path.read_bytes() if path.is_file() else None, beside)


async def test_everything_is_there_after_closing_and_opening(path: Path) -> None:
    ledger = SQLiteLedger(path)
    assert isinstance(ledger, Ledger)
    await ledger.open()
    await ledger.open()
    assert repr(ledger) == f"<SQLiteLedger {str(path)!r}: open>"
    for status in OutcomeStatus:
        await ended(ledger, status, status.value, credits_=2)
    await ledger.set_files("succeeded", ["a.png"], download_error="e")
    await accepted(ledger, "running")
    await sending(ledger, "sending")
    await ledger.add([job("queued", group="g", priority=2, meta={"line": 4})])
    await ledger.remember("limit", {"a": 1})
    before = (await ledger.rows(), await ledger.ended_rows(), await ledger.totals())
    await ledger.aclose()
    await ledger.aclose()
    assert repr(ledger).endswith(": closed>")

    for again in (ledger, SQLiteLedger(path)):
        await again.open()
        assert (await again.rows(), await again.ended_rows(), await again.totals()) == before
        assert await again.recall("limit") == {"a": 1}
        (row,) = await again.add([job("queued")])
        assert row.number == len(before[0])
        await again.aclose()
    assert os.listdir(path.parent) == [path.name]  # noqa: PTH208 - names only


@posix_only
async def test_all_files_are_private(path: Path) -> None:
    umask = os.umask(0)
    try:
        ledger = SQLiteLedger(path)
        await ledger.open()
        await ledger.add([job()])
        await ledger.acquire_lease(RUN, "it")
        modes = await anyio.to_thread.run_sync(modes_of, path.parent)
        await ledger.aclose()
    finally:
        os.umask(umask)
    assert modes == dict.fromkeys([path.name + end for end in ("", "-shm", "-wal", ".lock")], 0o600)


def modes_of(directory: Path) -> dict[str, int]:
    return {one.name: stat.S_IMODE(one.stat().st_mode) for one in sorted(directory.iterdir())}


async def test_the_file_is_synchronised_in_full_at_every_commit(path: Path) -> None:
    ledger = SQLiteLedger(path)
    await ledger.open()
    assert ledger._connection is not None
    assert tuple(ledger._connection.execute("PRAGMA synchronous").fetchone()) == (2,)
    assert tuple(ledger._connection.execute("PRAGMA journal_mode").fetchone()) == ("wal",)
    await ledger.aclose()


async def test_a_ledger_that_is_not_open_says_so(path: Path) -> None:
    with pytest.raises(LedgerError, match=f"the ledger {path} is not open"):
        await SQLiteLedger(path).add([job()])
    with pytest.raises(LedgerError, match="is not open"):
        await SQLiteLedger(path).acquire_lease(RUN, "it")


async def test_a_relative_path_means_the_directory_of_the_moment(tmp_path: Path) -> None:
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        ledger = SQLiteLedger("x y%z?.sqlite3")
    finally:
        os.chdir(before)
    await ledger.open()
    await ledger.aclose()
    assert os.listdir(tmp_path) == ["x y%z?.sqlite3"]  # noqa: PTH208 - names only


def sqlite_of_another_program(path: Path) -> None:
    change(path, "CREATE TABLE precious (x)")


def ledger_without_its_application_id(path: Path) -> None:
    change(path, f"PRAGMA user_version = {APPLICATION_ID}")


def text(path: Path) -> None:
    path.write_text("These are my notes. " * 500)


def nothing(path: Path) -> None:
    path.touch()


def directory(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (sqlite_of_another_program, "is not a ledger: it is another program's SQLite file"),
        (ledger_without_its_application_id, "is not a ledger: it is another program's"),
        (text, "is not a ledger, or it is damaged: file is not a database"),
        (nothing, "is an empty file, not a ledger"),
        (directory, "cannot be a ledger: it is no regular file"),
    ],
)
async def test_a_file_that_is_something_else_is_refused_and_left_alone(
    path: Path, make: Callable[[Path], None], reason: str
) -> None:
    make(path)
    assert reason in await refusal(path)


@posix_only
async def test_a_pipe_is_refused_without_waiting_for_its_writer(path: Path) -> None:
    os.mkfifo(path)
    assert "it is no regular file" in await refusal(path)


@pytest.mark.parametrize(
    ("version", "word"), [(3, "a newer"), (0, "an unknown"), (-1, "an unknown")]
)
async def test_another_version_is_refused_and_left_alone(
    whole: Path, version: int, word: str
) -> None:
    change(whole, f"PRAGMA user_version = {version}")
    reason = await refusal(whole)
    assert f"was made by {word} version of kinovi-async (format {version};" in reason


async def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    reason = await refusal(tmp_path / "missing" / "ledger.sqlite3")
    assert reason.startswith("cannot open the ledger ")
    assert "No such file or directory" in reason


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a directory nobody may write")
async def test_a_directory_that_cannot_be_written_is_an_error() -> None:
    # Of this process, or others come and go beside it.
    path = f"/proc/{os.getpid()}/ledger.sqlite3"
    assert "cannot open the ledger /proc" in await refusal(path)


@pytest.mark.skipif(getattr(os, "getuid", lambda: 0)() == 0, reason="root may write anywhere")
async def test_a_read_only_directory_is_an_error(path: Path) -> None:
    os.chmod(path.parent, 0o500)  # noqa: PTH101
    try:
        assert "Permission denied" in await refusal(path)
    finally:
        os.chmod(path.parent, 0o700)  # noqa: PTH101


async def test_a_log_without_its_ledger_is_not_taken_for_a_new_ledger(path: Path) -> None:
    Path(f"{path}-wal").write_bytes(b"jobs that are lost")  # noqa: ASYNC240 - quick
    assert "is gone but" in await refusal(path)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.9])
async def test_a_truncated_ledger_is_refused_and_left_alone(whole: Path, share: float) -> None:
    os.truncate(whole, int(whole.stat().st_size * share))  # noqa: ASYNC240 - quick
    assert "ledger" in await refusal(whole)


async def test_a_ledger_whose_last_page_is_cut_is_not_run(whole: Path) -> None:
    os.truncate(whole, whole.stat().st_size - 1)  # noqa: ASYNC240 - quick
    os.truncate(whole, whole.stat().st_size - 4000)  # noqa: ASYNC240 - quick
    ledger = SQLiteLedger(whole)
    await ledger.open()
    with pytest.raises(LedgerError, match="is damaged"):
        await ledger.acquire_lease(RUN, "it")
    await ledger.aclose()


@pytest.mark.parametrize("position", range(0, 100, 7))
async def test_a_damaged_ledger_is_an_error_or_shows_the_jobs_as_they_were(
    whole: Path, position: int
) -> None:
    ledger = SQLiteLedger(whole)
    await ledger.open()
    before = await ledger.rows(states={JobState.QUEUED})
    await ledger.aclose()
    await anyio.to_thread.run_sync(damage, whole, position)
    try:
        await ledger.open()
        await ledger.acquire_lease(RUN, "it")
        assert await ledger.rows(states={JobState.QUEUED}) == before
        for key in ("done", "running"):
            intent = await ledger.intent(key, RUN, at=1.0)
            assert intent.permission is Permission.NOT_QUEUED
    except LedgerError as error:
        assert str(whole) in str(error) or "is damaged" in str(error)  # noqa: PT017
    finally:
        await ledger.aclose()


def damage(path: Path, percent: int) -> None:
    """Overwrites 64 bytes somewhere in the file."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size * percent // 100)
        file.write(b"\xa5" * 64)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("attempts", "[[1]]"),
        ("body", "{"),
        ("credits", "many"),
        ("files", "7"),
        ("task_id", "x\x80"),
    ],
)
async def test_a_damaged_entry_is_named(whole: Path, column: str, value: str) -> None:
    blob = value.encode("latin-1").hex()
    change(whole, f"UPDATE jobs SET {column} = CAST(X'{blob}' AS TEXT) WHERE key = 'done'")  # noqa: S608
    ledger = SQLiteLedger(whole)
    await ledger.open()
    with pytest.raises(LedgerError, match=r"the ledger's entry of job 'done' is damaged|decode"):
        await ledger.get("done")
    assert (await row_of(ledger, "running")).state is JobState.ACCEPTED
    await ledger.aclose()


async def test_a_damaged_index_is_found_before_anything_runs(whole: Path) -> None:
    connection = sqlite3.connect(whole)
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_schema SET sql = NULL WHERE name = 'jobs_by_stage'")
    connection.execute("DELETE FROM sqlite_schema WHERE name = 'jobs_by_stage'")
    connection.commit()
    connection.close()
    ledger = SQLiteLedger(whole)
    await ledger.open()
    with pytest.raises(LedgerError, match="is damaged"):
        await ledger.acquire_lease(RUN, "it")
    await ledger.aclose()
    again = SQLiteLedger(whole)
    await again.open()
    with pytest.raises(LedgerError, match="is damaged"):  # and the lease was given back
        await again.acquire_lease("run-2", "it")
    await again.aclose()


async def test_a_refused_task_is_named_by_the_error(path: Path) -> None:
    ledger = SQLiteLedger(path)
    await ledger.open()
    await sending(ledger)
    await ledger.aclose()
    with pytest.raises(LedgerError, match="is not open"):
        await ledger.accepted("cat-1", RUN, "task-1", at=1.0)
    await ledger.open()
    assert ledger._connection is not None
    ledger._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(
        LedgerError, match="cannot write the task task-1 of job 'cat-1' into"
    ) as caught:
        await ledger.accepted("cat-1", RUN, "task-1", at=1.0)
    assert caught.value.task_id == "task-1"
    await ledger.aclose()


async def test_a_cancelled_caller_writes_nothing_or_gets_its_answer(path: Path) -> None:
    """Cancelled before its turn: nothing. Cancelled later: all of it, and the answer."""
    ledger = SQLiteLedger(path)
    await ledger.open()
    await ledger.add([job("a"), job("b")])
    with anyio.CancelScope() as scope:
        scope.cancel()
        await ledger.intent("a", RUN, at=1.0)
    assert (await row_of(ledger, "a")).state is JobState.QUEUED

    answers: list[Permission] = []
    locked = sqlite3.connect(path, isolation_level=None)
    locked.execute("BEGIN IMMEDIATE")

    async def ask(key: str) -> None:
        intent = await ledger.intent(key, RUN, at=1.0)
        answers.append(intent.permission)

    async with anyio.create_task_group() as group:
        group.start_soon(ask, "a")  # is waiting for the lock in its thread
        await anyio.wait_all_tasks_blocked()
        group.start_soon(ask, "b")  # is waiting for its turn
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
        locked.execute("ROLLBACK")
        locked.close()
    assert answers == [Permission.GRANTED]
    assert (await row_of(ledger, "a")).state is JobState.SENDING
    assert (await row_of(ledger, "b")).state is JobState.QUEUED
    await ledger.aclose()


def test_a_call_cancelled_by_asyncio_itself_is_finished_too(path: Path) -> None:
    async def run() -> None:
        ledger = SQLiteLedger(path)
        await ledger.open()
        await ledger.add([job()])
        locked = sqlite3.connect(path, isolation_level=None)
        locked.execute("BEGIN IMMEDIATE")
        call = asyncio.ensure_future(ledger.intent("cat-1", RUN, at=1.0, reserve=Decimal(4)))
        await anyio.wait_all_tasks_blocked()
        call.cancel()
        await anyio.wait_all_tasks_blocked()
        assert not call.done()
        locked.execute("ROLLBACK")
        locked.close()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (await row_of(ledger)).state is JobState.SENDING
        await ledger.aclose()

    asyncio.run(run())


async def test_many_callers_at_once_take_turns(path: Path) -> None:
    ledger = SQLiteLedger(path)
    await ledger.open()
    await ledger.add([job(f"k{n}") for n in range(30)])
    granted: list[str] = []

    async def ask(key: str) -> None:
        intent = await ledger.intent(key, RUN, at=1.0, reserve=Decimal(1), budget=Decimal(20))
        if intent.permission is Permission.GRANTED:
            granted.append(key)

    async with anyio.create_task_group() as group:
        for n in range(30):
            group.start_soon(ask, f"k{n}")
            group.start_soon(ask, f"k{n}")
    assert len(granted) == len(set(granted)) == 20
    assert (await ledger.totals()).reserved == 20
    await ledger.aclose()


def test_one_object_serves_one_event_loop_after_another(path: Path) -> None:
    ledger = SQLiteLedger(path)

    async def first() -> None:
        await ledger.open()
        await ledger.add([job()])

    async def second() -> None:
        assert [row.key for row in await ledger.rows()] == ["cat-1"]
        await ledger.aclose()

    anyio.run(first)
    anyio.run(second)


@posix_only
def test_a_ledger_opened_before_a_fork_is_not_used_after_it(path: Path) -> None:
    async def run() -> None:
        ledger = SQLiteLedger(path)
        await ledger.open()
        ledger._pid = os.getpid() + 1  # as a child sees it
        with pytest.raises(LedgerError, match="was opened before a fork"):
            await ledger.add([job()])
        await ledger.aclose()

    anyio.run(run)


async def test_a_file_system_without_hard_links_gets_a_copy(path: Path, tmp_path: Path) -> None:
    from kinovi_async._ledger._sqlite_file import _copy

    ledger = SQLiteLedger(path)
    await ledger.open()
    await ledger.aclose()
    copied = tmp_path / "copy.sqlite3"
    await anyio.to_thread.run_sync(_copy, path, copied)
    await anyio.to_thread.run_sync(_copy, Path(__file__), copied)  # never overwrites
    again = SQLiteLedger(copied)
    await again.open()
    assert await again.rows() == []
    await again.aclose()
