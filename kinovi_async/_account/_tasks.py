"""What happens in a lane's own tasks, and what becomes of an error there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import anyio.abc

from .._errors import ConfigurationError

__all__ = ["Tasks"]


class Tasks:
    """A task group that comes later, and ends with the first error, which it keeps."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.closing = False
        """Nothing more is begun."""
        self.crash: Exception | None = None
        """Why it broke; raised by `run`."""
        self._wake = wake
        self._group: anyio.abc.TaskGroup | None = None
        self._early: list[Callable[[], Awaitable[None]]] = []
        """What was decided before there was a task group."""

    def begin_in(self, group: anyio.abc.TaskGroup) -> None:
        """From here on there is a task group."""
        self._group = group
        for act in self._early:
            group.start_soon(self._guard, act)
        self._early.clear()

    def fail(self, error: Exception) -> None:
        """Breaks the lane: its jobs are told, and `run` raises the error."""
        if self.crash is None:
            self.crash = error
        self._wake()

    def begin(self, act: Callable[[], Awaitable[None]]) -> None:
        """Starts something in the lane's own tasks, now or as soon as it runs."""
        if self._group is not None:
            if not self.closing:
                self._group.start_soon(self._guard, act)
        elif not self.closing:
            self._early.append(act)

    async def _guard(self, act: Callable[[], Awaitable[None]]) -> None:
        """An error here is the ledger's or a bug: it ends the lane, alone and unwrapped."""
        try:
            await act()
        except Exception as error:  # noqa: BLE001 - raised again by run()
            self.fail(error)

    async def carry_out(self, act: Callable[[], Awaitable[None]]) -> None:
        """Does something to the end, whatever becomes of the caller.

        Raises:
            ConfigurationError: the lane is not running.
            LedgerError: it broke the lane.
        """
        self.check_alive()
        done = anyio.Event()

        async def run() -> None:
            with anyio.CancelScope(shield=True):
                try:
                    await act()
                except Exception as error:  # noqa: BLE001 - raised below, and by run()
                    self.fail(error)
                finally:
                    done.set()

        self.begin(run)
        await done.wait()
        if self.crash is not None:
            raise self.crash

    def check_alive(self) -> None:
        """Refuses work that nobody would do.

        Raises:
            ConfigurationError, LedgerError: the lane has ended, or broke.
        """
        if self.crash is not None:
            raise self.crash
        if self.closing:
            msg = "the wait these jobs belong to has ended"
            raise ConfigurationError(msg)
