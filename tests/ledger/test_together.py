"""Calls that come while the disk is busy go together; what is wrong with one is its own."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from kinovi_async import AsyncKinovi, JobScheduler, KeyConflictError, KinoviError, NanoBanana2
from kinovi_async._errors import LedgerError
from kinovi_async._ledger import JobState, Permission, SQLiteLedger
from kinovi_async._ledger._line import MOST, Call, Line
from kinovi_async.testing import InstantSimulator

from .builders import RUN, job, row_of, sending


class Disk:
    """Serves calls, and notes which went together; closed, it keeps them waiting."""

    def __init__(self) -> None:
        self.served: list[list[str]] = []
        self.open = threading.Event()
        self.open.set()
        self.line = Line(self._serve)
        self._begun = threading.Event()

    def stop_at_next(self) -> threading.Event:
        """Lets what is being done end; the next that begins waits until it is opened."""
        closed, self.open = self.open, threading.Event()
        begun = self._begun = threading.Event()
        closed.set()
        return begun

    async def is_busy(self) -> None:
        """Waits until a thread does something: that tasks are blocked says nothing of threads."""
        await anyio.to_thread.run_sync(self._begun.wait)

    def _serve(self, calls: Sequence[Call[Any]]) -> None:
        opened = self.open
        self._begun.set()
        opened.wait()
        self.served.append([call.name for call in calls])  # type: ignore[attr-defined]
        for call in calls:
            call.succeed(f"{call.name} done")  # type: ignore[attr-defined]

    async def ask(self, name: str, kind: object = "write") -> str:
        call: Call[str] = Call(kind)
        call.name = name  # type: ignore[attr-defined]
        return await self.line.run(call)

    async def together(self, *calls: Callable[[], Any]) -> None:
        """Lines up calls behind one that waits for the disk, then opens it."""
        self.open.clear()
        async with anyio.create_task_group() as group:
            group.start_soon(self.ask, "first")
            await anyio.wait_all_tasks_blocked()
            for call in calls:
                group.start_soon(call)
                await anyio.wait_all_tasks_blocked()
            self.open.set()


async def test_a_call_alone_is_done_at_once() -> None:
    disk = Disk()
    assert [await disk.ask("a"), await disk.ask("b")] == ["a done", "b done"]
    assert disk.served == [["a"], ["b"]]


async def test_what_came_meanwhile_goes_together_in_its_order() -> None:
    disk = Disk()
    await disk.together(*(lambda name=name: disk.ask(name) for name in "abc"))
    assert disk.served == [["first"], ["a", "b", "c"]]


async def test_nobody_overtakes_a_call_of_another_kind() -> None:
    disk = Disk()
    kinds = {"a": "write", "b": "read", "c": "read", "d": "write", "e": None, "f": None}
    await disk.together(*(lambda each=each: disk.ask(*each) for each in kinds.items()))
    assert disk.served == [["first"], ["a"], ["b", "c"], ["d"], ["e"], ["f"]]


async def test_so_many_go_together_and_no_more() -> None:
    disk = Disk()
    await disk.together(*(lambda n=n: disk.ask(str(n)) for n in range(MOST + 1)))
    assert [len(calls) for calls in disk.served] == [1, MOST, 1]


@pytest.mark.parametrize("name", ["a", "b", "c"])
async def test_a_call_that_is_cancelled_in_line_is_not_done_and_holds_nobody_up(name: str) -> None:
    disk = Disk()
    left = anyio.CancelScope()

    async def leave() -> None:
        with left:
            await disk.ask(name, kind=name)
        left.cancel()

    async def cancel() -> None:
        left.cancel()

    calls: list[Callable[[], Any]] = [partial(disk.ask, each, kind=each) for each in "abc"]
    calls["abc".index(name)] = leave
    await disk.together(*calls, cancel)
    assert disk.served == [["first"], *([each] for each in "abc" if each != name)]


async def test_a_call_that_is_cancelled_while_it_is_done_gets_its_answer() -> None:
    """Also one that another call took along."""
    disk = Disk()
    answers: list[str] = []

    async def ask(name: str) -> None:
        answers.append(await disk.ask(name))

    disk.open.clear()
    async with anyio.create_task_group() as outer:
        outer.start_soon(disk.ask, "first")
        await disk.is_busy()
        async with anyio.create_task_group() as group:
            for name in "ab":
                group.start_soon(ask, name)
                await anyio.wait_all_tasks_blocked()
            begun = disk.stop_at_next()
            await anyio.to_thread.run_sync(begun.wait)
            group.cancel_scope.cancel()
            disk.open.set()
    assert answers == ["a done", "b done"]


def test_a_call_that_asyncio_cancels_while_another_does_it_is_finished_first() -> None:
    async def run() -> None:
        disk = Disk()
        disk.open.clear()
        calls = [asyncio.ensure_future(disk.ask(name)) for name in ("first", "a", "b")]
        await anyio.wait_all_tasks_blocked()
        await disk.is_busy()
        begun = disk.stop_at_next()
        await anyio.to_thread.run_sync(begun.wait)
        calls[2].cancel()
        await anyio.wait_all_tasks_blocked()
        assert not calls[2].done()
        disk.open.set()
        with pytest.raises(asyncio.CancelledError):
            await calls[2]
        assert [await calls[0], await calls[1]] == ["first done", "a done"]
        assert disk.served == [["first"], ["a", "b"]]
        assert await disk.ask("later") == "later done"

    asyncio.run(run())


# The ledger


class Counting(sqlite3.Connection):
    """Counts commits, and fails them when told."""

    commits = 0
    fails = False

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if sql == "COMMIT":
            if self.fails:
                raise sqlite3.OperationalError("disk I/O error")
            self.commits += 1
        return super().execute(sql, *values)


class CountingLedger(SQLiteLedger):
    """Whose commits are counted."""

    _factory = Counting

    @property
    def commits(self) -> Counting:
        assert isinstance(self._connection, Counting)
        return self._connection


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


async def all_at_once(*calls: Callable[[], Any]) -> list[Any]:
    """What each answered, or raised."""
    found: list[Any] = [None] * len(calls)

    async def run(index: int) -> None:
        try:
            found[index] = await calls[index]()
        except KinoviError as error:
            found[index] = error

    async with anyio.create_task_group() as group:
        for index in range(len(calls)):
            group.start_soon(run, index)
    return found


async def test_what_is_wrong_with_one_write_concerns_no_other(path: Path) -> None:
    ledger = CountingLedger(path)
    await ledger.open()
    await ledger.add([job("taken", "a dog")])
    before = ledger.commits.commits
    found = await all_at_once(
        *(lambda n=n: ledger.add([job(f"k{n}")]) for n in range(20)),
        lambda: ledger.add([job("new"), job("taken", "a cat")]),
        lambda: ledger.add([job("")]),
        lambda: ledger.accepted("unknown", RUN, "task-1", at=1.0),
        lambda: ledger.intent("taken", RUN, at=1.0),
    )
    assert ledger.commits.commits - before < 6
    conflict, nameless, unknown, intent = found[20:]
    assert isinstance(conflict, KeyConflictError)
    assert "cannot be a key" in str(nameless)
    assert unknown.task_id == "task-1"
    assert intent.permission is Permission.GRANTED
    await ledger.aclose()
    again = SQLiteLedger(path)
    await again.open()
    keys = {row.key: row.state for row in await again.rows()}
    assert keys == {"taken": JobState.SENDING} | {f"k{n}": JobState.QUEUED for n in range(20)}
    await again.aclose()


async def test_writes_whose_transaction_fails_are_all_told_so_each_in_its_own_words(
    path: Path,
) -> None:
    ledger = CountingLedger(path)
    await ledger.open()
    for key in ("a", "b", "c"):
        await sending(ledger, key)
    ledger.commits.fails = True
    found = await all_at_once(
        *(lambda key=key: ledger.accepted(key, RUN, f"task-{key}", at=1.0) for key in "abc")
    )
    assert [error.task_id for error in found] == ["task-a", "task-b", "task-c"]
    assert all("disk I/O error" in str(error) for error in found)
    ledger.commits.fails = False
    assert [(await row_of(ledger, key)).state for key in "abc"] == [JobState.SENDING] * 3
    await ledger.aclose()


async def test_a_full_transaction_counts_money_as_one_after_the_other(path: Path) -> None:
    ledger = SQLiteLedger(path)
    await ledger.open()
    await ledger.add([job(f"k{n}") for n in range(30)])
    four, budget = Decimal(4), Decimal(50)
    found = await all_at_once(
        *(
            partial(ledger.intent, f"k{n}", RUN, at=1.0, reserve=four, budget=budget)
            for n in range(30)
        )
    )
    answers = [intent.permission for intent in found]
    assert answers.count(Permission.GRANTED) == 12
    assert answers.count(Permission.OVER_BUDGET) == 18
    assert (await ledger.totals()).reserved == 48
    await ledger.aclose()


@pytest.mark.parametrize("seed", range(3))
async def test_callers_that_go_at_any_moment_leave_a_ledger_that_works(
    path: Path, seed: int
) -> None:
    """What was answered is written; and whatever was not, somebody else may have."""
    rng = Random(seed)
    ledger = SQLiteLedger(path)
    await ledger.open()
    await ledger.add([job(f"k{n}") for n in range(100)])
    granted: set[str] = set()

    async def ask(key: str, scope: anyio.CancelScope) -> None:
        with scope:
            intent = await ledger.intent(key, RUN, at=1.0)
            assert intent.permission is Permission.GRANTED
            granted.add(key)
            await ledger.accepted(key, RUN, f"task-{key}", at=1.0)

    async def leave(patience: int, scope: anyio.CancelScope) -> None:
        for _ in range(patience):
            await ledger.position()
        scope.cancel()

    async with anyio.create_task_group() as group:
        for n in range(100):
            scope, patience = anyio.CancelScope(), rng.choice([0, 1, 2, 5, 1000])
            group.start_soon(ask, f"k{n}", scope)
            if patience < 1000:
                group.start_soon(leave, patience, scope)
    rows = {row.key: row.state for row in await ledger.rows()}
    assert granted <= {key for key, state in rows.items() if state is not JobState.QUEUED}
    await ledger.aclose()


# The scheduler


async def test_submissions_that_come_at_once_share_commits_and_no_errors(path: Path) -> None:
    simulator = InstantSimulator(limit=1)
    ledger = CountingLedger(path)
    refused: list[str] = []

    async def submit(key: str, prompt: str) -> None:
        try:
            await scheduler.submit(NanoBanana2(prompt=prompt), key=key)
        except KeyConflictError:
            refused.append(prompt)
        else:
            assert (await reader.get(key)) is not None  # durable, for another process too

    reader = SQLiteLedger(path)
    with simulator.hold():
        async with (
            simulator.client(max_in_flight=1) as client,
            JobScheduler(client, ledger=ledger) as scheduler,
        ):
            await reader.open()
            before = ledger.commits.commits
            async with anyio.create_task_group() as group:
                for n in range(200):
                    group.start_soon(submit, f"k{n}", "a cat")
                    if n == 100:
                        group.start_soon(submit, "k100", "a dog")
            assert ledger.commits.commits - before < 60
            # Whichever came first with that key.
            assert len(refused) == 1
            assert {row.key for row in await reader.rows()} == {f"k{n}" for n in range(200)}
            await scheduler.drain(deadline=0)
    await reader.aclose()
    await ledger.aclose()


async def test_a_submission_that_never_reached_the_ledger_is_not_told_as_entered(
    path: Path,
) -> None:
    """The scheduler broke while it was on its way: whoever answers 202 must know."""
    simulator = InstantSimulator()
    ledger = CountingLedger(path)
    found: list[Any] = []

    async def submit(scheduler: JobScheduler, client: AsyncKinovi, key: str) -> None:
        assert not client.is_closed
        try:
            found.append((await scheduler.submit(NanoBanana2(prompt="a cat"), key=key)).key)
        except LedgerError as error:
            found.append(error)

    with pytest.raises(LedgerError, match="disk I/O error"):
        async with simulator.client() as client, JobScheduler(client, ledger=ledger) as scheduler:
            await scheduler.submit(NanoBanana2(prompt="a cat"), key="k")
            ledger.commits.fails = True
            async with anyio.create_task_group() as group:
                for n in range(100):
                    group.start_soon(submit, scheduler, client, f"k{n}")
    ledger.commits.fails = False
    assert len(found) == 100
    assert all("disk I/O error" in str(each) for each in found)
    await ledger.aclose()
