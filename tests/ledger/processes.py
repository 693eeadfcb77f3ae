"""Starts `child.py` and never leaves one behind."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import kinovi_async

_CHILD = Path(__file__).with_name("child.py")
_ROOT = Path(kinovi_async.__file__).parent.parent


@contextlib.contextmanager
def child(command: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(  # noqa: S603 - our own file
        [sys.executable, str(_CHILD), command, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> list[str]:
    """The next line a child says, in two words."""
    assert process.stdout is not None
    return process.stdout.readline().strip().split(" ", 1)


def rest(process: subprocess.Popen[str]) -> list[tuple[str, str]]:
    """All whole lines a child said before it ended, in two words."""
    assert process.stdout is not None
    whole = [one for one in process.stdout.read().splitlines(keepends=True) if one.endswith("\n")]
    words = [one.strip().split(" ", 1) for one in whole]
    return [(first[0], first[-1]) for first in words]


def tell(process: subprocess.Popen[str], text: str = "go\n") -> None:
    assert process.stdin is not None
    process.stdin.write(text)
    process.stdin.flush()
