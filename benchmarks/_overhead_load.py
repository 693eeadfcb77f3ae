"""2,000 waiting tasks, polled every 3 to 5 s: what they cost and what else they delay.

Once as 2,000 coroutines around `get_task` (500 polls a second), once as 2,000 jobs in
flight of one `JobScheduler`. Beside them a coroutine sleeps for 10 ms again and again and
notes how late it wakes up: that is what every other coroutine of the program feels.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from kinovi_async import AsyncKinovi, JobScheduler, KinoviError, NanoBanana2

KEY = "benchmark-key"
TASKS = 2000
INTERVAL = (3.0, 5.0)
_NAP = 0.01
_RAMP_SECONDS = 120.0


@dataclass
class Lag:
    """How late the event loop wakes its sleepers, in milliseconds."""

    samples: list[float] = field(default_factory=list)

    async def watch(self) -> None:
        """Until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _NAP
            await asyncio.sleep(_NAP)
            self.samples.append((loop.time() - due) * 1e3)


@contextmanager
def lag_watch() -> Iterator[Lag]:
    """Watches the loop inside the block."""
    lag = Lag()
    watcher = asyncio.ensure_future(lag.watch())
    try:
        yield lag
    finally:
        watcher.cancel()


def p99(samples: list[float]) -> float:
    """The value that 99 of 100 do not exceed."""
    return round(statistics.quantiles(samples, n=100)[98], 2)


async def through_calls(base_url: str, seconds: float) -> dict[str, float]:
    """2,000 coroutines with one `get_task` every 4 s each."""
    latencies: list[float] = []
    errors = 0
    rng = random.Random(0)

    async with AsyncKinovi(api_key=KEY, base_url=base_url, max_retries=0) as client:

        async def wait(task_id: str) -> None:
            nonlocal errors
            await asyncio.sleep(rng.uniform(0, sum(INTERVAL) / 2))
            while True:
                began = time.perf_counter()
                try:
                    await client.get_task(task_id)
                except KinoviError:
                    errors += 1
                latencies.append((time.perf_counter() - began) * 1e3)
                await asyncio.sleep(rng.uniform(*INTERVAL))

        await client.get_task("task_0")  # the event loop's backend is imported here
        waits = [asyncio.ensure_future(wait(f"task_{number:024d}")) for number in range(TASKS)]
        began, cpu = time.monotonic(), time.process_time()
        with lag_watch() as lag:
            await asyncio.sleep(seconds)
        cpu, wall = time.process_time() - cpu, time.monotonic() - began
        for each in waits:
            each.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
    return {
        "polls per second": round(len(latencies) / wall, 1),
        "errors": errors,
        "poll p99 ms": p99(latencies),
        "cores": round(cpu / wall, 3),
        "cpu ms per poll": round(cpu * 1e3 / len(latencies), 3),
        "loop lag p99 ms": p99(lag.samples),
    }


async def through_scheduler(base_url: str, seconds: float) -> dict[str, float]:
    """2,000 jobs in flight."""
    async with (
        AsyncKinovi(api_key=KEY, base_url=base_url) as client,
        JobScheduler(client, max_queue=TASKS) as scheduler,
    ):
        began, cpu = time.monotonic(), time.process_time()
        for number in range(TASKS):
            await scheduler.submit(NanoBanana2(prompt=f"cat {number}"))
        await _until(lambda: scheduler.statistics().in_flight == TASKS)
        ramp = time.monotonic() - began
        ramp_cpu = time.process_time() - cpu
        await asyncio.sleep(INTERVAL[0])  # until the first polls
        polls, began, cpu = scheduler.statistics().polls, time.monotonic(), time.process_time()
        with lag_watch() as lag:
            await asyncio.sleep(seconds)
        polls = scheduler.statistics().polls - polls
        cpu, wall = time.process_time() - cpu, time.monotonic() - began
        tasks = len(asyncio.all_tasks())
        await scheduler.drain(deadline=0)
    return {
        "ramp seconds": round(ramp, 2),
        "cpu ms per submission": round(ramp_cpu * 1e3 / TASKS, 3),
        "polls per second": round(polls / wall, 1),
        "cores": round(cpu / wall, 3),
        "cpu ms per poll": round(cpu * 1e3 / polls, 3),
        "loop lag p99 ms": p99(lag.samples),
        "loop lag max ms": round(max(lag.samples), 2),
        "asyncio tasks": tasks,
    }


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_RAMP_SECONDS):
        while not condition():  # noqa: ASYNC110 - the scheduler tells it on request only
            await asyncio.sleep(_NAP)


def main() -> None:
    """Prints the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base_url")
    parser.add_argument("--seconds", type=float, default=6.0)
    options = parser.parse_args()
    found = {
        "calls": asyncio.run(through_calls(options.base_url, options.seconds)),
        "scheduler": asyncio.run(through_scheduler(options.base_url, options.seconds)),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    import logging

    # Leaving 2,000 running tasks is the point here; each would be named in a warning.
    logging.getLogger("kinovi_async").setLevel(logging.CRITICAL)
    main()
