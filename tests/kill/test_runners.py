"""Several `kinovi run` on one output directory: one works, the others are told who."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from .processes import TIMEOUT, Server, run, server, start

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

RUNNERS = 10


def command(directory: Path, jobs: int = 3) -> tuple[str, ...]:
    file = directory / "batch.jsonl"
    lines = [
        {"id": f"job-{n}", "model": "nanobanana2", "inputs": {"prompt": f"prompt {n}"}}
        for n in range(jobs)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    out = directory / "out"
    return ("run", str(file), "-o", str(out), "--poll-interval", "0.02,0.03")


@contextmanager
def running(
    tmp_path: Path, on: Server, action: str, point: str, passage: int, *arguments: str
) -> Iterator[subprocess.Popen[str]]:
    process = start(
        action, point, passage, tmp_path / "trace-first", *arguments, base_url=on.base_url
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def stopped(process: subprocess.Popen[str]) -> bool:
    """Whether the process stands still; waits until it does, or ends."""
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    return os.WIFSTOPPED(status)


@pytest.mark.parametrize(
    ("point", "passage"),
    [
        ("book: lease held", 1),
        ("submission: before the POST", 2),
        ("submission: answered, not recorded", 2),
    ],
)
def test_a_paused_run_keeps_its_directory_and_goes_on_when_woken(
    tmp_path: Path, point: str, passage: int
) -> None:
    """SIGSTOP wherever it hurts: nobody else runs meanwhile, and no job is sent twice."""
    arguments = command(tmp_path)
    with (
        server(speed=400.0, limit=2) as on,
        running(tmp_path, on, "stop", point, passage, *arguments) as first,
    ):
        assert stopped(first)
        second = run("none", "*", 0, tmp_path / "trace", *arguments, base_url=on.base_url)
        assert second.code == 2
        assert f"pid {first.pid} on " in second.output
        assert "submission: before the intent" not in second.trace
        os.kill(first.pid, signal.SIGCONT)
        first.communicate(timeout=TIMEOUT)
        assert first.returncode == 0
        assert Counter(task["prompt"] for task in on.books()["accepted"]) == Counter(
            f"prompt {n}" for n in range(3)
        )


def test_of_ten_runs_that_start_at_once_exactly_one_works(tmp_path: Path) -> None:
    """All of them stand before the lock when they are told to go."""
    arguments = command(tmp_path)
    with server(speed=1.0, limit=3) as on, ExitStack() as stack:
        runners = [
            start(
                "wait", "book: ledger open", 1, tmp_path / f"trace-{n}", *arguments,
                base_url=on.base_url,
            )
            for n in range(RUNNERS)
        ]  # fmt: skip
        for runner in runners:
            stack.enter_context(runner)
            stack.callback(runner.kill)
        for runner in runners:
            assert runner.stdout is not None
            assert runner.stdout.readline() == "waiting\n"
        for runner in runners:
            assert runner.stdin is not None
            runner.stdin.write("go\n")
            runner.stdin.flush()
        # Tasks take seconds here, so whoever works is still at it when the others have left.
        refused = ended_but_one(runners)
        (worker,) = [runner for runner in runners if runner not in refused]
        for runner in refused:
            _, told = runner.communicate(timeout=TIMEOUT)
            assert runner.returncode == 2
            assert f"pid {worker.pid} on " in told or "is in use by another process" in told
        worker.send_signal(signal.SIGTERM)
        worker.communicate(timeout=TIMEOUT)
        assert worker.returncode == 130
        per_prompt = on.books()["accepted_per_prompt"]
        assert set(per_prompt.values()) <= {1}


def ended_but_one(runners: list[subprocess.Popen[str]]) -> list[subprocess.Popen[str]]:
    """Those that have ended, once all but one have."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        ended = [runner for runner in runners if runner.poll() is not None]
        if len(ended) >= len(runners) - 1:
            return ended
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
    raise AssertionError("more than one run is working")
