"""What is left of a run: known cases to the second, and honest where chance has a say."""

from __future__ import annotations

import heapq
import math
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinovi_async.progress._learned import Learned
from kinovi_async.progress._remaining import Remaining, Seconds, Work, remaining


def exactly(seconds: float) -> Seconds:
    return Seconds(seconds, seconds, seconds, seconds)


def left(*works: Work, limit: int | None = 10, **more: object) -> Remaining:
    found = remaining(works, limit=limit, **more)  # type: ignore[arg-type]
    assert found is not None
    return found


FILM, PICTURE = exactly(100.0), exactly(10.0)


def test_nothing_is_said_when_nothing_is_left_or_nothing_known() -> None:
    assert remaining([], limit=5) is None
    assert remaining([Work(FILM)], limit=5) is None
    assert remaining([Work(None, waiting=5, running=2)], limit=5) is None
    assert remaining([Work(FILM, waiting=5)], limit=None) is None


@pytest.mark.parametrize(
    ("works", "seconds"),
    [
        ([Work(FILM, waiting=10)], 100),
        ([Work(FILM, waiting=11)], 200),
        ([Work(FILM, waiting=1, running=1, age=30.0)], 100),
        ([Work(FILM, waiting=10), Work(PICTURE, waiting=100)], 200),
        # The film first: the pictures run beside it. The other way round it would be 190.
        ([Work(PICTURE, waiting=90), Work(FILM, waiting=1)], 100),
        ([Work(FILM, running=1, age=40.0)], 60),
        ([Work(FILM, waiting=10_000)], 100_000),
    ],
)
def test_jobs_are_laid_into_the_slots_longest_first(works: list[Work], seconds: float) -> None:
    found = left(*works)
    assert found.low == pytest.approx(seconds)
    assert found.high == pytest.approx(seconds)
    assert found.affordable is None


def test_a_thousand_slots_are_laid_out_in_bulk() -> None:
    found = left(Work(FILM, waiting=10_000), limit=1000)
    assert found.high == pytest.approx(1000, rel=0.1)


def test_what_has_outlived_its_time_may_end_any_moment_but_has_not() -> None:
    found = left(Work(FILM, running=3, age=500.0))
    assert found.low is not None
    assert 0 < found.low < 20


def test_a_model_of_which_nothing_is_known_may_take_what_the_others_take() -> None:
    short = left(Work(FILM, waiting=10), Work(PICTURE, waiting=10))
    long = left(Work(FILM, waiting=20))
    unsure = left(Work(FILM, waiting=10), Work(None, waiting=10))
    assert unsure.low is not None
    assert unsure.low < short.high * 1.2
    assert unsure.high >= long.high


def test_without_a_limit_the_estimate_is_an_upper_one() -> None:
    found = left(Work(FILM, waiting=8, running=2), limit=None, most_running=4)
    assert found.low is None
    assert found.high == pytest.approx(300)


def test_without_a_limit_and_nothing_waiting_no_limit_is_needed() -> None:
    found = left(Work(FILM, running=2, age=10.0), limit=None)
    assert found.low is not None


def test_paused_means_that_only_what_runs_is_waited_for() -> None:
    found = left(Work(FILM, waiting=500, running=1, age=40.0), paused=True)
    assert found.high == pytest.approx(60)
    assert remaining([Work(FILM, waiting=500)], limit=5, paused=True) is None


def test_slots_that_others_use_count_less() -> None:
    all_ours = left(Work(FILM, waiting=100))
    half = left(Work(FILM, waiting=100), slot_use=0.5)
    assert half.low == all_ours.low
    assert half.high == pytest.approx(2 * all_ours.high)


def test_a_budget_ends_the_run_first() -> None:
    works = [
        Work(FILM, waiting=100, cost=Decimal(300)),
        Work(PICTURE, waiting=100, cost=Decimal(15)),
    ]
    found = left(*works, room=Decimal(6100))
    assert found.affordable == 20
    assert found.high == pytest.approx(200)
    assert left(*works, room=Decimal(40_000)).affordable is None
    assert left(*works, room=Decimal(30_020)).affordable == 101
    nothing = left(Work(FILM, waiting=5, running=1, cost=Decimal(300)), room=Decimal(-5))
    assert nothing.affordable == 0


works = st.lists(
    st.builds(
        Work,
        st.none() | st.tuples(*[st.floats(0, 1e4)] * 4).map(lambda four: Seconds(*sorted(four))),
        st.integers(0, 10_000),
        st.integers(0, 3000),
        st.floats(0, 1e5),
        st.none() | st.decimals(0, 1000, places=1),
    ),
    max_size=8,
)


@given(
    works,
    st.none() | st.integers(1, 5000),
    st.none() | st.floats(0, 1),
    st.none() | st.decimals(-100, 10_000, places=1),
    st.booleans(),
)
def test_an_estimate_is_finite_and_in_order(
    works: list[Work],
    limit: int | None,
    slot_use: float | None,
    room: Decimal | None,
    paused: bool,  # noqa: FBT001 - drawn
) -> None:
    found = remaining(works, limit=limit, slot_use=slot_use, room=room, paused=paused)
    if found is not None:
        assert 0 <= (found.low or 0) <= found.high
        assert math.isfinite(found.high)


RANGES = {
    "seedance-20": (60.0, 180.0),
    "midjourney-v7": (30.0, 90.0),
    "nanobanana2": (10.0, 31.0),
}


class Account:
    """Slots, and tasks that take as long as chance says; the longest models first."""

    def __init__(self, rng: Random, counts: dict[str, int], slots: int, pace: float) -> None:
        self.rng, self.slots, self.pace, self.now = rng, slots, pace, 0.0
        self.waiting = dict(counts)
        self.running: list[tuple[float, float, str]] = []
        self.learned = Learned()
        for _ in range(slots):
            self._start()

    def _start(self) -> None:
        model = next((m for m in RANGES if self.waiting.get(m)), None)
        if model is not None:
            self.waiting[model] -= 1
            end = self.now + self.pace * self.rng.uniform(*RANGES[model])
            heapq.heappush(self.running, (end, self.now, model))

    def step(self) -> None:
        self.now, began, model = heapq.heappop(self.running)
        self.learned.add(model, self.now - began)
        self._start()

    def estimate(self) -> Remaining | None:
        works = []
        for model, waiting in self.waiting.items():
            ages = [self.now - began for _, began, name in self.running if name == model]
            age = sum(ages) / len(ages) if ages else 0.0
            seconds = self.learned.seconds(model, running=len(ages), age=age)
            works.append(Work(seconds, waiting, len(ages), age))
        return remaining(works, limit=self.slots)


def test_nine_estimates_in_ten_are_right_within_a_tenth() -> None:
    """Mixed and unmixed batches, 1 to 50 slots, servers of another pace than documented."""
    rng = Random(7)
    right = late = count = 0
    for _ in range(60):
        counts = {model: rng.choice([0, 5, 40, 150]) for model in RANGES}
        jobs = sum(counts.values())
        account = Account(rng, counts, rng.choice([1, 3, 5, 20, 50]), rng.choice([1, 1, 0.1]))
        told: list[tuple[float, Remaining]] = []
        marks = {max(3, jobs * share // 20) for share in (1, 2, 5, 10, 15, 18)}
        for done in range(1, jobs + 1):
            account.step()
            estimate = account.estimate() if done in marks else None
            if estimate is not None:
                told.append((account.now, estimate))
        for at, estimate in told:
            assert estimate.low is not None
            truth = account.now - at
            count += 1
            right += estimate.low * 0.9 - 1 <= truth <= estimate.high * 1.1 + 1
            late += truth > estimate.high * 1.25 + 1
    assert count > 200
    assert right >= 0.9 * count
    assert late <= 0.05 * count


def test_documented_durations_are_used_once_this_server_is_known_to_keep_them() -> None:
    learned = Learned()
    assert learned.seconds("seedance-20") is None
    for _ in range(3):
        learned.add("nanobanana2", 20.0)
    film = learned.seconds("seedance-20")
    assert film is not None
    assert film.mean == pytest.approx(120.0)
    assert learned.seconds("unknown-model") is None


def test_a_server_of_another_pace_keeps_it_for_all_models() -> None:
    """A simulator 20 times as fast."""
    learned = Learned()
    for _ in range(3):
        learned.add("nanobanana2", 1.0)
    film = learned.seconds("seedance-20")
    assert film is not None
    assert 4 < film.mean < 8


def test_the_first_to_end_are_the_short_ones() -> None:
    """Tasks that still run, and run longer already, say that most take longer."""
    learned = Learned()
    for _ in range(3):
        learned.add("other", 60.0)
    alone, beside = learned.seconds("other"), learned.seconds("other", running=47, age=80.0)
    assert alone is not None
    assert beside is not None
    assert beside.mean > alone.mean + 30
