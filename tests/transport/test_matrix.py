"""Every fault on a real socket, held against the server's own book: no unsound verdict.

A verdict is unsound when it says less than what the server may have done: `not sent` or
`rejected` though it read a complete POST that it did not refuse, `accepted` with an id that
it never told. `ambiguous` is always sound, so the table also says where it will not do.
"""

from __future__ import annotations

import datetime as dt
import gc
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
import httpx2
import pytest
import trustme
from anyio.abc import SocketAttribute

from kinovi_async._errors import APITimeoutError
from kinovi_async._policy import Phase
from kinovi_async._transport import (
    Accepted,
    Ambiguous,
    HttpTransport,
    NotSent,
    Refused,
    Rejected,
    ServerFailed,
    SubmitResult,
)
from kinovi_async._transport._exchange import POST_TIMEOUTS, Timeouts

from .clients import BODY, KINDS, plain_context, transport_for
from .faultd import Faultd, faultd
from .matrix import BIG, PLAIN, PROXY, TLS, Fault, Handshake, Proxied

MUTE = ["mute", "mute2", "aiohttp"]
PROXYABLE = ["mute", "mute2"]
# Enough for a busy machine to carry an answer that does come.
SHORT = Timeouts(connect=0.5, write=0.5, read=0.5, total=1.0)
AT_ONCE = 8

# httpx leaves the generator of a request's body unfinished when the connection breaks while
# sending, and trio says so; with our own connections it does not happen.
pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:.*ByteStream.__aiter__:pytest.PytestUnraisableExceptionWarning",
        "ignore:.*ByteStream.__aiter__:ResourceWarning",
    )
]


@dataclass
class Case:
    """One fault that was met, and the book of the server that may have made the task."""

    fault: Fault
    result: SubmitResult
    server: Faultd
    silent: bool
    """Whether the transport shows no events."""

    def problem(self) -> str | None:
        """What is wrong with the verdict, None when nothing is."""
        unsound = self._unsound()
        if unsound is not None:
            return f"{self.fault.name}: UNSOUND, {unsound}"
        expected = self.fault.verdict
        if self.silent and self.fault.mute is not None:
            expected = self.fault.mute
        if not isinstance(self.result, expected):
            return f"{self.fault.name}: {self.result!r} is not {expected}"
        return None

    def _unsound(self) -> str | None:  # noqa: PLR0911 - one for each way to be wrong
        made = self.server.may_have_made
        match self.result:
            case Accepted(task_id) if task_id not in self.server.told:
                return f"{task_id} was never told"
            case NotSent() | Rejected() | Refused() if made:
                return f"{type(self.result).__name__}, yet {made} may have been made"
            case NotSent() if self.server.posts and self.fault.name != "425":
                return "a POST was read"
            case ServerFailed() if not self.server.posts:
                return "nobody said so"
            case Ambiguous(error):
                seen = error.evidence
                if seen is None or not (seen.exception or seen.status):
                    return "no evidence"
                if self.silent is not (seen.phase is Phase.UNKNOWN):
                    return f"the phase is {seen.phase}"
            case _:
                pass
        return None


async def meet(kind: str, fault: Fault, server: Faultd, **options: Any) -> Case:
    """One submission through a client of its own."""
    base_url = f"{server.scheme}://{fault.host}:{server.port}"
    if isinstance(fault, Handshake):
        base_url = f"https://{fault.host}:{server.port}"
    timeouts = SHORT if fault.stalls else POST_TIMEOUTS
    body = BODY + b" " * BIG if fault.big else BODY
    async with transport_for(kind, base_url, post_timeouts=timeouts, **options) as transport:
        if fault.warm:
            await transport.fetch("task_1")
        result = await transport.submit(body)
    return Case(fault, result, server, silent=kind in MUTE)


async def meet_all(
    faults: Sequence[Fault], meet_one: Callable[[Fault], Any], kind: str
) -> list[Case]:
    """Several at a time: most of them wait."""
    cases: list[Case] = []
    limiter = anyio.CapacityLimiter(AT_ONCE)

    async def one(fault: Fault) -> None:
        async with limiter:
            with anyio.fail_after(30):
                cases.append(await meet_one(fault))

    async with anyio.create_task_group() as group:
        for fault in faults:
            group.start_soon(one, fault)
    if kind != "own":
        gc.collect()  # the unfinished generators, here and not in another test
    assert len(cases) == len(faults)
    return cases


def problems(cases: Sequence[Case]) -> str:
    return "\n".join(filter(None, (case.problem() for case in cases)))


def test_the_table_is_as_large_as_it_says() -> None:
    """At least 30 faults were asked for; each has a name of its own."""
    tables: list[Sequence[Fault]] = [PLAIN, TLS, PROXY]
    for table in tables:
        assert len({fault.name for fault in table}) == len(table)
    assert [len(table) for table in tables] == [91, 13, 19]


# --- plain sockets


@pytest.mark.parametrize("kind", KINDS)
async def test_no_verdict_on_a_plain_socket_is_unsound(kind: str) -> None:
    async def one(fault: Fault) -> Case:
        async with faultd(fault.script) as server:
            return await meet(kind, fault, server)

    cases = await meet_all(PLAIN, one, kind)
    assert problems(cases) == ""


@pytest.mark.parametrize("kind", MUTE)
async def test_without_events_no_verdict_is_unsound_either(
    kind: str, anyio_backend_name: str
) -> None:
    """Real sockets through aiohttp and through a user's own transports: silence proves nothing."""
    if kind == "aiohttp" and anyio_backend_name != "asyncio":
        pytest.skip("aiohttp is for asyncio")

    async def one(fault: Fault) -> Case:
        async with faultd(fault.script) as server:
            return await meet(kind, fault, server)

    cases = await meet_all(PLAIN, one, kind)
    unsound = [case.problem() for case in cases if "UNSOUND" in (case.problem() or "")]
    assert unsound == []
    if kind != "aiohttp":  # which reads some of the damaged answers in its own way
        assert problems(cases) == ""
    assert not any(isinstance(c.result, NotSent) for c in cases if c.fault.name != "425")


@pytest.mark.parametrize("kind", [*KINDS, *MUTE])
async def test_a_connection_that_never_came_about_is_not_sent(
    kind: str, anyio_backend_name: str
) -> None:
    """Nobody listens, or nobody has the name: proven with and without events."""
    if kind == "aiohttp" and anyio_backend_name != "asyncio":
        pytest.skip("aiohttp is for asyncio")
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - anyio, not Django
    await listener.aclose()
    for url in (f"http://127.0.0.1:{port}", "https://no-such-host.invalid"):
        async with transport_for(kind, url) as transport:
            result = await transport.submit(BODY)
        assert isinstance(result, NotSent), url
        assert result.retryable
        assert not result.answered


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the backlog of Linux")
@pytest.mark.parametrize("kind", [*KINDS, *PROXYABLE])
async def test_a_server_that_answers_no_syn_is_not_sent_to(kind: str) -> None:
    """A black hole: its backlog is full, so that further connections are never made."""
    hole = socket.create_server(("127.0.0.1", 0), backlog=0)
    port = hole.getsockname()[1]
    fillers = [socket.socket() for _ in range(4)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", port))
    timeouts = Timeouts(connect=0.3, write=5, read=5, total=20)
    async with transport_for(kind, f"http://127.0.0.1:{port}", post_timeouts=timeouts) as transport:
        result = await transport.submit(BODY)
    for one in (hole, *fillers):
        one.close()
    assert isinstance(result, NotSent)
    assert isinstance(result.error, APITimeoutError)
    assert result.retryable


# --- what the evidence tells


@pytest.mark.parametrize("kind", KINDS)
async def test_a_submission_has_a_fresh_connection_where_we_have_the_choice(kind: str) -> None:
    """The keep-alive race cannot happen on our own connections; elsewhere it can be seen."""
    race = next(fault for fault in PLAIN if fault.name == "keep-alive race: closes")
    async with faultd(race.script) as server:
        case = await meet(kind, race, server)
    assert isinstance(case.result, Ambiguous)
    assert case.result.error.evidence is not None
    own = kind == "own"
    assert len(server.connections) == (2 if own else 1)
    assert case.result.error.evidence.connection_reused is not own


class Repeating(httpx.AsyncBaseTransport):
    """What a user's transport must not do: it sends again by itself what failed."""

    def __init__(self) -> None:
        self._inner = httpx.AsyncHTTPTransport(verify=plain_context())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._inner.handle_async_request(request)
        except httpx.TransportError:
            return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


@pytest.mark.parametrize("name", ["400", "429", "500", "425"])
async def test_the_last_of_several_answers_proves_nothing_of_the_first(name: str) -> None:
    """The first POST was read, and lost; the second one was refused."""
    from .faultd import Connection

    last = next(fault for fault in PLAIN if fault.name == name)
    count = 0

    async def script(connection: Connection) -> None:
        nonlocal count
        count += 1
        if count == 1:
            await connection.post()
        else:
            await last.script(connection)

    async with (
        faultd(script) as server,
        httpx.AsyncClient(transport=Repeating()) as client,
    ):
        transport = transport_over(client, server.url)
        result = await transport.submit(BODY)
    assert server.posts == 2
    assert isinstance(result, Ambiguous)
    assert "sent it 2 times" in str(result.error)


def transport_over(client: object, url: str) -> HttpTransport:
    from kinovi_async._secrets import ApiKey
    from tests.canary import CANARY

    return HttpTransport(ApiKey(CANARY), url, http_client=client)


# --- TLS and proxies


@dataclass(frozen=True)
class Certificates:
    """What servers show, and the file with the authority that clients trust."""

    trusted: Path
    contexts: dict[str | None, ssl.SSLContext | None]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    authority, stranger = trustme.CA(), trustme.CA()
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    past = dt.datetime.now(tz=dt.UTC) - dt.timedelta(days=1)

    def context(certificate: trustme.LeafCert) -> ssl.SSLContext:
        made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(made)
        return made

    return Certificates(
        path,
        {
            None: None,
            "good": context(authority.issue_cert("localhost")),
            "elsewhere": context(authority.issue_cert("elsewhere.example")),
            "stranger": context(stranger.issue_cert("localhost")),
            "expired": context(authority.issue_cert("localhost", not_after=past)),
        },
    )


@pytest.fixture
def trusting(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.trusted))
    return ssl.create_default_context(cafile=str(certificates.trusted))


@asynccontextmanager
async def behind_tls(fault: Handshake, certificates: Certificates) -> AsyncIterator[Faultd]:
    async with faultd(fault.script, tls=certificates.contexts[fault.certificate]) as server:
        yield server


@pytest.mark.parametrize("kind", [*KINDS, *PROXYABLE])
async def test_no_verdict_behind_tls_is_unsound(
    kind: str, certificates: Certificates, trusting: ssl.SSLContext
) -> None:
    async def one(fault: Fault) -> Case:
        assert isinstance(fault, Handshake)
        async with behind_tls(fault, certificates) as server:
            return await meet(kind, fault, server, verify=trusting)

    cases = await meet_all(TLS, one, kind)
    assert problems(cases) == ""
    untrusted = {"wrong host", "unknown authority", "expired"}
    for case in cases:  # what another try cannot mend is not tried again
        if isinstance(case.result, NotSent):
            assert case.result.retryable is (case.fault.name not in untrusted), case.fault.name


@pytest.mark.parametrize("kind", [*KINDS, *PROXYABLE])
async def test_no_verdict_behind_a_proxy_is_unsound(
    kind: str,
    certificates: Certificates,
    trusting: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """CONNECT travels with the events of our own request and must not be taken for it."""

    async def one(fault: Fault) -> Case:
        assert isinstance(fault, Proxied)
        async with behind_tls(fault, certificates) as server, faultd(fault.proxy) as proxy:
            # Read when the client is made, without a pause in between.
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
            case = await meet(kind, fault, server, verify=trusting, trust_env=True)
            assert proxy.connections, fault.name
            assert b"POST" not in proxy.received
            return case

    cases = await meet_all(PROXY, one, kind)
    assert problems(cases) == ""
    for case in cases:
        if isinstance(case.result, NotSent):
            hopeless = {"407", "wrong host", "unknown authority"}
            assert case.result.retryable is (case.fault.name not in hopeless), case.fault.name


@pytest.mark.parametrize("kind", KINDS)
async def test_a_proxy_that_is_not_there_is_not_sent_to(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - anyio, not Django
    await listener.aclose()
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
    async with transport_for(kind, "https://api.invalid/v1", trust_env=True) as transport:
        result = await transport.submit(BODY)
    assert isinstance(result, NotSent)
    assert result.retryable


# --- inside the process: ASGI and mocks


class Book:
    """What an application inside the process has read and told."""

    def __init__(self) -> None:
        self.posts = 0


async def read_all(receive: Callable[[], Any]) -> None:
    while (await receive()).get("more_body"):
        pass


ASGI: list[tuple[str, int | None, bytes, bool, type[SubmitResult]]] = [
    ("raises before reading", None, b"", False, Ambiguous),
    ("raises after reading", None, b"", True, Ambiguous),
    ("200", 200, b'{"taskId":"task_1"}', True, Accepted),
    ("200 page", 200, b"<html>", True, Ambiguous),
    ("400", 400, b'{"message":"no"}', True, Rejected),
    ("429", 429, b'{"message":"Concurrency limit reached (1)"}', True, Refused),
    ("500", 500, b'{"message":"internal"}', True, ServerFailed),
    ("502", 502, b"<html>", True, Ambiguous),
]


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize(
    ("status", "body", "reads", "verdict"),
    [row[1:] for row in ASGI],
    ids=[row[0] for row in ASGI],
)
async def test_over_an_application_in_the_process(
    library: Any, status: int | None, body: bytes, *, reads: bool, verdict: type[SubmitResult]
) -> None:
    book = Book()

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        if reads:
            await read_all(receive)
            book.posts += 1
        if status is None:
            raise ConnectionRefusedError("not what it seems")
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async with library.AsyncClient(transport=library.ASGITransport(app)) as client:
        result = await transport_over(client, "http://localhost").submit(BODY)
    assert isinstance(result, verdict)
    assert book.posts == int(reads)
    if isinstance(result, Ambiguous):
        assert result.error.evidence is not None
        assert result.error.evidence.phase is Phase.UNKNOWN
        assert result.error.evidence.connection_reused is None
