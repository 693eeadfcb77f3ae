"""When a line of progress is due where there is no terminal: often at first, rarely in a long run."""

from __future__ import annotations

from collections.abc import Callable

from ._snapshot import Snapshot

__all__ = ["LINE_SECONDS", "Throttle"]

LINE_SECONDS = 10.0
"""Least seconds between two lines."""
LATEST = 6
"""After so many times that, a line is due as soon as anything has changed."""
STEP = 0.05
"""Share of the jobs whose end makes a line due sooner."""


class Throttle:
    """Says when a line is due: by time, and by what has happened since the last one.

    A run of ten thousand jobs and many hours takes about twenty lines and one a minute; one
    that is stuck takes none.

    Args:
        clock: Monotonic seconds.
        interval: Least seconds between two lines.
    """

    def __init__(self, clock: Callable[[], float], interval: float = LINE_SECONDS) -> None:
        self._clock = clock
        self._interval = interval
        self._told_at = clock()
        self._told: tuple[object, ...] | None = None
        self._done = 0
        self._notice: str | None = None

    def is_due(self, shot: Snapshot) -> bool:
        """Whether to tell this snapshot now; if so, it counts as told."""
        now = self._clock()
        passed = now - self._told_at
        if passed < self._interval:
            return False
        notice = None if shot.notice is None else shot.notice[0]
        state = (shot.done, shot.running, shot.submitting, shot.files, notice)
        if state == self._told:
            return False
        moved = abs(shot.done - self._done) >= STEP * shot.total and shot.done != self._done
        first = self._told is None
        if not (first or moved or notice != self._notice or passed >= LATEST * self._interval):
            return False
        self._told_at, self._told, self._done, self._notice = now, state, shot.done, notice
        return True
