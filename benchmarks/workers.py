"""Several web workers on one ledger: killed, replaced, and the slots stay busy.

    python benchmarks/workers.py [--short | --full]

Real `uvicorn --workers 4`, the supervisor included, on one SQLite ledger, against the simulator
in a process of its own. Every 60 polls of a task (four minutes of life) whoever runs the
ledger gets SIGKILL, and the supervisor starts another worker; towards the end a second
deployment is started and the first gets SIGTERM. Beside it, at the same time and on a server of
its own, one worker that nobody kills has the same work.

*Slot use* is the share of the account's slots that were busy while jobs waited, by the
server's books; the goal is .9. Time runs faster than life, for server and client alike, so
everything that costs real time (the processes, the disk, this machine) weighs as many times
more: a figure of --short tells little. A run fails when a job is paid or told twice or
lost, or when the goal is missed and the worker that nobody kills reaches it. On Linux alone: who is
a worker is read in /proc.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from _table import table, write_json
from _workers_lab import (
    POLL,
    Deployment,
    call,
    deployment,
    kill_runner,
    readings,
    simulator,
    slot_use,
    wait_for_runner,
)

GOAL = 0.9
"""Slot use."""
WORKERS = 4
MODEL = "midjourney-v7"
DURATIONS = (20.0, 60.0)
"""Seconds of life that a task takes."""
ORDER = 10
"""Jobs that one request enters."""
RESULTS = Path(__file__).parent / "results" / "workers.json"


@dataclass(frozen=True)
class Effort:
    """How much of everything."""

    speed: float
    """Times faster than life."""
    limit: int
    """The account's slots, which nobody is told."""
    jobs: int
    kills: int
    polls: float
    """Polls of one task between two kills, the deploy included."""


SHORT = Effort(speed=25, limit=8, jobs=40, kills=1, polls=20)
FULL = Effort(speed=5, limit=12, jobs=360, kills=3, polls=60)


@dataclass
class Found:
    """What one scene came to."""

    name: str
    slot_use: float = 0.0
    refused: float = 0.0
    """429 a job."""
    ended: int = 0
    unclear: int = 0
    """Jobs whose submission was on the wire at a kill."""
    told_twice: int = 0
    told_short: int = 0
    """Jobs that some worker's reader was not told."""
    paid_twice: int = 0
    takeovers: list[float] = field(default_factory=list)
    """Real seconds from the end of a runner to the next."""

    @property
    def sound(self) -> bool:
        """Whether nothing was lost, told twice or paid twice."""
        return not (self.told_twice or self.told_short or self.paid_twice)

    @property
    def row(self) -> Sequence[object]:
        """For the table."""
        last: list[float | None] = [None, None]
        if self.takeovers:
            last = [statistics.median(self.takeovers), max(self.takeovers)]
        return [
            self.name, self.slot_use, self.refused, self.ended, self.unclear,
            self.told_twice + self.told_short, self.paid_twice, *last,
        ]  # fmt: skip


COLUMNS = (
    "one account, one ledger", "slot use", "429 per job", "jobs ended", "unclear",
    "told twice or not", "paid twice", "takeover s, p50", "max",
)  # fmt: skip


class Scene:
    """One account: its server, its ledger, its workers."""

    def __init__(self, effort: Effort, found: Found, directory: Path, stack: ExitStack) -> None:
        self._effort = effort
        self._found = found
        self._stack = stack
        self._ledger = directory / "jobs.sqlite3"
        self._log = directory / "log"
        self._origin = stack.enter_context(
            simulator(speed=effort.speed, limit=effort.limit, seed=1, durations={MODEL: DURATIONS})
        )

    def deploy(self, workers: int) -> Deployment:
        """Starts the application."""
        return self._stack.enter_context(
            deployment(
                self._origin, self._ledger, self._effort.speed, workers=workers, log=self._log
            )
        )

    def enter(self, web: Deployment) -> None:
        """All jobs, through whichever workers answer."""
        urls = [
            f"{web.origin}/jobs/{first}/{min(ORDER, self._effort.jobs - first)}"
            for first in range(0, self._effort.jobs, ORDER)
        ]
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(lambda url: call("POST", url), urls))

    def disturb(self, old: Deployment) -> Deployment:
        """Kills and a deploy, each a while after the other; the deployment that is left."""
        pause = self._effort.polls * (sum(POLL) / 2) / self._effort.speed
        for _ in range(self._effort.kills):
            time.sleep(pause)  # noqa: TID251 - a thread of the script's own
            self._found.takeovers.append(kill_runner(self._ledger))
        new = self.deploy(WORKERS)
        time.sleep(pause)  # noqa: TID251 - a thread of the script's own
        readings(new, WORKERS, 0)  # all of them are there
        leaving = old.workers
        old.stop()
        self._found.takeovers.append(wait_for_runner(self._ledger, other_than=leaving))
        return new

    def judge(self, web: Deployment, workers: int) -> None:
        """Waits for the end, and compares what the workers say with the server's books."""
        told = readings(web, workers, self._effort.jobs)
        books = call("GET", f"{self._origin}/simulator/books")
        found, jobs = self._found, self._effort.jobs
        found.slot_use = slot_use(books["accepted"], self._effort.limit)
        found.refused = sum(books["refused"].values()) / jobs
        paid = Counter(task["prompt"] for task in books["accepted"])
        found.paid_twice = sum(count - 1 for count in paid.values())
        for ends in told.values():
            keys = Counter(key for key, _ in ends)
            found.ended = len(keys)
            found.told_twice += sum(count - 1 for count in keys.values())
            found.told_short += jobs - len(keys)
            found.unclear = sum(status != "succeeded" for _, status in ends)


def run(effort: Effort, found: Found, directory: Path, *, calm: bool) -> Found:
    """One scene from its start to its end."""
    directory.mkdir()
    with ExitStack() as stack:
        scene = Scene(effort, found, directory, stack)
        workers = 1 if calm else WORKERS
        web = scene.deploy(workers)
        scene.enter(web)
        scene.judge(web if calm else scene.disturb(web), workers)
    return found


def main() -> int:
    """Measures both, prints a table, and says whether the goal is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--short", action="store_true", help="a quarter of a minute, for CI")
    form.add_argument("--full", action="store_true", help="the figures of the documents (default)")
    effort = SHORT if parser.parse_args().short else FULL
    killed = Found(f"{WORKERS} workers, runner killed {effort.kills} x, a deploy")
    calm = Found("1 worker, left alone")
    with TemporaryDirectory() as name, ThreadPoolExecutor(2) as pool:
        both = [
            pool.submit(run, effort, killed, Path(name, "killed"), calm=False),
            pool.submit(run, effort, calm, Path(name, "calm"), calm=True),
        ]
        for each in both:
            each.result()
    table(
        f"{effort.jobs} jobs of 20 to 60 s in {effort.limit} slots, {effort.speed:g} x life",
        COLUMNS,
        [killed.row, calm.row],
    )
    if effort is FULL:
        write_json(RESULTS, {"effort": vars(effort), "found": [vars(killed), vars(calm)]})
    missed = killed.slot_use < GOAL <= calm.slot_use and effort is FULL
    if missed:
        print(f"\nslot use {killed.slot_use:.3f} is below {GOAL}")
    return int(missed or not (killed.sound and calm.sound))


if __name__ == "__main__":
    sys.exit(main())
