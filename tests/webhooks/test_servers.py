"""The receiver behind real servers and frameworks: uvicorn, Starlette, FastAPI."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from kinovi_async import AsyncKinovi, NanoBanana2
from kinovi_async.simulator import Simulator, serve
from kinovi_async.webhooks import WebhookReceiver

from .test_receiver import GOOD, SIGNER, FakeMailbox

KEY = "any-key-will-do"
INTERVAL = (0.3, 0.5)
"""A fallback poll comes after 2.5 s, when every task has long ended."""


@pytest.fixture
def anyio_backend() -> str:
    """Servers are asyncio's."""
    return "asyncio"


def free_port() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1000)
    return listener


@asynccontextmanager
async def uvicorn_of(app: Callable[..., Any], listener: socket.socket) -> AsyncIterator[None]:
    """Serves it in this event loop, with uvicorn's own settings as far as they matter here."""
    config = uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)

    async def run() -> None:
        await server.serve([listener])

    with listener:
        async with anyio.create_task_group() as group:
            group.start_soon(run)  # the socket listens already
            try:
                yield
            finally:
                server.should_exit = True


def cats(count: int) -> list[NanoBanana2]:
    return [NanoBanana2(prompt=f"cat {n}") for n in range(count)]


async def test_jobs_of_a_real_server_end_by_webhooks() -> None:
    listener = free_port()
    port = listener.getsockname()[1]
    receiver = WebhookReceiver(public_url=f"http://127.0.0.1:{port}/kinovi")
    app = Starlette(routes=[Mount("/kinovi", receiver)])
    async with (
        serve(Simulator(speed=50)) as running,
        uvicorn_of(app, listener),
        AsyncKinovi(
            api_key=KEY, base_url=running.base_url, poll_interval=INTERVAL, webhooks=receiver
        ) as client,
    ):
        outcomes = await client.run_batch(cats(20))
        books = running.simulator.books
    assert all(outcome.ok for outcome in outcomes)
    assert set(books.accepted_per_prompt().values()) == {1}
    assert set(books.webhooks) == {"sent"}
    # On a busy machine a task may be polled before its webhook has come.
    assert receiver.statistics().handed_on >= 15
    assert books.polls <= 20 + 5


async def test_jobs_end_while_nobody_listens() -> None:
    with free_port() as listener:
        port = listener.getsockname()[1]
    receiver = WebhookReceiver(public_url=f"http://127.0.0.1:{port}/kinovi")
    async with (
        serve(Simulator(speed=50)) as running,
        AsyncKinovi(
            api_key=KEY, base_url=running.base_url, poll_interval=(0.06, 0.1), webhooks=receiver
        ) as client,
    ):
        outcomes = await client.run_batch(cats(10))
        books = running.simulator.books
    assert all(outcome.ok for outcome in outcomes)
    assert set(books.accepted_per_prompt().values()) == {1}


# -- raw sockets -------------------------------------------------------------------------


@asynccontextmanager
async def served(mailbox: FakeMailbox) -> AsyncIterator[tuple[str, int]]:
    receiver = WebhookReceiver(public_url="http://127.0.0.1/kinovi")
    receiver.attach(mailbox)
    listener = free_port()
    async with uvicorn_of(receiver, listener):
        yield listener.getsockname()[:2]


async def said(stream: anyio.abc.ByteStream) -> bytes:
    """Everything that comes until the server hangs up."""
    data = b""
    with anyio.fail_after(20):
        while True:
            try:
                data += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return data


async def exchange(address: tuple[str, int], *pieces: bytes) -> bytes:
    """The status line that answers these pieces."""
    async with await anyio.connect_tcp(*address) as stream:
        try:
            for piece in pieces:
                await stream.send(piece)
        except anyio.BrokenResourceError:
            pass
        return (await said(stream)).partition(b"\r\n")[0]


def head(path: str, *more: str, method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close", *more, "", ""]
    return "\r\n".join(lines).encode()


async def test_hostile_requests_over_a_socket() -> None:
    """Catalogue 79, 80, 82."""
    mailbox = FakeMailbox()
    chunk = b"%x\r\n%s\r\n" % (65536, b"x" * 65536)
    async with served(mailbox) as address:
        chunked = head(GOOD, "Transfer-Encoding: chunked")
        body = b'{"taskId": "t1"}'
        length = f"Content-Length: {len(body)}"
        answers = {
            "good": await exchange(address, head(GOOD, length), body),
            "in two": await exchange(address, head(GOOD, length), body[:3], body[3:]),
            "endless": await exchange(address, chunked, *[chunk] * 20),
            "1 GB": await exchange(address, head(GOOD, "Content-Length: 1000000000"), b"x"),
            "forged": await exchange(address, head("/v1/a/b/1/c", length), body),
            "get": await exchange(address, head(GOOD, method="GET")),
            "head": await exchange(address, head(GOOD, method="HEAD")),
            "options": await exchange(address, head("/", method="OPTIONS")),
            "traversal": await exchange(address, head("/../../etc/passwd", length), body),
            "encoded": await exchange(address, head("/v1/run/%2e%2e%2f/1/x", length), body),
        }
        headers = [f"X-{n}: {'y' * 100}" for n in range(10_000)]
        flood = await exchange(address, head(GOOD, *headers, length), body)
    # A server that hangs up on what is still being sent may take its own answer along.
    answers["endless"] = answers["endless"] or b"HTTP/1.1 413"
    statuses = {name: int(line.split()[1]) for name, line in answers.items()}
    assert statuses == {
        "good": 200, "in two": 200, "endless": 413, "1 GB": 413, "forged": 404, "get": 405,
        "head": 405, "options": 405, "traversal": 404, "encoded": 404,
    }  # fmt: skip
    assert flood == b"" or 200 <= int(flood.split()[1]) < 500  # the server's own to bound
    assert {hint.task_id for hint in mailbox.taken} == {"t1"}


async def test_hundreds_of_connections_that_say_nothing_keep_nobody_out() -> None:
    mailbox = FakeMailbox()
    async with served(mailbox) as address, anyio.create_task_group() as group:

        async def dawdle(piece: bytes) -> None:
            async with await anyio.connect_tcp(*address) as stream:
                await stream.send(piece)
                await anyio.sleep_forever()

        for n in range(200):
            half = head(GOOD, "Content-Length: 100")
            group.start_soon(dawdle, half[:20] if n % 10 else half)
        await anyio.wait_all_tasks_blocked()
        body = b'{"taskId": "t1"}'
        answer = await exchange(address, head(GOOD, f"Content-Length: {len(body)}"), body)
        assert answer.split()[1] == b"200"
        group.cancel_scope.cancel()


# -- frameworks --------------------------------------------------------------------------


def starlette(receiver: WebhookReceiver) -> Any:
    return Starlette(routes=[Mount("/hooks/kinovi", receiver)])


def fastapi(receiver: WebhookReceiver) -> Any:
    app = FastAPI()
    app.mount("/hooks/kinovi", receiver)
    return app


def nested(receiver: WebhookReceiver) -> Any:
    inner = FastAPI()
    inner.mount("/kinovi", receiver)
    outer = FastAPI()
    outer.mount("/hooks", inner)
    return outer


def django(receiver: WebhookReceiver) -> Any:
    """What docs/webhooks.md lets a Django project write around its ASGI application."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/hooks/kinovi/"):
            await receiver(scope, receive, send)
        else:
            raise AssertionError("Django's own")

    return application


def litestar(receiver: WebhookReceiver) -> Any:
    """What Litestar 2 makes of a path below a mount: `asgi("/hooks/kinovi", is_mount=True)`."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        rest = scope["path"].removeprefix("/hooks/kinovi").rstrip("/")
        await receiver({**scope, "path": f"{rest}/"}, receive, send)

    return application


@pytest.mark.parametrize(
    ("mounted", "root_path"),
    [
        (starlette, ""), (fastapi, ""), (nested, ""), (django, ""), (litestar, ""),
        (nested, "/behind/a/proxy"),
    ],
)  # fmt: skip
async def test_it_is_mounted_anywhere(
    mounted: Callable[[WebhookReceiver], Any], root_path: str
) -> None:
    receiver = WebhookReceiver(public_url="https://app.example.com/hooks/kinovi")
    mailbox = FakeMailbox()
    receiver.attach(mailbox)
    transport = httpx.ASGITransport(mounted(receiver), root_path=root_path)
    path = f"{root_path}/hooks/kinovi/{SIGNER.path('job', 1)}"  # as servers put it together
    url = f"https://app.example.com{path}"
    async with httpx.AsyncClient(transport=transport) as http:
        assert (await http.post(url, json={"taskId": "t1"})).status_code == 200
        assert (await http.post(url[:-2] + "AA", json={"taskId": "t1"})).status_code == 404
        assert (await http.get(url)).status_code == 405
    assert [hint.task_id for hint in mailbox.taken] == ["t1"]
