"""A server with one account, the network to it, and the clock, as discrete events in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Literal, Protocol, TypeAlias

from kinovi_async._scheduling import Entry, Refusal

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


class SimulatedJob:
    """One job of a run and what became of it so far."""

    __slots__ = (
        "accepted",
        "ended",
        "ends_at",
        "entry",
        "gets",
        "group",
        "hinted",
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
        self.hinted = False
        """Whether a webhook told the driver of its end, and no poll was sent since."""
        self.refusals = 0
        self.gets = 0
        """All that was asked about it."""
        self.polls = 0
        """But for the confirmation that a webhook asks for: the truth is the API's to tell."""
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

    def notified(self, job: SimulatedJob) -> None:
        """A webhook says that the task ended, perhaps before `accepted`."""

    def seen_ended(self, job: SimulatedJob) -> None:
        """A poll showed that the task ended; told once, after `accepted`."""

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
        job.gets += 1
        job.polls += not job.hinted
        job.hinted = False
        self._send(lambda: self._look(job))

    def tell_accepted(self, job: SimulatedJob) -> None:
        """The answer arrives."""
        job.accepted = True
        self.driver.accepted(job)

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
            self._send(lambda: self._hint(job))

    def _hint(self, job: SimulatedJob) -> None:
        if not job.ended:
            job.hinted = True
            self.driver.notified(job)

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
        self.driver.seen_ended(job)
