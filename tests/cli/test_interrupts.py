"""Signals while money is on the wire: nothing more is sent, nothing is lost."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from kinovi_async._cli._books import all_rows, open_book
from kinovi_async._ledger import JobRow, JobState

from .runs import batch
from .test_process import events_until, kinovi, start

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        yield listener


def account(server: socket.socket) -> dict[str, str]:
    base_url = f"http://127.0.0.1:{server.getsockname()[1]}/api/v1"
    return {"KINOVI_BASE_URL": base_url, "KINOVI_API_KEY": "sk-some-key"}


def request_on(connection: socket.socket) -> bytes:
    """A whole request: the headers, and the body that they announce."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length")
    )
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def read_rows(out: Path) -> dict[str, JobRow]:
    async def read() -> dict[str, JobRow]:
        async with open_book(out) as ledger:
            return await all_rows(ledger)

    return anyio.run(read)


def wait_for(process: subprocess.Popen[str], words: str) -> None:
    assert process.stderr is not None
    assert any(words in line for line in process.stderr)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_submission_on_the_wire_is_finished_and_no_other_begun(
    server: socket.socket, tmp_path: Path, signum: signal.Signals
) -> None:
    file, out = batch(tmp_path / "b.jsonl", 3), tmp_path / "out"
    process = start("run", file, "-o", out, "--max-in-flight", 1, "--json", **account(server))
    connection, _ = server.accept()
    with connection:
        request = request_on(connection)
        process.send_signal(signum)
        wait_for(process, "stopping; a submission on the wire is waited for")
        answer = b'{"taskId": "task_late"}'
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            + f"Content-Length: {len(answer)}\r\n\r\n".encode()
            + answer
        )
        stdout, stderr = process.communicate(timeout=20)
    assert process.returncode == 130, stderr
    assert "interrupted: the same command goes on" in stderr
    rows = read_rows(out)
    assert json.loads(request.partition(b"\r\n\r\n")[2])["inputs"]["prompt"] == "picture 1"
    assert rows["job-1"].state is JobState.ACCEPTED
    assert rows["job-1"].task_id == "task_late"
    others = [row for key, row in rows.items() if key != "job-1"]
    assert all(row.state is JobState.QUEUED and not row.attempts for row in others)
    facts = json.loads(stdout.splitlines()[-1])
    assert facts["jobs"] == {"unfinished": 3}
    assert facts["credits_reserved"] == 15


@pytest.mark.parametrize(
    "signals", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM)]
)
def test_a_second_signal_of_any_kind_leaves_at_once_and_the_ledger_knows(
    server: socket.socket, tmp_path: Path, signals: tuple[signal.Signals, signal.Signals]
) -> None:
    """The submission stays on the wire unanswered: the next run says that it may be paid."""
    file, out = batch(tmp_path / "b.jsonl", 1), tmp_path / "out"
    process = start("run", file, "-o", out, "--json", **account(server))
    list(events_until(process, "submitted"))
    connection, _ = server.accept()
    with connection:
        request_on(connection)
        process.send_signal(signals[0])
        wait_for(process, "stopping")
        process.send_signal(signals[1])
        process.communicate(timeout=5)
    assert process.returncode == 130
    assert read_rows(out)["job-1"].state is JobState.SENDING
    server.close()
    left = kinovi("run", file, "-o", out, **account_of_nobody())
    assert left.returncode == 3
    assert "ambiguous: job-1 (line 1): may have cost 15 credits ($0.075)" in left.stderr
    assert "kinovi jobs resolve" in left.stderr
    settled = kinovi("jobs", "resolve", out, "job-1", "--task-id", "task_found")
    assert settled.returncode == 0
    assert read_rows(out)["job-1"].task_id == "task_found"


def account_of_nobody() -> dict[str, str]:
    return {"KINOVI_BASE_URL": "http://127.0.0.1:9/api/v1", "KINOVI_API_KEY": "sk-some-key"}
