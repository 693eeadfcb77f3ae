"""How one result file is saved: fetched under all guards, retried, written off the loop.

The file appears under its name complete or not at all; a failure or a cancellation leaves
nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import anyio
import anyio.to_thread

from .._errors import ConfigurationError, DownloadError
from ._address import Resolver, system_resolver
from ._files import Exists, PartFile, existing_match, free_bytes
from ._guard import (
    MAX_FILE_BYTES,
    CheckedStream,
    Opener,
    Stream,
    download_error,
    open_checked,
)
from ._names import is_plain_name

__all__ = [
    "ATTEMPTS",
    "Opener",
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
RESERVE_BYTES = 64 << 20
"""Bytes of the disk that no file takes: the ledger writes to it too."""

_WRITE_BYTES = 1 << 20  # one trip to a worker thread per MiB
_FREE_CHECK_BYTES = 64 << 20  # how much is written between two looks at the free space


@dataclass(frozen=True, slots=True)
class SavedFile:
    """One result file on disk."""

    path: Path
    size: int
    """Bytes."""
    media_type: str | None
    """MIME type, by the file's first bytes where they tell."""
    length_verified: bool
    """Whether its end is proven; False when the host announced no length."""


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
    """Bytes free where a folder is."""


DEFAULT_OPTIONS = SaveOptions()


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
        progress: Called with the bytes of the current try; it starts anew with each.

    Raises:
        DownloadError: it could not be fetched or written; it names the host only.
        ConfigurationError: the name is no plain name.

    Cancellation:
        The unfinished file is removed; a finished one stays.
    """
    waits = options.waits()
    for attempt in count(1):
        try:
            async with open_checked(
                opener,
                url,
                allow_private=allow_private,
                expect=expect,
                max_bytes=options.max_bytes,
                resolve=options.resolve,
            ) as stream:
                return await _keep_or_write(stream, directory, name, options, progress)
        except DownloadError as error:
            error.task_id = error.task_id or task_id
            if not error.retryable or attempt >= options.attempts:
                raise
        await anyio.sleep(next(waits, MAX_RETRY_SECONDS))
    raise AssertionError  # pragma: no cover - count() has no end


async def _keep_or_write(
    stream: CheckedStream,
    directory: Path,
    name: str | Callable[[str], str],
    options: SaveOptions,
    progress: Callable[[int], None] | None,
) -> SavedFile:
    plain = name(stream.extension) if callable(name) else name
    if not is_plain_name(plain):
        raise ConfigurationError(f"{plain!a} is no plain file name")
    size = stream.length
    if options.exists == "keep" and size is not None:
        path = directory / plain
        known = await anyio.to_thread.run_sync(
            lambda: existing_match(path, size=size, head=stream.head)
        )
        if known:
            return SavedFile(path, size, stream.media_type, length_verified=True)
    return await _write(stream, directory, plain, options, progress)


async def _write(
    stream: CheckedStream,
    directory: Path,
    name: str,
    options: SaveOptions,
    progress: Callable[[int], None] | None,
) -> SavedFile:
    part = PartFile(directory, name)
    try:
        await _check_space(stream, directory, options)
        await anyio.to_thread.run_sync(part.open)
        await _copy(stream, part, directory, options, progress)
        path = await anyio.to_thread.run_sync(part.settle, options.exists)
    except OSError as error:
        # The guards have turned the network's errors into DownloadErrors already.
        raise _disk_error(stream.url, name, error) from error
    finally:
        # Not in a thread: it must happen under any kind of cancellation. It may wait for
        # the one write that is going on.
        part.discard()
    return SavedFile(path, stream.received, stream.media_type, stream.length_verified)


async def _copy(
    stream: CheckedStream,
    part: PartFile,
    directory: Path,
    options: SaveOptions,
    progress: Callable[[int], None] | None,
) -> None:
    buffer = bytearray()
    next_check = _FREE_CHECK_BYTES
    async for chunk in stream:
        buffer += chunk
        if progress is not None:
            progress(stream.received)
        if stream.received >= next_check:
            next_check = stream.received + _FREE_CHECK_BYTES
            await _check_space(stream, directory, options)
        if len(buffer) >= _WRITE_BYTES:
            await anyio.to_thread.run_sync(part.write, buffer)
            buffer = bytearray()
    await anyio.to_thread.run_sync(part.write, buffer)


async def _check_space(stream: CheckedStream, directory: Path, options: SaveOptions) -> None:
    missing = max(0, (stream.length or 0) - stream.received)
    free = await anyio.to_thread.run_sync(options.free_bytes, directory)
    if free < missing + RESERVE_BYTES:
        text = f"the disk has no room for the file: {free >> 20} MiB free"
        raise download_error(stream.url, text, local=True)


def _disk_error(url: str, name: str, error: OSError) -> DownloadError:
    reason = error.strerror or type(error).__name__
    # A thing in the way of this one name is no trouble for other files.
    local = not isinstance(error, FileExistsError)
    return download_error(url, f"{name} cannot be written: {reason}", local=local)
