"""The API over HTTP: the one module that imports httpx.

Our own connections are one-connection transports in a free list, each used by one exchange
at a time, so that nothing ever queues inside httpcore, whose pool is slow with many
connections (encode/httpcore#1035) and loses some when requests are cancelled (#1093): an
exchange that fails or is cancelled closes its transport, and nobody else notices.
"""

from __future__ import annotations

import functools
import math
import os
import ssl
import urllib.request
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import anyio
import httpcore  # noqa: F401 - httpx would import it inside the first call, for 50 ms and more
import httpx

from .._errors import ConfigurationError
from ._addresses import host_and_port_of, origin_of, proxy_for
from ._api import HttpTransport
from ._borrowed import Once, exhaust
from ._exchange import Call, Lane, Progress, Stream, collect, deadline
from ._failures import Failure, FailureKind, failure_from
from ._free_list import FreeList

__all__ = ["HttpTransport", "OwnWire", "shared_ssl_context"]

# Connections of one kind at once. 64 polls of 0.1 s each make 640 polls a second, more
# than 2,000 tasks need; downloads are limited by who starts them.
_MAX_CONNECTIONS = 64
# POSTs at once; the scheduler's slow start never has more than 16 on the wire.
_MAX_POSTS = 16
# Seconds an idle connection is kept. Polls come every 3 to 5 s.
_MAX_IDLE = 30.0
# Seconds for closing a connection.
_CLOSING = 1.0
# Addresses of a host that are tried, and seconds for each but the last: a broken IPv6 is
# the usual reason for a second one, and a TCP handshake around the world takes half of one.
_MAX_ADDRESSES = 4
_IMPATIENT = 3.0


def shared_ssl_context() -> ssl.SSLContext:
    """The process's one context, built at first use: building costs 30 ms.

    It honours SSL_CERT_FILE and SSL_CERT_DIR as httpx does; a changed variable makes a
    new one.
    """
    return _ssl_context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@functools.lru_cache(maxsize=4)
def _ssl_context(_file: str | None, _directory: str | None) -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=True)


@functools.lru_cache(maxsize=1)
def _unused_ssl_context() -> ssl.SSLContext:
    # For plain http: httpx would load certificates it never needs.
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class OwnWire:
    """Exchanges over our own connections, HTTP/1.1 only.

    Args:
        trust_env: Whether proxies are taken from the environment.
    """

    speaks = True

    def __init__(self, *, trust_env: bool) -> None:
        self._proxies = urllib.request.getproxies() if trust_env else {}
        self._gates = {
            Lane.POLL: anyio.Semaphore(_MAX_CONNECTIONS, fast_acquire=True),
            Lane.DOWNLOAD: anyio.Semaphore(_MAX_CONNECTIONS, fast_acquire=True),
            Lane.SUBMISSION: anyio.Semaphore(_MAX_POSTS, fast_acquire=True),
        }
        self._free = {lane: FreeList[httpx.AsyncHTTPTransport](max_idle=_MAX_IDLE) for lane in Lane}
        self._closed = False

    async def run(self, call: Call, progress: Progress) -> None:
        """One whole exchange."""
        async with self._gates[call.lane]:
            with deadline(call, progress):
                stream = await self._begin(call, progress)
                if stream is not None:
                    try:
                        await collect(stream, progress)
                    finally:
                        await stream.aclose()

    async def open(self, call: Call, progress: Progress) -> Stream | None:
        """An exchange whose body is read by the caller."""
        gate = self._gates[call.lane]
        await gate.acquire()
        stream: _OwnStream | None = None
        try:
            with deadline(call, progress):
                stream = await self._begin(call, progress)
        finally:
            if stream is None:
                gate.release()
        return _GatedStream(stream, gate) if stream is not None else None

    async def aclose(self) -> None:
        """Closes the idle connections; the others close when their exchange ends."""
        self._closed = True
        await _close([transport for free in self._free.values() for transport in free.drain()])

    async def _begin(self, call: Call, progress: Progress) -> _OwnStream | None:
        places = await self._places(call)
        for place in places:
            stream = await self._try(call, progress, place)
            failure = progress.failure
            if stream is not None or failure is None or failure.kind is not FailureKind.CONNECT:
                return stream
            if place is not places[-1]:
                progress.failure = None
        return None

    async def _places(self, call: Call) -> list[_Place]:
        """Where to connect, one after the other while no connection comes about."""
        if call.hosts is None:
            return [_Place()]
        host, port = host_and_port_of(call.url)
        if proxy_for(call.url, self._proxies) is not None:
            call.hosts.by_name(host)
            return [_Place()]
        found = await call.hosts.addresses(host, port)
        # Connected to as they are: who asks the resolver again may be told something else.
        *others, last = _alternating(found)[:_MAX_ADDRESSES]
        return [*(_Place(address, _IMPATIENT) for address in others), _Place(last)]

    async def _try(self, call: Call, progress: Progress, place: _Place) -> _OwnStream | None:
        request = _request(call, progress, place)
        if request is None:
            return None
        origin = f"{origin_of(call.url)} {place.address or ''}"
        free = self._free[call.lane]
        transport = None if call.fresh else free.take(origin, anyio.current_time())
        progress.reused = transport is not None
        if transport is None:
            transport = self._connect(call.url)
        progress.recorder.begin()
        try:
            response = await transport.handle_async_request(request)
        except Exception as exc:  # noqa: BLE001 - after a POST every exception needs a verdict
            progress.failure = failure_from(exc)
            await _close([transport])
            return None
        except BaseException as exc:
            with anyio.move_on_after(_CLOSING, shield=True):
                await _close([transport])
            # The frames below hold the request's headers, and with them the key.
            exc.__traceback__ = None
            raise
        progress.heard(response.status_code, response.headers)
        return _OwnStream(self, response, transport, origin, call)

    def _connect(self, url: str) -> httpx.AsyncHTTPTransport:
        """A transport for one connection; nothing is connected yet."""
        if self._closed:
            raise ConfigurationError("the client is closed")
        secure = url.lower().startswith("https:")
        proxy_url = proxy_for(url, self._proxies)
        problem = None
        try:
            proxy = None
            if proxy_url is not None:
                context = shared_ssl_context() if proxy_url.startswith("https:") else None
                proxy = httpx.Proxy(proxy_url, ssl_context=context)
            return httpx.AsyncHTTPTransport(
                verify=shared_ssl_context() if secure else _unused_ssl_context(),
                trust_env=False,
                limits=httpx.Limits(
                    max_connections=1, max_keepalive_connections=1, keepalive_expiry=_MAX_IDLE
                ),
                proxy=proxy,
            )
        except (ValueError, httpx.InvalidURL):
            problem = "the proxy in the environment (HTTPS_PROXY, ALL_PROXY) has no usable URL"
        except ImportError:
            problem = "a SOCKS proxy needs the socksio package: pip install 'httpx[socks]'"
        except OSError as exc:  # also ssl.SSLError
            problem = f"the certificates in SSL_CERT_FILE or SSL_CERT_DIR: {exc.strerror or exc}"
        raise ConfigurationError(problem)

    async def give_back(self, stream: _OwnStream) -> None:
        """Keeps the connection of an exchange that ended well, closes it otherwise."""
        free, now = self._free[stream.call.lane], anyio.current_time()
        gone = free.expired(now)
        if stream.ended_well and not stream.call.fresh and not self._closed:
            free.put(stream.origin, stream.transport, now)
        else:
            gone.append(stream.transport)
        if gone:
            await _close(gone)


class _OwnStream:
    """An answer over one of our connections."""

    def __init__(
        self,
        wire: OwnWire,
        response: httpx.Response,
        transport: httpx.AsyncHTTPTransport,
        origin: str,
        call: Call,
    ) -> None:
        self._wire = wire
        self._chunks: AsyncIterator[bytes] = response.aiter_raw()
        self._ended = False
        self.transport = transport
        self.origin = origin
        self.call = call
        self.ended_well = False

    async def next(self) -> bytes | Failure | None:
        try:
            return await anext(self._chunks)
        except StopAsyncIteration:
            self._ended = self.ended_well = True
            return None
        except Exception as exc:  # noqa: BLE001 - handed on as a value
            self._ended = True
            return failure_from(exc)

    async def aclose(self) -> None:
        await self._wire.give_back(self)
        if not self._ended:
            with anyio.move_on_after(_CLOSING, shield=True):
                await exhaust(self._chunks, ended=False)


class _GatedStream:
    """The same, holding its place among the connections of its kind."""

    def __init__(self, stream: _OwnStream, gate: anyio.Semaphore) -> None:
        self._stream = stream
        self._gate = gate

    async def next(self) -> bytes | Failure | None:
        return await self._stream.next()

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            self._gate.release()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a connection is made to."""

    address: str | None = None
    """An IP address, None for what the host's name resolves to."""
    patience: float = math.inf
    """Seconds for connecting, when there is another address to try."""


def _alternating(addresses: Sequence[str]) -> list[str]:
    """The two families of addresses in turn, as RFC 8305 has it, the preferred one first."""
    first = ":" in addresses[0]
    families = [
        [each for each in addresses if (":" in each) is is_v6] for is_v6 in (first, not first)
    ]
    pairs = zip_longest(*families)
    return [each for pair in pairs for each in pair if each is not None]


def _request(call: Call, progress: Progress, place: _Place) -> httpx.Request | None:
    connect = min(
        math.inf if call.timeouts.connect is None else call.timeouts.connect, place.patience
    )
    timeouts = replace(call.timeouts, connect=None if math.isinf(connect) else connect)
    extensions: dict[str, object] = {"timeout": timeouts.as_extension()}
    if call.lane is Lane.SUBMISSION:  # the events cost time, and only a POST needs the proof
        extensions["trace"] = progress.recorder.trace
    try:
        request = httpx.Request(
            call.method,
            call.url,
            headers=call.headers,
            content=call.content,
            extensions=extensions,
        )
    except Exception as exc:  # noqa: BLE001 - an address or a header it cannot stand
        progress.failure = Failure(FailureKind.INVALID, type(exc).__name__)
        return None
    if call.content is not None:
        request.stream = _Body(call.content)
    elif call.body is not None:
        request.stream = _Pieces(call.body)
    if place.address is not None:
        # The request (`Host`, which is set already) and TLS go on speaking of the name.
        request.extensions["sni_hostname"] = request.url.raw_host.decode("ascii")
        request.url = request.url.copy_with(host=place.address)
    return request


class _Body(httpx.AsyncByteStream):
    """A request's body, in one piece.

    httpx's own is a generator, which a connection that breaks while sending leaves
    unfinished; trio warns about it.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __aiter__(self) -> AsyncIterator[bytes]:
        return Once([self._content])


class _Pieces(httpx.AsyncByteStream):
    """A request's body, in pieces that are made as they are sent."""

    def __init__(self, pieces: AsyncIterable[bytes]) -> None:
        self._pieces = pieces

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._pieces)


async def _close(transports: list[httpx.AsyncHTTPTransport]) -> None:
    with anyio.move_on_after(_CLOSING, shield=True):
        for transport in transports:
            try:
                await transport.aclose()
            except Exception as exc:  # noqa: BLE001 - a connection that fails to close is closed
                del exc
