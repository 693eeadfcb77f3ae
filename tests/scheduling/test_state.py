"""Life of an entry: what every event does to the counts, and what makes no sense."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kinovi_async._scheduling import AccountState, Entry, State

from .driving import FULL, account, enqueue, entry, jobs, leftovers, submitted


def counts(state: AccountState) -> tuple[int, int, int]:
    now = state.statistics()
    return now.queued, now.submitting, now.in_flight


def test_an_entry_goes_from_queue_to_wire_to_slot_to_end() -> None:
    state = account()
    only = entry("job", group="customer")
    enqueue(state, only)
    assert (counts(state), only.state) == ((1, 0, 0), State.QUEUED)
    assert state.statistics().groups == {"customer": (1, 0)}
    assert submitted(state) == [only]
    assert (counts(state), only.state) == ((0, 1, 0), State.SUBMITTING)
    assert state.statistics().groups == {"customer": (0, 1)}
    state.accepted(only, 1.0)
    assert (counts(state), only.state) == ((0, 0, 1), State.RUNNING)
    state.ended(only, 11.0, seconds=9.5)
    assert (counts(state), only.state) == ((0, 0, 0), State.GONE)
    assert state.durations.export() == {"model": [9.5]}
    assert leftovers(state) == []


def test_a_job_not_sent_waits_with_its_lane_while_others_go_on() -> None:
    state = account("x", "y", remembered_limit=2)
    enqueue(state, entry("x0", lane="x"), entry("x1", lane="x"))
    first, second = submitted(state)
    state.accepted(second, 0.0)
    state.returned(first, 0.0, 4.0)
    enqueue(state, entry("y0", lane="y"))
    assert [each.key for each in submitted(state, 1.0)] == ["y0"]
    state.ended(second, 2.0)
    decisions = state.decide(2.0)
    assert (decisions.submit, decisions.wake_at) == ((), 4.0)
    assert submitted(state, 4.0) == [first]


def test_a_shorter_delay_does_not_end_a_longer_one() -> None:
    state = account(remembered_limit=2)
    first, second = jobs(state, 2)
    assert submitted(state) == [first, second]
    state.returned(first, 0.0, 10.0)
    state.returned(second, 0.0, 1.0)
    assert submitted(state, 9.9) == []
    assert submitted(state, 10.0) == [first, second]


def test_a_job_not_sent_can_hold_back_the_whole_account() -> None:
    state = account("x", "y", remembered_limit=5)
    enqueue(state, entry("x0", lane="x"))
    (first,) = submitted(state)
    state.returned(first, 0.0, 4.0, whole_account=True)
    enqueue(state, entry("y0", lane="y"))
    decisions = state.decide(1.0)
    assert (decisions.submit, decisions.wake_at) == ((), 4.0)
    assert [each.key for each in submitted(state, 4.0)] == ["x0", "y0"]


def test_a_dropped_submission_frees_its_place() -> None:
    state = account(max_in_flight=1)
    first, second = jobs(state, 2)
    assert submitted(state) == [first]
    state.dropped(first, 0.1)
    assert submitted(state, 0.1) == [second]


class TestUnclear:
    """A submission that may have become a task."""

    @pytest.fixture
    def state(self) -> AccountState:
        return account(max_in_flight=1, expected_seconds=lambda _: (20.0, 60.0))

    def test_it_holds_its_slot_for_the_upper_typical_duration(self, state: AccountState) -> None:
        first, second = jobs(state, 2)
        submitted(state)
        state.unclear(first, 1.0)
        assert counts(state) == (1, 0, 1)
        decisions = state.decide(2.0)
        assert (decisions.submit, decisions.poll, decisions.wake_at) == ((), (), 61.0)
        assert submitted(state, 61.0) == [second]
        assert first.state is State.GONE

    def test_it_becomes_a_running_task_when_its_task_is_found(self, state: AccountState) -> None:
        first, second = jobs(state, 2)
        submitted(state)
        state.unclear(first, 1.0)
        state.adopt(first, 10.0, age=9.0)
        assert counts(state) == (1, 0, 1)
        assert state.decide(100.0).poll == (first,)
        state.ended(first, 100.1)
        assert submitted(state, 100.1) == [second]

    def test_its_slot_is_released_when_nobody_waits(self, state: AccountState) -> None:
        first, second = jobs(state, 2)
        submitted(state)
        state.unclear(first, 1.0)
        state.notified(first, 1.5)
        state.forget(first, 2.0)
        assert submitted(state, 2.0) == [second]


def test_adopted_tasks_count_as_in_flight_even_beyond_the_bound() -> None:
    state = account(max_in_flight=2)
    old = [entry(f"old {number}") for number in range(4)]
    for each in old:
        state.adopt(each, 0.0, age=30.0)
    (new,) = jobs(state, 1)
    assert counts(state) == (1, 0, 4)
    for each in old[:3]:
        assert submitted(state, 1.0) == []
        state.ended(each, 1.0)
    assert submitted(state, 1.0) == [new]


def test_a_forgotten_task_can_be_taken_up_again() -> None:
    state = account()
    (only,) = jobs(state, 1)
    submitted(state)
    state.accepted(only, 0.0)
    state.forget(only, 5.0)
    assert counts(state) == (0, 0, 0)
    state.adopt(only, 50.0, age=50.0)
    assert counts(state) == (0, 0, 1)
    state.ended(only, 60.0)
    assert leftovers(state) == []


EVENTS: dict[str, Callable[[AccountState, Entry], object]] = {
    "accepted": lambda state, each: state.accepted(each, 9.0),
    "refused": lambda state, each: state.refused(each, 9.0, FULL),
    "returned": lambda state, each: state.returned(each, 9.0),
    "dropped": lambda state, each: state.dropped(each, 9.0),
    "unclear": lambda state, each: state.unclear(each, 9.0),
    "polled": lambda state, each: state.polled(each, 9.0),
    "ended": lambda state, each: state.ended(each, 9.0),
    "forget": lambda state, each: state.forget(each, 9.0),
    "notified": lambda state, each: state.notified(each, 9.0),
}
OF_A_SUBMISSION = {"accepted", "refused", "returned", "dropped", "unclear"}


@pytest.mark.parametrize("event", EVENTS)
def test_what_arrives_late_for_an_entry_that_is_gone_is_ignored(event: str) -> None:
    state = account()
    (only,) = jobs(state, 1)
    submitted(state)
    state.dropped(only, 1.0)
    EVENTS[event](state, only)
    assert only.state is State.GONE
    assert leftovers(state) == []


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_of_an_entry_still_queued_is_an_error_of_the_caller(event: str) -> None:
    state = account()
    (only,) = jobs(state, 1)
    with pytest.raises(ValueError, match="'0' queued"):
        EVENTS[event](state, only)
    assert counts(state) == (1, 0, 0)


@pytest.mark.parametrize("event", sorted(OF_A_SUBMISSION))
def test_a_second_answer_to_a_submission_is_an_error_of_the_caller(event: str) -> None:
    state = account()
    (only,) = jobs(state, 1)
    submitted(state)
    state.accepted(only, 1.0)
    with pytest.raises(ValueError, match="not being submitted"):
        EVENTS[event](state, only)
    assert counts(state) == (0, 0, 1)


@pytest.mark.parametrize("event", ["polled", "ended"])
def test_an_end_before_the_answer_to_the_submission_is_an_error_of_the_caller(event: str) -> None:
    state = account()
    (only,) = jobs(state, 1)
    submitted(state)
    with pytest.raises(ValueError, match="not a running task"):
        EVENTS[event](state, only)
    assert counts(state) == (0, 1, 0)


def test_an_entry_is_queued_once_and_into_a_known_lane() -> None:
    state = account()
    (only,) = jobs(state, 1)
    with pytest.raises(ValueError, match="queued before"):
        state.enqueue(only, 0.0)
    with pytest.raises(ValueError, match="unknown lane 'nowhere'"):
        state.enqueue(entry("lost", lane="nowhere"), 0.0)
    with pytest.raises(ValueError, match="cannot be adopted"):
        state.adopt(only, 0.0)
    assert counts(state) == (1, 0, 0)


def test_lanes_have_different_names() -> None:
    state = account("x")
    with pytest.raises(ValueError, match="'x' exists"):
        state.add_lane("x")
    for call in (state.pause_lane, state.resume_lane):
        with pytest.raises(ValueError, match="unknown lane"):
            call("y")


@pytest.mark.parametrize("bound", [0, -3])
def test_a_bound_is_at_least_one(bound: int) -> None:
    state = account("x")
    with pytest.raises(ValueError, match="max_in_flight must be at least 1"):
        state.set_bound("x", bound)
    with pytest.raises(ValueError, match="max_in_flight must be at least 1"):
        state.set_max_in_flight(bound)
    with pytest.raises(ValueError, match="remembered_limit must be at least 1"):
        account(remembered_limit=bound)


def test_an_idle_account_needs_no_waking() -> None:
    state = account()
    decisions = state.decide(0.0)
    assert (decisions.submit, decisions.poll, decisions.wake_at) == ((), (), None)


def test_statistics_tell_use_of_the_slots_and_the_age_of_the_queue() -> None:
    state = account(max_in_flight=4, remembered_limit=4)
    assert state.statistics().slot_use is None
    assert state.statistics().oldest_queue_age is None
    made = jobs(state, 6)
    for each in submitted(state):
        state.accepted(each, 0.0)
    state.ended(made[0], 10.0)
    state.ended(made[1], 10.0)
    now = state.statistics(20.0)
    assert now.slot_use == pytest.approx((4 * 10 + 2 * 10) / (4 * 20))
    assert now.oldest_queue_age == 20.0
    assert (now.accepted, now.refused, now.polls, now.limit) == (4, 0, 0, 4)


def test_representations_show_the_counts_and_no_payload() -> None:
    state = account()
    only = Entry(key="job", model="m", group=None, lane="lane", payload="secret")
    enqueue(state, only)
    assert repr(state) == "<AccountState queued=1 submitting=0 in_flight=0 limit=None>"
    assert repr(only) == "<Entry 'job' queued order=0>"
