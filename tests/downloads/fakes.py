"""A scripted opener, a resolver from a table, and a real HTTP server with its opener."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle, repeat
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
from anyio.abc import ByteStream, SocketAttribute, TaskStatus

from kinovi_async._downloads import HostRules, SaveOptions
from kinovi_async._errors import APIConnectionError

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40 + b"IEND\xaeB`\x82"
MP4 = b"\x00\x00\x00\x18ftypisom" + bytes(range(256)) * 40
PUBLIC = "93.184.215.14"


@dataclass
class Answer:
    """One scripted answer; an exception in `chunks` breaks the body off."""

    status: int = 200
    chunks: Sequence[bytes | Exception] = (PNG,)
    headers: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    before_chunk: Callable[[], object] = lambda: None
    endless: bool = False
    hang: bool = False
    _left: Iterator[bytes | Exception] = field(init=False)

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._left = cycle(self.chunks) if self.endless else iter(self.chunks)
        return self

    async def __anext__(self) -> bytes:
        await anyio.lowlevel.checkpoint()
        chunk = next(self._left, None)
        if chunk is None:
            if self.hang:
                await anyio.sleep_forever()
            raise StopAsyncIteration
        self.before_chunk()
        if isinstance(chunk, Exception):
            raise chunk
        return chunk


class ScriptedOpener:
    """Answers GETs in order and remembers what was asked and what is still open.

    It connects as it is told: itself, by the addresses it is given; through a proxy; or by
    a client it cannot look into.
    """

    def __init__(self, *answers: Answer | Exception, route: str = "own") -> None:
        self._answers = list(answers)
        self._route = route
        self.asked: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self.open_count = 0

    def open(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        hosts: HostRules | None = None,
    ) -> AbstractAsyncContextManager[Answer]:
        return self._open(url, headers or {}, hosts)

    @asynccontextmanager
    async def _open(
        self, url: str, headers: Mapping[str, str], hosts: HostRules | None
    ) -> AsyncIterator[Answer]:
        assert hosts is not None
        parts = urlsplit(url)
        host, port = str(parts.hostname), parts.port or 443
        if self._route == "own":
            await hosts.addresses(host, port)
        elif self._route == "proxy":
            hosts.by_name(host)
        else:
            await hosts.as_far_as_known(host, port)
        self.headers.append(headers)
        self.asked.append(url)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        answer.url = url
        self.open_count += 1
        try:
            yield answer
        finally:
            self.open_count -= 1


def png(body: bytes = PNG) -> Answer:
    """A picture of announced length."""
    return Answer(chunks=(body,), headers={"content-length": str(len(body))})


def resolver(table: Mapping[str, Sequence[str]] | None = None) -> ResolverFake:
    """Names of the table have its addresses, all others a public one."""
    return ResolverFake(table or {})


@dataclass
class ResolverFake:
    table: Mapping[str, Sequence[str]]
    asked: list[tuple[str, int]] = field(default_factory=list)

    async def __call__(self, host: str, port: int) -> tuple[str, ...]:
        await anyio.lowlevel.checkpoint()
        self.asked.append((host, port))
        return tuple(self.table.get(host, (PUBLIC,)))


def no_waits() -> Iterator[float]:
    """Tries follow each other at once."""
    return repeat(0.0)


def plenty(_: Path) -> int:
    """A disk with room."""
    return 1 << 50


def options(**changes: object) -> SaveOptions:
    """Options for tests: no waiting, no DNS, a roomy disk."""
    given: dict[str, object] = {
        "waits": no_waits,
        "resolve": resolver(),
        "free_bytes": plenty,
        **changes,
    }
    return SaveOptions(**given)  # type: ignore[arg-type]


async def drain(stream: AsyncIterator[bytes]) -> bytes:
    """The rest of a stream."""
    rest = b""
    async for chunk in stream:
        rest += chunk
    return rest


class RawOpener:
    """A GET over a real socket: HTTP/1.1 just enough for the answers of these tests."""

    @asynccontextmanager
    async def open(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        hosts: HostRules | None = None,
    ) -> AsyncIterator[RawStream]:
        parts = urlsplit(url)
        assert hosts is not None
        await hosts.addresses(str(parts.hostname), parts.port or 80)
        lines = [f"GET {parts.path or '/'} HTTP/1.1", f"host: {parts.netloc}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        try:
            connection = await anyio.connect_tcp(str(parts.hostname), parts.port or 80)
        except OSError as error:
            raise APIConnectionError("refused") from error
        async with connection as socket:
            await socket.send("\r\n".join([*lines, "", ""]).encode())
            received = b""
            while b"\r\n\r\n" not in received:
                received += await socket.receive()
            head, _, rest = received.partition(b"\r\n\r\n")
            first, *fields = head.decode().split("\r\n")
            pairs = (line.partition(":") for line in fields)
            named = {name.lower(): value.strip() for name, _, value in pairs}
            yield RawStream(socket, rest, url, int(first.split()[1]), named)


@dataclass
class RawStream:
    socket: ByteStream
    rest: bytes
    url: str
    status: int
    headers: Mapping[str, str]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        rest, self.rest = self.rest, b""
        if rest:
            await anyio.lowlevel.checkpoint()
            return rest
        try:
            return await self.socket.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None
        except anyio.BrokenResourceError as error:
            raise APIConnectionError("reset") from error


@asynccontextmanager
async def http_server(answers: Mapping[str, bytes]) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server on loopback: raw answers by path; gives its base address and the requests."""
    requests: list[bytes] = []

    async def handle(client: ByteStream) -> None:
        async with client:
            request = b""
            while b"\r\n\r\n" not in request:
                request += await client.receive()
            requests.append(request)
            path = request.split()[1].decode()
            await client.send(answers[path])

    async def serve(*, task_status: TaskStatus[int]) -> None:
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            task_status.started(listener.extra(SocketAttribute.local_port))  # noqa: S610 - no Django
            await listener.serve(handle)

    async with anyio.create_task_group() as tasks:
        port: int = await tasks.start(serve)
        yield f"http://127.0.0.1:{port}", requests
        tasks.cancel_scope.cancel()


def raw_answer(body: bytes, *lines: str, status: str = "200 OK") -> bytes:
    """A whole HTTP answer as bytes, with the given header lines."""
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode() + body


def is_empty(directory: Path) -> bool:
    """Whether nothing at all is in a folder."""
    return not list(directory.iterdir())


def exists(path: Path) -> bool:
    """Whether something is at a path."""
    return path.exists()


def files_in(directory: Path) -> dict[str, bytes]:
    """Names and contents of all plain files of a folder."""
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}
