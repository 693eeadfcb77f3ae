"""Which figures of `overhead.py` are goals, and from where on one of them is broken.

A goal that is a time, or a share of a core, depends on the machine and is only reported. A
ratio, a number of bytes or a count fails the run beyond a bound that noise does not reach.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Row(NamedTuple):
    """One goal."""

    name: str
    figure: float
    goal: float
    """At most."""
    gross: float | None
    """Above this the run fails; None: never."""

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        return self.figure <= self.goal

    @property
    def broken(self) -> bool:
        """Whether this is no noise any more."""
        return self.gross is not None and self.figure > self.gross


class _Check(NamedTuple):
    name: str
    path: tuple[str, ...]
    goal: float
    gross: float | None = None
    per: tuple[str, ...] = ()
    """What the figure is divided by."""


_CHECKS = [
    _Check("8 MB above idle for 10,000 queued jobs", ("queued", "MB above idle"), 40, 60),
    _Check("8 coroutines for 10,000 queued jobs", ("queued", "coroutines above idle"), 0, 10),
    _Check(
        "8 lazy requests: memory at the end / at 10 %",
        ("stream", "MB at the end"),
        1.1,
        1.25,
        per=("stream", "MB at 10 %"),
    ),
    _Check(
        "8 lazy requests: most pulled and not taken",
        ("stream", "most pulled and not taken"),
        1_200,
        2_500,
    ),
    _Check(
        "8 slow consumer: most paid for and not taken",
        ("slow consumer", "most paid for and not taken"),
        200,
        500,
    ),
    _Check(
        "9 CPU per poll at 10 / bare httpx",
        ("polls", "ratios", "at 10: to bare httpx"),
        1.3,
        1.3,
    ),
    _Check(
        "9 CPU per poll at 10, extra [aiohttp] / bare httpx",
        ("polls", "ratios", "at 10: [aiohttp] to bare httpx"),
        1.3,
        1.6,
    ),
    _Check(
        "9 CPU per poll at 500 / at 10",
        ("polls", "ratios", "at 500: to itself at 10"),
        1.3,
        2.0,
    ),
    _Check(
        "9 CPU per poll at 2,000 / at 10",
        ("polls", "ratios", "at 2000: to itself at 10"),
        1.3,
        2.0,
    ),
    _Check(
        "9 CPU per poll at 2,000 / at 10, extra [aiohttp]",
        ("polls", "ratios", "at 2000: [aiohttp] to itself at 10"),
        1.3,
        2.0,
    ),
    _Check("9 2,000 tasks at 500 polls/s: errors", ("load", "calls", "errors"), 0, 0),
    _Check("9 2,000 tasks at 500 polls/s: poll p99 in ms", ("load", "calls", "poll p99 ms"), 100),
    _Check("9 2,000 tasks at 500 polls/s: cores", ("load", "calls", "cores"), 0.8),
    _Check("9 2,000 jobs in one scheduler: cores", ("load", "scheduler", "cores"), 0.8),
    _Check(
        "  2,000 jobs in one scheduler: loop lag p99 in ms",
        ("load", "scheduler", "loop lag p99 ms"),
        50,
    ),
    _Check(
        "10 import kinovi_async / import of its dependencies",
        ("start", "import cpu ms", "kinovi_async"),
        0.15,
        0.3,
        per=("start", "import cpu ms", "httpx + pydantic + anyio + backoff"),
    ),
    _Check("11 a second client in ms", ("start", "second client", "made ms"), 1),
    _Check(
        "11 a second client, made and used / the same of httpx",
        ("start", "second client", "used: to httpx"),
        0.2,
        0.5,
    ),
]


def rows(found: Mapping[str, object]) -> list[Row]:
    """The goals for which there are figures; an extra that is not installed has none."""
    table = []
    for check in _CHECKS:
        figure = _at(found, check.path)
        divisor = _at(found, check.per) if check.per else 1.0
        if figure is not None and divisor:
            table.append(Row(check.name, round(figure / divisor, 4), check.goal, check.gross))
    return table


def _at(found: object, path: tuple[str, ...]) -> float | None:
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return float(found) if isinstance(found, int | float) else None
