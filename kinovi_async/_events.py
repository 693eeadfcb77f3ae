"""What happens to jobs, as typed events: the one stream everything else reads.

An event is told after the fact is in the ledger. Times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, TypeAlias

from ._errors import KinoviError
from ._outcomes import Outcome
from ._records import TaskStatus

__all__ = [
    "Event",
    "EventHandler",
    "JobAccepted",
    "JobEnded",
    "JobPolled",
    "JobQueued",
    "JobRefused",
    "JobSubmitted",
    "Observer",
    "SchedulerPaused",
    "SchedulerResumed",
    "StrayTask",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events."""

    at: float
    echo: bool = False
    """Whether this is also told where the job is driven: in another process on the same
    ledger, or under another handle of the same key; or was told when it happened, of a job
    that had ended before it was entered again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQueued(Event):
    """A job waits for a slot, durably when there is a ledger."""

    key: str
    model: str
    cost: Decimal | None = None
    """Credits it is expected to cost, None when its price is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSubmitted(Event):
    """A submission is about to leave; its intent is written."""

    key: str
    attempt: int
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRefused(Event):
    """429: nothing happened, the job is back in its place."""

    key: str
    limit: int | None
    """The account's limit as the server told it."""
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAccepted(Event):
    """The server made a task of it."""

    key: str
    task_id: str
    model: str = ""
    queue_time: float | None = None
    """Seconds in this process's queue, refused submissions included; None for an echo."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPolled(Event):
    """A poll came back: with the task's status, or without one when it failed."""

    key: str
    task_id: str
    status: TaskStatus | None
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnded(Event):
    """A job ended."""

    outcome: Outcome
    refusals: int = 0
    """Submissions of this process that were answered with 429."""
    stamp: str | None = None
    """What the `Observer` said where the job was submitted, in whichever process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StrayTask(Event):
    """A webhook proved that the server made a second task of a job: it is paid for, too.

    Or the only one, of a job that had ended as not sent. It is told once for each task, and
    nothing is done about it.
    """

    key: str
    task_id: str
    """The task that is not the job's."""
    attempt: int
    """Which of the job's submissions it was made of."""
    job_task_id: str | None
    """The job's own task, None when it has none."""
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerPaused(Event):
    """Nothing more is submitted until `resume()`; running tasks are polled on."""

    reason: KinoviError


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerResumed(Event):
    """Submissions go on."""


class Observer(Protocol):
    """What watches a whole client: every event of every job that it drives.

    Unlike a scheduler's `on_event`, it hears of `generate`, of other processes' jobs, and
    of jobs that end because their wait is left.
    """

    def __call__(self, event: Event) -> None:
        """Takes an event, after the fact is in the ledger. What it raises is logged."""

    def stamp(self) -> str | None:
        """A short text that comes back with the end of the job that is being submitted.

        Called in the context of whoever submits.
        """


EventHandler: TypeAlias = Callable[[Event], None] | Callable[[Event], Awaitable[None]]
