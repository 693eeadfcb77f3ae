"""tenacity around the submission and around the poll; no limit is guessed, refusals do it.

The wait after a 429 is the one its page recommends for a resource that many compete for:
`wait_random_exponential(multiplier=1, max=60)`. No stop: it would give up jobs.
"""
# mypy: disable-error-code="import-not-found,untyped-decorator,unused-ignore"

from __future__ import annotations

import asyncio

import httpx
from tenacity import (
    retry,
    retry_if_exception,
    retry_if_result,
    wait_random,
    wait_random_exponential,
)

from .work import Body, Work


def _is_refusal(error: BaseException) -> bool:
    return (
        isinstance(error, httpx.HTTPStatusError)
        and error.response.status_code == httpx.codes.TOO_MANY_REQUESTS
    )


def _is_running(status: str) -> bool:
    return status not in {"success", "fail"}


async def _run(work: Work) -> int:
    second = work.second

    @retry(
        retry=retry_if_exception(_is_refusal),
        wait=wait_random_exponential(multiplier=second, max=60 * second),
    )
    async def submit(body: Body) -> str:
        response = await client.post("/jobs/createTask", json=body)
        response.raise_for_status()
        return str(response.json()["taskId"])

    @retry(retry=retry_if_result(_is_running), wait=wait_random(3 * second, 5 * second))
    async def poll(task_id: str) -> str:
        response = await client.get("/jobs/recordInfo", params={"taskId": task_id})
        response.raise_for_status()
        return str(response.json()["status"])

    async def one(body: Body) -> bool:
        return bool(await poll(await submit(body)) == "success")

    async with httpx.AsyncClient(
        base_url=work.base_url, headers=work.headers, timeout=30
    ) as client:
        return sum(await asyncio.gather(*(one(body) for body in work.bodies)))


def run(work: Work) -> int:
    """The number of jobs that succeeded."""
    return asyncio.run(_run(work))
