"""Which answers are taken as a result file: every guard between a URL and its bytes.

Each hop's address is checked before it is opened, the status must be 200, the body plain,
not too large, not too slow, as long as announced, and by its first bytes no error page.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from typing import Protocol, Self

import anyio
import anyio.lowlevel

from .._errors import APIConnectionError, APIError, APITimeoutError, DownloadError
from ._address import (
    Resolver,
    check_host,
    check_url,
    host_and_port,
    redirect_target,
    shown_host,
    system_resolver,
)
from ._content import (
    HEAD_BYTES,
    TAIL_BYTES,
    check_content,
    declared_type,
    expected_type,
    extension_for,
    seems_cut_off,
    sniff,
)

__all__ = [
    "MAX_FILE_BYTES",
    "MAX_REDIRECTS",
    "CheckedStream",
    "Opener",
    "Stream",
    "download_error",
    "open_checked",
    "too_slow",
]

MAX_FILE_BYTES = 2 << 30
"""2 GiB. The longest video of the price tables, 30 s, is far below it at any bit rate."""
MAX_REDIRECTS = 5
"""Hops; storage hosts take one or two, loops take all."""
SLOW_AFTER_SECONDS = 60.0
"""Seconds of waiting for bytes before their rate is judged."""
MIN_BYTES_PER_SECOND = 1024
"""A slower body is given up: 1 KiB/s moves a 5 MB picture in an hour and a half."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_RETRYABLE_CLIENT_ERRORS = frozenset({408, 425, 429})
_HTTP_OK = 200
_HTTP_SERVER_ERROR = 500


class Stream(Protocol):
    """One answer whose body is still to come."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, names in lower case."""
        ...

    @property
    def url(self) -> str:
        """The address that was asked."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The raw body in chunks; raises an `APIError` or OSError when it breaks off."""
        ...


class Opener(Protocol):
    """What sends a GET without credentials, asking for an unencoded body, following nothing."""

    def open(
        self, url: str, *, headers: Mapping[str, str] | None = None
    ) -> AbstractAsyncContextManager[Stream]:
        """The answer, released on exit; raises an `APIError` or OSError when there is none."""
        ...


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
    ) -> None:
        self.url = url
        """The address that gave the file, after redirects; it may be signed: never log it."""
        self.length = _content_length(headers)
        """Announced bytes, None when nothing was announced."""
        self.head = b""
        """The first bytes, at least 1,024 unless the file is shorter."""
        self.received = 0
        """Bytes that came so far."""
        self.length_verified = False
        """Whether the end of the body proved that nothing is missing."""
        self._chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        self._declared = declared_type(headers.get("content-type"), expect)
        self._expect = expect
        self._max_bytes = max_bytes
        self._clock = clock
        self._chunks = chunks
        self._waited = 0.0
        self._tail = b""
        self._head_given = False

    @property
    def media_type(self) -> str | None:
        """The file's media type: by its bytes, else as the host or the record says."""
        return sniff(self.head) or self._declared

    @property
    def extension(self) -> str:
        """The extension with its dot; one of media, or `.bin`."""
        return extension_for(self.media_type, self.url)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._head_given:
            self._head_given = True
            await anyio.lowlevel.checkpoint()
            return self.head
        chunk = await self._next_chunk()
        if chunk is None:
            self._check_end()
            raise StopAsyncIteration
        return chunk

    async def read_head(self) -> None:
        """Take in the first bytes and judge them; called once, before iteration."""
        if self.length is not None and self.length > self._max_bytes:
            raise download_error(self.url, f"the file is larger than {self._max_bytes} bytes")
        chunk = await self._next_chunk()
        head = bytearray()
        while chunk is not None:
            head += chunk
            if len(head) >= HEAD_BYTES:
                break
            chunk = await self._next_chunk()
        self.head = bytes(head)
        if not head:
            self._check_end()
        problem = check_content(self._expect, self.head)
        if problem is not None:
            raise download_error(self.url, problem, retryable=True)

    async def _next_chunk(self) -> bytes | None:
        """The next chunk that is not empty, None at the end."""
        while True:
            started = self._clock()
            try:
                chunk = await anext(self._chunks, None)
            except (APIError, OSError) as error:
                raise _broken(self.url, error) from error
            if chunk is None:
                return None
            self._waited += self._clock() - started
            self._account(chunk)
            if chunk:
                return chunk

    def _account(self, chunk: bytes) -> None:
        self.received += len(chunk)
        self._tail = (self._tail + chunk[-TAIL_BYTES:])[-TAIL_BYTES:]
        if self.received > self._max_bytes:
            raise download_error(self.url, f"the file is larger than {self._max_bytes} bytes")
        if self.length is not None and self.received > self.length:
            raise download_error(self.url, "the file is longer than announced", retryable=True)
        if too_slow(self.received, self._waited):
            raise download_error(self.url, "the file came too slowly", retryable=True)

    def _check_end(self) -> None:
        if self.length is not None and self.received != self.length:
            text = f"the file broke off after {self.received} of {self.length} bytes"
            raise download_error(self.url, text, retryable=True)
        self.length_verified = self.length is not None or self._chunked
        if not self.length_verified and seems_cut_off(self.head, self._tail, self.received):
            raise download_error(self.url, "the file broke off before its end", retryable=True)


@asynccontextmanager
async def open_checked(
    opener: Opener,
    url: str,
    *,
    allow_private: bool,
    expect: str | None = None,
    max_bytes: int = MAX_FILE_BYTES,
    resolve: Resolver = system_resolver,
    clock: Callable[[], float] = anyio.current_time,
) -> AsyncIterator[CheckedStream]:
    """The bytes of one result file, under all guards; one attempt, no retry.

    Args:
        opener: What sends the GET.
        url: The output's address.
        allow_private: The API itself runs on loopback, so files may come from there, over
            http too. Other private networks are never asked.
        expect: The media type or kind the record tells; None takes the address's extension.
        max_bytes: Bytes at which the file is given up.
        resolve: What turns host names into addresses.
        clock: Monotonic seconds, for the judgement of the rate.

    Raises:
        DownloadError: refused, or it could not be fetched; also on iteration.

    Cancellation:
        The answer is released; nothing else is left.
    """
    async with AsyncExitStack() as stack:
        stream, final = await _follow(
            stack, opener, url, allow_loopback=allow_private, resolve=resolve
        )
        _check_answer(stream, final)
        chunks = aiter(stream)
        if isinstance(chunks, AsyncGenerator):  # it may be left in the middle
            await stack.enter_async_context(aclosing(chunks))
        checked = CheckedStream(
            stream.headers,
            chunks,
            url=final,
            expect=expected_type(expect, url),
            max_bytes=max_bytes,
            clock=clock,
        )
        await checked.read_head()
        yield checked


async def _follow(
    stack: AsyncExitStack, opener: Opener, url: str, *, allow_loopback: bool, resolve: Resolver
) -> tuple[Stream, str]:
    """The first answer that is no redirect, to be released by `stack`, and its address."""
    for _ in range(MAX_REDIRECTS + 1):
        problem = check_url(url, allow_loopback=allow_loopback)
        if problem is not None:
            raise download_error(url, problem)
        # What connects may resolve again: that it uses exactly these addresses is yet
        # to be built into the transport.
        await check_host(*host_and_port(url), allow_loopback=allow_loopback, resolve=resolve)
        async with AsyncExitStack() as hop:
            try:
                stream = await hop.enter_async_context(opener.open(url))
            except (APIError, OSError) as error:
                raise _broken(url, error) from error
            if stream.status not in _REDIRECTS:
                stack.push_async_exit(hop.pop_all())
                return stream, url
            target = redirect_target(url, stream.headers.get("location", ""))
        if target is None:
            raise download_error(url, "the host redirects to an unusable address")
        url = target
    raise download_error(url, f"the host redirects more than {MAX_REDIRECTS} times")


def _check_answer(stream: Stream, url: str) -> None:
    status = stream.status
    if status != _HTTP_OK:
        retryable = status >= _HTTP_SERVER_ERROR or status in _RETRYABLE_CLIENT_ERRORS
        text = f"the host answers {status}"
        raise download_error(url, text, retryable=retryable, status_code=status)
    encoding = stream.headers.get("content-encoding", "").strip().lower()
    if encoding not in {"", "identity"}:
        # Unpacking is where bombs are; a media file gains nothing by being packed.
        raise download_error(url, "the host sends the file encoded, unasked")


def too_slow(received: int, waited: float) -> bool:
    """Whether a body is to be given up after `waited` seconds of waiting for its bytes."""
    return waited > SLOW_AFTER_SECONDS and received < waited * MIN_BYTES_PER_SECOND


def download_error(
    url: str,
    text: str,
    *,
    retryable: bool = False,
    status_code: int | None = None,
    local: bool = False,
) -> DownloadError:
    """An error that names the host of an address and nothing else of it."""
    error = DownloadError(f"{shown_host(url)}: {text}")
    error.retryable = retryable
    error.status_code = status_code
    error.local = local
    return error


def _broken(url: str, error: Exception) -> DownloadError:
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
