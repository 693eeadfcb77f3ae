"""A server on a real socket that misbehaves as told, and remembers every byte it read."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSListener


@dataclass
class Connection:
    """One accepted connection."""

    stream: ByteStream
    on_request: Callable[[], None]
    received: bytearray = field(default_factory=bytearray)
    requests: list[bytes] = field(default_factory=list)
    refused: int = 0
    """Complete requests of which the server made nothing."""
    told: set[str] = field(default_factory=set)
    """Ids of the tasks it told."""
    _buffer: bytearray = field(default_factory=bytearray)

    async def request(self) -> bytes:
        """One whole request, head and body."""
        while b"\r\n\r\n" not in self._buffer:
            await self._more()
        head, _, _ = bytes(self._buffer).partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        while len(self._buffer) < len(head) + 4 + length:
            await self._more()
        size = len(head) + 4 + length
        request = bytes(self._buffer[:size])
        del self._buffer[:size]
        self.requests.append(request)
        self.on_request()
        return request

    async def some(self, size: int) -> None:
        """At least `size` bytes of a request."""
        while len(self.received) < size:
            await self._more(limit=size)

    async def post(self) -> None:
        """One complete POST: from here on the server may have made a task of it."""
        while not (await self.request()).startswith(b"POST "):
            await self.send(RECORD)

    def refuse(self) -> None:
        """Nothing is made of the request that was, or is being, read."""
        self.refused += 1

    async def tell(self, data: bytes, task_id: str = "task_1") -> None:
        """An answer from which the id of the task can be read."""
        self.told.add(task_id)
        await self.send(data)

    async def rest(self) -> None:
        """Reads until the client closes."""
        with contextlib.suppress(anyio.EndOfStream):
            while True:
                await self._more()

    async def _more(self, limit: int = 65536) -> None:
        data = await self.stream.receive(limit)
        self.received += data
        self._buffer += data

    async def send(self, data: bytes) -> None:
        await self.stream.send(data)

    async def reset(self) -> None:
        """Closes with RST instead of FIN."""
        raw = self.stream.extra(SocketAttribute.raw_socket)  # noqa: S610 - anyio, not Django
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await self.stream.aclose()


Script = Callable[[Connection], Awaitable[None]]


@dataclass
class Faultd:
    """The running server."""

    port: int
    scheme: str = "http"
    connections: list[Connection] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._arrival = anyio.Event()

    def note_request(self) -> None:
        """Wakes who waits for a request."""
        self._arrival.set()
        self._arrival = anyio.Event()

    async def next_request(self) -> None:
        """Waits until one more request has been read."""
        await self._arrival.wait()

    @property
    def url(self) -> str:
        host = "127.0.0.1" if self.scheme == "http" else "localhost"
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def received(self) -> bytes:
        return b"".join(bytes(connection.received) for connection in self.connections)

    @property
    def posts(self) -> int:
        """Complete POSTs that were read."""
        return sum(request.startswith(b"POST ") for request in self.requests)

    @property
    def may_have_made(self) -> int:
        """Complete POSTs that were not refused: each may be a paid task."""
        return max(0, self.posts - sum(connection.refused for connection in self.connections))

    @property
    def told(self) -> set[str]:
        """Ids of the tasks that were told."""
        return set[str]().union(*(connection.told for connection in self.connections))

    @property
    def requests(self) -> list[bytes]:
        return [request for connection in self.connections for request in connection.requests]


@asynccontextmanager
async def faultd(script: Script, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Faultd]:
    """Runs `script` for each connection; what is open at the end is closed."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - anyio, not Django
    server = Faultd(port, "https" if tls else "http")

    async def handle(stream: ByteStream) -> None:
        connection = Connection(stream, server.note_request)
        server.connections.append(connection)
        with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError, OSError):
            async with stream:
                with contextlib.suppress(anyio.ClosedResourceError):
                    await script(connection)

    async with listener, anyio.create_task_group() as group:
        if tls is not None:
            wrapped = TLSListener(listener, tls, standard_compatible=False)
            group.start_soon(wrapped.serve, handle)
        else:
            group.start_soon(listener.serve, handle)
        yield server
        group.cancel_scope.cancel()


RECORD = (
    b"HTTP/1.1 200 X\r\nContent-Length: 63\r\n\r\n"
    b'{"taskId":"task_1","model":"nanobanana2","status":"generating"}'
)


def answer(status: int, body: bytes, *headers: str, length: int | None = None) -> bytes:
    """An HTTP answer; `length` overrides the true one."""
    lines = [
        f"HTTP/1.1 {status} X",
        f"Content-Length: {len(body) if length is None else length}",
        "Content-Type: application/json",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def always(data: bytes) -> Script:
    """Answers every request of a connection with the same bytes."""

    async def script(connection: Connection) -> None:
        while True:
            await connection.request()
            await connection.send(data)

    return script


def once(data: bytes, *, then: str = "close") -> Script:
    """Reads one request, sends the bytes, and closes, resets or stalls."""

    async def script(connection: Connection) -> None:
        await connection.request()
        if data:
            await connection.send(data)
        if then == "reset":
            await connection.reset()
        elif then == "stall":
            await anyio.sleep_forever()

    return script
