"""A full disk in the middle of a run: what waits for room, for how long, and what goes on.

Submissions wait, because their results could not be saved; polls and everything else go
on, because tasks end all the same. Files are tried again every few seconds. When nothing
runs any more and there is still no room, the run ends in order and can be resumed.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from .._downloads import SaveOptions
    from .._scheduler import JobScheduler
    from ._fetch import Fetched

RETRY_SECONDS = 5.0
"""Between two tries of a file for which there was no room."""
PATIENCE_SECONDS = 30.0
"""How long room is waited for once nothing runs that could still end."""
DISK_FULL = "the disk is full"
"""Why a file is missing that was not tried any more."""


class FullDisk:
    """Holds submissions while files wait for room on the disk.

    Args:
        hold: Begins to hold submissions back.
        release: Lets them go again.
        tell: Takes a line for people.
        is_busy: Whether a task runs or is being submitted.
        give_up: Called once when there is still no room and nothing runs any more.
        retry_seconds: Between two tries.
        patience: Seconds after the last task.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        *,
        hold: Callable[[], None],
        release: Callable[[], None],
        tell: Callable[[str], None],
        is_busy: Callable[[], bool],
        give_up: Callable[[], None],
        retry_seconds: float = RETRY_SECONDS,
        patience: float = PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hold = hold
        self._release = release
        self._tell = tell
        self._is_busy = is_busy
        self._give_up = give_up
        self._retry_seconds = retry_seconds
        self._patience = patience
        self._clock = clock
        self._waiting = 0
        self._idle_since: float | None = None
        self._room = anyio.Event()
        self.given_up = False
        """Whether nobody waits for room any more: files are not tried again in this run."""

    def begin(self) -> None:
        """A file met the full disk; `retried` follows."""
        self._waiting += 1
        if self._waiting == 1 and not self.given_up:
            self._idle_since = None
            self._hold()
            self._tell(
                "the disk is full: nothing more is submitted until there is room; tasks that "
                f"run are waited for, files are tried again every {self._retry_seconds:g} s"
            )

    @property
    def holds(self) -> bool:
        """Whether submissions are held back at the moment."""
        return self._waiting > 0 and not self.given_up

    async def retried(self, first: Fetched, fetch: Callable[[], Awaitable[Fetched]]) -> Fetched:
        """Fetches again and again until there is room, or nobody waits for it any more.

        Cancellation: submissions stay held, for a run that ends.
        """
        fetched = first
        while fetched.disk_full and not self.given_up:
            with anyio.move_on_after(self._retry_seconds):
                await self._room.wait()
            self._look_at_the_time()
            if not self.given_up:
                fetched = await fetch()
        self._end(fetched)
        return fetched

    def _end(self, fetched: Fetched) -> None:
        self._waiting -= 1
        if not fetched.disk_full:
            # The others need not wait for their turn.
            self._room.set()
            self._room = anyio.Event()
        if self._waiting == 0 and not self.given_up:
            self._release()
            self._tell("there is room on the disk again: going on")

    def _look_at_the_time(self) -> None:
        now = self._clock()
        if self._is_busy():
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since >= self._patience and not self.given_up:
            self.given_up = True
            self._give_up()


@dataclass(frozen=True, slots=True)
class Disk:
    """What a run has to do with the disk it writes to."""

    saving: SaveOptions | None = None
    """How files are saved; None as the run's options say."""
    retry_seconds: float = RETRY_SECONDS
    patience: float = PATIENCE_SECONDS

    def watch(
        self,
        scheduler: JobScheduler,
        *,
        tell: Callable[[str], None],
        stopping: Callable[[], bool],
        give_up: Callable[[], None],
    ) -> FullDisk:
        """Holds this scheduler's submissions, unless the run is stopping anyway."""

        def hold() -> None:
            lane = scheduler._lane  # noqa: SLF001 - one package
            if lane is not None:
                lane.hold()

        def release() -> None:
            lane = scheduler._lane  # noqa: SLF001 - as above
            # What stopped the run may hold the lane too, and for good.
            if lane is not None and not stopping():
                lane.release()

        def is_busy() -> bool:
            now = scheduler.statistics()
            return now.in_flight + now.submitting > 0

        return FullDisk(
            hold=hold,
            release=release,
            tell=tell,
            is_busy=is_busy,
            give_up=give_up,
            retry_seconds=self.retry_seconds,
            patience=self.patience,
        )
