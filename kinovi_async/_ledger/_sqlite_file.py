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

from .._crash_points import point
from .._errors import LedgerError
from .._leftovers import remove_leftovers
from ._money import Book
from ._sqlite_hints import SCHEMA as _HINTS
from ._sqlite_rows import write_book
from ._sqlite_upgrade import upgrade
from ._sqlite_wal import is_damaged

APPLICATION_ID = 0x4B6E7669
"""`Knvi`, in the header of the file."""
VERSION = 2
"""A file of format 1 is brought to it when it is opened."""

_BUSY_TIMEOUT = 30.0  # seconds; other processes hold the lock for one short transaction
_LONGEST_LOG = 32 << 20
"""Bytes of a log that is looked through at opening, in half a second; SQLite begins a new
one after 4 MB, unless somebody reads without end."""

_READINGS = 3

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
    checksum INTEGER NOT NULL,
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
    last_ended INTEGER NOT NULL,
    checksum INTEGER NOT NULL
);
CREATE TABLE remembered (name TEXT PRIMARY KEY, value TEXT NOT NULL);
COMMIT;
"""


def connect(
    path: Path, factory: type[sqlite3.Connection] = sqlite3.Connection
) -> sqlite3.Connection:
    """Opens the ledger at `path`, making a new one when nothing is there.

    Raises:
        LedgerError: the file is something else, damaged, or of an unknown version.
        sqlite3.Error, OSError: it cannot be opened.
    """
    if not _is_there(path):
        _create(path, factory)
    _check_log(path)
    connection = _open(path, factory)
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
    """Reads the whole file and raises `LedgerError` when it is damaged.

    Also removes what processes left behind that died while they made the ledger.
    """
    remove_leftovers(path, f"{path.name}.new-")
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


def _open(path: Path, factory: type[sqlite3.Connection]) -> sqlite3.Connection:
    # mode=rw: SQLite itself must not create anything.
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw",
        uri=True,
        timeout=_BUSY_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,
        factory=factory,
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
    if version == 1:
        upgrade(connection, VERSION)
    elif version != VERSION:
        relation = "a newer" if version > VERSION else "an unknown"
        raise LedgerError(
            f"the ledger {path} was made by {relation} version of kinovi-async"
            f" (format {version}; this one knows {VERSION})"
        )


def _check_log(path: Path) -> None:
    """Refuses a log of which SQLite would silently drop what was committed.

    Before SQLite sees it: closing the file again would remove the log. It is read without
    a lock, so a process that begins it anew meanwhile could make it look damaged, once.
    """
    log = Path(f"{path}-wal")
    before: bytes | None = None
    for _ in range(_READINGS):
        try:
            content = log.read_bytes() if log.stat().st_size <= _LONGEST_LOG else b""
        except FileNotFoundError:
            return
        if content == before:
            break  # it is so, and nobody writes it
        if not is_damaged(content):
            return
        before = content
    raise LedgerError(
        f"the ledger {path} is damaged: jobs in {log.name} can no longer be read. Nothing was "
        "changed; put back a copy of both files, or keep them and begin another ledger"
    )


def _create(path: Path, factory: type[sqlite3.Connection]) -> None:
    if Path(f"{path}-wal").exists() and not path.exists():
        # SQLite would replay what belongs to the lost file into the new one.
        raise LedgerError(f"the ledger {path} is gone but {path}-wal is there; put both back")
    building = Path(f"{path}.new-{os.getpid()}.{uuid4().hex}")
    os.close(os.open(building, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        with contextlib.closing(_open(building, factory)) as connection:
            connection.executescript(_SCHEMA)
            connection.execute(_HINTS)
            write_book(connection, Book())
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
            # WAL is kept in the file: switching later could collide with another process.
            connection.execute("PRAGMA journal_mode = WAL")
        point("ledger: new one built")
        _publish(building, path)
        point("ledger: new one has its name")
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
