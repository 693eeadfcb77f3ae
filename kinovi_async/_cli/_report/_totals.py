"""Sums of credits and dollars: of everything, by model, and by each tag."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

MOST_LINES = 12
"""Lines of one table; a tag with more values is told as its dearest ones and the rest."""
NO_VALUE = "(none)"


@dataclass(frozen=True, slots=True)
class Priced:
    """What a job adds to the sums."""

    model: str
    tags: Mapping[str, str]
    succeeded: bool
    credits: Decimal
    """Charged for certain."""
    at_most: Decimal
    """May be charged on top: of running, expired and ambiguous jobs."""
    usd: Decimal
    """Dollars for one of its credits."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table of costs."""

    name: str
    jobs: int
    succeeded: int
    credits: Decimal
    at_most: Decimal
    dollars: Decimal
    dollars_at_most: Decimal


@dataclass(frozen=True, slots=True)
class Table:
    """Costs by the values of one thing."""

    by: str
    """`model`, or the name of a tag."""
    lines: tuple[Line, ...]
    rest: Line | None
    """What the table does not name one by one."""
    total: Line

    @property
    def places(self) -> int:
        """Digits behind the point with which no dollar of the table loses any, 2 at least."""
        lines = (*self.lines, self.total, *(() if self.rest is None else (self.rest,)))
        return max(2, *(-int(line.dollars.normalize().as_tuple().exponent) for line in lines))


def overall(jobs: Iterable[Priced]) -> Line:
    """The sum of all jobs."""
    return _sum("all", map(_line, jobs))


def tables(jobs: Iterable[Priced]) -> tuple[Table, ...]:
    """A table by model, then one for each tag, by name; the dearest lines first."""
    jobs = list(jobs)
    lines = list(map(_line, jobs))
    tags = sorted({name for job in jobs for name in job.tags})
    return (
        _table("model", [job.model for job in jobs], lines),
        *(_table(tag, [job.tags.get(tag, NO_VALUE) for job in jobs], lines) for tag in tags),
    )


def _table(by: str, names: Sequence[str], lines: Sequence[Line]) -> Table:
    parts: dict[str, list[Line]] = {}
    for name, line in zip(names, lines, strict=True):
        parts.setdefault(name, []).append(line)
    found = [_sum(name, own) for name, own in parts.items()]
    found.sort(key=lambda line: (line.name == NO_VALUE, -line.dollars, -line.jobs, line.name))
    others = found[MOST_LINES:]
    return Table(
        by,
        tuple(found[:MOST_LINES]),
        _sum(f"{len(others):,} more", others) if others else None,
        _sum("all", found),
    )


def _line(job: Priced) -> Line:
    dollars, at_most = job.credits * job.usd, job.at_most * job.usd
    return Line("", 1, int(job.succeeded), job.credits, job.at_most, dollars, at_most)


def _sum(name: str, lines: Iterable[Line]) -> Line:
    lines = list(lines)
    none = Decimal(0)
    return Line(
        name,
        sum(line.jobs for line in lines),
        sum(line.succeeded for line in lines),
        sum((line.credits for line in lines), none),
        sum((line.at_most for line in lines), none),
        sum((line.dollars for line in lines), none),
        sum((line.dollars_at_most for line in lines), none),
    )
