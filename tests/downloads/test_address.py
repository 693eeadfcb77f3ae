from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinovi_async._downloads._address import (
    MAX_URL_LENGTH,
    HostRules,
    check_host,
    check_name,
    check_url,
    host_and_port,
    is_loopback_address,
    is_private_address,
    redirect_target,
    shown_host,
    system_resolver,
)
from kinovi_async._errors import DownloadError
from tests.downloads.fakes import PUBLIC, resolver

PRIVATE = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",  # noqa: S104 - an address to refuse
    "10.0.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:a9fe:a9fe",
    "64:ff9b::7f00:1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::8.8.8.8",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "not an address",
    "",
    "127.1",
]
REACHABLE = [
    PUBLIC,
    "8.8.8.8",
    "1.1.1.1",
    "172.32.0.1",
    "100.128.0.1",
    "2606:4700::1111",
    "2a00:1450::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
]
REFUSED_URLS = [
    "file:///etc/passwd",
    "ftp://h/x",
    "data:image/png;base64,AAAA",
    "javascript:alert(1)",
    "gopher://h/x",
    "//h/x",
    "/x.png",
    "x.png",
    "",
    "https:",
    "https://",
    "https:///x",
    "https:h/x",
    "https://?x",
    "https://:443/x",
    "https://user@h/x",
    "https://user:pw@h/x",
    "https://h@evil/x",
    "https://h\\@evil/x",
    "https:\\\\h\\x",
    "https://h/x\r\nHost: evil",
    "https://h/x\x00",
    "https://h/a b",
    " https://h/x",
    "https://h/x\u202e",
    "https://h\t/x",
    "https://h/\ud800",
    "https://h:0/x",
    "https://h:65536/x",
    "https://h:99999999/x",
    "https://h:8a/x",
    "https://h:/x",
    "https://%31%32%37.0.0.1/x",
    "https://\uff11\uff12\uff17.0.0.1/x",
    "https://ⓛocalhost/x",
    "https://[fe80::1%25eth0]/x",
    "https://[::1/x",
    "https://[v1.x]/",
    "https://h,evil/x",
    "http://h/x",
    "http://127.0.0.1/x",
    "https://" + "h" * MAX_URL_LENGTH,
]


@pytest.mark.parametrize("ip", PRIVATE)
def test_private_addresses_in_every_notation_are_private(ip: str) -> None:
    assert is_private_address(ip)


@pytest.mark.parametrize("ip", REACHABLE)
def test_public_addresses_are_not(ip: str) -> None:
    assert not is_private_address(ip)
    assert not is_loopback_address(ip)


@pytest.mark.parametrize("ip", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_loopback_is_told_from_other_private_networks(ip: str) -> None:
    assert is_loopback_address(ip)
    assert not is_loopback_address("10.0.0.1")
    assert not is_loopback_address("64:ff9b::7f00:1")


EMBEDDING = ("ff9b", ":ffff:", "2002:")


@settings(max_examples=200, deadline=None)
@given(st.ip_addresses())
def test_what_the_standard_library_calls_private_is_never_called_public(ip: object) -> None:
    text = str(ip)
    # These stand for an IPv4 address, whichever the Python at hand takes them for.
    if not is_private_address(text) and not any(part in text for part in EMBEDDING):
        assert not getattr(ip, "is_private", True)
        assert not getattr(ip, "is_multicast", True)


@pytest.mark.parametrize("url", REFUSED_URLS)
def test_unsafe_addresses_are_refused_with_a_reason(url: str) -> None:
    problem = check_url(url)
    assert problem is not None
    assert problem.isprintable()


@pytest.mark.parametrize(
    "url",
    [
        "https://static.kinovi.ai/generated/video.mp4",
        "HTTPS://H.example:8443/a%20b.png?X-Amz-Signature=a%2Fb&x=1#f",
        "https://cdn_1.example./猫.png",
        "https://8.8.8.8/x",
        "https://[2606:4700::1111]:444/x",
        "https://h",
        "https://h?x",
        "https://h#@evil/x@",
    ],
)
def test_ordinary_addresses_pass(url: str) -> None:
    assert check_url(url) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]", "127.0.0.1:8080"])
def test_plain_http_is_for_loopback_and_only_when_allowed(host: str) -> None:
    assert check_url(f"http://{host}/x", allow_loopback=True) is None
    assert check_url(f"http://{host}/x") is not None


@pytest.mark.parametrize("host", ["h", "10.0.0.1", "localhost.evil.example", "169.254.169.254"])
def test_plain_http_elsewhere_is_refused_even_then(host: str) -> None:
    assert check_url(f"http://{host}/x", allow_loopback=True) is not None


authority_text = st.text(
    alphabet=st.sampled_from(list("h127.0:@[]%#?/\\ \t\n\u202e\uff11xé-_;,$&=+!'()*")), max_size=25
)


@settings(max_examples=400, deadline=None)
@given(
    scheme=st.sampled_from(["https", "http", "HTTPS", "file", "https\n", ""]),
    slashes=st.sampled_from(["://", ":/", ":///", ":\\\\", "//", ":"]),
    rest=authority_text,
)
def test_an_address_that_passes_has_the_host_that_other_parsers_see(
    scheme: str, slashes: str, rest: str
) -> None:
    url = f"{scheme}{slashes}{rest}"
    if check_url(url) is not None:
        return
    host, port = host_and_port(url)
    parsed = urlsplit(url)
    assert parsed.scheme == "https"
    assert parsed.hostname == host.lower()
    assert (parsed.port or 443) == port
    assert parsed.username is None
    assert shown_host(url).strip("[]") == host.lower()


def test_a_message_shows_a_host_only_when_it_is_one() -> None:
    assert shown_host("https://CDN.example/x?secret=1") == "cdn.example"
    assert shown_host("https://user:secret@h/x") == "result file"
    assert shown_host("https://\x1b]8;;/x") == "result file"
    with pytest.raises(ValueError, match="check_url"):
        host_and_port("nonsense")


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/b", "https://h/b"),
        ("//other/b", "https://other/b"),
        ("https://x/y", "https://x/y"),
        ("http://x/y", "http://x/y"),
        ("", None),
        ("/a\tb", None),
        ("ht\ntps://x", None),
        ("https://[", None),
        ("/\\evil", None),
        ("/" + "a" * MAX_URL_LENGTH, None),
    ],
)
def test_a_redirect_leads_to_an_absolute_address_or_nowhere(
    location: str, target: str | None
) -> None:
    assert redirect_target("https://h/a", location) == target


@pytest.mark.parametrize(
    "addresses", [[PUBLIC, "10.0.0.1"], ["::1", PUBLIC], ["169.254.169.254"], ["::ffff:10.0.0.1"]]
)
async def test_one_private_address_refuses_the_whole_host(addresses: Sequence[str]) -> None:
    with pytest.raises(DownloadError, match=r"h\.example: .*private") as caught:
        await check_host(
            "h.example", 443, allow_loopback=False, resolve=resolver({"h.example": addresses})
        )
    assert not caught.value.retryable


async def test_a_public_host_gives_its_addresses() -> None:
    fake = resolver({"h": [PUBLIC, "2606:4700::1111"]})
    assert await check_host("h", 8443, allow_loopback=False, resolve=fake) == (
        PUBLIC,
        "2606:4700::1111",
    )
    assert fake.asked == [("h", 8443)]


async def test_loopback_passes_when_allowed_and_other_private_networks_do_not() -> None:
    table: Mapping[str, Sequence[str]] = {"l": ["127.0.0.1", "::1"], "p": ["127.0.0.1", "10.0.0.1"]}
    assert await check_host("l", 80, allow_loopback=True, resolve=resolver(table))
    with pytest.raises(DownloadError, match="private"):
        await check_host("p", 80, allow_loopback=True, resolve=resolver(table))


@pytest.mark.parametrize("host", ["0x7f000001", "2130706433", "127.1", "0177.0.0.1", "127.0.0.1"])
async def test_the_systems_own_reading_of_a_spelled_address_is_what_counts(host: str) -> None:
    if "127.0.0.1" not in await system_resolver(host, 443):
        pytest.skip("this system's resolver does not read the spelling")
    with pytest.raises(DownloadError, match="private"):
        await check_host(host, 443, allow_loopback=False)


@pytest.mark.parametrize("trouble", [socket.gaierror(8, "unknown"), UnicodeError("label"), None])
async def test_a_host_that_is_not_found_is_worth_another_try(trouble: Exception | None) -> None:
    async def resolve(_host: str, _port: int) -> tuple[str, ...]:
        await anyio.lowlevel.checkpoint()
        if trouble is not None:
            raise trouble
        return ()

    with pytest.raises(DownloadError) as caught:
        await check_host("h.example", 443, allow_loopback=False, resolve=resolve)
    assert caught.value.retryable


BARE = [
    "127.0.0.1",
    "93.184.215.14",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0X7F.0.0.1",
    "0177.0.0.1",
    "10.0.0.1.",
    "0",
    "0x",
    "::1",
    "::ffff:10.0.0.1",
    "2606:4700::1111",
    "cdn.example.1",
]
LOCAL = [
    "localhost",
    "LOCALHOST.",
    "db.localhost",
    "printer",
    "printer.local",
    "metadata.google.internal",
    "router.home.arpa",
    "home.arpa.",
    "nas.lan",
    "wiki.corp",
    "x.localdomain",
]


@pytest.mark.parametrize("host", BARE + LOCAL)
def test_by_name_no_bare_address_and_no_local_name_passes(host: str) -> None:
    with pytest.raises(DownloadError) as caught:
        check_name(host, allow_loopback=False)
    assert not caught.value.retryable
    if host not in {"127.0.0.1", "localhost", "::1"}:
        with pytest.raises(DownloadError):
            check_name(host, allow_loopback=True)


@pytest.mark.parametrize(
    "host", ["cdn.example", "CDN.Example.", "a.b.c.example.com", "1.2.3.4.example.com", "x-0x7f.io"]
)
def test_by_name_a_public_name_passes(host: str) -> None:
    check_name(host, allow_loopback=False)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "127.9.9.9"])
def test_by_name_loopback_passes_beside_an_api_on_loopback(host: str) -> None:
    check_name(host, allow_loopback=True)


async def test_a_literal_address_is_not_resolved() -> None:
    fake = resolver({"93.184.215.14": ["127.0.0.1"]})
    assert await check_host("93.184.215.14", 443, allow_loopback=False, resolve=fake) == (PUBLIC,)
    assert fake.asked == []


async def test_a_host_nobody_here_knows_is_judged_by_name_for_a_foreign_client() -> None:
    async def unknown(_host: str, _port: int) -> tuple[str, ...]:
        await anyio.lowlevel.checkpoint()
        raise OSError("no such host")

    rules = HostRules(allow_loopback=False, resolve=unknown)
    await rules.as_far_as_known("cdn.example", 443)
    with pytest.raises(DownloadError, match="resolved"):
        await rules.addresses("cdn.example", 443)
    with pytest.raises(DownloadError, match="private"):
        await rules.as_far_as_known("printer.local", 443)
    rules = HostRules(allow_loopback=False, resolve=resolver({"cdn.example": ["10.0.0.1"]}))
    with pytest.raises(DownloadError, match="private"):
        await rules.as_far_as_known("cdn.example", 443)
