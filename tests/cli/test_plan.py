"""What a run does with each line, for every state its job can be in."""

from __future__ import annotations

from decimal import Decimal

import pytest

from kinovi_async._cli._lines import InputLine
from kinovi_async._cli._plan import Step, cost_by_model, plan, plan_problems
from kinovi_async._ledger import JobRow, JobState
from kinovi_async._outcomes import AttemptResult, OutcomeStatus
from kinovi_async._requests import body_hash, parse_request

from .rows import line, row

ACCEPTED = (AttemptResult.ACCEPTED,)
S = OutcomeStatus

ROWS: dict[str, JobRow | None] = {
    "absent": None,
    "queued": row(state=JobState.QUEUED),
    "queued again": row(state=JobState.QUEUED, results=ACCEPTED),
    "sending": row(state=JobState.SENDING, results=(None,)),
    "accepted": row(state=JobState.ACCEPTED, results=ACCEPTED),
    "succeeded": row(status=S.SUCCEEDED, results=ACCEPTED),
    "failed": row(status=S.FAILED, results=ACCEPTED),
    "rejected": row(status=S.REJECTED, results=(AttemptResult.REJECTED,)),
    "ambiguous": row(status=S.AMBIGUOUS, results=(AttemptResult.AMBIGUOUS,)),
    "expired": row(status=S.EXPIRED, results=ACCEPTED),
    "cancelled": row(status=S.CANCELLED),
}


def step_of(
    found: JobRow | None, *, edited: bool = False, rerun: tuple[OutcomeStatus, ...] = ()
) -> Step:
    asked = line(prompt="another cat" if edited else "a cat")
    rows = {} if found is None else {found.key: found}
    return plan([asked], rows, hash_of=body_hash, rerun=rerun).lines[0].step


@pytest.mark.parametrize(
    ("name", "same", "edited"),
    [
        ("absent", Step.NEW, Step.NEW),
        ("queued", Step.NEW, Step.NEW),
        ("queued again", Step.RESUME, Step.NEW),
        ("sending", Step.LEFT, Step.CONFLICT),
        ("accepted", Step.RESUME, Step.CONFLICT),
        ("succeeded", Step.DONE, Step.CONFLICT),
        ("failed", Step.LEFT, Step.LEFT),
        ("rejected", Step.LEFT, Step.LEFT),
        ("ambiguous", Step.LEFT, Step.CONFLICT),
        ("expired", Step.RESUME, Step.CONFLICT),
        ("cancelled", Step.NEW, Step.NEW),
    ],
)
def test_each_state_without_rerun(name: str, same: Step, edited: Step) -> None:
    assert step_of(ROWS[name]) is same
    assert step_of(ROWS[name], edited=True) is edited


@pytest.mark.parametrize("edited", [False, True])
def test_rerun_takes_only_what_it_names(edited: bool) -> None:  # noqa: FBT001 - a parameter
    assert step_of(ROWS["failed"], edited=edited, rerun=(S.FAILED,)) is Step.RERUN
    assert step_of(ROWS["rejected"], edited=edited, rerun=(S.FAILED,)) is Step.LEFT
    both = (S.FAILED, S.REJECTED)
    assert step_of(ROWS["rejected"], edited=edited, rerun=both) is Step.RERUN
    assert step_of(ROWS["ambiguous"], rerun=both) is Step.LEFT
    assert step_of(ROWS["succeeded"], rerun=both) is Step.DONE


def test_missing_files_are_fetched() -> None:
    rows = {"cat": row(status=S.SUCCEEDED, results=ACCEPTED)}
    decided = plan([line()], rows, hash_of=body_hash, lacks_files=lambda _: True)
    assert decided.lines[0].step is Step.FETCH
    assert decided.to_pay == []


def test_lines_gone_from_the_file_are_told_and_left() -> None:
    rows = {"cat": row(status=S.SUCCEEDED), "dog": row("dog", status=S.FAILED)}
    decided = plan([line()], rows, hash_of=body_hash)
    assert [each.key for each in decided.gone] == ["dog"]
    assert decided.counts()[Step.DONE] == 1


def test_only_submissions_are_priced() -> None:
    rows = {
        "done": row("done", status=S.SUCCEEDED),
        "running": row("running", state=JobState.ACCEPTED, results=ACCEPTED),
        "waiting": row("waiting", state=JobState.QUEUED),
    }
    lines = [line(key, number=number) for number, key in enumerate(["new", *rows], start=1)]
    decided = plan(lines, rows, hash_of=body_hash)
    assert [planned.line.key for planned in decided.to_pay] == ["new", "waiting"]
    (cost,) = cost_by_model(planned.line for planned in decided.to_pay).values()
    assert (cost.jobs, cost.credits, cost.unknown) == (2, Decimal(30), 0)


def test_a_conflict_names_line_id_and_status() -> None:
    rows = {"cat": row(status=S.SUCCEEDED, results=ACCEPTED)}
    decided = plan([line(prompt="edited", number=7)], rows, hash_of=body_hash)
    (problem,) = plan_problems(decided, has_budget=False, assumed=None)
    assert problem.line == 7
    assert "'cat' is succeeded" in problem.message


def test_a_budget_needs_every_price_unless_one_is_assumed() -> None:
    request = parse_request({"model": "future-1", "inputs": {"prompt": "x"}})
    unknown = InputLine(3, "f", request, request.to_wire())
    decided = plan([unknown], {}, hash_of=body_hash)
    (problem,) = plan_problems(decided, has_budget=True, assumed=None)
    assert problem.line == 3
    assert "--assume-cost" in problem.message
    assert plan_problems(decided, has_budget=True, assumed=Decimal(5)) == []
    assert plan_problems(decided, has_budget=False, assumed=None) == []
    (cost,) = cost_by_model([unknown], assumed=Decimal(5)).values()
    assert cost.credits == 5
