"""Runs a simulator on a port: beside the caller in a thread of its own, or instead of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import anyio
import anyio.to_thread
import uvicorn

from ._app import BASE_PATH
from ._hangups import HangupProtocol
from ._simulator import Simulator
from ._webhooks import pump

_BACKLOG: Final = 2048
_KEEP_ALIVE: Final = 75
"""Seconds an idle connection is kept, as a common gateway does by default."""
_GRACE: Final = 2.0
"""Seconds for each step of a stop: hanging up takes none, so this is for a busy machine."""
_LONGEST_STOP: Final = 10.0
"""Seconds a caller waits at the end of its block: all the steps, and a little more."""
_HANGUP_INTERVAL: Final = 0.02
_ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - only recognised


@dataclass(frozen=True, slots=True)
class RunningSimulator:
    """A simulator that listens."""

    simulator: Simulator
    host: str
    port: int

    @property
    def origin(self) -> str:
        """`http://127.0.0.1:40123`, without a path."""
        host = _ANY_ADDRESS.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def base_url(self) -> str:
        """What `KINOVI_BASE_URL` or `base_url=` takes: `http://127.0.0.1:40123/api/v1`."""
        return self.origin + BASE_PATH


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Whoever is still waiting, perhaps for an answer that is late on purpose, is
        # hung up on: nobody wants to wait for a simulator to end.
        # Again and again: a connection that the system had taken shows up a moment later.
        async with anyio.create_task_group() as group:
            group.start_soon(self._hang_up)
            with anyio.move_on_after(_GRACE):
                await super().shutdown(sockets)
            group.cancel_scope.cancel()

    async def _hang_up(self) -> None:
        while True:
            for connection in list(self.server_state.connections):
                if connection.transport is not None:
                    connection.transport.abort()
            await anyio.sleep(_HANGUP_INTERVAL)


def _server(simulator: Simulator) -> _Server:
    config = uvicorn.Config(
        simulator.app,
        http=HangupProtocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE,
    )
    return _Server(config)


async def _run(server: _Server, simulator: Simulator, listener: socket.socket) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(pump, simulator)
        await server.serve(sockets=[listener])
        group.cancel_scope.cancel()


def _listen(host: str, port: int) -> socket.socket:
    # asyncio turns Nagle's algorithm off for sockets that name their protocol alone;
    # with it each answer, being two writes, would take 40 ms.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            # Elsewhere this option lets two servers share a port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


class Background:
    """A server in a thread with an event loop of its own."""

    def __init__(self, simulator: Simulator, listener: socket.socket) -> None:
        self._server = _server(simulator)
        self._simulator = simulator
        self._listener = listener
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._main, name="kinovi-simulator", daemon=True)

    def start(self) -> None:
        # The socket listens already: whoever connects before the loop runs waits a moment.
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Blocks nobody: whatever becomes of the caller, the thread ends from here on."""
        self._server.should_exit = True

    def join(self) -> None:
        """Waits for the end, harder with each step, and never without a bound."""
        for insist in (self.ask_to_stop, self._force, self._cancel):
            insist()
            self._thread.join(_GRACE)
            if not self._thread.is_alive():
                break
        else:
            raise RuntimeError("the simulator's server does not stop")
        if self._error is not None:
            raise RuntimeError("the simulator's server ended with an error") from self._error

    def _force(self) -> None:
        self._server.force_exit = True

    def _cancel(self) -> None:
        loop, task = self._loop, self._task
        if loop is not None and task is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed already
                loop.call_soon_threadsafe(task.cancel)

    async def _serve(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        await _run(self._server, self._simulator, self._listener)

    def _main(self) -> None:
        try:
            with contextlib.suppress(asyncio.CancelledError):
                asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001 - a thread has no caller; `stop` raises it
            self._error = error
        finally:
            self._listener.close()


def begin(
    simulator: Simulator, *, host: str = "127.0.0.1", port: int = 0
) -> tuple[RunningSimulator, Background]:
    """Begins to serve; whoever calls ends it with `ask_to_stop` and `join`.

    Raises:
        OSError: the port is taken, or the host is none of this machine's.
    """
    listener = _listen(host, port)
    background = Background(simulator, listener)
    background.start()
    return RunningSimulator(simulator, host, listener.getsockname()[1]), background


@asynccontextmanager
async def serve(
    simulator: Simulator | None = None, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[RunningSimulator]:
    """Serves a simulator (by default a new one) in the background while the block runs.

    It runs in a thread with an event loop of its own, so the caller may be on asyncio or
    trio. Port 0 means a free one. At the end of the block, or when it is cancelled, the
    server hangs up on whoever still waits and is gone within a moment.

    Raises:
        OSError: the port is taken, or the host is none of this machine's.
    """
    running, background = begin(simulator or Simulator(), host=host, port=port)
    try:
        yield running
    finally:
        # First, without an await: Ctrl-C may end the waiting below, a shield or not.
        background.ask_to_stop()
        with anyio.move_on_after(_LONGEST_STOP, shield=True):
            await anyio.to_thread.run_sync(background.join, abandon_on_cancel=True)


def run_simulator(
    simulator: Simulator | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    on_ready: Callable[[RunningSimulator], None] | None = None,
) -> None:
    """Serves a simulator until Ctrl-C or SIGTERM; `on_ready` is told where it listens.

    Returns after Ctrl-C; SIGTERM ends the process, as it would without a server.

    Raises:
        OSError: the port is taken, or the host is none of this machine's.
    """
    simulator = simulator or Simulator()
    with _listen(host, port) as listener:
        if on_ready is not None:
            on_ready(RunningSimulator(simulator, host, listener.getsockname()[1]))
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_run(_server(simulator), simulator, listener))
