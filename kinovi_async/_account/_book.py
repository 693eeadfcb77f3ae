"""A ledger in use by this process: its lease, and the jobs that are live here."""

from __future__ import annotations

import os
import platform
import uuid
from collections.abc import Callable

import anyio

from .._errors import AmbiguousSubmissionError
from .._ledger import JobRow, JobState, Ledger
from .._outcomes import AttemptResult
from ._error_json import ending_of_attempt
from ._job import Job

__all__ = ["Book"]


class Book:
    """Shared by all lanes that use one ledger in this process."""

    def __init__(
        self, ledger: Ledger, *, durable: bool, wall: Callable[[], float], owned: bool = True
    ) -> None:
        self.ledger = ledger
        self.owned = owned
        """Whether the ledger is closed with the book."""
        self.durable = durable
        """Whether another process can take up what this one leaves."""
        self.execution = uuid.uuid4().hex
        """Names this runner in every intent it writes."""
        self.live: dict[str, Job] = {}
        self.unwritten: dict[str, str] = {}
        """Ids of paid tasks that the ledger could not keep, by key."""
        self.recalled: set[str] = set()
        """Accounts whose memory was taken up from this ledger."""
        self.wall = wall
        self._lock: anyio.Lock | None = None
        self._open = False

    async def open(self) -> None:
        """Opens the ledger and becomes its runner. Idempotent.

        Raises:
            LedgerError: it cannot be opened, or another live process runs it.
        """
        if self._lock is None:
            self._lock = anyio.Lock()
        async with self._lock:
            if self._open:
                return
            await self.ledger.open()
            holder = f"pid {os.getpid()} on {platform.node()}"
            await self.ledger.acquire_lease(self.execution, holder)
            try:
                await self._settle_dangling()
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await self.ledger.release_lease()
                raise
            self._open = True

    async def aclose(self) -> None:
        """Gives the lease back, and closes the ledger if it is ours. Idempotent."""
        if self._open:
            self._open = False
            await self.ledger.release_lease()
        if self.owned:
            await self.ledger.aclose()

    async def _settle_dangling(self) -> None:
        """Intents of dead processes: we hold the lease, so nobody will finish them."""
        while rows := await self.ledger.rows(states={JobState.SENDING}):
            for row in rows:
                await self.settle_dangling(row)

    async def settle_dangling(self, row: JobRow) -> JobRow | None:
        """Ends a job whose submission was on the wire when its process died."""
        error = AmbiguousSubmissionError(
            f"job {row.key}: the process ended while its submission was on the wire; "
            "it may have been accepted"
        )
        ending = ending_of_attempt(error, AttemptResult.AMBIGUOUS, at=self.wall())
        return await self.ledger.end(row.key, ending)
