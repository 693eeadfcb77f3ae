"""Who runs the jobs of a ledger: at most one process, for as long as it lives.

The lease is a lock of the operating system on a file beside the ledger, so that it ends
with its process, however that dies. What the file says about the holder is advice for
people; its time of modification is when the lease was taken. The file itself stays:
removing it would let two processes lock two files of the same name.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from datetime import UTC, datetime
from weakref import WeakSet

from .._crash_points import point
from .._errors import LedgerError, LedgerInUseError

if sys.platform == "win32":
    import msvcrt

    # Far behind the text, which others must be able to read: Windows locks are mandatory.
    _LOCKED_BYTE = 1 << 30

    def _try_lock(fd: int) -> None:
        os.lseek(fd, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _try_lock(fd: int) -> None:
        # flock, not lockf: it also keeps out a second ledger object of this process.
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


_LONGEST_DESCRIPTION = 4096
_held: WeakSet[Lease]


class Lease:
    """A held lease.

    Args:
        path: The lock file, made when it is not there.
        ledger: The ledger's path, for messages.
        execution: Whose lease it is.
        holder: What to tell a second one who asks.

    Raises:
        LedgerInUseError: another live process, or another object of this one, holds it.
        LedgerError: the file cannot be locked.
    """

    def __init__(self, path: str, *, ledger: str, execution: str, holder: str) -> None:
        self.execution = execution
        self._fd: int | None = None
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
        try:
            fd = os.open(path, flags, 0o600)
        except OSError as error:
            raise LedgerError(f"cannot open the lock file {path}: {error.strerror}") from None
        try:
            _try_lock(fd)
        except OSError as error:
            busy = isinstance(error, (BlockingIOError, PermissionError))
            holder = _describe(fd)
            os.close(fd)
            if busy:
                raise LedgerInUseError(f"the ledger {ledger} is in use by {holder}") from None
            message = f"the ledger {ledger} cannot be locked: {error.strerror}"
            raise LedgerError(message) from None
        self._fd = fd
        _held.add(self)
        point("lease: locked")
        with contextlib.suppress(OSError):  # a full disk: the lock itself is held
            _write(fd, {"pid": os.getpid(), "host": socket.gethostname(), "holder": holder})
        point("lease: holder written")

    def release(self) -> None:
        """Gives it back. Idempotent."""
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, 0)
            point("lease: holder erased")
            self.drop()

    def drop(self) -> None:
        """Closes the file; in a forked child this leaves the parent's lock alone."""
        fd, self._fd = self._fd, None
        _held.discard(self)
        if fd is not None:
            os.close(fd)


_held = WeakSet()


def _drop_all() -> None:
    # A child that kept the open file would keep the lock when its parent dies.
    for lease in list(_held):
        lease.drop()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_all)


def _write(fd: int, description: dict[str, object]) -> None:
    os.ftruncate(fd, 0)
    os.lseek(fd, 0, os.SEEK_SET)
    os.write(fd, json.dumps(description).encode())


def _describe(fd: int) -> str:
    try:
        os.lseek(fd, 0, os.SEEK_SET)
        description = json.loads(os.read(fd, _LONGEST_DESCRIPTION))
        since = datetime.fromtimestamp(os.fstat(fd).st_mtime, UTC)
        process = f"pid {description['pid']} on {description['host']}"
        told = description["holder"]
        more = "" if told in {"", process} else f" ({told})"
    except (OSError, ValueError, LookupError, TypeError):
        return "another process"
    return f"{process} since {since:%Y-%m-%d %H:%M:%S} UTC{more}"
