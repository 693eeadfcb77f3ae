"""The server of the kill tests, in a process of its own: its books outlive every kill.

    server.py JSON

prints its base URL and serves until its standard input is closed. The JSON object holds
options of `Simulator`, and under `faults` the rates of `Faults`.
"""

from __future__ import annotations

import json
import sys

import anyio

from kinovi_async.simulator import Faults, Simulator, serve


async def main() -> None:
    """Serves while somebody holds the other end of standard input."""
    options = json.loads(sys.argv[1])
    faults = Faults(**options.pop("faults", {}))
    async with serve(Simulator(**options, faults=faults)) as running:
        sys.stdout.write(f"{running.origin}\n")
        sys.stdout.flush()
        await anyio.to_thread.run_sync(sys.stdin.read)


if __name__ == "__main__":
    anyio.run(main)
