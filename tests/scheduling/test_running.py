"""How many tasks have probably ended unseen."""

from __future__ import annotations

import pytest

from kinovi_async._scheduling import Durations, Entry
from kinovi_async._scheduling._running import Running

from .driving import entry

TENTHS = [10.0 + number / 10 for number in range(100)]
"""Durations from 10 s to 20 s."""


def task(model: str = "model", *, accepted_at: float = 0.0) -> Entry:
    made = entry("task", model=model)
    made.accepted_at = made.alive_at = accepted_at
    return made


def running(*tasks: Entry) -> Running:
    durations = Durations()
    durations.load({"model": TENTHS})
    made = Running(durations)
    for each in tasks:
        made.add(each)
    return made


def test_ends_are_expected_by_age() -> None:
    young, middle, old = task(accepted_at=95.0), task(accepted_at=85.0), task(accepted_at=70.0)
    assert running(young).expected_ends(0.0, 100.0, 0) == 0.0
    assert running(middle).expected_ends(0.0, 100.0, 0) == pytest.approx(0.5, abs=0.02)
    assert running(old).expected_ends(0.0, 100.0, 0) == pytest.approx(1.0, abs=0.02)
    assert running(young, middle, old).expected_ends(0.0, 100.0, 0) == pytest.approx(1.5, abs=0.03)


def test_a_proof_that_a_task_ran_is_where_its_chances_begin() -> None:
    seen = task()
    seen.alive_at = 15.0
    assert running(seen).expected_ends(0.0, 15.0, 0) == 0.0
    assert running(seen).expected_ends(0.0, 17.5, 0) == pytest.approx(0.5, abs=0.02)


def test_only_ends_after_the_given_time_count() -> None:
    # Nothing was free at 15, so whatever ends from there on frees a slot.
    assert running(task()).expected_ends(15.0, 15.0, 0) == 0.0
    assert running(task()).expected_ends(15.0, 17.5, 0) == pytest.approx(0.5, abs=0.02)


def test_those_that_had_ended_before_are_the_likeliest_and_end_once_only() -> None:
    old, other = task(accepted_at=0.0), task(accepted_at=5.0)
    both = running(old, other)
    assert both.expected_ends(17.0, 18.5, 1) == running(other).expected_ends(17.0, 18.5, 0)
    assert both.expected_ends(17.0, 18.5, 2) == 0.0
    assert both.expected_ends(17.0, 18.5, 9) == 0.0


def test_of_an_unknown_model_nothing_is_expected() -> None:
    assert running(task("unknown")).expected_ends(0.0, 1000.0, 0) == 0.0


def test_tasks_seen_ended_are_not_expected_to_end() -> None:
    gone = task()
    both = running(gone, task())
    before = both.expected_ends(0.0, 15.0, 0)
    both.discard(gone)
    both.discard(gone)
    assert len(both) == 1
    assert both.expected_ends(0.0, 15.0, 0) == pytest.approx(before / 2)
