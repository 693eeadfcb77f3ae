"""How a job is written into the columns of a SQLite ledger, and read back.

Each row carries a checksum of its other columns: SQLite finds damage to the structure of
its file, not to a digit in it, and a damaged request would be paid for as it stands.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, cast

from .._errors import LedgerError
from .._outcomes import Attempt, AttemptResult, OutcomeStatus
from ._money import Book
from ._protocol import JobRow, JobState, JsonObject, Totals

if TYPE_CHECKING:
    from ._rules import Stage

_COLUMNS = (
    "number", "key", "body", "body_hash", '"group"', "priority", "meta", "state", "execution",
    "status", "task_id", "attempts", "record", "error", "reserved", "exposed", "credits", "files",
    "download_error", "created_at", "accepted_at", "ended_at", "ended_number", "checksum",
)  # fmt: skip
# S608: every statement is made of constants; values are always bound.
_NAMES = ", ".join(_COLUMNS)
_SELECT = f"SELECT {_NAMES} FROM jobs"  # noqa: S608
_INSERT = f"INSERT INTO jobs ({_NAMES}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608
_UPDATE = f"UPDATE jobs SET {', '.join(f'{name} = ?' for name in _COLUMNS)} WHERE key = ?"  # noqa: S608
_STAGE = (
    "SELECT number FROM (SELECT number FROM jobs"
    " WHERE state = ? AND status IS ? AND number > ? ORDER BY number LIMIT ?)"
)


def find(connection: sqlite3.Connection, key: str) -> JobRow | None:
    """The job with this key, or None."""
    try:
        found = connection.execute(f"{_SELECT} WHERE key = ?", (key,)).fetchone()
    except UnicodeEncodeError:  # such a key was never taken
        return None
    return None if found is None else _read(found)


def save(connection: sqlite3.Connection, before: JobRow | None, after: JobRow) -> None:
    """Writes a new job, or a known one as it stands after a change."""
    if before is None:
        connection.execute(_INSERT, _columns(after))
    else:
        connection.execute(_UPDATE, (*_columns(after), after.key))


def select(
    connection: sqlite3.Connection, stages: Sequence[Stage] | None, after: int, limit: int
) -> list[JobRow]:
    """A page of jobs in these stages, None for all, in order of number."""
    values: list[object] = [after]
    condition = "number > ?"
    if stages is not None:
        # One index range a stage: a page costs what it shows, not what it skips.
        condition = f"number IN ({' UNION ALL '.join([_STAGE] * len(stages))})"
        values = [value for stage in stages for value in (*stage, after, limit)]
    found = connection.execute(
        f"{_SELECT} WHERE {condition} ORDER BY number LIMIT ?", (*values, limit)
    )
    return [_read(columns) for columns in found]


def select_ended(connection: sqlite3.Connection, after: int, limit: int) -> list[JobRow]:
    """A page of ended jobs, in order of ending."""
    found = connection.execute(
        f"{_SELECT} WHERE ended_number > ? ORDER BY ended_number LIMIT ?", (after, limit)
    )
    return [_read(columns) for columns in found]


def read_book(connection: sqlite3.Connection) -> Book:
    """Totals and counters."""
    *values, told = connection.execute(
        "SELECT spent, reserved, exposed, last_number, last_ended, checksum FROM book"
    ).fetchone()
    if _checksum(values) != told:
        raise LedgerError("the totals in the ledger are damaged")
    spent, reserved, exposed, last_number, last_ended = values
    totals = Totals(Decimal(spent), Decimal(reserved), Decimal(exposed))
    return Book(totals, last_number, last_ended)


def write_book(connection: sqlite3.Connection, book: Book) -> None:
    """Totals and counters."""
    totals = book.totals
    values = (
        str(totals.spent),
        str(totals.reserved),
        str(totals.exposed),
        book.last_number,
        book.last_ended,
    )
    connection.execute(
        "INSERT OR REPLACE INTO book VALUES (1, ?, ?, ?, ?, ?, ?)", (*values, _checksum(values))
    )


def add_checksums(connection: sqlite3.Connection) -> None:
    """Gives a ledger of format 1 what it lacks; nothing if it has checksums."""
    for table in ("jobs", "book"):
        columns = {name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")}
        if "checksum" in columns:
            return
        connection.execute(f"ALTER TABLE {table} ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0")
    last = 0
    plain = ", ".join(_COLUMNS[:-1])
    while page := connection.execute(
        f"SELECT {plain} FROM jobs WHERE number > ? ORDER BY number LIMIT 1000",  # noqa: S608
        (last,),
    ).fetchall():
        connection.executemany(
            "UPDATE jobs SET checksum = ? WHERE number = ?",
            [(_checksum(tuple(row)), row[0]) for row in page],
        )
        last = page[-1][0]
    (totals,) = connection.execute(
        "SELECT spent, reserved, exposed, last_number, last_ended FROM book"
    ).fetchall()
    connection.execute("UPDATE book SET checksum = ?", (_checksum(tuple(totals)),))


def _checksum(values: Sequence[object]) -> int:
    # SQLite keeps numbers in the form it likes best, and NaN as NULL.
    plain = [
        (float(value) + 0.0 if value == value else None)  # noqa: PLR0124 - how NaN is told
        if isinstance(value, int | float)
        else value
        for value in values
    ]
    return zlib.crc32(json.dumps(plain, default=repr).encode())


def _columns(row: JobRow) -> tuple[object, ...]:
    values = (
        row.number,
        row.key,
        json.dumps(row.body),
        row.body_hash,
        row.group,
        row.priority,
        json.dumps(row.meta),
        row.state.value,
        row.execution,
        None if row.status is None else row.status.value,
        row.task_id,
        json.dumps([(one.number, one.at, one.result, one.detail) for one in row.attempts]),
        None if row.record is None else json.dumps(row.record),
        None if row.error is None else json.dumps(row.error),
        str(row.reserved),
        str(row.exposed),
        None if row.credits is None else str(row.credits),
        json.dumps(row.files),
        row.download_error,
        row.created_at,
        row.accepted_at,
        row.ended_at,
        row.ended_number,
    )
    return (*values, _checksum(values))


def _read(found: sqlite3.Row) -> JobRow:
    *values, told = found
    if _checksum(values) != told:
        raise LedgerError(f"the ledger's entry of job {found['key']!r} is damaged")
    try:
        return JobRow(
            key=found["key"],
            number=found["number"],
            body=json.loads(found["body"]),
            body_hash=found["body_hash"],
            group=found["group"],
            priority=found["priority"],
            meta=json.loads(found["meta"]),
            state=JobState(found["state"]),
            execution=found["execution"],
            status=None if found["status"] is None else OutcomeStatus(found["status"]),
            task_id=found["task_id"],
            attempts=tuple(map(_attempt, json.loads(found["attempts"]))),
            record=_optional_json(found["record"]),
            error=_optional_json(found["error"]),
            reserved=Decimal(found["reserved"]),
            exposed=Decimal(found["exposed"]),
            credits=None if found["credits"] is None else Decimal(found["credits"]),
            files=tuple(json.loads(found["files"])),
            download_error=found["download_error"],
            created_at=found["created_at"],
            accepted_at=found["accepted_at"],
            ended_at=found["ended_at"],
            ended_number=found["ended_number"],
        )
    except (ValueError, TypeError, InvalidOperation):
        raise LedgerError(f"the ledger's entry of job {found['key']!r} is damaged") from None


def _attempt(found: Sequence[object]) -> Attempt:
    number, at, result, detail = found
    return Attempt(
        number=cast("int", number),
        at=cast("float", at),
        result=None if result is None else AttemptResult(cast("str", result)),
        detail=cast("str | None", detail),
    )


def _optional_json(text: str | None) -> JsonObject | None:
    return None if text is None else cast("JsonObject", json.loads(text))
