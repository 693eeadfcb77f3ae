"""How long tasks of a model take: from the latest ones, or from what is typical for the model."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from math import ceil, isfinite

RECENT = 256
"""Durations kept for each model (scheduling.md: "last 256"), about 8 kB a model."""

ENOUGH = 8
"""Durations from which on they count more than the typical range (scheduling.md: 8)."""

UPPER_SHARE = 0.95
"""Share of tasks that end within the upper typical duration."""

UNKNOWN_UPPER = 300.0
"""Upper duration of a model nothing is known about, seconds: the slowest documented
models take about five minutes."""


def nothing_expected(model: str) -> tuple[float, float] | None:  # noqa: ARG001 - the default of a callable
    """Typical seconds of no model at all."""
    return None


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
        self._recent: dict[str, deque[float]] = {}

    def add(self, model: str, seconds: float) -> None:
        """Note a duration; negative and non-finite ones are left out."""
        if not isfinite(seconds) or seconds < 0:
            return
        recent = self._recent.get(model)
        if recent is None:
            recent = self._recent[model] = deque(maxlen=RECENT)
        recent.append(seconds)

    def expected(self, model: str) -> float | None:
        """Mean seconds of a task, or None while nothing is known."""
        recent = self._recent.get(model, ())
        if len(recent) >= ENOUGH:
            return sum(recent) / len(recent)
        typical = self._typical(model)
        if typical is not None:
            return self._scale * (typical[0] + typical[1]) / 2
        return sum(recent) / len(recent) if recent else None

    def upper(self, model: str) -> float:
        """Seconds within which nearly every task ends: the 95th percentile, or the typical maximum."""
        recent = sorted(self._recent.get(model, ()))
        if len(recent) >= ENOUGH:
            return recent[ceil(UPPER_SHARE * len(recent)) - 1]
        typical = self._typical(model)
        longest = UNKNOWN_UPPER if typical is None else typical[1]
        return max([self._scale * longest, *recent])

    def export(self) -> dict[str, list[float]]:
        """The recent durations of every model, oldest first, fit for JSON."""
        return {model: list(recent) for model, recent in self._recent.items()}

    def load(self, recent: Mapping[str, Iterable[float]]) -> None:
        """Add what an earlier run exported, as if it had been seen before this run's own."""
        for model, seconds in recent.items():
            own = self._recent.pop(model, ())
            for value in (*seconds, *own):
                self.add(model, value)
