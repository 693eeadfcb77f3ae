"""aiometer's `run_on_each` with `max_at_once`, as its page shows; a sleep after a 429.

`max_per_second`, its other bound, has nothing to say here: the API limits tasks, not calls.
"""
# mypy: disable-error-code="import-not-found,unused-ignore"

from __future__ import annotations

import asyncio
import functools

import aiometer
import httpx

from .with_semaphore import generate
from .work import Body, Work


async def _run(work: Work) -> int:
    async with httpx.AsyncClient(
        base_url=work.base_url, headers=work.headers, timeout=30
    ) as client:

        async def one(body: Body) -> bool:
            return await generate(client, body, work.second)

        jobs = [functools.partial(one, body) for body in work.bodies]
        return sum(await aiometer.run_all(jobs, max_at_once=work.guess))


def run(work: Work) -> int:
    """The number of jobs that succeeded."""
    return asyncio.run(_run(work))
