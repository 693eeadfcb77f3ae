"""What one account does next: which jobs to submit and which tasks to poll, without any I/O.

Every event comes in with the time it happened, every decision goes out as a value;
whoever calls does the sending, the sleeping and the reading of clocks. One queue for
the account's slots, several lanes feeding it, one learner of the limit.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from itertools import count
from random import Random

from ._census import Census
from ._durations import Durations, nothing_expected
from ._entry import Decisions, Entry, Gauges, Refusal, State, Statistics
from ._heap import LazyHeap
from ._lanes import Lane, Lanes, checked_bound
from ._limit import Kind, LimitLearner
from ._polling import SLOW, PollPlan, checked_interval
from ._queue import FairQueue
from ._running import Running

_WITH_TASK = frozenset({State.SUBMITTING, State.RUNNING, State.UNCLEAR})


class AccountState:
    """The decisions of one account (an API key and a base URL).

    Call `decide` after every event and at its `wake_at`; hand what it names to the
    network and report what came of it. Times are seconds of one clock of the
    caller's choice that never runs backwards. Nothing here waits or fails because of the
    server. A call that makes no sense (an unknown lane, an entry enqueued twice, an
    answer for an entry that is not on the wire) raises ValueError and changes nothing;
    but whatever arrives late for an entry that is gone - ended, forgotten, withdrawn, its
    lane removed - is ignored, since events cross each other on their way.

    Args:
        poll_interval: Least and most seconds between two polls of a task. Every wait in
            here except a Retry-After is a multiple of the first.
        max_in_flight: Upper bound for tasks of ours; None learns the limit alone.
        remembered_limit: `learned_limit` of an earlier run, to start with.
        rng: Source of all jitter.
        expected_seconds: Typical range of a model's durations in seconds, or None.
    """

    def __init__(
        self,
        *,
        rng: Random,
        poll_interval: tuple[float, float] = (3.0, 5.0),
        max_in_flight: int | None = None,
        remembered_limit: int | None = None,
        expected_seconds: Callable[[str], tuple[float, float] | None] = nothing_expected,
    ) -> None:
        low, high = checked_interval(poll_interval)
        scale = self._scale = low / 3.0
        self._max_in_flight = checked_bound(max_in_flight, "max_in_flight")
        self.durations = Durations(expected_seconds, scale=scale)
        """How long tasks take; `export()` of one run is `load()` of the next."""
        self._running = Running(self.durations)
        self._polls = PollPlan(poll_interval, durations=self.durations, rng=rng)
        self._learner = LimitLearner(
            remembered=checked_bound(remembered_limit, "remembered_limit"),
            scale=scale,
            # The answer of the last poll may take a while as well.
            patience=high + 2.0 * scale,
            ends=self._running.expected_ends,
            rng=rng,
        )
        self._queue = FairQueue(self.durations.expected)
        self._lanes = Lanes()
        self._unclear: LazyHeap[Entry] = LazyHeap()
        self._held_until, self._orders, self._census = float("-inf"), count(), Census()

    def __repr__(self) -> str:
        census = self._census
        return (
            f"<AccountState queued={census.queued} submitting={census.submitting}"
            f" in_flight={census.in_flight} limit={self._learner.limit}>"
        )

    # Lanes and bounds

    def add_lane(
        self, lane: Hashable, *, max_in_flight: int | None = None, within: Hashable = None
    ) -> None:
        """Open a lane; max_in_flight, or the bound of `within`, bounds what it has submitted."""
        self._lanes.add(lane, checked_bound(max_in_flight, "max_in_flight"), within=within)

    def remove_lane(self, lane: Hashable) -> list[Entry]:
        """Withdraw what a lane has queued and forget what it has running; unknown: nothing.

        Returns the entries withdrawn, in order of arrival.
        """
        known = self._lanes.remove(lane)
        if known is None:
            return []
        withdrawn = self._queue.drain(known)
        for entry in withdrawn:
            self._census.moved(entry, queued=-1)
        for entry in list(known.active):
            self._release(entry, known)
        return withdrawn

    def set_bound(self, lane: Hashable, max_in_flight: int | None) -> None:
        """Change a lane's bound; what runs beyond a lower one runs on."""
        known = self._lanes[lane]
        known.set_bound(checked_bound(max_in_flight, "max_in_flight"))
        self._queue.reopened(known)

    def set_max_in_flight(self, max_in_flight: int | None) -> None:
        """Change the account's bound; what runs beyond a lower one runs on."""
        self._max_in_flight = checked_bound(max_in_flight, "max_in_flight")

    def pause_lane(self, lane: Hashable) -> None:
        """Skip a lane's queued entries until `resume_lane`; its running tasks are polled on."""
        self._lanes[lane].paused = True

    def resume_lane(self, lane: Hashable) -> None:
        """Undo `pause_lane`; the entries are where they were."""
        known = self._lanes[lane]
        known.paused = False
        self._queue.reopened(known)

    def hold(self, until: float) -> None:
        """Submit nothing before this time: what is in flight is about to be counted anew."""
        self._held_until = max(self._held_until, until)

    # The queue

    def enqueue(self, entry: Entry, now: float) -> None:
        """Queue a new entry of a known lane; its order of arrival is given here, for good."""
        if entry.state is not State.NEW:
            raise ValueError(f"{entry!r} was queued before")
        lane = self._lanes[entry.lane]
        self._tick(now)
        entry.order = next(self._orders)
        entry.enqueued_at = now
        self._census.moved(entry, queued=1)
        self._queue.add(entry, lane)

    def withdraw(self, entry: Entry) -> bool:
        """Take back an entry that is still queued; False when it is not."""
        if entry.state is not State.QUEUED:
            return False
        self._queue.discard(entry, self._lanes[entry.lane])
        self._census.moved(entry, queued=-1)
        return True

    def decide(self, now: float) -> Decisions:
        """What to submit and to poll now, and when to ask again without an event."""
        self._tick(now)
        self._release_due(now)
        self._learner.settle(now)
        polls = self._polls.take_due(now)
        self._census.polls += len(polls)
        submit: list[Entry] = []
        while (kind := self._next_kind(now)) is not None:
            entry = self._queue.take()
            if entry is None:
                break
            self._hand_out(entry, kind, now)
            submit.append(entry)
        return Decisions(tuple(submit), polls, self._wake_at(now))

    # What came of a submission

    def accepted(self, entry: Entry, now: float, *, webhook: bool = False) -> None:
        """It is a task now. With a webhook expected, polls are a slow fallback from the start."""
        lane = self._landed(entry, now)
        if lane is None:
            return
        self._census.accepted += 1
        self._run(entry, now, age=0.0, webhook=webhook)
        self._learner.accepted(entry, self._census.in_flight, now)

    def refused(self, entry: Entry, now: float, refusal: Refusal) -> None:
        """429: back to its own place in the queue."""
        lane = self._landed(entry, now)
        if lane is None:
            return
        self._census.refused += 1
        entry.refusals += 1
        self._learner.refused(entry, refusal, self._census.in_flight, self._census.submitting, now)
        self._requeue(entry, lane)

    def returned(
        self, entry: Entry, now: float, delay: float = 0.0, *, whole_account: bool = False
    ) -> None:
        """Not sent, or to be sent again: back to its own place.

        Nothing of its lane, or of the whole account, is submitted for `delay` seconds.
        """
        lane = self._landed(entry, now)
        if lane is None:
            return
        if delay > 0 and whole_account:
            self._held_until = max(self._held_until, now + delay)
        elif delay > 0:
            self._lanes.hold(lane, now + delay)
        self._requeue(entry, lane)

    def dropped(self, entry: Entry, now: float) -> None:
        """It ended without a task: rejected, or given up by its driver."""
        lane = self._landed(entry, now)
        if lane is not None:
            self._leave(entry, lane)

    def unclear(self, entry: Entry, now: float) -> None:
        """It may have become a task: its slot is held for the model's upper typical duration.

        `adopt` makes it a running task when that turns out to be true, `forget`
        releases the slot early.
        """
        lane = self._landed(entry, now)
        if lane is None:
            return
        entry.state = State.UNCLEAR
        self._census.in_flight += 1
        self._unclear.put(entry, (now + self.durations.upper(entry.model), entry.order))

    # Running tasks

    def adopt(self, entry: Entry, now: float, age: float = 0.0, *, webhook: bool = False) -> None:
        """Take up a task accepted `age` seconds ago, by an earlier process or an unclear entry.

        It counts as in flight, even beyond a bound.
        """
        lane = self._lanes[entry.lane]
        if entry.state not in {State.NEW, State.UNCLEAR, State.GONE}:
            raise ValueError(f"{entry!r} cannot be adopted")
        self._tick(now)
        if entry.state is State.UNCLEAR:
            self._unclear.discard(entry)
            self._census.in_flight -= 1
        else:
            if entry.order < 0:
                entry.order = next(self._orders)
            lane.active.add(entry)
            self._census.moved(entry, active=1)
        self._run(entry, now, age=age, webhook=webhook)
        self._polls.inherit(entry, now)
        self._learner.adopted()

    def polled(self, entry: Entry, now: float, *, failed: bool = False) -> None:
        """The answer to a poll: still running; or, with failed, no answer that tells."""
        if not self._is_running(entry, now):
            return
        if not failed and entry.polled_at is not None:
            entry.alive_at = max(entry.alive_at, entry.polled_at)
        self._polls.schedule(entry, now)

    def ended(self, entry: Entry, now: float, seconds: float | None = None) -> None:
        """A poll or a webhook showed that the task ended.

        Args:
            entry: The task's entry.
            now: When this became known.
            seconds: The server's own duration of a task that succeeded, None when unknown;
                remembered for its model.
        """
        if not self._is_running(entry, now):
            return
        ended_at = entry.alive_at
        if seconds is not None:
            self.durations.add(entry.model, seconds)
            ended_at = min(now, max(ended_at, entry.accepted_at + seconds))
        self._release(entry, self._lanes[entry.lane])
        self._learner.ended(ended_at)

    def forget(self, entry: Entry, now: float) -> None:
        """Nobody waits for it any more: polls stop and our count is freed."""
        if entry.state is State.GONE:
            return
        if entry.state not in _WITH_TASK:
            raise ValueError(f"{entry!r} is not in flight; withdraw it instead")
        self._tick(now)
        self._release(entry, self._lanes[entry.lane])

    def notified(self, entry: Entry, now: float) -> None:
        """A webhook spoke of it: polled as soon as the minimum allows, and rarely from then on."""
        if entry.state is State.SUBMITTING:  # faster than the submission's own answer
            entry.notified = True
        elif entry.state is not State.UNCLEAR and self._is_running(entry, now):
            self._use_webhook(entry)
            self._polls.notified(entry, now)

    # What is known

    @property
    def learned_limit(self) -> int | None:
        """The limit to start the next run with, or None when nothing was learned."""
        return self._learner.limit

    def remember_limit(self, limit: int) -> None:
        """Start with `learned_limit` of an earlier run, unless more is known already."""
        checked = checked_bound(limit, "limit")
        if checked is not None:
            self._learner.remember(checked)

    @property
    def has_learned(self) -> bool:
        """Whether anything was accepted, refused or adopted here."""
        return self._learner.has_learned

    def statistics(self, now: float | None = None) -> Statistics:
        """Counts as of now, by default as of the latest event."""
        if now is not None:
            self._tick(now)
        queued = (entry for lane in self._lanes for entry in self._queue.entries(lane))
        oldest = min((entry.enqueued_at for entry in queued), default=None)
        return self._census.statistics(limit=self._learner.limit, oldest=oldest)

    def gauges(self) -> Gauges:
        """Plain numbers as of the latest event; safe to ask for from another thread."""
        census = self._census
        return Gauges(
            census.queued, census.in_flight, self._learner.limit, census.slot_use, census.polls
        )

    # Inside

    def _tick(self, now: float) -> None:
        limit = self._learner.limit
        if limit is not None and self._max_in_flight is not None:
            limit = min(limit, self._max_in_flight)
        self._census.tick(now, limit)

    def _next_kind(self, now: float) -> Kind | None:
        if now < self._held_until or not self._has_room():
            return None
        return self._learner.next_kind(self._census.in_flight, self._census.submitting, now)

    def _has_room(self) -> bool:
        return self._max_in_flight is None or self._census.busy < self._max_in_flight

    def _hand_out(self, entry: Entry, kind: Kind, now: float) -> None:
        entry.state = State.SUBMITTING
        entry.knock = kind is Kind.KNOCK
        entry.sent_at = now
        entry.held_at_send = self._census.in_flight
        self._lanes[entry.lane].active.add(entry)
        self._census.submitting += 1
        self._census.moved(entry, queued=-1, active=1)
        self._learner.sent(kind)

    def _wake_at(self, now: float) -> float | None:
        times = [self._polls.next_due, self._unclear.first_time, self._lanes.next_release]
        if self._has_room() and self._queue.ready():
            held = now < self._held_until
            times.append(self._held_until if held else self._learner.wake_at(now))
        return min((time for time in times if time is not None), default=None)

    def _release_due(self, now: float) -> None:
        while (entry := self._unclear.first()) is not None and self._unclear.key(entry)[0] <= now:
            self._release(entry, self._lanes[entry.lane])
        for lane in self._lanes.release_due(now):
            self._queue.reopened(lane)

    def _landed(self, entry: Entry, now: float) -> Lane | None:
        """The lane of an entry whose submission is over, or None when nobody cares any more."""
        if entry.state is State.GONE:
            return None
        if entry.state is not State.SUBMITTING:
            raise ValueError(f"{entry!r} is not being submitted")
        self._tick(now)
        self._census.submitting -= 1
        self._learner.back(entry)
        return self._lanes[entry.lane]

    def _requeue(self, entry: Entry, lane: Lane) -> None:
        lane.active.discard(entry)
        entry.notified = False
        self._census.moved(entry, queued=1, active=-1)
        self._queue.add(entry, lane)
        self._queue.reopened(lane)

    def _run(self, entry: Entry, now: float, *, age: float, webhook: bool) -> None:
        entry.state = State.RUNNING
        self._running.add(entry)
        entry.accepted_at = entry.alive_at = now - max(0.0, age)
        self._census.in_flight += 1
        if webhook or entry.notified:
            self._use_webhook(entry)
        self._polls.schedule(entry, now)

    def _use_webhook(self, entry: Entry) -> None:
        entry.slow = True
        self._learner.patience = max(self._learner.patience, (SLOW[1] + 2.0) * self._scale)

    def _is_running(self, entry: Entry, now: float) -> bool:
        if entry.state is State.GONE:
            return False
        if entry.state is not State.RUNNING:
            raise ValueError(f"{entry!r} is not a running task")
        self._tick(now)
        return True

    def _release(self, entry: Entry, lane: Lane) -> None:
        """Give back whatever an entry holds: its place on the wire, its slot, its polls."""
        if entry.state is State.SUBMITTING:
            self._census.submitting -= 1
            self._learner.back(entry)
        else:
            self._census.in_flight -= 1
            self._running.discard(entry)
            self._polls.discard(entry)
            self._unclear.discard(entry)
        self._leave(entry, lane)

    def _leave(self, entry: Entry, lane: Lane) -> None:
        entry.state = State.GONE
        entry.notified = False
        lane.active.discard(entry)
        self._census.moved(entry, active=-1)
        self._queue.reopened(lane)
