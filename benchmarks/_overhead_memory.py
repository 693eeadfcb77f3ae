"""What queued jobs and endless batches weigh: resident bytes, coroutines, jobs a second.

Each measurement runs in a fresh process against the API in memory, after a first job has
brought in everything that is imported lazily.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from _overhead_api import AsyncClient

from kinovi_async import AsyncKinovi, JobScheduler, NanoBanana2

BASE_URL = "https://api.example/api/v1"
KEY = "benchmark-key"
# 1,000 times as fast as in life, so that the event loop and not the clock sets the pace.
FAST = (0.003, 0.005)
_MB = 1_000_000
_SLOTS = 50
_SLOW_ITEMS = 300


def resident_mb() -> float:
    """Memory of this process: present, or its peak where the system does not say."""
    gc.collect()
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize() / _MB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (_MB if sys.platform == "darwin" else _MB / 1024)


def requests(count: int) -> Iterator[NanoBanana2]:
    """A lazy source."""
    for number in range(count):
        yield NanoBanana2(prompt=f"a red cat, number {number}")


@asynccontextmanager
async def warm(api: AsyncClient, **options: object) -> AsyncIterator[AsyncKinovi]:
    """A client that has done everything once."""
    async with AsyncKinovi(
        api_key=KEY,
        base_url=BASE_URL,
        http_client=api,
        **options,  # type: ignore[arg-type]
    ) as client:
        ends, api.ends = api.ends, True
        await client.run_batch(requests(1))
        api.ends = ends
        yield client


async def queued(count: int) -> dict[str, float]:
    """`count` jobs that wait for a slot, above an idle scheduler."""
    api = AsyncClient(limit=_SLOTS, ends=False)
    async with (
        warm(api, poll_interval=FAST) as client,
        JobScheduler(client, max_queue=count + 1, max_in_flight=1) as scheduler,
    ):
        before, tasks, cpu = resident_mb(), len(asyncio.all_tasks()), time.process_time()
        for request in requests(count):
            await scheduler.submit(request)
        cpu = time.process_time() - cpu
        grown = resident_mb() - before
        statistics = scheduler.statistics()
        found = {
            "jobs": count,
            "queued": statistics.queued,
            "MB above idle": round(grown, 2),
            "kB per job": round(grown * 1e3 / count, 3),
            "coroutines above idle": len(asyncio.all_tasks()) - tasks,
            "cpu ms per job": round(cpu * 1e3 / count, 3),
        }
        await scheduler.drain(deadline=0)
    return found


async def stream(count: int) -> dict[str, float]:
    """`count` lazy requests through one batch: memory at 10 % and at the end."""
    api = AsyncClient(limit=_SLOTS)
    pulled = done = most = 0

    def source() -> Iterator[NanoBanana2]:
        nonlocal pulled
        for request in requests(count):
            pulled += 1
            yield request

    async with warm(api, poll_interval=FAST) as client:
        early = 0.0
        began, cpu = time.monotonic(), time.process_time()
        async with client.stream_batch(source()) as outcomes:
            async for outcome in outcomes:
                if not outcome.ok:
                    raise SystemExit(f"job {outcome.key} ended {outcome.status}: {outcome.error}")
                done += 1
                most = max(most, pulled - done)
                if done == count // 10:
                    early = resident_mb()
        seconds, cpu = time.monotonic() - began, time.process_time() - cpu
        late = resident_mb()
    return {
        "jobs": done,
        "MB at 10 %": round(early, 2),
        "MB at the end": round(late, 2),
        "grown MB": round(late - early, 2),
        "jobs per second": round(done / seconds, 1),
        "cpu ms per job": round(cpu * 1e3 / done, 3),
        "polls per job": round(api.polls / done, 3),
        "429 per job": round(api.refused / done, 3),
        "most pulled and not taken": most,
    }


async def slow_consumer() -> dict[str, float]:
    """A consumer 10 times slower than the account: how far the batch runs ahead of it."""
    api = AsyncClient(limit=_SLOTS)
    taken = most = 0
    async with (
        warm(api, poll_interval=FAST) as client,
        client.stream_batch(requests(sys.maxsize)) as outcomes,
    ):
        paid = api.made
        async for _ in outcomes:
            taken += 1
            most = max(most, api.made - paid - taken)
            if taken >= _SLOW_ITEMS:
                break
            await asyncio.sleep(FAST[0])
    return {"taken": taken, "most paid for and not taken": most}


def main() -> None:
    """Prints one measurement as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["queued", "stream", "slow"])
    parser.add_argument("--count", type=int, default=10_000)
    options = parser.parse_args()
    if options.what == "queued":
        found = asyncio.run(queued(options.count))
    elif options.what == "stream":
        found = asyncio.run(stream(options.count))
    else:
        found = asyncio.run(slow_consumer())
    print(json.dumps(found))


if __name__ == "__main__":
    import logging

    logging.getLogger("kinovi_async").setLevel(logging.CRITICAL)
    main()
