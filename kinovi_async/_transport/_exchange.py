"""One HTTP exchange as data: what to send, how long to wait, how far it got.

What is known is noted as it becomes known, so that an exchange that is cut off, times out
or is interrupted still leaves its phase and the bytes that arrived. Nothing here raises
for what happened on the wire: failures are values, because a traceback would keep frames
whose locals hold the key.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import anyio

from .._errors import ConfigurationError
from ._answer import Answer
from ._decoding import MAX_BODY
from ._failures import Failure, FailureKind
from ._trace import PhaseRecorder

if TYPE_CHECKING:
    from .._policy import Phase
    from ._protocol import HostRules

__all__ = [
    "POST_TIMEOUTS",
    "Call",
    "Lane",
    "Progress",
    "Stream",
    "Timeouts",
    "TimeoutsLike",
    "Wire",
    "collect",
    "deadline",
    "timeouts_from",
]

# Seconds until a TCP and TLS connection stands; more means no route.
CONNECT_TIMEOUT = 10.0


class TimeoutsLike(Protocol):
    """An `httpx.Timeout`, or httpx2's: seconds per step, None for no limit."""

    connect: float | None
    read: float | None
    write: float | None


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds; None is no limit."""

    connect: float | None
    write: float | None
    read: float | None
    total: float | None
    """The whole exchange: a server that sends a byte now and then never times out else. Of
    one whose body is read by the caller, all until that body begins."""

    def as_extension(self) -> dict[str, float | None]:
        """The form httpx hands to its transport."""
        return {
            "connect": self.connect,
            "read": self.read,
            "write": self.write,
            "pool": self.connect,
        }


POST_TIMEOUTS = Timeouts(connect=CONNECT_TIMEOUT, write=30.0, read=120.0, total=150.0)
"""A submission waits long for its answer: waiting is cheaper than an ambiguous job.
120 s outlasts the 100 s after which a CDN gives up (its 524)."""


def timeouts_from(timeout: float | TimeoutsLike | None) -> Timeouts:
    """The limits of one GET.

    A number bounds each step and the whole exchange. An `httpx.Timeout` bounds each step,
    and the sum of its steps the whole.

    Raises:
        ConfigurationError: A number that is no positive number of seconds.
    """
    if timeout is None:
        return Timeouts(None, None, None, None)
    if isinstance(timeout, int | float):
        if isinstance(timeout, bool) or not timeout > 0 or math.isinf(timeout):
            raise ConfigurationError(f"timeout must be a positive number of seconds: {timeout!r}")
        return Timeouts(min(CONNECT_TIMEOUT, timeout), timeout, timeout, timeout)
    try:
        connect, write, read = timeout.connect, timeout.write, timeout.read
    except AttributeError:
        problem = f"timeout must be seconds or an httpx.Timeout, not {type(timeout).__name__}"
    else:
        if connect is None or write is None or read is None:
            return Timeouts(connect, write, read, None)
        return Timeouts(connect, write, read, connect + write + read)
    raise ConfigurationError(problem)


class Lane(StrEnum):
    """What an exchange is, so that one kind never waits behind another."""

    SUBMISSION = "submission"
    POLL = "poll"
    DOWNLOAD = "download"


@dataclass(frozen=True, slots=True)
class Call:
    """One request to send. Its headers may hold the key, so `repr` leaves them out."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    content: bytes | None = field(repr=False)
    timeouts: Timeouts
    lane: Lane
    fresh: bool = False
    """On a new connection, if the library leaves us the choice."""
    hosts: HostRules | None = None
    """What may be connected to, where not every host is."""
    body: AsyncIterable[bytes] | None = field(default=None, repr=False)
    """Instead of `content`: sent in pieces. Its length stands in the headers."""


class Progress:
    """What is known of one exchange so far."""

    __slots__ = ("body", "complete", "failure", "headers", "recorder", "reused", "status")

    def __init__(self, *, speaks: bool) -> None:
        self.recorder = PhaseRecorder(speaks=speaks)
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.complete = False
        self.failure: Failure | None = None
        self.reused = False
        """Whether the connection had carried an exchange before."""

    @property
    def phase(self) -> Phase:
        """How far the request got."""
        return self.recorder.phase

    def heard(self, status: int, headers: Mapping[str, str]) -> None:
        """The head of an answer came."""
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}

    def take(self, chunk: bytes) -> bool:
        """Keeps a chunk of the body; False once there is more than is ever needed."""
        self.body += chunk[: MAX_BODY - len(self.body)]
        if len(self.body) < MAX_BODY:
            return True
        self.failure = Failure(FailureKind.BROKEN, f"the answer is larger than {MAX_BODY} bytes")
        return False

    def answer(self) -> Answer | None:
        """What came back, None when not even a status did."""
        if self.status is None:
            return None
        return Answer(self.status, self.headers, bytes(self.body), self.complete)


class Stream(Protocol):
    """An answer whose head has come."""

    async def next(self) -> bytes | Failure | None:
        """The next bytes as they came over the wire, what went wrong, or None at the end."""

    async def aclose(self) -> None:
        """Gives the connection back if the body was read to its end, else closes it."""


class Wire(Protocol):
    """What knows an HTTP library. Cancelling any of it leaves the rest working."""

    speaks: bool
    """Whether its transport is known to emit trace events."""

    async def run(self, call: Call, progress: Progress) -> None:
        """One whole exchange; whatever happens is noted in `progress`."""

    async def open(self, call: Call, progress: Progress) -> Stream | None:
        """An exchange whose body is read by the caller; None when it failed."""

    async def aclose(self) -> None:
        """Closes what belongs to us."""


@contextmanager
def deadline(call: Call, progress: Progress) -> Iterator[None]:
    """Ends the block when the whole exchange takes too long, and notes that it did."""
    with anyio.move_on_after(call.timeouts.total) as scope:
        yield
    if scope.cancelled_caught:
        text = f"not done after {call.timeouts.total:g} s"
        progress.failure = Failure(FailureKind.DEADLINE, text, timed_out=True)


async def collect(stream: Stream, progress: Progress) -> None:
    """Reads the body to its end, or to the cap."""
    while True:
        chunk = await stream.next()
        if chunk is None:
            progress.complete = True
            return
        if isinstance(chunk, Failure):
            progress.failure = chunk
            return
        if not progress.take(chunk):
            return
