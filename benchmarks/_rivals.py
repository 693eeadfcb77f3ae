"""What would be written instead of the decision core, as policies for the same simulation.

`PerJob` is a task per job that holds a semaphore and retries on its own timer, the way
retry libraries do it; `Window` keeps one queue and learns how much of it may be out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from random import Random
from typing import TypeAlias

from kinovi_async._scheduling import Refusal
from tests.scheduling.model import FIXED_POLLS
from tests.scheduling.world import Scenario, SimulatedJob, World, at_time

Backoff: TypeAlias = Callable[[int, Random], float]
"""Seconds to wait after so many refusals of one job, at least 1."""

LONGEST_BACKOFF = 60.0
"""The customary maximum of retry libraries."""


def exponential(refusals: int, rng: Random) -> float:
    """1, 2, 4 ... 60 s, and up to a second of jitter: tenacity's wait_exponential_jitter."""
    return min(LONGEST_BACKOFF, 2.0 ** min(refusals - 1, 10) + rng.uniform(0.0, 1.0))


def full_jitter(refusals: int, rng: Random) -> float:
    """Anything up to that: the jitter of the backoff library."""
    return rng.uniform(0.0, min(LONGEST_BACKOFF, 2.0 ** min(refusals - 1, 10)))


class Rival:
    """Polls every 3-5 s from acceptance on. Submitting is left to the policy."""

    def __init__(self, scenario: Scenario) -> None:
        self.rng = Random(scenario.seed + 1)
        self.world: World
        self.waiting: deque[SimulatedJob] = deque()
        self.held = 0
        """Jobs accepted and not seen ended."""
        self.out = 0
        """Submissions on the wire."""

    def start(self, world: World) -> None:
        """Queue everything."""
        self.world = world
        self.waiting.extend(world.jobs)

    def accepted(self, job: SimulatedJob) -> None:
        """The first poll is planned."""
        self.out -= 1
        self.held += 1
        self._poll_later(job)

    def refused(self, job: SimulatedJob, refusal: Refusal) -> None:  # noqa: ARG002 - no rival reads it
        """The policy decides when it goes again."""
        self.out -= 1

    def still_running(self, job: SimulatedJob) -> None:
        """The next poll is planned."""
        self._poll_later(job)

    def notified(self, job: SimulatedJob) -> None:
        """None of them knows webhooks."""

    def seen_ended(self, job: SimulatedJob) -> None:  # noqa: ARG002 - the count is enough
        """A place is free."""
        self.held -= 1

    def after_event(self) -> None:
        """The policy submits."""

    def submit(self, job: SimulatedJob) -> None:
        """Send a job."""
        self.out += 1
        self.world.submit(job)

    def _poll_later(self, job: SimulatedJob) -> None:
        self.world.later(self.rng.uniform(*FIXED_POLLS), lambda: self._poll(job))

    def _poll(self, job: SimulatedJob) -> None:
        if not job.ended:
            self.world.poll(job)


class PerJob(Rival):
    """A semaphore of `bound`, and a backoff of its own for each job that holds it."""

    def __init__(self, scenario: Scenario, bound: int, backoff: Backoff = exponential) -> None:
        super().__init__(scenario)
        self.free = bound
        self.backoff = backoff

    def refused(self, job: SimulatedJob, refusal: Refusal) -> None:
        """Sleep and try again, holding the semaphore."""
        super().refused(job, refusal)
        self.world.later(self.backoff(job.refusals, self.rng), lambda: self.submit(job))

    def seen_ended(self, job: SimulatedJob) -> None:
        """Release the semaphore."""
        super().seen_ended(job)
        self.free += 1

    def after_event(self) -> None:
        """The semaphore lets the next ones in."""
        while self.free and self.waiting:
            self.free -= 1
            self.submit(self.waiting.popleft())


class Window(Rival):
    """One queue, of which so many may be out; a refused job goes back to its head."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self.window = 1.0

    def refused(self, job: SimulatedJob, refusal: Refusal) -> None:
        """Back to its place, and the window learns."""
        super().refused(job, refusal)
        place = next((n for n, each in enumerate(self.waiting) if each.number > job.number), None)
        self.waiting.insert(len(self.waiting) if place is None else place, job)
        self.shrink()

    def accepted(self, job: SimulatedJob) -> None:
        """The window learns."""
        super().accepted(job)
        self.grow()

    def after_event(self) -> None:
        """Fill the window."""
        while self.waiting and self.held + self.out < int(self.window):
            self.submit(self.waiting.popleft())

    def grow(self) -> None:
        """A submission was accepted."""

    def shrink(self) -> None:
        """A submission was refused."""


class Aimd(Window):
    """Congestion control: one more for each window accepted, a share of it at a refusal."""

    def __init__(self, scenario: Scenario, share: float) -> None:
        super().__init__(scenario)
        self.share = share
        self.shrunk_at = float("-inf")

    def grow(self) -> None:
        """One more for each window; twice as many at first."""
        slow_start = self.shrunk_at < 0
        self.window += 1.0 if slow_start else 1.0 / self.window

    def shrink(self) -> None:
        """Once for each round trip, or one volley would end in nothing."""
        if self.world.now >= self.shrunk_at + 2 * self.world.scenario.one_way[1]:
            self.window = max(1.0, self.window * self.share)
            self.shrunk_at = self.world.now


class Prober(Window):
    """Learns the limit from 429, and tries one more every 3 s: the simplest that could do."""

    PROBE = 3.0

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self.known = False

    def start(self, world: World) -> None:
        """Probe from now on."""
        super().start(world)
        world.later(self.PROBE, self._probe)

    def grow(self) -> None:
        """Twice as many until the first refusal; then what was accepted is allowed."""
        self.window = (
            max(self.window, self.held) if self.known else min(self.held + 16, self.window * 2)
        )

    def shrink(self) -> None:
        """What is held is what is allowed."""
        self.known = True
        self.window = max(1.0, float(self.held))

    def after_event(self) -> None:
        """Fill the window, one by one while it holds nothing."""
        if self.held or not self.known:
            super().after_event()

    def _probe(self) -> None:
        self.world.later(self.PROBE, self._probe)
        if self.waiting and not self.out:
            self.submit(self.waiting.popleft())


def first_limit(scenario: Scenario) -> int:
    """The limit at the start, which a user may have been told."""
    return at_time(scenario.limits, 0.0)


Policy: TypeAlias = Callable[[Scenario], Rival]

RIVALS: Mapping[str, Policy] = {
    "semaphore, limit known": lambda scenario: PerJob(scenario, first_limit(scenario)),
    "semaphore, guess C/5": lambda scenario: PerJob(scenario, max(1, first_limit(scenario) // 5)),
    "guess 5C, exponential backoff": lambda scenario: PerJob(scenario, 5 * first_limit(scenario)),
    "guess 5C, full jitter": lambda scenario: PerJob(
        scenario, 5 * first_limit(scenario), full_jitter
    ),
    "AIMD, x 0.5": lambda scenario: Aimd(scenario, 0.5),
    "AIMD, x 0.9": lambda scenario: Aimd(scenario, 0.9),
    "learn C, try one more every 3 s": Prober,
}
"""Every policy by the name it has in the tables."""
