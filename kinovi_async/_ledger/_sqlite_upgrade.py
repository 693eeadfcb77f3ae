"""How a ledger of an earlier format becomes one of this format, in place and all at once.

Format 1 had no checksums and no table of hints. Its rows are taken as they are.
"""

from __future__ import annotations

import contextlib
import sqlite3

from ._sqlite_hints import SCHEMA as HINTS
from ._sqlite_rows import add_checksums

__all__ = ["upgrade"]


def upgrade(connection: sqlite3.Connection, version: int) -> None:
    """Brings a file of format 1 to `version`; one that somebody was faster with is left."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found == 1:
            add_checksums(connection)
            connection.execute(HINTS)
            connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
