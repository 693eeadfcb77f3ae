from __future__ import annotations

import json

import pytest

from kinovi_async._scheduling import Durations
from kinovi_async._scheduling._durations import RECENT


def typical(model: str) -> tuple[float, float] | None:
    return {"known": (60.0, 180.0)}.get(model)


def test_until_eight_are_known_the_typical_range_stands_in() -> None:
    durations = Durations(typical)
    assert durations.expected("known") == 120.0
    assert durations.upper("known") == 180.0
    for _ in range(7):
        durations.add("known", 10.0)
    assert durations.expected("known") == 120.0
    durations.add("known", 10.0)
    assert durations.expected("known") == 10.0
    assert durations.upper("known") == 10.0


def test_the_typical_range_is_scaled_and_the_servers_own_seconds_are_not() -> None:
    durations = Durations(typical, scale=0.02)
    assert durations.expected("known") == pytest.approx(2.4)
    assert durations.upper("known") == pytest.approx(3.6)
    for _ in range(8):
        durations.add("known", 5.0)
    assert durations.expected("known") == 5.0


def test_an_unknown_model_has_no_expectation_and_a_generous_upper_duration() -> None:
    durations = Durations()
    assert durations.expected("unknown") is None
    assert durations.upper("unknown") == 300.0
    durations.add("unknown", 400.0)
    assert durations.expected("unknown") == 400.0
    assert durations.upper("unknown") == 400.0


def test_the_upper_duration_is_the_95th_percentile() -> None:
    durations = Durations()
    for seconds in range(1, 101):
        durations.add("model", float(seconds))
    assert durations.upper("model") == 95.0
    assert durations.expected("model") == 50.5


def test_only_the_latest_256_are_kept() -> None:
    durations = Durations()
    for seconds in range(RECENT + 50):
        durations.add("model", float(seconds))
    assert durations.export()["model"] == [float(number) for number in range(50, RECENT + 50)]


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_impossible_durations_are_left_out(seconds: float) -> None:
    durations = Durations()
    durations.add("model", seconds)
    assert durations.export() == {}


def test_what_one_run_exports_comes_before_what_the_next_has_seen() -> None:
    first, second = Durations(), Durations()
    first.add("a", 1.0)
    first.add("b", 2.0)
    second.add("a", 3.0)
    second.load(json.loads(json.dumps(first.export())))
    assert second.export() == {"a": [1.0, 3.0], "b": [2.0]}


def test_the_lower_duration_is_the_5th_percentile_and_unknown_until_eight_are_known() -> None:
    durations = Durations(typical)
    for seconds in (5.0, 9.0, 8.0, 7.0, 6.0, 9.0, 9.0):
        durations.add("known", seconds)
    assert durations.lower("known") == 0.0
    durations.add("known", 9.0)
    assert durations.lower("known") == 5.0
    for seconds in range(1, 93):
        durations.add("known", 100.0 + seconds)
    assert durations.lower("known") == 9.0


def test_a_sample_tells_how_many_of_those_running_have_ended_later() -> None:
    durations = Durations()
    assert durations.sample("model") is None
    for seconds in (10.0, 20.0, 30.0, 40.0):
        durations.add("model", seconds)
    sample = durations.sample("model")
    assert sample is not None
    assert sample.share_ended(0.0, 9.0) == 0.0
    # Half a task more than are known, since one may always take longer still.
    assert sample.share_ended(0.0, 20.0) == pytest.approx(2 / 4.5)
    assert sample.share_ended(20.0, 30.0) == pytest.approx(1 / 2.5)
    assert sample.share_ended(20.0, 20.0) == 0.0
    assert sample.share_ended(40.0, 1000.0) == 0.0


def test_a_sample_forgets_the_oldest_first_whatever_its_size() -> None:
    durations = Durations()
    durations.add("model", 500.0)
    for _ in range(RECENT):
        durations.add("model", 1.0)
    sample = durations.sample("model")
    assert sample is not None
    assert sample.by_size == [1.0] * RECENT
