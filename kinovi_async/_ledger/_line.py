"""Calls wait in line; whoever's turn it is takes along those behind him that go with him.

A durable write waits for the disk, and the disk takes as long for a hundred writes as for one.
So the first in line runs, in a worker thread, his own call and those right behind it that
may share it, tells each what came of it, and gives the lead to the next. Nobody overtakes.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

from .._errors import LedgerError
from .._shield import finish

__all__ = ["MOST", "Call", "Line"]

T = TypeVar("T")

# Calls that go together, at most: some milliseconds of work, for which other processes wait
# at the ledger, and after which the event loop has as many callers to wake.
MOST = 64


class Call(Generic[T]):
    """Something to be done in its turn, and what came of it.

    Args:
        kind: Calls of one kind go together; None: alone.
    """

    def __init__(self, kind: object = None) -> None:
        self.kind = kind
        self.taken = False
        """From here on it is finished, whatever becomes of the caller."""
        self.woken = anyio.Event()
        """It is done, or, unless it is taken, it leads."""
        self.scope = anyio.CancelScope()
        """In which the caller waits."""
        self._answer: T
        self._error: Exception | None = None
        self._is_done = False

    def take(self) -> None:
        """It is done now: the answer gets through to a caller who is cancelled."""
        self.taken = True
        self.scope.shield = True

    def succeed(self, answer: T) -> None:
        """It was done."""
        self._answer, self._error, self._is_done = answer, None, True

    def fail(self, error: Exception) -> None:
        """It was not done."""
        self._error = error

    def result(self) -> T:
        """What it answered; once.

        Raises:
            Exception: what it failed with.
        """
        error, self._error = self._error, None  # no cycle through the traceback
        if error is not None:
            raise error
        if not self._is_done:
            msg = "the call was cut off"
            raise LedgerError(msg)
        return self._answer


class Line:
    """Where the calls of one event loop wait.

    Args:
        serve: Does calls of one kind, in a thread, and leaves an answer or an error in each.
    """

    def __init__(self, serve: Callable[[Sequence[Call[Any]]], None]) -> None:
        self._serve = serve
        self._waiting: deque[Call[Any]] = deque()
        self._is_led = False

    async def run(self, call: Call[T]) -> T:
        """Does a call, alone or with others, and answers what it answered.

        Cancellation: before its turn has come, nothing is done. Later, it is finished first,
        and the answer gets through unless it was asyncio's own `Task.cancel`.
        """
        await anyio.lowlevel.checkpoint_if_cancelled()
        if self._is_led:
            self._waiting.append(call)
            await self._wait(call)
        if not call.taken:
            self._is_led = True
            await self._lead(call)
        return call.result()

    async def _wait(self, call: Call[Any]) -> None:
        try:
            with call.scope:
                await call.woken.wait()
        except BaseException as error:
            if call.taken:
                if isinstance(error, anyio.get_cancelled_exc_class()):
                    with anyio.CancelScope(shield=True):
                        await finish(call.woken.wait, grace=math.inf)
            elif call.woken.is_set():
                self._next()
            else:
                self._waiting.remove(call)
            raise

    async def _lead(self, call: Call[Any]) -> None:
        together = [call]
        while self._waiting and len(together) < MOST and call.kind is not None:
            if self._waiting[0].kind != call.kind:
                break
            together.append(self._waiting.popleft())
        for each in together:
            each.take()

        async def in_thread() -> None:
            limiter = anyio.CapacityLimiter(1)  # one thread a line: the default ones are for all
            await anyio.to_thread.run_sync(self._serve, together, limiter=limiter)

        try:
            # The shield lets the answer through although the caller is cancelled; `finish`
            # is for asyncio's own `Task.cancel`, which no shield of anyio holds off.
            with anyio.CancelScope(shield=True):
                await finish(in_thread, grace=math.inf)
        finally:
            for each in together:
                each.woken.set()
            self._next()

    def _next(self) -> None:
        self._is_led = bool(self._waiting)
        if self._waiting:
            self._waiting.popleft().woken.set()
