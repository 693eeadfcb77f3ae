"""A ledger in use by this process: its lease, and the jobs that are live here.

At most one process runs a ledger: it holds the lease. Any other is a *member*: its jobs are
rows that the runner drives, and it becomes the runner when that one is gone. A process
works with the ledger as long as one of its lanes does.
"""

from __future__ import annotations

import logging
import os
import platform
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio

from .._crash_points import point
from .._errors import AmbiguousSubmissionError, LedgerError, LedgerInUseError
from .._ledger import JobRow, JobState, Ledger, Resolution, Totals
from .._outcomes import AttemptResult, OutcomeStatus
from ._duty import Duty
from ._ending import observe_end
from ._error_json import ending_of_attempt
from ._job import Job
from ._standing import Standing

if TYPE_CHECKING:
    from ._lane import Lane
    from ._mailbox import Mailbox

__all__ = ["LOOK", "Book", "look_scale"]

_log = logging.getLogger("kinovi_async")

# Seconds between two looks into a shared ledger, least and most; jittered, so that
# processes do not march in step. Real seconds, made shorter where polls are more frequent
# than every 3 s: what another process did is seen within half a second, and a dead one is
# replaced.
LOOK = (0.25, 0.5)
LEAST_SCALE = 0.05
"""A test's clock runs up to 50 times faster; a look still has its cost."""
# Looks that somebody who finds unfinished jobs and a free lease leaves to the members
# whose jobs they may be, before he takes them for leftovers of a dead process.
PATIENCE = 2.0
LEFTOVERS = "leftovers"
"""The ledger's name for the number up to which rows wait for a scheduler to take them up."""


def look_scale(second: float) -> float:
    """What a second between two looks lasts, when one of the account's waits lasts `second`."""
    return max(LEAST_SCALE, min(1.0, second))


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
        self.shared = False
        """Whether other processes can write in it; known once it is open."""
        self.runs = False
        """Whether this process holds the lease."""
        self.execution = uuid.uuid4().hex
        """Names this runner in every intent it writes."""
        self.duty = Duty()
        self.totals = Totals()
        """As last read, for the statistics."""
        self.live: dict[str, Job] = {}
        """Driven here, or followed."""
        self.followed: dict[str, Job] = {}
        """Those of `live` whose row another process runs."""
        self.told_unsent: set[str] = set()
        """Told here as not sent, though the rows stay queued: another process's to run."""
        self.unwritten: dict[str, str] = {}
        """Ids of paid tasks that the ledger could not keep, by key."""
        self.recalled: set[str] = set()
        """Accounts whose memory was taken up from this ledger."""
        self.wall = wall
        self.standing = Standing()
        self.mailbox: Mailbox | None = None
        """Where hints of webhooks about its jobs arrive."""
        self._inside: dict[Lane, None] = {}
        self._line: dict[Lane, None] = {}
        """Those that may keep the watch; the first does."""
        self._moved: anyio.Event | None = None
        self._lock: anyio.Lock | None = None
        self._leftovers: int | None = None
        """What is left alone, should nobody claim it until `_alone_at`."""
        self._alone_at = 0.0

    # -- lanes -------------------------------------------------------------------------

    async def join(self, lane: Lane) -> None:
        """A lane begins to work with the ledger, which is opened, and run if nobody does.

        Raises:
            LedgerInUseError: another live process runs it, and does not share it with us.
            LedgerError: it cannot be opened.
        """
        async with self._locked():
            await self.ledger.open()
            point("book: ledger open")
            if not self._inside:
                await self._begin(lane)
            elif lane.options.exclusive and not self.runs:
                await self._become_runner(lane)
                self.duty.take_over(floor=0)
            if lane.options.takes_all and self.runs and self.shared:
                self.duty.floor = 0
                await self._remember_floor()
            self._inside[lane] = None

    async def _begin(self, lane: Lane) -> None:
        position = await self.ledger.position() if self.durable else None
        self.shared = position is not None
        self._leftovers = None
        if position is None:
            await self._become_runner(lane)
            await self._begin_mailbox()
            return
        floor = await self._known_floor()
        if not (lane.options.takes_all or lane.options.exclusive):
            unfinished = {JobState.QUEUED, JobState.ACCEPTED}
            if await self.ledger.rows(states=unfinished, after=floor, limit=1):
                self._leftovers = position.entered
                wait = PATIENCE * LOOK[1] * look_scale(lane.account.second)
                self._alone_at = anyio.current_time() + wait
        self.duty.begin(position, floor=floor)
        if self._leftovers is None:
            try:
                await self._become_runner(lane)
            except LedgerInUseError:
                if lane.options.exclusive:
                    raise
        await self._begin_mailbox()

    async def leave(self, lane: Lane) -> None:
        """A lane is done with the ledger; the last one gives the lease back. Idempotent."""
        async with self._locked():
            if lane not in self._inside:
                return
            del self._inside[lane]
            if self.mailbox is not None:
                self.mailbox.leave(lane)
            if self._inside:
                if self.mailbox is not None:
                    self.mailbox.nudge()
                return
            self.told_unsent.clear()
            if self.runs:
                await self._write_unwritten()
                self.runs = False
                await self.ledger.release_lease()

    async def aclose(self) -> None:
        """Gives the lease back, and closes the ledger if it is ours. Idempotent."""
        if self.mailbox is not None:
            self.mailbox.close()
        if self.runs:
            self.runs = False
            await self.ledger.release_lease()
        if self.owned:
            await self.ledger.aclose()

    async def _begin_mailbox(self) -> None:
        if self.mailbox is not None:
            await self.mailbox.begin()

    def line_up(self, lane: Lane) -> None:
        """A lane may keep the watch when those before it are gone."""
        self._line[lane] = None
        self._moves()

    def step_back(self, lane: Lane) -> None:
        """A lane is about to end: another one keeps the watch."""
        self._line.pop(lane, None)
        self._moves()

    @property
    def has_watch(self) -> bool:
        """Whether a lane keeps the watch here, or is about to."""
        return bool(self._line)

    async def wait_for_turn(self, lane: Lane) -> None:
        """Waits until this lane is the longest there."""
        while next(iter(self._line), None) is not lane:
            if self._moved is None:
                self._moved = anyio.Event()
            await self._moved.wait()

    def _moves(self) -> None:
        moved, self._moved = self._moved, None
        if moved is not None:
            moved.set()

    # -- the lease ---------------------------------------------------------------------

    async def try_to_run(self, lane: Lane) -> bool:
        """Takes the lease if it is free, and with it the jobs of the one that had it."""
        async with self._locked():
            alone = self._leftovers is not None
            if self.runs or (alone and anyio.current_time() < self._alone_at):
                return False
            try:
                await self._become_runner(lane)
            except LedgerInUseError:
                self._leftovers = None  # somebody took them up
                return False
            floor = await self._known_floor()
            if any(lane.options.takes_all for lane in self._inside):
                floor = 0
            elif self._leftovers is not None:
                floor = self._leftovers
            self._leftovers = None
            self.duty.take_over(floor=floor)
            await self._remember_floor()
            await self._begin_mailbox()
            return True

    async def _become_runner(self, lane: Lane) -> None:
        holder = f"pid {os.getpid()} on {platform.node()}"
        await self.ledger.acquire_lease(self.execution, holder)
        point("book: lease held")
        try:
            # Intents of dead processes: we hold the lease, so nobody will finish them.
            while rows := await self.ledger.rows(states={JobState.SENDING}):
                for row in rows:
                    await self.settle_dangling(lane, row)
                    point("book: dangling intent settled")
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self.ledger.release_lease()
            raise
        self.runs = True
        self.standing.take_over(anyio.current_time())

    async def _known_floor(self) -> int:
        known = await self.ledger.recall(LEFTOVERS)
        return known if isinstance(known, int) and not isinstance(known, bool) else 0

    async def _remember_floor(self) -> None:
        if await self._known_floor() != self.duty.floor:
            await self.ledger.remember(LEFTOVERS, self.duty.floor)

    def _locked(self) -> anyio.Lock:
        if self._lock is None:
            self._lock = anyio.Lock()
        return self._lock

    # -- rows --------------------------------------------------------------------------

    @property
    def lanes(self) -> list[Lane]:
        """Those that work with the ledger, as of now; without the lanes that they host."""
        return list(self._inside)

    @property
    def hosts(self) -> bool:
        """Whether jobs that others enter may be driven here."""
        return not any(lane.options.exclusive for lane in self._inside)

    @property
    def has_unsent(self) -> bool:
        """Whether a followed job has not been accepted, as far as known."""
        return any(
            job.lane is not None and job.key not in job.lane.running
            for job in self.followed.values()
        )

    def arriving_keys(self) -> set[str]:
        """Of jobs that are on their way through the ledger into a lane here."""
        arrivals = (arrival for lane in self._inside for arrival in lane.arriving)
        return {job.key for arrival in arrivals for job in arrival.jobs}

    async def count_money(self) -> None:
        """Keeps the totals at hand for the statistics."""
        self.totals = await self.ledger.totals()

    async def settle_dangling(self, lane: Lane, row: JobRow) -> JobRow | None:
        """Ends a job whose submission was on the wire when its process died."""
        if row.execution == self.execution and row.key in self.unwritten:
            return await self._write_accepted(row.key)
        error = AmbiguousSubmissionError(
            f"job {row.key}: the process ended while its submission was on the wire; "
            "it may have been accepted"
        )
        ending = ending_of_attempt(error, AttemptResult.AMBIGUOUS, at=self.wall())
        ended = await self.ledger.end(row.key, ending)
        if ended is not None:
            observe_end(lane, Job.of_row(ended), ended, error=error)
        return ended

    async def put_right(self, row: JobRow) -> JobRow:
        """The row, or what it becomes when this process knows better than the ledger."""
        if row.status is not OutcomeStatus.AMBIGUOUS or row.key not in self.unwritten:
            return row
        task_id = self.unwritten.pop(row.key)
        return await self.ledger.resolve(
            row.key, Resolution.ACCEPTED, at=self.wall(), task_id=task_id
        )

    async def _write_accepted(self, key: str) -> JobRow | None:
        at = self.wall()
        await self.ledger.accepted(key, self.execution, self.unwritten[key], at=at)
        del self.unwritten[key]
        return await self.ledger.get(key)

    async def _write_unwritten(self) -> None:
        """The next runner would have to take them for ambiguous."""
        for key, task_id in list(self.unwritten.items()):
            try:
                await self._write_accepted(key)
            except LedgerError as error:
                _log.critical("job %s became task %s: %s", key, task_id, error)
