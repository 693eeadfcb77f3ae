"""Polls, downloads, TLS, proxies and other people's transports, on real sockets."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import httpx2
import pytest
import trustme
from anyio.lowlevel import checkpoint

from kinovi_async._errors import (
    APIConnectionError,
    APITimeoutError,
    ConfigurationError,
    DownloadError,
    InvalidResponseError,
    KinoviError,
    NotFoundError,
    RateLimitError,
    ServerError,
)
from kinovi_async._policy import Phase
from kinovi_async._records import TaskStatus
from kinovi_async._secrets import ApiKey
from kinovi_async._transport import (
    Accepted,
    Ambiguous,
    HttpTransport,
    NotSent,
    Refused,
    Rejected,
    SubmitResult,
)
from kinovi_async._transport._exchange import Timeouts
from kinovi_async._transport._http import shared_ssl_context
from tests.canary import CANARY

from .clients import BODY, KINDS, QUICK, RECORD, no_wait, plain_context, transport_for
from .faultd import Connection, Script, always, answer, faultd, once

GOOD = answer(200, json.dumps(RECORD).encode())


def sequence(*answers: bytes) -> Script:
    """Each request gets the next answer; an empty one closes the connection."""
    left: Iterator[bytes] = iter(answers)

    async def script(connection: Connection) -> None:
        while True:
            await connection.request()
            data = next(left)
            if not data:
                return
            await connection.send(data)

    return script


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "task_id", ["task_1", "../../x", "a&b=c", "new\nline", "ä 😀", "\ud800", "x" * 5_000]
)
async def test_any_task_id_reaches_the_server_escaped(kind: str, task_id: str) -> None:
    async with faultd(always(GOOD)) as server, transport_for(kind, server.url) as transport:
        record = await transport.fetch(task_id)
        [request] = server.requests
    assert record.status is TaskStatus.WAITING
    target = request.split(b" ")[1].decode("ascii")
    given = httpx.QueryParams(target.partition("?")[2])
    if task_id != "\ud800":
        assert given["taskId"] == task_id
    assert list(given) == ["taskId"]


@pytest.mark.parametrize("kind", KINDS)
async def test_an_address_the_library_cannot_stand_is_a_configuration_error(kind: str) -> None:
    async with faultd(always(GOOD)) as server, transport_for(kind, server.url) as transport:
        with pytest.raises(ConfigurationError, match="InvalidURL"):
            await transport.fetch("x" * 70_000)
        with pytest.raises(KinoviError, match="InvalidURL"):
            async with transport.open(f"{server.url}/{'x' * 70_000}"):
                pass
        assert server.requests == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_download_cancelled_before_its_answer_leaves_the_rest_working(kind: str) -> None:
    async def stall_on_downloads(connection: Connection) -> None:
        while b"/stall" not in await connection.request():
            await connection.send(GOOD)
        await anyio.sleep_forever()

    async with (
        faultd(stall_on_downloads) as server,
        transport_for(kind, server.url) as transport,
    ):
        for _ in range(12):
            async with anyio.create_task_group() as group:

                async def download() -> None:
                    async with transport.open(f"{server.url}/stall"):
                        pass

                group.start_soon(download)
                await server.next_request()
                group.cancel_scope.cancel()
        async with transport.open(f"{server.url}/a.json") as fetched:
            assert fetched.status == 200


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"garbage\r\n\r\n",
        answer(408, b""),
        answer(429, b'{"message":"slow"}'),
        answer(500, b"{}"),
        answer(502, b"<html>"),
        answer(200, b"<html>"),
        answer(200, b"[]"),
        answer(200, b'{"code":500,"message":"x","data":null}'),
    ],
)
async def test_a_failed_get_is_repeated(kind: str, bad: bytes) -> None:
    async with (
        faultd(sequence(bad, bad, GOOD)) as server,
        transport_for(kind, server.url, max_retries=2) as transport,
    ):
        assert (await transport.fetch("task_1")).task_id == "task_1"
        assert len(server.requests) == 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 302])
async def test_a_refused_get_is_not(kind: str, status: int) -> None:
    async with (
        faultd(always(answer(status, b'{"message":"why"}'))) as server,
        transport_for(kind, server.url, max_retries=5) as transport,
    ):
        with pytest.raises(KinoviError, match="why") as caught:
            await transport.fetch("task_1")
        assert len(server.requests) == 1
    assert caught.value.task_id == "task_1"


async def test_retries_are_bounded_and_may_be_given_per_call() -> None:
    async with (
        faultd(always(answer(503, b""))) as server,
        transport_for("own", server.url, max_retries=2) as transport,
    ):
        with pytest.raises(ServerError):
            await transport.fetch("task_1")
        assert len(server.requests) == 3
        with pytest.raises(ServerError):
            await transport.fetch("task_1", retries=0)
        assert len(server.requests) == 4
        with pytest.raises(ServerError):
            await transport.with_options(max_retries=1).fetch("task_1")
        assert len(server.requests) == 6


async def test_a_view_shares_connections() -> None:
    async with faultd(always(GOOD)) as server, transport_for("own", server.url) as transport:
        view = transport.with_options(default_headers={"X-Team": "red"}, timeout=3)
        await transport.fetch("task_1")
        await view.fetch("task_1")
        assert len(server.connections) == 1
        assert [b"x-team: red" in request for request in server.requests] == [False, True]


async def test_a_connection_gone_stale_costs_no_retry() -> None:
    """The server hangs up on the second request of a kept connection."""

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(GOOD)
        await connection.request()

    async with faultd(script) as server, transport_for("own", server.url) as transport:
        await transport.fetch("task_1", retries=0)
        await transport.fetch("task_1", retries=0)
        assert len(server.connections) == 2


@pytest.mark.parametrize("kind", KINDS)
async def test_a_slow_drip_ends_with_the_timeout(kind: str) -> None:
    async def drip(connection: Connection) -> None:
        await connection.request()
        for byte in GOOD * 10:
            await connection.send(bytes([byte]))
            await anyio.sleep(0.02)

    async with faultd(drip) as server, transport_for(kind, server.url, timeout=0.2) as transport:
        with pytest.raises(APITimeoutError):
            await transport.fetch("task_1")


@pytest.mark.parametrize("kind", KINDS)
async def test_an_endless_answer_is_cut_at_the_cap(kind: str) -> None:
    sent = 0

    async def endless(connection: Connection) -> None:
        nonlocal sent
        await connection.request()
        await connection.send(b"HTTP/1.1 200 X\r\nConnection: close\r\n\r\n")
        while True:
            await connection.send(b"x" * 65536)
            sent += 65536

    async with faultd(endless) as server, transport_for(kind, server.url) as transport:
        with pytest.raises(APIConnectionError, match="larger"):
            await transport.fetch("task_1")
        assert isinstance(await transport.submit(BODY), Ambiguous)
    assert sent < 40_000_000


async def test_cancelled_polls_do_not_wait_for_the_server() -> None:
    async with (
        faultd(once(b"", then="stall")) as server,
        transport_for("own", server.url, timeout=60) as transport,
    ):
        with anyio.fail_after(10), anyio.move_on_after(0.05) as scope:
            await transport.fetch("task_1")
        assert scope.cancelled_caught


@pytest.mark.parametrize("kind", KINDS)
async def test_a_download_streams_and_its_connection_is_used_again(kind: str) -> None:
    body = bytes(range(256)) * 2_000
    async with (
        faultd(always(answer(200, body, "Content-Encoding: gzip"))) as server,
        transport_for(kind, server.url) as transport,
    ):
        for _ in range(3):
            async with transport.open(f"{server.url}/a.png") as download:
                assert download.status == 200
                assert download.url == f"{server.url}/a.png"
                assert download.headers["content-length"] == str(len(body))
                # Raw, though it claims to be gzip: unpacking is not done here.
                assert b"".join([chunk async for chunk in download]) == body
        assert len(server.connections) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_download_left_early_closes_its_connection(kind: str) -> None:
    async with (
        faultd(always(answer(200, b"x" * 10_000_000))) as server,
        transport_for(kind, server.url) as transport,
    ):
        for _ in range(12):  # more than a client's gate lets through at once
            async with transport.open(f"{server.url}/a.png") as download:
                async for _chunk in download.aiter_raw():
                    break
            with pytest.raises(LookupError):
                async with transport.open(f"{server.url}/a.png") as download:
                    raise LookupError
        with anyio.move_on_after(5) as scope:
            async with transport.open(f"{server.url}/a.png") as download:
                async for _chunk in download.aiter_raw():
                    scope.cancel()
        assert scope.cancelled_caught
        async with transport.open(f"{server.url}/a.png") as download:
            assert sum([len(chunk) async for chunk in download.aiter_raw()]) == 10_000_000


@pytest.mark.parametrize("kind", KINDS)
async def test_a_download_that_breaks_says_so(kind: str) -> None:
    async with (
        faultd(once(answer(200, b"half", length=99))) as server,
        transport_for(kind, server.url) as transport,
    ):
        with pytest.raises(APIConnectionError) as caught:
            async with transport.open(f"{server.url}/a.png?sig=SIGNATURE") as download:
                async for chunk in download.aiter_raw():
                    assert chunk == b"half"
        assert "SIGNATURE" not in str(caught.value)
        for bad in ("file:///etc/passwd", "ftp://x/y", "/relative", "http://", "http://[::1"):
            with pytest.raises(DownloadError):
                async with transport.open(bad):
                    pass


async def test_a_stalled_download_times_out_but_a_long_one_does_not() -> None:
    async def slow_then_stall(connection: Connection) -> None:
        await connection.request()
        await connection.send(answer(200, b"", length=1000))
        for _ in range(10):
            await connection.send(b"x")
            await anyio.sleep(0.05)
        await anyio.sleep_forever()

    async with (
        faultd(slow_then_stall) as server,
        transport_for("own", server.url, timeout=0.3) as transport,
    ):
        got = 0
        with pytest.raises(APITimeoutError):
            async with transport.open(f"{server.url}/a") as download:
                async for chunk in download.aiter_raw():
                    got += len(chunk)
        assert got == 10


# --- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    return context


async def test_tls_over_a_certificate_of_the_environment(
    authority: trustme.CA, tls: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    async with (
        faultd(always(answer(200, b'{"taskId":"task_1"}')), tls=tls) as server,
        transport_for("own", server.url) as transport,
    ):
        assert await transport.submit(BODY) == Accepted("task_1")


async def test_an_unknown_certificate_is_not_sent_to_and_not_tried_again(
    tls: ssl.SSLContext,
) -> None:
    async with (
        faultd(always(GOOD), tls=tls) as server,
        transport_for("own", server.url) as transport,
    ):
        result = await transport.submit(BODY)
        assert server.received == b""
        with pytest.raises(APIConnectionError, match="SSL_CERT_FILE"):
            await transport.fetch("task_1")
    assert isinstance(result, NotSent)
    assert not result.retryable
    assert "certificate" in str(result.error)
    assert "SSL_CERT_FILE" in str(result.error)


@pytest.mark.parametrize("kind", KINDS)
async def test_no_tls_server_is_not_sent_to_but_may_come_back(kind: str) -> None:
    async def plain(connection: Connection) -> None:
        await connection.some(5)
        await connection.send(b"HTTP/1.1 400 X\r\n\r\n")

    async with faultd(plain) as server:
        url = f"https://localhost:{server.port}"
        async with transport_for(kind, url) as transport:
            result = await transport.submit(BODY)
        assert b"POST" not in server.received
    assert isinstance(result, NotSent)
    assert result.retryable


def test_one_ssl_context_per_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert shared_ssl_context() is shared_ssl_context()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))

    async def submit() -> SubmitResult:
        async with transport_for("own", "https://localhost:1") as transport:
            return await transport.submit(BODY)

    result = anyio.run(submit)
    assert isinstance(result, NotSent)
    assert isinstance(result.error, ConfigurationError)
    assert "SSL_CERT_FILE" in str(result.error)


# --- proxies


async def through_proxy(
    kind: str, script: Script, monkeypatch: pytest.MonkeyPatch
) -> tuple[SubmitResult, bytes]:
    async with faultd(script) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:pa55word@127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        async with transport_for(
            kind, "https://api.invalid/v1", trust_env=True, post_timeouts=QUICK
        ) as transport:
            return await transport.submit(BODY), proxy.received


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("script", "retryable"),
    [
        (once(answer(407, b"")), False),
        (once(answer(502, b"")), True),
        (once(b""), True),
        (once(b"", then="stall"), True),
        (once(b"garbage\r\n\r\n"), True),
        (once(b"HTTP/1.1 200 OK\r\n\r\n"), True),
    ],
    ids=["407", "refused", "dropped", "hangs", "garbage", "no tls behind"],
)
async def test_a_failed_connect_through_a_proxy_is_not_sent(
    kind: str, script: Script, monkeypatch: pytest.MonkeyPatch, *, retryable: bool
) -> None:
    result, saw = await through_proxy(kind, script, monkeypatch)
    assert saw.startswith(b"CONNECT api.invalid:443")
    assert CANARY.encode() not in saw
    assert isinstance(result, NotSent)
    assert result.retryable is retryable
    assert "pa55word" not in repr(result.error)


@pytest.mark.parametrize("proxy", ["gopher://proxy:1", "http://proxy:port", "socks5://proxy:1"])
async def test_an_unusable_proxy_is_a_configuration_error(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    async with transport_for("own", "https://api.invalid/v1", trust_env=True) as transport:
        result = await transport.submit(BODY)
        with pytest.raises(ConfigurationError):
            await transport.fetch("task_1")
    assert isinstance(result, NotSent)
    assert not result.retryable


async def test_plain_http_goes_through_its_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with faultd(once(answer(200, b'{"taskId":"task_1"}'))) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        async with transport_for("own", "http://localhost:1/v1", trust_env=True) as transport:
            assert await transport.submit(BODY) == Accepted("task_1")
        assert proxy.received.startswith(b"POST http://localhost:1/v1/jobs/createTask")


# --- other people's clients


def over(client: object) -> HttpTransport:
    return HttpTransport(
        ApiKey(CANARY), "https://api.test/v1", http_client=client, max_retries=0, jitter=no_wait
    )


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_a_mock_transport_works(library: Any) -> None:
    def handler(request: Any) -> Any:
        assert request.headers["authorization"] == f"Bearer {CANARY}"
        if request.method == "POST":
            assert json.loads(request.content) == json.loads(BODY)
            return library.Response(200, json={"taskId": "task_1"})
        return library.Response(200, json=RECORD)

    async with library.AsyncClient(transport=library.MockTransport(handler)) as client:
        transport = over(client)
        assert await transport.submit(BODY) == Accepted("task_1")
        assert (await transport.fetch("task_1")).task_id == "task_1"
        await transport.aclose()
        assert not client.is_closed


RAISED: list[tuple[str, type[SubmitResult]]] = [
    ("ConnectError", NotSent),
    ("ConnectTimeout", NotSent),
    ("PoolTimeout", Ambiguous),
    ("ReadTimeout", Ambiguous),
    ("ReadError", Ambiguous),
    ("WriteTimeout", Ambiguous),
    ("ProxyError", Ambiguous),
    ("RemoteProtocolError", Ambiguous),
    ("LocalProtocolError", Ambiguous),
    ("UnsupportedProtocol", Ambiguous),
]


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize(("name", "verdict"), RAISED)
async def test_over_a_mute_transport_only_a_failed_connect_is_not_sent(
    library: Any, name: str, verdict: type[SubmitResult]
) -> None:
    def handler(_request: Any) -> Any:
        raise getattr(library, name)("why")

    async with library.AsyncClient(transport=library.MockTransport(handler)) as client:
        result = await over(client).submit(BODY)
        with pytest.raises((APIConnectionError, ConfigurationError)) as caught:
            await over(client).fetch("task_1")
    assert isinstance(result, verdict)
    if isinstance(result, Ambiguous):
        assert result.error.evidence is not None
        assert result.error.evidence.phase is Phase.UNKNOWN
    assert isinstance(caught.value, APITimeoutError) is name.endswith("Timeout")


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize(("status", "verdict"), [(429, Refused), (403, Rejected), (502, Ambiguous)])
async def test_a_hook_that_raises_for_status_changes_no_verdict(
    library: Any, status: int, verdict: type[SubmitResult]
) -> None:
    async def raise_for_status(response: Any) -> None:
        await checkpoint()
        response.raise_for_status()

    def handler(_request: Any) -> Any:
        return library.Response(status, json={"message": "Concurrency limit reached (1)"})

    async with library.AsyncClient(
        transport=library.MockTransport(handler), event_hooks={"response": [raise_for_status]}
    ) as client:
        assert isinstance(await over(client).submit(BODY), verdict)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    ("script", "verdict"),
    [
        (once(b""), Ambiguous),
        (once(b"", then="reset"), Ambiguous),
        (once(b"", then="stall"), Ambiguous),
        (once(answer(200, b'{"taskId":"task_1"}')), Accepted),
        (None, NotSent),
    ],
    ids=["closed", "reset", "stalled", "accepted", "nobody there"],
)
async def test_aiohttp_below_httpx(script: Script | None, verdict: type[SubmitResult]) -> None:
    """It emits no events, and calls a server that hung up after reading a ConnectTimeout."""
    aiohttp_transport = pytest.importorskip("httpx_aiohttp").AiohttpTransport
    async with faultd(script or once(b"")) as server:
        url = server.url if script else "http://127.0.0.1:1"
        async with httpx.AsyncClient(transport=aiohttp_transport(verify=plain_context())) as client:
            transport = HttpTransport(
                ApiKey(CANARY),
                url,
                http_client=client,
                post_timeouts=Timeouts(connect=5, write=5, read=0.3, total=5),
            )
            result = await transport.submit(BODY)
    assert isinstance(result, verdict)


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_a_pool_of_one_connection_is_never_asked_for_two(library: Any) -> None:
    """Requests wait in our line: httpcore's would end in PoolTimeout, or lose connections."""
    async with (
        faultd(always(GOOD)) as server,
        library.AsyncClient(
            verify=plain_context(), limits=library.Limits(max_connections=1), trust_env=False
        ) as client,
    ):
        transport = HttpTransport(ApiKey(CANARY), server.url, http_client=client, timeout=5)
        for count in range(20):
            async with anyio.create_task_group() as group:
                for _ in range(20):
                    group.start_soon(transport.fetch, "task_1")
                for _ in range(count):
                    await checkpoint()
                group.cancel_scope.cancel()
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(transport.fetch, "task_1")


def test_what_is_no_async_client_is_refused() -> None:
    sync = httpx.Client(verify=plain_context())
    for bad in (object(), "x", sync):
        with pytest.raises(ConfigurationError):
            over(bad)
    sync.close()


async def test_a_closed_client_is_not_sent_through() -> None:
    client = httpx.AsyncClient(verify=plain_context())
    await client.aclose()
    result = await over(client).submit(BODY)
    assert isinstance(result, NotSent)
    assert isinstance(result.error, ConfigurationError)
    assert not result.retryable


async def test_a_closed_transport_sends_nothing() -> None:
    async with faultd(always(GOOD)) as server, transport_for("own", server.url) as transport:
        await transport.fetch("task_1")
        await transport.aclose()
        with pytest.raises(ConfigurationError):
            await transport.fetch("task_1")
        assert isinstance(await transport.submit(BODY), NotSent)
        assert len(server.requests) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_errors_of_a_get_keep_their_facts(kind: str) -> None:
    slow = answer(429, b'{"message":"Rate limit"}', "Retry-After: 3")
    async with (
        faultd(
            sequence(slow, answer(404, b'{"message":"Task not found"}'), answer(200, b"{}"))
        ) as server,
        transport_for(kind, server.url) as transport,
    ):
        with pytest.raises(RateLimitError) as limited:
            await transport.fetch("task_1")
        assert limited.value.retry_after == 3.0
        with pytest.raises(NotFoundError, match="Task not found"):
            await transport.fetch("task_1")
        with pytest.raises(InvalidResponseError, match="no status"):
            await transport.fetch("task_1")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_handshake_that_stalls_is_told_without_the_event_loops_words(kind: str) -> None:
    async with (
        faultd(once(b"", then="stall")) as server,
        transport_for(
            kind,
            f"https://localhost:{server.port}",
            post_timeouts=Timeouts(connect=0.2, write=5, read=5, total=9),
        ) as transport,
    ):
        result = await transport.submit(BODY)
    assert isinstance(result, NotSent)
    assert isinstance(result.error, APITimeoutError)
    assert str(result.error) == "the submission was not sent: ConnectTimeout"
