"""How long a run will still take: an estimate that says how sure it is.

The jobs that are left are laid into the account's slots as the scheduler does it, the
models that take longest first, once with the durations that are likely and once each with
the shortest and the longest that are plausible. A rate so far would do for jobs of one
kind; where films come first and pictures last it is wrong all the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from heapq import heapify, heappop, heappush

__all__ = ["Remaining", "Seconds", "Work", "remaining"]

MOST_SLOTS = 64
"""Slots laid out one by one; of more, each stands for several, so a frame's cost is bounded."""
FAR_LESS = 4
"""A documented picture takes a sixth of a film: so much less an unknown model may take."""
NO_TIME = 0.001
"""Seconds that are none."""
LEAST_USE = 0.3
"""Share of the slots that is counted on at least, however little was in use so far."""


@dataclass(frozen=True, slots=True)
class Seconds:
    """What is known of the duration of a model's tasks, in seconds."""

    low: float
    """The mean is hardly less."""
    mean: float
    high: float
    """The mean is hardly more."""
    longest: float
    """Hardly one task takes longer."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is left of one model."""

    seconds: Seconds | None
    """None while nothing is known."""
    waiting: int = 0
    """Jobs that are not submitted."""
    running: int = 0
    """Tasks, those being submitted included."""
    age: float = 0.0
    """Seconds that the running ones have run, on average."""
    cost: Decimal | None = None
    """Credits of a waiting one, on average; None while unknown."""


@dataclass(frozen=True, slots=True)
class Remaining:
    """An estimate of what is left of a run."""

    low: float | None
    """Seconds; None when it may be over any moment, as far as is known."""
    high: float
    """Seconds."""
    affordable: int | None = None
    """Waiting jobs that the budget covers, when it does not cover all of them."""


def remaining(
    works: Iterable[Work],
    *,
    limit: int | None,
    most_running: int = 0,
    slot_use: float | None = None,
    room: Decimal | None = None,
    paused: bool = False,
) -> Remaining | None:
    """Estimates the time until nothing is left, or nothing more can be submitted.

    Args:
        works: What is left, by model.
        limit: The account's slots, None while unknown: then there is no lower end.
        most_running: The most tasks that ran at a time so far.
        slot_use: Share of the slots in use while jobs waited, 0 to 1; None: all.
        room: Credits that the budget has left beside what is spent and reserved; None: any.
        paused: Nothing more is submitted: only what runs is waited for.

    Returns:
        None when nothing is left, or too little is known to say anything.
    """
    left = [replace(work, waiting=0) if paused else work for work in works]
    left = [work for work in left if work.waiting or work.running]
    known = _with_seconds(left)
    if not known:
        return None
    known.sort(key=lambda work: -_of(work).mean)
    known, affordable = _within(known, room)
    waiting = sum(work.waiting for work in known)
    running = sum(work.running for work in known)
    slots = max(running, most_running) if limit is None else limit
    if waiting and not slots:
        return None
    used = max(1, round(slots * max(LEAST_USE, slot_use if slot_use is not None else 1.0)))
    ends = sorted(
        (
            _end(known, [_of(work).low for work in known], max(1, slots)),
            _end(known, [_of(work).mean for work in known], max(running, used)),
            _end(known, [_of(work).high for work in known], max(running, used)) + _tail(known),
        )
    )
    low = None if limit is None and waiting else ends[0]
    return Remaining(low, ends[2], affordable)


def _of(work: Work) -> Seconds:
    assert work.seconds is not None  # noqa: S101 - see _with_seconds
    return work.seconds


def _with_seconds(works: Sequence[Work]) -> list[Work]:
    """A model that nothing is known of may take what the others take, or a good deal less."""
    known = [work.seconds for work in works if work.seconds is not None]
    if not known:
        return []
    anything = Seconds(
        min(each.low for each in known) / FAR_LESS,
        sum(each.mean for each in known) / len(known),
        max(each.longest for each in known),
        max(each.longest for each in known),
    )
    return [replace(work, seconds=work.seconds or anything) for work in works]


def _within(works: Sequence[Work], room: Decimal | None) -> tuple[list[Work], int | None]:
    """What the budget covers, in the order of the queue: the longest first."""
    if room is None:
        return list(works), None
    covered: list[Work] = []
    short = False
    for work in works:
        count = work.waiting
        if short:
            count = 0
        elif work.cost is not None and work.cost > 0 and work.cost * count > room:
            count = max(0, int(room / work.cost))
            short = True
        room -= (work.cost or 0) * count
        covered.append(replace(work, waiting=count))
    return covered, sum(work.waiting for work in covered) if short else None


def _tail(works: Sequence[Work]) -> float:
    """Seconds by which the last task may be later than a usual one would be."""
    last = [work for work in works if work.waiting] or list(works)
    return max(_of(work).longest - _of(work).mean for work in last)


def _end(works: Sequence[Work], seconds: Sequence[float], slots: int) -> float:
    """Seconds until the last job ends when each takes its model's `seconds`."""
    each = -(-slots // MOST_SLOTS)
    slots = -(-slots // each)
    ends = sorted(
        end
        for work, lasts in zip(works, seconds, strict=True)
        for end in _ends_of_running(-(-work.running // each), work.age, lasts)
    )
    last = ends[-1] if ends else 0.0
    free = ends[max(0, len(ends) - slots) :]
    free += [0.0] * (slots - len(free))
    heapify(free)
    for work, lasts in zip(works, seconds, strict=True):
        last = max(last, _lay(free, -(-work.waiting // each), lasts))
    return last


def _ends_of_running(count: int, age: float, lasts: float) -> list[float]:
    """When running tasks end: evenly, around what is left of them on average."""
    # What has run longer than usual may end any moment, but has not yet.
    rest = max(lasts - age, lasts / 10)
    first, last = max(0.0, 2 * rest - lasts), min(lasts, 2 * rest)
    return [first + (last - first) * (index + 0.5) / count for index in range(count)]


def _lay(free: list[float], count: int, lasts: float) -> float:
    """Lays jobs of one length into the slots, each where it begins soonest; when the last ends.

    Costs a few steps a slot, whatever the number of jobs.
    """
    if not count or lasts < NO_TIME:
        return 0.0
    # First the slots that are free long before the last one is: many short jobs beside a long one.
    latest = max(free)
    fit = [int((latest - at) / lasts) for at in free]
    fitting = sum(fit)
    share = min(1.0, count / fitting) if fitting else 0.0
    free[:] = [at + share * more * lasts for at, more in zip(free, fit, strict=True)]
    count -= min(count, fitting)
    # From here on every slot gets one in turn: whole rounds in one step.
    rounds = count // len(free)
    free[:] = [at + rounds * lasts for at in free]
    heapify(free)
    for _ in range(count % len(free)):
        heappush(free, heappop(free) + lasts)
    return max(free)
