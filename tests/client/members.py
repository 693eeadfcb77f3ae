"""Several processes on one ledger, played by several clients in one process, in virtual time.

Each has a ledger object of its own on one file. The lock of the lease keeps out a second
object of the same process as it keeps out another process, so that they meet as such.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.abc
import anyio.lowlevel

from kinovi_async import AsyncKinovi, JobScheduler, LedgerError, SQLiteLedger
from kinovi_async._ledger._line import Call

from .conftest import Api

T = TypeVar("T")


class InlineLedger(SQLiteLedger):
    """A SQLite ledger without a thread, which virtual time would not wait for."""

    dead = False

    async def _run(self, call: Call[T]) -> T:
        await anyio.lowlevel.cancel_shielded_checkpoint()
        if self.dead:
            raise LedgerError("the process is dead")
        self._serve([call])
        return call.result()

    async def open(self) -> None:
        await super().open()
        # Nobody pulls the plug here, and waiting for the disk is what tests would do mostly.
        self._opened().execute("PRAGMA synchronous = OFF")

    def kill(self) -> None:
        """Its process dies: nothing it does from now on reaches the file, and its lock ends."""
        self.dead = True
        if self._lease is not None:
            self._lease.drop()
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Member:
    """A process with a client, and usually a scheduler."""

    def __init__(self, client: AsyncKinovi, ledger: InlineLedger) -> None:
        self.client = client
        self.ledger = ledger
        self.scope = anyio.CancelScope()
        self.scheduler: JobScheduler | None = None

    @property
    def runs(self) -> bool:
        """Whether it runs the ledger."""
        return self.client._shared.book.runs

    def kill(self) -> None:
        """As kill -9 would."""
        self.ledger.kill()
        self.scope.cancel()


@asynccontextmanager
async def process(api: Api, path: Path, **options: Any) -> AsyncIterator[Member]:
    """A process that has not begun to work with the ledger yet."""
    ledger = InlineLedger(path)
    async with api.client(ledger=ledger, **options) as client:
        try:
            yield Member(client, ledger)
        finally:
            ledger.dead = False
            with anyio.CancelScope(shield=True):
                await ledger.aclose()


@asynccontextmanager
async def scheduler(api: Api, path: Path, **options: Any) -> AsyncIterator[JobScheduler]:
    """A process with a scheduler at work."""
    async with process(api, path) as member, JobScheduler(member.client, **options) as made:
        yield made


class Life:
    """A process with a scheduler, in a task of its own: it can leave, or be killed, at any time."""

    def __init__(self, api: Api, path: Path, **options: Any) -> None:
        self._api = api
        self._path = path
        self._options = options
        self._begun = anyio.Event()
        self._leave = anyio.Event()
        self.gone = anyio.Event()
        self.member: Member
        self.scheduler: JobScheduler

    async def start(self, group: anyio.abc.TaskGroup) -> Life:
        """Begins in a task of its own; answers when it works with the ledger."""
        group.start_soon(self._run)
        await self._begun.wait()
        return self

    async def _run(self) -> None:
        try:
            async with process(self._api, self._path) as member:
                self.member = member
                with member.scope:
                    await self._work(member)
        finally:
            self.gone.set()

    async def _work(self, member: Member) -> None:
        try:
            async with JobScheduler(member.client, **self._options) as made:
                self.scheduler = made
                self._begun.set()
                await self._leave.wait()
                await made.drain(deadline=0)
        except LedgerError:
            if not member.ledger.dead:
                raise

    def leave(self) -> None:
        """Goes in order, with its jobs left to the ledger."""
        self._leave.set()

    def kill(self) -> None:
        """As kill -9 would."""
        self.member.kill()
