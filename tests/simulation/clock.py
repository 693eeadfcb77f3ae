"""The world's clock, and the event loop of one process in it.

Waiting costs nothing: with nothing ready, the loop moves the clock to its next timer. Nothing
here ever waits for a socket or a thread, so a loop with neither work nor a timer has
deadlocked, and one that works on without time passing is caught in a circle.

asyncio and anyio keep tasks and scopes in sets, whose order follows their addresses. Here both
are numbered, so that a cancellation reaches many of them in the same order in every run.
"""

from __future__ import annotations

import asyncio
import itertools
import selectors
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from anyio._backends import _asyncio as anyio_on_asyncio

__all__ = ["Clock", "DeadlockError", "LivelockError", "ProcessLoop", "numbered_scopes"]

_ROUNDS = 50_000
"""Turns of the loop at one moment: the busiest honest schedule makes a few hundred."""


class DeadlockError(Exception):
    """Nothing is ready and nothing is scheduled."""


class LivelockError(Exception):
    """Much is done and no time passes, or the end of time has come."""


class Clock:
    """Seconds since the world began."""

    def __init__(self, now: float = 0.0, horizon: float = float("inf")) -> None:
        self.now = now
        self.horizon = horizon
        """No process may work longer than this."""


class _Selector(selectors.DefaultSelector):
    """Instead of sleeping, moves the clock to the next timer."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.rounds = 0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise DeadlockError
        self.rounds += 1
        if timeout > 0:
            self.clock.now += timeout
            self.rounds = 0
        if self.rounds > _ROUNDS or self.clock.now > self.clock.horizon:
            raise LivelockError
        return []


class ProcessLoop(asyncio.SelectorEventLoop):
    """The loop of one process. One that was killed goes on in a time of its own."""

    def __init__(self, clock: Clock) -> None:
        self._jumping = _Selector(clock)
        super().__init__(self._jumping)
        _Scope.numbers = itertools.count()
        self._numbers = itertools.count()
        self.set_task_factory(self._make_task)  # type: ignore[arg-type]

    def _make_task(self, _: Any, coroutine: Coroutine[Any, Any, Any], **options: Any) -> Any:
        return _Task(next(self._numbers), coroutine, loop=self, **options)

    def leave_world(self) -> None:
        """From here on this loop's waits do not move the world's clock."""
        now = self._jumping.clock.now
        self._jumping.clock = Clock(now, now + 3600)
        self._jumping.rounds = 0

    def time(self) -> float:
        # A sliver more than asked for, or rounding lets a timer miss its moment.
        return self._jumping.clock.now + 1e-9


class _Task(asyncio.Task[Any]):
    """A task whose place in a set follows from when it was made."""

    def __init__(self, number: int, coroutine: Coroutine[Any, Any, Any], **options: Any) -> None:
        self._number = number
        super().__init__(coroutine, **options)

    def __hash__(self) -> int:
        return self._number


class _Scope(anyio_on_asyncio.CancelScope):
    """The same of a scope."""

    __slots__ = ("_number",)
    numbers = itertools.count()

    def __init__(self, deadline: float = float("inf"), shield: bool = False) -> None:  # noqa: FBT001, FBT002 - anyio's
        super().__init__(deadline=deadline, shield=shield)
        self._number = next(_Scope.numbers)

    def __hash__(self) -> int:
        return self._number


@contextmanager
def numbered_scopes() -> Iterator[None]:
    """Makes anyio's scopes numbered ones; there is no argument for that."""
    original = anyio_on_asyncio.CancelScope
    anyio_on_asyncio.CancelScope = _Scope  # type: ignore[misc]
    try:
        yield
    finally:
        anyio_on_asyncio.CancelScope = original  # type: ignore[misc]
