"""Fixtures every test shares."""

from __future__ import annotations

import pytest

from tests.canary import Lookout


def pytest_configure(config: pytest.Config) -> None:
    """Looks for the suite's key in everything the session makes."""
    config.pluginmanager.register(Lookout(), "canary")
    if config.option.log_level is None:
        # The look-out hears DEBUG; `caplog` and the reports of failures as ever.
        config.option.log_level = "WARNING"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Every async test runs on both backends; a module of asyncio-only servers overrides this."""
    return str(request.param)
