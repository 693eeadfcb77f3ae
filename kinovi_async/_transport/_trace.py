"""Records how far a request got, from the events the HTTP library emits on its way.

httpx and httpx2 hand the `trace` extension to httpcore, which calls it before and after
each step. The request line leaves between `send_request_headers.started` and `.complete`;
a CONNECT to a proxy emits the same events and is not our request. Over transports that
emit nothing (mocks, ASGI, aiohttp) the phase is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping

from .._crash_points import point
from .._policy import Phase

__all__ = ["PhaseRecorder"]

_CONNECTED = {"connect_tcp.complete", "connect_unix_socket.complete"}


class PhaseRecorder:
    """The phase of one exchange. A phase never goes back, with one proven exception.

    Args:
        speaks: Whether the transport is known to emit events, so that silence means that
            nothing was sent. Otherwise silence proves nothing until a first event came.
    """

    __slots__ = ("_attempts", "_begun", "_connected", "_ours", "_phase", "_reused", "_speaks")

    def __init__(self, *, speaks: bool) -> None:
        self._speaks = speaks
        self._begun = False
        self._phase = Phase.NOT_SENT
        self._ours = False
        self._attempts = 0
        self._connected = False
        self._reused: bool | None = None

    def begin(self) -> None:
        """The request is handed to the library; before this, nothing can have left."""
        self._begun = True

    @property
    def phase(self) -> Phase:
        """How far the request got."""
        if self._begun and not self._speaks:
            return Phase.UNKNOWN
        return self._phase

    @property
    def sends(self) -> int:
        """Times the request went out: more than once only where a transport repeats by itself."""
        return self._attempts

    @property
    def reused(self) -> bool | None:
        """Whether the request went out on a connection made before; None when not shown."""
        return self._reused

    async def trace(self, name: str, info: Mapping[str, object]) -> None:
        """The callback for `extensions={"trace": ...}`; it never waits."""
        self.note(name, info)

    def note(self, name: str, info: Mapping[str, object]) -> None:
        """Takes one event of httpcore: `http11.send_request_headers.started`, ..."""
        self._speaks = True
        protocol, _, event = name.partition(".")
        if event in _CONNECTED:
            self._connected = True
        elif event == "send_request_headers.started":
            # Only the start of a step names its request; the end belongs to the last start.
            self._ours = getattr(info.get("request"), "method", b"") != b"CONNECT"
            if self._ours:
                self._attempts += 1
                point("http: request leaves")
                self._reused, self._connected = not self._connected, False
                if self._phase is Phase.NOT_SENT:
                    self._phase = Phase.SENDING
        elif not self._ours:
            return
        elif event == "send_request_body.started":
            point("http: head has left")
        elif event == "send_request_body.complete":
            self._phase = Phase.SENT
            point("http: request has left")
        elif event == "send_request_headers.failed" and protocol == "http11":
            refused = type(info.get("exception")).__name__ == "LocalProtocolError"
            if refused and self._attempts == 1:
                # The headers were refused before a byte of them was written.
                self._phase = Phase.NOT_SENT
