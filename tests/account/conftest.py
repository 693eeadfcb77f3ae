"""Every async test here runs in virtual time, on asyncio and trio."""

from __future__ import annotations

import pytest

from tests.virtual import virtual_backend


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return virtual_backend(request.param)
