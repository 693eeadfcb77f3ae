"""What a display says, line by line, without saying how it is drawn.

A line is a label and a few parts; where there is little room the parts that matter least
are left out, and then the lines that matter least. Terminal and notebook draw the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from .._outcomes import OutcomeStatus
from .._text import counted, dollars, duration, number, roughly, sized, visible
from ._remaining import Remaining
from ._snapshot import NOT_WELL, Snapshot

__all__ = ["Bar", "Line", "Part", "Tone", "content", "fitted", "one_line", "remaining_text"]

A_FEW = 8
"""Seconds below which nobody counts."""
ABOUT = 1.25
"""A high end that is no more than this times the low one is told as one figure."""
_MOST_NEEDED, _NEEDED, _USEFUL, _NICE = 0, 1, 2, 3


class Tone(StrEnum):
    """What a text means, for whoever has colours."""

    PLAIN = "plain"
    STRONG = "strong"
    GOOD = "good"
    BUSY = "busy"
    WARNING = "warning"
    BAD = "bad"
    FAINT = "faint"


@dataclass(frozen=True, slots=True)
class Part:
    """Some words of a line."""

    text: str
    tone: Tone = Tone.PLAIN
    rank: int = _MOST_NEEDED
    """What has the largest is left out first; 0 never is."""


@dataclass(frozen=True, slots=True)
class Bar:
    """Shares of a whole, from the left; what they leave is empty."""

    shares: tuple[tuple[float, Tone], ...]
    wide: bool = False
    """Whether it takes whatever room there is."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a display."""

    label: str
    parts: tuple[Part, ...]
    bar: Bar | None = None
    rank: int = _MOST_NEEDED
    """As of a part."""


def content(shot: Snapshot, *, hints: Sequence[str] = ()) -> list[Line]:
    """All that a display says about a run; `hints` stand below, the most needed first."""
    lines = [_whole(shot), _slots(shot), _ends(shot), _money(shot)]
    if shot.files or shot.to_fetch or shot.fetching_files:
        lines.append(_files(shot))
    lines.append(_time(shot))
    notice = shot.notice
    if notice is not None:
        word, reason = notice
        lines.append(Line(word, (Part(visible(reason), Tone.WARNING),), rank=_NEEDED))
    for place, failure in enumerate(shot.failures):
        newest = place == len(shot.failures) - 1
        label = "failures" if place == 0 else ""
        rank = _NEEDED if newest else _NICE
        lines.append(Line(label, (Part(visible(failure), Tone.BAD),), rank=rank))
    if hints:
        parts = tuple(Part(hint, Tone.FAINT, rank) for rank, hint in enumerate(hints))
        lines.append(Line("", parts, rank=_USEFUL))
    return lines


def fitted(lines: Sequence[Line], height: int) -> list[Line]:
    """As many of the lines as there are rows, those that matter least left out."""
    kept = list(lines)
    while len(kept) > max(1, height):
        least = max(line.rank for line in kept)
        # Of the failures the oldest goes first, of all others the last.
        same = [place for place, line in enumerate(kept) if line.rank == least]
        del kept[same[0] if least == _NICE else same[-1]]
    return kept


def _whole(shot: Snapshot) -> Line:
    total = max(1, shot.total)
    well = shot.ended.get(OutcomeStatus.SUCCEEDED, 0)
    percent = shot.done * 100 // total
    bar = Bar(
        (
            (well / total, Tone.GOOD),
            ((shot.done - well) / total, Tone.BAD),
            ((shot.running + shot.submitting) / total, Tone.BUSY),
        ),
        wide=True,
    )
    parts = (
        Part(f"{shot.done:,} of {shot.total:,} jobs done", Tone.STRONG),
        Part(f"{percent} %", Tone.PLAIN, _USEFUL),
    )
    return Line("", parts, bar)


def _slots(shot: Snapshot) -> Line:
    parts: list[Part] = []
    bar = None
    if shot.limit is None:
        parts += [
            Part(f"{shot.running:,} in use"),
            Part("the limit is not known yet", Tone.FAINT, _USEFUL),
        ]
    else:
        parts.append(Part(f"{shot.running:,} of {shot.limit:,} in use"))
        bar = Bar(((min(1.0, shot.running / max(1, shot.limit)), Tone.BUSY),))
    parts.append(Part(f"{shot.waiting:,} waiting", rank=_NEEDED))
    if shot.submitting:
        parts.append(Part(f"{shot.submitting:,} on the wire", rank=_NICE))
    if shot.slot_use is not None and shot.limit is not None:
        parts.append(Part(f"{min(1.0, shot.slot_use):.0%} full so far", Tone.FAINT, _NICE))
    return Line("slots", tuple(parts), bar, _NEEDED)


def _ends(shot: Snapshot) -> Line:
    well = shot.ended.get(OutcomeStatus.SUCCEEDED, 0)
    parts = [Part(f"{well:,} succeeded", Tone.GOOD if well else Tone.PLAIN)]
    for status in NOT_WELL:
        count = shot.ended.get(status, 0)
        if count:
            grave = status in {OutcomeStatus.FAILED, OutcomeStatus.REJECTED}
            parts.append(Part(f"{count:,} {status}", Tone.BAD if grave else Tone.WARNING))
    return Line("ended", tuple(parts), rank=_NEEDED)


def _money(shot: Snapshot) -> Line:
    of = "" if shot.budget is None else f" of {number(shot.budget)}"
    parts = [
        Part(f"{number(shot.spent)}{of} spent"),
        Part(dollars(shot.spent, shot.usd), rank=_USEFUL),
    ]
    if shot.reserved:
        parts.append(Part(f"{number(shot.reserved)} reserved", rank=_NEEDED))
    left = shot.remaining
    if left is not None and left.affordable is not None:
        covers = f"the budget covers about {left.affordable:,} of {shot.waiting:,} waiting"
        parts.append(Part(covers, Tone.WARNING))
    return Line("credits", tuple(parts), rank=_NEEDED)


def _files(shot: Snapshot) -> Line:
    parts = [Part(f"{shot.files:,} saved")]
    if shot.fetched_bytes:
        parts.append(Part(sized(shot.fetched_bytes), rank=_USEFUL))
    if shot.fetching_files:
        parts.append(Part(f"{shot.fetching_files:,} being fetched", Tone.BUSY, _NEEDED))
    if shot.to_fetch:
        parts.append(Part(f"of {counted(shot.to_fetch, 'job')}", rank=_NICE))
    return Line("files", tuple(parts), rank=_USEFUL)


def _time(shot: Snapshot) -> Line:
    parts = [Part(duration(shot.elapsed), rank=_NEEDED)]
    if shot.per_minute is not None:
        parts.append(Part(_rate(shot.per_minute), rank=_USEFUL))
    left = remaining_text(shot)
    if left:
        parts.append(Part(left, Tone.STRONG))
    return Line("time", tuple(parts), rank=_NEEDED)


def _rate(per_minute: float) -> str:
    if per_minute >= 1:
        return f"{per_minute:,.0f} jobs a minute"
    return f"{per_minute * 60:,.0f} jobs an hour"


def remaining_text(shot: Snapshot) -> str:
    """What is left of a run, as sure as it is: `2 to 4 min left`; empty when nothing is known."""
    left = shot.remaining
    if left is None:
        return ""
    time = _span(left)
    if shot.notice is not None:
        return f"{time} until what runs has ended"
    return f"{time} until the budget is used up" if left.affordable is not None else f"{time} left"


def _span(left: Remaining) -> str:
    if left.high < A_FEW:
        return "a few seconds"
    high = roughly(left.high)
    if left.low is None:
        return f"at most {high}"
    low = roughly(left.low)
    if low == high or left.high <= ABOUT * left.low:
        return f"about {roughly((left.low + left.high) / 2)}"
    if left.low < left.high / 10:
        return f"at most {high}"
    # `2 to 4 min`, but `50 min to 1 h 20 min`.
    amount, _, unit = low.partition(" ")
    return f"{amount} to {high}" if high.partition(" ")[2] == unit else f"{low} to {high}"


def one_line(shot: Snapshot) -> str:
    """The snapshot as one line, for a log."""
    slots = "" if shot.limit is None else f" in {counted(shot.limit, 'slot')}"
    parts = [f"{shot.done:,} of {shot.total:,} jobs done"]
    if shot.running or shot.waiting:
        parts.append(f"{shot.running:,} running{slots}")
    if shot.waiting:
        parts.append(f"{shot.waiting:,} waiting")
    parts += [f"{shot.ended[status]:,} {status}" for status in NOT_WELL if shot.ended.get(status)]
    if shot.to_fetch:
        parts.append(f"fetching files of {counted(shot.to_fetch, 'job')}")
    parts += [_money_text(shot), duration(shot.elapsed), remaining_text(shot)]
    notice = shot.notice
    if notice is not None:
        parts.append(f"{notice[0]}: {visible(notice[1])}")
    return ", ".join(filter(None, parts))


def _money_text(shot: Snapshot) -> str:
    of = "" if shot.budget is None else f" of {number(shot.budget)}"
    return f"{number(shot.spent)}{of} credits ({dollars(shot.spent, shot.usd)})"


def parts_that_fit(parts: Sequence[Part], width: int) -> Iterator[Part]:
    """The parts of a line that have room, the most needed first; in their order."""
    kept = list(parts)
    while _length(kept) > width and any(part.rank for part in kept):
        least = max(part.rank for part in kept)
        kept.remove(next(part for part in reversed(kept) if part.rank == least))
    yield from kept


def _length(parts: Sequence[Part]) -> int:
    return sum(len(part.text) for part in parts) + 2 * max(0, len(parts) - 1)
