"""`kinovi jobs resolve`: a person says what became of ambiguous jobs, and the ledger keeps it.

Nothing is sent here. The next `kinovi run` does what follows: it waits for the task that
was named, or sends the job again. Works beside a live run, which leaves these jobs alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from .._errors import ConfigurationError, LedgerError
from .._ledger import JobState, Resolution
from .._outcomes import OutcomeStatus
from ._books import all_rows, open_book
from ._lines import id_problem
from ._text import counted, in_money, shortened, visible
from ._unclear import LISTED, ambiguous, money_lines

if TYPE_CHECKING:
    from .._ledger import JobRow, Ledger, Totals

_NEXT = {
    Resolution.ACCEPTED: "waits for what is accepted, and fetches its files",
    Resolution.NOT_CREATED: "sends what was not created, as if for the first time",
    Resolution.RESUBMIT: "sends this again",
}


@dataclass(frozen=True, slots=True)
class Settlement:
    """What somebody says of one ambiguous job, or of all."""

    resolution: Resolution
    task_id: str | None = None
    key: str | None = None
    """None: all that are ambiguous."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A job before and after."""

    before: JobRow
    after: JobRow


def parse_settlement(
    key: str | None,
    *,
    all_ambiguous: bool,
    task_id: str | None,
    not_created: bool,
    resubmit: bool,
) -> Settlement:
    """The arguments as one decision.

    Raises:
        ConfigurationError: no job or two ways to name it, no decision or two of them, one
            task for several jobs, or a text that is no task id.
    """
    if (key is None) != all_ambiguous:
        raise ConfigurationError("name one job by its ID, or all of them with --all-ambiguous")
    if (task_id is not None) + not_created + resubmit != 1:
        raise ConfigurationError("say one of --task-id TASK_ID, --not-created and --resubmit")
    if task_id is None:
        chosen = Resolution.NOT_CREATED if not_created else Resolution.RESUBMIT
        return Settlement(chosen, key=key)
    if key is None:
        raise ConfigurationError("--task-id belongs to one job: name it by its ID")
    task_id = task_id.strip()
    problem = id_problem(task_id)
    if problem is not None or any(character.isspace() for character in task_id):
        raise ConfigurationError(f"--task-id: {problem or 'a task id has no spaces'}")
    return Settlement(Resolution.ACCEPTED, task_id, key)


def resolve_lines(out: Path, settlement: Settlement) -> list[str]:
    """Settles, and says what that did.

    Raises:
        ConfigurationError: no output directory there, no such job, a job that is not
            ambiguous, or a task that belongs to another one.
        LedgerError: the ledger cannot be written; what is told before it, is written.
    """

    async def work() -> list[str]:
        async with open_book(out) as ledger:
            found = find_jobs(await all_rows(ledger), settlement, out)
            settled = [each for row in found if (each := await _settle(ledger, row, settlement))]
            return list(told(settled, settlement, await ledger.totals()))

    return anyio.run(work)


def find_jobs(rows: Mapping[str, JobRow], settlement: Settlement, out: Path) -> list[JobRow]:
    """The jobs that are meant.

    Raises:
        ConfigurationError: as above.
    """
    if settlement.key is None:
        return ambiguous(rows.values())
    name = f"'{shortened(settlement.key, 60)}'"
    row = rows.get(settlement.key)
    if row is None:
        where = visible(str(out))
        raise ConfigurationError(f"there is no job {name} in {where}: see `kinovi jobs {where}`")
    if row.status is not OutcomeStatus.AMBIGUOUS:
        raise ConfigurationError(f"job {name} is not ambiguous, it is {_state(row)}")
    for other in rows.values():
        if settlement.task_id is not None and other.task_id == settlement.task_id:
            raise ConfigurationError(
                f"task {visible(settlement.task_id)} is that of job "
                f"'{shortened(other.key, 60)}' already, so it is not that of {name}"
            )
    return [row]


def _state(row: JobRow) -> str:
    if row.state is JobState.SENDING:
        return "being sent; if no run is at work here, the next one finds out what it is"
    return str(row.status or row.state)


async def _settle(ledger: Ledger, row: JobRow, settlement: Settlement) -> Settled | None:
    refusal: LedgerError
    try:
        after = await ledger.resolve(
            row.key, settlement.resolution, at=time.time(), task_id=settlement.task_id
        )
        return Settled(row, after)
    except LedgerError as error:
        refusal = error
    now = await ledger.get(row.key)
    if settlement.key is None and now is not None and now.number != row.number:
        return None  # somebody else settled it in this very moment
    raise refusal


def told(settled: Sequence[Settled], settlement: Settlement, totals: Totals) -> Iterator[str]:
    """What was done to each job and to the money, and what comes next."""
    if not settled:
        yield "no job is ambiguous: nothing to settle"
        return
    for each in settled[:LISTED]:
        yield f"{shortened(each.before.key, 60)}: {_done(each, settlement)}"
    if len(settled) > LISTED:
        yield f"and {counted(len(settled) - LISTED, 'job', 'jobs')} more in the same way"
        yield f"{counted(len(settled), 'job')} in all: {_money(settled, settlement.resolution)}"
    yield from money_lines(totals)
    yield (
        f"the next `kinovi run` {_NEXT[settlement.resolution]} (one that is at work now does "
        "not, a scheduler or worker on this ledger does so at once); results.jsonl follows then"
    )


def _done(settled: Settled, settlement: Settlement) -> str:
    what = {
        Resolution.ACCEPTED: f"is task {visible(settlement.task_id or '')}",
        Resolution.NOT_CREATED: "was not created",
        Resolution.RESUBMIT: "is to be sent again",
    }[settlement.resolution]
    return f"{what}; {_money([settled], settlement.resolution)}"


def _money(settled: Sequence[Settled], resolution: Resolution) -> str:
    """What became of the credits that these jobs held."""
    held = sum((each.before.reserved for each in settled), Decimal(0))
    older = sum((each.before.exposed for each in settled), Decimal(0))
    amount = in_money(held) if held else "a price that is not known"
    words = {
        Resolution.ACCEPTED: f"{amount} stays reserved until the task has ended",
        Resolution.NOT_CREATED: f"{amount} released, nothing was paid",
        Resolution.RESUBMIT: (
            f"{amount} stays counted as exposed, for the first submission may have been paid"
        ),
    }[resolution]
    if older:
        words += f"; {in_money(older)} of earlier unclear submissions stays exposed"
    return words
