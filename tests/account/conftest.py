"""Every async test here runs in virtual time, on asyncio and trio."""

from __future__ import annotations

from typing import Any

import pytest
import trio.testing

from tests.virtual import VirtualClockLoop


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    if request.param == "asyncio":
        return "asyncio", {"loop_factory": VirtualClockLoop}
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}
