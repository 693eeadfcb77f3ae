"""Decides which addresses the API key may be sent to, and through which proxy.

The proxy rules are those of httpx's own clients (curl's NO_PROXY), written out here
because a transport that is built by hand gets none of them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from .._errors import ConfigurationError

__all__ = ["check_base_url", "host_and_port_of", "is_loopback", "origin_of", "proxy_for"]

_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
_PORTS = {"http": 80, "https": 443}


def check_base_url(url: str) -> str:
    """The base URL without a trailing slash, scheme and host in lower case.

    Plain http is accepted for loopback hosts only: localhost, 127.0.0.0/8 and [::1].

    Raises:
        ConfigurationError: The key must not be sent there, or the URL holds what a base
            URL must not: credentials, a query, a fragment.
    """
    problem = None
    if not isinstance(url, str):
        raise ConfigurationError(f"base_url must be a str, not {type(url).__name__}")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        problem = "base_url is no URL"
    else:
        problem = _problem(url, parts.scheme, host)
        if problem is None and (parts.username is not None or parts.password is not None):
            problem = "base_url must not hold credentials; the key is given as api_key"
        elif problem is None and ("?" in url or "#" in url):
            problem = "base_url must not hold a query or a fragment"
    if problem is not None:
        raise ConfigurationError(problem)
    name = f"[{host}]" if ":" in host else host
    where = f":{port}" if port is not None and port != _PORTS[parts.scheme] else ""
    return f"{parts.scheme}://{name}{where}{parts.path.rstrip('/')}"


def _problem(url: str, scheme: str, host: str) -> str | None:
    if _UNSAFE.search(url) or not host:
        return "base_url is no URL"
    if scheme == "https" or (scheme == "http" and is_loopback(host)):
        return None
    if scheme == "http":
        return f"base_url must be https, the key would be readable on its way to {host}"
    return "base_url must be an https:// URL"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin_of(url: str) -> str:
    """Scheme, host and port of an absolute http(s) URL.

    Raises:
        ValueError: It is none.
    """
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("not an absolute http or https URL")
    return f"{parts.scheme}://{parts.hostname}:{parts.port or _PORTS[parts.scheme]}"


def host_and_port_of(url: str) -> tuple[str, int]:
    """Host, an IPv6 address without its brackets, and port of an absolute http(s) URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or _PORTS[parts.scheme]


def proxy_for(url: str, proxies: Mapping[str, str]) -> str | None:
    """The proxy's URL for a request, None for a direct connection.

    Args:
        url: An absolute http(s) URL.
        proxies: `urllib.request.getproxies()`: `http`, `https`, `all` and `no`.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme)
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy:
        return None
    for entry in proxies.get("no", "").split(","):
        pattern = entry.strip().lower()
        if pattern == "*" or (pattern and _bypasses(pattern, parts.scheme, host, port)):
            return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _bypasses(pattern: str, scheme: str, host: str, port: int | None) -> bool:
    exact = "://" in pattern
    if exact:
        wanted, _, pattern = pattern.partition("://")
        if wanted not in {"all", scheme}:
            return False
    try:
        return ipaddress.ip_address(host) == ipaddress.ip_address(pattern.strip("[]"))
    except ValueError:
        pass
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(pattern, strict=False)
    except ValueError:
        pass
    name, _, wanted_port = pattern.rpartition(":") if ":" in pattern else (pattern, "", "")
    if wanted_port and wanted_port != str(port):
        return False
    if name.startswith("."):
        return host.endswith(name)
    return host == name or (not exact and name != "localhost" and host.endswith(f".{name}"))
