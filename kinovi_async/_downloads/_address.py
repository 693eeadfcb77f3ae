"""Which addresses may be fetched: https to public hosts, judged by resolved addresses.

A result's address comes from a server, and each redirect from another one. None of them
may make this machine talk to itself or to its own network. Only when the API itself runs
on loopback (a simulator) may a file come from loopback, over http too; other private
networks never. Whoever connects uses the addresses judged here and asks no resolver again;
behind a proxy, which resolves by itself, the name alone is judged.
"""

from __future__ import annotations

import re
import socket
import unicodedata
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias
from urllib.parse import urljoin

import anyio

from .._errors import DownloadError

__all__ = [
    "MAX_URL_LENGTH",
    "HostRules",
    "Resolver",
    "check_host",
    "check_name",
    "check_url",
    "host_and_port",
    "is_loopback_address",
    "is_private_address",
    "redirect_target",
    "shown_host",
    "system_resolver",
]

Resolver: TypeAlias = Callable[[str, int], Awaitable[tuple[str, ...]]]
"""From host and port to all IP addresses, as text; raises OSError when there are none."""

MAX_URL_LENGTH = 16_384
"""Characters; signed addresses have up to some 4,000."""
RESOLVE_SECONDS = 30.0
"""Longest wait for the system's resolver; glibc gives up after 5 s x 2 for each of 3 servers."""

# Stricter than RFC 3986 on purpose: where parsers could disagree about the host (`\\`, `@`,
# `%`, non-ASCII digits, white space) there is no address.
_ADDRESS = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<rest>[/?#].*)?", re.DOTALL
)
_AUTHORITY = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")
_DEFAULT_PORTS = {"https": 443, "http": 80}
_MAX_PORT = 65_535

# A last label that a resolver reads as (the end of) an IPv4 address, as the URL standard
# has it: digits, or hexadecimal digits after 0x.
_NUMERIC_END = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?")
# Names of this machine and of local networks: RFC 6761, 6762 with its appendix G, 8375,
# and ICANN's `internal`.
_LOCAL_DOMAINS = frozenset(
    ("localhost", "localdomain", "local", "internal", "intranet", "private", "corp", "home", "lan")
)
_LOCAL_SUFFIX = ".home.arpa"

# Everything that is not the public internet. Sources: the IANA special-purpose registries
# of IPv4 and IPv6, and multicast. Written out, since `ipaddress.is_global` changed its
# mind between Python versions (CVE-2024-4032).
_PRIVATE_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved, broadcast
    )
)
_PUBLIC_V6 = IPv6Network("2000::/3")
_PRIVATE_V6 = tuple(IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "3fff::/20"))
# Addresses that stand for an IPv4 address in their last or, for 6to4, second 32 bits.
_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")


def check_url(url: str, *, allow_loopback: bool = False) -> str | None:
    """Why an address may not be fetched, or None; its host is yet to be resolved.

    Args:
        url: An absolute address, https.
        allow_loopback: Plain http too, when the host is `localhost` or a loopback address.
    """
    if len(url) > MAX_URL_LENGTH:
        return f"the address is longer than {MAX_URL_LENGTH} characters"
    problem = _bad_characters(url)
    if problem is not None:
        return problem
    found = _ADDRESS.fullmatch(url)
    if found is None:
        return "the address is not absolute: it has no scheme and host"
    scheme, authority = found["scheme"].lower(), found["authority"]
    if scheme not in _DEFAULT_PORTS:
        return f"the address is {scheme}:, only https: is fetched"
    return _authority_problem(scheme, authority, allow_loopback=allow_loopback)


def _authority_problem(scheme: str, authority: str, *, allow_loopback: bool) -> str | None:
    if "@" in authority:
        return "the address holds a user name"
    place = _AUTHORITY.fullmatch(authority)
    if place is None:
        return "the address has an unusable host" if authority else "the address has no host"
    if place["port"] is not None and not 0 < int(place["port"]) <= _MAX_PORT:
        return "the address has an unusable port"
    if scheme == "http" and not (allow_loopback and _names_loopback(place["host"])):
        return "the address is plain http:, only https: is fetched"
    return None


def _bad_characters(url: str) -> str | None:
    for char in url:
        if char in " \\" or unicodedata.category(char)[0] in {"C", "Z"}:
            return "the address holds white space, a backslash or a control character"
    return None


def _names_loopback(host: str) -> bool:
    return host.lower() == "localhost" or is_loopback_address(host.strip("[]"))


def host_and_port(url: str) -> tuple[str, int]:
    """Host (an IPv6 address without brackets) and port of an address that `check_url` passed."""
    found = _ADDRESS.fullmatch(url)
    place = _AUTHORITY.fullmatch(found["authority"]) if found is not None else None
    if found is None or place is None:
        raise ValueError("not an address that passed check_url")
    port = place["port"] or _DEFAULT_PORTS[found["scheme"].lower()]
    return place["host"].strip("[]"), int(port)


def shown_host(url: str) -> str:
    """The host for a message: never a query, a password or a control character."""
    found = _ADDRESS.fullmatch(url[:MAX_URL_LENGTH])
    place = _AUTHORITY.fullmatch(found["authority"]) if found is not None else None
    return place["host"].lower()[:253] if place is not None else "result file"


def redirect_target(url: str, location: str) -> str | None:
    """The absolute address a redirect leads to, None for an unusable Location header."""
    # urljoin drops tabs and newlines silently, so they are refused before it sees them.
    if not location or len(location) > MAX_URL_LENGTH or _bad_characters(location) is not None:
        return None
    try:
        return urljoin(url, location)
    except ValueError:
        return None


def is_private_address(ip: str | IPv4Address | IPv6Address) -> bool:
    """Whether an IP address is anything but a public unicast one; unreadable counts as private."""
    address = _parsed(ip)
    if address is None:
        return True
    if isinstance(address, IPv4Address):
        return any(address in network for network in _PRIVATE_V4)
    embedded = _embedded(address)
    if embedded is not None:
        return is_private_address(embedded)
    return address not in _PUBLIC_V6 or any(address in network for network in _PRIVATE_V6)


def is_loopback_address(ip: str | IPv4Address | IPv6Address) -> bool:
    """Whether an IP address is this machine's loopback: 127.0.0.0/8 (also mapped) or ::1."""
    address = _parsed(ip)
    if isinstance(address, IPv6Address) and address in _MAPPED:
        address = IPv4Address(int(address) & 0xFFFF_FFFF)
    return address is not None and address.is_loopback


def _parsed(ip: str | IPv4Address | IPv6Address) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(ip)
    except ValueError:
        return None


def _embedded(address: IPv6Address) -> IPv4Address | None:
    if address in _MAPPED or address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.sixtofour


async def system_resolver(host: str, port: int) -> tuple[str, ...]:
    """All addresses the system knows for a host; it also reads spellings such as `127.1`."""
    # Bytes keep the host as it is: text would be mapped by IDNA first.
    found = await anyio.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(sockaddr[0] for _, _, _, _, sockaddr in found))


async def check_host(
    host: str, port: int, *, allow_loopback: bool, resolve: Resolver = system_resolver
) -> tuple[str, ...]:
    """The addresses of a host, all of them public; one private one is enough to refuse.

    Args:
        host: A name or an IP address in any spelling that the resolver reads.
        port: TCP port.
        allow_loopback: Whether loopback addresses pass; other private ones never do.
        resolve: What turns the name into addresses.

    Raises:
        DownloadError: refused, or (retryable) there is no such host just now.
    """
    if _parsed(host) is not None:
        addresses: tuple[str, ...] = (host,)
    else:
        addresses = await _resolved(host, port, resolve)
    for address in addresses:
        if is_private_address(address) and not (allow_loopback and is_loopback_address(address)):
            raise _refusal(f"{host}: the host is in a private network, nothing is fetched there")
    return addresses


async def _resolved(host: str, port: int, resolve: Resolver) -> tuple[str, ...]:
    try:
        with anyio.fail_after(RESOLVE_SECONDS):
            addresses = await resolve(host, port)
    except (OSError, UnicodeError) as error:  # TimeoutError is an OSError
        raise _refusal(f"{host}: the host cannot be resolved", retryable=True) from error
    if not addresses:
        raise _refusal(f"{host}: the host has no address", retryable=True)
    return addresses


def check_name(host: str, *, allow_loopback: bool) -> None:
    """Judge a host that somebody else resolves, a proxy for instance, by its name alone.

    Raises:
        DownloadError: it is an IP address in whatever spelling, or a local name.
    """
    if allow_loopback and _names_loopback(host):
        return
    if ":" in host or _NUMERIC_END.fullmatch(host):
        raise _refusal(f"{host}: behind a proxy nothing is fetched from a bare IP address")
    name = host.lower().rstrip(".")
    _, dot, last = name.rpartition(".")
    if not dot or last in _LOCAL_DOMAINS or f".{name}".endswith(_LOCAL_SUFFIX):
        raise _refusal(f"{host}: the host is in a private network, nothing is fetched there")


@dataclass(frozen=True, slots=True)
class HostRules:
    """What one download may connect to; whoever connects asks exactly one of these.

    Raises:
        DownloadError: each of them, when the host is refused.
    """

    allow_loopback: bool
    resolve: Resolver = system_resolver

    async def addresses(self, host: str, port: int) -> tuple[str, ...]:
        """For who connects itself: the addresses to connect to, no others."""
        return await check_host(
            host, port, allow_loopback=self.allow_loopback, resolve=self.resolve
        )

    def by_name(self, host: str) -> None:
        """For who connects through a proxy: nothing is resolved here."""
        check_name(host, allow_loopback=self.allow_loopback)

    async def as_far_as_known(self, host: str, port: int) -> None:
        """For who hands over to a client it cannot look into.

        The name is judged, and its addresses if this machine knows any.
        """
        self.by_name(host)
        try:
            await self.addresses(host, port)
        except DownloadError as error:
            if not error.retryable:
                raise


def _refusal(text: str, *, retryable: bool = False) -> DownloadError:
    error = DownloadError(text)
    error.retryable = retryable
    return error
