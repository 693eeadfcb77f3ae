"""Runs schedules from the command line; see CONTRIBUTING.md.

python -m tests.simulation --seeds 10000 --tier transport --jobs 2
python -m tests.simulation --seed 123 --tier bytes            # one again, with its trace
python -m tests.simulation --seed 123 --tier bytes --shrink   # and the least that fails
"""

# ruff: noqa: T201 - a command

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from .plan import FEATURES, GUEST, Tier
from .run import Result, run_seed
from .shrink import shrink

_CHUNK = 25
_SHOWN = 40


def command(
    seed: int,
    tier: Tier,
    without: Collection[str] = (),
    jobs: int | None = None,
    *,
    guests: bool = False,
) -> str:
    """How to run one schedule again."""
    more = f" --without {','.join(sorted(without))}" if without else ""
    more += f" --most-jobs {jobs}" if jobs is not None else ""
    more += " --guests" if guests else ""
    return f"python -m tests.simulation --seed {seed} --tier {tier}{more}"


def failure(result: Result) -> str:
    """A failed schedule in words."""
    plan = result.plan
    lines = [f"seed {plan.seed}, {len(plan.jobs)} jobs, {plan.tier} level:"]
    lines += [f"  {text}" for text in result.violations[:5]]
    lines.append(
        f"  again: {command(plan.seed, plan.tier, plan.without, guests=GUEST in plan.names)}"
    )
    return "\n".join(lines)


def _summary(seed: int, *, tier: Tier, guests: bool) -> tuple[int, list[str], Counter[str]]:
    result = run_seed(seed, tier, guests=guests)
    counts = Counter(result.outcomes)
    counts["(events)"] = result.events
    counts["(seconds)"] = round(result.seconds)
    counts["(processes)"] = result.processes
    counts["(killed)"] = result.killed
    return seed, [failure(result)] if result.violations else [], counts


def _results(
    seeds: range, tier: Tier, workers: int, *, guests: bool
) -> Iterator[tuple[int, list[str], Counter[str]]]:
    one = partial(_summary, tier=tier, guests=guests)
    if workers == 1:
        yield from map(one, seeds)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(one, seeds, chunksize=_CHUNK)


def _many(seeds: range, tier: Tier, workers: int, *, guests: bool, first: bool) -> int:
    started, failed = time.perf_counter(), 0
    totals: Counter[str] = Counter()
    done = 0
    for _, told, counts in _results(seeds, tier, workers, guests=guests):
        done += 1
        totals.update(counts)
        failed += bool(told)
        for text in told:
            print(text, flush=True)
        if first and failed:
            break
    seconds = time.perf_counter() - started
    shown = ", ".join(f"{count:,} {name}" for name, count in sorted(totals.items()))
    print(f"{done} schedules at {tier} level, {failed} failed, {seconds:.0f} s: {shown}")
    return 1 if failed else 0


def _single(arguments: argparse.Namespace) -> int:
    without = frozenset(filter(None, arguments.without.split(",")))
    unknown = without - {*FEATURES, GUEST}
    if unknown:
        print(f"unknown: {', '.join(unknown)}; known: {', '.join(FEATURES)}", file=sys.stderr)
        return 2
    result = run_seed(
        arguments.seed,
        arguments.tier,
        without=without,
        jobs=arguments.most_jobs,
        guests=arguments.guests,
        verbose=True,
    )
    for line in result.lines[-arguments.lines :]:
        print(line)
    print(f"trace {result.trace}, in force: {', '.join(sorted(result.plan.names)) or 'nothing'}")
    if not result.violations:
        print("all invariants hold")
        return 0
    print(failure(result))
    if arguments.shrink:
        guests = arguments.guests
        least, jobs = shrink(
            arguments.seed, arguments.tier, without, len(result.plan.jobs), guests=guests
        )
        again = command(arguments.seed, arguments.tier, least, jobs, guests=guests)
        print(f"  least: {again}")
    return 1


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--tier", choices=("transport", "bytes"), default="transport")
    parser.add_argument("--seed", type=int, help="one schedule, with its trace")
    parser.add_argument("--seeds", type=int, default=300, help="how many schedules")
    parser.add_argument("--start", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=1, help="processes to run them in")
    parser.add_argument(
        "--guests", action="store_true", help="a second process on the same ledger at once"
    )
    parser.add_argument("--first", action="store_true", help="stop at the first failure")
    parser.add_argument("--without", default="", help="features to leave out, with commas")
    parser.add_argument("--most-jobs", type=int, help="no more jobs than this")
    parser.add_argument("--shrink", action="store_true", help="look for the least that fails")
    parser.add_argument("--lines", type=int, default=_SHOWN, help="lines of the trace to show")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return _single(arguments)
    seeds = range(arguments.start, arguments.start + arguments.seeds)
    return _many(
        seeds, arguments.tier, arguments.jobs, guests=arguments.guests, first=arguments.first
    )


if __name__ == "__main__":
    sys.exit(main())
