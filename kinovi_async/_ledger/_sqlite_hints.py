"""Hints of webhooks in a SQLite ledger: a table beside the book, and no part of its money."""

from __future__ import annotations

import sqlite3
from typing import Final

from ._memory_hints import MOST_HINTS, MOST_IDS
from ._protocol import Hinted

SCHEMA: Final = """
CREATE TABLE hints (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    task_id TEXT NOT NULL,
    UNIQUE (key, attempt, task_id)
)
"""
"""Came with version 2 of the format."""


def add_hint(connection: sqlite3.Connection, key: str, attempt: int, task_id: str) -> None:
    """Keeps one, with the largest number; older ones give way."""
    # REPLACE removes the same hint first; the new number is larger all the same.
    connection.execute(
        "INSERT OR REPLACE INTO hints (key, attempt, task_id) VALUES (?, ?, ?)",
        (key, attempt, task_id),
    )
    connection.execute(
        "DELETE FROM hints WHERE key = ? AND attempt = ? AND number NOT IN"
        " (SELECT number FROM hints WHERE key = ? AND attempt = ? ORDER BY number DESC LIMIT ?)",
        (key, attempt, key, attempt, MOST_IDS),
    )
    # By their count: a hint that comes again and again takes numbers, and no room.
    connection.execute(
        "DELETE FROM hints WHERE number <="
        " (SELECT number FROM hints ORDER BY number DESC LIMIT 1 OFFSET ?)",
        (MOST_HINTS,),
    )


def select_hints(connection: sqlite3.Connection, after: int, limit: int) -> list[Hinted]:
    """A page of those that may still tell something."""
    found = connection.execute(
        "SELECT hints.number, hints.key, hints.attempt, hints.task_id"
        " FROM hints JOIN jobs ON jobs.key = hints.key"
        " WHERE hints.number > ? AND NOT (jobs.state = 'ended' AND jobs.status IS NOT 'expired'"
        " AND jobs.task_id IS hints.task_id)"
        " ORDER BY hints.number LIMIT ?",
        (after, limit),
    )
    return [Hinted(*each) for each in found]


def last_hint(connection: sqlite3.Connection) -> int:
    """The largest number of one."""
    (number,) = connection.execute("SELECT max(number) FROM hints").fetchone()
    return number or 0
