"""Posts random requests to a receiver of a real client: `python -m tests.webhooks.fuzz`.

No answer may be a server error, and the process may not grow: its resident memory is
compared with what it was after the first thousand.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import anyio

from kinovi_async import AsyncKinovi
from kinovi_async.simulator import Simulator
from kinovi_async.webhooks import WebhookReceiver

from .post import PUBLIC_URL, call

MAC_LENGTH = 22
MOST_GROWTH = 20.0
"""MB."""
_WORDS = [
    "taskId", "task_id", "status", "state", "data", "code", "message", "success", "fail",
    "generating", "output", "url", "error", "createTime", "task_cl1", "\ud800", "\u0000", "🦆",
    "../../etc/passwd", "x" * 300, "<script>", "__proto__", "%s%s%n", "1e400",
]  # fmt: skip


def _value(rng: Random, depth: int) -> object:
    kind = rng.randrange(10 if depth else 7)
    if kind == 0:
        return None
    if kind == 1:
        return rng.choice([True, False])
    if kind == 2:
        return rng.choice([0, -1, 10**18, 10 ** rng.randrange(400), rng.random(), 1e308])
    if kind in {3, 4, 5, 6}:
        return rng.choice(_WORDS)
    if kind == 7:
        return [_value(rng, depth - 1) for _ in range(rng.randrange(4))]
    return {rng.choice(_WORDS): _value(rng, depth - 1) for _ in range(rng.randrange(5))}


def _record(rng: Random) -> bytes:
    inner = {"taskId": rng.choice(_WORDS), "status": rng.choice(_WORDS), "x": _value(rng, 4)}
    payload = inner if rng.random() < 0.5 else {"code": 200, "message": "success", "data": inner}
    return json.dumps(payload).encode()


def _broken(rng: Random) -> bytes:
    body = bytearray(_record(rng))
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(body))
        if rng.random() < 0.5:
            body[at] = rng.randrange(256)
        else:
            del body[at : at + rng.randrange(1, 20)]
        body = body or bytearray(b"{")
    return bytes(body)


def _hostile(rng: Random) -> bytes:
    size = rng.choice([10, 1000, 100_000, 262_144, 262_145, 300_000])
    piece = rng.choice([b"[", b'{"a":', b"[]", b"\x00", b"9", b'"', b"\\", b'\\"', b"{},", b"\xff"])
    start = rng.choice([b"", b"", b'{"taskId":"t","x":[', b"[" * 40 + b'"'])
    return start + (piece * size)[:size]


def bodies(rng: Random, count: int) -> Iterator[bytes]:
    """Random bodies: records, broken ones, bytes, and what is made to hurt."""
    for _ in range(count):
        kind = rng.random()
        if kind < 0.35:
            yield json.dumps(_value(rng, 5)).encode()
        elif kind < 0.6:
            yield _record(rng)
        elif kind < 0.8:
            yield _broken(rng)
        elif kind < 0.97:
            yield rng.randbytes(rng.randrange(300))
        else:
            yield _hostile(rng)


def requests(
    rng: Random, count: int, good: str
) -> Iterator[tuple[str, str, list[tuple[bytes, bytes]], bytes]]:
    """Random requests: method, path, headers and body."""
    names = [b"content-length", b"content-encoding", b"content-type", b"host", b"transfer-encoding"]
    values = [b"", b"gzip", b"0", b"-1", b"99999999999", b"identity", b"\xff", b"1e3", b"chunked"]
    for body in bodies(rng, count):
        path = list(good)
        for _ in range(rng.randrange(4)):
            path[rng.randrange(len(path))] = rng.choice("/.%\n\0ABC1Ж_-")
        headers = [(rng.choice(names), rng.choice(values)) for _ in range(rng.randrange(4))]
        yield rng.choice(["POST"] * 5 + ["GET", "HEAD", "", "🦆"]), "".join(path), headers, body


def _megabytes() -> float:
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the system does not tell")


async def _post_all(count: int, seed: int, ledger: Path) -> tuple[Counter[int], float]:
    """Half of them to the address of a running task, half of them anywhere."""
    import httpx

    rng = Random(seed)
    simulator = Simulator(speed=0.001, limit=5)
    receiver = WebhookReceiver(public_url=PUBLIC_URL)
    statuses: Counter[int] = Counter()
    before = 0.0
    async with (
        httpx.AsyncClient(transport=httpx.ASGITransport(simulator.app)) as http,
        AsyncKinovi(
            api_key="fuzz",
            base_url="http://localhost/api/v1",
            http_client=http,
            ledger=ledger,
            webhooks=receiver,
        ) as client,
        anyio.create_task_group() as group,
    ):
        group.start_soon(client.generate, {"model": "nanobanana2", "inputs": {"prompt": "x"}})
        while not simulator.books.accepted:  # noqa: ASYNC110 - once
            await anyio.sleep(0.01)
        url = str(simulator.books.accepted[0].body["callBackUrl"])
        good = "/" + url.split("/", 3)[3]
        for number, (method, path, headers, body) in enumerate(requests(rng, count, good)):
            if number % 2:
                answer = await call(receiver, good, body)
            else:
                answer = await call(receiver, path, body, method=method, headers=headers)
            statuses[answer.status] += 1
            if number == 1000:
                before = _megabytes()
        group.cancel_scope.cancel()
    return statuses, _megabytes() - before


def main() -> int:
    """Posts them all, and tells by the exit code whether the bounds hold."""
    parser = argparse.ArgumentParser(description="Random requests to a webhook receiver.")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.perf_counter()
    with TemporaryDirectory() as directory:
        statuses, grown = anyio.run(
            _post_all, options.count, options.seed, Path(directory) / "ledger.sqlite3"
        )
    seconds = time.perf_counter() - began
    sys.stdout.write(f"{options.count} requests in {seconds:.0f} s: {dict(statuses)}\n")
    sys.stdout.write(f"resident memory grew by {grown:.1f} MB\n")
    ill = [status for status in statuses if status >= 500]
    return 0 if not ill and grown < MOST_GROWTH else 1


if __name__ == "__main__":
    sys.exit(main())
