"""A web application that makes pictures: FastAPI, one ledger, any number of server processes.

    export KINOVI_API_KEY=...
    uvicorn app:app --app-dir examples/fastapi_app --workers 4 --timeout-graceful-shutdown 3

`POST /generations` answers at once; the page hears by server-sent events how its pictures
fare. Whatever process is killed or replaced meanwhile, every picture is made and paid once.
See the README beside this file.
"""

from __future__ import annotations

import hashlib
import math
import os
import secrets
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import anyio
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from orders import Order, Orders, OverBudgetError
from pydantic import BaseModel, Field, ValidationError
from studio import PLANS, Settings, Studio, request_of, show

from kinovi_async import AsyncKinovi, DownloadError, QueueFullError

HERE = Path(__file__).parent
MAX_PICTURE_BYTES = 30 << 20
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

router = APIRouter()


class Wish(BaseModel):
    """What the page sends."""

    prompt: Annotated[str, Field(min_length=1, max_length=1000)]
    aspect_ratio: Literal["1:1", "3:4", "4:3", "16:9", "9:16"] = "1:1"


class Choice(BaseModel):
    """Another plan."""

    plan: Literal["free", "studio"]


def studio_of(request: Request) -> Studio:
    """The application behind a request."""
    return cast("Studio", request.state.studio)


def customer_of(request: Request, response: Response) -> str:
    """Who asks: by a cookie here, by your own login elsewhere. The cookie itself is kept nowhere."""
    token = request.cookies.get("customer") or secrets.token_urlsafe(16)
    response.set_cookie(
        "customer", token, max_age=365 * 86400, httponly=True, samesite="lax",
        secure=request.url.scheme == "https",
    )  # fmt: skip
    return hashlib.sha256(token.encode()).hexdigest()[:16]


TheStudio = Annotated[Studio, Depends(studio_of)]
Customer = Annotated[str, Depends(customer_of)]


@router.get("/")
def page(_: Customer, response: Response) -> FileResponse:
    """The page."""
    return FileResponse(
        HERE / "static" / "index.html",
        headers={**HEADERS, "Set-Cookie": response.headers["set-cookie"]},
    )


@router.post("/generations", status_code=202)
async def generate(
    wish: Wish,
    studio: TheStudio,
    customer: Customer,
    response: Response,
    idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
) -> dict[str, object]:
    """Orders a picture, and answers before anything is made.

    With an `Idempotency-Key`, the same order sent twice is one order.
    """
    plan = PLANS[await studio.orders.plan(customer, default="free")]
    name = f"{customer}/{idempotency_key or uuid.uuid4()}"
    order = Order(
        id=uuid.uuid5(uuid.NAMESPACE_URL, name).hex,
        customer=customer,
        prompt=wish.prompt,
        aspect_ratio=wish.aspect_ratio,
        priority=plan.priority,
        cost=0,
    )
    try:
        cost = request_of(order).cost()
        order = await studio.place(replace(order, cost=float(cost or 0)), plan.budget)
    except ValidationError as error:
        raise HTTPException(422, [problem["msg"] for problem in error.errors()]) from error
    except OverBudgetError as error:
        raise HTTPException(402, "Your plan does not cover another picture.") from error
    except QueueFullError as error:
        wait = str(math.ceil(min(max(error.estimated_wait or 30, 1), 600)))
        raise HTTPException(503, "Too many orders just now.", {"Retry-After": wait}) from error
    response.headers["Location"] = f"/generations/{order.id}"
    return show(order)


@router.get("/generations")
async def generations(studio: TheStudio, customer: Customer) -> list[dict[str, object]]:
    """The customer's last orders, the oldest first."""
    return [show(order) for order in await studio.orders.recent(customer)]


async def order_of(key: str, studio: TheStudio, customer: Customer) -> Order:
    """The customer's order of this id."""
    order = await studio.orders.get(key, customer)
    if order is None:
        raise HTTPException(404, "No such order.")
    return order


TheOrder = Annotated[Order, Depends(order_of)]


@router.get("/generations/{key}")  # noqa: FAST003 - order_of takes it
def generation(order: TheOrder) -> dict[str, object]:
    """How an order stands."""
    return show(order)


@router.delete("/generations/{key}")  # noqa: FAST003 - order_of takes it
async def cancel(order: TheOrder, studio: TheStudio) -> dict[str, object]:
    """Cancels an order that is still queued."""
    if not await studio.cancel(order.id):
        raise HTTPException(409, "Too late: it is on its way, or being made and paid for.")
    return {"id": order.id, "status": "cancelled"}


@router.get("/generations/{key}/picture")  # noqa: FAST003 - order_of takes it
async def picture(order: TheOrder, studio: TheStudio) -> Response:
    """The picture, under this application's own address: fetched with the client's guards."""
    if order.url is None:
        raise HTTPException(404, "There is no picture.")
    try:
        async with studio.client.open(order.url, max_file_size=MAX_PICTURE_BYTES) as stream:
            content = b"".join([chunk async for chunk in stream])
    except DownloadError as error:
        raise HTTPException(502, "The picture cannot be fetched just now.") from error
    return Response(
        content,
        media_type=order.media_type or "image/png",
        headers={"Cache-Control": "private, max-age=86400", "X-Content-Type-Options": "nosniff"},
    )


@router.get("/events")
def events(studio: TheStudio, customer: Customer) -> StreamingResponse:
    """This customer's account and orders, as server-sent events."""
    return StreamingResponse(
        studio.told(customer),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.put("/plan")
async def choose_plan(choice: Choice, studio: TheStudio, customer: Customer) -> dict[str, object]:
    """Changes the plan: a payment provider would do that."""
    await studio.orders.choose_plan(customer, choice.plan)
    return await studio.account(customer)


@router.get("/health")
async def health(studio: TheStudio) -> dict[str, object]:
    """Whether this process works, for a load balancer; it answers 500 when it does not."""
    await studio.scheduler.get("health")  # raises when the scheduler has broken
    now = studio.scheduler.statistics()
    paused = None if now.paused is None else str(now.paused)
    return {"runner": now.runner, "queued": now.queued, "paused": paused, "pid": os.getpid()}


def webhooks(settings: Settings) -> Any:
    """The receiver of the API's calls, when there is an address for them; else polls suffice."""
    if not settings.public_url:
        return None
    from kinovi_async.webhooks import WebhookReceiver

    return WebhookReceiver(
        public_url=f"{settings.public_url.rstrip('/')}/kinovi",
        secret=os.environ.get("WEBHOOK_SECRET"),
    )


def create_app() -> FastAPI:
    """The application; nothing is opened before it starts."""
    settings = Settings.of_environment()
    receiver = webhooks(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, object]]:
        settings.data.mkdir(parents=True, exist_ok=True)
        options: dict[str, Any] = {} if receiver is None else {"webhooks": receiver}
        orders = Orders(settings.data / "orders.sqlite3")
        try:
            async with AsyncKinovi(ledger=settings.data / "jobs.sqlite3", **options) as client:
                studio = Studio(client, orders, settings)
                async with studio.scheduler as scheduler:
                    await studio.take_up()
                    async with anyio.create_task_group() as group:
                        group.start_soon(studio.keep_books)
                        yield {"studio": studio}
                        group.cancel_scope.cancel()
                    await scheduler.drain(deadline=settings.drain)
        finally:
            orders.close()

    app = FastAPI(title="Atelier", lifespan=lifespan)
    app.include_router(router)
    if receiver is not None:
        app.mount("/kinovi", receiver)
    app.mount("/static", StaticFiles(directory=HERE / "static"))
    return app


app = create_app()
