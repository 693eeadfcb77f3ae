"""How one result file is saved: fetched under all guards, retried, written off the loop.

The file appears under its name complete or not at all. What is left of a large one that
broke off, because of the network, the disk or whoever stopped it, waits beside the others
as `<name>.part` and is gone on with by the next try, in this process or another one;
everything else that is unfinished is removed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from errno import EDQUOT, ENOSPC
from itertools import count
from pathlib import Path

import anyio
import anyio.to_thread

from .._errors import ConfigurationError, DownloadError
from ._address import Resolver, system_resolver
from ._files import Exists, PartFile, existing_match, free_bytes
from ._guard import Opener, Stream, open_checked
from ._names import is_plain_name
from ._stream import MAX_FILE_BYTES, CheckedStream, download_error

__all__ = [
    "ATTEMPTS",
    "Opener",
    "Quota",
    "SaveOptions",
    "SavedFile",
    "Stream",
    "full_jitter_waits",
    "open_checked",
    "save",
]

ATTEMPTS = 3
"""Tries of one file, as botocore's standard mode has them."""
MAX_RETRY_SECONDS = 30.0
"""Longest wait between two tries."""
EXPIRED = frozenset({403, 404, 410})
"""Answers of a host whose address for the file has ended; the task's record may have a new one."""

_WRITE_BYTES = 256 << 10  # one trip to a worker thread for so many bytes ...
_WRITE_SECONDS = 1.0  # ... or after so long: what a kill finds on disk can be resumed
# How much is written between two looks at the free space; eight files at once, as a client
# fetches them, then take no more than the reserve between them.
_FREE_CHECK_BYTES = 8 << 20
_DISK_FULL = frozenset({ENOSPC, EDQUOT})


@dataclass(frozen=True, slots=True)
class SavedFile:
    """One result file on disk."""

    path: Path
    size: int
    """Bytes."""
    media_type: str | None
    """MIME type, by the file's first bytes where they tell."""
    length_verified: bool
    """Whether its end is proven; False when neither the host nor the format tells it."""


class Quota:
    """Bytes that several files together may take from the network.

    Args:
        max_bytes: How many; None for any number.
    """

    def __init__(self, max_bytes: int | None) -> None:
        self._max_bytes = max_bytes
        self._taken = 0

    @property
    def taken(self) -> int:
        """Bytes that came so far."""
        return self._taken

    def problem(self, more: int) -> str | None:
        """Why `more` bytes cannot be taken, or None."""
        if self._max_bytes is None or self._taken + more <= self._max_bytes:
            return None
        return f"all files together are larger than {self._max_bytes} bytes"

    def take(self, size: int) -> None:
        """So many bytes came."""
        self._taken += size


def full_jitter_waits() -> Iterator[float]:
    """Seconds before the second, third, ... try: uniform in 0 to 1, 2, 4 ... at most 30."""
    import backoff

    waits = backoff.expo(base=2, factor=1, max_value=MAX_RETRY_SECONDS)
    next(waits)  # its first value only primes it
    for seconds in waits:
        yield backoff.full_jitter(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveOptions:
    """How files are saved; the same for all files of a client or a run."""

    max_bytes: int = MAX_FILE_BYTES
    """Bytes at which a file is given up."""
    quota: Quota | None = None
    """What all files together may take; None for any number of bytes."""
    attempts: int = ATTEMPTS
    """Tries of one file."""
    exists: Exists = "rename"
    """Where another file has the name, none is ever overwritten. A file with the same
    bytes is the result. Else `rename` takes `name-2.ext`, and `keep` is an error; `keep`
    also takes a file of the announced length and the same first bytes for the same,
    without fetching the rest."""
    waits: Callable[[], Iterator[float]] = full_jitter_waits
    """Seconds before each further try."""
    resolve: Resolver = system_resolver
    """What turns host names into addresses."""
    free_bytes: Callable[[Path], int] = free_bytes
    """Bytes that may be written where a folder is."""
    part_file: Callable[[Path, str], PartFile] = PartFile
    """What files are written with."""


DEFAULT_OPTIONS = SaveOptions()

Refresh = Callable[[], Awaitable[str | None]]
"""A new address for a file whose own has ended; None when there is none."""


async def save(
    opener: Opener,
    url: str,
    directory: Path,
    name: str | Callable[[str], str],
    *,
    allow_private: bool,
    options: SaveOptions = DEFAULT_OPTIONS,
    expect: str | None = None,
    task_id: str | None = None,
    refresh: Refresh | None = None,
    progress: Callable[[int], None] | None = None,
) -> SavedFile:
    """Fetch one file into a folder and return where it is.

    Args:
        opener: What sends the GET.
        url: The output's address.
        directory: The folder, created when missing.
        name: The file's plain name, or what makes it of the extension (`.png`).
        allow_private: The API itself runs on loopback, so files may come from there, over
            http too. Other private networks are never asked.
        options: How.
        expect: The media type or kind the record tells.
        task_id: Named by the error.
        refresh: Asked once for a new address when the host answers 403, 404 or 410, or
            after the last try when it does not answer or sends something else.
        progress: Called with the bytes of the current try; it starts anew with each.

    Raises:
        DownloadError: it could not be fetched or written; it names the host only.
        ConfigurationError: the name is no plain name.

    Cancellation:
        The unfinished file is removed, or kept where the next call can go on with it; a
        finished one stays.
    """
    one = _OneFile(opener, directory, name, allow_private, options, expect, progress)
    outcome = await _outcome(one, url, task_id)
    if isinstance(outcome, DownloadError) and refresh is not None:
        # Hosts move too: an address that nobody answers under is as dead as an ended one.
        away = outcome.retryable and outcome.status_code is None
        if away or outcome.status_code in EXPIRED:
            fresh = await refresh()
            if fresh is not None and fresh != url:
                outcome = await _outcome(one, fresh, task_id)
    if isinstance(outcome, DownloadError):
        raise outcome
    return outcome


async def _outcome(one: _OneFile, url: str, task_id: str | None) -> SavedFile | DownloadError:
    try:
        return await one.tries(url)
    except DownloadError as error:
        error.task_id = error.task_id or task_id
        return error


@dataclass(frozen=True, slots=True)
class _OneFile:
    """What the tries of one file have in common."""

    opener: Opener
    directory: Path
    name: str | Callable[[str], str]
    allow_private: bool
    options: SaveOptions
    expect: str | None
    progress: Callable[[int], None] | None

    def plain_name(self, extension: str) -> str:
        name = self.name(extension) if callable(self.name) else self.name
        if not is_plain_name(name):
            raise ConfigurationError(f"{name!a} is no plain file name")
        return name

    async def tries(self, url: str) -> SavedFile:
        """As many tries as the options say."""
        waits = self.options.waits()
        for attempt in count(1):
            try:
                return await self.fetch(url)
            except DownloadError as error:
                if not error.retryable or attempt >= self.options.attempts:
                    raise
                wait = max(next(waits, MAX_RETRY_SECONDS), error.retry_after or 0.0)
            await anyio.sleep(wait)
        raise AssertionError  # pragma: no cover - count() has no end

    async def fetch(self, url: str) -> SavedFile:
        """One try."""
        # The extension shows only in the bytes, so the unfinished file is called without.
        part = self.options.part_file(self.directory, self.plain_name(""))
        stream: CheckedStream | None = None
        keep = True
        try:
            leftover = await anyio.to_thread.run_sync(part.take_up, url)
            async with open_checked(
                self.opener,
                url,
                allow_private=self.allow_private,
                expect=self.expect,
                max_bytes=self.options.max_bytes,
                resolve=self.options.resolve,
                leftover=leftover,
            ) as stream:
                return await self._keep_or_write(stream, part, url)
        except DownloadError as error:
            # What may come right goes on from here; what is refused is not wanted again.
            keep = error.retryable or error.disk_full or error.status_code in EXPIRED
            keep = keep and not (stream is not None and stream.contradictory)
            raise
        finally:
            # Not in a thread: it must happen under any kind of cancellation. It may wait for
            # the one write that is going on.
            part.discard(keep=keep)

    async def _keep_or_write(self, stream: CheckedStream, part: PartFile, url: str) -> SavedFile:
        name, size = self.plain_name(stream.extension), stream.length
        if self.options.exists == "keep" and size is not None:
            path = self.directory / name
            known = await anyio.to_thread.run_sync(
                lambda: existing_match(path, size=size, head=stream.head)
            )
            if known:
                return SavedFile(path, size, stream.media_type, length_verified=True)
        try:
            await self._check_room(stream, stream.start)
            if not stream.start:
                await anyio.to_thread.run_sync(part.open, stream.note(url))
            await self._copy(stream, part)
            path = await anyio.to_thread.run_sync(
                lambda: part.settle(self.options.exists, name=name)
            )
        except OSError as error:
            # The guards have turned the network's errors into DownloadErrors already.
            raise _disk_error(stream.url, name, error) from error
        return SavedFile(path, stream.received, stream.media_type, stream.length_verified)

    async def _copy(self, stream: CheckedStream, part: PartFile) -> None:
        buffer = bytearray()
        written, next_check = stream.start, stream.start + _FREE_CHECK_BYTES
        written_at = anyio.current_time()
        failed: DownloadError | None = None
        try:
            async for chunk in stream:
                self._count(stream, len(chunk))
                buffer += chunk
                if self.progress is not None:
                    self.progress(stream.received)
                if written >= next_check:
                    next_check = written + _FREE_CHECK_BYTES
                    await self._check_room(stream, written)
                now = anyio.current_time()
                if len(buffer) >= _WRITE_BYTES or now - written_at >= _WRITE_SECONDS:
                    full, buffer, written_at = buffer, bytearray(), now
                    await anyio.to_thread.run_sync(part.write, full)
                    written += len(full)
        except DownloadError as error:
            failed = error
        # Of a file that broke off as well: the next try goes on behind it.
        if not stream.contradictory:
            await anyio.to_thread.run_sync(part.write, buffer)
        if failed is not None:
            raise failed

    def _count(self, stream: CheckedStream, size: int) -> None:
        quota = self.options.quota
        if quota is not None:
            problem = quota.problem(size)
            if problem is not None:
                raise download_error(stream.url, problem, local=True)
            quota.take(size)

    async def _check_room(self, stream: CheckedStream, written: int) -> None:
        missing = max(0, (stream.length or 0) - written)
        quota = self.options.quota
        problem = quota.problem(missing) if quota is not None and written == stream.start else None
        if problem is not None:
            raise download_error(stream.url, problem, local=True)
        free = await anyio.to_thread.run_sync(self.options.free_bytes, self.directory)
        if free <= 0 or free < missing:
            text = f"the disk is full: {free >> 20} MiB free for files"
            raise download_error(stream.url, text, disk_full=True)


def _disk_error(url: str, name: str, error: OSError) -> DownloadError:
    if error.errno in _DISK_FULL:
        return download_error(url, f"the disk is full: {name} is not whole", disk_full=True)
    reason = error.strerror or type(error).__name__
    # A thing in the way of this one name is no trouble for other files.
    local = not isinstance(error, FileExistsError)
    return download_error(url, f"{name} cannot be written: {reason}", local=local)
