"""How long tasks of a model take: from the latest ones, or from what is typical for the model."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from math import ceil, isfinite

RECENT = 256
"""Durations kept for each model, about 8 kB: the latest ones, since models become faster."""

ENOUGH = 8
"""Durations from which on they count more than the typical range: two volleys of a small account."""

LOWER_SHARE = 0.05
"""Share of tasks that end sooner than the lower duration: seen late, so it must be small (the
scheduling benchmark: 0.15 makes the latest twentieth of long tasks wait 13 s for it)."""
UPPER_SHARE = 0.95
"""Share of tasks that end within the upper duration."""

UNKNOWN_UPPER = 300.0
"""Upper duration of a model nothing is known about, seconds: the slowest documented
models take about five minutes."""


def nothing_expected(model: str) -> tuple[float, float] | None:  # noqa: ARG001 - the default of a callable
    """Typical seconds of no model at all."""
    return None


class Sample:
    """The latest durations of one model, by age and by size; at least one."""

    __slots__ = ("by_age", "by_size")

    def __init__(self) -> None:
        self.by_age: deque[float] = deque()
        self.by_size: list[float] = []

    def __len__(self) -> int:
        return len(self.by_age)

    def add(self, seconds: float) -> None:
        """Note one, in place of the oldest when there are enough."""
        if len(self.by_age) == RECENT:
            del self.by_size[bisect_left(self.by_size, self.by_age.popleft())]
        self.by_age.append(seconds)
        insort(self.by_size, seconds)

    @property
    def mean(self) -> float:
        """Mean seconds."""
        return sum(self.by_size) / len(self.by_size)

    @property
    def shortest(self) -> float:
        """No task ended sooner, in seconds."""
        return self.by_size[0]

    def longest_of(self, share: float) -> float:
        """The longest of that share of them, the shortest ones."""
        return self.by_size[max(0, ceil(share * len(self.by_size)) - 1)]

    def share_ended(self, age: float, later: float) -> float:
        """Share of the tasks running at one age in seconds that have ended at a later one."""
        return 1.0 - self._survivors(later) / self._survivors(age)

    def _survivors(self, age: float) -> float:
        # Never quite none: one more may always be the longest so far.
        return len(self.by_size) - bisect_right(self.by_size, age) + 0.5


class Durations:
    """Recent durations in seconds, by model.

    Until eight are known, the typical range of `expected_seconds(model)` stands
    in, multiplied by `scale` like every wait that does not come from the server.
    """

    def __init__(
        self,
        expected_seconds: Callable[[str], tuple[float, float] | None] = nothing_expected,
        *,
        scale: float = 1.0,
    ) -> None:
        self._typical = expected_seconds
        self._scale = scale
        self._recent: dict[str, Sample] = {}

    def add(self, model: str, seconds: float) -> None:
        """Note a duration; negative and non-finite ones are left out."""
        if not isfinite(seconds) or seconds < 0:
            return
        recent = self._recent.get(model)
        if recent is None:
            recent = self._recent[model] = Sample()
        recent.add(seconds)

    def expected(self, model: str) -> float | None:
        """Mean seconds of a task, or None while nothing is known."""
        recent = self._recent.get(model)
        if recent is not None and len(recent) >= ENOUGH:
            return recent.mean
        typical = self._typical(model)
        if typical is not None:
            return self._scale * (typical[0] + typical[1]) / 2
        return None if recent is None else recent.mean

    def lower(self, model: str) -> float:
        """Seconds before which hardly any task ends: the 5th percentile; 0 while it is unknown."""
        recent = self._recent.get(model)
        if recent is None or len(recent) < ENOUGH:
            return 0.0
        return recent.longest_of(LOWER_SHARE)

    def upper(self, model: str) -> float:
        """Seconds within which nearly every task ends: the 95th percentile, or the typical maximum."""
        recent = self._recent.get(model)
        if recent is not None and len(recent) >= ENOUGH:
            return recent.longest_of(UPPER_SHARE)
        typical = self._typical(model)
        longest = UNKNOWN_UPPER if typical is None else typical[1]
        return max(self._scale * longest, recent.by_size[-1] if recent else 0.0)

    def sample(self, model: str) -> Sample | None:
        """What was seen of a model lately, None while nothing was."""
        return self._recent.get(model)

    def export(self) -> dict[str, list[float]]:
        """The recent durations of every model, oldest first, fit for JSON."""
        return {model: list(recent.by_age) for model, recent in self._recent.items()}

    def clear(self) -> None:
        """Forget everything that was seen."""
        self._recent.clear()

    def load(self, recent: Mapping[str, Iterable[float]]) -> None:
        """Add what an earlier run exported, as if it had been seen before this run's own."""
        for model, seconds in recent.items():
            own = self._recent.pop(model, None)
            for value in (*seconds, *(own.by_age if own else ())):
                self.add(model, value)
