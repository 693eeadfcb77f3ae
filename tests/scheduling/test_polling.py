"""When running tasks are polled."""

from __future__ import annotations

from itertools import pairwise

import pytest

from kinovi_async._scheduling import AccountState, Entry

from .driving import account, enqueue, entry, jobs, leftovers, submitted


def running_task(state: AccountState, now: float = 0.0, *, webhook: bool = False) -> Entry:
    only = entry("task")
    enqueue(state, only, now=now)
    assert submitted(state, now) == [only]
    state.accepted(only, now, webhook=webhook)
    return only


def next_poll(state: AccountState, now: float) -> float:
    """Wait for the next poll and return when it is handed out."""
    wake_at = state.decide(now).wake_at
    assert wake_at is not None
    decisions = state.decide(wake_at)
    assert len(decisions.poll) == 1
    return wake_at


@pytest.mark.parametrize("interval", [(3.0, 5.0), (0.06, 0.1), (2.0, 2.0)])
def test_polls_come_within_the_interval_after_acceptance_and_after_each_answer(
    interval: tuple[float, float],
) -> None:
    state = account(poll_interval=interval)
    task = running_task(state)
    now = 0.0
    waits = []
    for _ in range(50):
        at = next_poll(state, now)
        waits.append(at - now)
        now = at + 0.25 * interval[0]
        state.polled(task, now)
    low, high = interval
    assert all(low - 1e-9 <= wait <= high + 1e-9 for wait in waits)
    if low < high:
        assert max(waits) - min(waits) > 0.5 * (high - low)


class TestKnownDurations:
    """Once eight durations of a model are known, no poll is wasted on tasks too young to have ended."""

    def polls(self, state: AccountState, task: Entry, now: float, count: int) -> list[float]:
        times = []
        for _ in range(count):
            now = next_poll(state, now)
            times.append(now)
            state.polled(task, now)
        return times

    def test_the_first_poll_waits_for_the_age_at_which_the_first_tasks_end(self) -> None:
        state = account()
        state.durations.load({"model": [float(seconds) for seconds in range(61, 181)]})
        first, *later = self.polls(state, running_task(state), 0.0, 10)
        assert 66.0 <= first <= 68.0
        assert 3.0 <= later[0] - first <= 5.0

    def test_a_task_polled_already_waits_as_well(self) -> None:
        state = account()
        task = running_task(state)
        (early,) = self.polls(state, task, 0.0, 1)
        assert early <= 5.0
        state.durations.load({"model": [60.0] * 8})
        state.polled(task, early)
        assert 60.0 <= next_poll(state, early) <= 62.0

    def test_seven_are_not_enough(self) -> None:
        state = account()
        state.durations.load({"model": [60.0] * 7})
        assert next_poll_of_new_task(state) <= 5.0

    def test_the_minimum_stands_for_the_shortest_tasks(self) -> None:
        state = account()
        state.durations.load({"model": [0.5] * 8})
        assert 3.0 <= next_poll_of_new_task(state) <= 5.0

    def test_an_adopted_task_that_is_old_enough_is_polled_soon(self) -> None:
        state = account()
        state.durations.load({"model": [60.0] * 8})
        task = entry("task")
        state.adopt(task, 100.0, age=500.0)
        assert 100.0 <= next_poll(state, 100.0) <= 103.0

    def test_an_adopted_task_is_not_polled_before_one_like_it_ends(self) -> None:
        state = account()
        state.durations.load({"model": [60.0] * 8})
        state.adopt(entry("task"), 100.0, age=20.0)
        assert 140.0 <= next_poll(state, 100.0) <= 143.0

    def test_the_fallback_of_a_webhook_waits_as_well(self) -> None:
        state = account()
        state.durations.load({"model": [60.0] * 8})
        running_task(state, webhook=True)
        assert 60.0 <= next_poll(state, 0.0) <= 70.0

    def test_tasks_that_end_in_step_are_polled_at_nearly_the_minimum(self) -> None:
        state = account()
        state.durations.load({"model": [8.0 + number / 25 for number in range(100)]})
        times = self.polls(state, running_task(state), 0.0, 2)
        assert 3.0 <= times[1] - times[0] <= 3.5

    def test_tasks_that_end_one_by_one_are_not(self) -> None:
        state = account()
        state.durations.load({"model": [60.0 + number for number in range(120)]})
        times = self.polls(state, running_task(state), 0.0, 12)
        assert max(after - before for before, after in pairwise(times)) > 4.0


def next_poll_of_new_task(state: AccountState) -> float:
    running_task(state)
    return next_poll(state, 0.0)


def test_a_poll_without_an_answer_is_not_handed_out_again() -> None:
    state = account()
    task = running_task(state)
    at = next_poll(state, 0.0)
    assert state.decide(at + 100).poll == ()
    state.polled(task, at + 100, failed=True)
    assert state.decide(at + 106).poll == (task,)


def test_polls_are_handed_out_in_the_order_in_which_they_are_due() -> None:
    state = account(remembered_limit=20)
    made = jobs(state, 20)
    for number, each in enumerate(submitted(state)):
        state.accepted(each, number * 5.0)
    assert list(state.decide(200.0).poll) == made


def test_ended_and_forgotten_tasks_are_not_polled() -> None:
    state = account(remembered_limit=2)
    jobs(state, 2)
    first, second = submitted(state)
    state.accepted(first, 0.0)
    state.accepted(second, 0.0)
    state.ended(first, 1.0)
    state.forget(second, 1.0)
    assert state.decide(100.0).poll == ()
    assert leftovers(state) == []


def test_a_notified_task_is_polled_at_once() -> None:
    state = account()
    task = running_task(state, webhook=True)
    state.notified(task, 7.0)
    assert state.decide(7.0).poll == (task,)


def test_a_notified_task_is_never_polled_twice_within_the_minimum() -> None:
    state = account()
    task = running_task(state)
    at = next_poll(state, 0.0)
    state.polled(task, at + 0.1)
    state.notified(task, at + 0.2)
    decisions = state.decide(at + 0.2)
    assert decisions.poll == ()
    assert decisions.wake_at == at + 3.0
    assert state.decide(at + 3.0).poll == (task,)


def test_what_a_webhook_says_during_a_poll_leads_to_another_poll() -> None:
    """The answer under way may be older than the webhook."""
    state = account()
    task = running_task(state)
    at = next_poll(state, 0.0)
    state.notified(task, at + 0.1)
    state.polled(task, at + 0.2)
    assert state.decide(at + 3.0).poll == (task,)
    # Still running after all: from now on polls are a fallback.
    state.polled(task, at + 3.2)
    wake_at = state.decide(at + 3.2).wake_at
    assert wake_at is not None
    assert 25.0 <= wake_at - (at + 3.2) <= 35.0


def test_a_task_whose_webhook_is_expected_is_polled_rarely_from_the_start() -> None:
    state = account(poll_interval=(0.3, 0.5))
    running_task(state, webhook=True)
    at = next_poll(state, 0.0)
    assert 2.5 <= at <= 3.5


def test_a_webhook_that_outruns_the_answer_to_the_submission_is_not_lost() -> None:
    state = account()
    only = entry("task")
    enqueue(state, only)
    submitted(state)
    state.notified(only, 0.1)
    state.accepted(only, 0.2)
    assert state.decide(0.2).poll == (only,)


@pytest.mark.parametrize("webhook", [False, True])
def test_adopted_tasks_are_polled_at_once_but_not_all_together(*, webhook: bool) -> None:
    """They may have ended while nobody looked, and their webhooks have told nobody."""
    state = account()
    for number in range(40):
        state.adopt(entry(f"task {number}"), 100.0, age=500.0, webhook=webhook)
    polled = [len(state.decide(100.0 + second).poll) for second in range(4)]
    assert sum(polled) == 40
    assert max(polled) < 25


def test_an_adopted_task_that_is_new_waits_for_the_minimum() -> None:
    state = account()
    state.adopt(entry("task"), 100.0, age=1.0)
    assert 102.0 <= next_poll(state, 100.0) <= 105.0


@pytest.mark.parametrize("interval", [(0.0, 5.0), (-1.0, 5.0), (5.0, 3.0), (3.0, float("inf"))])
def test_an_impossible_interval_is_refused(interval: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="poll_interval"):
        account(poll_interval=interval)
