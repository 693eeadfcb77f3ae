"""When a lane wakes up: at the first deadline of its jobs, or when something has changed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from .._scheduling import LazyHeap

if TYPE_CHECKING:
    from ._job import Job

__all__ = ["Deadlines"]


class Deadlines:
    """When to look at which job again; ended jobs leave it at once, or they would pile up."""

    def __init__(self) -> None:
        self._jobs: LazyHeap[Job] = LazyHeap()
        self._ticket = itertools.count()
        self._wakeup = anyio.Event()
        self._sleeps_until = -math.inf

    def __len__(self) -> int:
        return len(self._jobs)

    def put(self, job: Job, at: float) -> None:
        """Looks at the job at this time of the clock, and at no other set before."""
        self._jobs.put(job, (at, next(self._ticket)))
        self.alarm(at)

    def discard(self, job: Job) -> None:
        """The job needs no look any more."""
        self._jobs.discard(job)

    def take_due(self, now: float) -> Iterator[Job]:
        """Takes out the jobs whose time has come."""
        while (job := self._jobs.first()) is not None and self._jobs.key(job)[0] <= now:
            self._jobs.discard(job)
            yield job

    def wake(self) -> None:
        """Ends the sleep, now or as soon as it begins."""
        self._wakeup.set()

    def alarm(self, at: float) -> None:
        """Ends the sleep if it would last beyond this time."""
        if at < self._sleeps_until:
            self._wakeup.set()

    async def sleep(self, until: float | None) -> None:
        """Sleeps until this time, the first deadline, or `wake`."""
        first = self._jobs.first_time
        until = min(math.inf if until is None else until, math.inf if first is None else first)
        self._sleeps_until = until
        if until > anyio.current_time():
            with anyio.CancelScope(deadline=until):
                await self._wakeup.wait()
        else:
            await anyio.lowlevel.checkpoint()
        self._sleeps_until = -math.inf
        if self._wakeup.is_set():
            self._wakeup = anyio.Event()
