"""How a file comes to its final name: complete or not at all, and never over another file.

Bytes go to `<name>.part`, created exclusively and never through a link, and locked while
it is written, so that a leftover of a crash is told from a download that is going on. When
it is complete and on disk, it gets its final name by a hard link, which cannot replace
anything. Everything here blocks and is called in worker threads.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, TypeAlias

from ._names import PART_SUFFIX, split_extension

if sys.platform != "win32":
    import fcntl

__all__ = ["Exists", "PartFile", "alternatives", "existing_match", "free_bytes"]

Exists: TypeAlias = Literal["keep", "rename"]
"""What to do where another file has the name; neither ever overwrites it."""

MAX_ALTERNATIVES = 999
"""Names tried for one file; more means a template that tells nothing apart."""
_COMPARE_BYTES = 1 << 20

# Flags that a system lacks are 0 there: Windows has no links to follow here and no FIFOs.
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)  # opening a FIFO must not wait for its writer
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _BINARY
_READ = os.O_RDONLY | _NOFOLLOW | _BINARY | _NONBLOCK

# What file systems without hard links say: FAT, some network and FUSE systems, Android.
_NO_LINKS = frozenset(
    {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK}
)

_Identity: TypeAlias = tuple[int, int]


def alternatives(name: str) -> Iterator[str]:
    """The name, then `name-2.ext`, `name-3.ext` and so on."""
    yield name
    stem, extension = split_extension(name)
    for number in range(2, MAX_ALTERNATIVES + 1):
        yield f"{stem}-{number}{extension}"


def existing_match(path: Path, *, size: int, head: bytes) -> bool:
    """Whether a regular file of that size and with those first bytes stands at `path`."""
    try:
        fd = os.open(path, _READ)
    except OSError:
        return False
    try:
        status = os.fstat(fd)
        found = stat.S_ISREG(status.st_mode) and status.st_size == size
        return found and _read_exactly(fd, len(head)) == head
    finally:
        os.close(fd)


def free_bytes(directory: Path) -> int:
    """Bytes an ordinary user may still write where `directory` is or will be."""
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    return shutil.disk_usage(directory).free


class PartFile:
    """One unfinished file; `open`, `write` ..., then `settle` or `discard`.

    Calls may come from several threads, one after the other: a cancelled caller discards
    while a worker thread may still be writing, so the lock orders them, and a file that
    was discarded before its `open` began is never created.
    """

    def __init__(
        self, directory: Path, name: str, *, link: Callable[[Path, Path], None] | None = None
    ) -> None:
        self._directory = directory
        self._name = name
        self._link = link or _hard_link
        self._lock = threading.Lock()
        self._fd = -1
        self._path: Path | None = None
        self._identity: _Identity | None = None
        self._discarded = False

    def open(self) -> None:
        """Create the part file, replacing a leftover; another download's is left alone.

        Raises:
            OSError: it cannot be created, or something that is no file has its name.
        """
        with self._lock:
            if self._discarded:
                return
            _make_directory(self._directory)
            for candidate in alternatives(self._name):
                path = self._directory / f"{candidate}{PART_SUFFIX}"
                fd = _create_locked(path)
                if fd is not None:
                    self._fd, self._path = fd, path
                    self._identity = _identity(os.fstat(fd))
                    return
            raise OSError(errno.EEXIST, "too many unfinished files of this name")

    def write(self, data: bytes | bytearray) -> None:
        """Append all of `data`.

        Raises:
            OSError: disk full, too large, or the like.
        """
        with self._lock:
            view = memoryview(data)
            while view and not self._discarded:
                view = view[os.write(self._fd, view) :]

    def settle(self, exists: Exists) -> Path:
        """Bring the complete file to disk and to its name, and return its path.

        A regular file with the same bytes that has the name already is the result. Under
        `rename` any other thing there makes the name `name-2.ext` and so on; under `keep`
        it is an error.

        Raises:
            FileExistsError: another file has the name.
            OSError: it cannot be brought to disk.
        """
        with self._lock:
            if self._discarded or self._path is None:
                raise OSError(errno.EBADF, "the unfinished file was discarded")
            os.fsync(self._fd)
            if _identity_at(self._path) != self._identity:
                raise OSError(errno.ESTALE, "the unfinished file was replaced by somebody")
            final = self._place(exists)
            self._drop()
            _sync_directory(self._directory)
            return final

    def discard(self) -> None:
        """Close and remove the part file, whatever happened to it; harmless when settled."""
        with self._lock:
            self._discarded = True
            self._drop()

    def _place(self, exists: Exists) -> Path:
        assert self._path is not None  # noqa: S101 - settle checked it
        for candidate in alternatives(self._name):
            final = self._directory / candidate
            try:
                self._give_name(self._path, final)
            except FileExistsError:
                if _same_content(self._fd, final):
                    return final
                if exists == "keep":
                    raise
            else:
                return final
        raise FileExistsError(errno.EEXIST, "too many files of this name")

    def _give_name(self, part: Path, final: Path) -> None:
        try:
            self._link(part, final)
        except FileExistsError:
            raise
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # Without links the name is taken first, by an empty file that only we could
            # have created, and then replaced: a crash in between leaves that empty file.
            os.close(os.open(final, _CREATE, 0o644))
            if sys.platform == "win32":
                self._close()
            part.replace(final)

    def _drop(self) -> None:
        # Windows removes no open file; elsewhere the lock must outlive the name.
        if sys.platform == "win32":
            self._close()
        if self._path is not None and _identity_at(self._path) == self._identity:
            self._path.unlink(missing_ok=True)
        self._path = None
        self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        # Told apart from a file in the way of this one name: every file meets it.
        raise NotADirectoryError(errno.ENOTDIR, "the folder's name is taken by a file") from None


def _create_locked(path: Path) -> int | None:
    """A new file at `path`, locked; None while another download writes one there."""
    while True:
        try:
            fd = os.open(path, _CREATE, 0o644)
        except FileExistsError:
            if not _remove_leftover(path):
                return None
            continue
        # Between creation and lock another process may have taken it for a leftover.
        if _try_lock(fd) != "busy" and _identity_at(path) == _identity(os.fstat(fd)):
            return fd
        os.close(fd)


def _remove_leftover(path: Path) -> bool:
    """Remove the part file of a crashed download; False when it is in use."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return True
    if not stat.S_ISREG(status.st_mode):
        raise FileExistsError(errno.EEXIST, f"{path.name} is no plain file and is left alone")
    return _remove_unused(path)


if sys.platform == "win32":

    def _remove_unused(path: Path) -> bool:
        try:
            path.unlink(missing_ok=True)
        except PermissionError:  # somebody has it open
            return False
        return True

    def _try_lock(_fd: int) -> Literal["locked", "busy", "unsupported"]:
        return "unsupported"

else:

    def _remove_unused(path: Path) -> bool:
        try:
            fd = os.open(path, os.O_RDWR | _NOFOLLOW | _NONBLOCK)
        except FileNotFoundError:
            return True
        try:
            # Where the file system knows no locks nobody can tell, so it counts as in use.
            if _try_lock(fd) != "locked":
                return False
            if _identity_at(path) == _identity(os.fstat(fd)):
                path.unlink(missing_ok=True)
            return True
        finally:
            os.close(fd)

    def _try_lock(fd: int) -> Literal["locked", "busy", "unsupported"]:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return "busy"
        except OSError:
            return "unsupported"
        return "locked"


def _hard_link(part: Path, final: Path) -> None:
    if os.link in os.supports_follow_symlinks:
        os.link(part, final, follow_symlinks=False)
    else:
        os.link(part, final)


def _same_content(fd: int, path: Path) -> bool:
    """Whether `path` is a regular file with the bytes of the open file."""
    try:
        other = os.open(path, _READ)
    except OSError:
        return False
    try:
        status = os.fstat(other)
        if not stat.S_ISREG(status.st_mode) or status.st_size != os.fstat(fd).st_size:
            return False
        os.lseek(fd, 0, os.SEEK_SET)
        while True:
            ours = _read_exactly(fd, _COMPARE_BYTES)
            if ours != _read_exactly(other, _COMPARE_BYTES):
                return False
            if not ours:
                return True
    finally:
        os.close(other)


def _read_exactly(fd: int, count: int) -> bytes:
    """`count` bytes, or less at the end of the file."""
    pieces = []
    while count > 0:
        piece = os.read(fd, count)
        if not piece:
            break
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino


def _identity_at(path: Path) -> _Identity | None:
    try:
        return _identity(path.lstat())
    except OSError:
        return None


def _sync_directory(directory: Path) -> None:
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
