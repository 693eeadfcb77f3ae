"""The pytest plugin `kinovi`: fixtures for the tests of an application.

pytest imports this module in every run, so it imports nothing that a fixture has not asked
for. The fixtures are synchronous: they need no other plugin, and serve tests on asyncio,
on trio, and without an event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ._client import AsyncKinovi
    from .simulator import RunningSimulator
    from .testing import InstantSimulator


@pytest.fixture
def kinovi_simulator() -> InstantSimulator:
    """The Kinovi API in this process, whose tasks take no time; script it and read its books."""
    from .testing import InstantSimulator

    return InstantSimulator()


@pytest.fixture
def kinovi_client(kinovi_simulator: InstantSimulator) -> AsyncKinovi:
    """An `AsyncKinovi` of `kinovi_simulator`, without a socket; it needs no closing."""
    return kinovi_simulator.client()


@pytest.fixture
def kinovi_server(
    kinovi_simulator: InstantSimulator,
    monkeypatch: pytest.MonkeyPatch,
    _kinovi_stopping: list[Callable[[], None]],
) -> Iterator[RunningSimulator]:
    """`kinovi_simulator` on a loopback port, for an application that makes its own client.

    Sets `KINOVI_BASE_URL`, `KINOVI_API_KEY` and `KINOVI_POLL_INTERVAL`, for this process
    and those it starts.
    """
    from .simulator._server import begin
    from .testing import environment

    running, background = begin(kinovi_simulator)
    for name, value in environment(running).items():
        monkeypatch.setenv(name, value)
    yield running
    background.ask_to_stop()
    _kinovi_stopping.append(background.join)


@pytest.fixture(scope="session")
def _kinovi_stopping() -> Iterator[list[Callable[[], None]]]:
    """Servers on their way out: a tenth of a second each, which no test waits for."""
    joins: list[Callable[[], None]] = []
    yield joins
    for join in joins:
        join()
