"""Which scenes the scheduling benchmark runs, and what is expected of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import TypeAlias

from _rivals import RIVALS

from tests.scheduling.world import MIXES, Scenario, Steps

OURS = "ours"
"""The policy that is the real decision core."""

Key: TypeAlias = tuple[str, Scenario]
"""A policy and a scenario, whatever its seed."""


SHARED: Steps = tuple((60.0 * step, (7 * step) % 13) for step in range(200))
"""Other programs that want 0 to 12 slots, changing every minute."""

CHANGES = {
    "raised 20 -> 50": Scenario(limit=((0.0, 20), (150.0, 50))),
    "lowered 50 -> 20": Scenario(limit=((0.0, 50), (75.0, 20))),
    "zero for 180 s": Scenario(limit=((0.0, 20), (150.0, 0), (330.0, 20))),
    "shared": Scenario(others=SHARED),
}


@dataclass(frozen=True)
class Plan:
    """Which scenes are run, and which rivals in them."""

    mixes: Sequence[str] = tuple(MIXES)
    limits: Sequence[int] = (5, 20, 50)
    bodies: Sequence[bool] = (False, True)
    rivals: Sequence[str] = tuple(RIVALS)
    rival_mixes: Sequence[str] = tuple(MIXES)
    rival_limits: Sequence[int] = (5, 20, 50)
    changing_mixes: Sequence[str] = tuple(MIXES)
    changing_bodies: Sequence[bool] = (False, True)
    changing_rivals: Sequence[str] = (
        "semaphore, limit known",
        "guess 5C, exponential backoff",
        "AIMD, x 0.9",
        "learn C, try one more every 3 s",
    )

    def steady(self, mix: str, limit: int, *, body: bool = False) -> Scenario:
        """A limit that stays."""
        return Scenario(mix=mix, limit=limit, body="full" if body else "none")

    def changing(self, change: str, mix: str, *, body: bool = False) -> Scenario:
        """A limit that does not."""
        return replace(CHANGES[change], mix=mix, body="full" if body else "none")

    def hooked(self, mix: str, limit: int) -> Scenario:
        """With webhooks: each asks for one GET, its confirmation; the others are polls."""
        return Scenario(mix=mix, limit=limit, webhooks=True)

    def batch(self, limit: int, *, known: bool = True) -> Scenario:
        """A mixed batch; the longest expected first if it is known."""
        return Scenario(mix="MIX", limit=limit, batch=known)

    @property
    def large(self) -> Sequence[int]:
        """The limits the goals speak of."""
        return [limit for limit in self.limits if limit >= 20]  # noqa: PLR2004 - C of the goals


SHORT = Plan(
    limits=(20, 50),
    rivals=("semaphore, limit known", "guess 5C, exponential backoff"),
    rival_mixes=("NB", "MIX"),
    rival_limits=(20,),
    changing_mixes=("NB", "SD"),
    changing_bodies=(True,),
    changing_rivals=(),
)
FULL = Plan()


@dataclass(frozen=True)
class Goal:
    """A bound for one figure over several runs."""

    number: int
    what: str
    figure: str
    bound: float
    keys: Sequence[Key]
    at_least: bool = False

    def values(self, figures: Callable[[Key, str], Sequence[float]]) -> tuple[float, float]:
        """The worst scene, by the mean of its seeds; and the worst seed of any scene."""
        found = [figures(key, self.figure) for key in self.keys]
        worst = min if self.at_least else max
        return worst(mean(each) for each in found), worst(worst(each) for each in found)

    def met(self, value: float, *, slack: float = 0.0) -> bool:
        """Whether the value is within the bound, give or take that share of it."""
        if self.at_least:
            return value >= self.bound * (1 - slack)
        return value <= self.bound * (1 + slack)


def goals(plan: Plan) -> list[Goal]:
    """Goals 1 to 7, as far as the plan has scenes for them."""

    def steady(mix: str) -> list[Key]:
        return [
            (OURS, plan.steady(mix, limit, body=body))
            for limit in plan.large
            for body in plan.bodies
        ]

    def changing(change: str) -> list[Key]:
        return [
            (OURS, plan.changing(change, mix, body=body))
            for mix in plan.changing_mixes
            for body in plan.changing_bodies
        ]

    every = [key for mix in plan.mixes for key in steady(mix)]
    unsteady = [key for change in CHANGES for key in changing(change)]
    hooked = {mix: [(OURS, plan.hooked(mix, limit)) for limit in plan.large] for mix in plan.mixes}
    batch = [(OURS, plan.batch(limit)) for limit in plan.large]
    small = {
        mix: [
            (OURS, plan.steady(mix, limit, body=body))
            for limit in plan.limits
            if limit not in plan.large
            for body in plan.bodies
        ]
        for mix in plan.mixes
    }

    def by_mix(bounds: Sequence[float], goal: Callable[[str, float], Goal]) -> list[Goal]:
        return [goal(mix, bound) for mix, bound in zip(MIXES, bounds, strict=False)]

    return [
        *by_mix(
            (0.93, 0.965, 0.98, 0.955),
            lambda mix, bound: Goal(1, f"slot use {mix}", "slot_use", bound, steady(mix), True),
        ),
        *by_mix(
            (1.09, 1.04, 1.03, 1.05),
            lambda mix, bound: Goal(2, f"makespan/oracle {mix}", "by_oracle", bound, steady(mix)),
        ),
        *(
            Goal(2, f"makespan/oracle {mix}, C = 5", "by_oracle", bound, small[mix])
            for mix, bound in zip(MIXES, (1.09, 1.04, 1.03, 1.05), strict=True)
            if small[mix]
        ),
        Goal(2, "makespan/LB, longest first", "by_bound", 1.07, batch),
        Goal(3, "429/job", "refusals_per_job", 0.6, every),
        Goal(3, "429/job, shared or changing", "refusals_per_job", 0.9, unsteady),
        *(
            Goal(
                3,
                f"429 at the start, C = {limit}",
                "first_refusals",
                limit,
                [
                    (OURS, plan.steady(mix, limit, body=body))
                    for mix in plan.mixes
                    for body in plan.bodies
                ],
            )
            for limit in plan.limits
        ),
        Goal(3, "429/s in the worst 2 min", "refusals_per_second", 2.0, [*every, *unsteady]),
        *(
            Goal(4, f"slot use, {change}", "slot_use", 0.92, changing(change), True)
            for change in CHANGES
        ),
        *by_mix(
            (0.95, 0.65, 0.55),
            lambda mix, bound: Goal(5, f"polls {mix}", "polls_by_fixed", bound, steady(mix)),
        ),
        Goal(5, "end->seen s, mean", "seen_after_mean", 2.6, every),
        Goal(5, "end->seen s, p95", "seen_after_p95", 5.0, every),
        Goal(5, "s between polls of a task", "closest_polls", 3.0, [*every, *unsteady], True),
        *by_mix(
            (0.96, 0.99, 0.995),
            lambda mix, bound: Goal(
                6, f"slot use {mix}, webhooks", "slot_use", bound, hooked[mix], True
            ),
        ),
        *by_mix(
            (0.1, 1.5, 3.5),
            lambda mix, bound: Goal(
                6, f"fallback polls/job {mix}, webhooks", "polls_per_job", bound, hooked[mix]
            ),
        ),
        Goal(7, "overtaken, p95", "overtaking_p95", 5.0, [*every, *unsteady, *batch]),
    ]
