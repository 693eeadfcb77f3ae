"""This project, told nothing about the account."""

from __future__ import annotations

import anyio

from kinovi_async import AsyncKinovi

from .work import Work


async def _run(work: Work) -> int:
    async with AsyncKinovi(
        api_key=work.key,
        base_url=work.base_url,
        poll_interval=(3 * work.second, 5 * work.second),
    ) as client:
        outcomes = await client.run_batch(work.bodies)
    return sum(outcome.ok for outcome in outcomes)


def run(work: Work) -> int:
    """The number of jobs that succeeded."""
    return anyio.run(_run, work)
