"""CPU per poll: the SDK against bare clients, interleaved in one process.

Every stack is measured in blocks: `waiting` coroutines ask for their task's record again
and again until the block's polls are used up. Blocks of all stacks take turns, so that a
busy machine hurts all of them alike; the figures are medians, the ratios are those of
neighbouring blocks.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import NamedTuple

import httpx

from kinovi_async import AsyncKinovi

KEY = "benchmark-key"
COUNTS = (10, 50, 500, 2000)
# Bare httpx: beyond this its pool only queues (encode/httpcore#1035).
MAX_BARE = 50
_POOL = 10

Poll = Callable[[str], Awaitable[object]]


class Block(NamedTuple):
    """What one stack does at one concurrency."""

    stack: str
    waiting: int
    poll: Poll


async def stacks(stack: AsyncExitStack, base_url: str) -> dict[str, Poll]:
    """All clients that can be imported, by name, each with a pool of its own."""
    url, headers = f"{base_url}/jobs/recordInfo", {"authorization": f"Bearer {KEY}"}
    bare = await stack.enter_async_context(
        httpx.AsyncClient(limits=httpx.Limits(max_connections=_POOL), timeout=60)
    )
    client = await stack.enter_async_context(AsyncKinovi(api_key=KEY, base_url=base_url))

    async def bare_httpx(task_id: str) -> object:
        response = await bare.get(url, params={"taskId": task_id}, headers=headers)
        response.raise_for_status()
        return response.json()

    found: dict[str, Poll] = {"kinovi_async": client.get_task, "httpx": bare_httpx}
    try:
        import aiohttp
        from httpx_aiohttp import AiohttpTransport
    except ImportError:
        return found
    session = await stack.enter_async_context(
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=_POOL))
    )

    async def bare_aiohttp(task_id: str) -> object:
        params = {"taskId": task_id}
        async with session.get(url, params=params, headers=headers) as response:
            response.raise_for_status()
            return await response.json()

    carrier = await stack.enter_async_context(
        httpx.AsyncClient(transport=AiohttpTransport(client=aiohttp.ClientSession))
    )
    extra = await stack.enter_async_context(
        AsyncKinovi(api_key=KEY, base_url=base_url, http_client=carrier)
    )
    found["kinovi_async[aiohttp]"] = extra.get_task
    found["aiohttp"] = bare_aiohttp
    return found


async def run_block(poll: Poll, waiting: int, polls: int) -> float:
    """CPU milliseconds of this process per poll."""
    left = polls

    async def wait(task_id: str) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await poll(task_id)

    before = time.process_time()
    async with asyncio.TaskGroup() as group:
        for number in range(waiting):
            group.create_task(wait(f"task_{number:024d}"))
    return (time.process_time() - before) * 1e3 / polls


async def measure(base_url: str, *, polls: int, each: int, rounds: int) -> dict[str, object]:
    """CPU per poll of each stack at each concurrency, over all rounds.

    A block has at least `each` polls for every waiting task: the coroutine of a task is made
    once, and with one poll each its making would count as a cost of polling.
    """
    samples: dict[tuple[str, int], list[float]] = {}
    async with AsyncExitStack() as stack:
        found = await stacks(stack, base_url)
        blocks = [
            Block(name, waiting, poll)
            for waiting in COUNTS
            for name, poll in found.items()
            if name != "httpx" or waiting <= MAX_BARE
        ]
        for poll in found.values():  # connections, lazy imports, caches
            await run_block(poll, COUNTS[1], 4 * COUNTS[1])
        for _ in range(rounds):
            for block in blocks:
                count = max(polls, each * block.waiting)
                cost = await run_block(block.poll, block.waiting, count)
                samples.setdefault((block.stack, block.waiting), []).append(cost)
    return {"cpu_ms": _table(samples), "ratios": _ratios(samples)}


def _table(samples: dict[tuple[str, int], list[float]]) -> dict[str, dict[str, float]]:
    table: dict[str, dict[str, float]] = {}
    for (name, waiting), costs in samples.items():
        table.setdefault(name, {})[str(waiting)] = round(statistics.median(costs), 4)
    return table


def _ratios(samples: dict[tuple[str, int], list[float]]) -> dict[str, float]:
    """Each one of neighbouring blocks."""
    ours = "kinovi_async"
    few, many, most = samples[ours, COUNTS[0]], samples[ours, COUNTS[2]], samples[ours, COUNTS[3]]
    ratios = {
        "at 10: to bare httpx": _paired(few, samples["httpx", COUNTS[0]]),
        "at 50: to bare httpx": _paired(samples[ours, COUNTS[1]], samples["httpx", COUNTS[1]]),
        "at 500: to itself at 10": _paired(many, few),
        "at 2000: to itself at 10": _paired(most, few),
    }
    extra = "kinovi_async[aiohttp]"
    if (extra, COUNTS[0]) in samples:
        ratios["at 10: [aiohttp] to bare httpx"] = _paired(
            samples[extra, COUNTS[0]], samples["httpx", COUNTS[0]]
        )
        ratios["at 10: to bare aiohttp"] = _paired(few, samples["aiohttp", COUNTS[0]])
        ratios["at 2000: [aiohttp] to itself at 10"] = _paired(
            samples[extra, COUNTS[3]], samples[extra, COUNTS[0]]
        )
    return ratios


def _paired(these: list[float], those: list[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(these, those, strict=True)), 3)


def main() -> None:
    """Prints the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base_url")
    parser.add_argument("--polls", type=int, default=500)
    parser.add_argument("--each", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found = asyncio.run(
        measure(options.base_url, polls=options.polls, each=options.each, rounds=options.rounds)
    )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
