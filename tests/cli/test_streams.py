"""The command without its streams: closed, gone, or interrupted before it had begun."""

# ruff: noqa: S603, S607 - the processes are our own command

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .test_process import KINOVI, ROOT, environment, paid

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX descriptors")

LINE = json.dumps({"id": "a", "model": "nanobanana2", "inputs": {"prompt": "x"}}) + "\n"


def closed(redirections: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command, started by a shell that closes some of its streams."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirections}', "sh", *KINOVI, *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_run_without_its_streams_is_a_run(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_text(LINE)
    ran = closed("<&- >&- 2>&-", "run", "b.jsonl", "-o", "out", "--simulate", cwd=tmp_path)
    assert ran.returncode == 0
    assert paid(tmp_path / "out") == ["x"]
    assert (tmp_path / "out" / "ledger.sqlite3").read_bytes().startswith(b"SQLite format 3")


@pytest.mark.parametrize("redirections", [">&-", "2>&-"])
def test_one_closed_stream_is_no_traceback(tmp_path: Path, redirections: str) -> None:
    (tmp_path / "b.jsonl").write_text(LINE)
    ran = closed(redirections, "check", "b.jsonl", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_closed_standard_input_holds_no_requests(tmp_path: Path) -> None:
    ran = closed("<&-", "check", "-", cwd=tmp_path)
    assert ran.returncode == 2
    assert "standard input: no requests in this file" in ran.stderr


def test_a_reader_that_has_seen_enough_is_no_failure(tmp_path: Path) -> None:
    """`kinovi models | head -1`."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ran = subprocess.run(
            [*KINOVI, "models"],
            cwd=tmp_path,
            env=environment(),
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writing)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_ctrl_c_while_the_command_is_being_loaded_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt\n")
    ran = subprocess.run(
        KINOVI,
        env={**environment(), "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (130, "kinovi: interrupted\n")
