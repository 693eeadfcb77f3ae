"""This project, told nothing about the account."""

from __future__ import annotations

import anyio

from kinovi_async import AsyncKinovi

from .work import Work


async def _run(work: Work, low: float, high: float) -> int:
    async with AsyncKinovi(
        api_key=work.key,
        base_url=work.base_url,
        poll_interval=(low * work.second, high * work.second),
    ) as client:
        outcomes = await client.run_batch(work.bodies)
    return sum(outcome.ok for outcome in outcomes)


def run(work: Work, low: float = 3, high: float = 5) -> int:
    """The number of jobs that succeeded; polls every `low` to `high` seconds, as by default."""
    return anyio.run(_run, work, low, high)
