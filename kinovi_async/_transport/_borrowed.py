"""Sends through a client that belongs to the user, httpx's or its successor's.

Such a client has a connection pool of its own. Requests wait in a line of ours, shorter
than that pool, and each runs in a shielded child task, because httpcore's pool loses
connections for ever when requests are cancelled while it has a queue
(encode/httpcore#1093). Its cookies, authentication and default headers stay out of our
requests, and it is never closed.
"""

from __future__ import annotations

from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Iterable,
    Mapping,
    MutableMapping,
)
from contextlib import AsyncExitStack
from typing import Protocol, TypeGuard

import anyio

from .._errors import ConfigurationError
from .._shield import finish
from ._addresses import host_and_port_of
from ._exchange import Call, Lane, Progress, Stream, collect, deadline
from ._failures import Failure, FailureKind, failure_from

__all__ = ["BorrowedWire", "HttpClient"]

# Exchanges at once through the user's pool, far below httpx's default of 100: its cost
# grows with the square of its connections (encode/httpcore#1035).
_PERMITS = 8
# Seconds a cancelled exchange may still take before it is cancelled as well, so that most
# connections survive and an interrupt is felt within 2 s.
_GRACE = 1.0
# Seconds for closing a connection.
_CLOSING = 1.0
# What a library adds by itself and a request needs.
_KEPT_HEADERS = {"host", "connection", "content-length", "transfer-encoding"}


class _Request(Protocol):
    @property
    def headers(self) -> MutableMapping[str, str]: ...


class _Response(Protocol):
    status_code: int
    is_stream_consumed: bool

    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def content(self) -> bytes: ...
    def aiter_raw(self) -> AsyncIterator[bytes]: ...
    async def aclose(self) -> None: ...


class HttpClient(Protocol):
    """The part of `httpx.AsyncClient` that is used."""

    def build_request(
        self,
        method: str,
        url: str,
        *,
        content: bytes | AsyncIterable[bytes] | None,
        headers: Mapping[str, str],
        extensions: Mapping[str, object],
    ) -> _Request:
        """A request with the client's defaults merged in."""

    def send(
        self, request: _Request, *, stream: bool, auth: None, follow_redirects: bool
    ) -> Awaitable[_Response]:
        """Sends it."""


def _is_client(candidate: object) -> TypeGuard[HttpClient]:
    names = {cls.__name__ for cls in type(candidate).__mro__}
    synchronous = "Client" in names and "AsyncClient" not in names
    usable = callable(getattr(candidate, "build_request", None)) and callable(
        getattr(candidate, "send", None)
    )
    return usable and not synchronous


class BorrowedWire:
    """Exchanges through the user's client.

    Raises:
        ConfigurationError: It is no asynchronous client of httpx's kind.
    """

    speaks = False

    def __init__(self, client: object) -> None:
        if not _is_client(client):
            raise ConfigurationError(
                f"http_client must be an httpx.AsyncClient, not {type(client).__name__}"
            )
        self._client = client
        permits = min(_PERMITS, _pool_size(client))
        self._gate = anyio.Semaphore(permits, fast_acquire=True)
        # Slow submissions and long downloads leave room for polls, if there is any.
        side = max(1, permits * 3 // 8)
        self._sides = {
            Lane.SUBMISSION: anyio.Semaphore(side, fast_acquire=True),
            Lane.DOWNLOAD: anyio.Semaphore(side, fast_acquire=True),
        }

    async def run(self, call: Call, progress: Progress) -> None:
        """One whole exchange in a child task."""

        async def exchange() -> None:
            with deadline(call, progress):
                stream = await self._send(call, progress)
                if stream is None:
                    return
                try:
                    await collect(stream, progress)
                finally:
                    await stream.aclose()

        async with AsyncExitStack() as stack:
            await self._enter(call.lane, stack)
            # A submission is shielded by its caller; when that ends, it ends at once.
            grace = 0.0 if call.lane is Lane.SUBMISSION else _GRACE
            await finish(exchange, grace=grace)

    async def open(self, call: Call, progress: Progress) -> Stream | None:
        """An exchange whose body is read by the caller."""
        if call.hosts is not None:
            host, port = host_and_port_of(call.url)
            if _has_proxy(self._client):
                call.hosts.by_name(host)
            else:
                await call.hosts.as_far_as_known(host, port)
        async with AsyncExitStack() as stack:
            await self._enter(call.lane, stack)
            opened: list[_BareStream] = []

            async def send() -> None:
                with deadline(call, progress):
                    stream = await self._send(call, progress)
                    if stream is not None:
                        opened.append(stream)

            try:
                await finish(send, grace=0)
            except BaseException:
                for stream in opened:  # it came while we were being cancelled
                    await stream.aclose()
                raise
            if not opened:
                return None
            return _ShieldedStream(opened[0], stack.pop_all())

    async def aclose(self) -> None:
        """Nothing: the client is the user's."""

    async def _enter(self, lane: Lane, stack: AsyncExitStack) -> None:
        side = self._sides.get(lane)
        if side is not None:
            await stack.enter_async_context(side)
        await stack.enter_async_context(self._gate)

    async def _send(self, call: Call, progress: Progress) -> _BareStream | None:
        if getattr(self._client, "is_closed", False):
            progress.failure = Failure(FailureKind.INVALID, "http_client is closed")
            return None
        try:
            request = self._request(call, progress)
        except Exception as exc:  # noqa: BLE001 - noted, see the module's docstring of _exchange
            failure = failure_from(exc)
            progress.failure = Failure(FailureKind.INVALID, failure.text)
            return None
        progress.recorder.begin()
        try:
            response = await self._client.send(
                request, stream=True, auth=None, follow_redirects=False
            )
        except Exception as exc:  # noqa: BLE001 - after a POST every exception needs a verdict
            progress.failure = failure_from(exc)
            _take_raised_answer(exc, progress)
            return None
        progress.heard(response.status_code, response.headers)
        return _BareStream(response)

    def _request(self, call: Call, progress: Progress) -> _Request:
        extensions: dict[str, object] = {"timeout": call.timeouts.as_extension()}
        if call.lane is Lane.SUBMISSION:
            extensions["trace"] = progress.recorder.trace
        request = self._client.build_request(
            call.method,
            call.url,
            content=call.content if call.body is None else call.body,
            headers=call.headers,
            extensions=extensions,
        )
        kept = _KEPT_HEADERS | {name.lower() for name in call.headers}
        for name in [name for name in request.headers if name.lower() not in kept]:
            del request.headers[name]
        return request


class _BareStream:
    """A response of the user's client."""

    def __init__(self, response: _Response) -> None:
        self._response = response
        self._chunks: AsyncIterator[bytes] | None = None
        self._ended = False

    async def next(self) -> bytes | Failure | None:
        try:
            if self._chunks is None:
                if self._response.is_stream_consumed:  # a mock, or a hook that read it
                    self._chunks = Once([self._response.content])
                else:
                    self._chunks = self._response.aiter_raw()
            return await anext(self._chunks)
        except StopAsyncIteration:
            self._ended = True
            return None
        except Exception as exc:  # noqa: BLE001 - handed on as a value
            self._ended = True
            return failure_from(exc)

    async def aclose(self) -> None:
        with anyio.move_on_after(_CLOSING, shield=True):
            try:
                await self._response.aclose()
                await exhaust(self._chunks, ended=self._ended)
            except Exception as exc:  # noqa: BLE001 - a connection that fails to close is closed
                del exc


class _ShieldedStream:
    """The same with each step in a child task, holding its place in the line."""

    def __init__(self, stream: _BareStream, places: AsyncExitStack) -> None:
        self._stream = stream
        self._places = places

    async def next(self) -> bytes | Failure | None:
        return await finish(self._stream.next, grace=0)

    async def aclose(self) -> None:
        try:
            with anyio.move_on_after(_CLOSING, shield=True):
                await finish(self._stream.aclose, grace=_CLOSING)
        finally:
            await self._places.aclose()


class Once:
    """Chunks that are there already."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)

    def __aiter__(self) -> Once:
        return self

    async def __anext__(self) -> bytes:
        for chunk in self._chunks:
            return chunk
        raise StopAsyncIteration


async def exhaust(chunks: AsyncIterator[bytes] | None, *, ended: bool) -> None:
    """Ends a half-read body's generators once its connection is closed.

    Left to the garbage collector they would be finished outside of any task, with a
    warning; reading on from the closed connection makes them raise and end.
    """
    if chunks is None or ended:
        return
    try:
        async for _ in chunks:
            pass
    except Exception as exc:  # noqa: BLE001 - that it raises is the point
        del exc


def _take_raised_answer(exc: Exception, progress: Progress) -> None:
    """The answer inside an HTTPStatusError, which an event hook of the user's raises."""
    response = getattr(exc, "response", None)
    status = getattr(response, "status_code", None)
    if not isinstance(status, int):
        return
    progress.heard(status, dict(response.headers) if response is not None else {})
    try:
        content = response.content if response is not None else b""
    except Exception:  # noqa: BLE001 - the hook did not read it, and it is closed
        return
    progress.take(content)


def _has_proxy(client: object) -> bool:
    """Whether the client goes through a proxy, as far as httpx's internals show it."""
    mounts = getattr(client, "_mounts", None)
    transports = [getattr(client, "_transport", None)]
    if isinstance(mounts, Mapping):
        transports += mounts.values()
    pools = (getattr(transport, "_pool", None) for transport in transports)
    return any("Proxy" in type(pool).__name__ for pool in pools)


def _pool_size(client: object) -> int:
    """Connections the client's pool may open, as far as httpx's internals show it."""
    pool = getattr(getattr(client, "_transport", None), "_pool", None)
    size = getattr(pool, "_max_connections", None)
    return max(1, size) if isinstance(size, int) else _PERMITS
