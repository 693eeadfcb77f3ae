"""What a run of the command shows: its plan and its scheduler, its files and its disk."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio

from ..progress._tally import Tally
from ._plan import SUBMITTED, Step

if TYPE_CHECKING:
    from .._scheduler import JobScheduler
    from ..progress._snapshot import Snapshot
    from ._fetch import Fetcher
    from ._full_disk import FullDisk
    from ._options import RunOptions
    from ._plan import Plan
    from ._reporters import Reporter

REDRAW_SECONDS = 0.25
"""Four pictures a second: smooth for the eye, nothing for the processor."""


class RunProgress:
    """The counters of a run, and the task that shows them."""

    def __init__(self, options: RunOptions) -> None:
        self.tally = Tally(time.monotonic, budget=options.budget)
        self._assume_cost = options.assume_cost
        self._generation = options.api_generation
        self._fetcher: Fetcher | None = None
        self._full_disk: FullDisk | None = None

    def plan(self, decided: Plan) -> None:
        """What the run is about to do."""
        for planned in decided.of(Step.DONE, Step.FETCH, Step.LEFT):
            if planned.row is not None and planned.row.status is not None:
                self.tally.ended_before(planned.row.status)
        for planned in decided.of(*SUBMITTED):
            request = planned.line.request
            cost = request.cost(api_generation=self._generation)
            self.tally.expect(
                planned.line.key, request.model, self._assume_cost if cost is None else cost
            )

    def follow(self, scheduler: JobScheduler, fetcher: Fetcher | None, full_disk: FullDisk) -> None:
        """What else knows how the run stands."""
        self.tally.follow(scheduler)
        self._fetcher = fetcher
        self._full_disk = full_disk

    def snapshot(self) -> Snapshot:
        """The run as it stands."""
        disk, fetcher = self._full_disk, self._fetcher
        holds = disk is not None and disk.holds
        self.tally.held = "the disk is full; make room, and it goes on" if holds else None
        return self.tally.snapshot(
            fetching_files=0 if fetcher is None else fetcher.in_progress,
            fetched_bytes=0 if fetcher is None else fetcher.fetched_bytes,
        )

    async def show_on(self, reporter: Reporter, look: Callable[[], None]) -> None:
        """Shows the run until cancelled; `look` is called each time."""
        while True:
            reporter.show(self.snapshot())
            await anyio.sleep(REDRAW_SECONDS)
            look()
