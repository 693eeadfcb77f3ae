"""`client.download` and `client.open` over real sockets: caps, their own bound, resumption."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import pytest

from kinovi_async import AsyncKinovi, DownloadError, Output, TaskRecord, TaskStatus
from kinovi_async._connection import DOWNLOADS_AT_ONCE
from tests.downloads.fakes import files_in
from tests.transport.faultd import Connection, answer, faultd

KEY = "sk-CANARY-of-downloads"
BODY = b"\x89PNG\r\n\x1a\n" + random.Random(3).randbytes(300_000) + b"IEND\xaeB`\x82"


class Api:
    """recordInfo and the files of its tasks, on one loopback port."""

    def __init__(self) -> None:
        self.port = 0
        self.breaks: list[int] = []
        self.ended: set[str] = set()
        self.requests: list[bytes] = []
        self.open = self.peak = 0
        self.together = 0
        """So many requests are waited for before any is answered."""
        self.all_there = anyio.Event()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/media/{name}.png"

    async def script(self, connection: Connection) -> None:
        while True:
            request = await connection.request()
            self.requests.append(request)
            if b"recordInfo" in request:
                body = (
                    '{"taskId":"t1","model":"nanobanana2","status":"success",'
                    f'"output":[{{"url":"{self.url("new")}"}}]}}'
                )
                await connection.send(answer(200, body.encode()))
            else:
                await self._file(connection, request)

    async def _file(self, connection: Connection, request: bytes) -> None:
        self.open += 1
        self.peak = max(self.peak, self.open)
        if self.open >= self.together:
            self.all_there.set()
        await self.all_there.wait()
        self.open -= 1
        if any(name.encode() in request for name in self.ended):
            await connection.send(answer(410, b""))
            return
        start, head = 0, 'ETag: "v1"'
        if b"range: bytes=" in request.lower():
            start = int(request.lower().partition(b"range: bytes=")[2].partition(b"-")[0])
            head += f"\r\nContent-Range: bytes {start}-{len(BODY) - 1}/{len(BODY)}"
        whole = answer(206 if start else 200, BODY[start:], head)
        if self.breaks:
            await connection.send(whole[: self.breaks.pop()])
            await connection.stream.aclose()
        else:
            await connection.send(whole)


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Api, AsyncKinovi]]:
    api = Api()
    async with faultd(api.script) as server:
        api.port = server.port
        base_url = f"http://127.0.0.1:{server.port}/api/v1"
        async with AsyncKinovi(api_key=KEY, base_url=base_url) as client:
            yield api, client


def record(*urls: str, task_id: str = "t1") -> TaskRecord:
    return TaskRecord(task_id, TaskStatus.SUCCESS, outputs=tuple(map(Output, urls)))


async def test_a_client_fetches_so_many_files_at_a_time_and_no_more(tmp_path: Path) -> None:
    """The server answers none until as many are asked for as the client may."""
    async with serving() as (api, client):
        api.together = DOWNLOADS_AT_ONCE
        async with anyio.create_task_group() as group:
            for number in range(4):
                urls = [api.url(f"{number}-{at}") for at in range(4)]
                given = record(*urls, task_id=f"t{number}")
                group.start_soon(client.download, given, tmp_path)
    assert api.peak == DOWNLOADS_AT_ONCE
    assert len(files_in(tmp_path)) == 16
    assert not any(b"authorization" in request.lower() for request in api.requests)


async def test_an_address_is_no_record(tmp_path: Path) -> None:
    async with serving() as (api, client):
        download: Callable[..., Awaitable[object]] = client.download
        with pytest.raises(TypeError, match=r"not str; open\(\) takes an address"):
            await download(api.url("a"), tmp_path)
        assert not api.requests


async def test_a_file_that_broke_off_goes_on_and_an_ended_address_is_renewed(
    tmp_path: Path,
) -> None:
    async with serving() as (api, client):
        api.ended, api.breaks = {"old"}, [200_000]
        paths = await client.download(record(api.url("old")), tmp_path)
    assert [path.read_bytes() for path in paths] == [BODY]
    assert files_in(tmp_path).keys() == {"t1_1.png"}
    kinds = [b"recordInfo" in request for request in api.requests]
    assert kinds == [False, True, False, False]
    assert b'if-range: "v1"' in api.requests[-1].lower()
    assert b"range: bytes=" in api.requests[-1].lower()


@pytest.mark.parametrize(
    "drip",
    [b"X", b"X-Name: value\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"],
    ids=["a byte", "a header", "an interim answer"],
)
@pytest.mark.parametrize("kind", ["own", "httpx"])
async def test_a_head_that_never_ends_is_given_up(kind: str, drip: bytes, tmp_path: Path) -> None:
    """Each byte comes well within the time for one step, so only the time for all ends it."""

    async def script(connection: Connection) -> None:
        await connection.request()
        if not drip.startswith(b"HTTP"):
            await connection.send(b"HTTP/1.1 200 OK\r\n")
        with contextlib.suppress(anyio.BrokenResourceError):
            while True:
                await connection.send(drip)
                await anyio.sleep(0.02)

    async with (
        faultd(script) as server,
        httpx.AsyncClient(trust_env=False) as borrowed,
        AsyncKinovi(
            api_key=KEY,
            base_url=server.url,
            timeout=0.2,
            http_client=borrowed if kind == "httpx" else None,
        ) as client,
    ):
        with pytest.raises(DownloadError, match="did not answer in time"):
            async with client.open(f"{server.url}/a.png"):
                pass
    assert files_in(tmp_path) == {}


async def test_sizes_are_bounded_for_one_file_and_for_a_call(tmp_path: Path) -> None:
    async with serving() as (api, client):
        given = record(api.url("a"), api.url("b"))
        with pytest.raises(DownloadError, match="larger than 1000 bytes") as caught:
            await client.download(given, tmp_path, max_file_size=1000)
        assert caught.value.task_id == "t1"
        with pytest.raises(DownloadError, match="all files together"):
            await client.download(given, tmp_path, max_total_size=len(BODY) + 1)
        with pytest.raises(DownloadError, match="larger than 1000 bytes"):
            async with client.open(given.outputs[0], max_file_size=1000):
                pass
        async with client.open(given.outputs[0]) as stream:
            assert b"".join([chunk async for chunk in stream]) == BODY
    assert len(files_in(tmp_path)) <= 1
