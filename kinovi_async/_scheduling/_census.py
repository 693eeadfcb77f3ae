"""How many entries are where, in all and by group, and how much of the slots is used."""

from __future__ import annotations

from collections.abc import Hashable
from math import isfinite

from ._entry import Entry, Statistics


class Census:
    """The counts of one account. Whoever moves an entry says so here, before or after."""

    __slots__ = (
        "_groups",
        "_slots_known",
        "_slots_used",
        "accepted",
        "in_flight",
        "now",
        "polls",
        "queued",
        "refused",
        "submitting",
    )

    def __init__(self) -> None:
        self.now = float("-inf")
        """Time of the latest event."""
        self.queued = 0
        self.submitting = 0
        self.in_flight = 0
        """Running or unclear."""
        self.accepted = 0
        self.refused = 0
        self.polls = 0
        self._groups: dict[Hashable, list[int]] = {}
        self._slots_used = 0.0
        self._slots_known = 0.0

    @property
    def busy(self) -> int:
        """Entries that count against the bounds."""
        return self.submitting + self.in_flight

    def tick(self, now: float, limit: int | None) -> None:
        """Time went by, with that many slots known to be ours; an earlier time is no time."""
        passed = now - self.now
        if passed <= 0:
            return
        self.now = now
        if limit is not None and self.queued and isfinite(passed):
            self._slots_known += passed * limit
            self._slots_used += passed * min(limit, self.in_flight)

    def moved(self, entry: Entry, *, queued: int = 0, active: int = 0) -> None:
        """An entry of its group came (+1) or went (-1)."""
        self.queued += queued
        counts = self._groups.setdefault(entry.group, [0, 0])
        counts[0] += queued
        counts[1] += active
        if counts == [0, 0]:
            del self._groups[entry.group]

    @property
    def slot_use(self) -> float | None:
        """Share of the known slots in use while jobs were queued; None before there is any."""
        return self._slots_used / self._slots_known if self._slots_known else None

    def statistics(self, *, limit: int | None, oldest: float | None) -> Statistics:
        """Everything counted; oldest is when the oldest queued entry came."""
        return Statistics(
            queued=self.queued,
            submitting=self.submitting,
            in_flight=self.in_flight,
            limit=limit,
            refused=self.refused,
            polls=self.polls,
            accepted=self.accepted,
            slot_use=self.slot_use,
            oldest_queue_age=None if oldest is None else self.now - oldest,
            groups={group: (counts[0], counts[1]) for group, counts in self._groups.items()},
        )
