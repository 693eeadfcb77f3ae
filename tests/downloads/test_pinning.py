"""Where a download connects: to the addresses that were checked, under the host's name.

Row 95 of the catalogue, over real sockets: names that point into this machine, names that
change what they point to, redirects, proxies, and clients that belong to the user.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.lowlevel
import pytest
import trustme

from kinovi_async._downloads import HostRules, open_checked
from kinovi_async._errors import APIConnectionError, DownloadError
from kinovi_async._transport import HttpTransport
from tests.downloads.fakes import PNG, PUBLIC, drain
from tests.transport.clients import KINDS, transport_for
from tests.transport.faultd import Connection, Faultd, always, answer, faultd

API = "https://api.invalid/v1"
GOOD = answer(200, PNG)


class Answers:
    """A resolver that answers each question differently; the last answer stays."""

    def __init__(self, *answers: tuple[str, ...]) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> tuple[str, ...]:
        await anyio.lowlevel.checkpoint()
        self.asked.append((host, port))
        answer = self._answers[0]
        if len(self._answers) > 1:
            del self._answers[0]
        if not answer:
            raise OSError("no such host")
        return answer


def local(*answers: tuple[str, ...]) -> HostRules:
    return HostRules(allow_loopback=True, resolve=Answers(*answers))


@asynccontextmanager
async def serving(
    kind: str = "own", *, tls: ssl.SSLContext | None = None, trust_env: bool = False
) -> AsyncIterator[tuple[Faultd, HttpTransport]]:
    async with (
        faultd(always(GOOD), tls=tls) as server,
        transport_for(kind, API, trust_env=trust_env) as transport,
    ):
        yield server, transport


async def test_the_connection_goes_to_the_checked_address_under_the_hosts_name() -> None:
    """`media.example` is no name that any resolver knows: only the checked address leads there."""
    hosts = local(("127.0.0.1",))
    async with serving() as (server, transport):
        url = f"http://media.example:{server.port}/a.png?sig=1"
        async with transport.open(url, hosts=hosts) as found:
            assert found.status == 200
            assert found.url == url
            assert await drain(found.aiter_raw()) == PNG
        request = server.requests[0].lower()
        assert request.startswith(b"get /a.png?sig=1 http/1.1\r\n")
        assert f"\r\nhost: media.example:{server.port}\r\n".encode() in request
        assert request.count(b"\r\nhost:") == 1


async def test_tls_speaks_of_the_name_and_not_of_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("media.example").configure_cert(context)
    names: list[str | None] = []

    def note(_socket: object, name: str | None, _context: object) -> None:
        names.append(name)

    context.sni_callback = note
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    async with serving(tls=context) as (server, transport):
        url = f"https://media.example:{server.port}/a.png"
        async with transport.open(url, hosts=local(("127.0.0.1",))) as found:
            assert await drain(found.aiter_raw()) == PNG
        assert names == ["media.example"]
        with pytest.raises(APIConnectionError, match="certificate"):
            async with transport.open(
                f"https://other.example:{server.port}/a.png", hosts=local(("127.0.0.1",))
            ):
                pass
        assert names == ["media.example", "other.example"]
        assert len(server.requests) == 1


async def test_a_name_that_changes_its_address_after_the_check_gains_nothing() -> None:
    """Rebinding: asked once, and that answer is what is connected to."""
    resolve = Answers(("127.0.0.1",), ("169.254.169.254",))
    async with serving() as (server, transport):
        url = f"http://media.example:{server.port}/a.png"
        async with transport.open(url, hosts=HostRules(True, resolve)) as found:
            assert await drain(found.aiter_raw()) == PNG
        assert resolve.asked == [("media.example", server.port)]
        with pytest.raises(DownloadError, match="private network"):
            async with transport.open(url, hosts=HostRules(True, resolve)):
                pass
        assert len(server.requests) == 1


async def test_one_private_address_among_public_ones_refuses_the_host() -> None:
    async with transport_for("own", API) as transport:
        hosts = HostRules(allow_loopback=False, resolve=Answers((PUBLIC, "127.0.0.1")))
        with pytest.raises(DownloadError, match="private network"):
            async with transport.open("https://media.example/a.png", hosts=hosts):
                pass


async def test_the_next_address_is_tried_when_one_is_closed() -> None:
    async with serving() as (server, transport):
        url = f"http://media.example:{server.port}/a.png"
        for closed in ("127.0.0.9", "::1"):
            async with transport.open(url, hosts=local((closed, "127.0.0.1"))) as found:
                assert await drain(found.aiter_raw()) == PNG
        with pytest.raises(APIConnectionError):
            async with transport.open(url, hosts=local(("127.0.0.8", "127.0.0.9"))):
                pass


async def test_families_of_addresses_take_turns() -> None:
    """Five dead addresses of the one kind do not hide the only one of the other."""
    async with serving() as (server, transport):
        dead = tuple(f"::ffff:127.0.0.{number}" for number in range(2, 7))
        url = f"http://media.example:{server.port}/a.png"
        async with transport.open(url, hosts=local((*dead, "127.0.0.1"))) as found:
            assert found.status == 200


async def test_a_kept_connection_serves_only_the_address_it_was_made_to() -> None:
    async with serving() as (server, transport):
        url = f"http://media.example:{server.port}/a.png"
        for _ in range(2):
            async with transport.open(url, hosts=local(("127.0.0.1",))) as found:
                await drain(found.aiter_raw())
        assert len(server.connections) == 1
        with pytest.raises(APIConnectionError):
            async with transport.open(url, hosts=local(("127.0.0.9",))):
                pass


async def test_every_hop_is_resolved_checked_and_pinned() -> None:
    async def redirect(connection: Connection) -> None:
        while True:
            first = b"/a.png" in await connection.request()
            await connection.send(answer(302, b"", "Location: /b.png") if first else GOOD)

    async with (
        faultd(redirect) as server,
        transport_for("own", API) as transport,
    ):
        resolve = Answers(("127.0.0.1",), ("127.0.0.1",), ("10.0.0.1",))
        url = f"http://localhost:{server.port}/a.png"
        async with open_checked(transport, url, allow_private=True, resolve=resolve) as stream:
            assert await drain(stream) == PNG
        assert resolve.asked == [("localhost", server.port)] * 2
        with pytest.raises(DownloadError, match="private network"):
            async with open_checked(transport, url, allow_private=True, resolve=resolve):
                pass
        assert len(server.requests) == 2


@pytest.mark.parametrize("kind", KINDS)
async def test_loopback_is_not_asked_when_the_api_is_elsewhere(kind: str) -> None:
    async with serving(kind) as (server, transport):
        for host in ("127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "[::1]"):
            url = f"https://{host}:{server.port}/a.png"
            with pytest.raises(DownloadError) as caught:
                async with open_checked(transport, url, allow_private=False):
                    pass
            assert not caught.value.retryable
        assert server.connections == []


@pytest.mark.parametrize("kind", KINDS)
async def test_behind_a_proxy_the_name_is_judged_and_nothing_is_resolved(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine may know no name at all; the proxy looks after that."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with faultd(always(answer(502, b""))) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        async with transport_for(kind, API, trust_env=True) as transport:
            resolve = Answers(())
            hosts = HostRules(allow_loopback=False, resolve=resolve)
            with pytest.raises(APIConnectionError):
                async with transport.open("https://media.example/a.png", hosts=hosts):
                    pass
            assert proxy.received.startswith(b"CONNECT media.example:443 ")
            for host in ("10.0.0.1", "93.184.215.14", "0x7f.1", "[::1]", "localhost", "printer"):
                with pytest.raises(DownloadError):
                    async with transport.open(f"https://{host}/a.png", hosts=hosts):
                        pass
            assert resolve.asked == []
        assert proxy.received.count(b"CONNECT") == 1


@pytest.mark.parametrize("kind", ["httpx", "httpx2", "mute", "mute2"])
async def test_a_client_of_the_users_is_judged_by_name_and_as_far_as_names_are_known(
    kind: str,
) -> None:
    async with serving(kind) as (server, transport):
        url = f"http://localhost:{server.port}/a.png"
        async with transport.open(url, hosts=local(("127.0.0.1",))) as found:
            assert await drain(found.aiter_raw()) == PNG
        async with transport.open(url, hosts=local(())) as found:  # its own resolver knows it
            assert found.status == 200
        with pytest.raises(DownloadError, match="private network"):
            async with transport.open(url, hosts=local(("10.0.0.1",))):
                pass
        assert len(server.requests) == 2
