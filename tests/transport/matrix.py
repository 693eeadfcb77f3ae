"""The faults a submission may meet on a real socket, and what is to be made of each.

A script plays one server. It keeps a book: which POSTs it read to their end, which of
them it refused, and which task ids it told. Against that book every verdict is held.
"""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
from anyio.lowlevel import checkpoint

from kinovi_async._transport import (
    Accepted,
    Ambiguous,
    NotSent,
    Refused,
    Rejected,
    ServerFailed,
    SubmitResult,
)

from .faultd import Connection, Script, answer

if TYPE_CHECKING:
    from anyio.abc import ByteStream

__all__ = ["PLAIN", "PROXY", "TLS", "Fault", "Handshake"]

OK = b'{"taskId":"task_1"}'
ENVELOPE = b'{"code":200,"message":"success","data":{"taskId":"task_1"}}'
HTML = b"<html>captive portal</html>"
BIG = 8_000_000
"""Bytes that no pair of socket buffers holds."""


@dataclass(frozen=True)
class Fault:
    name: str
    script: Script
    verdict: type[SubmitResult] | tuple[type[SubmitResult], ...]
    """Several where the kernel decides which bytes the client still gets to see."""
    mute: type[SubmitResult] | None = None
    """The verdict over a transport that shows no events, where it is another one."""
    stalls: bool = False
    """Whether only our own timeouts end it."""
    big: bool = False
    """Whether the body is larger than what the sockets buffer."""
    warm: bool = False
    """Whether the connection has carried a request before, where the client keeps it."""
    host: str = "localhost"


def lost(*, reset: bool = False, stall: bool = False, after: bytes = b"") -> Script:
    """Reads the POST; sends bytes that tell nothing; closes, resets or stalls."""

    async def script(connection: Connection) -> None:
        await connection.post()
        if after:
            await connection.send(after)
        if reset:
            await connection.reset()
        elif stall:
            await anyio.sleep_forever()

    return script


def tells(data: bytes, *, reset: bool = False, stall: bool = False) -> Script:
    """Reads the POST and answers with the id of its task in it."""

    async def script(connection: Connection) -> None:
        await connection.post()
        await connection.tell(data)
        if reset:
            await connection.reset()
        elif stall:
            await anyio.sleep_forever()

    return script


def refuses(data: bytes) -> Script:
    """Reads the POST and makes nothing of it."""

    async def script(connection: Connection) -> None:
        await connection.post()
        connection.refuse()
        await connection.send(data)

    return script


def half(then: Callable[[Connection], Awaitable[None]]) -> Script:
    """Reads a part of the POST only."""

    async def script(connection: Connection) -> None:
        await connection.some(100)
        await then(connection)

    return script


def each_byte(data: bytes, seconds: float) -> Script:
    async def script(connection: Connection) -> None:
        await connection.post()
        connection.told.add("task_1")
        for byte in data:
            await connection.send(bytes([byte]))
            await anyio.sleep(seconds)

    return script


def for_ever(data: bytes, *, first: bytes = b"", told: bool = False) -> Script:
    """Reads the POST and sends the same bytes again and again."""

    async def script(connection: Connection) -> None:
        await connection.post()
        if told:
            connection.told.add("task_1")
        await connection.send(first)
        while True:
            await connection.send(data)
            await anyio.sleep(0.001)

    return script


async def close(_connection: Connection) -> None:
    await checkpoint()


async def reset(connection: Connection) -> None:
    await connection.reset()


async def stall(_connection: Connection) -> None:
    await anyio.sleep_forever()


async def too_large(connection: Connection) -> None:
    connection.refuse()
    await connection.send(answer(413, b'{"message":"too large"}'))


async def too_large_and_reads_on(connection: Connection) -> None:
    await too_large(connection)
    await connection.rest()


async def too_large_and_stalls(connection: Connection) -> None:
    await too_large(connection)
    await anyio.sleep_forever()


def chunked(*pieces: bytes, end: bytes = b"") -> bytes:
    head = b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + end


def zipped(data: bytes, *, cut: int = 0) -> bytes:
    packed = gzip.compress(data)
    return answer(200, packed[: len(packed) - cut], "Content-Encoding: gzip", length=len(packed))


_ENDS = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)
LIMIT = b'{"message":"Concurrency limit reached (5)"}'
CLOUDFLARE = ("Server: cloudflare", "CF-RAY: 8f2b-FRA")

BEFORE_THE_REQUEST = [
    Fault("closes at once", close, (Ambiguous, NotSent)),
    Fault("resets at once", reset, (Ambiguous, NotSent)),
    Fault("never reads", stall, Ambiguous, stalls=True),
]
WHILE_SENDING = [
    Fault("reads a part, closes", half(close), Ambiguous),
    Fault("reads a part, resets", half(reset), Ambiguous),
    Fault("reads a part, stalls", half(stall), Ambiguous, stalls=True),
    Fault("reads a part of much, closes", half(close), Ambiguous, big=True),
    Fault("reads a part of much, resets", half(reset), Ambiguous, big=True),
    Fault("reads a part of much, stalls", half(stall), Ambiguous, big=True, stalls=True),
    Fault("413 early, closes", half(too_large), (Rejected, Ambiguous)),
    Fault("413 early, much to come, closes", half(too_large), (Rejected, Ambiguous), big=True),
    Fault("413 early, reads on", half(too_large_and_reads_on), Rejected, big=True),
    Fault("413 early, stalls", half(too_large_and_stalls), Ambiguous, big=True, stalls=True),
]
NO_ANSWER = [
    Fault("reads, closes", lost(), Ambiguous),
    Fault("reads, resets", lost(reset=True), Ambiguous),
    Fault("reads, stalls", lost(stall=True), Ambiguous, stalls=True),
    Fault("keep-alive race: closes", lost(), Ambiguous, warm=True),
    Fault("keep-alive race: resets", lost(reset=True), Ambiguous, warm=True),
]
HEAD = [
    Fault("status line cut", lost(after=b"HTTP/1.1 20"), Ambiguous),
    Fault("status line, reset", lost(after=b"HTTP/1.1 200 OK\r\n", reset=True), Ambiguous),
    Fault("headers cut", lost(after=answer(200, OK)[:40]), Ambiguous),
    Fault("headers stall", lost(after=answer(200, OK)[:40], stall=True), Ambiguous, stalls=True),
    Fault("headers, then closes", lost(after=answer(200, b"", length=50)), Ambiguous),
    Fault(
        "headers, then stalls",
        lost(after=answer(200, b"", length=50), stall=True),
        Ambiguous,
        stalls=True,
    ),
    Fault("garbage", lost(after=b"\x00\xff\x13garbage\r\n\r\n"), Ambiguous),
    Fault("TLS garbage", lost(after=b"\x15\x03\x03\x00\x02\x02\x28"), Ambiguous),
    Fault("another protocol", lost(after=b"SSH-2.0-OpenSSH_9.6\r\n"), Ambiguous),
    Fault("status 99", lost(after=b"HTTP/1.1 99 X\r\n\r\n"), Ambiguous),
    Fault("300 kB of headers", lost(after=answer(200, OK, "X: " + "a" * 300_000)), Ambiguous),
    Fault("two lengths", lost(after=answer(200, OK, "Content-Length: 3")), Ambiguous),
    Fault("100 for ever", for_ever(b"HTTP/1.1 100 Continue\r\n\r\n"), Ambiguous, stalls=True),
    Fault("103 for ever", for_ever(b"HTTP/1.1 103 Hints\r\n\r\n"), Ambiguous, stalls=True),
    Fault("100, then 200", tells(b"HTTP/1.1 100 Continue\r\n\r\n" + answer(200, OK)), Accepted),
]
BODY = [
    Fault("empty 200", lost(after=answer(200, b"")), Ambiguous),
    Fault("204", lost(after=b"HTTP/1.1 204 X\r\n\r\n"), Ambiguous),
    Fault("html 200", lost(after=answer(200, HTML)), Ambiguous),
    Fault("200", tells(answer(200, OK)), Accepted),
    Fault("200 on a used connection", tells(answer(200, OK)), Accepted, warm=True),
    Fault("envelope", tells(answer(200, ENVELOPE)), Accepted),
    Fault("200, kept open", tells(answer(200, OK), stall=True), Accepted),
    Fault("no length", tells(b"HTTP/1.1 200 X\r\nConnection: close\r\n\r\n" + OK), Accepted),
    Fault("HTTP/1.0", tells(b"HTTP/1.0 200 X\r\n\r\n" + OK), Accepted),
    Fault("slow drip", each_byte(answer(200, OK), 0.003), Accepted),
    Fault("drips for ever", each_byte(answer(200, OK), 0.05), Ambiguous, stalls=True),
    Fault("length too long", tells(answer(200, OK, length=90)), Accepted),
    Fault("length too short", lost(after=answer(200, OK, length=13)), Ambiguous),
    Fault("cut after the id", tells(answer(200, ENVELOPE[:-2], length=90)), Accepted),
    Fault(
        "stalls after the id",
        tells(answer(200, ENVELOPE[:-2], length=90), stall=True),
        Accepted,
        stalls=True,
    ),
    Fault(
        "resets after the id", tells(answer(200, OK, length=90), reset=True), (Accepted, Ambiguous)
    ),
    Fault("id cut", lost(after=answer(200, b'{"taskId":"task_', length=90)), Ambiguous),
    Fault("endless", for_ever(b"x" * 65_536, first=answer(200, b"", length=10**12)), Ambiguous),
    Fault(
        "endless after the id",
        for_ever(b" " * 65_536, first=answer(200, OK, length=10**12), told=True),
        Accepted,
    ),
    Fault("50 MB in gzip", lost(after=zipped(b"0" * 50_000_000)), Ambiguous),
    Fault("100,000 brackets", lost(after=answer(200, b"[" * 100_000)), Ambiguous),
    Fault("chunked", tells(chunked(OK[:9], OK[9:], end=b"0\r\n\r\n")), Accepted),
    Fault("chunks cut after the id", tells(chunked(OK)), Accepted),
    Fault("chunks cut before the id", lost(after=chunked(OK[:9])), Ambiguous),
    Fault("bad chunk after the id", tells(chunked(OK, end=b"zz\r\n")), (Accepted, Ambiguous)),
    Fault("gzip unasked", tells(zipped(OK)), Accepted),
    Fault("gzip cut after the id", tells(zipped(ENVELOPE + b" " * 9_000, cut=12)), Accepted),
    Fault("gzip cut at once", lost(after=zipped(OK, cut=30)), Ambiguous),
    Fault(
        "gzip rubbish", lost(after=answer(200, b"\x1f\x8bxx", "Content-Encoding: gzip")), Ambiguous
    ),
    Fault("plain called gzip", tells(answer(200, OK, "Content-Encoding: gzip")), Accepted),
    Fault("plain called brotli", tells(answer(200, OK, "Content-Encoding: br")), Accepted),
    Fault(
        "gzip in gzip",
        lost(after=answer(200, gzip.compress(gzip.compress(OK)), "Content-Encoding: gzip, gzip")),
        Ambiguous,
    ),
    Fault("called html", tells(answer(200, OK, "Content-Type: text/html")), Accepted),
]
STATUSES = [
    Fault("302", lost(after=answer(302, b"", "Location: http://localhost:1/")), Ambiguous),
    Fault("307 to itself", lost(after=answer(307, b"", "Location: /jobs/createTask")), Ambiguous),
    Fault("308", lost(after=answer(308, b"", "Location: /other")), Ambiguous),
    Fault("304", lost(after=b"HTTP/1.1 304 X\r\n\r\n"), Ambiguous),
    Fault("400", refuses(answer(400, b'{"message":"Invalid inputs"}')), Rejected),
    Fault("400 cut", refuses(answer(400, b'{"mess', length=90)), Rejected),
    Fault("401", refuses(answer(401, b'{"message":"Invalid API Key"}')), Rejected),
    Fault("402", refuses(answer(402, b'{"message":"no credits"}')), Rejected),
    Fault("403 page", refuses(answer(403, b"<html>WAF</html>")), Rejected),
    Fault("404", refuses(answer(404, b'{"message":"no such path"}')), Rejected),
    Fault("408", lost(after=answer(408, b"")), Ambiguous),
    Fault("425", refuses(answer(425, b"")), NotSent),
    Fault("429", refuses(answer(429, LIMIT)), Refused),
    Fault("429 page", refuses(answer(429, b"<html>slow down")), Refused),
    Fault("429 in the envelope", refuses(answer(200, b'{"code":429,"message":"limit"}')), Refused),
    Fault("422 in the envelope", refuses(answer(200, b'{"code":422,"message":"field"}')), Rejected),
    Fault("500", lost(after=answer(500, b'{"message":"internal"}')), ServerFailed),
    Fault("500 with the id", tells(answer(500, ENVELOPE)), Accepted),
    Fault("500 page", lost(after=answer(500, b"<html>oops")), Ambiguous),
    Fault("500 cut", lost(after=answer(500, b'{"message":"int', length=90)), Ambiguous),
    Fault("502", lost(after=answer(502, b"<html>bad gateway")), Ambiguous),
    Fault("503", lost(after=answer(503, b'{"message":"busy"}', "Retry-After: 1")), Ambiguous),
    Fault("504", lost(after=answer(504, b"")), Ambiguous),
    Fault("521", lost(after=answer(521, HTML, *CLOUDFLARE)), Ambiguous),
    Fault("524", lost(after=answer(524, HTML, *CLOUDFLARE)), Ambiguous),
]
PLAIN = [*BEFORE_THE_REQUEST, *WHILE_SENDING, *NO_ANSWER, *HEAD, *BODY, *STATUSES]


@dataclass(frozen=True)
class Handshake(Fault):
    """A fault behind TLS: the certificate that the server shows, if any."""

    certificate: str | None = "good"


async def says_no_tls(connection: Connection) -> None:
    await connection.some(5)
    await connection.send(b"HTTP/1.1 400 X\r\n\r\n")


async def alert(connection: Connection) -> None:
    await connection.some(5)
    await connection.send(b"\x15\x03\x03\x00\x02\x02\x28")  # handshake_failure


TLS = [
    Handshake("good", tells(answer(200, OK)), Accepted),
    Handshake("wrong host", tells(answer(200, OK)), NotSent, certificate="elsewhere"),
    Handshake("unknown authority", tells(answer(200, OK)), NotSent, certificate="stranger"),
    Handshake("expired", tells(answer(200, OK)), NotSent, certificate="expired"),
    Handshake("handshake stalls", half(stall), NotSent, certificate=None, stalls=True),
    Handshake("handshake reset", half(reset), NotSent, certificate=None),
    Handshake("handshake closed", half(close), NotSent, certificate=None),
    Handshake("handshake alert", alert, NotSent, certificate=None),
    Handshake("no TLS server", says_no_tls, NotSent, certificate=None),
    Handshake("reads, closes", lost(), Ambiguous),
    Handshake("reads, resets", lost(reset=True), Ambiguous),
    Handshake("reads, stalls", lost(stall=True), Ambiguous, stalls=True),
    Handshake("cut after the id", tells(answer(200, OK, length=90)), Accepted),
]


def connects(then: Script) -> Script:
    """A proxy that reads the CONNECT, and goes on in a way of its own."""

    async def script(connection: Connection) -> None:
        await connection.request()
        await then(connection)

    return script


def replies(data: bytes, then: Script = close) -> Script:
    async def script(connection: Connection) -> None:
        await connection.send(data)
        await then(connection)

    return script


def tunnel(then: Script | None = None) -> Script:
    """Opens the tunnel to the server behind it, or does something else inside it."""

    async def script(connection: Connection) -> None:
        line = (await connection.request()).partition(b"\r\n")[0]
        port = int(line.split()[1].rpartition(b":")[2])
        await connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
        if then is not None:
            await then(connection)
            return
        async with (
            await anyio.connect_tcp("127.0.0.1", port) as behind,
            anyio.create_task_group() as group,
        ):

            async def pump(source: ByteStream, sink: ByteStream) -> None:
                with contextlib.suppress(*_ENDS):
                    while True:
                        await sink.send(await source.receive(65536))
                group.cancel_scope.cancel()

            group.start_soon(pump, behind, connection.stream)
            await pump(connection.stream, behind)

    return script


@dataclass(frozen=True)
class Proxied(Handshake):
    """A fault of a proxy; `script` is the server's behind it."""

    proxy: Script = close


NOBODY = tells(answer(200, OK))
PROXY = [
    Proxied("407", NOBODY, NotSent, Ambiguous, proxy=connects(replies(answer(407, b"")))),
    Proxied("502", NOBODY, NotSent, Ambiguous, proxy=connects(replies(answer(502, b"")))),
    Proxied("403", NOBODY, NotSent, Ambiguous, proxy=connects(replies(answer(403, b"")))),
    Proxied("dropped at once", NOBODY, NotSent, Ambiguous, proxy=close),
    Proxied("reset at once", NOBODY, NotSent, Ambiguous, proxy=reset),
    Proxied("CONNECT dropped", NOBODY, NotSent, Ambiguous, proxy=connects(close)),
    Proxied("CONNECT reset", NOBODY, NotSent, Ambiguous, proxy=connects(reset)),
    Proxied("CONNECT hangs", NOBODY, NotSent, Ambiguous, stalls=True, proxy=connects(stall)),
    Proxied("garbage", NOBODY, NotSent, Ambiguous, proxy=connects(replies(b"\x00\x01\r\n\r\n"))),
    Proxied("tunnel closed", NOBODY, NotSent, proxy=tunnel(close)),
    Proxied("tunnel stalls", NOBODY, NotSent, stalls=True, proxy=tunnel(stall)),
    Proxied("tunnel to no TLS", NOBODY, NotSent, proxy=tunnel(says_no_tls)),
    Proxied("wrong host", NOBODY, NotSent, proxy=tunnel(), certificate="elsewhere"),
    Proxied("unknown authority", NOBODY, NotSent, proxy=tunnel(), certificate="stranger"),
    Proxied("good", NOBODY, Accepted, proxy=tunnel()),
    Proxied("reads, closes", lost(), Ambiguous, proxy=tunnel()),
    Proxied("reads, stalls", lost(stall=True), Ambiguous, stalls=True, proxy=tunnel()),
    Proxied("400", refuses(answer(400, b'{"message":"no"}')), Rejected, proxy=tunnel()),
    Proxied("cut after the id", tells(answer(200, OK, length=90)), Accepted, proxy=tunnel()),
]
