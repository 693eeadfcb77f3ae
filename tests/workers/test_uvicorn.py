"""Several uvicorn processes on one ledger: killed, replaced, and nothing paid twice.

`benchmarks/workers.py` measures how busy the slots are meanwhile.
"""

from __future__ import annotations

import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import anyio
import pytest

from kinovi_async import OutcomeStatus, SQLiteLedger
from kinovi_async._ledger import JobRow
from kinovi_async.simulator import Simulator
from kinovi_async.testing import serving

from .processes import TIMEOUT, Web, runner_of, web

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

LIMIT = 6
EACH = 8
"""Jobs that every process enters."""
CANCELLED = 3
"""Jobs of every process that its neighbour cancels."""
POLL = "0.085,0.14"
"""Faster than life by as much as the server is."""
SPEED = 36.0


def rows_of(path: Path) -> list[JobRow]:
    async def read() -> list[JobRow]:
        ledger = SQLiteLedger(path)
        await ledger.open()
        try:
            return await ledger.rows()
        finally:
            await ledger.aclose()

    return anyio.run(read)


class Deployment:
    """Processes of one application, old and new, that live at the same time."""

    def __init__(self, tmp_path: Path, base_url: str, stack: ExitStack) -> None:
        self.ledger = tmp_path / "jobs.sqlite3"
        self._log = tmp_path / "log"
        self._base_url = base_url
        self._stack = stack
        self.live: dict[str, Web] = {}

    def start(self, *names: str) -> None:
        for name in names:
            more = {"LEDGER": str(self.ledger), "KINOVI_POLL_INTERVAL": POLL}
            self.live[name] = self._stack.enter_context(
                web("tests.workers.app:app", self._base_url, more, log=self._log)
            )

    def enter(self, name: str) -> None:
        """Work for everybody, and some that waits behind it, to be cancelled next door."""
        for n in range(EACH):
            self.live[name].call("PUT", f"/jobs/{name}-{n}")
        for n in range(CANCELLED):
            self.live[name].call("PUT", f"/jobs/{name}-late-{n}?priority=-1")

    def cancel(self, name: str, neighbour: str) -> list[bool]:
        return [
            self.live[neighbour].call("DELETE", f"/jobs/{name}-late-{n}") for n in range(CANCELLED)
        ]

    def kill_runner(self) -> None:
        pid = self.wait_for_runner()
        (name,) = [name for name, each in self.live.items() if each.process.pid == pid]
        self.live.pop(name).kill()
        self.wait_for_runner()

    def replace(self, *names: str) -> None:
        """A graceful end; who has the lease gives it to whoever is there."""
        leaving = [self.live.pop(name) for name in names if name in self.live]
        for each in leaving:
            each.stop()
        self.wait_for_runner()
        for each in leaving:
            each.process.wait(TIMEOUT)

    def wait_for_runner(self) -> int:
        """One of those that live."""
        while (pid := runner_of(self.ledger)) not in {
            each.process.pid for each in self.live.values()
        }:
            next(iter(self.live.values())).call("GET", "/told")
        assert pid is not None
        return pid


def test_killed_runners_and_an_overlapping_deploy_lose_nothing_and_pay_nothing_twice(
    tmp_path: Path,
) -> None:
    old, new = ["a", "b", "c", "d"], ["e", "f"]
    simulator = Simulator(speed=SPEED, limit=0)
    with serving(simulator) as api, ExitStack() as stack:
        app = Deployment(tmp_path, api.base_url, stack)
        pool = stack.enter_context(ThreadPoolExecutor(len(old)))
        app.start(*old)
        list(pool.map(app.enter, old))
        cancelled = list(pool.map(app.cancel, old, [*old[1:], old[0]]))
        assert cancelled == [[True] * CANCELLED] * len(old)
        simulator.set_limit(LIMIT)  # until now there was no slot, so that all of them waited
        gone = len(old) * CANCELLED
        for count in (6, 14):
            next(iter(app.live.values())).call("GET", f"/ended/{gone + count}")
            app.kill_runner()
        app.start(*new)
        list(pool.map(app.enter, new))
        app.replace(*old)
        assert set(app.live) == set(new)
        total = gone + len(old) * EACH + len(new) * (EACH + CANCELLED)
        told = app.live["e"].call("GET", f"/ended/{total}")
        keys = [row.key for row in rows_of(app.ledger)]
        seen = {key: app.live["f"].call("GET", f"/jobs/{key}")["status"] for key in keys}
    paid = simulator.books.accepted_per_prompt()
    rows = {row.key: row for row in rows_of(app.ledger)}
    assert Counter(told) == Counter(keys)  # each ended, and was told once
    assert {key: str(row.status) for key, row in rows.items()} == seen
    assert set(paid.values()) == {1}
    unclear = [key for key, row in rows.items() if row.status is OutcomeStatus.AMBIGUOUS]
    # At most what the two that were killed had on the wire.
    assert len(unclear) <= 2 * LIMIT
    for key, row in rows.items():
        if row.status is OutcomeStatus.CANCELLED:
            assert key not in paid
            assert key.split("-")[:2] in [[name, "late"] for name in old]
        elif key not in unclear:
            assert row.status is OutcomeStatus.SUCCEEDED
            assert key in paid
