"""The real client against the simulator in process, in virtual time, on both backends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import pytest

from kinovi_async import AsyncKinovi
from kinovi_async.simulator import Simulator
from tests.canary import CANARY
from tests.virtual import virtual_backend

KEY = CANARY


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return virtual_backend(request.param)


class Api:
    """The simulator and what is needed to talk to it without a socket."""

    def __init__(self) -> None:
        self.simulator = Simulator(limit=3, clock=anyio.current_time)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.simulator.app))

    def client(self, **options: Any) -> AsyncKinovi:
        given = {"api_key": KEY, "base_url": "http://localhost/api/v1", "http_client": self.http}
        return AsyncKinovi(**{**given, **options})


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    api = Api()
    yield api
    await api.http.aclose()


@pytest.fixture
async def client(api: Api) -> AsyncIterator[AsyncKinovi]:
    async with api.client() as client:
        yield client
