"""When each running task is polled next: jittered, never twice within the minimum.

A task is polled U(low, high) seconds after its acceptance and after each answer, but
not before the age that nearly all tasks of its model reach: half of all polls are saved.
Where a webhook speaks for it, polls are a fallback ten times as rare, and one at
once when it spoke. A poll that was handed out is not handed out again before its
answer.
"""

from __future__ import annotations

from math import isfinite
from random import Random
from typing import TYPE_CHECKING

from ._heap import LazyHeap

if TYPE_CHECKING:
    from ._durations import Durations
    from ._entry import Entry

LIKELY = 0.2
"""Share of tasks ending within the least interval from which on they are polled at nearly
that interval: ten-second jobs end in step, and a second of waiting is a tenth of one. Longer
tasks end one by one and are polled no more often for it."""
TIGHT = 0.25
"""Part of the jitter that is left then: enough to spread the polls."""

SLOW = (25.0, 35.0)
"""Seconds between fallback polls, for a minimum of 3 s: a webhook that is lost costs no more."""


def checked_interval(interval: tuple[float, float]) -> tuple[float, float]:
    """The interval given; ValueError unless it can be waited for."""
    low, high = interval
    if not (0 < low <= high and isfinite(high)):
        raise ValueError(
            f"poll_interval must be two seconds with 0 < low <= high, not {interval!r}"
        )
    return interval


class PollPlan:
    """The polls of all running tasks of one account, O(log n) each."""

    def __init__(self, interval: tuple[float, float], *, durations: Durations, rng: Random) -> None:
        self._interval = interval
        self._durations = durations
        self._minimum = interval[0]
        scale = interval[0] / 3.0
        self._slow = (SLOW[0] * scale, SLOW[1] * scale)
        self._rng = rng
        self._due: LazyHeap[Entry] = LazyHeap()

    def __len__(self) -> int:
        return len(self._due)

    @property
    def next_due(self) -> float | None:
        """When the next poll is due, or None."""
        return self._due.first_time

    def schedule(self, entry: Entry, now: float) -> None:
        """Plan the next poll of a task accepted or answered for just now."""
        entry.polling = False
        if entry.notified:
            self._at_once(entry, now)
            return
        low, high = self._slow if entry.slow else self._interval
        soonest = max(now + low, entry.accepted_at + self._durations.lower(entry.model))
        jitter = high - low
        sample = self._durations.sample(entry.model)
        if sample is not None and entry.polled_at is not None:
            age = entry.alive_at - entry.accepted_at
            if sample.share_ended(age, soonest - entry.accepted_at) >= LIKELY:
                jitter *= TIGHT
        self._put(entry, soonest + self._rng.uniform(0.0, jitter))

    def inherit(self, entry: Entry, now: float) -> None:
        """Poll a task of an earlier process soon, as it may have ended meanwhile.

        Spread over the minimum, so that many are no more at once than they are later.
        """
        least = max(self._minimum, self._durations.lower(entry.model))
        soonest = max(now, entry.accepted_at + least)
        self._put(entry, soonest + self._rng.uniform(0.0, self._minimum))

    def notified(self, entry: Entry, now: float) -> None:
        """Poll as soon as the minimum allows, once more after a poll that is under way."""
        entry.slow = entry.notified = True
        if not entry.polling:
            self._at_once(entry, now)

    def take_due(self, now: float) -> tuple[Entry, ...]:
        """Hand out everything that is due, longest due first."""
        taken: list[Entry] = []
        while (entry := self._due.first()) is not None and self._due.key(entry)[0] <= now:
            self._due.discard(entry)
            entry.polling = True
            entry.notified = False
            entry.polled_at = now
            taken.append(entry)
        return tuple(taken)

    def discard(self, entry: Entry) -> None:
        """Plan no more polls of a task."""
        entry.polling = False
        self._due.discard(entry)

    def _at_once(self, entry: Entry, now: float) -> None:
        last = entry.polled_at
        self._put(entry, now if last is None else max(now, last + self._minimum))

    def _put(self, entry: Entry, due: float) -> None:
        self._due.put(entry, (due, entry.order))
