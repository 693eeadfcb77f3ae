"""Who feeds the account's queue: each lane with its own bound, paused or held back or open."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from itertools import count
from typing import TYPE_CHECKING

from ._heap import LazyHeap

if TYPE_CHECKING:
    from ._entry import Entry
    from ._queue import Line, LineKey


def checked_bound(bound: int | None, name: str) -> int | None:
    """The bound given; ValueError unless it is at least 1 or None."""
    if bound is not None and bound < 1:
        raise ValueError(f"{name} must be at least 1 or None, not {bound!r}")
    return bound


class Lane:
    """One driver's share of the account: its own bound, and what it has running."""

    __slots__ = (
        "active",
        "bound",
        "held",
        "lines",
        "name",
        "parked",
        "partner",
        "paused",
        "serial",
    )

    def __init__(self, name: Hashable, serial: int, bound: int | None) -> None:
        self.name = name
        self.serial = serial
        self.bound = bound
        self.partner: Lane | None = None
        """Another lane that shares its bound, and nothing else."""
        self.paused = False
        self.held = False
        """Not before a certain time, which the account watches."""
        self.active: set[Entry] = set()
        """Submitting, in flight or unclear."""
        self.lines: dict[LineKey, Line] = {}
        self.parked: LazyHeap[Line] | None = None

    @property
    def free(self) -> int | None:
        """How many more entries may be handed out; None: any number."""
        if self.paused or self.held:
            return 0
        return None if self.bound is None else max(0, self.bound - self._busy)

    @property
    def is_open(self) -> bool:
        """Whether another entry may be handed out."""
        if self.paused or self.held:
            return False
        return self.bound is None or self._busy < self.bound

    @property
    def _busy(self) -> int:
        return len(self.active) + (len(self.partner.active) if self.partner is not None else 0)

    def set_bound(self, bound: int | None) -> None:
        """Change the bound, that of a partner included."""
        self.bound = bound
        if self.partner is not None:
            self.partner.bound = bound


class Lanes:
    """The lanes of one account, by name."""

    def __init__(self) -> None:
        self._lanes: dict[Hashable, Lane] = {}
        self._held: LazyHeap[Lane] = LazyHeap()
        self._serials = count()

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._lanes.values())

    def __len__(self) -> int:
        return len(self._lanes)

    def __getitem__(self, name: Hashable) -> Lane:
        lane = self._lanes.get(name)
        if lane is None:
            raise ValueError(f"unknown lane {name!r}")
        return lane

    @property
    def next_release(self) -> float | None:
        """When the next lane held back is let go, or None."""
        return self._held.first_time

    def add(self, name: Hashable, bound: int | None, *, within: Hashable = None) -> None:
        """Open a lane, or one within another's bound; ValueError when there is one of that name."""
        if name in self._lanes:
            raise ValueError(f"lane {name!r} exists already")
        if within is None:
            self._lanes[name] = Lane(name, next(self._serials), bound)
            return
        partner = self[within]
        if partner.partner is not None:
            raise ValueError(f"lane {within!r} shares its bound already")
        lane = self._lanes[name] = Lane(name, next(self._serials), partner.bound)
        lane.partner, partner.partner = partner, lane

    def remove(self, name: Hashable) -> Lane | None:
        """Close a lane and return it; None when there is none."""
        lane = self._lanes.pop(name, None)
        if lane is not None:
            self._held.discard(lane)
            if lane.partner is not None:
                lane.partner.partner = None
        return lane

    def hold(self, lane: Lane, until: float) -> None:
        """Hold a lane back, at least as long as it was to be."""
        if lane.held:
            until = max(until, self._held.key(lane)[0])
        lane.held = True
        self._held.put(lane, (until, lane.serial))

    def release_due(self, now: float) -> Iterator[Lane]:
        """Let go what was held back until now or before."""
        while (lane := self._held.first()) is not None and self._held.key(lane)[0] <= now:
            self._held.discard(lane)
            lane.held = False
            yield lane
