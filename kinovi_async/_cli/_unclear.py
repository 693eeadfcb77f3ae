"""Jobs that may have been paid for: what each may have cost, and how it is settled."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from .._outcomes import OutcomeStatus
from ._text import USD_PER_CREDIT, counted, in_money, number, shortened, visible

if TYPE_CHECKING:
    from .._ledger import JobRow, Totals
    from ._lines import InputLine

LISTED = 20
"""Jobs that are told one by one; an outage that makes thousands unclear must stay readable."""


def ambiguous(rows: Iterable[JobRow | None]) -> list[JobRow]:
    """Those of the jobs whose submission may or may not have been accepted."""
    return [row for row in rows if row is not None and row.status is OutcomeStatus.AMBIGUOUS]


def at_most(row: JobRow) -> Decimal:
    """Credits that a job may have cost on top of what is known to be charged."""
    return row.reserved + row.exposed


def unclear_lines(
    rows: Sequence[JobRow], lines: Mapping[str, InputLine], out: Path
) -> Iterator[str]:
    """One line for each ambiguous job, the worst case of all, and the commands that settle it."""
    if not rows:
        return
    for row in rows[:LISTED]:
        line = lines.get(row.key)
        place = f" (line {line.number})" if line else ""
        cost = at_most(row)
        price = f"may have cost {in_money(cost)}" if cost else "may have cost its price"
        message = str((row.error or {}).get("message", "the submission is unclear"))
        yield f"ambiguous: {shortened(row.key, 60)}{place}: {price}: {message}"
    if len(rows) > LISTED:
        listing = f"kinovi jobs {quoted(out)} --status ambiguous"
        yield f"ambiguous: {len(rows) - LISTED:,} more; all of them: {listing}"
    yield f"{counted(len(rows), 'job is', 'jobs are')} ambiguous: {worst_case(rows)}"
    yield from settle_lines(rows, out)


def worst_case(rows: Sequence[JobRow]) -> str:
    """What ambiguous jobs may have cost, all of them together."""
    cost = sum(map(at_most, rows), Decimal(0))
    unpriced = sum(1 for row in rows if not at_most(row))
    price = f"the price of {counted(unpriced, 'job', 'jobs')}"
    if not unpriced:
        return f"at most {in_money(cost)}"
    return f"at most {in_money(cost)} and {price} more" if cost else f"at most {price}"


def settle_lines(rows: Sequence[JobRow], out: Path) -> Iterator[str]:
    """The commands that settle the first of these jobs, to be copied as they are."""
    if not rows:
        return
    job, where = quoted(rows[0].key), quoted(out)
    known = {
        "--task-id TASK_ID": "it became this task: the next run waits for it",
        "--not-created": "nothing was made or paid: the next run sends it",
        "--resubmit": "nobody knows: the next run sends it, and may pay a second time",
    }
    yield f"look at the account to learn which, then settle {'it' if len(rows) == 1 else 'one'}:"
    width = max(map(len, known))
    for flag, meaning in known.items():
        words = f"{where} {job} {flag:{width}}"
        if job.startswith("-"):
            # Or the id would be read as an option.
            words = f"{flag:{width}} -- {where} {job}"
        yield f"  kinovi jobs resolve {words}  # {meaning}"
    if len(rows) > 1:
        yield "  (--all-ambiguous in place of an id settles all of them in the same way)"


def money_lines(
    totals: Totals, *, spent_before: Decimal | None = None, usd: Decimal = USD_PER_CREDIT
) -> Iterator[str]:
    """Spent, reserved, and the worst case of an output directory.

    Args:
        totals: of the ledger.
        spent_before: credits that earlier runs had spent; None when it does not matter.
        usd: dollars for a credit.
    """
    spent = f"spent: {in_money(totals.spent, usd)}"
    if spent_before:
        spent += f" in all, {number(totals.spent - spent_before)} in this run"
    yield spent
    if totals.committed == totals.spent:
        yield "reserved: nothing; this is the worst case too"
        return
    if totals.reserved:
        yield f"reserved: {in_money(totals.reserved, usd)} for what is unfinished or unclear"
    if totals.exposed:
        yield (
            f"exposed: {in_money(totals.exposed, usd)} for submissions that were sent again and may "
            "have been accepted as well"
        )
    yield f"worst case: {in_money(totals.committed, usd)} in all"


def quoted(text: str | Path) -> str:
    """One word of a command, as a shell reads it and a terminal can show it."""
    return visible(shlex.quote(str(text)))
