"""Fixtures every test shares."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Every async test runs on both backends; a module of asyncio-only servers overrides this."""
    return str(request.param)
