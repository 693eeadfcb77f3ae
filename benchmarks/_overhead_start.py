"""What starting costs: imports, the first client, the second one.

Imports are timed by the CPU of fresh processes, taken in turns; the figure is the median.
The second client is made and used once, against a port where nobody listens, because a
client that was never used has not yet paid for its TLS context.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

# What the package stands on; goal 10 is a share of this.
FLOOR = "import httpx, pydantic, anyio, backoff"
OURS = {
    "httpx + pydantic + anyio + backoff": FLOOR,
    "the same, with pydantic's lazy BaseModel": f"{FLOOR}; pydantic.BaseModel",
    "kinovi_async": "import kinovi_async",
    "kinovi_async, AsyncKinovi": "from kinovi_async import AsyncKinovi",
    "kinovi_async, a client": (
        "from kinovi_async import AsyncKinovi; AsyncKinovi(api_key='benchmark-key')"
    ),
}
PEERS = {
    "fal-client": "import fal_client",
    "replicate": "import replicate",
    "runwayml": "import runwayml",
    "openai": "import openai",
}
_TIMED = "import time; t = time.process_time(); {}; print(time.process_time() - t)"


def import_ms(statement: str, python: str) -> float | None:
    """CPU milliseconds of a statement in a fresh interpreter, None when it fails."""
    done = subprocess.run(  # noqa: S603 - the statements above
        [python, "-c", _TIMED.format(statement)], capture_output=True, text=True, check=False
    )
    return float(done.stdout) * 1e3 if done.returncode == 0 else None


def imports(runs: int, peers_python: str | None) -> dict[str, float]:
    """Medians by name; a peer that cannot be imported is left out."""
    statements = [(name, statement, sys.executable) for name, statement in OURS.items()]
    if peers_python is not None:
        statements += [(name, statement, peers_python) for name, statement in PEERS.items()]
    samples: dict[str, list[float]] = {}
    for number in range(runs + 1):
        for name, statement, python in statements:
            spent = import_ms(statement, python)
            if spent is not None and number:  # the first round fills the disk cache
                samples.setdefault(name, []).append(spent)
    return {name: round(statistics.median(spent), 2) for name, spent in samples.items()}


async def second_client(runs: int) -> dict[str, float]:
    """Milliseconds for one more client, made and used once over TLS."""
    import httpx

    from kinovi_async import APIConnectionError, AsyncKinovi

    with socket.socket() as closed:  # bound and never listening: refused at once
        closed.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{closed.getsockname()[1]}"

        async def ours() -> None:
            async with AsyncKinovi(api_key="benchmark-key", base_url=url, max_retries=0) as client:
                try:
                    await client.get_task("task_1")
                except APIConnectionError:
                    return

        async def bare(context: ssl.SSLContext | bool = True) -> None:  # noqa: FBT001, FBT002
            async with httpx.AsyncClient(verify=context) as client:
                try:
                    await client.get(url)
                except httpx.ConnectError:
                    return

        async def made() -> None:
            async with AsyncKinovi(api_key="benchmark-key", base_url=url):
                pass

        shared = httpx.create_ssl_context()
        first = await _ms(ours)
        rounds = [
            [await _ms(ours), await _ms(bare), await _ms(lambda: bare(shared)), await _ms(made)]
            for _ in range(runs)
        ]
    names = ["used ms", "httpx used ms", "httpx with a shared context used ms", "made ms"]
    medians = [round(statistics.median(column), 3) for column in zip(*rounds, strict=True)]
    return {
        "first used ms": round(first, 2),
        **dict(zip(names, medians, strict=True)),
        "used: to httpx": round(statistics.median(row[0] / row[1] for row in rounds), 4),
    }


async def _ms(action: Callable[[], Awaitable[None]]) -> float:
    began = time.perf_counter()
    await action()
    return (time.perf_counter() - began) * 1e3


def main() -> None:
    """Prints the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peers-venv", type=Path, default=None)
    options = parser.parse_args()
    python = None
    if options.peers_venv is not None:
        folder = "Scripts" if sys.platform == "win32" else "bin"
        python = str(options.peers_venv / folder / "python")
    spent = imports(options.runs, python)
    usable = spent["kinovi_async, AsyncKinovi"]
    found = {
        "import cpu ms": spent,
        "import / that of kinovi_async with AsyncKinovi": {
            name: round(each / usable, 3) for name, each in spent.items()
        },
        "second client": asyncio.run(second_client(4 * options.runs)),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
