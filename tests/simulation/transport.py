"""The network one level down: an httpx transport without HTTP, for volume.

It emits the trace events that httpcore emits, unless the plan's connections are a user's own
client that shows none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NoReturn

import anyio
import httpx

from kinovi_async._transport._http import OwnWire

from .world import Exchange, Process, World

__all__ = ["OwnSimulatedWire", "SimulatedTransport"]

Trace = Callable[[str, dict[str, object]], Awaitable[None]]


class OwnSimulatedWire(OwnWire):
    """Our own connections, whose other end is the world."""

    def __init__(self, make: Callable[[str], httpx.AsyncBaseTransport]) -> None:
        super().__init__(trust_env=False)
        self._make = make

    def _connect(self, url: str) -> httpx.AsyncHTTPTransport:
        return self._make(url)  # type: ignore[return-value]


class SimulatedTransport(httpx.AsyncBaseTransport):
    """One process's way to the server."""

    def __init__(self, world: World, process: Process, *, speaks: bool) -> None:
        self._world = world
        self._process = process
        self._speaks = speaks

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One exchange up to the head of its answer."""
        world, process = self._world, self._process
        authorization = request.headers.get("authorization")
        if not world.event(process, f"connect {request.method}"):
            raise httpx.ConnectError("dead")
        if request.method == "POST":
            exchange = world.begin_post(process, authorization, request.content)
        else:
            exchange = world.begin_get(process, authorization, str(request.url))
        timeout = request.extensions["timeout"]
        if exchange.fate.connect == "refused":
            await anyio.sleep(exchange.fate.before)
            raise httpx.ConnectError("[Errno 111] Connection refused")
        if exchange.fate.connect == "timeout":
            await anyio.sleep(timeout["connect"])
            raise httpx.ConnectTimeout("")
        trace = request.extensions.get("trace") if self._speaks else None
        await self._send(exchange, request, trace)
        try:
            return await self._answer(exchange, timeout["read"])
        except Exception:
            world.broken(exchange)
            raise
        except BaseException:
            world.given_up(exchange)
            raise

    async def _send(self, exchange: Exchange, request: httpx.Request, trace: Trace | None) -> None:
        await _tell(trace, "send_request_headers.started", request=request)
        if not self._world.leaves(exchange):
            raise httpx.ReadError("dead")
        await _tell(trace, "send_request_headers.complete")
        await _tell(trace, "send_request_body.started", request=request)
        if not exchange.fate.sends:
            error = httpx.ReadError("[Errno 104] Connection reset by peer")
            await _tell(trace, "send_request_body.failed", exception=error)
            raise error
        await _tell(trace, "send_request_body.complete")
        self._world.left(exchange)

    async def _answer(self, exchange: Exchange, patience: float) -> httpx.Response:
        world, fate = self._world, exchange.fate
        try:
            await anyio.sleep(fate.before)
        finally:
            world.arrive(exchange)  # it had left
        if fate.way == "silent" or fate.after > patience:
            await anyio.sleep(patience)
            raise httpx.ReadTimeout("")
        await anyio.sleep(fate.after)
        if not world.event(self._process, f"answer {exchange.key or exchange.task_id} {fate.way}"):
            raise httpx.ReadError("dead")
        answer = exchange.answer
        if answer is None or fate.way == "reset":
            raise httpx.ReadError("[Errno 104] Connection reset by peer")
        if fate.way == "close":
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
        body = _Body(world, exchange, answer.body)
        return httpx.Response(answer.status, headers=dict(answer.headers), stream=body)


class _Body(httpx.AsyncByteStream):
    """The body of an answer, and what is known once it is read."""

    def __init__(self, world: World, exchange: Exchange, content: bytes) -> None:
        self._world = world
        self._exchange = exchange
        fate = exchange.fate
        self._whole = fate.way != "cut"
        self._content = content if self._whole else content[: int(len(content) * fate.cut)]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if not self._world.event(self._exchange.process, "read"):
            _fail("dead")
        self._world.heard(self._exchange, self._content, whole=self._whole)
        yield self._content
        if not self._whole:
            _fail("peer closed connection without sending complete message body")

    async def aclose(self) -> None:
        """Nothing is held."""


def _fail(text: str) -> NoReturn:
    raise httpx.RemoteProtocolError(text)


async def _tell(trace: Trace | None, event: str, **info: object) -> None:
    if trace is not None:
        await trace(f"http11.{event}", info)
