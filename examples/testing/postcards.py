"""An application: a postcard for every greeting, ordered over the web. Its tests stand beside it.

The client is made from the environment when the application starts, as it should be: then
tests need nothing but other variables.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kinovi_async import (
    AsyncKinovi,
    JobScheduler,
    NanoBanana2,
    QueueFullError,
    TaskFailedError,
)


async def make_postcard(client: AsyncKinovi, greeting: str) -> str:
    """The address of a postcard; a plain one when the greeting is refused."""
    try:
        record = await client.generate(NanoBanana2(prompt=f"a postcard saying {greeting}"))
    except TaskFailedError:
        record = await client.generate(NanoBanana2(prompt="a plain postcard"))
    return record.urls[0]


async def order(request: Request) -> Response:
    """POST /postcards: queues one, and answers at once."""
    scheduler: JobScheduler = request.state.scheduler
    greeting = (await request.json())["greeting"]
    try:
        job = scheduler.submit_nowait(NanoBanana2(prompt=f"a postcard saying {greeting}"))
    except QueueFullError:
        return JSONResponse({"error": "too many orders, come back later"}, 503)
    return JSONResponse({"id": job.key}, 202)


async def show(request: Request) -> Response:
    """GET /postcards/ID: how an order stands."""
    scheduler: JobScheduler = request.state.scheduler
    job = await scheduler.get(request.path_params["id"])
    if job is None:
        return JSONResponse({"error": "no such order"}, 404)
    if not job.done:
        return JSONResponse({"status": "in progress"})
    outcome = await job.outcome()
    urls = outcome.record.urls if outcome.record else []
    return JSONResponse({"status": outcome.status, "url": urls[0] if urls else None})


async def arrived(request: Request) -> Response:
    """POST /arrived: a webhook of the API. It is only a hint; a real receiver asks again."""
    payload = await request.json()
    request.app.state.arrived.append(payload["data"]["taskId"])
    return Response(status_code=204)


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[Mapping[str, object]]:
    """One client and one scheduler for as long as the application runs."""
    async with AsyncKinovi() as client, JobScheduler(client, max_queue=3) as scheduler:
        yield {"scheduler": scheduler}


def create_app() -> Starlette:
    """The application."""
    routes = [
        Route("/postcards", order, methods=["POST"]),
        Route("/postcards/{id}", show),
        Route("/arrived", arrived, methods=["POST"]),
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.state.arrived = []
    return app
