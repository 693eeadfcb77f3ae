"""The ledger of one process: in memory, gone with it, bounded when it is told so.

Every method yields to the event loop once, before it does anything: what follows is atomic,
and a cancelled call has changed nothing.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict, deque
from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING

import anyio.lowlevel

from .._errors import LedgerError
from .._outcomes import OutcomeStatus
from . import _rules
from ._json import plain
from ._memory_hints import Hints
from ._money import Book
from ._protocol import JobState

if TYPE_CHECKING:
    from .._outcomes import AttemptResult
    from ._protocol import (
        Ending,
        Hinted,
        Intent,
        JobRow,
        JsonValue,
        NewJob,
        Resolution,
        Totals,
    )

_SMALL = 32


class _Order:
    """Numbers in ascending order; what is removed is skipped, and swept out now and then."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._gone: set[int] = set()

    def add(self, number: int) -> None:
        if number in self._gone:
            self._gone.discard(number)
        else:
            insort(self._numbers, number)  # nearly always at the end

    def remove(self, number: int) -> None:
        self._gone.add(number)
        if len(self._gone) > _SMALL + len(self._numbers) // 8:
            self._numbers = [kept for kept in self._numbers if kept not in self._gone]
            self._gone.clear()

    def after(self, number: int) -> Iterator[int]:
        for index in range(bisect_right(self._numbers, number), len(self._numbers)):
            if self._numbers[index] not in self._gone:
                yield self._numbers[index]


class MemoryLedger:
    """A ledger for one process and one event loop; closing it forgets nothing.

    Args:
        keep_ended: How many ended jobs are remembered, the latest; None for all of them,
            0 for none. A forgotten key is new again, and its expired or ambiguous job
            keeps its credits reserved: the totals stay exact.
    """

    def __init__(self, *, keep_ended: int | None = None) -> None:
        self._keep_ended = keep_ended
        self._jobs: dict[str, JobRow] = {}
        self._keys: dict[int, str] = {}
        self._orders: defaultdict[_rules.Stage, _Order] = defaultdict(_Order)
        self._ended_keys: dict[int, str] = {}
        self._ended_order = _Order()
        self._oldest_ended: deque[int] = deque()
        self._book = Book()
        self._values: dict[str, JsonValue] = {}
        self._hints = Hints()
        self._lease: tuple[str, str] | None = None

    def __repr__(self) -> str:
        return f"<MemoryLedger: {len(self._jobs)} jobs>"

    async def open(self) -> None:
        """See `Ledger.open`."""
        await anyio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """See `Ledger.aclose`."""
        await anyio.lowlevel.cancel_shielded_checkpoint()
        self._lease = None

    async def acquire_lease(self, execution: str, holder: str) -> None:
        """See `Ledger.acquire_lease`; an execution that holds it already keeps it."""
        await anyio.lowlevel.checkpoint()
        if self._lease is not None and self._lease[0] != execution:
            raise LedgerError(f"the ledger in memory is in use by {self._lease[1]}")
        self._lease = (execution, holder)

    async def release_lease(self) -> None:
        """See `Ledger.release_lease`."""
        await anyio.lowlevel.cancel_shielded_checkpoint()
        self._lease = None

    async def add(
        self,
        jobs: Sequence[NewJob],
        *,
        rerun: Collection[OutcomeStatus] = (),
        replace_unsent: bool = False,
    ) -> list[JobRow]:
        """See `Ledger.add`."""
        await anyio.lowlevel.checkpoint()
        changes = _rules.enter_all(
            jobs,
            self._jobs.get,
            self._book.last_number,
            rerun=rerun,
            replace_unsent=replace_unsent,
        )
        for before, after in changes:
            self._put(before, after)
        return [after for _, after in changes]

    async def get(self, key: str) -> JobRow | None:
        """See `Ledger.get`."""
        await anyio.lowlevel.checkpoint()
        return self._jobs.get(key)

    async def intent(
        self,
        key: str,
        execution: str,
        *,
        at: float,
        reserve: Decimal = Decimal(0),
        budget: Decimal | None = None,
        body_hash: str | None = None,
    ) -> Intent:
        """See `Ledger.intent`."""
        await anyio.lowlevel.checkpoint()
        before = self._jobs.get(key)
        intent, after = _rules.intend(
            before,
            execution,
            self._book.totals,
            at=at,
            reserve=reserve,
            budget=budget,
            body_hash=body_hash,
        )
        self._put(before, after)
        return intent

    async def refused(self, key: str, execution: str) -> None:
        """See `Ledger.refused`."""
        await anyio.lowlevel.checkpoint()
        before = self._jobs.get(key)
        self._put(before, _rules.refuse(before, key, execution))

    async def send_again(
        self, key: str, execution: str, *, result: AttemptResult, detail: str
    ) -> None:
        """See `Ledger.send_again`."""
        await anyio.lowlevel.checkpoint()
        before = self._jobs.get(key)
        self._put(before, _rules.send_again(before, key, execution, result, detail))

    async def accepted(self, key: str, execution: str, task_id: str, *, at: float) -> None:
        """See `Ledger.accepted`."""
        await anyio.lowlevel.checkpoint()
        before = self._jobs.get(key)
        self._put(before, _rules.accept(before, key, execution, task_id, at))

    async def adopt(self, key: str, *, at: float) -> JobRow:
        """See `Ledger.adopt`."""
        await anyio.lowlevel.checkpoint()
        before = self._jobs.get(key)
        after = _rules.adopt(before, key, self._book.last_number + 1, at)
        self._put(before, after)
        return after

    async def resolve(
        self, key: str, resolution: Resolution, *, at: float, task_id: str | None = None
    ) -> JobRow:
        """See `Ledger.resolve`."""
        await anyio.lowlevel.checkpoint()
        before = self._jobs.get(key)
        after = _rules.resolve(before, key, resolution, self._book, at=at, task_id=task_id)
        self._put(before, after)
        return after

    async def end(self, key: str, ending: Ending) -> JobRow | None:
        """See `Ledger.end`."""
        await anyio.lowlevel.checkpoint()
        before = self._jobs.get(key)
        after = _rules.end(before, ending, self._book.last_ended + 1)
        self._put(before, after)
        return after

    async def set_files(
        self, key: str, files: Sequence[str], *, download_error: str | None = None
    ) -> None:
        """See `Ledger.set_files`."""
        await anyio.lowlevel.checkpoint()
        before = self._jobs.get(key)
        self._put(before, _rules.keep_files(before, files, download_error))

    async def rows(
        self,
        *,
        states: Collection[JobState] = (),
        statuses: Collection[OutcomeStatus] = (),
        after: int = 0,
        limit: int = 1000,
    ) -> list[JobRow]:
        """See `Ledger.rows`."""
        await anyio.lowlevel.checkpoint()
        orders = [
            self._orders[stage].after(after)
            for stage in _rules.stages(states, statuses)
            if stage in self._orders
        ]
        page = islice(merge(*orders), max(limit, 0))
        return [self._jobs[self._keys[number]] for number in page]

    async def ended_rows(self, *, after: int = 0, limit: int = 1000) -> list[JobRow]:
        """See `Ledger.ended_rows`."""
        await anyio.lowlevel.checkpoint()
        page = islice(self._ended_order.after(after), max(limit, 0))
        return [self._jobs[self._ended_keys[number]] for number in page]

    async def position(self) -> None:
        """See `Ledger.position`: nobody else can write in this process's memory."""
        await anyio.lowlevel.checkpoint()

    async def hint(self, key: str, attempt: int, task_id: str) -> None:
        """See `Ledger.hint`."""
        await anyio.lowlevel.checkpoint()
        self._hints.add(key, attempt, task_id)

    async def hints(self, *, after: int = 0, limit: int = 1000) -> list[Hinted]:
        """See `Ledger.hints`."""
        await anyio.lowlevel.checkpoint()
        found = (hint for hint in self._hints.after(after) if self._may_tell(hint))
        return list(islice(found, max(limit, 0)))

    def _may_tell(self, hint: Hinted) -> bool:
        row = self._jobs.get(hint.key)
        if row is None or row.task_id != hint.task_id:
            return row is not None
        return row.state is not JobState.ENDED or row.status is OutcomeStatus.EXPIRED

    async def totals(self) -> Totals:
        """See `Ledger.totals`."""
        await anyio.lowlevel.checkpoint()
        return self._book.totals

    async def remember(self, name: str, value: JsonValue) -> None:
        """See `Ledger.remember`."""
        await anyio.lowlevel.checkpoint()
        self._values[name] = plain(value, f"the value {name!r}")

    async def recall(self, name: str) -> JsonValue:
        """See `Ledger.recall`."""
        await anyio.lowlevel.checkpoint()
        return self._values.get(name)

    def _put(self, before: JobRow | None, after: JobRow | None) -> None:
        if after is None or after is before:
            return
        self._book = self._book.settle(before, after)
        if before is not None:
            self._remove(before)
        self._jobs[after.key] = after
        self._keys[after.number] = after.key
        self._orders[after.state, after.status].add(after.number)
        if after.ended_number is not None:
            self._ended_keys[after.ended_number] = after.key
            self._ended_order.add(after.ended_number)
            self._forget_oldest(after.ended_number)

    def _remove(self, row: JobRow) -> None:
        del self._jobs[row.key], self._keys[row.number]
        self._orders[row.state, row.status].remove(row.number)
        if row.ended_number is not None:
            del self._ended_keys[row.ended_number]
            self._ended_order.remove(row.ended_number)

    def _forget_oldest(self, ended_number: int) -> None:
        if self._keep_ended is None:
            return
        # set_files puts a job that was counted before.
        if not self._oldest_ended or ended_number > self._oldest_ended[-1]:
            self._oldest_ended.append(ended_number)
        while len(self._ended_keys) > self._keep_ended:
            key = self._ended_keys.get(self._oldest_ended.popleft())
            if key is not None:
                self._remove(self._jobs[key])
