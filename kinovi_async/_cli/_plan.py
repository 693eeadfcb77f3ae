"""What a run will do with each line of its file, decided from the ledger alone.

Nothing here does anything: the same decision serves `run`, `run --dry-run` and `check`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from .._ledger import JobRow, JobState, is_unsent
from .._outcomes import OutcomeStatus
from ._lines import InputLine, InputProblem
from ._text import shortened

if TYPE_CHECKING:
    from .._ledger import JsonObject
    from .._requests import Request


class Step(StrEnum):
    """What happens to a line."""

    NEW = "new"
    """Never submitted: it is generated and paid."""
    RESUME = "resume"
    """Queued, accepted or expired under this very request: taken up where it stands."""
    DONE = "done"
    """Succeeded, files and all."""
    FETCH = "fetch"
    """Succeeded, but files are missing: they are fetched, nothing is paid."""
    RERUN = "rerun"
    """Failed or rejected, and `--rerun` asks for another attempt."""
    LEFT = "left"
    """Failed or rejected without `--rerun`, or ambiguous: nothing is done."""
    CONFLICT = "conflict"
    """The line was edited under a job that may be paid for."""


SUBMITTED = frozenset({Step.NEW, Step.RESUME, Step.RERUN})
"""Steps that hand the line to the scheduler."""


@dataclass(frozen=True, slots=True)
class PlannedLine:
    """A line and what happens to it."""

    line: InputLine
    step: Step
    row: JobRow | None = None
    edited: bool = False
    """The request differs from the ledger's."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens to every line of a file."""

    lines: tuple[PlannedLine, ...]
    gone: tuple[JobRow, ...] = ()
    """Jobs of the ledger that are not in the file; they are not touched."""

    def of(self, *steps: Step) -> list[PlannedLine]:
        """The lines with one of these steps, in the file's order."""
        return [planned for planned in self.lines if planned.step in steps]

    def counts(self) -> dict[Step, int]:
        """Lines by step, steps without lines included."""
        counts = dict.fromkeys(Step, 0)
        for planned in self.lines:
            counts[planned.step] += 1
        return counts

    @property
    def to_pay(self) -> list[PlannedLine]:
        """Lines that will be submitted, and so paid for."""
        return [planned for planned in self.lines if _is_submission(planned)]


def plan(
    lines: Iterable[InputLine],
    rows: Mapping[str, JobRow],
    *,
    hash_of: Callable[[JsonObject], str],
    rerun: Collection[OutcomeStatus] = (),
    lacks_files: Callable[[JobRow], bool] = lambda _row: False,
) -> Plan:
    """Decides for every line.

    Args:
        lines: the file's lines.
        rows: the ledger's jobs by key.
        hash_of: the hash of a body, comparable with `JobRow.body_hash`.
        rerun: ended statuses of which another attempt is wanted.
        lacks_files: whether a succeeded job has files to fetch.
    """
    planned = tuple(
        _planned(line, rows.get(line.key), hash_of=hash_of, rerun=rerun, lacks_files=lacks_files)
        for line in lines
    )
    keys = {each.line.key for each in planned}
    gone = tuple(row for key, row in rows.items() if key not in keys)
    return Plan(planned, gone)


def _planned(
    line: InputLine,
    row: JobRow | None,
    *,
    hash_of: Callable[[JsonObject], str],
    rerun: Collection[OutcomeStatus],
    lacks_files: Callable[[JobRow], bool],
) -> PlannedLine:
    if row is None:
        return PlannedLine(line, Step.NEW)
    edited = hash_of(line.body) != row.body_hash
    step = _step(row, edited=edited, rerun=rerun)
    if step is Step.DONE and lacks_files(row):
        step = Step.FETCH
    return PlannedLine(line, step, row, edited)


def _step(row: JobRow, *, edited: bool, rerun: Collection[OutcomeStatus]) -> Step:
    if row.state is JobState.QUEUED:
        if edited and not is_unsent(row):
            # Sent again after an unclear answer: the earlier submission may be paid for.
            return Step.CONFLICT
        # Nothing was sent, or the last attempt is settled: the request may change.
        return Step.NEW if edited or not row.attempts else Step.RESUME
    if row.state is not JobState.ENDED:
        if edited:
            return Step.CONFLICT
        # A job that was on the wire when its run died: the scheduler settles what it is.
        return Step.LEFT if row.state is JobState.SENDING else Step.RESUME
    return _step_after_end(row.status, edited=edited, rerun=rerun)


def _step_after_end(
    status: OutcomeStatus | None, *, edited: bool, rerun: Collection[OutcomeStatus]
) -> Step:
    if status is OutcomeStatus.CANCELLED:
        return Step.NEW
    if status in {OutcomeStatus.FAILED, OutcomeStatus.REJECTED}:
        return Step.RERUN if status in rerun else Step.LEFT
    if edited:
        return Step.CONFLICT
    if status is OutcomeStatus.SUCCEEDED:
        return Step.DONE
    return Step.RESUME if status is OutcomeStatus.EXPIRED else Step.LEFT


def _is_submission(planned: PlannedLine) -> bool:
    if planned.step in {Step.NEW, Step.RERUN}:
        return True
    row = planned.row
    return planned.step is Step.RESUME and row is not None and row.state is JobState.QUEUED


@dataclass(frozen=True, slots=True)
class Cost:
    """What a set of lines costs."""

    jobs: int = 0
    credits: Decimal = Decimal(0)
    """Of the lines whose price is known."""
    unknown: int = 0
    """Lines whose price is not known and not assumed."""


def known_cost(request: Request) -> Decimal | None:
    """Credits by the seeds' tables; what a plan counts with unless told otherwise."""
    return request.cost()


def cost_by_model(
    lines: Iterable[InputLine],
    *,
    assumed: Decimal | None = None,
    cost: Callable[[Request], Decimal | None] = known_cost,
) -> dict[str, Cost]:
    """Jobs and credits by model, in order of appearance; `cost` prices a request."""
    found: dict[str, Cost] = {}
    for line in lines:
        model = str(line.body["model"])
        before = found.get(model, Cost())
        price = cost(line.request)
        price = assumed if price is None else price
        found[model] = Cost(
            before.jobs + 1,
            before.credits + (price or Decimal(0)),
            before.unknown + (price is None),
        )
    return found


def plan_problems(
    decided: Plan,
    *,
    has_budget: bool,
    assumed: Decimal | None,
    cost: Callable[[Request], Decimal | None] = known_cost,
) -> list[InputProblem]:
    """Why nothing of this plan may be sent: edited lines, and prices a budget cannot count."""
    problems = [
        InputProblem(planned.line.number, "id", conflict_message(planned))
        for planned in decided.of(Step.CONFLICT)
    ]
    if has_budget and assumed is None:
        problems += [
            InputProblem(
                planned.line.number,
                "model",
                f"the price of {planned.line.body['model']} is unknown, and a budget needs one: "
                "--assume-cost CREDITS",
            )
            for planned in decided.to_pay
            if cost(planned.line.request) is None
        ]
    return sorted(problems)


def conflict_message(planned: PlannedLine) -> str:
    """Why an edited line is refused."""
    row = planned.row
    state = "unknown" if row is None else str(row.status or row.state)
    return (
        f"the line was edited, but its job '{shortened(planned.line.key)}' is {state} under "
        "the earlier request; undo the edit, or give the line a new id"
    )
