"""Order of service, bounds of lanes, and that nothing scans the queue."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import ClassVar

import pytest

from kinovi_async._scheduling import AccountState, Entry

from .driving import (
    FULL,
    account,
    enqueue,
    entry,
    jobs,
    leftovers,
    order_of_service,
    run_one,
    submitted,
)


def one_slot(*lanes: str) -> AccountState:
    return account(*lanes, max_in_flight=1)


def test_within_a_group_arrival_decides() -> None:
    state = one_slot()
    jobs(state, 5)
    assert order_of_service(state) == ["0", "1", "2", "3", "4"]


def test_a_higher_priority_goes_first_whenever_it_arrives() -> None:
    state = one_slot()
    enqueue(state, entry("low", priority=-1), entry("mid"), entry("high", priority=7))
    assert run_one(state).key == "high"
    enqueue(state, entry("late", priority=3))
    assert order_of_service(state) == ["late", "mid", "low"]


def test_groups_of_one_priority_take_turns() -> None:
    state = one_slot()
    enqueue(state, *(entry(f"a{n}", group="a") for n in range(4)))
    enqueue(state, *(entry(f"b{n}", group="b") for n in range(2)))
    enqueue(state, entry("c0", group="c"))
    assert order_of_service(state) == ["a0", "b0", "c0", "a1", "b1", "a2", "a3"]


def test_a_new_group_waits_for_one_round_and_not_behind_the_whole_queue() -> None:
    state = one_slot()
    enqueue(state, *(entry(f"a{n}", group="a") for n in range(100)))
    for _ in range(10):
        run_one(state)
    enqueue(state, *(entry(f"b{n}", group="b") for n in range(2)))
    assert order_of_service(state)[:5] == ["a10", "b0", "a11", "b1", "a12"]


def test_a_group_in_two_lanes_has_one_turn_and_serves_them_by_arrival() -> None:
    state = one_slot("x", "y")
    enqueue(
        state,
        entry("a0", group="a", lane="x"),
        entry("a1", group="a", lane="y"),
        entry("a2", group="a", lane="x"),
        entry("b0", group="b", lane="y"),
        entry("b1", group="b", lane="y"),
    )
    assert order_of_service(state) == ["a0", "b0", "a1", "b1", "a2"]


def test_a_refused_job_returns_to_its_own_place_and_gives_its_group_the_turn_back() -> None:
    state = one_slot()
    enqueue(state, *(entry(f"a{n}", group="a") for n in range(2)))
    enqueue(state, *(entry(f"b{n}", group="b") for n in range(2)))
    (first,) = submitted(state)
    state.refused(first, 1.0, FULL)
    assert first.refusals == 1
    (again,) = submitted(state, 5.0)
    assert again is first
    state.returned(again, 5.0)
    assert order_of_service(state, 5.0) == ["a0", "b0", "a1", "b1"]


def test_a_refused_job_that_was_the_last_of_its_group_keeps_the_turn_too() -> None:
    state = account(max_in_flight=1)
    enqueue(state, entry("a", group="a"), entry("b", group="b"), entry("c", group="c"))
    (first,) = submitted(state)
    state.returned(first, 0.0)
    assert order_of_service(state) == ["a", "b", "c"]


def test_a_lane_at_its_bound_blocks_no_other_lane() -> None:
    state = AccountStateWith({"bounded": 1, "free": None})
    enqueue(state, *(entry(f"x{n}", lane="bounded") for n in range(3)))
    enqueue(state, *(entry(f"y{n}", lane="free") for n in range(3)))
    handed = submitted(state)
    assert [each.key for each in handed] == ["x0", "y0", "y1", "y2"]
    state.accepted(handed[0], 0.0)
    assert submitted(state) == []
    state.ended(handed[0], 1.0)
    assert [each.key for each in submitted(state, 1.0)] == ["x1"]


def AccountStateWith(bounds: dict[str, int | None], *, limit: int = 100) -> AccountState:  # noqa: N802 - reads as a constructor
    state = account(*(), remembered_limit=limit)
    for lane, bound in bounds.items():
        state.add_lane(lane, max_in_flight=bound)
    return state


def test_a_lanes_bound_holds_over_all_its_groups_and_can_be_changed() -> None:
    state = AccountStateWith({"x": 2})
    enqueue(state, *(entry(str(n), group=n, lane="x") for n in range(10)))
    assert len(submitted(state)) == 2
    state.set_bound("x", 5)
    assert len(submitted(state)) == 3
    state.set_bound("x", 1)
    assert submitted(state) == []
    state.set_bound("x", None)
    assert len(submitted(state)) == 5


def test_after_its_bound_a_lane_goes_on_with_the_group_whose_turn_it_is() -> None:
    state = AccountStateWith({"x": 1})
    for n in range(3):
        enqueue(state, *(entry(f"{group}{n}", group=group, lane="x") for group in "abc"))
    assert order_of_service(state) == ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]


def test_a_paused_lane_keeps_its_queue_and_is_stepped_over() -> None:
    state = AccountStateWith({"x": None, "y": None})
    enqueue(state, *(entry(f"x{n}", lane="x") for n in range(2)))
    enqueue(state, entry("y0", lane="y"))
    state.pause_lane("x")
    assert [each.key for each in submitted(state)] == ["y0"]
    enqueue(state, entry("x2", lane="x"))
    assert submitted(state) == []
    assert state.statistics().queued == 3
    state.resume_lane("x")
    assert [each.key for each in submitted(state)] == ["x0", "x1", "x2"]


def test_running_tasks_of_a_paused_lane_are_polled_on() -> None:
    state = AccountStateWith({"x": None})
    enqueue(state, entry("x0", lane="x"))
    (first,) = submitted(state)
    state.accepted(first, 0.0)
    state.pause_lane("x")
    assert state.decide(6.0).poll == (first,)


def test_a_withdrawn_job_leaves_nothing_behind() -> None:
    state = one_slot()
    first, *others = jobs(state, 50)
    assert submitted(state, 0.0) == [first]
    for each in reversed(others):
        assert state.withdraw(each)
        assert not state.withdraw(each)
    state.dropped(first, 1.0)
    assert leftovers(state) == []


def test_withdrawn_entries_are_swept_while_others_stay() -> None:
    state = one_slot()
    state.pause_lane("lane")
    jobs(state, 10)
    for number in range(1000):
        passing = entry(f"passing {number}")
        state.enqueue(passing, 0.0)
        assert state.withdraw(passing)
    (line,) = state._lanes["lane"].lines.values()
    (pile,) = line.piles.values()
    assert len(pile.heap) <= 2 * 10 + 8


def test_a_withdrawn_job_is_stepped_over_at_the_head_and_in_the_middle() -> None:
    state = one_slot()
    made = jobs(state, 5)
    state.withdraw(made[0])
    state.withdraw(made[3])
    assert order_of_service(state) == ["1", "2", "4"]


def test_what_is_on_the_wire_cannot_be_withdrawn() -> None:
    state = account()
    (only,) = jobs(state, 1)
    assert submitted(state) == [only]
    assert not state.withdraw(only)


def test_removing_a_lane_withdraws_its_queue_in_order_and_forgets_its_tasks() -> None:
    state = AccountStateWith({"x": 3, "y": None}, limit=5)
    mine = [entry(f"x{n}", group=n % 2, lane="x", priority=n % 3) for n in range(8)]
    enqueue(state, *mine, *(entry(f"y{n}", lane="y") for n in range(4)))
    handed = submitted(state)
    for each in handed[:2]:
        state.accepted(each, 0.0)
    withdrawn = state.remove_lane("x")
    taken = [each for each in handed if each.lane == "x"]
    assert withdrawn == [each for each in mine if each not in taken]
    assert all(each.lane == "y" for each in submitted(state, 0.1))
    assert state.statistics().submitting + state.statistics().in_flight == 4
    for each in taken:  # whatever was on its way arrives late, and is ignored
        state.accepted(each, 1.0)
        state.refused(each, 1.0, FULL)
        state.ended(each, 1.0)
        state.polled(each, 1.0)
    assert state.remove_lane("x") == []
    state.remove_lane("y")
    assert leftovers(state) == []


class Counter:
    """Counts the calls of Python functions while it is on: work, not time."""

    def __init__(self) -> None:
        self.calls = 0

    def _profile(self, _frame: FrameType, event: str, _arg: object) -> None:
        self.calls += event in {"call", "c_call"}

    def of(self, work: Callable[[], object]) -> int:
        self.calls = 0
        before = sys.getprofile()
        sys.setprofile(self._profile)
        try:
            work()
        finally:
            sys.setprofile(before)
        return self.calls


def steady_work(state: AccountState) -> Callable[[], None]:
    """200 times over: a task ends in a full account, and the next job starts."""
    running: list[Entry] = []

    def fill() -> None:
        while new := submitted(state):
            for each in new:
                state.accepted(each, 0.0)
                running.append(each)

    def work() -> None:
        for _ in range(200):
            state.ended(running.pop(0), 0.0)
            fill()

    fill()
    return work


def one_group(n: int) -> Entry:
    return entry(str(n), lane="bounded")


def many_groups(n: int) -> Entry:
    return entry(str(n), lane="bounded", group=n)


def many_lanes(n: int) -> Entry:
    return entry(str(n), lane=f"lane {n}")


def many_priorities(n: int) -> Entry:
    return entry(str(n), lane="bounded", priority=n % 100, group=n % 7)


def beside_another(n: int) -> Entry:
    """A bounded lane with a group for every job, and another lane that goes on meanwhile."""
    return entry(str(n), lane="bounded" if n % 2 else "free", group=n)


@pytest.mark.parametrize(
    "make", [one_group, many_groups, many_lanes, many_priorities, beside_another]
)
def test_ten_times_the_queue_is_not_more_work_for_a_decision(
    make: Callable[[int], Entry],
) -> None:
    costs = []
    for size in (1_000, 10_000):
        state = account("free", remembered_limit=20, max_in_flight=20)
        state.add_lane("bounded", max_in_flight=10)
        for n in range(size):
            new = make(n)
            if new.lane not in {"bounded", "free"}:
                state.add_lane(new.lane)
            state.enqueue(new, 0.0)
        work = steady_work(state)
        work()  # what comes up for the first time at a closed lane is parked, once for each entry
        costs.append(Counter().of(work) / 200)
    assert costs[1] <= 1.5 * costs[0] + 20


@pytest.mark.parametrize("make", [one_group, many_groups])
def test_a_queued_job_takes_less_than_a_kilobyte(make: Callable[[int], Entry]) -> None:
    state = account()
    state.add_lane("bounded", max_in_flight=1)
    size = 2_000
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for n in range(size):
            state.enqueue(make(n), 0.0)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / size < (1000 if make is one_group else 2000)


class TestBatch:
    """Entries of a list known in full: the longest expected first, between models."""

    TYPICAL: ClassVar = {"short": (8.0, 12.0), "middle": (30.0, 90.0), "long": (60.0, 180.0)}

    @pytest.fixture
    def state(self) -> AccountState:
        return account("lane", "other", max_in_flight=1, expected_seconds=self.TYPICAL.get)

    def batch(self, *models: str, group: str = "batch", lane: str = "lane") -> list[Entry]:
        return [
            entry(f"{model} {number}", model=model, group=group, lane=lane, batch=True)
            for number, model in enumerate(models)
        ]

    def test_longer_models_go_first_and_each_in_order_of_arrival(self, state: AccountState) -> None:
        enqueue(state, *self.batch("short", "long", "middle", "short", "long"))
        assert order_of_service(state) == ["long 1", "long 4", "middle 2", "short 0", "short 3"]

    def test_what_is_learned_counts_more_than_what_is_typical(self, state: AccountState) -> None:
        state.durations.load({"long": [5.0] * 8})
        enqueue(state, *self.batch("long", "short"))
        assert order_of_service(state) == ["short 1", "long 0"]

    def test_the_order_follows_what_is_learned_meanwhile(self, state: AccountState) -> None:
        enqueue(state, *self.batch("middle", "long", "middle", "long"))
        assert run_one(state).key == "long 1"
        state.durations.load({"long": [5.0] * 8})
        assert order_of_service(state) == ["middle 0", "middle 2", "long 3"]

    def test_a_model_nothing_is_known_of_may_be_the_longest(self, state: AccountState) -> None:
        enqueue(state, *self.batch("long", "unheard-of"))
        assert order_of_service(state) == ["unheard-of 1", "long 0"]

    def test_a_refused_job_keeps_its_place(self, state: AccountState) -> None:
        enqueue(state, *self.batch("short", "long", "long"))
        (first,) = submitted(state)
        state.refused(first, 0.1, FULL)
        assert order_of_service(state, 10.0) == ["long 1", "long 2", "short 0"]

    def test_other_groups_and_priorities_are_not_overtaken(self, state: AccountState) -> None:
        enqueue(state, entry("urgent", model="short", priority=1))
        enqueue(state, entry("web", model="short", group="web"))
        enqueue(state, *self.batch("short", "long", "long"))
        assert order_of_service(state) == ["urgent", "web", "long 1", "long 2", "short 0"]

    def test_a_batch_overtakes_nothing_of_its_group_that_came_one_by_one(
        self, state: AccountState
    ) -> None:
        enqueue(state, entry("before", model="short", group="batch"))
        enqueue(state, *self.batch("short", "long"))
        enqueue(state, entry("after", model="long", group="batch"))
        assert order_of_service(state) == ["before", "long 1", "short 0", "after"]

    def test_entries_that_are_no_batch_keep_their_order(self, state: AccountState) -> None:
        enqueue(state, entry("0", model="short"), entry("1", model="long"))
        assert order_of_service(state) == ["0", "1"]

    def test_entries_withdrawn_or_drained_leave_nothing_behind(self, state: AccountState) -> None:
        made = self.batch("short", "long", "long", "middle")
        enqueue(state, *made)
        assert state.withdraw(made[1])
        assert state.withdraw(made[3])
        assert state.statistics().queued == 2
        assert state.remove_lane("lane") == [made[0], made[2]]
        assert leftovers(state) == []
