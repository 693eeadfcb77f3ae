"""What the user of a lane chose, and how long a task is waited for when nothing was."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Decimal

from .._events import EventHandler
from .._requests import describe

__all__ = ["LaneOptions", "default_max_wait", "guest_options"]

# No task is given up sooner than this, in seconds.
MIN_MAX_WAIT = 900.0


def default_max_wait(model: str) -> float:
    """Seconds to wait for a task when the user does not say: generous, at least 15 min."""
    description = describe(model)
    if description is None:
        return MIN_MAX_WAIT
    return max(MIN_MAX_WAIT, 3 * description.typical_seconds[1], description.give_up_seconds)


@dataclass(frozen=True, slots=True)
class LaneOptions:
    """What a lane's user chose."""

    max_in_flight: int | None = None
    max_queue: int | float = math.inf
    budget: Decimal | None = None
    assume_cost: Decimal | None = None
    retry_failed: int = 0
    on_event: EventHandler | None = None
    pause_on_stop: bool = False
    """True: keep the queue and wait for resume(). False: cancel what is unsent."""
    cancel_on_leave: bool = False
    """Whether jobs still queued when the wait is left are cancelled in a durable ledger."""
    group: str = ""
    """The group of jobs that are given none."""
    takes_all: bool = False
    """Whether everything unfinished in the ledger is taken up, not only what comes now."""
    exclusive: bool = False
    """Runs its ledger itself or not at all, and nobody else's jobs in it."""


def guest_options(host: LaneOptions) -> LaneOptions:
    """Under which the jobs of other processes are driven: within the host's money and bounds.

    They pause and wait where a batch would end; their events are told where they wait.
    """
    return replace(
        host,
        max_queue=math.inf,
        retry_failed=0,
        on_event=None,
        pause_on_stop=True,
        cancel_on_leave=False,
        group="",
    )
