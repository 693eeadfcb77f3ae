"""What is asked of a SQLite ledger: reads, and writes that share one transaction.

A transaction of many writes is committed, and brought to the disk, once. What is wrong with
one of them concerns that one alone.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from copy import copy
from decimal import DecimalException
from typing import TYPE_CHECKING, Any, TypeVar

from .._crash_points import point
from .._errors import LedgerError
from . import _sqlite_rows
from ._line import Call

if TYPE_CHECKING:
    from ._money import Book

__all__ = ["Read", "Write", "read_all", "write_all"]

_FAILURES = (sqlite3.Error, OSError, ValueError, OverflowError, DecimalException)
# The last three: numbers and text beyond what SQLite takes, or damaged ones in the file.

T = TypeVar("T")


class _Asked(Call[T]):
    def __init__(self, what: str, kind: object, task_id: str | None = None) -> None:
        super().__init__(kind)
        self._what = what
        """For a message: it cannot do `what` the ledger."""
        self._task_id = task_id

    def fail(self, error: Exception) -> None:
        """Tells the caller, as a `LedgerError` where SQLite or the disk is to blame."""
        if isinstance(error, _FAILURES):
            message = f"cannot {self._what}: {_reason(error)}"
            error = LedgerError(message, task_id=self._task_id)
        super().fail(error)


class Read(_Asked[T]):
    """Something that writes nothing, or no jobs; `alone`: nothing else beside it."""

    def __init__(self, what: str, act: Callable[[], T], *, alone: bool = False) -> None:
        super().__init__(what, None if alone else Read)
        self.act = act


class Write(_Asked[T]):
    """A change: what it answers, and the book after it."""

    def __init__(
        self,
        what: str,
        act: Callable[[sqlite3.Connection, Book], tuple[T, Book]],
        *,
        task_id: str | None = None,
    ) -> None:
        super().__init__(what, Write, task_id)
        self.act = act


def read_all(reads: Sequence[Read[Any]]) -> None:
    """Does one after the other."""
    for read in reads:
        try:
            read.succeed(read.act())
        except Exception as error:  # noqa: BLE001 - handed to the caller
            read.fail(error)


def write_all(opened: Callable[[], sqlite3.Connection], writes: Sequence[Write[Any]]) -> None:
    """Does all in one transaction; where that cannot be committed, all of them fail."""
    try:
        for write, answer in _commit(opened(), writes):
            write.succeed(answer)
    except Exception as error:  # noqa: BLE001 - handed to the callers
        for write in writes:
            write.fail(copy(error))  # callers add to what they are told


def _commit(
    connection: sqlite3.Connection, writes: Sequence[Write[Any]]
) -> list[tuple[Write[Any], object]]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        before = book = _sqlite_rows.read_book(connection)
        if len(writes) == 1:
            answer, book = writes[0].act(connection, book)
            done = [(writes[0], answer)]
        else:
            done, book = _each(connection, writes, book)
        if book is not before:
            _sqlite_rows.write_book(connection, book)
        point("ledger: before commit")
        connection.execute("COMMIT")
        point("ledger: after commit")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    return done


def _each(
    connection: sqlite3.Connection, writes: Sequence[Write[Any]], book: Book
) -> tuple[list[tuple[Write[Any], object]], Book]:
    done: list[tuple[Write[Any], object]] = []
    for write in writes:
        connection.execute("SAVEPOINT one")
        try:
            answer, book = write.act(connection, book)
        except Exception as error:
            if not connection.in_transaction:  # a full disk: SQLite gave up all of it
                raise
            connection.execute("ROLLBACK TO one")
            write.fail(error)
        else:
            done.append((write, answer))
        connection.execute("RELEASE one")
    return done, book


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    code = getattr(error, "sqlite_errorname", None)
    return f"{error} ({code})" if code else str(error)
