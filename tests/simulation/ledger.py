"""The ledger of a process that may die, on a disk that may fail.

Every call is two events: before anything is written, and after. What the library writes is
compared with what the server did, transition by transition. The real ledger below keeps the
rows, in memory for volume or in SQLite; a dead process's calls do not reach it.
"""

from __future__ import annotations

import inspect
from collections.abc import Coroutine
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol, cast

import anyio
import anyio.lowlevel

from kinovi_async import LedgerError
from kinovi_async._ledger import (
    Ending,
    Ledger,
    MemoryLedger,
    NewJob,
    Permission,
    SQLiteLedger,
)
from kinovi_async._outcomes import AttemptResult

from .world import EPSILON, Process, Row, World

__all__ = ["Disk", "InMemory", "MortalLedger", "OnDisk"]

LOST_AFTER = 60.0
"""Seconds that a task may be unknown before it counts as lost."""
LEAST_WAIT = 900.0
"""Seconds that every task is waited for at least, unless its job says otherwise."""
RESUBMITS = 2


class Disk(Protocol):
    """Where the rows are, across all processes."""

    def ledger(self) -> Ledger:
        """The ledger of a new process."""

    def committed(self) -> Decimal:
        """The worst case in credits, as it stands."""

    def bury(self, ledger: Ledger) -> None:
        """The ledger's process is dead: what the system takes from it."""


class InMemory:
    """Rows that outlive the processes."""

    def __init__(self) -> None:
        self._ledger = MemoryLedger()

    def ledger(self) -> Ledger:
        """The same for all."""
        return self._ledger

    def committed(self) -> Decimal:
        """From the rows' totals."""
        return self._ledger._book.totals.committed

    def bury(self, _ledger: Ledger) -> None:
        """A lease ends with its process."""
        self._ledger._lease = None


class _InlineSQLite(SQLiteLedger):
    """Without the thread, which would neither be repeatable nor live in virtual time."""

    async def _run(self, call: Any) -> Any:
        self._serve([call])
        return call.result()


class OnDisk:
    """A SQLite file, opened anew by every process."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._opened: list[_InlineSQLite] = []

    def ledger(self) -> Ledger:
        """A new object on the same file."""
        ledger = _InlineSQLite(self._path)
        self._opened.append(ledger)
        return ledger

    def committed(self) -> Decimal:
        """From the file."""
        self._opened = [each for each in self._opened[:-1] if each._connection is not None] + (
            self._opened[-1:]
        )
        for ledger in self._opened:
            if ledger._connection is not None:
                return Decimal(_at_once(ledger.totals()).committed)
        return Decimal("Infinity")  # nobody has it open: nothing can be submitted either

    def bury(self, ledger: Ledger) -> None:
        """Locks and open transactions end with the process."""
        assert isinstance(ledger, _InlineSQLite)
        if ledger._lease is not None:
            ledger._lease.drop()
        if ledger._connection is not None:
            ledger._connection.close()
            ledger._connection = None

    def close(self) -> None:
        """All processes have ended."""
        for ledger in self._opened:
            self.bury(ledger)


class MortalLedger:
    """A process's view of the ledger. Its methods are those of `Ledger`, made below."""

    def __init__(self, disk: Disk, world: World, process: Process) -> None:
        self._inner = inner = disk.ledger()
        self._world = world
        self._process = process
        process.on_death = lambda: disk.bury(inner)

    async def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """One call: an event, the write, an event."""
        world, process = self._world, self._process
        process.ledger_calls += 1
        number = process.ledger_calls
        what = args[0] if args and isinstance(args[0], str) and name in _KEYED else ""
        if not world.event(process, f"{name} {what}"):
            raise LedgerError("dead")
        if world.plan.disk_seconds:
            with anyio.CancelScope(shield=True):  # SQLite's own would be finished, too
                await anyio.sleep(world.plan.disk_seconds)
        else:
            await anyio.lowlevel.checkpoint()
        if not process.alive:
            raise LedgerError("dead")
        if number in process.life.disk:
            process.disk_failed = True
            world.note(f"p{process.number} disk failure")
            raise LedgerError("disk full")
        check = getattr(_Checks, name, None)
        if check is not None:
            check(world, process, _Call(args, kwargs))
        result = _at_once(getattr(self._inner, name)(*args, **kwargs))
        keep = getattr(_Facts, name, None)
        if keep is not None:
            keep(world, process, _Call(args, kwargs, result))
        world.check_money()
        if not world.event(process, f"{name} {what} done"):
            raise LedgerError("dead")
        await anyio.lowlevel.cancel_shielded_checkpoint()
        return result

    def as_ledger(self) -> Ledger:
        """For a type checker."""
        return cast("Ledger", self)


_KEYED = frozenset(
    {"get", "intent", "refused", "send_again", "accepted", "adopt", "resolve", "end", "remember"}
)


def _relay(name: str) -> Any:
    async def method(self: MortalLedger, *args: Any, **kwargs: Any) -> Any:
        return await self.call(name, *args, **kwargs)

    method.__name__ = name
    return method


for _name, _ in inspect.getmembers(Ledger, inspect.iscoroutinefunction):
    setattr(MortalLedger, _name, _relay(_name))


def _at_once(call: Coroutine[Any, Any, Any]) -> Any:
    """Runs a call that waits for nothing: from the outside it is atomic."""
    for _ in range(100):
        try:
            call.send(None)
        except StopIteration as done:
            return done.value
    raise RuntimeError("a ledger call waits for something")


@dataclass(frozen=True)
class _Call:
    """What a method of the ledger was called with, and what it answered."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any = None


class _Checks:
    """What a process may write, given what the server did."""

    @staticmethod
    def refused(world: World, _: Process, call: _Call) -> None:
        """429, or a refusal that is about the account; or it was never sent at all."""
        row = world.rows[call.args[0]]
        tells = row.post.tells if row.post else "unsent"
        world.require(
            tells in {"refused", "unsent"}, f"I3 {call.args[0]} went back as refused, but: {tells}"
        )

    @staticmethod
    def send_again(world: World, _: Process, call: _Call) -> None:
        """Only what provably never left, and the API's own 500 within the policy."""
        row, result = world.rows[call.args[0]], call.kwargs["result"]
        if result is AttemptResult.NOT_SENT:
            holds = row.post is None or row.post.tells == "unsent"
            world.require(holds, f"I3 {call.args[0]} is taken for not sent, but it left")
            return
        tells = row.post.tells if row.post else None
        allowed = RESUBMITS if world.plan.policy == "retry" else 0
        world.require(
            tells == "error", f"I3 {call.args[0]} is sent again, but the answer was {tells}"
        )
        world.require(
            row.errors < allowed, f"I3 {call.args[0]} is sent again after {row.errors + 1} errors"
        )

    @staticmethod
    def accepted(world: World, _: Process, call: _Call) -> None:
        """The task of this very submission."""
        row = world.rows[call.args[0]]
        made = row.post.made if row.post else None
        world.require(call.args[2] == made, f"I4 {call.args[0]} became {made}, not {call.args[2]}")

    @staticmethod
    def end(world: World, process: Process, call: _Call) -> None:
        """Each ending needs its reason."""
        row, ending = world.rows[call.args[0]], cast("Ending", call.args[1])
        if row.state == "ended":
            return
        check = getattr(_Endings, ending.status.value, None)
        reason = check(world, process, row) if check is not None else None
        world.require(not reason, f"I2 {call.args[0]} ends {ending.status.value}, but {reason}")


class _Endings:
    """Why a job may not end like that, or nothing."""

    @staticmethod
    def succeeded(world: World, _: Process, row: Row) -> str | None:
        """The server says so."""
        status = _status(world, row)
        return None if status == "success" else f"its task is {status}"

    @staticmethod
    def failed(world: World, _: Process, row: Row) -> str | None:
        """The server says so."""
        status = _status(world, row)
        return None if status == "fail" else f"its task is {status}"

    @staticmethod
    def rejected(_world: World, _: Process, row: Row) -> str | None:
        """The server refused this request."""
        if row.errors:
            return "an earlier submission may have been accepted"
        tells = row.post.tells if row.post else "nothing was sent"
        return None if tells == "rejected" else f"the answer was {tells}"

    @staticmethod
    def ambiguous(world: World, process: Process, row: Row) -> str | None:
        """Its process died, or the answer was unclear, or too many errors."""
        owner = row.owner
        if row.state != "sending" or owner is None or not owner.alive or owner.disk_failed:
            return None
        if owner is not process:
            return None if owner.ended else "the process that sends it is alive"
        if row.post is None:
            return "it was never sent"
        tells = row.post.tells
        if tells == "error":
            allowed = RESUBMITS if world.plan.policy == "retry" else 0
            return None if row.errors >= allowed else "it may be sent again"
        if tells == "rejected" and row.errors:
            return None  # that says nothing of the one before
        return None if tells in {None, "unclear"} else f"the answer was {tells}"

    @staticmethod
    def expired(world: World, _: Process, row: Row) -> str | None:
        """It was waited for long enough, or the server knows nothing of it."""
        waited = world.now - row.accepted_at
        batch = world.plan.batch_max_wait if row.job.route == "batch" else None
        waits = [wait for wait in (row.job.max_wait, batch) if wait is not None]
        patience = min(waits, default=LEAST_WAIT)
        enough = waited >= patience - EPSILON
        lost = row.not_found and waited >= LOST_AFTER - EPSILON
        unheard = row.unheard >= 5
        return None if enough or lost or unheard else f"it was waited for {waited:.1f} s only"

    @staticmethod
    def cancelled(_world: World, _: Process, row: Row) -> str | None:
        """Somebody wished it."""
        wished = row.may_cancel or row.job.max_queue_wait is not None
        return None if wished or row.state != "queued" else "nobody wished it"


def _status(world: World, row: Row) -> str:
    task = world._state._tasks.get(row.task_id or "")
    return "unknown" if task is None else str(task.status(world.now).value)


class _Facts:
    """What the rows say after a call: the world's own account of it."""

    @staticmethod
    def add(world: World, _: Process, call: _Call) -> None:
        for job, kept in zip(cast("list[NewJob]", call.args[0]), call.result, strict=True):
            row = world.rows[job.key]
            if row.state in {"new", "ended"} and kept.state.value == "queued":
                row.reruns += row.state == "ended"
                row.state, row.status, row.post, row.errors = "queued", None, None, 0

    @staticmethod
    def intent(world: World, process: Process, call: _Call) -> None:
        row = world.rows[call.args[0]]
        if call.result.permission is not Permission.GRANTED:
            return
        world.require(row.state == "queued", f"I3 {call.args[0]} may be sent while {row.state}")
        row.state, row.post, row.owner = "sending", None, process

    @staticmethod
    def refused(world: World, process: Process, call: _Call) -> None:
        _back(world.rows[call.args[0]], process)

    @staticmethod
    def send_again(world: World, process: Process, call: _Call) -> None:
        row = world.rows[call.args[0]]
        failed = call.kwargs["result"] is AttemptResult.SERVER_ERROR
        row.errors += failed
        row.exposures += failed
        _back(row, process)

    @staticmethod
    def accepted(world: World, process: Process, call: _Call) -> None:
        row = world.rows[call.args[0]]
        row.state, row.task_id, row.accepted_at, row.errors = "accepted", call.args[2], world.now, 0
        row.not_found = row.unheard = 0
        process.sending.discard(call.args[0])
        process.running.add(call.args[0])
        process.accepted += 1

    @staticmethod
    def adopt(world: World, _: Process, call: _Call) -> None:
        row = world.rows[call.args[0]]
        if row.state == "ended":
            row.state, row.status, row.accepted_at = "accepted", None, world.now
            row.not_found = row.unheard = 0

    @staticmethod
    def end(world: World, process: Process, call: _Call) -> None:
        row = world.rows[call.args[0]]
        if call.result is None:
            return
        world.require(row.state != "ended", f"I2 {call.args[0]} ended two times")
        row.state, row.status = "ended", call.result.status.value if call.result.status else None
        process.sending.discard(call.args[0])
        process.running.discard(call.args[0])


def _back(row: Row, process: Process) -> None:
    row.state, row.post = "queued", None
    process.sending.discard(row.job.key)
