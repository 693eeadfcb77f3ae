"""The Kinovi API on your own machine, to test applications with: no key, no network.

    from kinovi_async.simulator import Simulator, serve

    async with serve(Simulator(speed=50)) as running:
        client = AsyncKinovi(api_key="any", base_url=running.base_url)
        ...
        assert running.simulator.books.spent == 15

Needs the extra `simulator`: `pip install 'kinovi-async[simulator]'`.
"""

from __future__ import annotations

try:
    import PIL
    import starlette
    import uvicorn
except ImportError as error:
    raise ImportError(
        f"the simulator needs {error.name}: pip install 'kinovi-async[simulator]'",
        name=error.name,
    ) from None
else:
    del PIL, starlette, uvicorn

from ._accounts import DEMO_KEY, AccountSettings
from ._answers import Answer
from ._books import AcceptedTask, AccountBooks, Books
from ._faults import Fault, Faults, parse_faults
from ._hangups import SimulatedHangup
from ._script import PollRule, SubmitRule, TaskRule
from ._server import RunningSimulator, run_simulator, serve
from ._simulator import Simulator
from ._state import Webhook
from ._tasks import Dialect

__all__ = [
    "DEMO_KEY",
    "AcceptedTask",
    "AccountBooks",
    "AccountSettings",
    "Answer",
    "Books",
    "Dialect",
    "Fault",
    "Faults",
    "PollRule",
    "RunningSimulator",
    "SimulatedHangup",
    "Simulator",
    "SubmitRule",
    "TaskRule",
    "Webhook",
    "parse_faults",
    "run_simulator",
    "serve",
]
