"""The Kinovi API for the tests of your application: no key, no network, and no waiting.

With pytest, the fixtures `kinovi_simulator`, `kinovi_client` and `kinovi_server` are there
as soon as the package is installed; see docs/testing.md. Elsewhere, by hand:

    from kinovi_async.testing import InstantSimulator

    simulator = InstantSimulator(limit=3)
    simulator.fail(nth=3, code=2038)
    client = simulator.client()
    ...
    assert simulator.books.spent == 30

Needs the extra `simulator`: `pip install 'kinovi-async[simulator]'`.
"""

from __future__ import annotations

from ._client import KEY, POLL_INTERVAL, ClientOptions
from ._server import environment, serving
from ._simulator import InstantSimulator

__all__ = [
    "KEY",
    "POLL_INTERVAL",
    "ClientOptions",
    "InstantSimulator",
    "environment",
    "serving",
]
