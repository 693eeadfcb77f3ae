"""Which answers are taken as a result file: every guard between a URL and its bytes.

Each hop's address is checked before it is opened and is the one that is connected to; the
status must be 200, or 206 for the rest of an unfinished file; the body plain or packed in
a known way, not too large, not too slow, as long as announced, and by its first bytes no
error page.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import anyio

from .._errors import APIError, DownloadError
from .._transport._answer import retry_after
from ._address import HostRules, Resolver, check_url, redirect_target, system_resolver
from ._content import expected_type
from ._resume import partial_problem
from ._stream import MAX_FILE_BYTES, CheckedStream, broken, download_error
from ._unpack import encoding_of

if TYPE_CHECKING:
    from ._resume import Leftover

__all__ = ["MAX_REDIRECTS", "Opener", "Stream", "open_checked"]

MAX_REDIRECTS = 5
"""Hops; storage hosts take one or two, loops take all."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_RETRYABLE_CLIENT_ERRORS = frozenset({408, 425, 429})
# What a host says that cannot do anything with a Range, or with this one.
_NO_RANGE = frozenset({400, 412, 416, 501})
_HTTP_OK = 200
_HTTP_PARTIAL = 206
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
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        hosts: HostRules | None = None,
    ) -> AbstractAsyncContextManager[Stream]:
        """The answer, released on exit; raises an `APIError` or OSError when there is none.

        It asks `hosts` before it connects, in the way it connects, and connects nowhere
        else: only then has the host of the address been checked.
        """
        ...


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
    leftover: Leftover | None = None,
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
        leftover: An unfinished file to go on with. Where that is not possible the stream
            gives the file from its start; its `start` tells which.

    Raises:
        DownloadError: refused, or it could not be fetched; also on iteration.

    Cancellation:
        The answer is released; nothing else is left.
    """
    hop = _Hop(opener, HostRules(allow_private, resolve))
    async with AsyncExitStack() as stack:
        checked: CheckedStream | None = None
        if leftover is not None:
            checked = await _checked(
                stack, hop, url, expect=expect, max_bytes=max_bytes, clock=clock, leftover=leftover
            )
        if checked is None:
            checked = await _checked(
                stack, hop, url, expect=expect, max_bytes=max_bytes, clock=clock
            )
        assert checked is not None  # noqa: S101 - without a leftover there is always one
        yield checked


@dataclass(frozen=True, slots=True)
class _Hop:
    """How one GET is sent."""

    opener: Opener
    hosts: HostRules


async def _checked(
    stack: AsyncExitStack,
    hop: _Hop,
    url: str,
    *,
    expect: str | None,
    max_bytes: int,
    clock: Callable[[], float],
    leftover: Leftover | None = None,
) -> CheckedStream | None:
    """One answer under all guards, to be released by `stack`.

    None: it is no continuation of the leftover, and the file is to be fetched anew. An
    answer that is the whole file, because the host knows no ranges or has another version,
    is taken as that.
    """
    async with AsyncExitStack() as held:
        headers = leftover.headers() if leftover is not None else None
        stream, final = await _follow(held, hop, url, headers=headers)
        if leftover is not None:
            if stream.status in _NO_RANGE:
                return None
            if stream.status != _HTTP_PARTIAL:
                leftover = None
            elif partial_problem(stream.headers, leftover) is not None:
                return None
        _check_answer(stream, final, partial=leftover is not None)
        chunks = aiter(stream)
        if isinstance(chunks, AsyncGenerator):  # it may be left in the middle
            await held.enter_async_context(aclosing(chunks))
        checked = CheckedStream(
            stream.headers,
            chunks,
            url=final,
            expect=expected_type(expect, url),
            max_bytes=max_bytes,
            clock=clock,
            leftover=leftover,
        )
        try:
            same = await checked.begin()
        except DownloadError:
            if leftover is None or not checked.contradictory:
                raise
            same = False
        if not same:
            return None
        stack.push_async_exit(held.pop_all())
        return checked


async def _follow(
    stack: AsyncExitStack, hop: _Hop, url: str, *, headers: Mapping[str, str] | None
) -> tuple[Stream, str]:
    """The first answer that is no redirect, to be released by `stack`, and its address."""
    for _ in range(MAX_REDIRECTS + 1):
        problem = check_url(url, allow_loopback=hop.hosts.allow_loopback)
        if problem is not None:
            raise download_error(url, problem)
        async with AsyncExitStack() as held:
            opening = hop.opener.open(url, headers=headers, hosts=hop.hosts)
            try:
                stream = await held.enter_async_context(opening)
            except (APIError, OSError) as error:
                raise broken(url, error) from error
            if stream.status not in _REDIRECTS:
                stack.push_async_exit(held.pop_all())
                return stream, url
            target = redirect_target(url, stream.headers.get("location", ""))
        if target is None:
            raise download_error(url, "the host redirects to an unusable address")
        url = target
    raise download_error(url, f"the host redirects more than {MAX_REDIRECTS} times")


def _check_answer(stream: Stream, url: str, *, partial: bool) -> None:
    status = stream.status
    if status != (_HTTP_PARTIAL if partial else _HTTP_OK):
        retryable = status >= _HTTP_SERVER_ERROR or status in _RETRYABLE_CLIENT_ERRORS
        text = f"the host answers {status}"
        error = download_error(url, text, retryable=retryable, status_code=status)
        error.retry_after = retry_after(stream.headers, now=time.time())
        raise error
    _, readable = encoding_of(stream.headers)
    if not readable:
        # Stacked encodings are how bombs are hidden; a media file gains nothing by any.
        raise download_error(url, "the host sends the file encoded, unasked")
