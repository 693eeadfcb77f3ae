"""The decision core against what a user would write instead, in simulated time.

    python benchmarks/scheduling.py --short    # under 20 s; what CI runs
    python benchmarks/scheduling.py --full     # under 10 minutes; the README's table

A discrete-event simulation (tests/scheduling/model.py): 1000 jobs, an account whose limit
nobody knows, messages that take 50-150 ms each way. `ours` is the real decision core, and
the same server, jobs and latencies meet every rival. Slot use is busy slot-seconds by those
the account allowed while jobs were queued; the oracle starts the same order without any
latency; LB = max(total work / C, longest task); `polls` is by polling every 3-5 s from
acceptance on; `overtaken` is the 95th percentile of (place in starting order - place in the
queue). NB are ten-second jobs, MJ 30-90 s, SD 60-180 s, MIX all three. Exits with 1 when a
figure misses its goal: in a short run by more than 5 % or 0.05, as it runs each scene once.
"""

from __future__ import annotations

import argparse
import datetime as dt
import platform
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from statistics import mean
from typing import TypeAlias

from _table import table, write_json

import kinovi_async

ROOT = Path(__file__).resolve().parent.parent
# After kinovi_async, so that the installed one is measured; first, because other packages
# have been seen to install their tests.
sys.path.insert(0, str(ROOT))

from _rivals import RIVALS  # noqa: E402

from tests.scheduling.model import MIXES, Figures, Scenario, Steps, run, simulate  # noqa: E402

OURS = "ours"
WORKERS = 2
SHARED: Steps = tuple((60.0 * step, (7 * step) % 13) for step in range(200))
"""Other programs that want 0 to 12 slots, changing every minute."""

CHANGES = {
    "raised 20 -> 50": Scenario(limit=((0.0, 20), (150.0, 50))),
    "lowered 50 -> 20": Scenario(limit=((0.0, 50), (75.0, 20))),
    "zero for 180 s": Scenario(limit=((0.0, 20), (150.0, 0), (330.0, 20))),
    "shared": Scenario(others=SHARED),
}

COLUMNS = {
    "slot_use": "slot use",
    "by_oracle": "makespan/oracle",
    "by_bound": "makespan/LB",
    "refusals_per_job": "429/job",
    "polls_by_fixed": "polls",
    "polls_per_job": "polls/job",
    "seen_after_mean": "end->seen s",
    "seen_after_p95": "p95",
    "overtaking_p95": "overtaken",
}

Key: TypeAlias = tuple[str, Scenario]
"""A policy and a scenario, whatever its seed."""


@dataclass(frozen=True)
class Goal:
    """A bound for one figure over several runs."""

    number: int
    what: str
    figure: str
    bound: float
    keys: Sequence[Key]
    at_least: bool = False

    def value(self, results: Results) -> float:
        """The worst mean of any of the scenes."""
        values = [results.mean(key)[self.figure] for key in self.keys]
        return min(values) if self.at_least else max(values)

    def met(self, value: float, *, slack: float) -> bool:
        """Whether the value is within the bound, give or take the slack."""
        if self.at_least:
            return value >= self.bound - slack
        return value <= self.bound + slack * max(1.0, self.bound)


class Results:
    """All runs of this benchmark: planned first, then run at once."""

    def __init__(self, seeds: int) -> None:
        self.seeds = range(1, seeds + 1)
        self._runs: dict[Key, list[Figures]] = {}

    def plan(self, keys: Iterable[Key]) -> None:
        """These are needed."""
        for key in keys:
            self._runs.setdefault(key, [])

    def go(self) -> None:
        """Run everything planned, once for each seed."""
        todo = [(key, seed) for key in self._runs for seed in self._seeds_of(key)]
        with ProcessPoolExecutor(WORKERS) as pool:
            for (key, _), figures in zip(todo, pool.map(_run, todo, chunksize=4), strict=True):
                self._runs[key].append(figures)

    def mean(self, key: Key) -> dict[str, float]:
        """The figures of a policy in a scenario, means over the seeds."""
        runs = [asdict(figures) for figures in self._runs[key]]
        return {name: mean(each[name] for each in runs) for name in runs[0] if name != "limit"}

    def worst(self, key: Key) -> float:
        """The least slot use of any seed."""
        return min(figures.slot_use for figures in self._runs[key])

    def to_json(self) -> list[dict[str, object]]:
        """Everything measured, by policy and scenario."""
        default = Scenario()
        return [
            {
                "policy": policy,
                "scenario": {
                    field.name: getattr(scenario, field.name)
                    for field in fields(scenario)
                    if getattr(scenario, field.name) != getattr(default, field.name)
                },
                "mean": self.mean((policy, scenario)),
                "slot_use": [figures.slot_use for figures in runs],
            }
            for (policy, scenario), runs in self._runs.items()
        ]

    def _seeds_of(self, key: Key) -> Sequence[int]:
        # Rivals are there to compare with, and differ by more than seeds do.
        return self.seeds if key[0] == OURS else self.seeds[:2]


def _run(job: tuple[Key, int]) -> Figures:
    (policy, scenario), seed = job
    scenario = replace(scenario, seed=seed)
    if policy == OURS:
        return simulate(scenario)
    return run(scenario, RIVALS[policy](scenario))


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
        """With webhooks."""
        return Scenario(mix=mix, limit=limit, webhooks=True)

    def batch(self, limit: int, *, known: bool = True) -> Scenario:
        """A mixed batch; the longest expected first if it is known."""
        return Scenario(mix="MIX", limit=limit, batch=known)

    @property
    def large(self) -> Sequence[int]:
        """The limits the goals speak of."""
        return [limit for limit in self.limits if limit >= 20]  # noqa: PLR2004 - scheduling.md


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


def _print(title: str, rows: Sequence[tuple[str, Key]], results: Results) -> None:
    cells = []
    for name, key in rows:
        figures = results.mean(key)
        steady = isinstance(key[1].limit, int) and key[1].others == Scenario().others
        cells.append(
            [name, *(figures[each] if steady or each != "by_bound" else None for each in COLUMNS)]
        )
    table(title, ["", *COLUMNS.values()], cells)


def _steady_tables(plan: Plan) -> list[tuple[str, list[tuple[str, Key]]]]:
    tables = []
    for limit in plan.limits:
        rows: list[tuple[str, Key]] = []
        for mix in plan.mixes:
            for body in plan.bodies:
                name = f"{mix}  {OURS}{', 429 tells' if body else ''}"
                rows.append((name, (OURS, plan.steady(mix, limit, body=body))))
            if mix in plan.rival_mixes and limit in plan.rival_limits:
                rows += [
                    (f"{mix}  {each}", (each, plan.steady(mix, limit))) for each in plan.rivals
                ]
        tables.append((f"C = {limit}, not known, polls only", rows))
    return tables


def _other_tables(plan: Plan) -> list[tuple[str, list[tuple[str, Key]]]]:
    changing: list[tuple[str, Key]] = []
    for change in CHANGES:
        for mix in plan.changing_mixes:
            for body in plan.changing_bodies:
                name = f"{change}  {mix}  {OURS}{', 429 tells' if body else ''}"
                changing.append((name, (OURS, plan.changing(change, mix, body=body))))
            if mix in plan.rival_mixes:
                changing += [
                    (f"{change}  {mix}  {each}", (each, plan.changing(change, mix)))
                    for each in plan.changing_rivals
                ]
    hooked = [
        (f"{mix}, C = {limit}", (OURS, plan.hooked(mix, limit)))
        for mix in plan.mixes
        for limit in plan.large
    ]
    batch = [
        (
            f"C = {limit}, {'longest expected first' if known else 'order of arrival'}",
            (OURS, plan.batch(limit, known=known)),
        )
        for limit in plan.limits
        for known in (False, True)
    ]
    return [
        ("A limit that changes, and others on the account", changing),
        ("With webhooks", hooked),
        ("A mixed batch", batch),
    ]


def _goals(plan: Plan) -> list[Goal]:
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
                6, f"polls/job {mix}, webhooks", "polls_per_job", bound, hooked[mix]
            ),
        ),
        Goal(7, "overtaken, p95", "overtaking_p95", 5.0, [*every, *unsteady, *batch]),
    ]


def _judge(goals: Sequence[Goal], results: Results, slack: float) -> list[dict[str, object]]:
    judged: list[dict[str, object]] = []
    for goal in goals:
        value = goal.value(results)
        judged.append(
            {
                "goal": goal.number,
                "what": goal.what,
                "figure": value,
                "bound": f"{'>=' if goal.at_least else '<='} {goal.bound:g}",
                "met": goal.met(value, slack=0.0),
                "near": goal.met(value, slack=slack),
            }
        )
    rows = [
        [each["what"], each["goal"], each["figure"], each["bound"], "yes" if each["met"] else "NO"]
        for each in judged
    ]
    table(
        "Goals: the worst mean of any scene with C >= 20",
        ["", "goal", "figure", "bound", "met"],
        rows,
    )
    return judged


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The decision core, in simulated time.")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--short", action="store_true", help="what CI runs (the default)")
    size.add_argument("--full", action="store_true", help="all scenes, rivals and seeds")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        default=ROOT / "benchmarks" / "results" / "scheduling.json",
        help="where the JSON goes",
    )
    return parser.parse_args()


def main() -> int:
    """Run all scenes, print the tables, and tell by the exit code whether the goals hold."""
    options = _options()
    started = time.perf_counter()
    plan = FULL if options.full else SHORT
    results = Results(seeds=5 if options.full else 1)
    tables = [*_steady_tables(plan), *_other_tables(plan)]
    goals = _goals(plan)
    results.plan(key for _, rows in tables for _, key in rows)
    results.plan(key for goal in goals for key in goal.keys)
    results.go()
    for title, rows in tables:
        _print(title, rows, results)
    judged = _judge(goals, results, slack=0.0 if options.full else 0.05)
    seconds = time.perf_counter() - started
    print(f"\n{seconds:.0f} s")
    write_json(
        options.output,
        {
            "date": dt.datetime.now(dt.UTC).date().isoformat(),
            "python": platform.python_version(),
            "version": kinovi_async.__version__,
            "seeds": len(results.seeds),
            "goals": judged,
            "runs": results.to_json(),
        },
    )
    return 0 if all(each["near"] for each in judged) else 1


if __name__ == "__main__":
    sys.exit(main())
