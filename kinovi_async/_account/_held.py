"""An unclear submission that waits for a webhook before it is settled.

Its row stays `sending`: the credits are reserved, nobody sends it, and a crash leaves it
ambiguous. In the queue it keeps its slot for as long as such a task typically runs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import anyio

if TYPE_CHECKING:
    from ._job import Job
    from ._lane import Lane

__all__ = ["hold", "seconds_to_hold"]

CHECK_SECONDS: Final = 30.0
"""How long a hint that came before the unclear answer has to be proven, at least."""


def seconds_to_hold(lane: Lane, job: Job) -> float:
    """How long to wait for a webhook; 0: it is settled at once."""
    mailbox = lane.book.mailbox
    if mailbox is None or not job.hooked or lane.closing:
        return 0.0
    wished = lane.account.policy.hold_for_webhook
    seconds = wished.total_seconds() if isinstance(wished, timedelta) else float(wished)
    return max(seconds, CHECK_SECONDS) if mailbox.expects(job) else seconds


def hold(lane: Lane, job: Job, seconds: float, *, otherwise: Callable[[], Awaitable[None]]) -> None:
    """Waits for a webhook; `otherwise`, once, if none proves that it was accepted."""
    assert job.entry is not None  # noqa: S101 - it was submitted
    event = job.held = anyio.Event()
    lane.account.state.unclear(job.entry, anyio.current_time())

    async def wait() -> None:
        try:
            with anyio.move_on_after(seconds):
                await event.wait()
        finally:  # also when the wait is left
            if job.held is event:
                job.held = None
                with anyio.CancelScope(shield=True):
                    await otherwise()
                lane.account.pump()

    lane.begin(wait)
