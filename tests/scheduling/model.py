"""A discrete-event simulation of one account: virtual time, a server, and a driver of jobs.

`simulate(Scenario(...))` runs all jobs to their end through the real decision core and
returns the figures that the goals are stated in; `run(scenario, driver)` does the same
with another policy. A run is a pure function of its scenario and takes no real time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from random import Random
from statistics import mean, quantiles
from typing import Literal, Protocol, TypeAlias

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

FIXED_POLLS = (3.0, 5.0)
"""Seconds between two polls of what `polls_by_fixed` compares with, from acceptance on."""

SUSTAINED = 120.0
"""Seconds that make a rate a sustained one."""

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
    batch: bool = False
    """Whether the whole list is known: the longest expected may go first."""
    groups: int = 1
    seed: int = 1
    checked: bool = False
    """Whether the account's own counts are checked at every step, which is slow."""
    horizon: float = 1e6
    """A run that takes longer than this has lost its progress."""

    @property
    def limits(self) -> Steps:
        """The limit over time."""
        return ((0.0, self.limit),) if isinstance(self.limit, int) else self.limit


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
    """429 answers in the worst two minutes (of 3-5 s polls) after the first 10 s, by second."""
    polls_per_job: float
    polls_by_fixed: float
    """Polls by those of polling every 3-5 s from acceptance on."""
    makespan: float
    by_oracle: float
    """Makespan by that of the same order without latency, at what the account allows."""
    by_bound: float
    """Makespan by the larger of total work by slots and the longest task."""
    overtaking_p95: float
    """95th percentile of the place in starting order less the place in the queue, by group
    (and model, where the longest expected goes first)."""
    seen_after_mean: float
    """Seconds from a task's end until it was seen."""
    seen_after_p95: float
    closest_polls: float
    """Least seconds between two polls of one task."""
    most_in_flight: int
    limit: int | None = None
    """What the core had learned in the end."""


class SimulatedJob:
    """One job of a run and what became of it so far."""

    __slots__ = (
        "accepted",
        "ended",
        "ends_at",
        "entry",
        "group",
        "model",
        "number",
        "place",
        "polled_at",
        "polls",
        "refusals",
        "seconds",
    )

    def __init__(self, number: int, model: str, group: str, seconds: float) -> None:
        self.number = number
        self.model = model
        self.group = group
        self.seconds = seconds
        self.entry: Entry | None = None
        self.place = -1
        """When it was accepted, among all."""
        self.ends_at = float("inf")
        self.accepted = False
        """Whether the driver was told so."""
        self.ended = False
        """Whether the driver could have seen it."""
        self.refusals = 0
        self.polls = 0
        self.polled_at = float("-inf")


class Driver(Protocol):
    """What submits and polls; `after_event` is called after each of the others."""

    def start(self, world: World) -> None:
        """Everything is queued now."""

    def accepted(self, job: SimulatedJob) -> None:
        """The job's submission became a task."""

    def refused(self, job: SimulatedJob, refusal: Refusal) -> None:
        """The job's submission met 429."""

    def still_running(self, job: SimulatedJob) -> None:
        """A poll showed a running task."""

    def seen_ended(self, job: SimulatedJob) -> None:
        """A poll or a webhook showed that the task ended; told once, after `accepted`."""

    def after_event(self) -> None:
        """Time to decide."""


def at_time(steps: Steps, now: float) -> int:
    """The value of the steps at that time."""
    value = steps[0][1]
    for start, step in steps:
        if start > now:
            break
        value = step
    return value


class World:
    """The clock, the jobs, the network and the server of one run."""

    def __init__(self, scenario: Scenario, driver: Driver) -> None:
        self.scenario = scenario
        self.driver = driver
        self.rng = Random(scenario.seed)
        self.now = 0.0
        self.jobs = [self._job(number) for number in range(scenario.jobs)]
        self.seen_after: list[float] = []
        self.refused_at: list[float] = []
        self.running = 0
        self.most = 0
        self.closest_polls = float("inf")
        self.used = self.offered = 0.0
        self._limits = scenario.limits
        self._limit = at_time(self._limits, 0.0)
        self._others = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._ties = count()
        self._starts = 0

    def _job(self, number: int) -> SimulatedJob:
        scenario = self.scenario
        model = self.rng.choice(MIXES[scenario.mix])
        low, high = DURATIONS[model]
        seconds = self.rng.uniform(low, high) / scenario.speed
        return SimulatedJob(number, model, f"group {number % scenario.groups}", seconds)

    def later(self, delay: float, action: Callable[[], None]) -> None:
        """Do something after some seconds."""
        heappush(self._events, (self.now + delay, next(self._ties), action))

    def go(self) -> None:
        """Run until all ends are seen; AssertionError when that never happens."""
        total, horizon = self.scenario.jobs, self.scenario.horizon
        for start, _ in (*self._limits, *self.scenario.others):
            self.later(start, self._move_others)
        self.driver.start(self)
        self.driver.after_event()
        while len(self.seen_after) < total:
            at, _, action = heappop(self._events)
            if at > horizon:
                left = total - len(self.seen_after)
                raise AssertionError(f"no progress: {left} jobs left, {self.driver!r}")
            if self._starts < total:  # as long as jobs are queued
                passed = at - self.now
                self.used += passed * self.running
                self.offered += passed * max(self.running, self._limit - self._others)
            self.now = at
            action()
            self.driver.after_event()

    # What a driver does

    def submit(self, job: SimulatedJob) -> None:
        """Send a job to the server; `accepted` or `refused` follows."""
        self._send(lambda: self._arrive(job))

    def poll(self, job: SimulatedJob) -> None:
        """Ask for a task; `still_running` or `seen_ended` follows."""
        self.closest_polls = min(self.closest_polls, self.now - job.polled_at)
        job.polled_at = self.now
        job.polls += 1
        self._send(lambda: self._look(job))

    def tell_accepted(self, job: SimulatedJob) -> None:
        """The answer arrives; the end may have been faster, by webhook."""
        job.accepted = True
        self.driver.accepted(job)
        if job.ended:
            self.driver.seen_ended(job)

    # The server and the way to it

    def _send(self, action: Callable[[], None]) -> None:
        self.later(self.rng.uniform(*self.scenario.one_way), action)

    def _move_others(self) -> None:
        self._limit = at_time(self._limits, self.now)
        wanted = at_time(self.scenario.others, self.now)
        self._others = min(wanted, max(0, self._limit - self.running))

    def _arrive(self, job: SimulatedJob) -> None:
        current = self.running + self._others
        if current < self._limit:
            job.place = self._starts
            job.ends_at = self.now + job.seconds
            self._starts += 1
            self.running += 1
            self.most = max(self.most, self.running)
            self.later(job.seconds, lambda: self._end(job))
            self._send(lambda: self.tell_accepted(job))
            return
        refusal = Refusal(
            limit=None if self.scenario.body == "none" else self._limit,
            current=current if self.scenario.body == "full" else None,
            retry_after=self.scenario.retry_after,
        )
        self._send(lambda: self._tell_refused(job, refusal))

    def _tell_refused(self, job: SimulatedJob, refusal: Refusal) -> None:
        job.refusals += 1
        self.refused_at.append(self.now)
        self.driver.refused(job, refusal)

    def _end(self, job: SimulatedJob) -> None:
        self.running -= 1
        self._move_others()
        if self.scenario.webhooks:
            self._send(lambda: self._tell_ended(job))

    def _look(self, job: SimulatedJob) -> None:
        if self.now >= job.ends_at:
            self._send(lambda: self._tell_ended(job))
        else:
            self._send(lambda: None if job.ended else self.driver.still_running(job))

    def _tell_ended(self, job: SimulatedJob) -> None:
        if job.ended:
            return
        job.ended = True
        self.seen_after.append(self.now - job.ends_at)
        if job.accepted:
            self.driver.seen_ended(job)


class Core:
    """Drives the real decision core."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        scale = scenario.poll_interval[0] / FIXED_POLLS[0]
        self.account = AccountState(
            rng=Random(scenario.seed + 1),
            poll_interval=scenario.poll_interval,
            max_in_flight=scenario.max_in_flight,
            remembered_limit=scenario.remembered_limit,
            expected_seconds=DURATIONS.get,
        )
        self.scale = scale
        self.world: World
        self.jobs: dict[Entry, SimulatedJob] = {}
        self.waking_at: float | None = None

    def __repr__(self) -> str:
        return repr(self.account)

    def start(self, world: World) -> None:
        """Queue everything."""
        self.world = world
        lane: Hashable = "lane"
        self.account.add_lane(lane)
        for job in world.jobs:
            job.entry = Entry(
                key=str(job.number),
                model=job.model,
                group=job.group,
                lane=lane,
                batch=self.scenario.batch,
            )
            self.jobs[job.entry] = job
            self.account.enqueue(job.entry, 0.0)

    def accepted(self, job: SimulatedJob) -> None:
        """Tell the core."""
        self.account.accepted(_entry(job), self.world.now, webhook=self.scenario.webhooks)

    def refused(self, job: SimulatedJob, refusal: Refusal) -> None:
        """Tell the core."""
        self.account.refused(_entry(job), self.world.now, refusal)

    def still_running(self, job: SimulatedJob) -> None:
        """Tell the core."""
        self.account.polled(_entry(job), self.world.now)

    def seen_ended(self, job: SimulatedJob) -> None:
        """Tell the core."""
        seconds = job.seconds if self.scenario.says_seconds else None
        self.account.ended(_entry(job), self.world.now, seconds)

    def after_event(self) -> None:
        """Do what the core decides, and wake it when it wants to be woken."""
        now = self.world.now
        decisions = self.account.decide(now)
        for entry in decisions.submit:
            self.world.submit(self.jobs[entry])
        for entry in decisions.poll:
            self.world.poll(self.jobs[entry])
        if self.scenario.checked:
            self._check()
        wake_at = decisions.wake_at
        if wake_at is not None and wake_at != self.waking_at:
            assert wake_at > now, "a wake-up that is already over would never end"
            self.waking_at = wake_at
            self.world.later(wake_at - now, _nothing)

    def _check(self) -> None:
        counts, bound = self.account.statistics(), self.scenario.max_in_flight
        beyond = bound is not None and counts.submitting + counts.in_flight > bound
        assert not beyond, "beyond its bound"


def _nothing() -> None:
    """Only wakes."""


def _entry(job: SimulatedJob) -> Entry:
    assert job.entry is not None
    return job.entry


def simulate(scenario: Scenario) -> Figures:
    """Run all jobs of a scenario through the decision core."""
    core = Core(scenario)
    return run(scenario, core, learned=lambda: core.account.learned_limit)


def run(
    scenario: Scenario, driver: Driver, *, learned: Callable[[], int | None] = lambda: None
) -> Figures:
    """Run all jobs of a scenario to their end; AssertionError when they never end."""
    world = World(scenario, driver)
    world.go()
    return _figures(world, learned())


def _figures(world: World, learned: int | None) -> Figures:
    scenario, jobs = world.scenario, world.jobs
    second = scenario.poll_interval[0] / FIXED_POLLS[0]
    seconds = [job.seconds for job in jobs]
    refusals = [job.refusals for job in jobs]
    polls = sum(job.polls for job in jobs) / len(jobs)
    first = bisect_right(world.refused_at, 10.0 * second)
    bound = max(sum(seconds) / max(limit for _, limit in scenario.limits), *seconds)
    return Figures(
        slot_use=world.used / world.offered if world.offered else 1.0,
        refusals_per_job=sum(refusals) / len(jobs),
        worst_refusals=max(refusals),
        first_refusals=first,
        refusals_per_second=_densest(world.refused_at[first:], SUSTAINED * second) / SUSTAINED,
        polls_per_job=polls,
        polls_by_fixed=polls / _fixed_polls(scenario, seconds),
        makespan=world.now,
        by_oracle=world.now / oracle(scenario, jobs),
        by_bound=world.now / bound,
        overtaking_p95=quantiles(_late(jobs, by_model=scenario.batch), n=20)[-1],
        seen_after_mean=mean(world.seen_after),
        seen_after_p95=quantiles(world.seen_after, n=20)[-1],
        closest_polls=world.closest_polls,
        most_in_flight=world.most,
        limit=learned,
    )


def _densest(times: Sequence[float], span: float) -> int:
    """Most of the ascending times within one span."""
    return max(
        (bisect_right(times, time + span) - first for first, time in enumerate(times)), default=0
    )


def _late(jobs: Sequence[SimulatedJob], *, by_model: bool) -> list[int]:
    """For each job its place in starting order less its place in the queue."""
    queues: dict[Hashable, list[SimulatedJob]] = {}
    for job in jobs:
        queues.setdefault((job.group, job.model if by_model else ""), []).append(job)
    late: list[int] = []
    for queue in queues.values():
        places = {job: place for place, job in enumerate(sorted(queue, key=lambda job: job.place))}
        late += [places[job] - place for place, job in enumerate(queue)]
    return late


def _fixed_polls(scenario: Scenario, seconds: Sequence[float]) -> float:
    """Polls per job of polling every 3-5 s from acceptance on, by one who starts no earlier."""
    rng = Random(scenario.seed)
    low, high = scenario.poll_interval
    round_trip = sum(scenario.one_way)
    polls = 0
    for each in seconds:
        age = 0.0
        while age < each:
            age += rng.uniform(low, high) + round_trip
            polls += 1
    return polls / len(seconds)


def oracle(scenario: Scenario, jobs: Sequence[SimulatedJob]) -> float:
    """Makespan without latency and with everything known, in the same order.

    Other programs take what they want first, which is a little more than they get.
    """
    order = list(jobs)
    if scenario.batch:
        order.sort(key=lambda job: -sum(DURATIONS[job.model]))
    changes = sorted({start for start, _ in (*scenario.limits, *scenario.others)})
    running: list[float] = []
    now = end = 0.0
    for job in order:
        while True:
            slots = at_time(scenario.limits, now) - at_time(scenario.others, now)
            while running and running[0] <= now:
                heappop(running)
            if len(running) < slots:
                break
            change = changes[bisect_right(changes, now) :][:1]
            now = min([*running[:1], *change])
        heappush(running, now + job.seconds)
        end = max(end, now + job.seconds)
    return end
