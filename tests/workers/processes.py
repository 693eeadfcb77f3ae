"""Starts uvicorn processes, and never leaves one behind."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.kill.processes import PACKAGE_ROOT, environment

ROOT = Path(__file__).parents[2]
TIMEOUT = 60.0
"""Seconds after which a process of these tests is taken for hanging."""


class Web:
    """One uvicorn process, which answers on a port of its own."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.origin = f"http://127.0.0.1:{port}"
        self.client = httpx.Client(base_url=self.origin, trust_env=False, timeout=TIMEOUT)

    def call(self, method: str, path: str) -> Any:
        """The JSON of an answer that is well."""
        return self.client.request(method, path).raise_for_status().json()

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait(TIMEOUT)

    def stop(self) -> None:
        """SIGTERM; whoever stops several waits for them afterwards."""
        self.process.send_signal(signal.SIGTERM)


def listener(port: int = 0) -> socket.socket:
    """A socket that listens before its server has started: whoever connects waits a moment."""
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind(("127.0.0.1", port))
    found.listen(128)
    return found


@contextmanager
def web(
    app: str, base_url: str, more: Mapping[str, str], *, log: Path, port: int = 0, workers: int = 1
) -> Iterator[Web]:
    """A server of an application, `module:name`; it may be spoken to at once."""
    with listener(port) as sock, log.open("ab") as stream:
        # A KINOVI_LOG would be read by the canary, and cost time.
        env = {**environment(base_url), "KINOVI_LOG": "info", **more}
        env["PYTHONPATH"] = f"{PACKAGE_ROOT}:{ROOT}"
        process = subprocess.Popen(  # noqa: S603 - our own application
            [
                sys.executable, "-m", "uvicorn", app, "--fd", str(sock.fileno()),
                "--workers", str(workers), "--timeout-graceful-shutdown", "2",
                *(["--app-dir", more["APP_DIR"]] if "APP_DIR" in more else []),
            ],
            env=env,
            pass_fds=[sock.fileno()],
            stdout=stream,
            stderr=stream,
        )  # fmt: skip
        found = Web(process, sock.getsockname()[1])
    try:
        yield found
    finally:
        found.client.close()
        process.kill()
        process.wait()


def runner_of(ledger: Path) -> int | None:
    """The process id of whoever holds the lease."""
    try:
        return int(json.loads(Path(f"{ledger}.lock").read_text())["pid"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
