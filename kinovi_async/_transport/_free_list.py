"""Decides which idle connection is used next and which is closed.

The last one given back is taken first, so that the others grow old and go: the number of
open connections follows the load.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

__all__ = ["FreeList"]

T = TypeVar("T")


class FreeList(Generic[T]):
    """Idle things by origin, each used by one exchange at a time.

    Args:
        max_idle: Seconds after which an idle thing is no longer used.
    """

    def __init__(self, *, max_idle: float) -> None:
        self._max_idle = max_idle
        self._free: dict[str, deque[tuple[float, T]]] = {}

    def __len__(self) -> int:
        return sum(len(entries) for entries in self._free.values())

    def take(self, origin: str, now: float) -> T | None:
        """The one that was used last, None when none is fresh enough."""
        entries = self._free.get(origin)
        if not entries or now - entries[-1][0] > self._max_idle:
            return None
        return entries.pop()[1]

    def put(self, origin: str, item: T, now: float) -> None:
        """Gives one back."""
        self._free.setdefault(origin, deque()).append((now, item))

    def expired(self, now: float) -> list[T]:
        """Takes out what has been idle for too long, to be closed by the caller."""
        gone: list[T] = []
        for origin, entries in list(self._free.items()):
            while entries and now - entries[0][0] > self._max_idle:
                gone.append(entries.popleft()[1])
            if not entries:
                del self._free[origin]
        return gone

    def drain(self) -> list[T]:
        """Takes out everything, to be closed by the caller."""
        gone = [item for entries in self._free.values() for _, item in entries]
        self._free.clear()
        return gone
