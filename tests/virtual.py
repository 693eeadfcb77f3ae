"""Virtual time for both backends: waiting costs nothing, and a deadlock is an error."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

import trio.testing

__all__ = ["VirtualClockLoop", "virtual_backend"]


_REAL_PATIENCE = 5.0


class DeadlockError(Exception):
    """Nothing is ready and nothing is scheduled."""


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of sleeping, moves the loop's clock to the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            # A thread may still speak, e.g. while the loop closes its executor.
            ready = super().select(_REAL_PATIENCE)
            if not ready:
                raise DeadlockError
            return ready
        self.now += timeout
        return []


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time()` jumps; only for code that waits for nothing but time."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        # A sliver more than asked for, or rounding lets a timer miss its moment.
        return self._jumping.now + 1e-9


def virtual_backend(name: str) -> tuple[str, dict[str, Any]]:
    """What the fixture `anyio_backend` answers for an event loop in virtual time."""
    if name == "asyncio":
        return name, {"loop_factory": VirtualClockLoop}
    return name, {"clock": trio.testing.MockClock(autojump_threshold=0)}
