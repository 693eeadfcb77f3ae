"""How a command ends: what it prints, and its exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from typing import IO, NoReturn

import typer


def show(lines: Iterable[str]) -> None:
    """Prints lines on standard output, as far as somebody reads them."""
    try:
        for line in lines:
            sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        discard(sys.stdout)


def end(code: int) -> NoReturn:
    """Leaves the command with an exit code."""
    raise typer.Exit(int(code))


def discard(stream: IO[str]) -> None:
    """Lets the interpreter's last flush of what is closed go nowhere."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
