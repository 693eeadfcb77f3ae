"""The tasks in flight, and how many of them have probably ended without having been seen."""

from __future__ import annotations

from heapq import nlargest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._durations import Durations
    from ._entry import Entry


class Running:
    """All tasks of one account from their acceptance until their end is seen."""

    __slots__ = ("_durations", "_entries")

    def __init__(self, durations: Durations) -> None:
        self._durations = durations
        self._entries: dict[Entry, None] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry) -> None:
        """A task runs."""
        self._entries[entry] = None

    def discard(self, entry: Entry) -> None:
        """A task was seen ended, or nobody looks after it any more."""
        self._entries.pop(entry, None)

    def expected_ends(self, since: float, now: float, done: int) -> float:
        """How many tasks have ended unseen between two times, as far as their ages tell.

        At `since` exactly `done` of them had ended unseen, presumably the likeliest;
        these cannot end again. Looks at every task: about a microsecond for each.
        """
        ended: list[tuple[float, float]] = []
        for entry in self._entries:
            sample = self._durations.sample(entry.model)
            age = now - entry.accepted_at
            if sample is None or age < sample.shortest:
                continue
            alive = entry.alive_at - entry.accepted_at
            then = max(alive, since - entry.accepted_at)
            ended.append((sample.share_ended(alive, then), sample.share_ended(then, age)))
        expected = sum(share for _, share in ended)
        return expected - sum(share for _, share in nlargest(done, ended)) if done else expected
