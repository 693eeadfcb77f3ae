"""The file of a SQLite ledger: how it comes into being, and which files are refused.

A new ledger is built completely under another name and then linked to its own, so that no
process ever sees half of one. A file that is there already is never overwritten: anything
but a whole ledger of a known version is refused, because treating it as new would submit,
and pay for, jobs again.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from pathlib import Path
from uuid import uuid4

from .._errors import LedgerError

APPLICATION_ID = 0x4B6E7669
"""`Knvi`, in the header of the file."""
VERSION = 1

_BUSY_TIMEOUT = 30.0  # seconds; other processes hold the lock for one short transaction

_SCHEMA = """
BEGIN;
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL,
    body_hash TEXT NOT NULL,
    "group" TEXT NOT NULL,
    priority INTEGER NOT NULL,
    meta TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'sending', 'accepted', 'ended')),
    execution TEXT,
    status TEXT CHECK (status IN
        ('succeeded', 'failed', 'rejected', 'ambiguous', 'expired', 'cancelled')),
    task_id TEXT,
    attempts TEXT NOT NULL,
    record TEXT,
    error TEXT,
    reserved TEXT NOT NULL,
    exposed TEXT NOT NULL,
    credits TEXT,
    files TEXT NOT NULL,
    download_error TEXT,
    created_at REAL NOT NULL,
    accepted_at REAL,
    ended_at REAL,
    ended_number INTEGER UNIQUE,
    CHECK ((state = 'ended') = (status IS NOT NULL)),
    CHECK ((state = 'ended') = (ended_number IS NOT NULL))
);
CREATE INDEX jobs_by_stage ON jobs (state, status);
CREATE TABLE book (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    spent TEXT NOT NULL,
    reserved TEXT NOT NULL,
    exposed TEXT NOT NULL,
    last_number INTEGER NOT NULL,
    last_ended INTEGER NOT NULL
);
INSERT INTO book VALUES (1, '0', '0', '0', 0, 0);
CREATE TABLE remembered (name TEXT PRIMARY KEY, value TEXT NOT NULL);
COMMIT;
"""


def connect(path: Path) -> sqlite3.Connection:
    """Opens the ledger at `path`, making a new one when nothing is there.

    Raises:
        LedgerError: the file is something else, damaged, or of an unknown version.
        sqlite3.Error, OSError: it cannot be opened.
    """
    if not _is_there(path):
        _create(path)
    connection = _open(path)
    try:
        _check(connection, path)
        # NORMAL may lose the last commits when the power fails, and with them an intent.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def check_whole(connection: sqlite3.Connection, path: Path) -> None:
    """Reads the whole file and raises `LedgerError` when it is damaged."""
    (finding,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if finding != "ok":
        raise LedgerError(f"the ledger {path} is damaged: {finding}")


def _is_there(path: Path) -> bool:
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(found.st_mode):
        raise LedgerError(f"{path} cannot be a ledger: it is no regular file")
    if found.st_size == 0:
        raise LedgerError(
            f"{path} is an empty file, not a ledger; if no jobs were kept in it, remove it"
        )
    return True


def _open(path: Path) -> sqlite3.Connection:
    # mode=rw: SQLite itself must not create anything.
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw",
        uri=True,
        timeout=_BUSY_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.row_factory = sqlite3.Row
    return connection


def _check(connection: sqlite3.Connection, path: Path) -> None:
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        raise LedgerError(f"{path} is not a ledger, or it is damaged: {error}") from None
    if application != APPLICATION_ID:
        raise LedgerError(f"{path} is not a ledger: it is another program's SQLite file")
    if version != VERSION:
        relation = "a newer" if version > VERSION else "an unknown"
        raise LedgerError(
            f"the ledger {path} was made by {relation} version of kinovi-async"
            f" (format {version}; this one knows {VERSION})"
        )


def _create(path: Path) -> None:
    if Path(f"{path}-wal").exists() and not path.exists():
        # SQLite would replay what belongs to the lost file into the new one.
        raise LedgerError(f"the ledger {path} is gone but {path}-wal is there; put both back")
    building = Path(f"{path}.new-{uuid4().hex}")
    os.close(os.open(building, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        with contextlib.closing(_open(building)) as connection:
            connection.executescript(_SCHEMA)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
            # WAL is kept in the file: switching later could collide with another process.
            connection.execute("PRAGMA journal_mode = WAL")
        _publish(building, path)
    finally:
        for rest in ("", "-wal", "-shm", "-journal"):
            Path(f"{building}{rest}").unlink(missing_ok=True)


def _publish(building: Path, path: Path) -> None:
    try:
        path.hardlink_to(building)
    except FileExistsError:
        return  # another process was first; its ledger is as good
    except OSError:
        _copy(building, path)  # a file system without links
    # The name must survive a power failure too. Windows cannot open a directory.
    with contextlib.suppress(OSError):
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _copy(building: Path, path: Path) -> None:
    content = building.read_bytes()
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
    with (
        contextlib.suppress(FileExistsError),
        os.fdopen(os.open(path, flags, 0o600), "wb") as target,
    ):
        target.write(content)
        target.flush()
        os.fsync(target.fileno())
