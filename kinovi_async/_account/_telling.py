"""Who is told of events: the client's observer, and the handler of the call or scheduler."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable
from typing import TYPE_CHECKING

import anyio

from .._events import Event, EventHandler

if TYPE_CHECKING:
    from ._account import Account
    from ._grace import Grace
    from ._tasks import Tasks

__all__ = ["Teller"]

_log = logging.getLogger("kinovi_async")


class Teller:
    """Tells events in the order they come. What a listener raises is logged, never fatal."""

    def __init__(
        self,
        account: Account,
        handler: EventHandler | None,
        tasks: Tasks,
        grace: Grace,
    ) -> None:
        self._account = account
        self._handler = handler
        self._tasks = tasks
        self._grace = grace

    @property
    def heard(self) -> bool:
        """Whether anybody listens."""
        return self._handler is not None or self._account.observer is not None

    def observe(self, event: Event) -> None:
        """Tells the client's observer alone."""
        if self._account.observer is None:
            return
        try:
            self._account.observer(event)
        except Exception:  # noqa: BLE001 - the user's
            _log.exception("the observer raised for %s", type(event).__name__)

    async def emit(self, event: Event) -> None:
        """Tells both, and waits for an async handler."""
        answer = self._tell(event)
        if answer is not None:
            with self._grace.bound(anyio.CancelScope()):
                await _hear_out(answer, event)

    async def emit_aside(self, event: Event) -> None:
        """The same, and waits for nobody: a handler may send jobs, which wait for the caller."""
        answer = self._tell(event)
        if answer is None:
            return

        async def hear_out() -> None:
            with self._grace.bound(anyio.CancelScope(shield=True)):
                await _hear_out(answer, event)

        if self._tasks.closing:  # nothing more is begun, and no job is let in
            await hear_out()
        else:
            self._tasks.begin(hear_out)

    def _tell(self, event: Event) -> Awaitable[object] | None:
        self.observe(event)
        if self._handler is None:
            return None
        try:
            answer = self._handler(event)
        except Exception:  # noqa: BLE001 - the user's
            _log.exception("on_event raised for %s", type(event).__name__)
            return None
        return answer if inspect.isawaitable(answer) else None


async def _hear_out(answer: Awaitable[object], event: Event) -> None:
    try:
        await answer
    except Exception:  # noqa: BLE001 - the user's
        _log.exception("on_event raised for %s", type(event).__name__)
