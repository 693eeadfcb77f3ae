"""The durable ledger: one SQLite file, any number of processes of one machine.

Every call is atomic, and is run off the event loop. Calls that come together are written
together: one transaction, and one wait for the disk, for all of them. A call that has
begun is finished even when its caller is cancelled, so that nobody has to guess whether
something was written.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Collection, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

import anyio
from anyio.lowlevel import RunVar

from .._crash_points import point
from .._errors import LedgerError, LedgerInUseError
from . import _rules, _sqlite_file, _sqlite_hints, _sqlite_rows
from ._json import plain
from ._lease import Lease
from ._line import Call, Line
from ._protocol import Position
from ._sqlite_calls import Read, Write, read_all, write_all

if TYPE_CHECKING:
    from .._outcomes import AttemptResult, OutcomeStatus
    from ._money import Book
    from ._protocol import (
        Ending,
        Hinted,
        Intent,
        JobRow,
        JobState,
        JsonValue,
        NewJob,
        Resolution,
        Totals,
    )

T = TypeVar("T")
R = TypeVar("R", bound="JobRow | None")


class SQLiteLedger:
    """A ledger in one file; see `Ledger` for what each method promises.

    The file has mode 0600. A path where something else is, or a damaged ledger, or one of
    a newer version, is refused by `open` and left as it is. Cancelling a call before its
    turn has come writes nothing; later, the call is finished first.

    Args:
        path: Where the ledger is, or will be made; its directory must exist. Beside it
            lie, while it is open, `-wal` and `-shm`, and for the lease `.lock`.
    """

    _factory: ClassVar[type[sqlite3.Connection]] = sqlite3.Connection
    """What its connections are; a test takes some whose statements fail."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.realpath(path)
        """Absolute, so that a later change of directory does not matter."""
        self._connection: sqlite3.Connection | None = None
        self._pid: int | None = None
        self._lease: Lease | None = None
        self._is_checked = False
        # Should the object be used from event loops in two threads after all.
        self._line: RunVar[Line] = RunVar("line")
        self._mutex = threading.Lock()

    def __repr__(self) -> str:
        state = "closed" if self._connection is None else "open"
        return f"<SQLiteLedger {self.path!r}: {state}>"

    async def open(self) -> None:
        """See `Ledger.open`."""

        def work() -> None:
            if self._connection is None:
                self._connection = _sqlite_file.connect(Path(self.path), self._factory)
                self._pid = os.getpid()
                self._is_checked = False

        await self._alone("open", work)

    async def aclose(self) -> None:
        """See `Ledger.aclose`."""

        def work() -> None:
            self._release()
            connection, self._connection = self._connection, None
            point("ledger: before close")
            if connection is not None:
                connection.close()

        with anyio.CancelScope(shield=True):  # bounded by SQLite's own timeout
            await self._alone("close", work)

    async def acquire_lease(self, execution: str, holder: str) -> None:
        """See `Ledger.acquire_lease`; an execution that holds it already keeps it.

        The first time it also reads the whole file, so that no run starts on a damaged
        ledger.
        """

        def work() -> None:
            connection = self._opened()
            if self._lease is not None and self._lease.execution == execution:
                return
            try:
                lease = Lease(
                    f"{self.path}.lock", ledger=self.path, execution=execution, holder=holder
                )
            except LedgerInUseError as error:
                if self._lease is not None:  # by this object: nobody could take turns with it
                    raise LedgerError(error.message) from None
                raise
            try:
                if not self._is_checked:
                    _sqlite_file.check_whole(connection, Path(self.path))
            except BaseException:
                lease.release()
                raise
            self._is_checked = True
            self._lease = lease

        await self._alone("take the lease of", work)

    async def release_lease(self) -> None:
        """See `Ledger.release_lease`."""
        with anyio.CancelScope(shield=True):
            await self._alone("give back the lease of", self._release)

    async def add(
        self,
        jobs: Sequence[NewJob],
        *,
        rerun: Collection[OutcomeStatus] = (),
        replace_unsent: bool = False,
    ) -> list[JobRow]:
        """See `Ledger.add`."""

        def work(connection: sqlite3.Connection, book: Book) -> tuple[list[JobRow], Book]:
            changes = _rules.enter_all(
                jobs,
                lambda key: _sqlite_rows.find(connection, key),
                book.last_number,
                rerun=rerun,
                replace_unsent=replace_unsent,
            )
            return [after for _, after in changes], _save(connection, book, changes)

        return await self._write("add jobs to", work)

    async def get(self, key: str) -> JobRow | None:
        """See `Ledger.get`."""
        return await self._read(lambda: _sqlite_rows.find(self._opened(), key))

    async def intent(
        self,
        key: str,
        execution: str,
        *,
        at: float,
        reserve: Decimal = Decimal(0),
        budget: Decimal | None = None,
        body_hash: str | None = None,
    ) -> Intent:
        """See `Ledger.intent`."""

        def work(connection: sqlite3.Connection, book: Book) -> tuple[Intent, Book]:
            before = _sqlite_rows.find(connection, key)
            intent, after = _rules.intend(
                before,
                execution,
                book.totals,
                at=at,
                reserve=reserve,
                budget=budget,
                body_hash=body_hash,
            )
            return intent, _save(connection, book, [(before, after)])

        return await self._write(f"write the intent to send job {key!r} into", work)

    async def refused(self, key: str, execution: str) -> None:
        """See `Ledger.refused`."""
        await self._change(key, "refusal", lambda row, _: _rules.refuse(row, key, execution))

    async def send_again(
        self, key: str, execution: str, *, result: AttemptResult, detail: str
    ) -> None:
        """See `Ledger.send_again`."""
        await self._change(
            key,
            "failed attempt",
            lambda row, _: _rules.send_again(row, key, execution, result, detail),
        )

    async def accepted(self, key: str, execution: str, task_id: str, *, at: float) -> None:
        """See `Ledger.accepted`."""
        await self._change(
            key,
            f"task {task_id}",
            lambda row, _: _rules.accept(row, key, execution, task_id, at),
            task_id=task_id,
        )

    async def adopt(self, key: str, *, at: float) -> JobRow:
        """See `Ledger.adopt`."""
        return await self._change(
            key, "adoption", lambda row, book: _rules.adopt(row, key, book.last_number + 1, at)
        )

    async def resolve(
        self, key: str, resolution: Resolution, *, at: float, task_id: str | None = None
    ) -> JobRow:
        """See `Ledger.resolve`."""
        return await self._change(
            key,
            "resolution",
            lambda row, book: _rules.resolve(row, key, resolution, book, at=at, task_id=task_id),
        )

    async def end(self, key: str, ending: Ending) -> JobRow | None:
        """See `Ledger.end`."""
        return await self._change(
            key, "ending", lambda row, book: _rules.end(row, ending, book.last_ended + 1)
        )

    async def set_files(
        self, key: str, files: Sequence[str], *, download_error: str | None = None
    ) -> None:
        """See `Ledger.set_files`."""
        await self._change(
            key, "files", lambda row, _: _rules.keep_files(row, files, download_error)
        )

    async def rows(
        self,
        *,
        states: Collection[JobState] = (),
        statuses: Collection[OutcomeStatus] = (),
        after: int = 0,
        limit: int = 1000,
    ) -> list[JobRow]:
        """See `Ledger.rows`."""
        stages = _rules.stages(states, statuses) if states or statuses else None

        def work() -> list[JobRow]:
            return _sqlite_rows.select(self._opened(), stages, after, max(limit, 0))

        return await self._read(work)

    async def ended_rows(self, *, after: int = 0, limit: int = 1000) -> list[JobRow]:
        """See `Ledger.ended_rows`."""

        def work() -> list[JobRow]:
            return _sqlite_rows.select_ended(self._opened(), after, max(limit, 0))

        return await self._read(work)

    async def position(self) -> Position:
        """See `Ledger.position`."""

        def work() -> Position:
            book = _sqlite_rows.read_book(self._opened())
            hinted = _sqlite_hints.last_hint(self._opened())
            return Position(entered=book.last_number, ended=book.last_ended, hinted=hinted)

        return await self._read(work)

    async def hint(self, key: str, attempt: int, task_id: str) -> None:
        """See `Ledger.hint`."""

        def work(connection: sqlite3.Connection, book: Book) -> tuple[None, Book]:
            _sqlite_hints.add_hint(connection, key, attempt, task_id)
            return None, book

        await self._write(f"keep a hint about job {key!r} in", work)

    async def hints(self, *, after: int = 0, limit: int = 1000) -> list[Hinted]:
        """See `Ledger.hints`."""

        def work() -> list[Hinted]:
            return _sqlite_hints.select_hints(self._opened(), after, max(limit, 0))

        return await self._read(work)

    async def totals(self) -> Totals:
        """See `Ledger.totals`."""
        return await self._read(lambda: _sqlite_rows.read_book(self._opened()).totals)

    async def remember(self, name: str, value: JsonValue) -> None:
        """See `Ledger.remember`."""
        text = json.dumps(plain(value, f"the value {name!r}"))

        def work(connection: sqlite3.Connection, book: Book) -> tuple[None, Book]:
            connection.execute("INSERT OR REPLACE INTO remembered VALUES (?, ?)", (name, text))
            return None, book

        await self._write(f"keep {name!r} in", work)

    async def recall(self, name: str) -> JsonValue:
        """See `Ledger.recall`."""

        def work() -> JsonValue:
            found = (
                self._opened()
                .execute("SELECT value FROM remembered WHERE name = ?", (name,))
                .fetchone()
            )
            return None if found is None else cast("JsonValue", json.loads(found[0]))

        return await self._read(work)

    async def _change(
        self,
        key: str,
        what: str,
        rule: Callable[[JobRow | None, Book], R],
        *,
        task_id: str | None = None,
    ) -> R:
        def work(connection: sqlite3.Connection, book: Book) -> tuple[R, Book]:
            before = _sqlite_rows.find(connection, key)
            after = rule(before, book)
            return after, _save(connection, book, [(before, after)])

        return await self._write(f"write the {what} of job {key!r} into", work, task_id=task_id)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise LedgerError(f"the ledger {self.path} is not open")
        if self._pid != os.getpid():
            # SQLite's connections, and the locks they hold, do not survive a fork.
            raise LedgerError(f"the ledger {self.path} was opened before a fork; open a new one")
        return self._connection

    def _release(self) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.release()

    async def _read(self, act: Callable[[], T]) -> T:
        return await self._run(Read(f"read the ledger {self.path}", act))

    async def _alone(self, what: str, act: Callable[[], T]) -> T:
        return await self._run(Read(f"{what} the ledger {self.path}", act, alone=True))

    async def _write(
        self,
        what: str,
        act: Callable[[sqlite3.Connection, Book], tuple[T, Book]],
        *,
        task_id: str | None = None,
    ) -> T:
        return await self._run(Write(f"{what} the ledger {self.path}", act, task_id=task_id))

    async def _run(self, call: Call[T]) -> T:
        line = self._line.get(None)
        if line is None:
            line = Line(self._serve)
            self._line.set(line)
        return await line.run(call)

    def _serve(self, calls: Sequence[Call[Any]]) -> None:
        with self._mutex:
            if isinstance(calls[0], Write):
                write_all(self._opened, cast("Sequence[Write[Any]]", calls))
            else:
                read_all(cast("Sequence[Read[Any]]", calls))


def _save(
    connection: sqlite3.Connection,
    book: Book,
    changes: Sequence[tuple[JobRow | None, JobRow | None]],
) -> Book:
    for before, after in changes:
        if after is not None and after is not before:
            _sqlite_rows.save(connection, before, after)
            book = book.settle(before, after)
    return book
