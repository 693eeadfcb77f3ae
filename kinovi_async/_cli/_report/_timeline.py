"""When each task held a slot, as bars on as few rows as the account had slots.

A slot is held from the acceptance to the end of the task on the server; until we see
that end, nothing else is started in it, which is told apart as *unseen* time. Long times
in which nothing happened (between two runs of an output directory) are cut out.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ..._ledger import JobState

if TYPE_CHECKING:
    from ..._ledger import JobRow
    from ..._records import TaskRecord

LEAST_PAUSE = 60.0
"""Seconds without anything running or waiting before a stretch may be cut out."""
PAUSE_SHARE = 0.25
"""And no less than this share of the time in which something ran: short runs keep their gaps."""
SLACK, SLACK_SHARE = 0.25, 0.05
"""Seconds, and share of a task's time, by which two tasks may seem to overlap in one slot:
the end on the server is told to us by its clock, the next acceptance by ours."""
MOST_STEPS = 400
"""Points of the curve of waiting jobs: more than a screen shows."""


@dataclass(frozen=True, slots=True)
class Span:
    """A job's times, seconds since the epoch."""

    job: int
    """Its position in the report."""
    queued: float
    accepted: float
    done: float
    """The end of the task on the server, as far as told."""
    seen: float
    """When we saw the end; now, when it runs on."""

    @property
    def waited(self) -> float:
        """Seconds in the queue."""
        return max(0.0, self.accepted - self.queued)

    @property
    def generating(self) -> float:
        """Seconds from acceptance to the end on the server."""
        return self.done - self.accepted

    @property
    def unseen(self) -> float:
        """Seconds from the end on the server until we saw it."""
        return self.seen - self.done


@dataclass(frozen=True, slots=True)
class Bar:
    """A job on the timeline; times in seconds from its start, pauses cut out."""

    job: int
    slot: int
    start: float
    done: float
    end: float


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the timeline without a pause."""

    start: float
    """Seconds from the start of the timeline, pauses cut out."""
    length: float
    at: float
    """When it began, seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Everything the picture needs."""

    slots: int
    bars: tuple[Bar, ...]
    stretches: tuple[Stretch, ...]
    length: float
    waiting: tuple[tuple[float, int], ...]
    """Steps of the number of waiting jobs."""
    use: float | None
    """Share of the slots in use while jobs were waiting; None when none ever waited."""
    unseen_share: float
    """Share of the slots' time that had ended on the server and was not seen yet."""


EMPTY = Timeline(0, (), (), 0.0, (), None, 0.0)


def span_of(position: int, row: JobRow, record: TaskRecord | None, *, now: float) -> Span | None:
    """The times of a job that became a task; None for any other."""
    if row.accepted_at is None:
        return None
    accepted = row.accepted_at
    seen = max(accepted, row.ended_at if row.state is JobState.ENDED and row.ended_at else now)
    took = _took(record)
    # Measured by the server's clock alone: it need not agree with ours.
    done = seen if took is None else min(accepted + took, seen)
    return Span(position, min(row.created_at or accepted, accepted), accepted, done, seen)


def _took(record: TaskRecord | None) -> float | None:
    if record is None or record.created_at is None or record.completed_at is None:
        return None
    seconds = _seconds(record.completed_at) - _seconds(record.created_at)
    return seconds if seconds >= 0 else None


def _seconds(moment: datetime) -> float:
    return moment.timestamp()


def timeline(spans: Sequence[Span], *, waiting_since: Iterable[float] = (), now: float) -> Timeline:
    """The bars of all spans; `waiting_since` are the jobs that wait still."""
    if not spans:
        return EMPTY
    still = [at for at in waiting_since if at <= now]
    fold = _Fold(spans)
    bars, slots = _in_slots(spans, fold)
    length = fold.length
    steps = _steps(spans, still, fold)
    busy, room = _use(bars, steps, slots, length)
    held = sum(bar.end - bar.start for bar in bars)
    unseen = sum(bar.end - bar.done for bar in bars)
    return Timeline(
        slots=slots,
        bars=bars,
        stretches=fold.stretches,
        length=length,
        waiting=_thinned(steps),
        use=busy / room if room > 0 else None,
        unseen_share=unseen / held if held > 0 else 0.0,
    )


class _Fold:
    """Moments to places on a line without the pauses."""

    def __init__(self, spans: Sequence[Span]) -> None:
        runs: list[list[float]] = []
        for start, end in sorted((span.accepted, span.seen) for span in spans):
            if runs and start <= runs[-1][1]:
                runs[-1][1] = max(runs[-1][1], end)
            else:
                runs.append([start, end])
        active = sum(end - start for start, end in runs)
        least = max(LEAST_PAUSE, PAUSE_SHARE * active)
        kept: list[list[float]] = []
        for start, end in runs:
            if kept and start - kept[-1][1] < least:
                kept[-1][1] = end
            else:
                kept.append([start, end])
        place = 0.0
        stretches = []
        for start, end in kept:
            stretches.append(Stretch(place, end - start, start))
            place += end - start
        self.stretches = tuple(stretches)
        self.length = place
        self._starts = [stretch.at for stretch in stretches]

    def __call__(self, at: float) -> float:
        """The place of a moment; one in a pause is where the pause was cut out."""
        index = bisect_right(self._starts, at) - 1
        if index < 0:
            return 0.0
        stretch = self.stretches[index]
        return stretch.start + min(at - stretch.at, stretch.length)


def _in_slots(spans: Sequence[Span], fold: _Fold) -> tuple[tuple[Bar, ...], int]:
    """Each span in the lowest row that is free on the server when it begins."""
    free: list[int] = []
    held: list[tuple[float, int]] = []
    rows: list[list[Span]] = []
    for span in sorted(spans, key=lambda each: (each.accepted, each.done, each.job)):
        while held and held[0][0] <= span.accepted:
            heapq.heappush(free, heapq.heappop(held)[1])
        if free:
            slot = heapq.heappop(free)
        else:
            slot = len(rows)
            rows.append([])
        rows[slot].append(span)
        slack = min(SLACK, SLACK_SHARE * span.generating)
        heapq.heappush(held, (span.done - slack, slot))
    bars = []
    for slot, row in enumerate(rows):
        # A slot whose task has ended may be taken again before we have seen that end.
        limits = [*(span.accepted for span in row[1:]), float("inf")]
        for span, limit in zip(row, limits, strict=True):
            done, seen = min(span.done, limit), min(span.seen, limit)
            bars.append(Bar(span.job, slot, fold(span.accepted), fold(done), fold(seen)))
    return tuple(bars), len(rows)


def _steps(spans: Sequence[Span], still: Sequence[float], fold: _Fold) -> list[tuple[float, int]]:
    """How many jobs wait, from each place on."""
    changes: dict[float, int] = {}
    for span in spans:
        for at, change in ((span.queued, 1), (span.accepted, -1)):
            place = round(fold(at), 3)
            changes[place] = changes.get(place, 0) + change
    for at in still:
        place = round(fold(at), 3)
        changes[place] = changes.get(place, 0) + 1
    count = 0
    steps = []
    for place in sorted(changes):
        count += changes[place]
        steps.append((place, max(0, count)))
    return steps


def _use(
    bars: Sequence[Bar], steps: Sequence[tuple[float, int]], slots: int, length: float
) -> tuple[float, float]:
    """Slot-seconds of generating, and in all, over the time in which jobs were waiting."""
    ends = [place for place, _ in steps[1:]] + [length]
    busy_times = [
        (place, end) for (place, count), end in zip(steps, ends, strict=True) if count > 0
    ]
    if not busy_times:
        return 0.0, 0.0
    room = slots * sum(end - start for start, end in busy_times)
    changes = sorted([(bar.start, 1) for bar in bars] + [(bar.done, -1) for bar in bars])
    used, running, index = 0.0, 0, 0
    for start, end in busy_times:
        at = start
        while index < len(changes) and changes[index][0] <= end:
            place, change = changes[index]
            if place > at:
                used += running * (place - at)
                at = place
            running += change
            index += 1
        used += running * (end - at)
    return used, room


def _thinned(steps: Sequence[tuple[float, int]]) -> tuple[tuple[float, int], ...]:
    """At most so many steps, ends included."""
    if len(steps) <= MOST_STEPS:
        return tuple(steps)
    last = len(steps) - 1
    picked = {round(number * last / (MOST_STEPS - 1)) for number in range(MOST_STEPS)}
    return tuple(steps[index] for index in sorted(picked))
