"""What goes in and out of the account's decisions: entries, refusals, decisions, statistics."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple


class State(IntEnum):
    """Where an entry stands."""

    NEW = 0
    QUEUED = 1
    SUBMITTING = 2
    """Handed out, its submission on the wire."""
    RUNNING = 3
    """Accepted and not yet seen ended."""
    UNCLEAR = 4
    """May have been accepted: holds its slot for a while."""
    GONE = 5
    """Ended, dropped, forgotten or withdrawn; whatever still arrives for it is ignored."""


class Entry:
    """One job as the account sees it: a few words of memory, no coroutine.

    The caller's arguments are never changed here; the other attributes belong to
    the account and are read-only for everybody else. Entries are told apart by
    identity, never by key.

    With `batch`, the entry is one of a list that is known in full and queued at once:
    within its lane, group and priority the list's longest expected goes first, between
    models; within a model the order of arrival stays. Everything else keeps it anyway.
    """

    __slots__ = (
        "accepted_at",
        "alive_at",
        "batch",
        "enqueued_at",
        "group",
        "held_at_send",
        "key",
        "knock",
        "lane",
        "model",
        "notified",
        "order",
        "payload",
        "polled_at",
        "polling",
        "priority",
        "refusals",
        "sent_at",
        "slow",
        "state",
        "turn",
    )

    def __init__(
        self,
        *,
        key: str,
        model: str,
        group: Hashable,
        lane: Hashable,
        priority: int = 0,
        batch: bool = False,
        payload: object = None,
    ) -> None:
        self.key = key
        self.model = model
        self.group = group
        self.priority = priority
        self.lane = lane
        self.batch = batch
        self.payload = payload

        self.state = State.NEW
        self.order = -1
        """Order of arrival in the account, given once; it decides the entry's place for good."""
        self.turn = -1
        """The turn of its group that it used, given back when it returns to the queue."""
        self.enqueued_at = 0.0
        self.refusals = 0
        """Times it was refused with 429."""

        self.knock = False
        """Whether its submission goes beyond the known limit."""
        self.sent_at = 0.0
        self.held_at_send = 0
        """Tasks of ours in flight when it was handed out."""

        self.accepted_at = 0.0
        self.alive_at = 0.0
        """Latest moment at which the task is known to have been running."""
        self.polled_at: float | None = None
        """When its latest poll was handed out."""
        self.polling = False
        """A poll is handed out and not yet answered."""
        self.slow = False
        """A webhook speaks for this task; polls are only a fallback."""
        self.notified = False
        """A webhook spoke and no poll has answered since."""

    def __repr__(self) -> str:
        return f"<Entry {self.key!r} {self.state.name.lower()} order={self.order}>"


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a 429 said."""

    limit: int | None = None
    """Tasks the account may run, from the body."""
    current: int | None = None
    """Tasks it was running, those of other programs included, from the body."""
    retry_after: float | None = None
    """Real seconds, from the Retry-After header."""
    is_rate: bool = False
    """About requests per time, not about running tasks: says nothing about the limit."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """What to do now. Everything named here counts as begun."""

    submit: tuple[Entry, ...]
    """To be submitted, in this order; each needs an answer through one of the account's events."""
    poll: tuple[Entry, ...]
    """To be polled, longest due first; each needs `polled`, `ended` or `forget`."""
    wake_at: float | None
    """When to decide again although nothing happened; None: only after the next event."""


class Gauges(NamedTuple):
    """The counts that a dashboard follows; as in `Statistics`."""

    queued: int
    in_flight: int
    limit: int | None
    slot_use: float | None
    polls: int


class Statistics(NamedTuple):
    """Counts of one account at one moment."""

    queued: int
    submitting: int
    in_flight: int
    """Accepted and not seen ended, unclear submissions included."""
    limit: int | None
    """The limit as learned, None before the first 429."""
    refused: int
    """429 answers so far."""
    polls: int
    """Polls handed out so far."""
    accepted: int
    """Submissions accepted so far."""
    slot_use: float | None
    """Share of the known slots in use while jobs were queued, 0 to 1; None before there is any."""
    oldest_queue_age: float | None
    """Seconds that the oldest queued job has been waiting; None with an empty queue."""
    groups: Mapping[Hashable, tuple[int, int]]
    """For each group its jobs queued, and submitting or in flight."""
