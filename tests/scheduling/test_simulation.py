"""Whole runs in virtual time: the goals of the scheduler, as far as decisions alone decide them."""

from __future__ import annotations

from dataclasses import replace
from statistics import mean

import pytest

from .model import Figures, simulate
from .world import Scenario, Steps

pytestmark = pytest.mark.unwatched

SHARED: Steps = [(60.0 * step, (7 * step) % 13) for step in range(200)]
"""Other programs that want 0 to 12 slots, changing every minute."""

SEEDS = {"NB": range(1, 7), "MJ": (1, 2), "SD": (1, 2), "MIX": (1, 2)}


@pytest.mark.parametrize("limit", [20, 50])
@pytest.mark.parametrize(
    ("mix", "slot_use", "makespan", "polls"),
    [
        ("NB", 0.93, 1.09, 0.95),
        ("MJ", 0.965, 1.04, 0.65),
        ("SD", 0.98, 1.03, 0.55),
        ("MIX", 0.955, 1.05, 0.65),
    ],
)
def test_an_unknown_limit_is_used_up(
    mix: str, slot_use: float, makespan: float, polls: float, limit: int
) -> None:
    # Ten-second jobs start in step and run in waves, which makes single runs differ.
    runs = [
        simulate(Scenario(mix=mix, limit=limit, seed=seed, body="full" if seed % 2 else "none"))
        for seed in SEEDS[mix]
    ]
    assert mean(run.slot_use for run in runs) >= slot_use
    assert mean(run.by_oracle for run in runs) <= makespan
    for figures in runs:
        assert figures.polls_by_fixed <= polls
        assert_within_limits(figures, limit)


@pytest.mark.parametrize("limit", [20, 50])
def test_a_mixed_batch_known_in_full_ends_sooner_with_the_longest_first(limit: int) -> None:
    known, unknown = (
        simulate(Scenario(mix="MIX", limit=limit, batch=batch)) for batch in (True, False)
    )
    assert known.by_bound <= 1.07
    assert known.by_bound < unknown.by_bound
    assert_within_limits(known, limit)


def assert_within_limits(figures: Figures, limit: int) -> None:
    assert figures.refusals_per_job <= 0.6
    assert figures.overtaking_p95 <= 5
    assert figures.first_refusals <= limit
    assert figures.refusals_per_second <= 2
    assert figures.closest_polls >= 3.0
    assert figures.seen_after_mean <= 2.6
    assert figures.seen_after_p95 <= 5.0


@pytest.mark.parametrize("limit", [3, 5])
@pytest.mark.parametrize("mix", ["NB", "SD"])
def test_a_small_account_is_not_asked_more_often(mix: str, limit: int) -> None:
    figures = simulate(Scenario(mix=mix, limit=limit, jobs=300))
    assert figures.refusals_per_job <= 0.65
    assert figures.first_refusals <= limit
    assert figures.slot_use >= {"NB": 0.85, "SD": 0.97}[mix]
    assert figures.overtaking_p95 <= 5


def test_with_a_single_slot_a_knock_goes_every_half_minute_at_most() -> None:
    figures = simulate(Scenario(mix="SD", limit=1, jobs=100))
    assert figures.refusals_per_job <= figures.makespan / 100 / 30
    assert figures.slot_use >= 0.97


CHANGES = {
    "raised": Scenario(limit=((0.0, 20), (150.0, 50))),
    "lowered": Scenario(limit=((0.0, 50), (75.0, 20))),
    "zero for 180 s": Scenario(limit=((0.0, 20), (150.0, 0), (330.0, 20))),
    "shared": Scenario(others=SHARED),
}


@pytest.mark.parametrize("body", ["none", "full"])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("mix", ["NB", "SD", "MIX"])
def test_a_limit_that_changes_is_followed(mix: str, change: str, body: str) -> None:
    scenario = replace(CHANGES[change], mix=mix, body="full" if body == "full" else "none")
    figures = simulate(scenario)
    assert figures.slot_use >= 0.92
    assert figures.refusals_per_job <= 0.9
    assert figures.overtaking_p95 <= 5


def test_an_exact_answer_spares_refusals_when_the_limit_is_lowered() -> None:
    worst = {
        body: simulate(replace(CHANGES["lowered"], mix="MIX", body=body)).worst_refusals
        for body in ("none", "full")
    }
    assert worst["full"] < worst["none"]


def test_webhooks_fill_slots_at_once_and_spare_polls() -> None:
    for mix, slot_use, polls in (("NB", 0.96, 0.1), ("MJ", 0.99, 1.5), ("SD", 0.995, 3.5)):
        figures = simulate(Scenario(mix=mix, webhooks=True))
        assert figures.slot_use >= slot_use
        assert figures.polls_per_job <= polls
        # And one that confirms each webhook, or was faster than it.
        assert figures.gets_per_job == pytest.approx(figures.polls_per_job + 1, abs=0.1)


def test_a_run_50_times_faster_behaves_the_same() -> None:
    """Every wait is a multiple of the poll interval."""

    def essence(figures: Figures) -> tuple[float, ...]:
        return (figures.slot_use, figures.refusals_per_job, figures.polls_per_job)

    scenario = Scenario(mix="NB", jobs=300)
    fast = replace(scenario, speed=50.0, poll_interval=(0.06, 0.1), one_way=(0.001, 0.003))
    slow, quick = simulate(scenario), simulate(fast)
    assert essence(quick) == pytest.approx(essence(slow), rel=0.05)
    assert quick.makespan == pytest.approx(slow.makespan / 50, rel=0.02)


def test_a_known_limit_needs_no_refusal_at_all() -> None:
    figures = simulate(Scenario(mix="MJ", jobs=300, max_in_flight=20, remembered_limit=20))
    assert figures.refusals_per_job == 0
    assert figures.most_in_flight <= 20
    assert figures.slot_use >= 0.955


@pytest.mark.parametrize("retry_after", [1.0, 30.0])
def test_retry_after_slows_knocks_and_not_the_slots_seen_free(retry_after: float) -> None:
    figures = simulate(Scenario(mix="NB", jobs=400, retry_after=retry_after))
    assert figures.slot_use >= 0.79
    if retry_after == 30.0:
        # Only knocks that found a slot are followed by others: one refusal per Retry-After.
        assert figures.refusals_per_job <= 0.6


def test_groups_take_turns_without_costing_slots() -> None:
    one, many = (simulate(Scenario(mix="NB", groups=groups)) for groups in (1, 10))
    assert many.slot_use == pytest.approx(one.slot_use, abs=0.02)
    assert many.refusals_per_job <= 0.6


def test_the_same_scenario_gives_the_same_figures() -> None:
    scenario = Scenario(mix="MIX", jobs=100)
    assert simulate(scenario) == simulate(scenario)
