"""`kinovi generate` and `kinovi task` when something is in their way."""

from __future__ import annotations

import shlex
import socket
from pathlib import Path

import pytest

from kinovi_async._cli._options import RunOptions
from kinovi_async._cli._single import fetching
from kinovi_async.simulator import Simulator

from .runs import SPEED, Kinovi, Serve, accepted

UNWRITABLE = Path("/proc/self")  # even for root


@pytest.mark.skipif(not UNWRITABLE.is_dir(), reason="no /proc")
def test_a_directory_that_takes_no_files_is_told_before_anything_is_paid(
    start: Serve, kinovi: Kinovi
) -> None:
    running = start(Simulator(speed=SPEED))
    ran = kinovi("generate", "nanobanana2", "-p", "x", "-o", UNWRITABLE)
    assert ran.code == 2
    assert f"cannot write into {UNWRITABLE}: " in ran.err
    assert accepted(running) == 0


def test_the_command_that_fetches_files_can_be_copied_as_it_is() -> None:
    options = RunOptions(file="", out=Path("my pictures"))
    assert shlex.split(fetching("task_1", options)) == [
        "kinovi",
        "task",
        "task_1",
        "-o",
        "my pictures",
    ]


def test_a_silent_address_is_named(kinovi: Kinovi, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unheard.getsockname()[1]}/api/v1"
        monkeypatch.setenv("KINOVI_BASE_URL", address)
        monkeypatch.setenv("KINOVI_API_KEY", "any")
        ran = kinovi("task", "task_x")
    assert ran.code == 1
    assert f"no answer from {address}: the variable KINOVI_BASE_URL" in ran.err
