"""What a file is to the system: its identity, its lock, and opening it through no link.

Everything here blocks and is called in worker threads.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path
from typing import Literal, TypeAlias

if sys.platform != "win32":
    import fcntl

__all__ = [
    "APPEND_FLAGS",
    "CREATE_FLAGS",
    "READ_FLAGS",
    "Identity",
    "create_locked",
    "identity",
    "identity_at",
    "make_directory",
    "read_exactly",
    "remove_unused",
    "sync_directory",
    "try_lock",
]

Identity: TypeAlias = tuple[int, int]
"""Device and number of a file."""

# Flags that a system lacks are 0 there: Windows has no links to follow here and no FIFOs.
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)  # opening a FIFO must not wait for its writer
CREATE_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _BINARY
READ_FLAGS = os.O_RDONLY | _NOFOLLOW | _BINARY | _NONBLOCK
APPEND_FLAGS = os.O_RDWR | _NOFOLLOW | _BINARY | _NONBLOCK


def make_directory(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        # Told apart from a file in the way of this one name: every file meets it.
        raise NotADirectoryError(errno.ENOTDIR, "the folder's name is taken by a file") from None


def create_locked(path: Path) -> int | None:
    """A new file at `path`, locked; None while another download writes one there."""
    while True:
        try:
            fd = os.open(path, CREATE_FLAGS, 0o644)
        except FileExistsError:
            if not remove_leftover(path):
                return None
            continue
        # Between creation and lock another process may have taken it for a leftover.
        if try_lock(fd) != "busy" and identity_at(path) == identity(os.fstat(fd)):
            return fd
        os.close(fd)


def remove_leftover(path: Path) -> bool:
    """Remove the part file of a crashed download; False when it is in use."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return True
    if not stat.S_ISREG(status.st_mode):
        raise FileExistsError(errno.EEXIST, f"{path.name} is no plain file and is left alone")
    return remove_unused(path)


if sys.platform == "win32":

    def remove_unused(path: Path) -> bool:
        try:
            path.unlink(missing_ok=True)
        except PermissionError:  # somebody has it open
            return False
        return True

    def try_lock(_fd: int) -> Literal["locked", "busy", "unsupported"]:
        return "unsupported"

else:

    def remove_unused(path: Path) -> bool:
        try:
            fd = os.open(path, APPEND_FLAGS)
        except FileNotFoundError:
            return True
        try:
            # Where the file system knows no locks nobody can tell, so it counts as in use.
            if try_lock(fd) != "locked":
                return False
            if identity_at(path) == identity(os.fstat(fd)):
                path.unlink(missing_ok=True)
            return True
        finally:
            os.close(fd)

    def try_lock(fd: int) -> Literal["locked", "busy", "unsupported"]:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return "busy"
        except OSError:
            return "unsupported"
        return "locked"


def read_exactly(fd: int, count: int) -> bytes:
    """`count` bytes, or less at the end of the file."""
    pieces = []
    while count > 0:
        piece = os.read(fd, count)
        if not piece:
            break
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino


def identity_at(path: Path) -> Identity | None:
    try:
        return identity(path.lstat())
    except OSError:
        return None


def sync_directory(directory: Path) -> None:
    """Make the new name durable, where the system has a way to."""
    flag = getattr(os, "O_DIRECTORY", None)
    if flag is None:
        return
    fd = os.open(directory, os.O_RDONLY | flag)
    try:
        os.fsync(fd)
    except OSError as error:
        # Some network and FUSE systems refuse to sync a directory; nothing can be done.
        if error.errno not in {errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EOPNOTSUPP}:
            raise
    finally:
        os.close(fd)
