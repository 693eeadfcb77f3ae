"""A ledger whose storage fails, at every statement and at every place of its file.

Whatever happens, the answer is a `LedgerError` or the right content, and no job that was
accepted, or may have been, is ever submitted again. What a power failure may do is
SQLite's promise (`synchronous = FULL`); here the calls fail, and the file is damaged.
"""

# ruff: noqa: ASYNC240, PT017 - quick looks at small files; every error is also counted

from __future__ import annotations

import contextlib
import logging
import math
import os
import shutil
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Literal

import anyio
import httpx
import pytest

from kinovi_async import AsyncKinovi, NanoBanana2, Outcome
from kinovi_async._errors import LedgerError
from kinovi_async._ledger import JobRow, JobState, Permission, SQLiteLedger
from kinovi_async._outcomes import OutcomeStatus
from kinovi_async.simulator import Simulator
from tests.canary import CANARY

from .builders import RUN, accepted, ended, job, sending

pytestmark = pytest.mark.unwatched

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")

JOBS = 2
AT_ONCE = 8
"""Runs at a time: they mostly wait for the disk."""


@pytest.fixture
def anyio_backend() -> str:
    """One is enough: the statements are the same."""
    return "asyncio"


# -- the n-th statement fails -------------------------------------------------------------


@dataclass
class Plan:
    """Which statement fails, and how."""

    at: float = math.inf
    """Its number, from 1, over everything the ledger says to SQLite."""
    how: Literal["before", "after", "from"] = "before"
    """Not carried out; carried out, yet told as failed; not carried out, nor any later."""
    statements: list[str] = field(default_factory=list)

    def before(self, sql: str) -> None:
        self.statements.append(sql)
        here = len(self.statements)
        if (self.how == "before" and here == self.at) or (self.how == "from" and here >= self.at):
            raise self._error()

    def after(self) -> None:
        if self.how == "after" and len(self.statements) == self.at:
            raise self._error()

    def _error(self) -> sqlite3.OperationalError:
        full = len(self.statements) % 2
        return sqlite3.OperationalError("database or disk is full" if full else "disk I/O error")


def ledger_that_fails(path: Path, plan: Plan) -> SQLiteLedger:
    class Failing(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            plan.before(sql)
            cursor = super().execute(sql, *values)
            plan.after()
            return cursor

        def executescript(self, sql: str) -> sqlite3.Cursor:
            plan.before(sql)
            cursor = super().executescript(sql)
            plan.after()
            return cursor

    class Ledger(SQLiteLedger):
        _factory = Failing

    return Ledger(path)


class Account:
    """The simulator in process, and runs against it."""

    def __init__(self, http: httpx.AsyncClient, simulator: Simulator, directory: Path) -> None:
        self.http = http
        self.simulator = simulator
        self.directory = directory

    async def run(self, name: str, ledger: SQLiteLedger) -> list[Outcome]:
        """One process's life: opens the ledger, runs the batch, closes it."""
        client = AsyncKinovi(
            api_key=CANARY,
            base_url="http://localhost/api/v1",
            http_client=self.http,
            poll_interval=(0.003, 0.005),
            ledger=ledger,
        )
        requests = [(f"{name}-{n}", NanoBanana2(prompt=f"{name}-{n}")) for n in range(JOBS)]
        try:
            async with client:
                return await client.run_batch(requests)
        finally:
            await ledger.aclose()

    def tasks(self, name: str) -> list[tuple[str, str]]:
        """Key and task id of everything the server accepted of a run."""
        return [
            (task.prompt, task.task_id)
            for task in self.simulator.books.accepted
            if task.prompt.startswith(f"{name}-")
        ]


@contextlib.asynccontextmanager
async def account_in(directory: Path) -> Any:
    simulator = Simulator(limit=1000, speed=5000)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(simulator.app)) as http:
        yield Account(http, simulator, directory)


async def statements_of_a_run(account: Account) -> list[str]:
    plan = Plan()
    outcomes = await account.run("whole", ledger_that_fails(account.directory / "whole", plan))
    assert [outcome.status for outcome in outcomes] == [OutcomeStatus.SUCCEEDED] * JOBS
    return plan.statements


async def check_failure(account: Account, plan: Plan, caplog: pytest.LogCaptureFixture) -> bool:
    """One run whose ledger fails, one that goes on; whether the first was told."""
    name = f"{plan.how}{plan.at}"
    path = account.directory / name
    told: list[str] = []
    try:
        await account.run(name, ledger_that_fails(path, plan))
    except LedgerError as error:
        assert str(path) in str(error)  # it says which ledger
        assert error.__cause__ is None
        told = [str(error), error.task_id or ""]
    # The next process, on a disk that works again. Half a ledger was never put in place.
    outcomes = {outcome.key: outcome for outcome in await account.run(name, SQLiteLedger(path))}
    tasks = account.tasks(name)
    twice = [key for key, count in Counter(key for key, _ in tasks).items() if count > 1]
    assert twice == [], f"{name}: paid twice"
    logged = "\n".join(record.getMessage() for record in caplog.records)
    for key, task_id in tasks:
        outcome = outcomes[key]
        if outcome.status is OutcomeStatus.AMBIGUOUS:
            # The ledger could not keep it, so somebody was told.
            assert task_id in "\n".join([logged, *told]), f"{name}: the id of {key} is lost"
        else:
            assert (outcome.status, outcome.task_id) == (OutcomeStatus.SUCCEEDED, task_id), name
    for outcome in outcomes.values():
        ends = {OutcomeStatus.SUCCEEDED, OutcomeStatus.AMBIGUOUS}
        assert outcome.status in ends, f"{name}: {outcome}"
    return bool(told)


@pytest.mark.parametrize("how", ["before", "after", "from"])
async def test_any_statement_may_fail_and_nothing_is_paid_twice_or_lost(
    tmp_path: Path, how: Literal["before", "after", "from"], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "kinovi_async")
    async with account_in(tmp_path) as account:
        statements = await statements_of_a_run(account)
        count = len(statements)
        assert count > 40
        # One that was carried out matters only where it wrote.
        numbers = [
            number
            for number, sql in enumerate(statements, start=1)
            if how != "after" or sql.startswith(("COMMIT", "INSERT OR", "PRAGMA", "\nBEGIN"))
        ]
        told: list[int] = []
        limit = anyio.CapacityLimiter(AT_ONCE)

        async def check(number: int) -> None:
            async with limit:
                if await check_failure(account, Plan(number, how), caplog):
                    told.append(number)

        async with anyio.create_task_group() as group:
            for number in numbers:
                group.start_soon(check, number)
        # A run succeeds without a second look at its log, and without keeping its limit,
        # which is a transaction of four statements.
        kept = sum(sql.startswith("INSERT OR REPLACE INTO remembered") for sql in statements)
        assert len(told) >= len(numbers) - 6 - 4 * kept


# -- the file may not grow -----------------------------------------------------------------


@contextlib.contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def bring_jobs_on(ledger: SQLiteLedger, said: list[tuple[str, str]]) -> None:
    """Job after job through its life, noting what was acknowledged, until it fails."""
    for n in range(10_000):
        key = f"job-{n}"
        await ledger.add([job(key, "x" * 400)])
        said.append((key, "queued"))
        await sending(ledger, key)
        said.append((key, "sending"))
        await ledger.accepted(key, RUN, f"task-{key}", at=3.0)
        said.append((key, "accepted"))


ORDER = ["queued", "sending", "accepted"]


async def check_acknowledged(path: Path, said: list[tuple[str, str]]) -> None:
    """What was acknowledged is there; the one step that failed may be there or not."""
    ledger = SQLiteLedger(path)
    await ledger.open()
    await ledger.acquire_lease("later", "a test")
    rows = {row.key: row for row in await ledger.rows(limit=100_000)}
    await ledger.aclose()
    for key, state in dict(said).items():
        assert ORDER.index(rows[key].state) >= ORDER.index(state)
        assert rows[key].task_id == (f"task-{key}" if state == "accepted" else None)
    assert len(rows) <= len(dict(said)) + 1


@posix_only
async def test_a_disk_that_is_full_at_any_size_is_an_error_and_loses_nothing(
    tmp_path: Path,
) -> None:
    """A limit on the size of files makes real writes fail, of the log, the file, the index."""
    made = refused = 0
    for size in [0, 1, 4095, 4096, *range(8192, 120_000, 12_800)]:
        path = tmp_path / f"ledger-{size}"
        said: list[tuple[str, str]] = []
        ledger = SQLiteLedger(path)
        with file_size_limit(size), pytest.raises(LedgerError) as caught:
            await ledger.open()
            await bring_jobs_on(ledger, said)
        assert str(path) in str(caught.value)
        await ledger.aclose()
        made += path.exists()
        refused += not path.exists()
        assert [one.name for one in tmp_path.glob(f"{path.name}.new*")] == []
        await check_acknowledged(path, said)
    assert made > 5
    assert refused > 3


async def test_a_ledger_that_may_not_grow_any_further_is_an_error_at_any_size(
    tmp_path: Path,
) -> None:
    for pages in (1, 2, 3, 5, 9, 17):
        path = tmp_path / f"ledger-{pages}"
        said: list[tuple[str, str]] = []
        ledger = SQLiteLedger(path)
        await ledger.open()
        assert ledger._connection is not None
        (now,) = ledger._connection.execute("PRAGMA page_count").fetchone()
        ledger._connection.execute(f"PRAGMA max_page_count = {now + pages}")
        with pytest.raises(LedgerError, match=r"SQLITE_FULL"):
            await bring_jobs_on(ledger, said)
        await ledger.aclose()
        await check_acknowledged(path, said)


# -- the file is damaged -------------------------------------------------------------------


@pytest.fixture
async def whole(tmp_path: Path) -> Path:
    """A closed ledger with jobs in every state."""
    path = tmp_path / "whole.sqlite3"
    ledger = SQLiteLedger(path)
    await ledger.open()
    await ledger.add([job(f"queued-{n}", "p" * 200) for n in range(40)])
    for n in range(10):
        await accepted(ledger, f"running-{n}")
        await ended(ledger, OutcomeStatus.SUCCEEDED, f"done-{n}", credits_=4)
        await ended(ledger, OutcomeStatus.AMBIGUOUS, f"unclear-{n}")
    await ledger.remember("limit", 5)
    await ledger.aclose()
    return path


async def rows_of(path: Path) -> dict[str, JobRow]:
    ledger = SQLiteLedger(path)
    await ledger.open()
    try:
        await ledger.acquire_lease(RUN, "a test")
        return {row.key: row for row in await ledger.rows()}
    finally:
        await ledger.aclose()


async def may_be_sent(path: Path, keys: list[str]) -> list[str]:
    """Which of these jobs, entered again, a runner would submit; it fails at the first error."""
    ledger = SQLiteLedger(path)
    sent: list[str] = []
    try:
        await ledger.open()
        await ledger.acquire_lease(RUN, "a test")
        for key in keys:
            await ledger.add([job(key)])
            intent = await ledger.intent(key, RUN, at=5.0)
            if intent.permission is Permission.GRANTED:
                sent.append(key)
    except LedgerError as error:
        assert error.__cause__ is None
    finally:
        await ledger.aclose()
    return sent


class Damage:
    """Damages copies of a ledger, and counts what becomes of them."""

    def __init__(self, whole: Path, before: dict[str, JobRow]) -> None:
        self.whole = whole
        self.before = before
        self.copy = whole.with_name("copy.sqlite3")
        self.refused = 0
        self.right = 0
        self.paid = [
            key
            for key, row in before.items()
            if row.state is JobState.ACCEPTED
            or row.status in {OutcomeStatus.SUCCEEDED, OutcomeStatus.AMBIGUOUS}
        ]

    async def check(self, content: bytes, what: str, log: bytes | None = None) -> None:
        """A clear error, or everything as it was; what was paid is never sent again."""
        for end in ("-wal", "-shm", ".lock"):
            Path(f"{self.copy}{end}").unlink(missing_ok=True)
        self.copy.write_bytes(content)
        if log is not None:
            Path(f"{self.copy}-wal").write_bytes(log)
        try:
            rows = await rows_of(self.copy)
        except LedgerError as error:
            assert error.__cause__ is None, what
            assert str(self.copy) in str(error) or "damaged" in str(error), what
            self.refused += 1
        else:
            assert rows == self.before, what
            self.right += 1
            return
        assert await may_be_sent(self.copy, self.paid) == [], what


async def test_a_ledger_cut_off_anywhere_is_refused(whole: Path) -> None:
    content = whole.read_bytes()
    damage = Damage(whole, await rows_of(whole))
    size, page = len(content), 4096
    cuts = {*range(0, size, page), *range(size - 2 * page, size, 64), 1, 16, 99, 100, size - 1}
    for cut in sorted(cuts):
        await damage.check(content[:cut], f"cut at {cut} of {size}")
    # Of its last page SQLite needs only the part that is in use.
    assert damage.refused > len(cuts) / 2


async def test_a_ledger_with_a_damaged_bit_is_refused_or_read_right(whole: Path) -> None:
    content = whole.read_bytes()
    damage = Damage(whole, await rows_of(whole))
    rng = Random(20)
    for n in range(150):
        damaged = bytearray(content)
        position = rng.randrange(len(content))
        damaged[position] ^= 1 << rng.randrange(8)
        await damage.check(bytes(damaged), f"flip {n}, a bit at {position}")
    assert damage.refused
    assert damage.right


async def test_a_ledger_with_a_damaged_sector_is_refused_or_read_right(whole: Path) -> None:
    content = whole.read_bytes()
    damage = Damage(whole, await rows_of(whole))
    for position in range(0, len(content), 512):
        for filler in (b"\0", b"\xff"):
            damaged = content[:position] + filler * 512 + content[position + 512 :]
            if damaged != content:
                await damage.check(damaged, f"{filler!r} at {position}")
    assert damage.refused


@dataclass(frozen=True)
class Killed:
    """What a killed process leaves: the file, its log, and what stands in them."""

    content: bytes
    log: bytes
    rows: dict[str, JobRow]
    path: Path


@pytest.fixture
async def killed(tmp_path: Path) -> Killed:
    path = tmp_path / "killed.sqlite3"
    ledger = SQLiteLedger(path)
    await ledger.open()
    for n in range(3):
        await accepted(ledger, f"running-{n}")
        await ended(ledger, OutcomeStatus.SUCCEEDED, f"done-{n}", credits_=4)
    content, log = await anyio.to_thread.run_sync(read_both, path)
    rows = {row.key: row for row in await ledger.rows()}
    await ledger.aclose()
    return Killed(content, log, rows, path)


def read_both(path: Path) -> tuple[bytes, bytes]:
    return path.read_bytes(), Path(f"{path}-wal").read_bytes()


FRAME = 24 + 4096


def last_commits(log: bytes, count: int) -> int:
    """Where, in the log, the last commits begin."""
    frames = range(32, len(log), FRAME)
    commits = [start for start in frames if log[start + 4 : start + 8] != bytes(4)]
    return commits[-count - 1] + FRAME


async def test_a_log_damaged_before_its_last_commits_is_refused(killed: Killed) -> None:
    """SQLite itself drops, without a word, whatever stands behind the first bad frame."""
    damage = Damage(killed.path, killed.rows)
    await damage.check(killed.content, "undamaged", killed.log)
    assert damage.right == 1
    rng = Random(21)
    end = last_commits(killed.log, 2)
    # The last words of the log's header, and of each frame's, are those of its checksum.
    places = [*range(0, 32, 3), *(rng.randrange(32, end) for _ in range(40))]
    places += [start + byte for start in range(32, end, FRAME * 7) for byte in (0, 7, 9, 17)]
    for place in places:
        damaged = bytearray(killed.log)
        damaged[place] ^= 1 << rng.randrange(8)
        await damage.check(killed.content, f"a bit of the log at {place}", bytes(damaged))
    assert damage.refused >= len(places) - 4  # a sequence number means nothing


async def test_a_log_that_a_crash_cut_off_is_taken_as_far_as_it_goes(killed: Killed) -> None:
    """No commit is torn out of the middle, whatever stands behind it."""
    whole = last_commits(killed.log, 1)
    pieces = [killed.log[:end] for end in range(whole, len(killed.log), 1024)]
    rest = killed.log[whole:]
    torn = killed.log[:whole] + rest[:30] + bytes(len(rest) - 30)
    for number, log in enumerate([*pieces, torn]):
        path = killed.path.with_name(f"cut-{number}.sqlite3")
        path.write_bytes(killed.content)
        Path(f"{path}-wal").write_bytes(log)
        rows = await rows_of(path)
        # All but the very last step, which was never acknowledged.
        assert [key for key in killed.rows if rows.get(key) != killed.rows[key]] == ["done-2"]
        assert rows["done-2"].state is JobState.ACCEPTED


# -- something else is in the way ----------------------------------------------------------


async def test_a_ledger_locked_by_another_connection_is_an_error_in_the_end(whole: Path) -> None:
    ledger = SQLiteLedger(whole)
    await ledger.open()
    assert ledger._connection is not None
    ledger._connection.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(whole, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerError, match=r"cannot write the intent .* database is locked"):
        await ledger.intent("queued-1", RUN, at=1.0)
    with pytest.raises(LedgerError, match="database is locked"):
        await ledger.end("running-1", ending_of("running-1"))
    assert await ledger.get("running-1") is not None
    other.execute("ROLLBACK")
    other.close()
    intent = await ledger.intent("queued-1", RUN, at=1.0)
    assert intent.permission is Permission.GRANTED
    await ledger.aclose()


def ending_of(key: str) -> Any:
    from kinovi_async._ledger import Ending

    del key
    return Ending(OutcomeStatus.SUCCEEDED, at=9.0)


@posix_only
async def test_a_directory_that_is_gone_is_an_error_or_nothing_is_lost(tmp_path: Path) -> None:
    """The files live on without their names, so that what is open goes on to its end."""
    directory = tmp_path / "out"
    directory.mkdir()
    ledger = SQLiteLedger(directory / "ledger.sqlite3")
    await ledger.open()
    await sending(ledger, "cat-1")
    shutil.rmtree(directory)
    with contextlib.suppress(LedgerError):
        await ledger.accepted("cat-1", RUN, "task-1", at=3.0)
        row = await ledger.get("cat-1")
        assert row is not None
        assert row.task_id == "task-1"
    with contextlib.suppress(LedgerError):
        await ledger.aclose()
    with pytest.raises(LedgerError, match="No such file or directory"):
        await SQLiteLedger(directory / "ledger.sqlite3").open()


@pytest.mark.skipif(getattr(os, "getuid", lambda: 0)() == 0, reason="root may write anywhere")
async def test_a_read_only_file_can_not_be_written(whole: Path) -> None:
    whole.chmod(0o400)
    ledger = SQLiteLedger(whole)
    with pytest.raises(LedgerError, match="readonly"):
        await ledger.open()
        await ledger.add([job("another")])
    await ledger.aclose()


async def test_a_ledger_that_only_reads_is_a_clear_error_at_every_write(whole: Path) -> None:
    ledger = SQLiteLedger(whole)
    await ledger.open()
    assert ledger._connection is not None
    ledger._connection.execute("PRAGMA query_only = ON")
    writes = [
        ledger.add([job("another")]),
        ledger.intent("queued-1", RUN, at=1.0),
        ledger.end("running-1", ending_of("running-1")),
        ledger.set_files("done-1", ["a.png"]),
        ledger.remember("limit", 7),
    ]
    for write in writes:
        with pytest.raises(LedgerError, match="readonly"):
            await write
    assert len(await ledger.rows()) == 70
    await ledger.aclose()
