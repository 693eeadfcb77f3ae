"""A ledger of format 1 is brought to the present one, with everything in it."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from kinovi_async import OutcomeStatus, SQLiteLedger
from kinovi_async._ledger._sqlite_file import VERSION

from .builders import accepted, ended, job, sending

# What format 1 had not.
TO_FORMAT_1 = """
ALTER TABLE jobs DROP COLUMN checksum;
ALTER TABLE book DROP COLUMN checksum;
DROP TABLE hints;
PRAGMA user_version = 1;
"""


async def test_every_row_and_the_totals_are_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite3"
    ledger = SQLiteLedger(path)
    await ledger.open()
    await ledger.acquire_lease("run", "")
    await sending(ledger, "on the wire")
    await accepted(ledger, "running")
    await ended(ledger, OutcomeStatus.AMBIGUOUS, "unclear")
    await ended(ledger, OutcomeStatus.SUCCEEDED, "done")
    await ledger.add([job("waiting", prompt="ä \U0001f431")])
    before, totals = await ledger.rows(), await ledger.totals()
    await ledger.aclose()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(TO_FORMAT_1)

    for _ in range(2):  # and it is done once
        again = SQLiteLedger(path)
        await again.open()
        assert (await again.rows(), await again.totals()) == (before, totals)
        await again.aclose()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
