"""Whole runs of the decision core, or of another policy, against the simulated server.

`simulate(Scenario(...))` runs all jobs to their end through the real decision core and
returns the figures that the goals are stated in; `run(scenario, driver)` does the same
with another policy. A run is a pure function of its scenario and takes no real time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random
from statistics import mean, quantiles

from kinovi_async._scheduling import AccountState, Entry, Refusal

from .world import DURATIONS, Driver, Scenario, SimulatedJob, World, at_time

FIXED_POLLS = (3.0, 5.0)
"""Seconds between two polls of what `polls_by_fixed` compares with, from acceptance on."""

SUSTAINED = 120.0
"""Seconds that make a rate a sustained one."""


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
    """That somebody's clock asked for; with webhooks, beside the confirmation of each of them."""
    gets_per_job: float
    """Polls and confirmations."""
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

    def notified(self, job: SimulatedJob) -> None:
        """Tell the core."""
        self.account.notified(_entry(job), self.world.now)

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
        gets_per_job=sum(job.gets for job in jobs) / len(jobs),
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
