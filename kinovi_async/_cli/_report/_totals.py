"""Sums of credits: of everything, by model, and by each tag."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table of costs."""

    name: str
    jobs: int
    succeeded: int
    credits: Decimal
    at_most: Decimal


@dataclass(frozen=True, slots=True)
class Table:
    """Costs by the values of one thing."""

    by: str
    """`model`, or the name of a tag."""
    lines: tuple[Line, ...]
    rest: Line | None
    """What the table does not name one by one."""


class _Sum:
    __slots__ = ("at_most", "credits", "jobs", "succeeded")

    def __init__(self) -> None:
        self.jobs = self.succeeded = 0
        self.credits = self.at_most = Decimal(0)

    def add(self, job: Priced) -> None:
        self.jobs += 1
        self.succeeded += job.succeeded
        self.credits += job.credits
        self.at_most += job.at_most

    def line(self, name: str) -> Line:
        return Line(name, self.jobs, self.succeeded, self.credits, self.at_most)


def overall(jobs: Iterable[Priced]) -> Line:
    """The sum of all jobs."""
    total = _Sum()
    for job in jobs:
        total.add(job)
    return total.line("all")


def tables(jobs: Iterable[Priced]) -> tuple[Table, ...]:
    """A table by model, then one for each tag, by name; the dearest lines first."""
    jobs = list(jobs)
    names = sorted({name for job in jobs for name in job.tags})
    by_model = _table("model", ((job.model, job) for job in jobs))
    return (
        by_model,
        *(_table(tag, ((job.tags.get(tag, NO_VALUE), job) for job in jobs)) for tag in names),
    )


def _table(by: str, jobs: Iterable[tuple[str, Priced]]) -> Table:
    sums: dict[str, _Sum] = {}
    for name, job in jobs:
        sums.setdefault(name, _Sum()).add(job)
    lines = [total.line(name) for name, total in sums.items()]
    lines.sort(key=lambda line: (line.name == NO_VALUE, -line.credits, -line.jobs, line.name))
    if len(lines) <= MOST_LINES:
        return Table(by, tuple(lines), None)
    shown, others = lines[:MOST_LINES], lines[MOST_LINES:]
    rest = Line(
        f"{len(others):,} more",
        sum(line.jobs for line in others),
        sum(line.succeeded for line in others),
        sum((line.credits for line in others), Decimal(0)),
        sum((line.at_most for line in others), Decimal(0)),
    )
    return Table(by, tuple(shown), rest)
