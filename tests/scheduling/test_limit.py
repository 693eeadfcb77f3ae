"""How the limit is learned from accepts and refusals, rule by rule."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import pytest

from kinovi_async._scheduling import AccountState, Entry, Refusal

from .driving import FULL, account, entry, jobs, submitted


def accept(state: AccountState, entries: list[Entry], now: float) -> None:
    for each in entries:
        state.accepted(each, now)


def refuse(state: AccountState, entries: list[Entry], now: float, refusal: Refusal = FULL) -> None:
    for each in entries:
        state.refused(each, now, refusal)


def ramp_up(state: AccountState, limit: int, refusal: Refusal = FULL) -> list[Entry]:
    """Start against a server with that limit; all answers of a volley come together at time 0."""
    running: list[Entry] = []
    while state.learned_limit is None:
        volley = submitted(state)
        taken = volley[: limit - len(running)]
        accept(state, taken, 0.0)
        running += taken
        refuse(state, volley[len(taken) :], 0.0, refusal)
    return running


def test_the_start_doubles_on_the_wire_up_to_sixteen() -> None:
    state = account()
    jobs(state, 100)
    volleys = []
    for _ in range(7):
        volley = submitted(state)
        volleys.append(len(volley))
        accept(state, volley, 0.0)
    assert volleys == [1, 1, 2, 4, 8, 16, 16]


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 20, 50])
def test_the_first_refusal_fixes_the_limit_and_at_most_that_many_are_refused(limit: int) -> None:
    state = account()
    jobs(state, 200)
    running = ramp_up(state, limit)
    assert len(running) == limit
    assert state.learned_limit == limit
    assert state.statistics().refused <= limit
    assert submitted(state, 0.1) == []


def test_accepts_that_cross_the_first_refusal_still_count() -> None:
    state = account()
    jobs(state, 50)
    for _ in range(4):
        accept(state, submitted(state), 0.0)
    volley = submitted(state, 0.1)
    assert len(volley) == 8
    refuse(state, volley[3:], 0.3)
    assert state.learned_limit == 8
    accept(state, volley[:3], 0.4)
    assert state.learned_limit == 11


def test_a_slot_seen_free_is_refilled_at_once() -> None:
    state = account()
    jobs(state, 50)
    running = ramp_up(state, 5)
    state.ended(running[0], 10.0)
    state.ended(running[1], 10.0)
    assert len(submitted(state, 10.0)) >= 2


def test_a_remembered_limit_skips_the_ramp() -> None:
    state = account(remembered_limit=12)
    jobs(state, 50)
    # One more asks whether it is still true.
    assert [each.knock for each in submitted(state)] == [False] * 12 + [True]


def test_a_remembered_limit_that_is_too_high_corrects_itself() -> None:
    state = account(remembered_limit=50)
    jobs(state, 100)
    volley = submitted(state)
    accept(state, volley[:5], 0.2)
    refuse(state, volley[5:], 0.2)
    assert state.learned_limit == 5


def test_max_in_flight_is_an_upper_bound_and_nothing_knocks_beyond_it() -> None:
    state = account(max_in_flight=10)
    jobs(state, 50)
    total = 0
    while volley := submitted(state):
        accept(state, volley, 0.0)
        total += len(volley)
    assert total == 10
    assert submitted(state, 1000.0) == []
    state.set_max_in_flight(12)
    assert len(submitted(state, 1000.0)) == 2
    state.set_max_in_flight(None)
    assert submitted(state, 1000.0)


def test_every_refused_job_is_the_first_to_be_submitted_again() -> None:
    state = account()
    made = jobs(state, 30)
    running = ramp_up(state, 5)
    assert running == made[:5]
    state.ended(running[0], 9.0)
    assert submitted(state, 9.0)[0] is made[5]
    assert max(each.refusals for each in made) <= 5


class TestRefusalBody:
    """What a 429's `limit` and `current` add to the fact of the refusal."""

    @pytest.fixture
    def state(self) -> AccountState:
        """Forty tasks of ours in flight at a limit of 40, and another on the wire."""
        state = account()
        jobs(state, 100)
        ramp_up(state, 40)
        assert state.learned_limit == 40
        return state

    def refuse_a_knock(self, state: AccountState, refusal: Refusal) -> None:
        (knock,) = submitted(state, 200.0)
        assert knock.knock
        state.refused(knock, 200.2, refusal)

    def test_without_a_body_a_refused_knock_changes_nothing(self, state: AccountState) -> None:
        self.refuse_a_knock(state, FULL)
        assert state.learned_limit == 40

    def test_a_limit_below_what_we_hold_is_exact(self, state: AccountState) -> None:
        self.refuse_a_knock(state, Refusal(limit=25))
        assert state.learned_limit == 25

    def test_more_running_than_allowed_means_that_the_limit_was_lowered(
        self, state: AccountState
    ) -> None:
        self.refuse_a_knock(state, Refusal(limit=35, current=50))
        # 10 of the 50 are others', so 25 are left for us.
        assert state.learned_limit == 25

    def test_a_large_limit_that_others_use_is_not_ours(self, state: AccountState) -> None:
        self.refuse_a_knock(state, Refusal(limit=100, current=100))
        assert state.learned_limit == 40

    def test_a_limit_below_what_we_hold_leaves_the_slots_on_loan(self, state: AccountState) -> None:
        """An accepted knock took the slot of a task that ended unseen: 41 held, 40 run."""
        (knock,) = submitted(state, 200.0)
        state.accepted(knock, 200.2)
        (another,) = submitted(state, 200.2)
        state.refused(another, 200.4, Refusal(limit=40, current=40))
        assert state.learned_limit == 40
        ended = next(iter(state._running._entries))
        state.ended(ended, 200.6)
        assert [each.knock for each in submitted(state, 200.6)] == []

    def test_the_limit_is_never_learned_to_be_below_one(self, state: AccountState) -> None:
        self.refuse_a_knock(state, Refusal(limit=0, current=500))
        assert state.learned_limit == 1


def test_a_lower_limit_is_found_by_refused_refills() -> None:
    state = account()
    jobs(state, 100)
    running = ramp_up(state, 20)
    for number, ended in enumerate(running[:5]):
        now = 10.0 + number
        state.ended(ended, now)
        refuse(state, submitted(state, now), now)
    assert state.learned_limit == 15


def knock(state: AccountState, now: float) -> Entry:
    """The single knock that goes at the time the account asked to be woken."""
    (only,) = submitted(state, now)
    assert only.knock
    return only


def test_at_a_full_account_one_knock_at_a_time_asks_for_more() -> None:
    state = account()
    jobs(state, 50)
    ramp_up(state, 5)
    wake_at = state.decide(0.0).wake_at
    assert wake_at is not None
    waiting = knock(state, 90.0)
    assert submitted(state, 91.0) == []
    state.accepted(waiting, 91.0)
    assert len(submitted(state, 91.0)) == 1


def test_nothing_knocks_with_an_empty_queue() -> None:
    state = account()
    jobs(state, 6)
    ramp_up(state, 5)
    for queued in list(state._queue.entries(state._lanes["lane"])):
        state.withdraw(queued)
    assert submitted(state, 1000.0) == []
    assert state._wake_at(1000.0) is None


def test_a_streak_of_accepted_knocks_lets_several_go_at_once() -> None:
    """A limit raised from 5 to 50 is filled within a dozen round trips."""
    state = account()
    jobs(state, 200)
    running = ramp_up(state, 5)
    now, trips = 90.0, 0
    while len(running) < 50:
        volley = submitted(state, now)
        now += 0.2
        trips += 1
        accept(state, volley, now)
        running += volley
    assert trips <= 14
    # Nothing ended meanwhile, so once every task was polled it is the limit.
    for each in list(running):
        state.polled(each, now)
    submitted(state, now + 8.0)
    assert state.learned_limit is not None
    assert state.learned_limit >= 50


def test_a_knock_that_took_the_slot_of_a_task_ended_unseen_raises_no_limit() -> None:
    state = account()
    jobs(state, 50)
    running = ramp_up(state, 5)
    state.accepted(knock(state, 90.0), 90.2)
    refuse(state, submitted(state, 90.2), 90.4)
    # The task whose slot it took is seen only now: 5 are running, nothing is free.
    state.ended(running[0], 90.6)
    assert submitted(state, 90.6) == []
    assert state.learned_limit == 5
    # The next end frees a slot indeed.
    state.ended(running[1], 91.5)
    assert len([each for each in submitted(state, 91.5) if not each.knock]) == 1


def test_a_task_seen_running_after_the_knock_does_not_explain_it() -> None:
    state = account()
    jobs(state, 50)
    running = ramp_up(state, 5)
    state.accepted(knock(state, 90.0), 90.2)
    refuse(state, submitted(state, 90.2), 90.4)
    state.polled(running[0], 90.4)
    assert running[0] in state.decide(95.5).poll
    state.polled(running[0], 95.7)
    state.ended(running[0], 96.0)
    assert not submitted(state, 96.0)[0].knock


def test_the_servers_own_seconds_show_that_an_end_came_after_the_knock() -> None:
    state = account()
    jobs(state, 50)
    running = ramp_up(state, 5)
    state.accepted(knock(state, 90.0), 90.2)
    refuse(state, submitted(state, 90.2), 90.4)
    state.ended(running[0], 92.0, seconds=91.0)
    assert not submitted(state, 92.0)[0].knock


def refused_knocks(state: AccountState, now: float, count: int) -> list[float]:
    """Let every task run on and refuse whatever is submitted; returns when it was."""
    times: list[float] = []
    while len(times) < count:
        decisions = state.decide(now)
        for each in decisions.poll:
            state.polled(each, now)
        for each in decisions.submit:
            assert each.knock
            times.append(now)
            state.refused(each, now, FULL)
        wake_at = state.decide(now).wake_at
        assert wake_at is not None
        now = wake_at
    return times


def gaps(times: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(times)]


def test_at_a_standstill_one_knock_goes_every_half_minute() -> None:
    state = account()
    jobs(state, 50)
    ramp_up(state, 5)
    times = refused_knocks(state, 0.0, 6)
    assert times[0] == 90.0  # nothing was accepted for that long
    assert gaps(times) == pytest.approx([30.0] * 5)


def test_refused_knocks_grow_rarer_while_there_are_tokens() -> None:
    state = account()
    jobs(state, 100)
    running = ramp_up(state, 5)
    now = 0.0
    while state.statistics().accepted < 45:
        now += 0.1
        state.ended(running.pop(0), now)
        for each in submitted(state, now):
            if each.knock:
                state.refused(each, now, FULL)
            else:
                state.accepted(each, now)
                running.append(each)
    between = gaps(refused_knocks(state, now, 25))
    between = [round(gap, 6) for gap in between if gap > 0]  # a volley is one try
    assert between[0] >= 0.5
    assert between[1] > between[0]
    # The tokens are spent, the standstill is one: half a minute from here on.
    assert set(between[3:]) == {30.0}


def test_no_more_than_two_knocks_a_second_are_refused_in_the_long_run() -> None:
    state = account()
    jobs(state, 10_000)
    running = ramp_up(state, 50)
    refused_at_start = state.statistics().refused
    now, knocks = 0.0, 0
    while now < 300.0:
        now += 0.05  # twenty jobs a second, and a quarter of the knocks finds a slot
        state.ended(running.pop(0), now, 2.5)
        for each in submitted(state, now):
            knocks += each.knock
            if each.knock and knocks % 4:
                state.refused(each, now, FULL)
            else:
                state.accepted(each, now)
                running.append(each)
    refused = state.statistics().refused - refused_at_start
    assert 300 < refused <= 2 * 300 + 20


def test_knocks_are_paid_for_by_accepted_jobs() -> None:
    """However the knocks end, the refused ones stay near half of the accepted jobs."""
    state = account()
    jobs(state, 2000)
    running = ramp_up(state, 10)
    refused_at_start = state.statistics().refused
    now = 1.0
    while state.statistics().accepted < 500:
        now += 0.5  # two jobs a second, every end seen at once, so no knock ever succeeds
        state.ended(running.pop(0), now)
        for each in submitted(state, now):
            if each.knock:
                state.refused(each, now, FULL)
            else:
                state.accepted(each, now)
                running.append(each)
    assert 0 < state.statistics().refused - refused_at_start <= 0.6 * 500


class TestNothingLeft:
    """A 429 while nothing of ours runs: the limit is zero, or others have everything."""

    def test_a_single_attempt_is_made_after_2_seconds_and_then_ever_later_up_to_15(self) -> None:
        state = account()
        made = jobs(state, 10)
        now: float = 0.0
        waits = []
        for _ in range(14):
            assert submitted(state, now) == [made[0]]
            state.refused(made[0], now, FULL)
            decisions = state.decide(now)
            assert decisions.submit == ()
            assert decisions.wake_at is not None
            waits.append(decisions.wake_at - now)
            now = decisions.wake_at
        for number, wait in enumerate(waits):
            longest = min(15.0, 2.0 * 1.5**number)
            assert 0.8 * longest - 1e-6 <= wait <= longest + 1e-6
        # It begins anew when there is something again.
        accept(state, submitted(state, now), now)
        volley = submitted(state, now)
        assert volley == [made[1]]
        accept(state, volley, now)
        assert submitted(state, now) == made[2:4]

    def test_running_tasks_are_polled_on_and_only_then_it_is_zero(self) -> None:
        state = account()
        jobs(state, 10)
        (running,) = ramp_up(state, 1)
        assert state.decide(6.0).poll == (running,)
        state.ended(running, 6.2)
        (refill,) = submitted(state, 6.2)
        state.refused(refill, 6.4, FULL)
        assert submitted(state, 6.5) == []
        assert submitted(state, 9.0) == [refill]


class TestRetryAfter:
    """Real seconds, a floor for knocks; everything stops only for a rate limit."""

    def test_it_holds_knocks_back_but_no_slot_seen_free(self) -> None:
        state = account()
        jobs(state, 50)
        running = ramp_up(state, 5, Refusal(retry_after=50.0))
        state.ended(running[0], 4.0)
        refill = submitted(state, 4.0)
        assert [each.knock for each in refill] == [False]
        accept(state, refill, 4.0)
        for number in range(1, 5):  # tokens for knocks
            state.ended(running[number], 5.0)
            accept(state, submitted(state, 5.0), 5.0)
        assert submitted(state, 49.0) == []
        assert [each.knock for each in submitted(state, 50.0)] == [True]

    def test_it_is_believed_for_a_minute_at_most_and_not_scaled(self) -> None:
        state = account(poll_interval=(0.03, 0.05))
        made = jobs(state, 5)
        refuse(state, submitted(state), 0.0, Refusal(retry_after=3600.0))
        assert submitted(state, 59.9) == []
        assert submitted(state, 60.0) == made[:1]

    def test_a_rate_limit_stops_every_submission_and_teaches_no_limit(self) -> None:
        state = account(remembered_limit=4)
        jobs(state, 50)
        volley = submitted(state)
        accept(state, volley[:4], 0.0)
        refuse(state, volley[4:], 0.0, Refusal(retry_after=20.0, is_rate=True))
        state.ended(volley[0], 5.0)
        assert submitted(state, 19.9) == []
        assert state.learned_limit == 4
        assert submitted(state, 20.0)

    def test_a_rate_limit_without_retry_after_waits_longer_each_time(self) -> None:
        state = account(remembered_limit=4)
        jobs(state, 50)
        refuse(state, submitted(state), 0.0, Refusal(is_rate=True))
        assert submitted(state, 1.9) == []
        refuse(state, submitted(state, 2.0), 2.0, Refusal(is_rate=True))
        assert submitted(state, 4.9) == []
        assert submitted(state, 5.0)


def test_others_leaving_makes_room_for_us() -> None:
    """Learned 3 while others held the rest; their slots are found by knocks."""
    state = account()
    jobs(state, 100)
    running = ramp_up(state, 3)
    now = 100.0
    for _ in range(40):
        volley = submitted(state, now)
        now += 0.2
        room = 20 - len(running)
        accept(state, volley[:room], now)
        refuse(state, volley[room:], now)
        running += volley[:room]
    assert len(running) == 20


def test_a_task_adopted_counts_as_proof_for_the_ramp_and_as_in_flight() -> None:
    state = account()
    for number in range(4):
        state.adopt(entry(f"old {number}"), 0.0, age=100.0)
    jobs(state, 20)
    assert state.statistics().in_flight == 4
    assert len(submitted(state)) == 4


class TestEstimates:
    """When a knock is worth a refusal."""

    TEN_TO_TWENTY: ClassVar = [10.0 + number / 10 for number in range(100)]
    HOURS: ClassVar = [10_000.0] * 8

    def full(
        self,
        limit: int,
        refusal: Refusal = FULL,
        *,
        ends: int = 20,
        seconds: Sequence[float] = TEN_TO_TWENTY,
    ) -> AccountState:
        """As many tasks as slots, all accepted at 100, and tokens for knocks."""
        state = account()
        jobs(state, 500)
        running = ramp_up(state, limit, refusal)
        for _ in range(ends):
            state.ended(running.pop(0), 0.0)
            for each in submitted(state, 0.0):
                if each.knock:
                    state.refused(each, 0.0, refusal)
                else:
                    state.accepted(each, 0.0)
                    running.append(each)
        for each in running:
            each.accepted_at = each.alive_at = 100.0
        state._learner._accepted_at = state._learner._refused_at = 100.0
        state.durations.load({"model": seconds})
        return state

    def first_knock(self, state: AccountState, now: float) -> float:
        while not any(each.knock for each in submitted(state, now)):
            wake_at = state.decide(now).wake_at
            assert wake_at is not None
            now = wake_at
        return now

    def test_a_knock_goes_when_half_a_slot_is_expected_free(self) -> None:
        # Each of five tasks has ended by 111 with a chance of a tenth.
        assert 110.3 <= self.first_knock(self.full(5), 105.0) <= 111.3

    def test_the_more_tasks_the_sooner(self) -> None:
        many, few = (self.first_knock(self.full(limit), 105.0) for limit in (20, 3))
        assert many < few

    def test_with_few_tokens_more_must_be_expected_free(self) -> None:
        rich, poor = (self.first_knock(self.full(5, ends=ends), 105.0) for ends in (20, 2))
        assert poor > rich + 0.5

    def test_others_may_free_a_slot_before_any_task_can_have_ended(self) -> None:
        shared = self.first_knock(self.full(20, seconds=self.HOURS), 101.0)
        assert 104.0 <= shared <= 106.0  # half a slot at 20 slots in 200 s

    def test_while_we_hold_all_that_the_account_allows_no_others_free_any(self) -> None:
        state = self.full(20, Refusal(limit=20, current=20), seconds=self.HOURS)
        assert self.first_knock(state, 101.0) >= 140.0

    def test_estimates_are_rare_with_many_tasks_in_flight(self) -> None:
        """They look at every task: their share of a core must not grow with the tasks."""
        learner = self.full(20)._learner
        looked: list[float] = []

        def ends(since: float, now: float, done: int) -> float:
            del since, done
            looked.append(now)
            return 0.0

        learner._ends = ends
        for step in range(1000):
            learner.next_kind(2000, 0, 105.0 + step / 100)
        assert 3 <= len(looked) <= 5


def test_refused_refills_are_paid_for_as_well() -> None:
    """Others who take our slots one by one cost the knocks their tokens."""
    state = account()
    jobs(state, 500)
    running = ramp_up(state, 20)
    state._learner._tokens = 10.0
    refills = 0
    while refills < 5:
        state.ended(running.pop(0), 10.0 + refills)
        for each in submitted(state, 10.0 + refills):
            refills += not each.knock
            state.refused(each, 10.0 + refills, FULL)
    assert state._learner._tokens <= 5.0
