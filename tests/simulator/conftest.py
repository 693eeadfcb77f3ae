from __future__ import annotations

import pytest

from tests.simulator.calls import Clock


@pytest.fixture
def anyio_backend() -> str:
    """Servers are asyncio only; what works on trio as well has a test of its own."""
    return "asyncio"


@pytest.fixture
def clock() -> Clock:
    return Clock()
