"""Thousands of cancelled requests leave everything working (encode/httpcore#1093)."""

from __future__ import annotations

import asyncio
import json

import anyio
import httpx
import httpx2
import pytest
from anyio.lowlevel import checkpoint

from kinovi_async._transport import Accepted, HttpTransport

from .clients import BODY, RECORD, transport_for
from .faultd import Connection, Faultd, answer, faultd

pytestmark = pytest.mark.unwatched


class Switch:
    """A server that keeps silent until told to answer."""

    def __init__(self) -> None:
        self.silent = True

    async def script(self, connection: Connection) -> None:
        while True:
            request = await connection.request()
            if self.silent:
                await anyio.sleep_forever()
            body = b'{"taskId":"task_1"}' if request[:4] == b"POST" else json.dumps(RECORD).encode()
            await connection.send(answer(200, body))


async def _cancel_many(transport: HttpTransport, server: Faultd, count: int, batch: int) -> None:
    for number in range(count // batch):
        async with anyio.create_task_group() as group:
            for task in range(batch):
                group.start_soon(transport.fetch, f"task_{task}")
            # Cancelled at different moments: before, while and after connecting.
            for _ in range(number % 7):
                await checkpoint()
            if number % 3 == 0:
                await server.next_request()
            group.cancel_scope.cancel()


async def _still_works(transport: HttpTransport) -> None:
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(transport.fetch, "task_1")
        assert isinstance(await transport.submit(BODY), Accepted)


async def test_ten_thousand_cancels_over_our_own_connections() -> None:
    switch = Switch()
    async with faultd(switch.script) as server, transport_for("own", server.url) as transport:
        await _cancel_many(transport, server, 10_000, 250)
        switch.silent = False
        await _still_works(transport)


@pytest.mark.parametrize("kind", ["httpx", "httpx2"])
async def test_two_thousand_cancels_over_a_clients_pool(kind: str) -> None:
    async def script(connection: Connection) -> None:
        while True:
            request = await connection.request()
            body = b'{"taskId":"task_1"}' if request[:4] == b"POST" else json.dumps(RECORD).encode()
            await anyio.sleep(0.002)
            await connection.send(answer(200, body))

    library = {"httpx": httpx, "httpx2": httpx2}[kind]
    # A small pool: with it, the same cancellations leave a bare httpx client for dead.
    limits = library.Limits(max_connections=10)
    async with (
        faultd(script) as server,
        transport_for(kind, server.url, limits=limits) as transport,
    ):
        await _cancel_many(transport, server, 2_000, 50)
        await _still_works(transport)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("kind", ["own", "httpx"])
async def test_native_cancels(kind: str) -> None:
    """By asyncio's own Task.cancel(), which anyio's scopes do not see."""
    switch = Switch()
    async with (
        faultd(switch.script) as server,
        transport_for(kind, server.url, timeout=30) as transport,
    ):
        for count in range(20):
            tasks = [asyncio.ensure_future(transport.fetch("task_1")) for _ in range(40)]
            for _ in range(count % 10):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            if kind == "httpx":
                # Cancelled twice, they do not wait for their second of grace.
                switch.silent = False
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(result, asyncio.CancelledError) for result in results)
        switch.silent = False
        await _still_works(transport)


async def test_submissions_do_not_wait_behind_polls_nor_polls_behind_submissions() -> None:
    """64 polls and 16 submissions that hang leave the other kind alone."""

    async def polls_hang(connection: Connection) -> None:
        while True:
            if (await connection.request())[:3] == b"GET":
                await anyio.sleep_forever()
            await connection.send(answer(200, b'{"taskId":"task_1"}'))

    async def posts_hang(connection: Connection) -> None:
        while True:
            if (await connection.request())[:4] == b"POST":
                await anyio.sleep_forever()
            await connection.send(answer(200, json.dumps(RECORD).encode()))

    with anyio.fail_after(20):
        async with (
            faultd(polls_hang) as server,
            transport_for("own", server.url, timeout=60) as transport,
            anyio.create_task_group() as group,
        ):
            for _ in range(100):
                group.start_soon(transport.fetch, "task_1")
            await anyio.wait_all_tasks_blocked()
            assert isinstance(await transport.submit(BODY), Accepted)
            group.cancel_scope.cancel()
        for kind in ("own", "httpx"):
            async with (
                faultd(posts_hang) as server,
                transport_for(kind, server.url) as transport,
                anyio.create_task_group() as group,
            ):
                for _ in range(40):
                    group.start_soon(transport.submit, BODY)
                await anyio.wait_all_tasks_blocked()
                assert (await transport.fetch("task_1")).task_id == "task_1"
                group.cancel_scope.cancel()


async def test_connections_are_reused_and_the_last_one_first() -> None:
    switch = Switch()
    switch.silent = False
    async with faultd(switch.script) as server, transport_for("own", server.url) as transport:
        for _ in range(20):
            await transport.fetch("task_1")
        assert len(server.connections) == 1
        await transport.submit(BODY)
        await transport.submit(BODY)
        assert len(server.connections) == 3  # each submission had its own
        await transport.fetch("task_1")
        assert len(server.connections) == 3
