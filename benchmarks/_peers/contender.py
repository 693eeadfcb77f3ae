"""A contender's own process: `python -m _peers.contender MODULE`, work in, figures out.

Two `Work`s come as JSON lines on standard input. The first is a job or two on an account
of its own: it loads the code and takes it through every path once, so that the measured
second one holds no imports and no first-time set-up, for anybody.
"""

from __future__ import annotations

import gc
import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import cast

from _peers.work import Work, read_work


def main(module: str) -> None:
    """Runs both works and prints what the second one took.

    `started` and `ended` are the monotonic clock, which on Linux, macOS and Windows is one
    for all processes: the simulator's books are on the same.
    """
    run = cast("Callable[[Work], int]", importlib.import_module(f"_peers.{module}").run)
    warm_up, work = (read_work(line) for line in sys.stdin)
    run(warm_up)
    gc.collect()
    cpu, started = time.process_time(), time.monotonic()
    succeeded = run(work)
    ended = time.monotonic()
    # User and system time of this process and all its threads: what getrusage says too.
    cpu = time.process_time() - cpu
    print(json.dumps({"started": started, "ended": ended, "cpu": cpu, "succeeded": succeeded}))


if __name__ == "__main__":
    main(sys.argv[1])
