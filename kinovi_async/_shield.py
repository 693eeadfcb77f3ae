"""Finishes a call that must not be cut in half, though its caller is cancelled.

HTTP pools lose connections for ever when a request is cancelled at the wrong moment
(encode/httpcore#1093). Here the call runs in a child task under a shield: a cancelled
caller gives it a few more seconds, then cancels it as a scope, never natively.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio
import anyio.lowlevel

__all__ = ["finish"]

T = TypeVar("T")


class _Result(Generic[T]):
    __slots__ = ("error", "value")

    value: T
    error: Exception | None

    def __init__(self) -> None:
        self.error = None


async def finish(call: Callable[[], Awaitable[T]], *, grace: float) -> T:
    """Awaits `call()` in a shielded child task.

    Args:
        call: What to run, once.
        grace: Seconds the call may still run after the caller was cancelled; 0 cancels
            it at once.

    Returns:
        What the call returned. What it raises is raised as it is, in no group.

    Cancelling the caller, through a scope or with asyncio's own `Task.cancel()`, waits for
    the call for up to `grace` seconds, then cancels and awaits it; the cancellation goes
    on either way and the result is dropped.
    """
    await anyio.lowlevel.checkpoint_if_cancelled()
    result: _Result[T] = _Result()
    scope = anyio.CancelScope(shield=True)
    done = anyio.Event()

    async def run() -> None:
        try:
            with scope:
                try:
                    result.value = await call()
                except Exception as exc:  # noqa: BLE001 - handed to the caller below
                    result.error = exc
        finally:
            done.set()

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        try:
            await done.wait()
        except anyio.get_cancelled_exc_class():
            if grace > 0:
                scope.deadline = min(scope.deadline, anyio.current_time() + grace)
            else:
                scope.cancel()
            raise
    if result.error is not None:
        error, result.error = result.error, None  # no cycle through the traceback
        raise error
    return result.value
