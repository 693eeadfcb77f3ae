"""`kinovi worker`: real processes on one ledger, stopped, killed and refused."""

# ruff: noqa: S603 - the processes are our own command

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest

from kinovi_async import (
    AsyncKinovi,
    InsufficientCreditsError,
    JobScheduler,
    NanoBanana2,
    OutcomeStatus,
    SQLiteLedger,
    Statistics,
    TextToVideo,
)
from kinovi_async._cli._worker import Narrator, Standing, standing_of
from kinovi_async._ledger import JobRow, JobState, NewJob
from kinovi_async.simulator import Simulator

from .runs import KEY, Kinovi, Serve

ROOT = Path(__file__).parents[2]
KINOVI = [sys.executable, "-c", "from kinovi_async._cli import main; main()"]
POLL = "0.06,0.1"

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def enter(path: Path, count: int, first: int = 0, before: TextToVideo | None = None) -> None:
    """Enters jobs as another process would that is gone already."""

    async def add() -> None:
        ledger = SQLiteLedger(path)
        await ledger.open()
        numbers = range(first, first + count)
        bodies = {f"job-{n}": NanoBanana2(prompt=f"picture {n}").to_stored() for n in numbers}
        if before is not None:
            await ledger.add([NewJob(key="before", body=before.to_stored(), at=0.0)])
        await ledger.add([NewJob(key=key, body=body, at=0.0) for key, body in bodies.items()])
        await ledger.aclose()

    anyio.run(add)


def rows_of(path: Path) -> list[JobRow]:
    async def read() -> list[JobRow]:
        ledger = SQLiteLedger(path)
        await ledger.open()
        rows = await ledger.rows()
        await ledger.aclose()
        return rows

    return anyio.run(read)


class Process:
    """A worker that tells its events."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []

    def until(self, name: str, times: int = 1, **facts: object) -> None:
        """Reads events until so many of this name and these facts have come."""
        assert self.process.stdout is not None
        while self.count(name, **facts) < times:
            line = self.process.stdout.readline()
            assert line, f"ended without {times} x {name} {facts}: {self.events}"
            self.events.append(json.loads(line))

    def count(self, name: str, **facts: object) -> int:
        return sum(
            event["event"] == name and facts.items() <= event.items() for event in self.events
        )

    def end(self) -> tuple[int, str]:
        """Waits for the end; the exit code, and what it said to people."""
        stdout, stderr = self.process.communicate(timeout=30)
        self.events += [json.loads(line) for line in stdout.splitlines()]
        assert KEY not in stdout + stderr
        assert "Traceback" not in stderr
        return self.process.returncode, stderr


@contextmanager
def worker(ledger: Path, *options: object, **environment: str) -> Iterator[Process]:
    path = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    with subprocess.Popen(
        [*KINOVI, "worker", str(ledger), "--json", "--poll-interval", POLL, *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "error", **environment},
    ) as process:
        try:
            yield Process(process)
        finally:
            process.kill()


@posix
def test_a_worker_runs_what_it_finds_and_what_comes_until_it_is_told_to_stop(
    tmp_path: Path, start: Serve
) -> None:
    simulator = Simulator(speed=100, limit=3)
    start(simulator)
    ledger = tmp_path / "jobs.sqlite3"
    enter(ledger, 4)
    with worker(ledger) as running:
        running.until("ended", 4)
        enter(ledger, 3, first=4)
        running.until("ended", 7, status="succeeded")
        running.until("progress", waiting=0, running=0, done=7)
        running.process.send_signal(signal.SIGTERM)
        code, told = running.end()
    assert code == 130
    assert f"runs {ledger}" in told
    assert "7 jobs done here" in told
    finished = running.events[-1]
    assert finished["event"] == "finished"
    assert finished["jobs"] == {"succeeded": 7}
    assert finished["credits"] == 7 * 15
    assert {row.status for row in rows_of(ledger)} == {OutcomeStatus.SUCCEEDED}
    assert set(simulator.books.accepted_per_prompt().values()) == {1}


@posix
def test_of_two_workers_one_runs_and_the_other_takes_over_when_it_is_killed(
    tmp_path: Path, start: Serve
) -> None:
    simulator = Simulator(speed=30, limit=2)
    start(simulator)
    ledger = tmp_path / "jobs.sqlite3"
    enter(ledger, 8)
    with worker(ledger) as first:
        first.until("worker", state="running")
        with worker(ledger) as second:
            second.until("worker", state="standing_by")
            first.until("ended", 2)
            first.process.kill()
            second.until("worker", state="running")
            # On a slow machine the first one may have ended all of them already.
            while any(row.state is not JobState.ENDED for row in rows_of(ledger)):
                assert second.process.poll() is None
            second.process.send_signal(signal.SIGINT)
            code, told = second.end()
    assert code == 130
    assert "standing by" in told
    rows = rows_of(ledger)
    assert {row.state for row in rows} == {JobState.ENDED}
    statuses = Counter(row.status for row in rows)
    assert statuses[OutcomeStatus.SUCCEEDED] >= 8 - 2  # at most what was on the wire is unclear
    assert set(simulator.books.accepted_per_prompt().values()) == {1}


@posix
@pytest.mark.parametrize("left", [0, 3])
def test_an_empty_account_ends_a_worker_when_its_tasks_have_ended(
    tmp_path: Path, start: Serve, left: int
) -> None:
    simulator = Simulator(speed=100, limit=5, credits=15 * left)
    start(simulator)
    ledger = tmp_path / "jobs.sqlite3"
    enter(ledger, 5)
    with worker(ledger) as running:
        code, told = running.end()
    assert code == 4
    assert sum(line.startswith("paused: ") for line in told.splitlines()) == 1
    states = Counter(row.state for row in rows_of(ledger))
    assert states == Counter({JobState.ENDED: left, JobState.QUEUED: 5 - left})
    assert running.events[-1]["stopped"] is not None
    simulator.set_credits(1000)
    with worker(ledger) as again:
        again.until("ended", 5 - left, status="succeeded")
    assert set(simulator.books.accepted_per_prompt().values()) == {1}


@posix
def test_a_paused_worker_goes_on_when_another_process_resumes(
    tmp_path: Path, start: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a web server's administrator does, while a film still keeps the worker waiting."""
    film = TextToVideo(prompt="film")
    simulator = Simulator(
        speed=100, limit=5, credits=film.cost() or 0, durations={"seedance-20": (1e6, 1e6)}
    )
    running = start(simulator)
    ledger = tmp_path / "jobs.sqlite3"
    enter(ledger, 2, before=film)
    monkeypatch.setenv("KINOVI_BASE_URL", running.base_url)
    monkeypatch.setenv("KINOVI_API_KEY", KEY)

    async def resume() -> None:
        async with AsyncKinovi(ledger=ledger) as client, JobScheduler(client) as scheduler:
            while scheduler.statistics().paused is None:  # noqa: ASYNC110 - of another process
                await anyio.sleep(0.01)
            assert not scheduler.statistics().runner
            await scheduler.resume()
            await scheduler.drain(deadline=0)

    with worker(ledger, KINOVI_API_KEY=KEY) as paused:
        paused.until("stopped")
        simulator.set_credits(1000)
        anyio.run(resume)
        paused.until("ended", 2, status="succeeded")
        paused.until("progress", state="running")
        paused.process.send_signal(signal.SIGTERM)
        code, told = paused.end()
    assert code == 130
    assert "goes on" in told
    assert paused.events[-1]["stopped"] is None


@posix
def test_a_refused_key_and_a_budget_end_a_worker_and_nothing_is_lost(
    tmp_path: Path, start: Serve
) -> None:
    start(Simulator(speed=100, keys=[KEY]))
    ledger = tmp_path / "jobs.sqlite3"
    enter(ledger, 3)
    with worker(ledger, KINOVI_API_KEY="sk-another") as running:
        assert running.end()[0] == 4
    with worker(ledger, "--budget", 30) as running:
        code, told = running.end()
    assert code == 4
    assert "budget" in told
    states = Counter(row.state for row in rows_of(ledger))
    assert states == Counter({JobState.ENDED: 2, JobState.QUEUED: 1})


@posix
def test_the_first_signal_waits_for_the_submission_on_the_wire_and_the_second_does_not(
    tmp_path: Path, start: Serve
) -> None:
    ledger = tmp_path / "jobs.sqlite3"
    enter(ledger, 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/api/v1"
        with worker(ledger, KINOVI_BASE_URL=address, KINOVI_API_KEY=KEY) as running:
            running.until("submitted")
            connection, _ = silent.accept()
            with connection:
                connection.recv(65536)
                running.process.send_signal(signal.SIGTERM)
                assert running.process.stderr is not None
                assert any("stopping" in line for line in running.process.stderr)
                running.process.send_signal(signal.SIGTERM)
                running.process.wait(timeout=5)
    assert running.process.returncode == 130
    (row,) = rows_of(ledger)
    assert row.state is JobState.SENDING  # the next runner calls it ambiguous: nobody can know


def test_a_worker_that_cannot_begin_says_why(
    tmp_path: Path, kinovi: Kinovi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KINOVI_API_KEY", raising=False)
    ran = kinovi("worker", tmp_path / "jobs.sqlite3")
    assert ran.code == 2
    assert "KINOVI_API_KEY" in ran.err
    monkeypatch.setenv("KINOVI_API_KEY", KEY)
    ran = kinovi("worker", tmp_path)
    assert ran.code == 2
    assert "is a directory" in ran.err
    ran = kinovi("worker", tmp_path / "missing" / "jobs.sqlite3")
    assert ran.code == 2
    assert "no such directory" in ran.err
    (tmp_path / "text").write_text("hello")
    ran = kinovi("worker", tmp_path / "text")
    assert ran.code == 2
    assert "not a ledger" in ran.err
    ran = kinovi("worker", tmp_path / "jobs.sqlite3", "--budget", "much")
    assert ran.code == 2
    assert not (tmp_path / "jobs.sqlite3").exists()


def test_simulated_jobs_are_not_sent_to_the_real_api(
    tmp_path: Path, kinovi: Kinovi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KINOVI_API_KEY", KEY)
    (tmp_path / "batch.jsonl").write_text(
        json.dumps({"model": "nanobanana2", "inputs": {"prompt": "a"}})
    )
    out = tmp_path / "out"
    assert kinovi("run", tmp_path / "batch.jsonl", "-o", out, "--simulate").code == 0
    ran = kinovi("worker", out / "ledger.sqlite3")
    assert ran.code == 2
    assert "simulated" in ran.err


IDLE = Standing(
    waiting=0, submitting=0, running=0, limit=None, done=0, not_well=0,
    credits=Decimal(0), reserved=Decimal(0), state="running",
)  # fmt: skip


def test_a_line_is_told_when_work_begins_ends_or_pauses_and_else_seldom() -> None:
    now = [0.0]
    narrator = Narrator(lambda: now[0], interval=10.0)
    busy = replace(IDLE, waiting=3)
    assert not narrator.is_due(IDLE)
    assert narrator.is_due(busy)
    assert not narrator.is_due(replace(busy, waiting=2))
    now[0] = 10.0
    assert narrator.is_due(replace(busy, waiting=2))
    now[0] = 30.0
    assert not narrator.is_due(replace(busy, waiting=2))
    assert narrator.is_due(replace(busy, waiting=2, reason="no credits"))
    assert narrator.is_due(replace(IDLE, done=3))


def test_work_that_began_and_ended_between_two_looks_is_told() -> None:
    narrator = Narrator(lambda: 0.0)
    assert narrator.is_due(replace(IDLE, done=1))
    assert not narrator.is_due(replace(IDLE, done=1))
    assert narrator.is_due(replace(IDLE, done=2))


def test_who_stands_by_says_so_and_why_the_other_one_is_paused() -> None:
    reason = InsufficientCreditsError("no credits", status_code=402)
    now = Statistics(
        queued=0, submitting=0, in_flight=0, done=0, outcomes={}, limit=3, rejected=0, polls=0,
        credits=Decimal(0), reserved=Decimal(0), groups={}, paused=reason, slot_use=None,
        queue_age=None, runner=False,
    )  # fmt: skip
    standing = standing_of(now, Counter())
    assert standing.state == "standing_by"
    assert standing.line.endswith("paused: no credits")
    assert standing_of(now._replace(runner=True), Counter()).state == "paused"
    assert standing_of(now._replace(runner=True, paused=None), Counter()).state == "running"


def test_a_standing_is_told_in_one_line() -> None:
    assert IDLE.line == "0 waiting, 0 running, 0 done, 0 credits"
    full = replace(
        IDLE, waiting=3, running=5, limit=5, done=9, not_well=2,
        credits=Decimal(105), state="paused", reason="no credits",
    )  # fmt: skip
    assert full.line == (
        "3 waiting, 5 of 5 slots in use, 9 done, 2 of them not well, 105 credits; "
        "paused: no credits"
    )
