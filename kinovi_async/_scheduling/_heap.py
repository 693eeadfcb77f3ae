"""A heap whose items can move and leave: what comes first, without ever scanning.

Moving an item pushes it again and leaves the old place behind as a stale one,
which is skipped when it surfaces. Stale places never outnumber the live ones by
more than a constant, so nothing that left is kept alive for long.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import count
from typing import Generic, TypeAlias, TypeVar

T = TypeVar("T")

Key: TypeAlias = tuple[float, int]
"""What a heap sorts by, smallest first. No two live items of one heap have the same key, but a stale
place may have that of a live one: the serial behind it breaks the tie."""

_SLACK = 8
"""Stale places a small heap may hold before it is rebuilt: rebuilding costs more than they do."""


class LazyHeap(Generic[T]):
    """Items with a key each; every operation is O(log n) amortised. Items are told by identity."""

    __slots__ = ("_heap", "_keys", "_serials")

    def __init__(self) -> None:
        self._heap: list[tuple[Key, int, T]] = []
        self._keys: dict[T, Key] = {}
        self._serials = count()

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, item: T) -> bool:
        return item in self._keys

    def put(self, item: T, key: Key) -> None:
        """Add an item, or move it to another key."""
        if self._keys.get(item) == key:
            return
        self._keys[item] = key
        heappush(self._heap, (key, next(self._serials), item))
        self._compact()

    def discard(self, item: T) -> None:
        """Remove an item if it is there."""
        if self._keys.pop(item, None) is not None:
            self._compact()

    def key(self, item: T) -> Key:
        """The key of an item that is there."""
        return self._keys[item]

    def first(self) -> T | None:
        """The item with the smallest key, or None."""
        heap, keys = self._heap, self._keys
        while heap:
            key, _, item = heap[0]
            if keys.get(item) == key:
                return item
            heappop(heap)
        return None

    @property
    def first_time(self) -> float | None:
        """The first number of the smallest key, or None."""
        item = self.first()
        return None if item is None else self._keys[item][0]

    def _compact(self) -> None:
        if not self._keys:
            self._heap.clear()
        elif len(self._heap) > 2 * len(self._keys) + _SLACK:
            self._heap = [(key, next(self._serials), item) for item, key in self._keys.items()]
            heapify(self._heap)
