"""Which queued job goes next: priority, then the group whose turn it is, then order of arrival.

A *line* is what one lane has queued for one group at one priority. Lines of open
lanes are shown to their group, and the next job is the first of the first line of
the first group of the highest priority; the first line is the one with the oldest
job. A batch that is known in full has a line of its own, of which the model that is
expected to take longest goes first: short tasks fill the gaps at the end, where a
long one would run alone (benchmarks/scheduling.py: 1.10 -> 1.02 times the lower
bound in a mixed batch on 50 slots). Nothing overtakes within a model, between lines, groups or priorities. A line whose lane turns out to be closed
(paused, held back, at its bound) is parked with its lane when it comes up, and
shown again when the lane opens: closed lanes are stepped over without a scan. A
lane that opens for n jobs shows its n best lines only, so that a lane at its bound
with thousands of groups does not park and show them all for each slot. Exact,
except that a group spread over several bounded lanes may get a turn a little late.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf
from typing import TYPE_CHECKING, TypeAlias

from ._entry import Entry, State
from ._heap import Key, LazyHeap

if TYPE_CHECKING:
    from ._lanes import Lane

LineKey: TypeAlias = tuple[int, Hashable, bool]
"""Priority, group, and whether it is a known batch."""

Expected: TypeAlias = Callable[[str], float | None]
"""Seconds that a task of a model is expected to take, None while nothing is known."""


class Pile:
    """Queued entries in order of arrival. Never empty where it is kept."""

    __slots__ = ("heap", "live")

    def __init__(self) -> None:
        self.heap: list[tuple[int, Entry]] = []
        self.live = 0
        """Entries really queued; the heap may hold withdrawn ones as well."""

    def push(self, entry: Entry) -> None:
        """Queue an entry at the place of its order, given at its arrival and for good."""
        heappush(self.heap, (entry.order, entry))
        self.live += 1

    def first(self) -> Entry:
        """The oldest entry."""
        while self.heap[0][1].state is not State.QUEUED:
            heappop(self.heap)
        return self.heap[0][1]

    def pop(self) -> Entry:
        """Remove and return the oldest entry."""
        entry = self.first()
        heappop(self.heap)
        self.live -= 1
        return entry

    def lost_one(self) -> None:
        """Count an entry that was withdrawn in place, and sweep when they outnumber the others."""
        self.live -= 1
        if len(self.heap) > 2 * self.live + 8:
            self.heap = [item for item in self.heap if item[1].state is State.QUEUED]
            heapify(self.heap)


class Line:
    """What one lane has queued for one group at one priority: a known batch, or one by one."""

    __slots__ = ("expected", "key", "lane", "live", "piles", "turn")

    def __init__(self, lane: Lane, turn: Turn, key: LineKey, expected: Expected) -> None:
        self.lane = lane
        self.turn = turn
        self.key = key
        self.expected = expected
        self.live = 0
        self.piles: dict[str, Pile] = {}
        """By model in a batch, otherwise all in one."""

    @property
    def priority(self) -> int:
        """That of all its entries."""
        return self.key[0]

    @property
    def place(self) -> Key:
        """Its place among the lines of its group: the arrival of its oldest entry."""
        return (0.0, min(pile.first().order for pile in self.piles.values()))

    def push(self, entry: Entry) -> None:
        """Queue an entry at its own place."""
        name = entry.model if entry.batch else ""
        pile = self.piles.get(name)
        if pile is None:
            pile = self.piles[name] = Pile()
        pile.push(entry)
        self.live += 1

    def pop(self) -> Entry:
        """Remove and return what goes next: the oldest of the model expected to take longest.

        A model that nothing is known of may well be long, and counts as longest.
        """
        name = (
            next(iter(self.piles)) if len(self.piles) == 1 else max(self.piles, key=self._seconds)
        )
        entry = self.piles[name].pop()
        self._lost_one(name)
        return entry

    def withdraw(self, entry: Entry) -> None:
        """Forget an entry that is not queued any more."""
        name = entry.model if entry.batch else ""
        self.piles[name].lost_one()
        self._lost_one(name)

    def entries(self) -> Iterator[Entry]:
        """Everything queued, in no order."""
        for pile in self.piles.values():
            for _, entry in pile.heap:
                if entry.state is State.QUEUED:
                    yield entry

    def _lost_one(self, name: str) -> None:
        self.live -= 1
        if not self.piles[name].live:
            del self.piles[name]

    def _seconds(self, model: str) -> float:
        seconds = self.expected(model)
        return inf if seconds is None else seconds


class Turn:
    """One group's standing in the round robin of one priority."""

    __slots__ = ("group", "level", "lines", "shown", "stamp")

    def __init__(self, group: Hashable, level: Level, stamp: int) -> None:
        self.group = group
        self.level = level
        self.stamp = stamp
        """The smallest goes next; a turn used puts the group behind all others."""
        self.lines = 0
        """Lines of the group, shown and parked."""
        self.shown: LazyHeap[Line] = LazyHeap()


class Level:
    """All groups of one priority."""

    __slots__ = ("priority", "ring", "turns")

    def __init__(self, priority: int) -> None:
        self.priority = priority
        self.turns: dict[Hashable, Turn] = {}
        self.ring: LazyHeap[Turn] = LazyHeap()
        """Groups with a line shown."""


class FairQueue:
    """All queued entries of one account.

    Every operation is O(log n) amortised, and in a batch O(models) on top.
    """

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        self._levels: dict[int, Level] = {}
        self._ready: LazyHeap[Level] = LazyHeap()
        """Priorities with a group in the ring."""
        self._stamps = count()
        self._live = 0

    def __len__(self) -> int:
        return self._live

    def add(self, entry: Entry, lane: Lane) -> None:
        """Queue an entry at the place of its order; one that returns gives its group the turn back."""
        level = self._levels.get(entry.priority)
        if level is None:
            level = self._levels[entry.priority] = Level(entry.priority)
        turn = level.turns.get(entry.group)
        if turn is None:
            stamp = next(self._stamps) if entry.turn < 0 else entry.turn
            turn = level.turns[entry.group] = Turn(entry.group, level, stamp)
        elif 0 <= entry.turn < turn.stamp:
            self._stamp(turn, entry.turn)
        entry.turn = -1
        key = _line_key(entry)
        line = lane.lines.get(key)
        if line is None:
            line = lane.lines[key] = Line(lane, turn, key, self._expected)
            turn.lines += 1
        line.push(entry)
        self._live += 1
        entry.state = State.QUEUED
        if lane.is_open:
            self._show(line)
        else:
            self._park(line)

    def discard(self, entry: Entry, lane: Lane) -> None:
        """Forget a queued entry, whose state is then `GONE`."""
        entry.state = State.GONE
        line = lane.lines[_line_key(entry)]
        self._live -= 1
        line.withdraw(entry)
        if not line.live:
            self._close(line)

    def ready(self) -> bool:
        """Whether some open lane has an entry queued."""
        return self._next() is not None

    def take(self) -> Entry | None:
        """Remove and return the entry that goes next; its group goes behind the others."""
        line = self._next()
        if line is None:
            return None
        entry = line.pop()
        self._live -= 1
        entry.turn = line.turn.stamp
        self._stamp(line.turn, next(self._stamps))
        if not line.live:
            self._close(line)
        return entry

    def reopened(self, lane: Lane) -> None:
        """Show what an open lane could hand out; call it whenever a lane may have opened."""
        self._unpark(lane)
        if lane.partner is not None:
            self._unpark(lane.partner)

    def _unpark(self, lane: Lane) -> None:
        parked, free = lane.parked, lane.free
        while parked and (free is None or free > 0):
            line = parked.first()
            if line is None:
                break
            key: Key = (-line.priority, line.turn.stamp)
            if parked.key(line) != key:  # its group has had a turn through another lane since
                parked.put(line, key)
                continue
            self._show(line)
            if free is not None:
                free -= 1
        if not parked:
            lane.parked = None

    def drain(self, lane: Lane) -> list[Entry]:
        """Remove everything a lane has queued; in order of arrival, each now `GONE`."""
        entries = list(self.entries(lane))
        for line in list(lane.lines.values()):
            self._live -= line.live
            self._close(line)
        for entry in entries:
            entry.state = State.GONE
        entries.sort(key=lambda entry: entry.order)
        return entries

    @staticmethod
    def entries(lane: Lane) -> Iterator[Entry]:
        """All entries a lane has queued, in no order."""
        for line in lane.lines.values():
            yield from line.entries()

    def _next(self) -> Line | None:
        while (level := self._ready.first()) is not None:
            turn = level.ring.first()
            line = None if turn is None else turn.shown.first()
            if turn is None:
                self._ready.discard(level)
            elif line is None:
                level.ring.discard(turn)
            elif not line.lane.is_open:
                self._park(line)
            elif turn.shown.key(line) != (place := line.place):
                turn.shown.put(line, place)  # its oldest entry was taken or withdrawn
            else:
                return line
        return None

    def _show(self, line: Line) -> None:
        turn = line.turn
        level = turn.level
        if line.lane.parked is not None:
            line.lane.parked.discard(line)
        turn.shown.put(line, line.place)
        level.ring.put(turn, (turn.stamp, 0))
        self._ready.put(level, (-level.priority, 0))

    def _park(self, line: Line) -> None:
        line.turn.shown.discard(line)
        if line.lane.parked is None:
            line.lane.parked = LazyHeap()
        line.lane.parked.put(line, (-line.priority, line.turn.stamp))

    def _stamp(self, turn: Turn, stamp: int) -> None:
        turn.stamp = stamp
        if turn in turn.level.ring:
            turn.level.ring.put(turn, (stamp, 0))

    def _close(self, line: Line) -> None:
        turn, lane = line.turn, line.lane
        level = turn.level
        was_shown = line in turn.shown
        del lane.lines[line.key]
        turn.shown.discard(line)
        turn.lines -= 1
        if lane.parked is not None:
            lane.parked.discard(line)
            if not lane.parked:
                lane.parked = None
            elif was_shown:
                self.reopened(lane)
        if not turn.lines:
            level.ring.discard(turn)
            del level.turns[turn.group]
            if not level.turns:
                self._ready.discard(level)
                del self._levels[level.priority]


def _line_key(entry: Entry) -> LineKey:
    return (entry.priority, entry.group, entry.batch)
