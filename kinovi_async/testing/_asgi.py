"""One POST to an ASGI application in this process, as a server would hand it over.

Not through httpx, whose transport leaves a body that nobody reads unfinished: a receiver
that answers without reading is a fair thing to test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

import anyio
import anyio.lowlevel

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Scope

_PORTS: Final = {"http": 80, "https": 443}


async def post(app: ASGIApp, url: str, body: bytes) -> int:
    """Posts JSON. The status; what the application raises comes out.

    Raises:
        RuntimeError: it returned without an answer.
    """
    unread = [body]
    ended = anyio.Event()
    status: int | None = None

    async def receive() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        await ended.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal status
        await anyio.lowlevel.checkpoint()
        if message["type"] == "http.response.start":
            status = message["status"]
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            ended.set()

    await app(_scope(url, body), receive, send)
    if status is None:
        raise RuntimeError("the application returned without an answer to the webhook")
    return status


def _scope(url: str, body: bytes) -> Scope:
    address = urlsplit(url)
    host, port = address.hostname or "localhost", address.port or _PORTS.get(address.scheme, 80)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": address.scheme,
        "path": unquote(address.path) or "/",
        "raw_path": (address.path or "/").encode("ascii"),
        "query_string": address.query.encode("ascii"),
        "root_path": "",
        "headers": [
            (b"host", address.netloc.rpartition("@")[2].encode("ascii")),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode("ascii")),
        ],
        "client": ("127.0.0.1", 50000),
        "server": (host, port),
        "state": {},
    }
