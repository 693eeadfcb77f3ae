"""How a file comes to its final name: complete or not at all, and never over another file.

Bytes go to `<name>.part`, created exclusively and never through a link, and locked while
it is written, so that a leftover of a crash is told from a download that is going on. When
it is complete and on disk, it gets its final name by a hard link, which cannot replace
anything. What a download leaves unfinished is kept with a note beside it when the rest can
be asked for, and removed else. Everything here blocks and is called in worker threads.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, TypeAlias

from .._crash_points import point
from ._content import HEAD_BYTES
from ._disk import (
    APPEND_FLAGS,
    CREATE_FLAGS,
    READ_FLAGS,
    Identity,
    create_locked,
    identity,
    identity_at,
    make_directory,
    read_exactly,
    remove_unused,
    sync_directory,
    try_lock,
)
from ._names import PART_SUFFIX, split_extension
from ._resume import MIN_RESUMED_BYTES, OVERLAP_BYTES, Leftover, Note

__all__ = [
    "Exists",
    "PartFile",
    "alternatives",
    "existing_match",
    "free_bytes",
    "remove_old_leftovers",
]

Exists: TypeAlias = Literal["keep", "rename"]
"""What to do where another file has the name; neither ever overwrites it."""

MAX_ALTERNATIVES = 999
"""Names tried for one file; more means a template that tells nothing apart."""
RESERVE_BYTES = 64 << 20
"""Bytes of a disk that no file takes, for the ledger writes to it too; of a small disk a
quarter."""
_RESERVE_SHARE = 4
LEFTOVER_SECONDS = 14 * 24 * 3600.0
"""Age of an unfinished file that nobody can finish: hosts keep results for 14 days."""
_COMPARE_BYTES = 1 << 20
_MAX_NOTE_BYTES = 8192

# What file systems without hard links say: FAT, some network and FUSE systems, Android.
_NO_LINKS = frozenset(
    {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK}
)


def alternatives(name: str) -> Iterator[str]:
    """The name, then `name-2.ext`, `name-3.ext` and so on."""
    yield name
    stem, extension = split_extension(name)
    for number in range(2, MAX_ALTERNATIVES + 1):
        yield f"{stem}-{number}{extension}"


def existing_match(path: Path, *, size: int, head: bytes) -> bool:
    """Whether a regular file of that size and with those first bytes stands at `path`."""
    try:
        fd = os.open(path, READ_FLAGS)
    except OSError:
        return False
    try:
        status = os.fstat(fd)
        found = stat.S_ISREG(status.st_mode) and status.st_size == size
        return found and read_exactly(fd, len(head)) == head
    finally:
        os.close(fd)


def free_bytes(directory: Path) -> int:
    """Bytes that files may still take where `directory` is or will be."""
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    usage = shutil.disk_usage(directory)
    return max(0, usage.free - min(RESERVE_BYTES, usage.total // _RESERVE_SHARE))


def remove_old_leftovers(directory: Path, *, now: float | None = None) -> None:
    """Remove unfinished files that are 14 days old and that nobody writes any more."""
    oldest = (time.time() if now is None else now) - LEFTOVER_SECONDS
    for path in directory.glob(f"*{PART_SUFFIX}"):
        with contextlib.suppress(OSError):  # one that cannot be removed keeps no other
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_mtime < oldest:
                remove_unused(path)


class PartFile:
    """One unfinished file; `take_up` or `open`, `write` ..., then `settle` or `discard`.

    Calls may come from several threads, one after the other: a cancelled caller discards
    while a worker thread may still be writing, so the lock orders them, and a file that
    was discarded before its `open` began is never created.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        *,
        link: Callable[[Path, Path], None] | None = None,
        write: Callable[[int, memoryview], int] = os.write,
    ) -> None:
        self._directory = directory
        self._name = name
        self._link = link or _hard_link
        self._write = write
        self._lock = threading.Lock()
        self._fd = -1
        self._path: Path | None = None
        self._identity: Identity | None = None
        self._noted = False
        self._discarded = False

    def take_up(self, url: str) -> Leftover | None:
        """What an earlier download of this address left, locked and open for more of it.

        None where there is nothing, or nothing that can be gone on with; a file that is in
        use, is a second name of another or is no file at all counts as nothing.
        """
        with self._lock:
            path = self._directory / f"{self._name}{PART_SUFFIX}"
            try:
                fd = os.open(path, APPEND_FLAGS)
            except OSError:
                return None
            try:
                found = None if self._discarded else _leftover(fd, path, url)
            except OSError:
                found = None
            if found is None:
                os.close(fd)
                return None
            self._hold(fd, path)
            self._noted = True
            return found

    def open(self, note: Note | None = None) -> None:
        """Create the part file, replacing a leftover; another download's is left alone.

        Args:
            note: What makes it resumable.

        Raises:
            OSError: it cannot be created, or something that is no file has its name.
        """
        with self._lock:
            if self._discarded:
                return
            if self._path is None:
                make_directory(self._directory)
                self._create()
            else:
                _remove_note(self._path)
                os.ftruncate(self._fd, 0)
                os.lseek(self._fd, 0, os.SEEK_SET)
            assert self._path is not None  # noqa: S101 - created or taken up
            self._noted = note is not None and _write_note(self._path, note)

    def _create(self) -> None:
        for candidate in alternatives(self._name):
            path = self._directory / f"{candidate}{PART_SUFFIX}"
            fd = create_locked(path)
            if fd is not None:
                self._hold(fd, path)
                _remove_note(path)
                return
        raise OSError(errno.EEXIST, "too many unfinished files of this name")

    def _hold(self, fd: int, path: Path) -> None:
        self._fd, self._path = fd, path
        self._identity = identity(os.fstat(fd))
        point("file: part made")

    def write(self, data: bytes | bytearray) -> None:
        """Append all of `data`.

        Raises:
            OSError: disk full, too large, or the like.
        """
        with self._lock:
            view = memoryview(data)
            while view and not self._discarded:
                view = view[self._write(self._fd, view) :]
            point("file: bytes written")

    def settle(self, exists: Exists, *, name: str | None = None) -> Path:
        """Bring the complete file to disk and to its name, and return its path.

        A regular file with the same bytes that has the name already is the result. Under
        `rename` any other thing there makes the name `name-2.ext` and so on; under `keep`
        it is an error.

        Args:
            exists: What to do where another file has the name.
            name: The final name, None for the one given at the start.

        Raises:
            FileExistsError: another file has the name.
            OSError: it cannot be brought to disk.
        """
        with self._lock:
            if self._discarded or self._path is None:
                raise OSError(errno.EBADF, "the unfinished file was discarded")
            os.fsync(self._fd)
            point("file: part on disk")
            if identity_at(self._path) != self._identity:
                raise OSError(errno.ESTALE, "the unfinished file was replaced by somebody")
            # Once it has its final name it must not be taken up and written to any more.
            self._forget()
            final = self._place(name or self._name, exists)
            point("file: has its name")
            self._drop()
            sync_directory(self._directory)
            point("file: done")
            return final

    def discard(self, *, keep: bool = False) -> None:
        """Close the part file and remove it, whatever happened to it; harmless when settled.

        Args:
            keep: Leave it to be taken up again, if it has a note and is worth it.
        """
        with self._lock:
            self._discarded = True
            if keep and self._noted and self._is_worth_it():
                self._close()
            else:
                self._drop()

    def _is_worth_it(self) -> bool:
        try:
            return os.fstat(self._fd).st_size >= MIN_RESUMED_BYTES
        except OSError:  # a network's disk lost it
            return False

    def _place(self, name: str, exists: Exists) -> Path:
        assert self._path is not None  # noqa: S101 - settle checked it
        for candidate in alternatives(name):
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
            os.close(os.open(final, CREATE_FLAGS, 0o644))
            if sys.platform == "win32":
                self._close()
            part.replace(final)

    def _forget(self) -> None:
        if self._noted and self._path is not None:
            self._noted = False
            _remove_note(self._path)

    def _drop(self) -> None:
        # Windows removes no open file; elsewhere the lock must outlive the name.
        if sys.platform == "win32":
            self._close()
        if self._path is not None and identity_at(self._path) == self._identity:
            self._forget()
            # What cannot be removed must hide no result and no error; the next one tries.
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
        self._path = None
        self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            with contextlib.suppress(OSError):  # what is kept of it was synced before
                os.close(self._fd)
            self._fd = -1


def _leftover(fd: int, path: Path, url: str) -> Leftover | None:
    """What an open part file holds, once it is locked; None when it is not to be used."""
    if try_lock(fd) != "locked":
        return None
    status = os.fstat(fd)
    alone = stat.S_ISREG(status.st_mode) and status.st_nlink == 1
    if not alone or identity_at(path) != identity(status):
        return None
    note, size = _read_note(path), status.st_size
    if note is None or not note.serves(url) or not MIN_RESUMED_BYTES <= size <= note.total:
        return None
    head = read_exactly(fd, HEAD_BYTES)
    os.lseek(fd, size - OVERLAP_BYTES, os.SEEK_SET)
    return Leftover(note, size, head, read_exactly(fd, OVERLAP_BYTES))


def _note_path(part: Path) -> Path:
    # No part file is called so: a name never ends in `.part` before it gets one.
    return part.with_name(f"{part.name}{PART_SUFFIX}")


def _read_note(part: Path) -> Note | None:
    try:
        fd = os.open(_note_path(part), READ_FLAGS)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        return Note.decode(read_exactly(fd, _MAX_NOTE_BYTES))
    finally:
        os.close(fd)


def _write_note(part: Path, note: Note) -> bool:
    """Whether the note stands; without it a file is only not resumable."""
    path = _note_path(part)
    try:
        fd = os.open(path, CREATE_FLAGS, 0o600)
    except OSError:
        return False
    data = note.encode()
    try:
        return os.write(fd, data) == len(data)
    except OSError:
        path.unlink(missing_ok=True)
        return False
    finally:
        os.close(fd)


def _remove_note(part: Path) -> None:
    with contextlib.suppress(OSError):
        _note_path(part).unlink(missing_ok=True)


def _hard_link(part: Path, final: Path) -> None:
    if os.link in os.supports_follow_symlinks:
        os.link(part, final, follow_symlinks=False)
    else:
        os.link(part, final)


def _same_content(fd: int, path: Path) -> bool:
    """Whether `path` is a regular file with the bytes of the open file."""
    try:
        other = os.open(path, READ_FLAGS)
    except OSError:
        return False
    try:
        status = os.fstat(other)
        if not stat.S_ISREG(status.st_mode) or status.st_size != os.fstat(fd).st_size:
            return False
        os.lseek(fd, 0, os.SEEK_SET)
        while True:
            ours = read_exactly(fd, _COMPARE_BYTES)
            if ours != read_exactly(other, _COMPARE_BYTES):
                return False
            if not ours:
                return True
    finally:
        os.close(other)
