"""Fixtures every test shares."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from tests.canary import Lookout
from tests.watched import is_watched, unwatched


def pytest_configure(config: pytest.Config) -> None:
    """Looks for the suite's key in everything the session makes."""
    config.pluginmanager.register(Lookout(), "canary")
    if config.option.log_level is None:
        # The look-out hears DEBUG; `caplog` and the reports of failures as ever.
        config.option.log_level = "WARNING"
    config.addinivalue_line("markers", "unwatched: coverage looks away; see tests/watched.py")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Coverage watches where it tells something."""
    if is_watched(item):
        return (yield)
    with unwatched():
        return (yield)


@pytest.fixture(scope="session", autouse=True)
def unwatched_children() -> None:
    """Coverage is for the workers of xdist; what a test starts does not even import it."""
    for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
        del os.environ[name]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Every async test runs on both backends; a module of asyncio-only servers overrides this."""
    return str(request.param)
