"""Real processes on one ledger against a real server: killed, stopped, and nothing paid twice."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import PIPE

import anyio
import anyio.abc
import pytest
from anyio.streams.text import TextReceiveStream

import kinovi_async
from kinovi_async import SQLiteLedger
from kinovi_async.simulator import RunningSimulator, Simulator, serve

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

_MEMBER = Path(__file__).with_name("member.py")
_ROOT = Path(kinovi_async.__file__).parent.parent


@pytest.fixture
def anyio_backend() -> str:
    """The server needs it; the processes under test are on it too."""
    return "asyncio"


class Crew:
    """The processes, and what they have said so far."""

    def __init__(self, path: Path, base_url: str, group: anyio.abc.TaskGroup) -> None:
        self.path = path
        self._base_url = base_url
        self._group = group
        self.processes: dict[str, anyio.abc.Process] = {}
        self.said: list[list[str]] = []
        self._heard = anyio.Event()

    async def join(self, name: str) -> None:
        """Starts a process, and waits until it works with the ledger."""
        process = await anyio.open_process(
            [sys.executable, str(_MEMBER), str(self.path), self._base_url, name],
            stdin=PIPE,
            stdout=PIPE,
            stderr=None,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
        )
        self.processes[name] = process
        self._group.start_soon(self._listen, process)
        await self.hears(1, "joined", "runs", key=name)

    async def _listen(self, process: anyio.abc.Process) -> None:
        assert process.stdout is not None
        rest = ""
        async for text in TextReceiveStream(process.stdout):
            *lines, rest = (rest + text).split("\n")
            self.said.extend(line.split() for line in lines)
            self._heard.set()
            self._heard = anyio.Event()

    async def hears(self, count: int, *words: str, key: str | None = None) -> list[list[str]]:
        """Waits until so many lines began with one of these words, and that key if given."""
        with anyio.fail_after(60):
            while True:
                found = [line for line in self.said if line[0] in words and key in {None, line[1]}]
                if len(found) >= count:
                    return found
                await self._heard.wait()

    async def tell(self, name: str, *words: object) -> None:
        """Gives a process an order."""
        stdin = self.processes[name].stdin
        assert stdin is not None
        await stdin.send(f"{' '.join(map(str, words))}\n".encode())

    @property
    def runner(self) -> str:
        """The name of the process that holds the lease."""
        pid = json.loads(Path(f"{self.path}.lock").read_text())["pid"]
        return next(name for name, process in self.processes.items() if process.pid == pid)

    async def kill_runner(self) -> None:
        """SIGKILL."""
        process = self.processes.pop(self.runner)
        process.kill()
        await process.wait()


@asynccontextmanager
async def crew_of(path: Path, simulator: Simulator) -> AsyncIterator[tuple[Crew, RunningSimulator]]:
    async with serve(simulator) as running, anyio.create_task_group() as group:
        crew = Crew(path, running.base_url, group)
        try:
            yield crew, running
        finally:
            for process in crew.processes.values():
                process.kill()
                with anyio.CancelScope(shield=True):
                    await process.wait()
        group.cancel_scope.cancel()


async def test_four_processes_lose_two_runners_and_nothing_is_paid_twice(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite3"
    names = ["a", "b", "c", "d"]
    async with crew_of(path, Simulator(speed=40, limit=4, seed=1)) as (crew, running):
        for name in names:
            await crew.join(name)
        assert [line[0] for line in crew.said] == ["runs", "joined", "joined", "joined"]
        for name in names:
            await crew.tell(name, "submit", 10)
        await crew.hears(40, "entered")
        for ended in (5, 15):
            await crew.hears(ended, "ended")
            await crew.kill_runner()
        survivor = next(iter(crew.processes))
        keys = [f"{name}-{n}" for name in names for n in range(10)]
        await crew.tell(survivor, "await", *keys)
        found = await crew.hears(40, "found")
        for name in crew.processes:
            for n in range(10):
                await crew.hears(1, "ended", key=f"{name}-{n}")
        ledger = SQLiteLedger(path)
        await ledger.open()
        rows = {row.key: row for row in await ledger.rows()}
        await ledger.aclose()
        paid = running.simulator.books.accepted_per_prompt()
    assert len(rows) == len({key for _, key, _ in found}) == 40
    assert set(paid.values()) == {1}
    for _, key, status in found:
        assert rows[key].status == status
        assert status in {"succeeded", "ambiguous"}
        assert (key in paid) or status == "ambiguous"
    unclear = [key for key, row in rows.items() if row.status == "ambiguous"]
    # At most what the account lets one runner have on the wire, for each of the two.
    assert len(unclear) <= 2 * 4


async def test_a_stopped_runner_keeps_the_lease_and_goes_on_when_it_wakes(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite3"
    async with crew_of(path, Simulator(speed=40, limit=1, seed=1)) as (crew, running):
        await crew.join("a")
        await crew.tell("a", "film")
        await crew.join("b")
        await crew.tell("b", "submit", 2)
        await crew.hears(3, "entered")
        runner = crew.processes[crew.runner]
        assert crew.runner == "a"
        runner.send_signal(signal.SIGSTOP)
        try:
            posts = running.simulator.books.submissions
            await crew.tell("b", "late")
            (late,) = await crew.hears(1, "ended")
            assert late == ["ended", "b-late", "cancelled"]
            assert crew.runner == "a"
            assert running.simulator.books.submissions <= posts + 1  # one was on its way
        finally:
            runner.send_signal(signal.SIGCONT)
        await crew.tell("b", "await", "a-film", "b-0", "b-1")
        found = await crew.hears(3, "found")
        paid = running.simulator.books.accepted_per_prompt()
    assert [status for _, _, status in found] == ["succeeded"] * 3
    assert set(paid.values()) == {1}
    assert len(paid) == 3
