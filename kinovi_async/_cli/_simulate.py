"""The bundled simulator inside the command: started on a loopback port, stopped with it.

A simulated account must outlive the command, as a real one does: an interrupted run
finds its tasks again. The simulator follows from its seed, its calls and its clock
alone, so it is enough to keep the accepted calls with their times and to play them to
the next one.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol

from .._errors import ConfigurationError
from ._exits import ExitCode

if TYPE_CHECKING:
    from .._requests import ApiGeneration
    from ..simulator import RunningSimulator, Simulator

CALLS_NAME = "simulator.jsonl"
MISSING_EXTRA = "the simulator needs more packages: pip install 'kinovi-async[cli,simulator]'"
_ACCEPTED = 200


class SteppingClock:
    """Unix time that never steps back; set to earlier moments while calls are played."""

    def __init__(self) -> None:
        self._zero = time.time() - time.monotonic()
        self.at: float | None = None

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return time.monotonic() + self._zero if self.at is None else self.at


@asynccontextmanager
async def simulator(out: Path | None, *, speed: float, key: str) -> AsyncIterator[str]:
    """A running simulator's base URL; it knows what earlier runs in `out` had accepted.

    Without `out` it knows and keeps nothing.

    Raises:
        ConfigurationError: the extra `simulator` is not installed.
    """
    from ..simulator import serve

    with _no_proxy(), ExitStack() as stack:
        if out is None:
            out = Path(stack.enter_context(TemporaryDirectory(prefix="kinovi-")))
        async with serve(lasting_simulator(out / CALLS_NAME, speed=speed, key=key)) as running:
            yield running.base_url


@contextmanager
def _no_proxy() -> Iterator[None]:
    """Keeps this process's calls to itself: a proxy of the environment could not make them."""
    before = {name: os.environ.get(name) for name in ("no_proxy", "NO_PROXY")}
    for name, value in before.items():
        os.environ[name] = ",".join(filter(None, (value, "127.0.0.1")))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def lasting_simulator(calls: Path, *, speed: float, key: str) -> Simulator:
    """A simulator that keeps its accepted calls in a file, and begins with those in it.

    Raises:
        ConfigurationError: the extra `simulator` is not installed.
    """
    try:
        from ..simulator import Simulator
    except ImportError as error:
        raise ConfigurationError(MISSING_EXTRA) from error

    class Lasting(Simulator):
        """Writes a call down before it is answered: what was answered is never lost."""

        def submit(self, authorization: str | None, raw: bytes, media_base: str):  # type: ignore[no-untyped-def] # noqa: ANN202 - as the base class
            answer = super().submit(authorization, raw, media_base)
            if clock.at is None and answer.answer.status == _ACCEPTED:
                _keep(calls, clock(), raw)
            return answer

    clock = SteppingClock()
    found = Lasting(speed=speed, clock=clock, started_at=clock())
    for at, raw in kept_calls(calls):
        clock.at = at
        found.submit(f"Bearer {key}", raw, "")
    clock.at = None
    return found


def _keep(calls: Path, at: float, raw: bytes) -> None:
    line = json.dumps({"at": at, "body": json.loads(raw)}) + "\n"
    with calls.open("ab", buffering=0) as stream:
        stream.write(line.encode())


def kept_calls(calls: Path) -> Iterator[tuple[float, bytes]]:
    """The times and bodies of accepted calls; a line that a crash cut off is left out."""
    try:
        lines = calls.read_bytes().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            found = json.loads(line)
            yield float(found["at"]), json.dumps(found["body"]).encode()
        except (ValueError, KeyError, TypeError):
            continue


class Ready(Protocol):
    """Tells where a server listens."""

    def __call__(self, running: RunningSimulator) -> None:
        """It listens."""


def serve_command(
    *,
    port: int,
    limit: int,
    speed: float,
    faults: Sequence[str],
    seed: int,
    api_generation: ApiGeneration | None = None,
) -> ExitCode:
    """`kinovi simulator`: serves until Ctrl-C.

    Raises:
        ConfigurationError: an option is out of range, the extra is missing, or the port
            is taken.
    """
    try:
        from ..simulator import Simulator, parse_faults, run_simulator
    except ImportError as error:
        raise ConfigurationError(MISSING_EXTRA) from error
    made = Simulator(
        seed=seed,
        speed=speed,
        limit=limit,
        faults=parse_faults(",".join(faults)),
        api_generation=api_generation,
    )

    def ready(running: RunningSimulator) -> None:
        sys.stdout.write(
            f"the simulated API listens; use it with\n"
            f"  export KINOVI_BASE_URL={running.base_url} KINOVI_API_KEY=any-key\n"
            f"{limit} slots, {speed:g} times real time; Ctrl-C ends it\n"
        )
        sys.stdout.flush()

    try:
        run_simulator(made, port=port, on_ready=ready)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(f"cannot listen on port {port}: {reason}") from error
    return ExitCode.OK
