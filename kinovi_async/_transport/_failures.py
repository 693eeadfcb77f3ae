"""Names what went wrong below, from the exception's class names alone.

The HTTP libraries' classes are never imported: httpx and its successor httpx2 share the
names, and a user's own transport may raise either. A failure keeps a short text and no
object of the library, because its requests hold the API key.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from .._errors import APIConnectionError, APITimeoutError, ConfigurationError, KinoviError

__all__ = ["TLS_HINT", "Failure", "FailureKind", "error_of", "failure_from"]

_MAX_TEXT = 300
TLS_HINT = " (behind a proxy that opens TLS, set SSL_CERT_FILE to its certificate)"


class FailureKind(StrEnum):
    """What kind of thing went wrong in an exchange."""

    CONNECT = "connect"
    """No connection came about: refused, no such host, no route, not in time."""
    TLS = "tls"
    """The server's certificate is not trusted; another try gives the same."""
    PROXY = "proxy"
    PROXY_LOGIN = "proxy_login"
    """The proxy wants a login (407)."""
    POOL = "pool"
    """No connection became free in time; proven by the pool itself."""
    INVALID = "invalid"
    """The library refused to send the request: a bad address or header."""
    BROKEN = "broken"
    """The connection broke, or what came is no HTTP."""
    TIMEOUT = "timeout"
    DEADLINE = "deadline"
    """The whole exchange took too long, or was interrupted."""
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong, as words."""

    kind: FailureKind
    text: str
    """`ReadTimeout`, or `ConnectError: [Errno 111] Connection refused`."""
    timed_out: bool = False


# In this order: a class may carry several of the names.
_KINDS = (
    ("ConnectTimeout", FailureKind.CONNECT),
    ("ConnectError", FailureKind.CONNECT),
    ("PoolTimeout", FailureKind.POOL),
    ("ProxyError", FailureKind.PROXY),
    ("UnsupportedProtocol", FailureKind.INVALID),
    ("InvalidURL", FailureKind.INVALID),
    ("LocalProtocolError", FailureKind.INVALID),
    ("TimeoutException", FailureKind.TIMEOUT),
    ("TimeoutError", FailureKind.TIMEOUT),
    ("TransportError", FailureKind.BROKEN),
    ("StreamError", FailureKind.BROKEN),
    ("OSError", FailureKind.BROKEN),
)
# aiohttp's errors of a connection that never came about. httpx-aiohttp turns every other
# ClientConnectionError, a server that hung up after reading the request among them, into
# ConnectTimeout too, which would prove too much.
_AIOHTTP_CONNECT = {"ClientConnectorError", "ConnectionTimeoutError"}


def failure_from(exc: BaseException) -> Failure:
    """Describes an exception of an HTTP library without keeping it."""
    names = _names(exc)
    kind = next((kind for name, kind in _KINDS if name in names), FailureKind.OTHER)
    if kind is FailureKind.CONNECT and not _never_connected(exc):
        kind = FailureKind.BROKEN
    elif kind is FailureKind.POOL and not _from_httpcore(exc):
        kind = FailureKind.TIMEOUT
    elif kind is FailureKind.PROXY and str(exc).startswith("407"):
        kind = FailureKind.PROXY_LOGIN
    if kind is FailureKind.CONNECT and any(
        isinstance(cause, ssl.SSLCertVerificationError) for cause in _chain(exc)
    ):
        kind = FailureKind.TLS
    return Failure(
        kind, _text(exc, kind), timed_out=bool({"TimeoutException", "TimeoutError"} & names)
    )


def error_of(failure: Failure, *, what: str, task_id: str | None = None) -> KinoviError:
    """Our error for a failure of anything but a submission."""
    text = f"{what}: {failure.text}"
    if failure.kind is FailureKind.INVALID:
        return ConfigurationError(text, task_id=task_id)
    if failure.kind is FailureKind.TLS:
        text += TLS_HINT
    if failure.timed_out:
        return APITimeoutError(text, task_id=task_id)
    return APIConnectionError(text, task_id=task_id)


def _names(exc: BaseException) -> set[str]:
    return {cls.__name__ for cls in type(exc).__mro__}


def _chain(exc: BaseException) -> Iterator[BaseException]:
    """The exception and what led to it; bounded, since a chain may be a ring."""
    current: BaseException | None = exc
    for _ in range(20):
        if current is None:
            return
        yield current
        current = current.__cause__ or current.__context__


def _never_connected(exc: BaseException) -> bool:
    return all(
        _names(cause) & _AIOHTTP_CONNECT
        for cause in _chain(exc)
        if type(cause).__module__.partition(".")[0] == "aiohttp"
    )


def _from_httpcore(exc: BaseException) -> bool:
    # Its pool raises PoolTimeout only while no connection is assigned yet.
    return any(
        type(cause).__name__ == "PoolTimeout"
        and type(cause).__module__.partition(".")[0] in {"httpcore", "httpcore2"}
        for cause in _chain(exc)
    )


def _text(exc: BaseException, kind: FailureKind) -> str:
    name = type(exc).__name__
    if kind is FailureKind.INVALID:
        return name  # its text quotes headers and addresses
    if kind is FailureKind.OTHER:
        return name  # the text of a class we do not know may quote the request
    # Under trio the outer exceptions of a failed connect have no text.
    causes: Iterable[BaseException] = (exc,)
    # What led to a timeout is a cancellation, whose text names an object of the event loop.
    if kind in {FailureKind.CONNECT, FailureKind.TLS} and "TimeoutException" not in _names(exc):
        causes = _chain(exc)
    text = next((text for cause in causes if (text := " ".join(str(cause).split()))), "")
    return f"{name}: {text[:_MAX_TEXT]}" if text else name
