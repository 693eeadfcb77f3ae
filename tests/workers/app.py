"""A small web application, of which several processes work with one ledger.

PUT /jobs/KEY          enters a job; 202 once it is durable
GET /jobs/KEY          how it ended, once it has
DELETE /jobs/KEY       cancels it if it is still queued
GET /ended/N           answers once so many jobs of the ledger have ended
GET /told              what this process was told of, in order, since it began
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import anyio
from starlette.applications import Starlette
from starlette.requests import Request  # noqa: TC002 - as the others
from starlette.responses import JSONResponse
from starlette.routing import Route

from kinovi_async import AsyncKinovi, JobScheduler, NanoBanana2


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[Mapping[str, object]]:
    async with (
        AsyncKinovi(ledger=os.environ["LEDGER"]) as client,
        JobScheduler(client) as scheduler,
    ):
        told: list[str] = []
        async with anyio.create_task_group() as group:
            group.start_soon(keep_books, scheduler, told)
            yield {"scheduler": scheduler, "told": told}
            group.cancel_scope.cancel()
        await scheduler.drain(deadline=0)  # another process polls on


async def keep_books(scheduler: JobScheduler, told: list[str]) -> None:
    """What any backend does for its own database; see docs/backends.md."""
    seen = 0
    while True:
        async for outcome in scheduler.outcomes(after=seen):
            seen = outcome.seq or seen
            told.append(outcome.key)
        await anyio.sleep(0.05)


async def enter(request: Request) -> JSONResponse:
    scheduler: JobScheduler = request.state.scheduler
    key = request.path_params["key"]
    priority = int(request.query_params.get("priority", "0"))
    job = await scheduler.submit(NanoBanana2(prompt=key), key=key, priority=priority)
    return JSONResponse({"key": job.key}, 202)


async def read(request: Request) -> JSONResponse:
    scheduler: JobScheduler = request.state.scheduler
    job = await scheduler.get(request.path_params["key"])
    if job is None:
        return JSONResponse(None, 404)
    outcome = await job.outcome()
    return JSONResponse({"status": outcome.status, "seq": outcome.seq})


async def cancel(request: Request) -> JSONResponse:
    scheduler: JobScheduler = request.state.scheduler
    job = await scheduler.get(request.path_params["key"])
    return JSONResponse(job is not None and await job.cancel())


async def ended(request: Request) -> JSONResponse:
    scheduler: JobScheduler = request.state.scheduler
    seen = 0
    keys: list[str] = []
    while True:
        async for outcome in scheduler.outcomes(after=seen):
            assert outcome.seq is not None
            seen = outcome.seq
            keys.append(outcome.key)
        if len(keys) >= request.path_params["n"]:
            return JSONResponse(keys)
        await anyio.sleep(0.02)


async def told(request: Request) -> JSONResponse:
    return JSONResponse(request.state.told)


app = Starlette(
    routes=[
        Route("/jobs/{key}", enter, methods=["PUT"]),
        Route("/jobs/{key}", read),
        Route("/jobs/{key}", cancel, methods=["DELETE"]),
        Route("/ended/{n:int}", ended),
        Route("/told", told),
    ],
    lifespan=lifespan,
)
