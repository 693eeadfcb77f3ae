"""Calls of the API as a client makes them, a clock set by hand, and bodies that are right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anyio
import httpx

from kinovi_async.simulator import Simulator
from tests.canary import CANARY

KEY = CANARY
BASE = "http://simulator/api/v1"
JsonObject = dict[str, Any]


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def banana(prompt: str = "a cat", **inputs: Any) -> JsonObject:
    return {"model": "nanobanana2", "inputs": {"prompt": prompt, **inputs}}


def seedance(prompt: str = "a walk", **inputs: Any) -> JsonObject:
    return {"model": "seedance-20", "inputs": {"prompt": prompt, **inputs}}


class Caller(httpx.AsyncClient):
    """An HTTP client with the two calls of the API."""

    async def create(self, body: object, **options: Any) -> httpx.Response:
        return await self.post("/jobs/createTask", json=body, **options)

    async def created(self, body: object) -> str:
        answer = await self.create(body)
        assert answer.status_code == 200, answer.text
        assert list(answer.json()) == ["taskId"]
        return str(answer.json()["taskId"])

    async def info(self, task_id: str, **options: Any) -> httpx.Response:
        return await self.get("/jobs/recordInfo", params={"taskId": task_id}, **options)

    async def record(self, task_id: str) -> JsonObject:
        answer = await self.info(task_id)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


async def books_over_http(origin: str, true: Callable[[JsonObject], bool]) -> JsonObject:
    """The books of a running simulator, asked for again until they say so."""
    async with httpx.AsyncClient(base_url=origin) as client:
        with anyio.fail_after(20):
            while True:
                books = (await client.get("/simulator/books")).json()
                if true(books):
                    return dict(books)


def caller(simulator: Simulator, key: str | None = KEY) -> Caller:
    """A client of the simulator in this process, without a socket."""
    return Caller(
        transport=httpx.ASGITransport(simulator.app), base_url=BASE, headers=headers_of(key)
    )


def headers_of(key: str | None) -> Mapping[str, str]:
    return {} if key is None else {"Authorization": f"Bearer {key}"}
