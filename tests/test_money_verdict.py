"""How `benchmarks/money.py` judges: by the server's book, not by what a client believes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from _money.faults import COLUMNS, CONTROL  # noqa: E402 - found through the line above
from _money.verdict import Cell, bill, broken_promises, cell, naive_is_caught  # noqa: E402
from _money.work import Wish  # noqa: E402

SUBMISSION, POLLS = COLUMNS[0], COLUMNS[-1]
SERVER_ERROR = next(column for column in COLUMNS if column.name == "500")


def made(paid: float, *, delivered: float = 0, lost: float = 0) -> Cell:
    known = paid - delivered - lost
    return Cell(paid=paid, delivered=delivered, known=known, lost=lost, errors=())


@pytest.mark.parametrize(
    ("wish", "tasks", "delivered", "lost"),
    [
        (Wish(prompt="x", result="https://e.com/task_a/0.png"), ["task_a"], 1, 0),
        (Wish(prompt="x", result="https://e.com/task_b/0.png"), ["task_a", "task_b"], 1, 1),
        (Wish(prompt="x", told="ReadTimeout"), ["task_a", "task_b", "task_c"], 0, 3),
        (Wish(prompt="x", told="gave up on task_a"), ["task_a"], 0, 0),
        (Wish(prompt="x", told="idempotency_key=key-1"), ["task_a"], 0, 0),
        (Wish(prompt="x", told="idempotency_key=key-2"), ["task_a"], 0, 1),
        (Wish(prompt="x", told="ambiguous", kept=1), ["task_a"], 0, 0),
        (Wish(prompt="x", told="ambiguous", kept=1), ["task_a", "task_b"], 0, 1),
        (Wish(prompt="x", told="ambiguous", kept=3), ["task_a"], 0, 0),
        (Wish(prompt="x", told="refused"), [], 0, 0),
    ],
)
def test_lost_is_what_was_paid_and_nothing_points_to(
    wish: Wish, tasks: list[str], delivered: int, lost: int
) -> None:
    found = bill(wish, tasks, {"key-1": "task_a"})
    assert (found.paid, found.delivered, found.lost) == (len(tasks), delivered, lost)


def test_a_cell_is_the_mean_of_its_wishes_and_tells_each_error_once() -> None:
    wishes = [Wish(prompt=f"{n}", told="ReadTimeout") for n in range(2)]
    bills = [bill(wishes[0], ["task_a", "task_b"], {}), bill(wishes[1], ["task_c"], {})]
    found = cell(bills, wishes)
    assert str(found) == "1.5 / 1.5"
    assert found.errors == ("ReadTimeout",)
    assert str(made(1)) == "1 / 0*", "the star: not delivered, but known"


@pytest.mark.parametrize(
    ("name", "column", "spell", "each", "broken"),
    [
        ("kinovi-async", SUBMISSION, "always", made(1), 0),
        ("kinovi-async", SUBMISSION, "always", made(2), 1),
        ("kinovi-async", SUBMISSION, "always", made(0), 1),
        ("kinovi-async", SUBMISSION, "always", made(1, lost=1), 1),
        ("kinovi-async", SERVER_ERROR, "always", made(3), 0),
        ("kinovi-async", SERVER_ERROR, "once", made(3), 1),
        ('kinovi-async, server_error="hold"', SERVER_ERROR, "once", made(2), 1),
        ("kinovi-async", POLLS, "always", made(1, delivered=1), 0),
        ("kinovi-async", POLLS, "always", made(1), 1),
        ("kinovi-async", CONTROL, "always", made(1, delivered=1), 0),
    ],
)
def test_a_broken_promise_is_found(
    name: str, column: object, spell: str, each: Cell, broken: int
) -> None:
    assert len(broken_promises(name, {(column, spell): each})) == broken  # type: ignore[dict-item]


def test_a_lab_in_which_nobody_pays_twice_is_found_out() -> None:
    assert naive_is_caught("loop", {(SUBMISSION, "always"): made(1)})
    assert not naive_is_caught("loop", {(SUBMISSION, "always"): made(5, lost=5)})
    assert not naive_is_caught("loop", {(POLLS, "always"): made(1, delivered=1)})
