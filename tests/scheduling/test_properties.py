"""Whatever happens in whatever order: places, bounds, polls, progress, and nothing left behind."""

from __future__ import annotations

from random import Random
from typing import Literal

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from kinovi_async._scheduling import AccountState, Decisions, Entry, Refusal, State

from .driving import leftovers
from .model import simulate
from .world import Scenario, Steps

pytestmark = pytest.mark.unwatched

refusals = st.builds(
    Refusal,
    limit=st.none() | st.integers(0, 30),
    current=st.none() | st.integers(0, 40),
    retry_after=st.none() | st.floats(0, 100),
    is_rate=st.booleans(),
)
some = st.randoms(use_true_random=False)


def line_of(entry: Entry) -> tuple[object, ...]:
    """Among the entries with the same, arrival decides."""
    model = entry.model if entry.batch else None
    return (entry.lane, entry.priority, entry.group, entry.batch, model)


class AnyOrder(RuleBasedStateMachine):
    """Drives one account with every event it knows, next to the plainest book of its own."""

    @initialize(
        seed=st.integers(0, 999),
        bound=st.none() | st.integers(1, 12),
        remembered=st.none() | st.integers(1, 12),
    )
    def start(self, seed: int, bound: int | None, remembered: int | None) -> None:
        self.account = AccountState(
            rng=Random(seed), max_in_flight=bound, remembered_limit=remembered
        )
        self.bound = bound
        self.now = 0.0
        self.made = 0
        self.lanes: dict[str, int | None] = {}
        self.closed: set[str] = set()
        self.held_until: dict[str, float] = {}
        self.account_held_until = 0.0
        self.entries: list[Entry] = []
        self.asked: dict[Entry, float] = {}

    def here(self, *states: State) -> list[Entry]:
        return [each for each in self.entries if each.state in states]

    def held_by(self, lane: str) -> int:
        active = self.here(State.SUBMITTING, State.RUNNING, State.UNCLEAR)
        return sum(each.lane == lane for each in active)

    def may_submit(self, lane: str) -> bool:
        bound = self.lanes[lane]
        return (
            lane not in self.closed
            and self.now >= self.held_until.get(lane, 0.0)
            and (bound is None or self.held_by(lane) < bound)
        )

    # Lanes

    @rule(bound=st.none() | st.integers(1, 4))
    def open_lane(self, bound: int | None) -> None:
        self.made += 1
        name = f"lane {self.made}"
        self.account.add_lane(name, max_in_flight=bound)
        self.lanes[name] = bound

    @precondition(lambda self: self.lanes)
    @rule(pick=some, bound=st.none() | st.integers(1, 4))
    def change_bound(self, pick: Random, bound: int | None) -> None:
        name = pick.choice(sorted(self.lanes))
        self.account.set_bound(name, bound)
        self.lanes[name] = bound

    @rule(bound=st.none() | st.integers(1, 12))
    def change_the_accounts_bound(self, bound: int | None) -> None:
        self.account.set_max_in_flight(bound)
        self.bound = bound

    @precondition(lambda self: self.lanes)
    @rule(pick=some)
    def pause_or_resume(self, pick: Random) -> None:
        name = pick.choice(sorted(self.lanes))
        if name in self.closed:
            self.account.resume_lane(name)
        else:
            self.account.pause_lane(name)
        self.closed ^= {name}

    @precondition(lambda self: self.lanes)
    @rule(pick=some)
    def close_lane(self, pick: Random) -> None:
        name = pick.choice(sorted(self.lanes))
        queued = [each for each in self.here(State.QUEUED) if each.lane == name]
        assert self.account.remove_lane(name) == queued
        del self.lanes[name]
        self.closed.discard(name)
        self.held_until.pop(name, None)
        assert all(each.state is State.GONE for each in self.entries if each.lane == name)

    # Jobs

    @precondition(lambda self: self.lanes)
    @rule(
        pick=some,
        count=st.integers(1, 8),
        priority=st.integers(-1, 1),
        group=st.integers(0, 3),
        batch=st.booleans(),
    )
    def queue(self, pick: Random, count: int, priority: int, group: int, *, batch: bool) -> None:
        name = pick.choice(sorted(self.lanes))
        for _ in range(count):
            self.made += 1
            new = Entry(
                key=str(self.made),
                model=pick.choice(["m", "n"]),
                group=group,
                lane=name,
                priority=priority,
                batch=batch,
            )
            self.account.enqueue(new, self.now)
            self.entries.append(new)

    @precondition(lambda self: self.here(State.QUEUED))
    @rule(pick=some)
    def withdraw(self, pick: Random) -> None:
        gone = pick.choice(self.here(State.QUEUED))
        assert self.account.withdraw(gone)

    @precondition(lambda self: self.lanes)
    @rule(pick=some, age=st.floats(0, 1000))
    def adopt(self, pick: Random, age: float) -> None:
        self.made += 1
        name = pick.choice(sorted(self.lanes))
        old = Entry(key=str(self.made), model="m", group=0, lane=name)
        self.account.adopt(old, self.now, age)
        self.entries.append(old)

    # Decisions

    @rule(passes=st.sampled_from([0.0, 0.2, 1.0, 3.0, 40.0]))
    def decide(self, passes: float) -> None:
        self.now += passes
        active = self.here(State.SUBMITTING, State.RUNNING)
        before = {each: each.state for each in self.entries}
        unclear = self.here(State.UNCLEAR)
        decisions = self.account.decide(self.now)
        self.check_submissions(decisions, before)
        for each in decisions.poll:
            assert before[each] is State.RUNNING
            assert self.now - self.asked.get(each, float("-inf")) >= 3.0
            self.asked[each] = self.now
        busy = len(active) + len([each for each in unclear if each.state is State.UNCLEAR])
        if decisions.submit and self.bound is not None:
            assert busy + len(decisions.submit) <= self.bound
        assert decisions.wake_at is None or decisions.wake_at > self.now

    def check_submissions(self, decisions: Decisions, before: dict[Entry, State]) -> None:
        if decisions.submit:
            assert self.now >= self.account_held_until
        # Play them back one by one, against everything that was queued at that moment.
        for each in decisions.submit:
            assert before[each] is State.QUEUED
            each.state = State.QUEUED
        for each in decisions.submit:
            assert isinstance(each.lane, str)
            assert self.may_submit(each.lane)
            for other in self.here(State.QUEUED):
                if not isinstance(other.lane, str) or not self.may_submit(other.lane):
                    continue
                assert other.priority <= each.priority
                if line_of(other) == line_of(each):
                    assert other.order >= each.order
            each.state = State.SUBMITTING

    # Answers

    @precondition(lambda self: self.here(State.SUBMITTING))
    @rule(pick=some, webhook=st.booleans())
    def accept(self, pick: Random, *, webhook: bool) -> None:
        self.account.accepted(pick.choice(self.here(State.SUBMITTING)), self.now, webhook=webhook)

    @precondition(lambda self: self.here(State.SUBMITTING))
    @rule(webhook=st.booleans())
    def accept_all(self, *, webhook: bool) -> None:
        for each in self.here(State.SUBMITTING):
            self.account.accepted(each, self.now, webhook=webhook)

    @precondition(lambda self: self.here(State.SUBMITTING))
    @rule(pick=some, refusal=refusals)
    def refuse(self, pick: Random, refusal: Refusal) -> None:
        back = pick.choice(self.here(State.SUBMITTING))
        order = back.order
        self.account.refused(back, self.now, refusal)
        assert (back.state, back.order) == (State.QUEUED, order)

    @precondition(lambda self: self.here(State.SUBMITTING))
    @rule(pick=some, delay=st.sampled_from([0.0, 1.0, 10.0]), whole=st.booleans())
    def not_sent(self, pick: Random, delay: float, *, whole: bool) -> None:
        back = pick.choice(self.here(State.SUBMITTING))
        self.account.returned(back, self.now, delay, whole_account=whole)
        assert isinstance(back.lane, str)
        until = self.now + delay
        if whole:
            self.account_held_until = max(self.account_held_until, until)
        else:
            self.held_until[back.lane] = max(self.held_until.get(back.lane, 0.0), until)

    @precondition(lambda self: self.here(State.SUBMITTING))
    @rule(pick=some, how=st.sampled_from(["dropped", "unclear", "forget", "notified"]))
    def end_on_the_wire(
        self, pick: Random, how: Literal["dropped", "unclear", "forget", "notified"]
    ) -> None:
        getattr(self.account, how)(pick.choice(self.here(State.SUBMITTING)), self.now)

    @precondition(lambda self: self.here(State.RUNNING))
    @rule(pick=some, failed=st.booleans())
    def poll_answered(self, pick: Random, *, failed: bool) -> None:
        self.account.polled(pick.choice(self.here(State.RUNNING)), self.now, failed=failed)

    @precondition(lambda self: self.here(State.RUNNING))
    @rule(pick=some, how=st.sampled_from(["forget", "notified", "ended"]))
    def hear_of_a_task(self, pick: Random, how: Literal["forget", "notified", "ended"]) -> None:
        getattr(self.account, how)(pick.choice(self.here(State.RUNNING)), self.now)

    @precondition(lambda self: self.here(State.RUNNING))
    @rule(pick=some, seconds=st.floats(0, 100))
    def end(self, pick: Random, seconds: float) -> None:
        self.account.ended(pick.choice(self.here(State.RUNNING)), self.now, seconds)

    @precondition(lambda self: self.here(State.UNCLEAR))
    @rule(pick=some, found=st.booleans())
    def resolve(self, pick: Random, *, found: bool) -> None:
        each = pick.choice(self.here(State.UNCLEAR))
        if found:
            self.account.adopt(each, self.now, 1.0)
        else:
            self.account.forget(each, self.now)

    @precondition(lambda self: self.here(State.GONE))
    @rule(pick=some)
    def hear_late(self, pick: Random) -> None:
        gone = pick.choice(self.here(State.GONE))
        self.account.accepted(gone, self.now)
        self.account.ended(gone, self.now, 5.0)
        self.account.notified(gone, self.now)

    # Always

    @invariant()
    def counts_agree(self) -> None:
        if not hasattr(self, "account"):
            return
        counts = self.account.statistics()
        assert counts.queued == len(self.here(State.QUEUED))
        assert counts.submitting == len(self.here(State.SUBMITTING))
        assert counts.in_flight == len(self.here(State.RUNNING, State.UNCLEAR))
        groups = counts.groups.values()
        assert sum(queued for queued, _ in groups) == counts.queued
        assert sum(active for _, active in groups) == counts.submitting + counts.in_flight

    def teardown(self) -> None:
        if not hasattr(self, "account"):
            return
        for each in list(self.entries):
            if not self.account.withdraw(each):
                self.account.forget(each, self.now)
        assert leftovers(self.account) == []
        decisions = self.account.decide(self.now + 1000.0)
        assert (decisions.submit, decisions.poll, decisions.wake_at) == ((), (), None)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)


@st.composite
def steps(draw: st.DrawFn, most: int, *, ends_above: int) -> Steps:
    """A value that changes up to four times within ten minutes and stays above at last."""
    times = sorted(draw(st.lists(st.floats(1, 600), max_size=4)))
    values = [draw(st.integers(0, most)) for _ in times]
    last = draw(st.integers(ends_above, max(ends_above, most)))
    return list(zip([0.0, *times], [*values, last], strict=True))


scenarios = st.builds(
    Scenario,
    mix=st.sampled_from(["NB", "MJ", "MIX"]),
    jobs=st.integers(2, 60),
    limit=steps(25, ends_above=1),
    others=steps(20, ends_above=0).map(lambda value: [*value, (700.0, 0)]),
    one_way=st.sampled_from([(0.01, 0.02), (0.05, 0.15), (0.1, 4.0)]),
    body=st.sampled_from(["none", "limit", "full"]),
    retry_after=st.sampled_from([None, None, 1.0, 30.0]),
    webhooks=st.booleans(),
    max_in_flight=st.none() | st.integers(1, 30),
    remembered_limit=st.none() | st.integers(1, 60),
    says_seconds=st.booleans(),
    batch=st.booleans(),
    groups=st.integers(1, 5),
    seed=st.integers(0, 9999),
    checked=st.just(True),
    horizon=st.just(100_000.0),
)


@given(scenarios)
@settings(max_examples=60, deadline=None)
def test_every_run_ends_within_its_bounds_whatever_the_server_does(scenario: Scenario) -> None:
    figures = simulate(scenario)
    rounding = 1e-9  # of times that are added and subtracted again
    assert figures.closest_polls >= scenario.poll_interval[0] - rounding
    # A head of the queue is refused for each slot lost, and by the timer while nothing moves.
    assert figures.worst_refusals <= 60 + figures.makespan / 20
    if scenario.max_in_flight is not None:
        assert figures.most_in_flight <= scenario.max_in_flight


@given(
    limit=st.integers(1, 60),
    seed=st.integers(0, 9999),
    one_way=st.sampled_from([(0.01, 0.02), (0.05, 0.15), (0.05, 1.0)]),
    body=st.sampled_from(["none", "limit", "full"]),
)
@settings(max_examples=60, deadline=None)
def test_at_most_the_limit_is_refused_at_the_start(
    limit: int, seed: int, one_way: tuple[float, float], body: Literal["none", "limit", "full"]
) -> None:
    scenario = Scenario(
        mix="MJ", jobs=100, limit=limit, seed=seed, one_way=one_way, body=body, horizon=1e5
    )
    assert simulate(scenario).first_refusals <= limit
