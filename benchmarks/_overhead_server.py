"""The other end for `overhead.py`: a bare HTTP/1.1 server in a process of its own.

It decides nothing and costs little: a GET answers a record that never ends, a POST accepts
one more task. It prints its port and ends when its standard input does, so that it cannot
outlive whoever started it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: "
_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


def record_of(task_id: str) -> dict[str, object]:
    """A record in the API's own form, of a task that runs."""
    return {
        "taskId": task_id,
        "model": "nanobanana2",
        "status": "generating",
        "creditsUsed": 15,
        "output": None,
        "error": None,
        "createTime": 1_795_251_146_122,
        "completeTime": None,
    }


def encoded(payload: object) -> bytes:
    """JSON as the API sends it."""
    return json.dumps(payload, separators=(",", ":")).encode()


class _Connection(asyncio.Protocol):
    """Answers whole requests as they arrive; pipelining costs nothing extra."""

    def __init__(self, tickets: Iterator[int]) -> None:
        self._tickets = tickets
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what TCP gives
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(_END)) >= 0:
            head = self._buffer[:end]
            size = end + len(_END) + _content_length(head)
            if len(self._buffer) < size:
                return
            self._buffer = self._buffer[size:]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        assert self._transport is not None  # noqa: S101 - set before data comes
        target = head.split(b" ", 2)[1].decode()
        if head.startswith(b"POST"):
            body = encoded({"taskId": f"task_{next(self._tickets)}"})
        else:
            body = encoded(record_of(target.rpartition("taskId=")[2]))
        self._transport.write(_HEAD + str(len(body)).encode() + _END + body)
        if b"connection: close" in head.lower():
            self._transport.close()


def _content_length(head: bytes) -> int:
    lower = head.lower()
    at = lower.find(_LENGTH)
    return int(lower[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0


@contextmanager
def serving() -> Iterator[str]:
    """A server in another process; gives its base URL."""
    with subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, str(Path(__file__))], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        assert server.stdin is not None  # noqa: S101 - PIPE
        assert server.stdout is not None  # noqa: S101 - PIPE
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/api/v1"
        finally:
            server.stdin.close()
            server.wait()


async def _serve() -> None:
    tickets = itertools.count()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(tickets), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.buffer.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(_serve())
