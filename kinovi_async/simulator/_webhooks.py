"""Sends webhooks: once, best effort, as the API does, and to this machine alone by default.

Done with the standard library in worker threads, so that a test application's own
handlers are called by a client that shares nothing with the package's.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from ._state import Webhook

if TYPE_CHECKING:
    from ._simulator import Simulator

WebhookResult = Literal["sent", "failed", "blocked"]

_TIMEOUT: Final = 15.0
"""Seconds a receiver has; the webhook standard's senders give 15 to 30."""
_MOST_AT_A_TIME: Final = 8
_LONGEST_PAUSE: Final = 0.1
"""Seconds between looks at an injected clock, which may not run at the loop's pace."""


def send(webhook: Webhook, *, anywhere: bool, timeout: float = _TIMEOUT) -> WebhookResult:
    """Posts a webhook and waits for the answer. Follows no redirect and uses no proxy.

    Returns `sent` for a 2xx, `blocked` for a host that is not this machine unless
    `anywhere`, `failed` for everything else; raises nothing.
    """
    try:
        address = urlsplit(webhook.url)
        host, port, https = address.hostname or "", address.port, address.scheme == "https"
    except ValueError:
        return "failed"
    if not anywhere and not _is_loopback(host):
        return "blocked"
    path = f"{address.path or '/'}?{address.query}" if address.query else address.path or "/"
    connection = (HTTPSConnection if https else HTTPConnection)(host, port, timeout=timeout)
    with contextlib.closing(connection):
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", path, webhook.body, headers)
            status = connection.getresponse().status
        except (OSError, HTTPException, ValueError):
            return "failed"
    return "sent" if 200 <= status < 300 else "failed"  # noqa: PLR2004 - HTTP


def _is_loopback(host: str) -> bool:
    """Whether every address of the host is this machine's own."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    addresses = {str(each[4][0]).partition("%")[0] for each in found}
    return all(ipaddress.ip_address(address).is_loopback for address in addresses)


async def pump(simulator: Simulator) -> None:
    """Sends webhooks when they are due, until it is cancelled."""
    loop = asyncio.get_running_loop()
    news = asyncio.Event()
    limiter = anyio.CapacityLimiter(_MOST_AT_A_TIME)

    def tell() -> None:
        # A server that was stopped a moment ago has no loop to wake any more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(news.set)

    with simulator.listening(tell):
        async with anyio.create_task_group() as group:
            while True:
                news.clear()
                for webhook in simulator.take_due_webhooks():
                    group.start_soon(_deliver, simulator, webhook, limiter)
                pause = simulator.seconds_to_webhook()
                if pause is None:
                    await news.wait()
                else:
                    with anyio.move_on_after(min(max(pause, 0.001), _LONGEST_PAUSE)):
                        await news.wait()


async def _deliver(simulator: Simulator, webhook: Webhook, limiter: anyio.CapacityLimiter) -> None:
    # A slow receiver must not hold up the server's end: its thread is left behind.
    call = partial(send, webhook, anywhere=simulator.webhooks_anywhere)
    result = await anyio.to_thread.run_sync(call, limiter=limiter, abandon_on_cancel=True)
    simulator.webhook_ended(result)
