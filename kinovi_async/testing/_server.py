"""A simulator on a loopback port, for an application that makes its own client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..simulator import RunningSimulator, Simulator
from ..simulator._server import begin
from ._client import KEY, POLL_INTERVAL


@contextmanager
def serving(simulator: Simulator) -> Iterator[RunningSimulator]:
    """Serves a simulator while the block runs, on a free port, in a thread of its own.

    For tests of any kind, synchronous ones too. Webhooks are sent as well.
    """
    running, background = begin(simulator)
    try:
        yield running
    finally:
        background.join()


def environment(running: RunningSimulator) -> dict[str, str]:
    """The environment in which `AsyncKinovi()` talks to this server, and wastes no time."""
    low, high = POLL_INTERVAL
    return {
        "KINOVI_BASE_URL": running.base_url,
        "KINOVI_API_KEY": KEY,
        "KINOVI_POLL_INTERVAL": f"{low},{high}",
    }
