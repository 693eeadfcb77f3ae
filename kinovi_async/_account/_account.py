"""One API key at one base URL: whoever waits drives the queue for its slots.

No background task: every waiting call is a *lane* with a task group of its own. The
decision core says what to submit and poll next; `pump` hands each decision to the lane
the job belongs to. One lane, the longest there, also keeps the core's timer; when it
leaves, the next takes over.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, cast

import anyio
from anyio.lowlevel import current_token

from .._errors import ConfigurationError, KinoviError
from .._policy import SubmitPolicy
from .._requests import SEED, ApiGeneration, describe
from .._scheduling import AccountState
from ._breaker import Breaker

if TYPE_CHECKING:
    from .._events import Observer
    from .._transport import Transport
    from ._job import Job
    from ._lane import Lane
    from ._uploads import Uploads

__all__ = ["Account"]

# Tasks whose jobs are remembered; 1 MB at most.
_TOLD = 10_000


def _typical_seconds(model: str) -> tuple[float, float] | None:
    description = describe(model)
    return description.typical_seconds if description else None


class Account:
    """The shared queue. Everything in it happens on one event loop."""

    def __init__(
        self,
        transport: Transport,
        *,
        name: str = "account",
        api_generation: ApiGeneration = SEED,
        poll_interval: tuple[float, float],
        max_in_flight: int | None,
        policy: SubmitPolicy,
        wall: Callable[[], float],
        rng: Random,
    ) -> None:
        self.transport = transport
        self.name = name
        """Under which a ledger remembers what was learned; tells accounts apart."""
        self.api_generation = api_generation
        """In whose names and at whose prices requests go out."""
        self.policy = policy
        self.wall = wall
        self.rng = rng
        self.second = poll_interval[0] / 3
        """What a second of the scheduler's waits lasts: they scale with the poll interval."""
        self.state = AccountState(
            poll_interval=poll_interval,
            max_in_flight=max_in_flight,
            rng=rng,
            expected_seconds=_typical_seconds,
        )
        self.wake_at: float | None = None
        self.unsent_in_a_row = 0
        """Submissions that never left since the last that did."""
        self.answered = False
        """Whether the API ever answered: until it has, the address itself is in doubt."""
        self.breaker = Breaker()
        self.uploads: Uploads | None = None
        """Of local files; None where nothing can be uploaded."""
        self.observer: Observer | None = None
        """Hears of every job; see `kinovi_async.otel`."""
        self._told: dict[str, str] = {}
        """Keys of jobs by the task the server told them."""
        self._driving: dict[Lane, None] = {}
        self._closed: KinoviError | None = None
        self._loop: object = None
        self._pid = os.getpid()

    def check_loop(self) -> None:
        """Refuses use from another event loop or a forked process.

        Raises:
            ConfigurationError: the client was used elsewhere before.
        """
        if os.getpid() != self._pid:
            msg = "this client was made before a fork; make a new one in the child process"
            raise ConfigurationError(msg)
        loop = current_token()
        if self._loop is None:
            self._loop = loop
        elif self._loop != loop:
            msg = "this client belongs to another event loop; make one for each loop"
            raise ConfigurationError(msg)

    def join(
        self, lane: Lane, max_in_flight: int | None = None, *, within: Lane | None = None
    ) -> None:
        """A waiting call is going to drive jobs, with a bound of its own or another's."""
        self.check_loop()
        self.state.add_lane(lane, max_in_flight=max_in_flight, within=within)

    def drive(self, lane: Lane) -> None:
        """A waiting call begins to drive its jobs."""
        if self._closed is not None:  # since the call looked
            lane.fail(self._closed)
        self._driving[lane] = None
        self.pump()

    def retire(self, lane: Lane) -> None:
        """A waiting call is about to end: it begins nothing more, another keeps the time."""
        self._driving.pop(lane, None)
        self.state.pause_lane(lane)
        self.pump()

    def close(self, error: KinoviError) -> None:
        """The client is closed: whoever still waits is told, or is about to wait."""
        self._closed = error
        for lane in list(self._driving):
            lane.fail(error)

    def leave(self, lane: Lane) -> None:
        """A waiting call ends: what it still has queued or running is out of the count."""
        self._driving.pop(lane, None)
        self.state.remove_lane(lane)
        self.pump()

    def is_at_home(self, loop: object) -> bool:
        """Whether this is the event loop that the client belongs to, as far as is known."""
        return self._loop is None or self._loop == loop

    def key_of_task(self, task_id: str) -> str | None:
        """Which job was told this task, of the latest ones."""
        return self._told.get(task_id)

    def note_task(self, task_id: str, key: str) -> str | None:
        """Which other job was told this task already: two would be one charge too many.

        Of the latest tasks only; a job that is waited for again is no other one.
        """
        other = self._told.pop(task_id, None)
        self._told[task_id] = key
        if len(self._told) > _TOLD:
            del self._told[next(iter(self._told))]
        return other if other != key else None

    def keeps_time(self, lane: Lane) -> bool:
        """Whether this lane sleeps for all of them."""
        return next(iter(self._driving), None) is lane

    def pump(self) -> None:
        """Hands out what the core decides. Called after every event and at `wake_at`."""
        decisions = self.state.decide(anyio.current_time())
        for entry in decisions.submit:
            cast("Lane", entry.lane).begin_submission(cast("Job", entry.payload))
        for entry in decisions.poll:
            cast("Lane", entry.lane).begin_poll(cast("Job", entry.payload))
        self.wake_at = decisions.wake_at
        keeper = next(iter(self._driving), None)
        if keeper is not None:
            keeper.alarm(self.wake_at)
