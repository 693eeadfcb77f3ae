"""The durable book of jobs: its protocol, and the two that are built in."""

from __future__ import annotations

import os

from ._memory import MemoryLedger
from ._protocol import (
    Ending,
    Hinted,
    Intent,
    JobRow,
    JobState,
    JsonObject,
    JsonValue,
    Ledger,
    NewJob,
    Permission,
    Position,
    Resolution,
    Totals,
)
from ._rules import is_unsent
from ._sqlite import SQLiteLedger

__all__ = [
    "Ending",
    "Hinted",
    "Intent",
    "JobRow",
    "JobState",
    "JsonObject",
    "JsonValue",
    "Ledger",
    "MemoryLedger",
    "NewJob",
    "Permission",
    "Position",
    "Resolution",
    "SQLiteLedger",
    "Totals",
    "is_unsent",
    "open_ledger",
]


def open_ledger(ledger: str | os.PathLike[str] | Ledger | None) -> Ledger:
    """The ledger meant by a `ledger=` option; it still has to be opened.

    Args:
        ledger: A path, for a `SQLiteLedger`; a ledger, answered as it is; None, for a
            new `MemoryLedger`.
    """
    if ledger is None:
        return MemoryLedger()
    if isinstance(ledger, str | os.PathLike):
        return SQLiteLedger(ledger)
    return ledger
