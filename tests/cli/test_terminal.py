"""The command on a terminal of its own: whatever ends it, the terminal needs no mending."""

# ruff: noqa: S603 - the processes are our own command

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.progress.shots import Screen

from .test_process import KINOVI, drain, environment, mixed_batch

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and terminals")


def read_until(descriptor: int, words: bytes) -> bytes:
    data = b""
    while words not in data:
        data += os.read(descriptor, 65536)
    return data


@pytest.mark.parametrize(
    ("words", "more"),
    [
        (b"to generate", {"NO_COLOR": "1"}),
        (b"5 in use", {"PYTHONIOENCODING": "ascii"}),
    ],
)
def test_an_interrupted_run_leaves_the_terminal_clean(
    tmp_path: Path, words: bytes, more: dict[str, str]
) -> None:
    """At the very start, and in the middle of it; without colours, and without Unicode."""
    import pty
    import termios

    file, out = mixed_batch(tmp_path / "b.jsonl", 60), tmp_path / "out"
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(ours)  # the same as the other side's
    process = subprocess.Popen(
        [*KINOVI, "run", str(file), "-o", str(out), "--simulate", "--max-in-flight", "5"],
        env=environment(TERM="xterm", COLUMNS="80", LINES="24", **more),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)  # else the end of the process would not end our reading
    shown = read_until(ours, words)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    after = termios.tcgetattr(ours)
    text = shown.decode("utf-8", "replace") + drain(ours)
    assert after == before
    screen = Screen(80)
    screen.take(text)
    assert screen.cursor_shown
    assert "in use" not in "\n".join(screen.lines)
    assert screen.lines[0] == "60 lines: 60 to generate"
    assert "interrupted: the same command goes on" in screen.lines
    if "NO_COLOR" in more:
        assert "\x1b[3" not in text
    else:
        assert text.isascii()
