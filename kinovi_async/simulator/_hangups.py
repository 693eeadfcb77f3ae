"""Connections that end badly on purpose: closed or reset in the middle of an exchange.

ASGI has no word for this, so the server's protocol hands each connection's transport to
the application under a key of its own in the scope. Inside a process, without a socket
(`httpx.ASGITransport`), there is nothing to hang up: the application then raises
`SimulatedHangup`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import MutableMapping
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

# A linger time of zero seconds turns the closing into a reset (socket(7)).
_LINGER_NOT: Final = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
SCOPE_KEY: Final = "kinovi_async.simulator.connection"


class SimulatedHangup(ConnectionError):  # noqa: N818 - an event that was asked for
    """A connection ended on purpose where there is no socket to close."""


class Connection:
    """One client's connection."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def close(self) -> None:
        """Closes it after what was written has gone out; the client sees an early end."""
        self._transport.close()

    def drop(self) -> None:
        """Closes it at once (FIN)."""
        self._transport.abort()

    def reset(self) -> None:
        """Closes it so that the client sees a reset (RST)."""
        found = self._transport.get_extra_info("socket")
        if found is not None:
            with contextlib.suppress(OSError):
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self._transport.abort()


class HangupProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 protocol, whose application can end the connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Puts the connection into the scope of every request that comes over it."""
        super().connection_made(transport)
        app = self.app
        connection = Connection(transport)

        async def with_connection(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
            scope[SCOPE_KEY] = connection
            await app(scope, receive, send)

        self.app = with_connection
