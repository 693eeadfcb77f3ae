"""The server's own process: `python -m _peers.server JSON`, prints its base URL.

The simulator without faults, with the durations of the mixes instead of the documented
ones: 10 s pictures, 60 s Midjourney, 120 s videos.
"""

from __future__ import annotations

import json
import sys

from kinovi_async.simulator import RunningSimulator, Simulator, run_simulator


def _ready(running: RunningSimulator) -> None:
    print(running.base_url, flush=True)


def main(settings: str) -> None:
    """Serves until it is terminated."""
    options = json.loads(settings)
    durations = {model: (low, high) for model, (low, high) in options["durations"].items()}
    simulator = Simulator(
        speed=options["speed"], limit=options["limit"], seed=options["seed"], durations=durations
    )
    run_simulator(simulator, on_ready=_ready)


if __name__ == "__main__":
    main(sys.argv[1])
