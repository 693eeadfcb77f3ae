"""A discrete-event simulation of one account: virtual time, a server, and what drives the core.

`simulate(Scenario(...))` runs all jobs to their end against `AccountState` and returns
the figures that the goals are stated in. Used by the tests and the scheduling benchmark;
a run is a pure function of its scenario.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from random import Random
from statistics import mean, quantiles
from typing import Literal, TypeAlias

from kinovi_async._scheduling import AccountState, Entry, Refusal

DURATIONS: Mapping[str, tuple[float, float]] = {
    "NB": (8.0, 12.0),
    "MJ": (30.0, 90.0),
    "SD": (60.0, 180.0),
}
"""Seconds a task of each model takes, uniform."""

MIXES: Mapping[str, tuple[str, ...]] = {
    "NB": ("NB",),
    "MJ": ("MJ",),
    "SD": ("SD",),
    "MIX": ("NB", "MJ", "SD"),
}

Steps: TypeAlias = Sequence[tuple[float, int]]
"""A value over time: (from this second on, value), ascending, the first one at 0."""


@dataclass(frozen=True)
class Scenario:
    """One run. Seconds throughout."""

    mix: str = "NB"
    jobs: int = 1000
    limit: int | Steps = 20
    """The account's limit; over time when it changes."""
    others: Steps = ((0.0, 0),)
    """Slots that other programs would like to hold; they take what is free, never ours."""
    one_way: tuple[float, float] = (0.05, 0.15)
    """Latency of a message in one direction, uniform."""
    body: Literal["none", "limit", "full"] = "none"
    """What a 429 says: nothing, its limit, or limit and current."""
    retry_after: float | None = None
    """The Retry-After of every 429."""
    webhooks: bool = False
    poll_interval: tuple[float, float] = (3.0, 5.0)
    speed: float = 1.0
    """How much faster than DURATIONS the server works."""
    max_in_flight: int | None = None
    remembered_limit: int | None = None
    says_seconds: bool = True
    """Whether the server tells a task's duration."""
    groups: int = 1
    seed: int = 1
    checked: bool = False
    """Whether the account's own counts are checked at every step, which is slow."""
    horizon: float = 1e6
    """A run that takes longer than this has lost its progress."""


@dataclass(frozen=True)
class Figures:
    """What came of a run."""

    slot_use: float
    """Busy slot-seconds of ours by the slots we could have had, while jobs were queued."""
    refusals_per_job: float
    worst_refusals: int
    """429 answers of the unluckiest job."""
    first_refusals: int
    """429 answers within the first 10 seconds (of 3-5 s polls)."""
    refusals_per_second: float
    """429 answers in the worst 30 seconds (of 3-5 s polls), by second."""
    polls_per_job: float
    makespan: float
    ideal: float
    """Largest of total work by slots and the longest task; constant limits only."""
    overtaking_p95: float
    """95th percentile of the place in starting order less the place in the queue."""
    seen_after_mean: float
    """Seconds from a task's end until it was seen."""
    seen_after_p95: float
    closest_polls: float
    """Least seconds between two polls of one task."""
    most_in_flight: int
    limit: int | None
    """What was learned in the end."""


@dataclass
class _Job:
    number: int
    entry: Entry
    seconds: float
    accepted_at: float | None = None
    ends_at: float | None = None
    ended: bool = False
    place: int | None = None
    polled_at: float | None = None
    polls: int = 0


def _at(steps: Steps, now: float) -> int:
    value = steps[0][1]
    for start, step in steps:
        if start > now:
            break
        value = step
    return value


def _densest(times: Sequence[float], span: float) -> int:
    """Most of the ascending times within one span."""
    return max(
        (bisect_right(times, time + span) - first for first, time in enumerate(times)), default=0
    )


@dataclass
class _Run:
    scenario: Scenario
    rng: Random = field(init=False)
    account: AccountState = field(init=False)
    now: float = 0.0

    def __post_init__(self) -> None:
        scenario = self.scenario
        self.rng = Random(scenario.seed)
        self.account = AccountState(
            rng=Random(scenario.seed + 1),
            poll_interval=scenario.poll_interval,
            max_in_flight=scenario.max_in_flight,
            remembered_limit=scenario.remembered_limit,
        )
        self.limits: Steps = (
            ((0.0, scenario.limit),) if isinstance(scenario.limit, int) else scenario.limit
        )
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.ties = count()
        self.running: set[int] = set()
        self.held_by_others = 0
        self.left = scenario.jobs
        self.starts = 0
        self.used = self.offered = 0.0
        self.counted_to = 0.0
        self.refused_at: list[float] = []
        self.most = 0
        self.closest = float("inf")
        self.seen_after: list[float] = []
        self.waking_at: float | None = None
        self.jobs: dict[Entry, _Job] = {}

    # Time

    def later(self, delay: float, action: Callable[[], None]) -> None:
        heappush(self.events, (self.now + delay, next(self.ties), action))

    def latency(self) -> float:
        return self.rng.uniform(*self.scenario.one_way)

    def go(self) -> Figures:
        scenario = self.scenario
        lane: Hashable = "lane"
        self.account.add_lane(lane)
        models = MIXES[scenario.mix]
        for number in range(scenario.jobs):
            model = self.rng.choice(models)
            low, high = DURATIONS[model]
            seconds = self.rng.uniform(low, high) / scenario.speed
            group = f"group {number % scenario.groups}"
            entry = Entry(key=str(number), model=model, group=group, lane=lane)
            self.jobs[entry] = _Job(number, entry, seconds)
            self.account.enqueue(entry, 0.0)
        for start, _ in (*self.limits, *scenario.others):
            self.later(start, self.others_move)
        self.decide()
        while self.left:
            at, _, action = heappop(self.events)
            if at > scenario.horizon:
                raise AssertionError(f"no progress: {self.left} jobs left, {self.account!r}")
            self.count_slots(at)
            self.now = at
            action()
            self.decide()
        return self.figures()

    def decide(self) -> None:
        decisions = self.account.decide(self.now)
        for entry in decisions.submit:
            self.submit(self.jobs[entry])
        for entry in decisions.poll:
            self.poll(self.jobs[entry])
        self.most = max(self.most, len(self.running))
        self.check()
        wake_at = decisions.wake_at
        if wake_at is not None and wake_at != self.waking_at:
            assert wake_at > self.now, "a wake-up that is already over would never end"
            self.waking_at = wake_at
            heappush(self.events, (wake_at, next(self.ties), lambda: None))

    def check(self) -> None:
        counts = self.account.statistics() if self.scenario.checked else None
        bound = self.scenario.max_in_flight
        if counts is not None and bound is not None:
            assert counts.submitting + counts.in_flight <= bound, "beyond its bound"

    def count_slots(self, until: float) -> None:
        passed, self.counted_to = until - self.counted_to, until
        if self.starts < self.scenario.jobs:  # as long as jobs are queued
            self.used += passed * len(self.running)
            self.offered += passed * max(
                len(self.running), _at(self.limits, self.now) - self.held_by_others
            )

    # The server

    def others_move(self) -> None:
        wanted = _at(self.scenario.others, self.now)
        free = max(0, _at(self.limits, self.now) - len(self.running))
        self.held_by_others = min(wanted, max(free, 0))

    def submit(self, job: _Job) -> None:
        self.later(self.latency(), lambda: self.arrive(job))

    def arrive(self, job: _Job) -> None:
        limit = _at(self.limits, self.now)
        current = len(self.running) + self.held_by_others
        if current >= limit:
            refusal = Refusal(
                limit=None if self.scenario.body == "none" else limit,
                current=current if self.scenario.body == "full" else None,
                retry_after=self.scenario.retry_after,
            )
            self.later(self.latency(), lambda: self.answer_refused(job, refusal))
            return
        self.running.add(job.number)
        job.place = self.starts
        self.starts += 1
        job.ends_at = self.now + job.seconds
        self.later(job.seconds, lambda: self.end(job))
        self.later(self.latency(), lambda: self.answer_accepted(job))

    def end(self, job: _Job) -> None:
        self.running.discard(job.number)
        self.others_move()
        if self.scenario.webhooks:
            self.later(self.latency(), lambda: self.see_end(job))

    def poll(self, job: _Job) -> None:
        if job.polled_at is not None:
            self.closest = min(self.closest, self.now - job.polled_at)
        job.polled_at = self.now
        job.polls += 1
        self.later(self.latency(), lambda: self.look(job))

    def look(self, job: _Job) -> None:
        assert job.ends_at is not None
        ended = self.now >= job.ends_at
        self.later(self.latency(), lambda: self.see_end(job) if ended else self.see_running(job))

    # The driver

    def answer_refused(self, job: _Job, refusal: Refusal) -> None:
        self.refused_at.append(self.now)
        self.account.refused(job.entry, self.now, refusal)

    def answer_accepted(self, job: _Job) -> None:
        job.accepted_at = self.now
        self.account.accepted(job.entry, self.now, webhook=self.scenario.webhooks)
        if job.ended:  # its webhook was faster than the answer
            self.tell_end(job)

    def see_running(self, job: _Job) -> None:
        self.account.polled(job.entry, self.now)

    def see_end(self, job: _Job) -> None:
        if job.ended:
            return
        job.ended = True
        assert job.ends_at is not None
        self.seen_after.append(self.now - job.ends_at)
        self.left -= 1
        if job.accepted_at is not None:
            self.tell_end(job)

    def tell_end(self, job: _Job) -> None:
        seconds = job.seconds if self.scenario.says_seconds else None
        self.account.ended(job.entry, self.now, seconds)

    def figures(self) -> Figures:
        jobs = self.jobs.values()
        total = self.scenario.jobs
        second = self.scenario.poll_interval[0] / 3.0
        most_slots = max(limit for _, limit in self.limits)
        seconds = [job.seconds for job in jobs]
        refusals = [job.entry.refusals for job in jobs]
        late = [job.place - job.number for job in jobs if job.place is not None]
        return Figures(
            slot_use=self.used / self.offered if self.offered else 1.0,
            refusals_per_job=sum(refusals) / total,
            worst_refusals=max(refusals),
            first_refusals=bisect_right(self.refused_at, 10.0 * second),
            refusals_per_second=_densest(self.refused_at, 30.0 * second) / 30.0,
            polls_per_job=sum(job.polls for job in jobs) / total,
            makespan=self.now,
            ideal=max(sum(seconds) / most_slots, *seconds),
            overtaking_p95=quantiles(late, n=20)[-1],
            seen_after_mean=mean(self.seen_after),
            seen_after_p95=quantiles(self.seen_after, n=20)[-1],
            closest_polls=self.closest,
            most_in_flight=self.most,
            limit=self.account.learned_limit,
        )


def simulate(scenario: Scenario) -> Figures:
    """Run all jobs of a scenario to their end; AssertionError when they never end."""
    return _Run(scenario).go()
