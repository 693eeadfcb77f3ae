"""The web application of `workers.py`: every process of it enters jobs and reads what ended.

POST /jobs/FIRST/COUNT   enters jobs; 202 once they are durable
GET  /read               this process, and which keys its reader was told in order
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

import anyio
from starlette.applications import Starlette
from starlette.requests import Request  # noqa: TC002 - Starlette reads the annotation
from starlette.responses import JSONResponse
from starlette.routing import Route

from kinovi_async import AsyncKinovi, JobScheduler, Midjourney

READ_SECONDS = 0.25
"""Between two readings of what ended."""


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[Mapping[str, object]]:
    """What any backend does: see docs/backends.md."""
    told: list[tuple[str, str]] = []
    async with (
        AsyncKinovi(ledger=os.environ["LEDGER"]) as client,
        JobScheduler(client) as scheduler,
    ):
        async with anyio.create_task_group() as group:
            group.start_soon(partial(keep_reading, scheduler, told))
            yield {"scheduler": scheduler, "told": told}
            group.cancel_scope.cancel()
        await scheduler.drain(deadline=0)


async def keep_reading(scheduler: JobScheduler, told: list[tuple[str, str]]) -> None:
    """The books of this process: all that ends in the ledger, wherever it does."""
    seen = 0
    while True:
        async for outcome in scheduler.outcomes(after=seen):
            seen = outcome.seq or seen
            told.append((outcome.key, str(outcome.status)))
        await anyio.sleep(READ_SECONDS)


async def enter(request: Request) -> JSONResponse:
    """Several at once, as one order of several pictures."""
    scheduler: JobScheduler = request.state.scheduler
    first, count = request.path_params["first"], request.path_params["count"]
    for n in range(first, first + count):
        await scheduler.submit(Midjourney(prompt=f"job-{n}"), key=f"job-{n}")
    return JSONResponse(None, 202)


def read(request: Request) -> JSONResponse:
    """What this process was told."""
    return JSONResponse({"pid": os.getpid(), "told": request.state.told})


app = Starlette(
    routes=[
        Route("/jobs/{first:int}/{count:int}", enter, methods=["POST"]),
        Route("/read", read),
    ],
    lifespan=lifespan,
)
