"""The bytes of one answer on their way to the disk, and what ends them too early.

Counted, unpacked where they must be, compared with what was announced, and judged by the
first of them; of a file that goes on where another download ended, first the bytes that
are there already are compared.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Self

import anyio.lowlevel

from .._errors import APIConnectionError, APIError, APITimeoutError, DownloadError
from ._address import shown_host
from ._content import HEAD_BYTES, check_content, declared_type, extension_for, sniff
from ._ending import EndWatch
from ._resume import Note, note_of
from ._unpack import Unpacker, encoding_of

if TYPE_CHECKING:
    from ._resume import Leftover

__all__ = ["MAX_FILE_BYTES", "CheckedStream", "broken", "download_error", "too_slow"]

MAX_FILE_BYTES = 2 << 30
"""2 GiB. The longest video of the price tables, 30 s, is far below it at any bit rate."""
SLOW_AFTER_SECONDS = 60.0
"""Seconds of waiting for bytes after which their rate is judged, again and again: bytes
that came fast at first buy no slow rest. So long a host may send nothing at all."""
MIN_BYTES_PER_SECOND = 1024
"""A slower body is given up: 1 KiB/s moves a 5 MB picture in an hour and a half."""


class CheckedStream:
    """The bytes of one result file, under all guards; iterate it once.

    Raises:
        DownloadError: on iteration, when the body breaks off, is too large or too slow.
    """

    def __init__(
        self,
        headers: Mapping[str, str],
        chunks: AsyncIterator[bytes],
        *,
        url: str,
        expect: str | None,
        max_bytes: int,
        clock: Callable[[], float],
        leftover: Leftover | None = None,
    ) -> None:
        encoding, _ = encoding_of(headers)
        announced = _content_length(headers)
        self.url = url
        """The address that gave the file, after redirects; it may be signed: never log it."""
        self.length = None if encoding else announced
        """Bytes of the whole file, None when nothing was announced."""
        self.head = b""
        """The first bytes, at least 1,024 unless the file is shorter."""
        self.received = 0
        """Bytes of the file that are there so far."""
        self.start = 0
        """Bytes that an earlier download left, after which these go on."""
        self.length_verified = False
        """Whether the end of the body proved that nothing is missing."""
        self.contradictory = False
        """Whether the answer disagreed with itself: what came of it is not to be kept."""
        if leftover is not None:
            self.length = leftover.note.total
            self.head, self.start = leftover.head, leftover.size
            self.received = leftover.offset
        self._leftover = leftover
        self._headers = headers
        self._chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        self._declared = declared_type(headers.get("content-type"), expect)
        self._expect = expect
        self._max_bytes = max_bytes
        self._clock = clock
        self._chunks = chunks
        self._announced = announced
        self._on_wire = 0
        # Since the rate was judged last.
        self._lately = 0
        self._waited = 0.0
        self._unpacker = Unpacker(encoding) if encoding else None
        self._pieces: Iterator[bytes] = iter(())
        # Only where nothing else tells the end is the file's own looked for.
        watched = announced is None and not self._chunked and encoding is None
        self._end = EndWatch() if watched else None
        self._first: bytes | None = None

    @property
    def media_type(self) -> str | None:
        """The file's media type: by its bytes, else as the host or the record says."""
        return sniff(self.head) or self._declared

    @property
    def extension(self) -> str:
        """The extension with its dot; one of media, or `.bin`."""
        return extension_for(self.media_type, self.url)

    def note(self, url: str) -> Note | None:
        """What makes an unfinished file resumable; `url` is the output's own address."""
        return note_of(url, self._headers, total=self.length)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._first is not None:
            first, self._first = self._first, None
            await anyio.lowlevel.checkpoint()
            if first:
                return first
        chunk = await self._next_chunk()
        if chunk is None:
            self._check_end()
            raise StopAsyncIteration
        return chunk

    async def begin(self) -> bool:
        """Take in the first bytes and judge them; called once, before iteration.

        False: these are not the bytes that the leftover ends with.
        """
        if self.length is not None and self.length > self._max_bytes:
            raise self._too_large()
        tail = self._leftover.tail if self._leftover is not None else b""
        came = await self._gather(len(tail) or HEAD_BYTES)
        if self._leftover is not None:
            self._first = came[len(tail) :]
            return came.startswith(tail)
        self.head = self._first = came
        if not came:
            self._check_end()
        problem = check_content(self._expect, came)
        if problem is not None:
            raise download_error(self.url, problem, retryable=True)
        return True

    async def _gather(self, wanted: int) -> bytes:
        came = bytearray()
        while len(came) < wanted and (chunk := await self._next_chunk()) is not None:
            came += chunk
        return bytes(came)

    async def _next_chunk(self) -> bytes | None:
        """The next bytes of the file, at least one; None at the end."""
        while True:
            try:
                piece = next(self._pieces, None)
            except zlib.error as error:
                raise self._refused("the file cannot be unpacked") from error
            if piece:
                self._account(piece)
                if self._unpacker is not None:  # a little that came may be much to take
                    await anyio.lowlevel.checkpoint()
                return piece
            if piece is None:
                chunk = await self._receive()
                if chunk is None:
                    return None
                self._pieces = self._unpacker.feed(chunk) if self._unpacker else iter((chunk,))

    async def _receive(self) -> bytes | None:
        """The next bytes as they come over the wire."""
        started = self._clock()
        try:
            # A library may take in bytes that are none of the body, trailers for instance,
            # and never see its own timeout.
            with anyio.fail_after(SLOW_AFTER_SECONDS):
                chunk = await anext(self._chunks, None)
        except (APIError, OSError) as error:  # TimeoutError is an OSError
            raise broken(self.url, error) from error
        if chunk is None:
            return None
        self._waited += self._clock() - started
        self._on_wire += len(chunk)
        self._lately += len(chunk)
        if self._announced is not None and self._on_wire > self._announced:
            raise self._refused("the file is longer than announced")
        if self._on_wire > self._max_bytes:  # packed, it may unpack to nothing for ever
            raise self._too_large()
        if too_slow(self._lately, self._waited):
            raise download_error(self.url, "the file came too slowly", retryable=True)
        if self._waited > SLOW_AFTER_SECONDS:
            self._lately, self._waited = 0, 0.0
        return chunk

    def _account(self, piece: bytes) -> None:
        self.received += len(piece)
        if self.received > self._max_bytes:
            raise self._too_large()
        if self.length is not None and self.received > self.length:
            raise self._refused("the file is longer than announced")
        if self._end is not None:
            self._end.feed(piece)

    def _check_end(self) -> None:
        if self.length is not None and self.received != self.length:
            raise self._broke_off(f"after {self.received} of {self.length} bytes")
        if self._unpacker is not None and not self._unpacker.finished:
            raise self._broke_off("before its end")
        ending = self._end.ending() if self._end is not None else "complete"
        if ending == "cut":
            raise self._broke_off("before its end")
        self.length_verified = ending == "complete"

    def _broke_off(self, where: str) -> DownloadError:
        return download_error(self.url, f"the file broke off {where}", retryable=True)

    def _too_large(self) -> DownloadError:
        return download_error(self.url, f"the file is larger than {self._max_bytes} bytes")

    def _refused(self, text: str) -> DownloadError:
        self.contradictory = True
        return download_error(self.url, text, retryable=True)


def too_slow(received: int, waited: float) -> bool:
    """Whether a body is to be given up after `waited` seconds of waiting for these bytes."""
    return waited > SLOW_AFTER_SECONDS and received < waited * MIN_BYTES_PER_SECOND


def download_error(
    url: str,
    text: str,
    *,
    retryable: bool = False,
    status_code: int | None = None,
    local: bool = False,
    disk_full: bool = False,
) -> DownloadError:
    """An error that names the host of an address and nothing else of it."""
    error = DownloadError(f"{shown_host(url)}: {text}")
    error.retryable = retryable
    error.status_code = status_code
    error.local = local or disk_full
    error.disk_full = disk_full
    return error


def broken(url: str, error: Exception) -> DownloadError:
    """What became of an answer that could not be had, or be had whole."""
    if isinstance(error, APITimeoutError | TimeoutError):
        text = "the host did not answer in time"
    elif isinstance(error, APIConnectionError | OSError):
        text = "the connection failed or broke off"
    else:
        text = "the host's answer cannot be understood"
    return download_error(url, text, retryable=True)


def _content_length(headers: Mapping[str, str]) -> int | None:
    text = headers.get("content-length", "").strip()
    # 18 digits are an exabyte: what is longer, or no number, announces nothing usable.
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None  # noqa: PLR2004
