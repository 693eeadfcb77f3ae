"""backoff's decorators: `on_exception` for the 429, `on_predicate` for the poll.

Both with its defaults, exponential with full jitter, at most a minute after a refusal and
at most 5 s between polls. No limit is guessed and nothing is given up.
"""

from __future__ import annotations

import asyncio

import backoff
import httpx

from .work import Body, Work


def _is_fatal(error: Exception) -> bool:
    return (
        not isinstance(error, httpx.HTTPStatusError)
        or error.response.status_code != httpx.codes.TOO_MANY_REQUESTS
    )


def _is_running(status: str) -> bool:
    return status not in {"success", "fail"}


async def _run(work: Work) -> int:
    second = work.second

    @backoff.on_exception(
        backoff.expo,
        httpx.HTTPStatusError,
        giveup=_is_fatal,
        factor=second,
        max_value=60 * second,
    )
    async def submit(body: Body) -> str:
        response = await client.post("/jobs/createTask", json=body)
        response.raise_for_status()
        return str(response.json()["taskId"])

    @backoff.on_predicate(backoff.expo, _is_running, factor=second, max_value=5 * second)
    async def poll(task_id: str) -> str:
        response = await client.get("/jobs/recordInfo", params={"taskId": task_id})
        response.raise_for_status()
        return str(response.json()["status"])

    async def one(body: Body) -> bool:
        return await poll(await submit(body)) == "success"

    async with httpx.AsyncClient(
        base_url=work.base_url, headers=work.headers, timeout=30
    ) as client:
        return sum(await asyncio.gather(*(one(body) for body in work.bodies)))


def run(work: Work) -> int:
    """The number of jobs that succeeded."""
    return asyncio.run(_run(work))
