"""Kills real runs and compares with the server's books: the long form of the kill tests.

python -m tests.kill --all          every numbered point, as a table
python -m tests.kill --only POINT   the points whose name holds this text
python -m tests.kill --lossy        runs that lose 5 % of the answers, killed five times
"""

# ruff: noqa: T201 - a command

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from .cases import AFTER_A_POST, LOSSY_SERVER, RECORDED, SAMPLE, Case, all_cases
from .harness import HEADER, Bench, Report, benches, try_all

KILLS = 5


def main() -> int:
    """Runs what is asked for; 1 when anything was found."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.kill",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--all", action="store_true", help="all points, not the sample of CI")
    parser.add_argument("--only", metavar="POINT", default="")
    parser.add_argument("--lossy", action="store_true")
    parser.add_argument("--jobs", type=int, default=400, help="jobs of a --lossy run")
    parser.add_argument("--seeds", type=int, default=5, help="how many --lossy runs")
    parser.add_argument("--workers", type=int, default=2, help="runs at a time")
    asked = parser.parse_args()
    with TemporaryDirectory(prefix="kinovi-kill-") as directory, ExitStack() as stack:
        if asked.lossy:
            places = benches(stack, Path(directory), asked.workers, jobs=asked.jobs, **LOSSY_SERVER)
            return table([_random_kills(seed) for seed in range(asked.seeds)], places)
        places = benches(stack, Path(directory), asked.workers)
        cases = _cases(places[0]) if asked.all or asked.only else SAMPLE
        return table([_case(case) for case in cases if asked.only in str(case)], places)


def _cases(bench: Bench) -> list[Case]:
    first = {kind: bench.record(kind) for kind in RECORDED}
    return all_cases(first, bench.record("serial", AFTER_A_POST))


def _case(case: Case) -> Callable[[Bench], Report]:
    return lambda bench: bench.try_case(case)


def _random_kills(seed: int) -> Callable[[Bench], Report]:
    return partial(Bench.try_random_kills, seed=seed, kills=KILLS)


def table(tries: list[Callable[[Bench], Report]], places: list[Bench]) -> int:
    """Tries everything and prints a line of each; 1 when anything was found."""
    began = time.monotonic()
    found = kills = unclear = paid = 0
    print(f"# | {HEADER}")
    for number, report in enumerate(try_all(tries, places), start=1):
        print(f"{number} | {report.row()}", flush=True)
        found += bool(report.findings)
        kills += report.kills
        unclear += report.statuses["ambiguous"]
        paid += report.accepted
    seconds = time.monotonic() - began
    print(
        f"{len(tries)} cases, {kills} kills, {paid} paid tasks, {unclear} ambiguous jobs,"
        f" {found} cases with findings, {seconds:.0f} s"
    )
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
