"""Starts uvicorn with its own supervisor, kills who runs the ledger, and reads the books."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.request import ProxyHandler, Request, build_opener

BENCHMARKS: Final = Path(__file__).parent
POLL: Final = (3.0, 5.0)
"""Seconds of life between two polls of a task, the client's default."""
HANGS: Final = 60.0
"""Seconds after which a process is taken for hanging."""
LONGEST: Final = 900.0
"""Seconds after which a run is."""
_OPENER: Final = build_opener(ProxyHandler({}))


def call(method: str, url: str) -> Any:
    """The JSON of an answer that is well; every call is a connection of its own."""
    with _OPENER.open(Request(url, method=method), timeout=HANGS) as answer:  # noqa: S310 - http
        return json.load(answer)


@contextmanager
def simulator(**settings: object) -> Iterator[str]:
    """The server in a process of its own; its origin."""
    command = [sys.executable, "-m", "_peers.server", json.dumps(settings)]
    with subprocess.Popen(  # noqa: S603 - our own file
        command, cwd=BENCHMARKS, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None  # noqa: S101 - a pipe
            yield process.stdout.readline().strip().removesuffix("/api/v1")
        finally:
            process.terminate()


class Deployment:
    """One `uvicorn --workers N`, whose supervisor replaces what dies."""

    def __init__(self, process: subprocess.Popen[bytes], origin: str) -> None:
        self.process = process
        self.origin = origin

    @property
    def workers(self) -> set[int]:
        """The process ids of its workers, as of now; without a supervisor it is its only one."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        found = {int(pid) for pid in children.read_text().split()}
        return {pid for pid in found if _is_worker(pid)} or {self.process.pid}

    def stop(self) -> None:
        """SIGTERM, as any service manager sends it."""
        self.process.send_signal(signal.SIGTERM)


def _is_worker(pid: int) -> bool:
    # The supervisor's other child is multiprocessing's resource tracker.
    with contextlib.suppress(OSError):
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


@contextmanager
def deployment(
    origin: str, ledger: Path, speed: float, *, workers: int, log: Path
) -> Iterator[Deployment]:
    """The application on a port of its own; it may be spoken to at once."""
    with socket.socket() as sock, log.open("ab") as stream:
        sock.bind(("127.0.0.1", 0))
        sock.listen(128)
        more = {
            "LEDGER": str(ledger),
            "KINOVI_API_KEY": "a-key-of-the-benchmark",
            "KINOVI_BASE_URL": f"{origin}/api/v1",
            "KINOVI_POLL_INTERVAL": ",".join(str(seconds / speed) for seconds in POLL),
            "KINOVI_LOG": "info",
        }
        arguments = [
            "_workers_app:app", "--fd", str(sock.fileno()), "--workers", str(workers),
            "--timeout-graceful-shutdown", "2",
        ]  # fmt: skip
        process = subprocess.Popen(  # noqa: S603 - our own application
            [sys.executable, "-m", "uvicorn", *arguments],
            cwd=BENCHMARKS,
            env={**os.environ, **more},
            pass_fds=[sock.fileno()],
            stdout=stream,
            stderr=stream,
        )
        found = Deployment(process, f"http://127.0.0.1:{sock.getsockname()[1]}")
    try:
        yield found
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Also when it hangs: nothing may outlive the benchmark."""
    process.terminate()
    try:
        process.wait(HANGS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def runner_of(ledger: Path) -> int | None:
    """The process id of whoever runs the ledger, as the lock file says."""
    try:
        return int(json.loads(Path(f"{ledger}.lock").read_text())["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def wait_for_runner(ledger: Path, *, other_than: set[int]) -> float:
    """Seconds until somebody else runs the ledger."""
    begun = time.monotonic()
    while (pid := runner_of(ledger)) is None or pid in other_than:
        if time.monotonic() - begun > HANGS:
            msg = "nobody runs the ledger"
            raise TimeoutError(msg)
        time.sleep(0.005)  # noqa: TID251 - a thread of the script's own
    return time.monotonic() - begun


def kill_runner(ledger: Path) -> float:
    """SIGKILL; seconds until another process runs the ledger."""
    pid = runner_of(ledger)
    if pid is None:
        msg = "nobody runs the ledger"
        raise ProcessLookupError(msg)
    os.kill(pid, signal.SIGKILL)
    return wait_for_runner(ledger, other_than={pid})


def readings(deployment: Deployment, workers: int, total: int) -> Mapping[int, list[list[str]]]:
    """What every worker was told, once each of them was told everything."""
    found: dict[int, list[list[str]]] = {}
    begun = time.monotonic()
    while len(found) < workers:
        if time.monotonic() - begun > LONGEST:
            msg = f"{len(found)} of {workers} workers were told of {total} ends"
            raise TimeoutError(msg)
        answer = call("GET", f"{deployment.origin}/read")
        if len(answer["told"]) >= total:
            found[answer["pid"]] = answer["told"]
        else:
            time.sleep(0.2)  # noqa: TID251 - a thread of the script's own
    return found


def slot_use(tasks: Sequence[Mapping[str, float]], limit: int) -> float:
    """Busy slot-seconds over limit x time, from the first acceptance to the last.

    As long as jobs are queued, in other words: all are entered within a moment, and the last
    acceptance empties the queue.
    """
    begin, end = tasks[0]["accepted_at"], tasks[-1]["accepted_at"]
    busy = sum(min(task["ends_at"], end) - max(task["accepted_at"], begin) for task in tasks)
    return busy / (limit * (end - begin))
