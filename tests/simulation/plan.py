"""What one seed stands for: the jobs, the account, the faults, and how each process ends.

Everything is drawn here, and each feature from a stream of its own: switching one off leaves
all others as they were, which is what makes a failing schedule shrink.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from random import Random
from typing import Literal

__all__ = ["FEATURES", "GUEST", "Job", "Life", "Plan", "Tier", "make_plan"]

Tier = Literal["transport", "bytes"]
Route = Literal["scheduler", "batch", "generate"]

SUBMIT_FAULTS = (
    "refused",  # no connection
    "connect-timeout",
    "sending",  # reset while the request is sent
    "dropped",  # read, and closed without an answer; nothing accepted
    "lost",  # accepted, and closed without an answer
    "reset",  # accepted, then a reset
    "silent",  # accepted, and never an answer
    "error-500",  # the API's own 500, nothing accepted
    "error-500-accepted",
    "gateway",  # a page with 502, 503, 504, 520, 522 or 524, nothing accepted
    "gateway-accepted",
    "truncated",  # accepted, the answer breaks off
    "garbage",  # accepted, the answer is a page or noise
    "slow",  # accepted, the answer takes 5 to 200 s
    "busy",  # 429 although there would be a slot: somebody else was faster
    "rate",  # 429 of a rate limit, with a Retry-After
    "odd",  # 408, 409 or 425
)
POLL_FAULTS = (
    "poll-refused",
    "poll-dropped",
    "poll-error",
    "poll-page",
    "poll-garbage",
    "poll-truncated",
    "poll-unknown",  # a state that no document names
    "poll-busy",
    "poll-silent",
    "poll-slow",
)
OTHERS = (
    "poll-lag",  # a task just made is unknown for a while
    "fail",
    "stuck",
    "bad",  # requests that the server refuses with 400
    "limits",  # the account's limit changes
    "zero",  # and is zero for a while
    "no-key",  # 401 for a while
    "no-credits",  # 402 for a while
    "forbidden",  # 403 for a while
    "outage",  # nobody can connect for a while
    "disk",  # calls of the ledger that fail
    "slow-disk",
    "crash",
    "interrupt",  # the process is told to end
    "cancel-jobs",
    "cancel-waits",
    "clock-steps",
    "budget",
    "twice",  # keys that are entered two times
    "queue-deadline",
    "retry-failed",
    "bound",  # max_in_flight
    "stale",  # the server closes idle connections, some just as they are used
    "pieces",  # answers come in pieces
)
GUEST = "guest"
"""A second process on the same ledger at the same time: only where it is asked for."""
FEATURES = (*SUBMIT_FAULTS, *POLL_FAULTS, *OTHERS)


@dataclass(frozen=True)
class Job:
    """One wish of the user's."""

    key: str
    model: str
    resolution: str
    route: Route
    at: float
    """Seconds after the start of a process at which it is entered."""
    group: str
    priority: int
    side: int = 0
    """Which of two processes enters it."""
    shared: bool = False
    """Both do."""
    bad: bool = False
    stuck: bool = False
    twice: bool = False
    max_wait: float | None = None
    max_queue_wait: float | None = None
    cancel_at: float | None = None
    """Seconds after entering: `job.cancel()`, or the cancellation of `generate`."""
    stop_waiting_at: float | None = None
    """Seconds after entering: one of two waits on it is cancelled."""


@dataclass(frozen=True)
class Life:
    """How a process ends, if it does not end by itself."""

    crash_at: int | None = None
    """Number of its external event, from 1."""
    stop_at: float | None = None
    """Seconds after its start."""
    stop_by: Literal["cancel", "drain", "raise"] = "cancel"
    disk: tuple[int, ...] = ()
    """Numbers of the ledger's calls that fail."""
    downtime: float = 1.0
    begins: float = 0.0
    """Seconds after the other process."""


@dataclass(frozen=True)
class Plan:
    """One schedule."""

    seed: int
    tier: Tier
    without: frozenset[str]
    jobs: tuple[Job, ...]
    limit: int
    rates: dict[str, float]
    """How often each fault of a call strikes."""
    windows: dict[str, tuple[tuple[float, float], ...]]
    """When 401, 402, 403 and outages are in force."""
    limits: tuple[tuple[float, int], ...]
    """Moments at which the limit changes."""
    lives: tuple[Life, ...]
    calm_at: float
    """From here on nothing goes wrong any more."""
    latency: tuple[float, float]
    durations: tuple[float, float]
    fail: float
    lag: float
    speaks: bool
    """Whether the connections are our own and emit trace events, or the user's client's."""
    sqlite: bool
    policy: Literal["retry", "hold"]
    max_in_flight: int | None
    budget_share: float | None
    """Part of what all jobs would cost."""
    retry_failed: int
    guests: tuple[Life | None, ...]
    """The second process beside each, which starts a little later."""
    clock_steps: tuple[tuple[float, float], ...]
    disk_seconds: float
    stale: float
    """Seconds after which the server closes an idle connection; 0 keeps it."""
    pieces: bool
    names: frozenset[str] = field(default=frozenset())
    """The features in force."""

    @property
    def batch_max_wait(self) -> float | None:
        """A batch has one for all its jobs."""
        waits = [job.max_wait for job in self.jobs if job.route == "batch" and job.max_wait]
        return max(waits, default=None)

    def rate(self, name: str) -> float:
        """How often a fault strikes."""
        return self.rates.get(name, 0.0)


def make_plan(
    seed: int,
    tier: Tier,
    *,
    without: Collection[str] = (),
    jobs: int | None = None,
    guests: bool = False,
) -> Plan:
    """The schedule of a seed.

    Args:
        seed: Any number.
        tier: How deep the network is.
        without: Features to leave out.
        jobs: No more jobs than this.
        guests: Whether a second process works on the same ledger at the same time.
    """
    off = frozenset(without)
    # A calm seed now and then: what breaks there needs no fault at all.
    share = Random(f"{seed} share").choice((0.0, 0.12, 0.25, 0.4, 0.6))
    names = frozenset(
        name for name in FEATURES if Random(f"{seed} {name}").random() < share and name not in off
    )
    if guests and GUEST not in off:
        names |= {GUEST}
    calm_at = 0.0 if not names else Random(f"{seed} calm").uniform(60, 400)
    draw = Random(f"{seed} plan")
    most = max(1, round(30 * draw.random() ** 2))
    limit = draw.choice((1, 1, 2, 2, 3, 3, 4, 5, 7, 10))
    base = draw.choice((0.005, 0.05, 0.3))
    made = tuple(_job(seed, number, names) for number in range(most))
    return Plan(
        seed=seed,
        tier=tier,
        without=off,
        jobs=made if jobs is None else made[:jobs],
        limit=limit,
        rates={name: _rate(seed, name) for name in (*SUBMIT_FAULTS, *POLL_FAULTS) if name in names},
        windows={
            name: _windows(seed, name, calm_at)
            for name in ("no-key", "no-credits", "forbidden", "outage")
            if name in names
        },
        limits=_limits(seed, names, limit, calm_at),
        lives=_lives(seed, names, most),
        calm_at=calm_at,
        latency=(base, base * draw.choice((1.0, 3.0, 10.0))),
        durations=draw.choice(((4.0, 20.0), (10.0, 31.0), (15.0, 60.0))),
        fail=_rate(seed, "fail") if "fail" in names else 0.0,
        lag=Random(f"{seed} lag").uniform(1, 50) if "poll-lag" in names else 0.0,
        speaks=draw.random() < 0.7,
        # Two processes share a file, not a memory.
        sqlite=draw.random() < 0.15 or GUEST in names,
        policy=draw.choice(("retry", "retry", "hold")),
        max_in_flight=Random(f"{seed} b").randint(1, limit + 2) if "bound" in names else None,
        budget_share=Random(f"{seed} m").uniform(0.2, 1.2) if "budget" in names else None,
        retry_failed=2 if "retry-failed" in names else 0,
        guests=_guests(seed, names),
        clock_steps=_steps(seed, calm_at) if "clock-steps" in names else (),
        disk_seconds=0.02 if "slow-disk" in names else 0.0,
        stale=Random(f"{seed} stale").uniform(0.2, 8) if "stale" in names else 0.0,
        pieces="pieces" in names,
        names=names,
    )


def _rate(seed: int, name: str) -> float:
    return Random(f"{seed} rate {name}").choice((0.03, 0.1, 0.3, 0.6))


def _job(seed: int, number: int, names: frozenset[str]) -> Job:
    draw = Random(f"{seed} job {number}")
    kind = draw.random()

    def maybe(name: str, share: float, low: float, high: float) -> float | None:
        own = Random(f"{seed} job {number} {name}")
        return own.uniform(low, high) if own.random() < share and name in names else None

    stuck = maybe("stuck", 0.15, 0, 1) is not None
    mix = Random(f"{seed} mix").choice(("scheduler", "mixed", "scheduler", "batch", "generate"))
    routes: tuple[Route, ...] = ("scheduler", "scheduler", "batch", "generate")
    route: Route = draw.choice(routes)
    return Job(
        key=f"job-{number}",
        model="midjourney-v7" if kind < 0.15 else "nanobanana2",
        resolution="4k" if kind > 0.6 else "1k",
        route=route if mix == "mixed" else mix,  # type: ignore[arg-type]
        at=0.0 if draw.random() < 0.6 else draw.uniform(0, 60),
        group=draw.choice(("", "a", "b")),
        priority=draw.choice((0, 0, 0, 1)),
        side=Random(f"{seed} side {number}").randint(0, 1),
        shared=Random(f"{seed} shared {number}").random() < 0.3,
        bad=maybe("bad", 0.2, 0, 1) is not None,
        stuck=stuck,
        twice=maybe("twice", 0.4, 0, 1) is not None,
        max_wait=draw.uniform(90, 200) if stuck else None,
        max_queue_wait=maybe("queue-deadline", 0.3, 0.1, 60),
        cancel_at=maybe("cancel-jobs", 0.3, 0, 40),
        stop_waiting_at=maybe("cancel-waits", 0.5, 0, 40),
    )


def _windows(seed: int, name: str, calm_at: float) -> tuple[tuple[float, float], ...]:
    draw = Random(f"{seed} window {name}")
    begin = draw.uniform(0, 60)
    return ((begin, min(calm_at, begin + draw.uniform(1, 120))),)


def _limits(
    seed: int, names: frozenset[str], limit: int, calm_at: float
) -> tuple[tuple[float, int], ...]:
    draw = Random(f"{seed} limits")
    changes: list[tuple[float, int]] = []
    if "limits" in names:
        changes += [(draw.uniform(5, calm_at), draw.randint(1, 10)) for _ in range(3)]
    if "zero" in names:
        begin = draw.uniform(0, 60)
        changes += [(begin, 0), (min(calm_at, begin + draw.uniform(5, 90)), limit)]
    changes = [change for change in sorted(changes) if change[0] < calm_at]
    return (*changes, (calm_at, limit))


def _lives(seed: int, names: frozenset[str], jobs: int) -> tuple[Life, ...]:
    draw = Random(f"{seed} lives")
    lives = []
    for number in range(draw.choice((1, 2, 2, 3))):
        crash = stop = None
        if "crash" in names:
            # A resumed process has most to lose in its first moments.
            most = 12 + 14 * jobs if number == 0 else 30
            crash = draw.randint(1, most)
        if "interrupt" in names and draw.random() < 0.7:
            stop = draw.choice((draw.uniform(0, 5), draw.uniform(0, 60)))
        disk: tuple[int, ...] = ()
        if "disk" in names and draw.random() < 0.8:
            disk = (draw.randint(1, 10 + 5 * jobs),)
        how: tuple[Literal["cancel", "drain", "raise"], ...] = ("cancel", "drain", "raise")
        lives.append(
            Life(
                crash_at=crash,
                stop_at=stop,
                stop_by=draw.choice(how),
                disk=disk,
                downtime=draw.choice((0.0, 1.0, 30.0)),
            )
        )
    return tuple(lives)


def _guests(seed: int, names: frozenset[str]) -> tuple[Life | None, ...]:
    draw = Random(f"{seed} guests")
    guests: list[Life | None] = []
    for _ in range(3):
        crash = draw.randint(1, 80) if draw.random() < 0.6 and "crash" in names else None
        life = Life(crash_at=crash, begins=draw.choice((0.0, 0.01, draw.uniform(0, 30))))
        guests.append(life if draw.random() < 0.8 and GUEST in names else None)
    return tuple(guests)


def _steps(seed: int, calm_at: float) -> tuple[tuple[float, float], ...]:
    draw = Random(f"{seed} steps")
    jumps = (-3600.0, 3600.0, -2.0, 30.0, 3e8, -3e8)
    return tuple((draw.uniform(0, calm_at), draw.choice(jumps)) for _ in range(3))
