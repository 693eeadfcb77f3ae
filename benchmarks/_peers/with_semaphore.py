"""asyncio.gather, a semaphore of as many slots as the user guesses, httpx, a sleep after a 429.

Polls every 3 to 5 s as the API's documents ask. A slot of the semaphore is held until the
task is seen ended, so the right guess is never refused.
"""

from __future__ import annotations

import asyncio
import random

import httpx

from .work import Body, Work


async def _submit(client: httpx.AsyncClient, body: Body, second: float) -> str:
    while True:
        response = await client.post("/jobs/createTask", json=body)
        if response.status_code != httpx.codes.TOO_MANY_REQUESTS:
            response.raise_for_status()
            return str(response.json()["taskId"])
        await asyncio.sleep(5 * second)


async def _wait(client: httpx.AsyncClient, task_id: str, second: float) -> bool:
    while True:
        await asyncio.sleep(random.uniform(3, 5) * second)
        response = await client.get("/jobs/recordInfo", params={"taskId": task_id})
        response.raise_for_status()
        status = response.json()["status"]
        if status in {"success", "fail"}:
            return bool(status == "success")


async def generate(client: httpx.AsyncClient, body: Body, second: float) -> bool:
    """One job from submission to end; whether it succeeded."""
    task_id = await _submit(client, body, second)
    return await _wait(client, task_id, second)


async def _run(work: Work) -> int:
    gate = asyncio.Semaphore(work.guess)

    async def one(body: Body) -> bool:
        async with gate:
            return await generate(client, body, work.second)

    async with httpx.AsyncClient(
        base_url=work.base_url, headers=work.headers, timeout=30
    ) as client:
        return sum(await asyncio.gather(*(one(body) for body in work.bodies)))


def run(work: Work) -> int:
    """The number of jobs that succeeded."""
    return asyncio.run(_run(work))
