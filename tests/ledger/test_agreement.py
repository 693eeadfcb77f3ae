"""Both ledgers, given the same commands, agree in every row; and what holds throughout."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinovi_async._errors import KinoviError
from kinovi_async._ledger import (
    Ending,
    Intent,
    JobRow,
    JobState,
    Ledger,
    MemoryLedger,
    NewJob,
    Permission,
    Resolution,
    SQLiteLedger,
    Totals,
)
from kinovi_async._ledger._money import share
from kinovi_async._outcomes import AttemptResult, OutcomeStatus

Command: TypeAlias = Callable[[Ledger], Awaitable[object]]

keys = st.sampled_from(["a", "b", "c"])
runs = st.sampled_from(["run-1", "run-1", "run-1", "run-2"])
times = st.integers(0, 99).map(float)
amounts = st.decimals(0, 50, places=3)
statuses = st.sets(st.sampled_from(OutcomeStatus), max_size=3)
texts = st.text(max_size=5)
objects = st.none() | st.dictionaries(texts, st.integers() | texts, max_size=2)


@dataclass(frozen=True)
class Add:
    jobs: tuple[NewJob, ...]
    rerun: frozenset[OutcomeStatus]
    replace_unsent: bool

    async def __call__(self, ledger: Ledger) -> object:
        return await ledger.add(self.jobs, rerun=self.rerun, replace_unsent=self.replace_unsent)


@dataclass(frozen=True)
class Send:
    key: str
    run: str
    at: float
    reserve: Decimal
    budget: Decimal | None

    async def __call__(self, ledger: Ledger) -> object:
        return await ledger.intent(
            self.key, self.run, at=self.at, reserve=self.reserve, budget=self.budget
        )


@dataclass(frozen=True)
class Refused:
    key: str
    run: str

    async def __call__(self, ledger: Ledger) -> object:
        return await ledger.refused(self.key, self.run)  # type: ignore[func-returns-value]


@dataclass(frozen=True)
class SendAgain:
    key: str
    run: str
    result: AttemptResult
    detail: str

    async def __call__(self, ledger: Ledger) -> object:
        return await ledger.send_again(  # type: ignore[func-returns-value]
            self.key, self.run, result=self.result, detail=self.detail
        )


@dataclass(frozen=True)
class Accepted:
    key: str
    run: str
    task_id: str
    at: float

    async def __call__(self, ledger: Ledger) -> object:
        return await ledger.accepted(  # type: ignore[func-returns-value]
            self.key, self.run, self.task_id, at=self.at
        )


@dataclass(frozen=True)
class Adopt:
    key: str
    at: float

    async def __call__(self, ledger: Ledger) -> object:
        return await ledger.adopt(self.key, at=self.at)


@dataclass(frozen=True)
class Resolve:
    key: str
    resolution: Resolution
    at: float
    task_id: str | None

    async def __call__(self, ledger: Ledger) -> object:
        return await ledger.resolve(self.key, self.resolution, at=self.at, task_id=self.task_id)


@dataclass(frozen=True)
class End:
    key: str
    ending: Ending

    async def __call__(self, ledger: Ledger) -> object:
        return await ledger.end(self.key, self.ending)


@dataclass(frozen=True)
class SetFiles:
    key: str
    files: tuple[str, ...]
    error: str | None

    async def __call__(self, ledger: Ledger) -> object:
        return await ledger.set_files(  # type: ignore[func-returns-value]
            self.key, self.files, download_error=self.error
        )


new_jobs = st.builds(
    NewJob,
    key=keys,
    body=st.sampled_from(["cat", "cat", "dog"]).map(
        lambda prompt: {"model": "m", "inputs": {"prompt": prompt}}
    ),
    at=times,
    group=texts,
    priority=st.integers(-3, 3),
    meta=st.dictionaries(texts, texts, max_size=2),
)
endings = st.builds(
    Ending,
    status=st.sampled_from(OutcomeStatus),
    at=times,
    record=objects,
    error=objects,
    credits=st.none() | amounts,
    attempt_result=st.none() | st.sampled_from(AttemptResult),
    attempt_detail=st.none() | texts,
)
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(
        Add, st.lists(new_jobs, max_size=3).map(tuple), statuses.map(frozenset), st.booleans()
    ),
    st.builds(Send, keys, runs, times, amounts, st.none() | amounts),
    st.builds(Send, keys, st.just("run-1"), times, amounts, st.none()),
    st.builds(Refused, keys, runs),
    st.builds(SendAgain, keys, runs, st.sampled_from(AttemptResult), texts),
    st.builds(Accepted, keys, runs, st.sampled_from(["t1", "t2"]), times),
    st.builds(Adopt, keys, times),
    st.builds(Resolve, keys, st.sampled_from(Resolution), times, st.none() | st.just("found")),
    st.builds(End, keys, endings),
    st.builds(End, keys, endings),
    st.builds(SetFiles, keys, st.lists(texts, max_size=2).map(tuple), st.none() | texts),
)
FIRST: Command = Add(
    tuple(NewJob(k, {"model": "m", "inputs": {"prompt": "cat"}}, 0.0) for k in "abc"),
    frozenset(),
    replace_unsent=False,
)


@dataclass
class Watch:
    """What must hold however the commands are mixed."""

    sending: set[str] = field(default_factory=set)
    tasks: dict[str, str] = field(default_factory=dict)

    def granted(self, command: Command, answer: object) -> None:
        """A job is granted again only after something gave it back."""
        if isinstance(command, Send) and isinstance(answer, Intent):
            if answer.permission is Permission.GRANTED:
                assert command.key not in self.sending
                self.sending.add(command.key)
        elif (isinstance(command, Refused | SendAgain) and answer is None) or (
            isinstance(command, Resolve) and isinstance(answer, JobRow)
        ):
            self.sending.discard(command.key)
        elif isinstance(command, Add) and isinstance(answer, list):
            for row in answer:
                if row.state is JobState.QUEUED:  # rerun, when it was not queued before
                    self.sending.discard(row.key)
                    self.tasks.pop(row.key, None)

    def rows(self, rows: list[JobRow], ended: list[JobRow], totals: Totals) -> None:
        assert totals.spent == sum(share(row).spent for row in rows)
        assert totals.reserved == sum(share(row).reserved for row in rows)
        assert totals.exposed == sum(share(row).exposed for row in rows)
        assert ended == sorted(
            (row for row in rows if row.state is JobState.ENDED),
            key=lambda row: row.ended_number or 0,
        )
        for row in rows:
            self._row(row)

    def _row(self, row: JobRow) -> None:
        assert (row.state is JobState.ENDED) == (row.status is not None)
        assert [attempt.number for attempt in row.attempts] == [*range(1, len(row.attempts) + 1)]
        if row.state is JobState.ACCEPTED:
            assert row.task_id is not None
        if row.state in {JobState.QUEUED, JobState.SENDING}:
            assert row.task_id is None
        if row.task_id is None:
            self.tasks.pop(row.key, None)
        else:
            assert self.tasks.setdefault(row.key, row.task_id) == row.task_id


async def outcome_of(command: Command, ledger: Ledger) -> object:
    await anyio.lowlevel.checkpoint()
    try:
        return await command(ledger)
    except KinoviError as error:
        return type(error), str(error), error.task_id


async def compare(sequence: list[Command], directory: Path) -> None:
    memory, sqlite = MemoryLedger(), SQLiteLedger(directory / "ledger.sqlite3")
    watch = Watch()
    await sqlite.open()
    try:
        for command in [FIRST, *sequence]:
            answer = await outcome_of(command, memory)
            assert await outcome_of(command, sqlite) == answer
            rows = await memory.rows()
            assert await sqlite.rows() == rows
            ended = await memory.ended_rows()
            assert await sqlite.ended_rows() == ended
            totals = await memory.totals()
            assert await sqlite.totals() == totals
            watch.granted(command, answer)
            watch.rows(rows, ended, totals)
    finally:
        await sqlite.aclose()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(max_examples=40, deadline=None)
@given(sequence=st.lists(commands, min_size=5, max_size=30))
def test_both_ledgers_agree_and_the_invariants_hold(backend: str, sequence: list[Command]) -> None:
    with TemporaryDirectory() as directory:
        anyio.run(compare, sequence, Path(directory), backend=backend)


@settings(max_examples=200, deadline=None)
@given(sequence=st.lists(commands, min_size=5, max_size=60))
def test_the_invariants_hold_in_longer_runs_too(sequence: list[Command]) -> None:
    async def run() -> None:
        ledger, watch = MemoryLedger(), Watch()
        for command in [FIRST, *sequence]:
            watch.granted(command, await outcome_of(command, ledger))
            watch.rows(await ledger.rows(), await ledger.ended_rows(), await ledger.totals())

    anyio.run(run)


@settings(max_examples=60, deadline=None)
@given(sequence=st.lists(commands, min_size=5, max_size=40), keep=st.integers(0, 2))
def test_forgetting_ended_jobs_keeps_their_number_bounded(
    sequence: list[Command], keep: int
) -> None:
    async def run() -> None:
        ledger = MemoryLedger(keep_ended=keep)
        for command in [FIRST, *sequence]:
            await outcome_of(command, ledger)
            ended = await ledger.ended_rows()
            assert len(ended) <= keep
            rows = await ledger.rows()
            assert len(rows) == len({row.key for row in rows})
            known = sum(share(row).spent + share(row).reserved + share(row).exposed for row in rows)
            assert (await ledger.totals()).committed >= known

    anyio.run(run)
