"""The application behind the web: orders on one side, the account's queue on the other."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import anyio
from orders import Order, Orders  # noqa: TC002 - beside this file

from kinovi_async import (
    AsyncKinovi,
    Event,
    JobAccepted,
    JobEnded,
    JobScheduler,
    NanoBanana2,
    QueueFullError,
)

BEAT = 1.0
"""Seconds between two looks for what other processes have written."""
log = logging.getLogger("uvicorn.error")


class Plan(NamedTuple):
    """What a customer may spend, and how soon it is their turn."""

    budget: float
    """Credits."""
    priority: int


PLANS = {"free": Plan(60, 0), "studio": Plan(600, 10)}


@dataclass(frozen=True, slots=True)
class Settings:
    """From the environment; the client reads `KINOVI_...` itself."""

    data: Path
    """Where the ledger and the orders are kept."""
    max_queue: int
    """Queued orders of this process after which more are answered with 503."""
    patience: float
    """Seconds without an open page after which what is queued for it is cancelled."""
    drain: float
    """Seconds that running tasks are waited for at the end: none, because with a ledger the
    next process polls on, and this one would keep it waiting."""
    public_url: str | None
    """Where the API reaches this application, for webhooks."""

    @classmethod
    def of_environment(cls) -> Settings:
        """The settings that are given, and sensible others."""
        get = os.environ.get
        return cls(
            data=Path(get("DATA_DIR", ".")),
            max_queue=int(get("MAX_QUEUE", "200")),
            patience=float(get("PATIENCE_SECONDS", "10")),
            drain=float(get("DRAIN_SECONDS", "0")),
            public_url=get("PUBLIC_URL"),
        )


class Bell:
    """Wakes those who wait for it."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def ring(self) -> None:
        """Wakes everybody who waits now."""
        self._event.set()
        self._event = anyio.Event()

    async def wait(self, seconds: float) -> None:
        """Until it rings, or so many seconds have passed."""
        with anyio.move_on_after(seconds):
            await self._event.wait()


class Studio:
    """The application: orders on one side, the account's queue on the other."""

    def __init__(self, client: AsyncKinovi, orders: Orders, settings: Settings) -> None:
        self.client = client
        self.orders = orders
        self._settings = settings
        self._ended = Bell()
        self._pages: WeakValueDictionary[str, Bell] = WeakValueDictionary()
        self.scheduler = JobScheduler(client, max_queue=settings.max_queue, on_event=self._hear)

    # -- the account's side ----------------------------------------------------------------

    async def _hear(self, event: Event) -> None:
        """What becomes of the jobs that were entered here, wherever they are run."""
        if isinstance(event, JobAccepted):
            self._tell(await self.orders.accepted(event.key))
        elif isinstance(event, JobEnded):
            self._ended.ring()

    def _tell(self, customer: str | None) -> None:
        page = None if customer is None else self._pages.get(customer)
        if page is not None:
            page.ring()

    async def take_up(self) -> None:
        """Enters again what has not ended, in case a process died before its job was durable.

        The id is the job's key: what the ledger has already is the same job, and costs nothing.
        """
        await self.orders.forgive()
        for order in await self.orders.unfinished():
            await self.scheduler.submit(
                request_of(order), key=order.id, group=order.customer, priority=order.priority
            )

    async def keep_books(self) -> None:
        """Takes over what ended, in any process; cancels what nobody waits for any more."""
        while True:
            async for outcome in self.scheduler.outcomes(after=await self.orders.cursor()):
                self._tell(await self.orders.ended(outcome))
            for key in await self.orders.left_alone(self._settings.patience):
                if await self.cancel(key):
                    log.info("order %s was cancelled: its page is closed", key)
            await self._ended.wait(BEAT)

    async def cancel(self, key: str) -> bool:
        """Cancels an order that is still queued. What is being made is paid for, and goes on."""
        job = await self.scheduler.get(key)
        return job is not None and await job.cancel()

    # -- the customers' side ---------------------------------------------------------------

    async def place(self, order: Order, budget: float) -> Order:
        """Takes an order, once.

        Raises:
            OverBudgetError: the customer has not that much left.
            QueueFullError: too many wait already.
        """
        # Written down first, so that a crash from here on loses nothing: see `take_up`.
        order, is_new = await self.orders.place(order, budget=budget)
        if is_new:
            full: QueueFullError | None = None
            try:
                self.scheduler.submit_nowait(
                    request_of(order), key=order.id, group=order.customer, priority=order.priority
                )
            except QueueFullError as error:
                full = error
            if full is not None:
                await self.orders.drop(order.id)
                raise full
            self._tell(order.customer)
        return order

    async def account(self, customer: str) -> dict[str, object]:
        """What a customer sees of their account."""
        plan = await self.orders.plan(customer, default="free")
        spent = await self.orders.spent(customer)
        return {"plan": plan, "budget": PLANS[plan].budget, "spent": spent}

    async def told(self, customer: str) -> AsyncIterator[str]:
        """Server-sent events: this customer's account and orders, whenever they change."""
        bell = self._pages.setdefault(customer, Bell())
        known: dict[str, object] = {}
        yield "retry: 1000\n\n"
        while True:
            account = await self.account(customer)
            await self.orders.seen(customer, str(account["plan"]))
            shown = [("account", "", account)]
            shown += [("generation", o.id, show(o)) for o in await self.orders.recent(customer)]
            changed = [(name, key, now) for name, key, now in shown if known.get(key) != now]
            for name, key, now in changed:
                known[key] = now
                yield f"event: {name}\ndata: {json.dumps(now)}\n\n"
            if not changed:
                yield ": still here\n\n"
            await bell.wait(BEAT)


def request_of(order: Order) -> NanoBanana2:
    """What the API is asked for."""
    ratio: Any = order.aspect_ratio
    return NanoBanana2(prompt=order.prompt, aspect_ratio=ratio)


def show(order: Order) -> dict[str, object]:
    """An order as the page gets it."""
    return {
        "id": order.id,
        "prompt": order.prompt,
        "aspect_ratio": order.aspect_ratio,
        "status": order.status,
        "cost": order.cost,
        "created_at": order.created_at,
        "accepted_at": order.accepted_at,
        "error": order.error,
        "picture": f"generations/{order.id}/picture" if order.url else None,
    }
