"""What is known of the durations of a model's tasks: seen in this run, and before it.

What was seen counts for more the more of it there is, and for less the more tasks still
run: the first that end are the short ones, and say little about the others.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import TYPE_CHECKING

from .._scheduling import Durations
from ._remaining import Seconds

if TYPE_CHECKING:
    from .._scheduler import JobScheduler

__all__ = ["Learned", "before_of", "typical_of"]

Before = Callable[[str], Seconds | None]
"""What was known of a model before the run."""

ENOUGH = 3
"""Tasks that must have ended before the documents' durations are believed: they tell whether
this server takes its time as the real one does (a simulator may not)."""
FEW = 8
"""Durations up to which their own spread is not believed."""
_SURE = 2.0  # standard errors on each side: 95 in 100
_EVENLY = sqrt(12)  # range over standard deviation, when everything in it is equally likely
_OUTLIVES = 1.3  # what has run for so long runs on a while: nothing better is known


class Learned:
    """Durations by model, as the tasks of a run end."""

    def __init__(self, before: Before | None = None) -> None:
        self._seen = Durations()
        self._before = before
        self._models: dict[str, int] = {}

    def add(self, model: str, seconds: float) -> None:
        """A task ended after so many seconds."""
        self._seen.add(model, seconds)
        self._models[model] = self._models.get(model, 0) + 1

    def know_before(self, before: Before) -> None:
        """From here on this is what was known before the run."""
        self._before = before

    def seconds(self, model: str, *, running: int = 0, age: float = 0.0) -> Seconds | None:
        """What is known of a model, None while nothing is.

        Args:
            model: Its id.
            running: Its tasks that have not ended.
            age: Seconds that these have run, on average.
        """
        before = self._known_before(model)
        sample = self._seen.sample(model)
        if sample is None:
            return before
        seen = len(sample)
        if before is not None:
            # Each running task is one that will end as usual.
            weight = running + max(0, FEW - seen)
            mean = (seen * sample.mean + weight * before.mean) / (seen + weight)
        else:
            still = max(sample.mean, age * _OUTLIVES)
            mean = (seen * sample.mean + running * still) / (seen + running)
        spread = sqrt(sum((each - sample.mean) ** 2 for each in sample.by_size) / seen)
        longest = max(sample.longest_of(0.95), mean)
        if seen < FEW:
            usual = before or Seconds(mean / 2, mean, mean * 1.5, mean * 2)
            spread = max(spread, (usual.longest - usual.low) / _EVENLY)
            longest = max(longest, usual.longest if before is not None else mean)
        off = _SURE * spread / sqrt(seen)
        return Seconds(max(mean / 2, mean - off), mean, mean + off, max(longest, mean + off))

    def _known_before(self, model: str) -> Seconds | None:
        if self._before is not None:
            return self._before(model)
        typical = typical_of(model)
        pace = self._pace()
        if typical is None or pace is None:
            return None
        return Seconds(
            typical.low * pace, typical.mean * pace, typical.high * pace, typical.longest * pace
        )

    def _pace(self) -> float | None:
        """How long tasks take here, as a multiple of what the documents say; None: not known."""
        if sum(self._models.values()) < ENOUGH:
            return None
        seen = usual = 0.0
        for model, count in self._models.items():
            typical, sample = typical_of(model), self._seen.sample(model)
            if typical is not None and sample is not None:
                seen += count * sample.mean
                usual += count * typical.mean
        if not usual:
            return None
        pace = seen / usual
        # Within its own range a model says nothing about the others.
        return 1.0 if 0.5 <= pace <= 2.0 else pace  # noqa: PLR2004 - half and double


def typical_of(model: str) -> Seconds | None:
    """What the documents say about a model."""
    from .._requests import describe

    described = describe(model)
    return None if described is None else _of_range(*described.typical_seconds)


def before_of(scheduler: JobScheduler) -> Before:
    """What a scheduler knows: of earlier runs with its ledger, of this one, of the documents."""

    def before(model: str) -> Seconds | None:
        lane = scheduler._lane  # noqa: SLF001 - one package
        if lane is None:
            return None
        durations = lane.account.state.durations
        mean = durations.expected(model)
        if mean is None:
            return None
        sample = durations.sample(model)
        if sample is not None and len(sample) >= FEW:
            spread = (sample.longest_of(0.95) - sample.shortest) / _EVENLY
            off = _SURE * spread / sqrt(len(sample))
            return Seconds(mean - off, mean, mean + off, durations.upper(model))
        longest = durations.upper(model)
        return _of_range(min(mean, max(0.0, 2 * mean - longest)), longest)

    return before


def _of_range(low: float, high: float) -> Seconds:
    mean = (low + high) / 2
    # The mean of all tasks lies nearer to the middle than the single task does.
    return Seconds((low + mean) / 2, mean, (mean + high) / 2, high)
