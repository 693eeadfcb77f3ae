"""Members of one ledger come, go, freeze and die at random: the long form of the worker tests.

    python -m tests.workers [--minutes 5] [--seed 0]

Real uvicorn processes work with one ledger against the simulator, while jobs come in through
all of them. Every moment one is killed, stopped (SIGSTOP) and let go on, ended in order, or
the half of them is replaced as a deploy does; most often whoever runs the ledger. At the end
every reader must have been told of every job once, and the ledger must agree with the server's
books.
"""

# ruff: noqa: T201 - a command

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import httpx

from kinovi_async import OutcomeStatus, SQLiteLedger
from kinovi_async._ledger import JobRow, JobState
from tests.kill.processes import Server, server

from .processes import TIMEOUT, Web, runner_of, web

MEMBERS = 4
LIMIT = 6
SPEED = 20.0
POLL = "0.15,0.25"
LATENCY = 0.05
"""Seconds of each answer, so that submissions are on the wire when somebody dies."""
CANCELLED = 0.2
"""Share of jobs that somebody wants to cancel, through another process."""
ACTIONS = {"kill": 5, "freeze": 3, "freeze and kill": 1, "end": 3, "deploy": 1}
"""What happens, and how often."""


class Chaos:
    """The processes, and what was done to them."""

    def __init__(self, seed: int, directory: Path, api: Server, stack: ExitStack) -> None:
        self.ledger = directory / "jobs.sqlite3"
        self.log = directory / "log"
        self.entered: dict[str, bool] = {}
        """Keys of jobs that were entered, and whether they were cancelled."""
        self.counts: Counter[str] = Counter()
        self.takeovers: list[float] = []
        self._random = random.Random(seed)
        self._api = api
        self._stack = stack
        self._lock = threading.Lock()
        self.members: dict[int, Web] = {}
        self.over = threading.Event()

    def start(self) -> None:
        """One process more; there once it has answered."""
        more = {"LEDGER": str(self.ledger), "KINOVI_POLL_INTERVAL": POLL}
        made = self._stack.enter_context(
            web("tests.workers.app:app", self._api.base_url, more, log=self.log)
        )
        made.call("GET", "/told")
        with self._lock:
            self.members[made.process.pid] = made

    def any_member(self) -> Web:
        with self._lock:
            return self._random.choice(list(self.members.values()))

    def pick(self) -> Web:
        """Whom it hits: mostly the runner."""
        runner = self.members.get(runner_of(self.ledger) or 0)
        return runner if runner is not None and self._random.random() < 0.7 else self.any_member()

    # -- work --------------------------------------------------------------------------

    def work(self) -> None:
        """Enters jobs, each until some process has taken it, and cancels a few."""
        number = 0
        while not self.over.is_set():
            if sum(not cancelled for cancelled in self.entered.values()) < self.wanted:
                self._enter(f"job-{number}")
                number += 1
            self.over.wait(0.02)

    @property
    def wanted(self) -> int:
        """So many jobs that slots are never empty, and not so many that the end is far."""
        return self.ended + 20 * LIMIT

    ended = 0

    def _enter(self, key: str) -> None:
        unwanted = self._random.random() < CANCELLED
        priority = -1 if unwanted else 0
        self._insist("PUT", f"/jobs/{key}?priority={priority}")
        self.entered[key] = False
        if unwanted:
            self.entered[key] = bool(self._insist("DELETE", f"/jobs/{key}"))

    def _insist(self, method: str, path: str) -> object:
        while True:
            member = self.any_member()
            try:
                answer = httpx.request(
                    method, f"{member.origin}{path}", timeout=10, trust_env=False
                )
            except httpx.TransportError:
                continue  # killed or frozen: another one is asked
            if answer.is_success:
                return answer.json()
            self.counts[f"answer {answer.status_code}"] += 1

    def count(self) -> None:
        """How far it is, as the ledger has it."""

        async def read() -> int:
            ledger = SQLiteLedger(self.ledger)
            await ledger.open()
            try:
                found = await ledger.position()
            finally:
                await ledger.aclose()
            return found.ended

        self.ended = anyio.run(read)

    # -- trouble -----------------------------------------------------------------------

    def act(self) -> None:
        """Does one thing to somebody."""
        what = self._random.choices(list(ACTIONS), list(ACTIONS.values()))[0]
        self.counts[what] += 1
        if what == "deploy":
            old = self._random.sample(list(self.members.values()), MEMBERS // 2)
            for _ in old:
                self.start()
            self._remove(*old, number=signal.SIGTERM)
            return
        victim = self.pick()
        if what.startswith("freeze"):
            self._freeze(victim)
            if what == "freeze":
                victim.process.send_signal(signal.SIGCONT)
                return
        self.start()
        # A frozen process hears nothing else.
        self._remove(victim, number=signal.SIGTERM if what == "end" else signal.SIGKILL)

    def _freeze(self, victim: Web) -> None:
        ran = runner_of(self.ledger) == victim.process.pid
        victim.process.send_signal(signal.SIGSTOP)
        time.sleep(self._random.uniform(0.2, 3.0))  # noqa: TID251 - a thread's own
        if ran and runner_of(self.ledger) != victim.process.pid:
            self.counts["TAKEN FROM A FROZEN RUNNER"] += 1

    def _remove(self, *victims: Web, number: int) -> None:
        gone = {victim.process.pid for victim in victims}
        with self._lock:
            for pid in gone:
                del self.members[pid]
        begun = time.monotonic()
        ran = runner_of(self.ledger) in gone
        for pid in gone:
            os.kill(pid, number)
        while ran and runner_of(self.ledger) not in self.members:
            time.sleep(0.005)  # noqa: TID251 - a thread's own
            if time.monotonic() - begun > TIMEOUT:
                self.counts["NOBODY TOOK OVER"] += 1
                break
        if ran:
            self.takeovers.append(time.monotonic() - begun)
        for victim in victims:
            victim.process.wait(TIMEOUT)

    # -- the end -----------------------------------------------------------------------

    def rows(self) -> dict[str, JobRow]:
        """Of the ledger, once all have ended."""

        async def read() -> list[JobRow]:
            ledger = SQLiteLedger(self.ledger)
            await ledger.open()
            try:
                left = set(JobState) - {JobState.ENDED}
                while await ledger.rows(states=left, limit=1):  # noqa: ASYNC110 - other processes
                    await anyio.sleep(0.2)
                found: list[JobRow] = []
                while page := await ledger.rows(after=found[-1].number if found else 0):
                    found += page
                return found
            finally:
                await ledger.aclose()

        return {row.key: row for row in anyio.run(read)}

    def judge(self) -> list[str]:
        """What is wrong."""
        rows = self.rows()
        wrong = [f"lost: {key}" for key in self.entered if key not in rows]
        for pid, member in self.members.items():
            while len(told := member.call("GET", "/told")) < len(rows):
                time.sleep(0.1)  # noqa: TID251 - a thread's own
            wrong += [f"{pid} was told twice: {key}" for key, n in Counter(told).items() if n > 1]
            wrong += [f"{pid} was not told: {key}" for key in set(rows) - set(told)]
        tasks = {task["task_id"]: task["prompt"] for task in self._api.books()["accepted"]}
        paid = Counter(tasks.values())
        wrong += [f"paid {n} times: {key}" for key, n in paid.items() if n > 1]
        for key, row in rows.items():
            self.counts[str(row.status)] += 1
            if row.status is OutcomeStatus.SUCCEEDED and tasks.get(row.task_id or "") != key:
                wrong.append(f"succeeded with another task: {key}")
            if row.status is OutcomeStatus.CANCELLED and key in paid:
                wrong.append(f"cancelled and paid: {key}")
            if row.status not in {
                OutcomeStatus.SUCCEEDED, OutcomeStatus.CANCELLED, OutcomeStatus.AMBIGUOUS,
            }:  # fmt: skip
                wrong.append(f"{row.status}: {key}")
            if self.entered.get(key) and row.status is not OutcomeStatus.CANCELLED:
                wrong.append(f"told as cancelled, and {row.status}: {key}")
        return wrong


def main() -> int:
    """Runs it; 1 when anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.workers", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with (
        TemporaryDirectory(prefix="kinovi-workers-") as directory,
        ExitStack() as stack,
    ):
        api = stack.enter_context(server(speed=SPEED, limit=LIMIT, latency=LATENCY))
        chaos = Chaos(asked.seed, Path(directory), api, stack)
        for _ in range(MEMBERS):
            chaos.start()
        worker = threading.Thread(target=chaos.work, daemon=True)
        worker.start()
        until = time.monotonic() + 60 * asked.minutes
        while time.monotonic() < until:
            chaos.act()
            chaos.count()
        chaos.over.set()
        worker.join()
        wrong = chaos.judge()
    takeovers = sorted(chaos.takeovers)
    print(f"{len(chaos.entered)} jobs; {dict(chaos.counts)}")
    if takeovers:
        print(f"takeovers: p50 {takeovers[len(takeovers) // 2]:.2f} s, max {takeovers[-1]:.2f} s")
    wrong += [name for name in chaos.counts if name.isupper()]
    print(*(wrong or ["nothing lost, told twice, or paid twice"]), sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
