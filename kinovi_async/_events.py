"""What happens to jobs, as typed events: the one stream everything else reads.

An event is told after the fact is in the ledger. Times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

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
    "SchedulerPaused",
    "SchedulerResumed",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQueued(Event):
    """A job waits for a slot, durably when there is a ledger."""

    key: str
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSubmitted(Event):
    """A submission is about to leave; its intent is written."""

    key: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRefused(Event):
    """429: nothing happened, the job is back in its place."""

    key: str
    limit: int | None
    """The account's limit as the server told it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAccepted(Event):
    """The server made a task of it."""

    key: str
    task_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPolled(Event):
    """A poll came back: with the task's status, or without one when it failed."""

    key: str
    task_id: str
    status: TaskStatus | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnded(Event):
    """A job ended."""

    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerPaused(Event):
    """Nothing more is submitted until `resume()`; running tasks are polled on."""

    reason: KinoviError


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerResumed(Event):
    """Submissions go on."""


EventHandler: TypeAlias = Callable[[Event], None] | Callable[[Event], Awaitable[None]]
