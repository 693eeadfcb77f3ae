"""The network to the last byte: httpx, httpcore and h11 over pipes in memory.

The pipes' other end is a small HTTP/1.1 server for one process, driven by timers of the loop.
httpcore is told of the pipes through its own `network_backend`; the one thing set from outside
is in `simulated_http_transport`. Its keep-alive clock is the machine's and not the loop's: it is
switched off there, our own list of idle connections has the same rule in the loop's time.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from http import HTTPStatus
from itertools import pairwise
from random import Random
from typing import Any

import anyio
import anyio.lowlevel
import httpcore
import httpx

from kinovi_async.simulator import Answer

from .fates import Fate
from .world import Exchange, Process, World

__all__ = ["simulated_http_transport"]

_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def simulated_http_transport(
    world: World, process: Process, _url: str, *, connections: int
) -> httpx.AsyncHTTPTransport:
    """The real transport of httpx, with connections that lead to the world."""
    transport = httpx.AsyncHTTPTransport(verify=_NO_TLS, trust_env=False)
    # httpx has no argument for a network backend: the pool is replaced before its first use.
    transport._pool = httpcore.AsyncConnectionPool(
        max_connections=connections,
        max_keepalive_connections=connections,
        keepalive_expiry=None,
        network_backend=_Backend(world, process),
    )
    return transport


class _Backend(httpcore.AsyncNetworkBackend):
    """Makes connections."""

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection, or the way it fails."""
        world, process = self._world, self._process
        if not world.event(process, "connect"):
            raise httpcore.ConnectError("dead")
        process.connections += 1
        draw = Random(f"{world.plan.seed} connect {process.number} {process.connections}")
        await anyio.sleep(draw.uniform(*world.plan.latency))
        if world.now < world.plan.calm_at:
            if world.in_outage() or draw.random() < world.plan.rate("refused"):
                raise httpcore.ConnectError("[Errno 111] Connection refused")
            if draw.random() < world.plan.rate("connect-timeout"):
                await anyio.sleep(timeout or 0.0)
                raise httpcore.ConnectTimeout("")
        return _Pipe(world, process, draw)

    async def sleep(self, seconds: float) -> None:
        """Between httpcore's own tries, which are switched off."""
        await anyio.sleep(seconds)


class _Pipe(httpcore.AsyncNetworkStream):
    """One connection: the client's end, and the server at the other one."""

    def __init__(self, world: World, process: Process, draw: Random) -> None:
        self._world = world
        self._process = process
        self._draw = draw
        self._request = bytearray()
        self._inbox = bytearray()
        self._eof = False
        self._error: str | None = None
        self._arrived = anyio.Event()
        self._exchange: Exchange | None = None
        self._left_to_read = 0
        """Bytes until the answer is read, as far as it comes."""
        self._idle_since: float | None = None
        self._closed = False
        process.open_pipes += 1

    # -- the client's end ----------------------------------------------------------------

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Some bytes of a request."""
        await anyio.lowlevel.checkpoint()
        if not self._process.alive or self._error is not None:
            raise httpcore.WriteError(self._error or "dead")
        if self._idle_since is not None and self._too_late():
            self._eof = True  # the server hung up just before
            self._arrived.set()
            return
        self._idle_since = None
        self._request += buffer
        self._serve()
        if self._error is not None:
            raise httpcore.WriteError(self._error)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """Some bytes of an answer, none at its end."""
        try:
            with anyio.fail_after(timeout):
                while not (self._inbox or self._eof or self._error is not None):
                    await self._arrived.wait()
        except TimeoutError:
            self._over()
            raise httpcore.ReadTimeout("") from None
        except BaseException:
            self._given_up()
            raise
        if self._error is not None or not self._world.event(self._process, "read"):
            self._over()
            raise httpcore.ReadError(self._error or "dead")
        data = bytes(self._inbox[:max_bytes])
        del self._inbox[:max_bytes]
        self._was_read(len(data))
        if not self._inbox:
            self._arrived = anyio.Event()
        return data

    async def aclose(self) -> None:
        """Closes both ends."""
        if not self._closed:
            self._closed = True
            self._process.open_pipes -= 1
            self._given_up()
        await anyio.lowlevel.cancel_shielded_checkpoint()

    def get_extra_info(self, info: str) -> Any:
        """Whether an idle connection has ended."""
        if info != "is_readable":
            return None
        stale = self._world.plan.stale
        if stale and self._idle_since is not None and self._world.now >= self._idle_since + stale:
            self._eof = True
        return bool(self._inbox) or self._eof

    def _too_late(self) -> bool:
        stale = self._world.plan.stale
        if not stale or self._world.now >= self._world.plan.calm_at:
            return False
        idle = self._world.now - (self._idle_since or 0.0)
        return idle > stale / 2 and self._draw.random() < 0.5

    # -- the server's end ----------------------------------------------------------------

    def _serve(self) -> None:
        head, found, body = bytes(self._request).partition(b"\r\n\r\n")
        if not found:
            return
        lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines[1:])
        }
        if len(body) < int(headers.get("content-length", "0")):
            return
        self._request.clear()
        method, target, _ = lines[0].split(" ")
        world, authorization = self._world, headers.get("authorization")
        if method == "POST":
            exchange = world.begin_post(self._process, authorization, body)
        else:
            exchange = world.begin_get(self._process, authorization, target)
        if not world.leaves(exchange):
            self._error = "dead"
            return
        if not exchange.fate.sends:
            self._error = "[Errno 104] Connection reset by peer"
            return
        world.left(exchange)
        self._exchange = exchange
        fate = exchange.fate
        # A connection that could not be had was drawn for the request: there is one, though.
        broken = fate.connect != "yes"
        self._later(fate.before, self._arrive)
        if fate.way != "silent" and not broken:
            self._later(fate.before + fate.after, self._answer)
        elif broken:
            self._later(fate.before + fate.after, self._reset)

    def _later(self, seconds: float, act: Any) -> None:
        exchange = self._exchange

        def run() -> None:
            if self._process.alive and self._exchange is exchange and not self._closed:
                act()

        self._process.loop.call_later(seconds, run)

    def _arrive(self) -> None:
        assert self._exchange is not None
        self._world.arrive(self._exchange)

    def _reset(self) -> None:
        self._error = "[Errno 104] Connection reset by peer"
        self._arrived.set()

    def _answer(self) -> None:
        exchange = self._exchange
        assert exchange is not None
        self._world.arrive(exchange)
        answer, fate = exchange.answer, exchange.fate
        if not self._world.event(self._process, f"answer {exchange.key or exchange.task_id}"):
            return
        if fate.way == "reset" or answer is None:
            self._reset()
        elif fate.way == "close":
            self._put(b"", end=True)
        else:
            self._send(answer, fate)

    def _send(self, answer: Answer, fate: Fate) -> None:
        data = _rendered(answer, close=self._draw.random() < 0.1)
        head = data.index(b"\r\n\r\n") + 4
        size = len(data)
        if fate.way == "cut":
            size = head + int((size - head) * fate.cut)
        self._left_to_read = size
        end = fate.way == "cut" or b"\r\nconnection: close" in data[:head]
        if not self._world.plan.pieces:
            self._put(data[:size], end=end)
            return
        cuts = sorted({0, size, *(self._draw.randrange(size) for _ in range(3))})
        for number, (begin, stop) in enumerate(pairwise(cuts)):
            piece, last = data[begin:stop], stop == size
            self._later(0.3 * number, lambda p=piece, e=end and last: self._put(p, end=e))

    def _put(self, data: bytes, *, end: bool) -> None:
        self._inbox += data
        self._eof = self._eof or end
        self._arrived.set()

    # -- what became of the exchange -------------------------------------------------------

    def _was_read(self, size: int) -> None:
        exchange = self._exchange
        if exchange is None:
            return
        if not size:
            self._over()
            return
        self._left_to_read -= size
        if self._left_to_read <= 0:
            self._exchange = None
            self._idle_since = self._world.now
            answer, fate = exchange.answer, exchange.fate
            if answer is not None:
                whole = fate.way != "cut"
                share = len(answer.body) if whole else int(len(answer.body) * fate.cut)
                self._world.heard(exchange, answer.body[:share], whole=whole)

    def _over(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            self._world.arrive(exchange)
            self._world.broken(exchange)

    def _given_up(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            self._world.arrive(exchange)  # it had left
            self._world.given_up(exchange)


def _rendered(answer: Answer, *, close: bool) -> bytes:
    try:
        reason = HTTPStatus(answer.status).phrase
    except ValueError:
        reason = "Unknown"
    headers = {**answer.headers, "content-length": str(len(answer.body))}
    if close:
        headers["connection"] = "close"
    lines = [f"HTTP/1.1 {answer.status} {reason}"]
    lines += [f"{name.lower()}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + answer.body
