"""The way from the simulator to a receiver: webhooks as they come, or as a test wants them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import anyio

from kinovi_async.simulator import Simulator, Webhook
from kinovi_async.webhooks import WebhookReceiver

PUBLIC_URL = "https://app.example.com/kinovi"


class Answered:
    """What a request to a receiver was answered."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""


async def call(
    app: WebhookReceiver,
    path: str,
    body: bytes | Iterable[bytes] = b"{}",
    *,
    method: str = "POST",
    headers: Iterable[tuple[bytes, bytes]] = (),
    receive: Any = None,
) -> Answered:
    """One request, by hand; the body in the chunks that are given."""
    chunks = [body] if isinstance(body, bytes) else list(body)
    answered = Answered()

    async def next_chunk() -> dict[str, object]:
        if not chunks:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            assert answered.status == 0, "a second answer"
            answered.status = message["status"]
            answered.headers = dict(message["headers"])
        else:
            answered.body += message.get("body", b"")

    scope: dict[str, object]
    scope = {"type": "http", "method": method, "path": path, "headers": list(headers)}
    await app(scope, receive or next_chunk, send)
    return answered


def path_of(url: str) -> str:
    """The path that a server would see."""
    return "/" + url.split("/", 3)[3]


class Post:
    """Carries webhooks. `carry` may change what arrives: lose, double, hold back."""

    def __init__(self, simulator: Simulator, app: WebhookReceiver) -> None:
        self.simulator = simulator
        self.app = app
        self.carry: Callable[[Webhook], Iterable[Webhook]] = lambda webhook: [webhook]
        self.statuses: list[int] = []
        self.seen: list[Webhook] = []

    async def deliver(self) -> None:
        """What is due now."""
        for webhook in self.simulator.take_due_webhooks():
            self.seen.append(webhook)
            for each in self.carry(webhook):
                self.statuses.append(await self.bring(each))

    async def bring(self, webhook: Webhook) -> int:
        """This one, now."""
        return (await call(self.app, path_of(webhook.url), webhook.body)).status

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Carries them while the block runs."""

        async def carry() -> None:
            while True:
                await anyio.sleep(0.05)
                await self.deliver()

        async with anyio.create_task_group() as group:
            group.start_soon(carry)
            yield
            group.cancel_scope.cancel()


def none(_: Webhook) -> list[Webhook]:
    """Loses it."""
    return []
