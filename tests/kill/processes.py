"""Starts the processes of the kill tests, and never leaves one behind."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

import kinovi_async
from tests.canary import CANARY

HERE = Path(__file__).parent
PACKAGE_ROOT = Path(kinovi_async.__file__).parent.parent
TIMEOUT = 120.0
"""Seconds after which a process of these tests is taken for hanging."""


def environment(base_url: str | None = None, *, key: str = CANARY) -> dict[str, str]:
    """The environment of a child: this account, no settings of the machine."""
    # Coverage would double the time of each process; in process everything is covered too.
    dropped = ("KINOVI_", "COVERAGE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    more = {"PYTHONPATH": str(PACKAGE_ROOT), "PYTHONWARNINGS": "error", "KINOVI_LOG": "debug"}
    if base_url is not None:
        more |= {"KINOVI_BASE_URL": base_url, "KINOVI_API_KEY": key}
    return {**kept, **more}


@dataclass(frozen=True)
class Server:
    """A simulator in another process."""

    origin: str

    @property
    def base_url(self) -> str:
        return f"{self.origin}/api/v1"

    def books(self) -> dict[str, Any]:
        """What really happened."""
        found: dict[str, Any] = self._call("GET", "/simulator/books").json()
        return found

    def reset(self) -> None:
        """Forgets everything."""
        self._call("POST", "/simulator/reset")

    def file(self, url: str) -> bytes:
        """A result file, as the server has it."""
        with httpx.Client(trust_env=False) as client:
            return client.get(url).raise_for_status().content

    def _call(self, method: str, path: str) -> httpx.Response:
        with httpx.Client(trust_env=False, timeout=30) as client:
            return client.request(method, f"{self.origin}{path}").raise_for_status()


@contextlib.contextmanager
def server(**options: Any) -> Iterator[Server]:
    """A simulator with these options; see `server.py`."""
    process = subprocess.Popen(  # noqa: S603 - our own file
        [sys.executable, str(HERE / "server.py"), json.dumps(options)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    with process:
        try:
            assert process.stdout is not None
            yield Server(process.stdout.readline().strip())
        finally:
            process.kill()


def start(
    action: str, point: str, passage: int, trace: Path, *arguments: object, base_url: str
) -> subprocess.Popen[str]:
    """Starts the command with a moment to act at; see `child.py`."""
    child = [sys.executable, str(HERE / "child.py"), action, point, str(passage), str(trace)]
    return subprocess.Popen(  # noqa: S603 - our own file
        [*child, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(base_url),
    )


@dataclass(frozen=True)
class Ran:
    """A process that has ended."""

    code: int
    output: str
    """Standard output and error, at DEBUG level."""
    trace: tuple[str, ...]
    """The points it passed."""


def run(
    action: str, point: str, passage: int, trace: Path, *arguments: object, base_url: str
) -> Ran:
    """Runs the command to its end, whichever that is."""
    trace.unlink(missing_ok=True)
    process = start(action, point, passage, trace, *arguments, base_url=base_url)
    with process:
        try:
            stdout, stderr = process.communicate(timeout=TIMEOUT)
        finally:
            process.kill()
    passed = trace.read_text().splitlines() if trace.exists() else []
    return Ran(process.returncode, stdout + stderr, tuple(passed))
