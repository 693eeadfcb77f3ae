"""`kinovi check`, and what `run --dry-run` prints: the plan and its price, nothing sent."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from ._books import LEDGER_NAME, all_rows, lacks_files, open_book
from ._exits import ExitCode
from ._plan import Cost, Plan, Step, cost_by_model, plan, plan_problems
from ._text import counted, in_credits, in_money, shortened, visible

if TYPE_CHECKING:
    from .._ledger import JobRow, Totals
    from .._requests import ApiGeneration
    from ._lines import Batch
    from ._options import RunOptions
    from ._reporters import Reporter
    from ._vocabulary import Vocabulary

_SHOWN_KEYS = 10


def check(
    batch: Batch,
    options: RunOptions,
    vocabulary: Vocabulary,
    reporter: Reporter,
    *,
    compare: bool = True,
) -> ExitCode:
    """Prints what a run would do and cost. Sends nothing, writes nothing.

    With `compare`, the output directory's jobs are taken into account.
    """
    rows, totals = read_directory(options.out if compare else None)
    decided = plan(
        batch.lines,
        rows,
        hash_of=vocabulary.hash_of,
        rerun=options.rerun,
        lacks_files=lambda row: options.download and lacks_files(row, options.out),
    )
    problems = plan_problems(
        decided,
        has_budget=options.budget is not None,
        assumed=options.assume_cost,
        cost=vocabulary.cost,
    )
    for problem in problems:
        reporter.warn(problem.show(batch.name))
    if problems:
        reporter.warn(f"a run would be refused: {counted(len(problems), 'problem')}")
    costs = cost_by_model(
        (planned.line for planned in decided.to_pay),
        assumed=options.assume_cost,
        cost=vocabulary.cost,
    )
    lines = [*_plan_lines(decided, has_book=bool(rows))]
    lines += cost_lines(costs, options.api_generation)
    if options.budget is not None:
        lines.append(_budget_line(costs, totals, options.budget))
    reporter.summary("\n".join(lines))
    reporter.event("checked", _facts(decided, costs))
    return ExitCode.USAGE if problems else ExitCode.OK


def read_directory(out: Path | None) -> tuple[dict[str, JobRow], Totals]:
    """The jobs and the money of an output directory; nothing when it is new."""
    from .._ledger import Totals

    async def read(directory: Path) -> tuple[dict[str, JobRow], Totals]:
        async with open_book(directory) as ledger:
            return await all_rows(ledger), await ledger.totals()

    if out is None or not (out / LEDGER_NAME).is_file():
        return {}, Totals()
    return anyio.run(read, out)


def _plan_lines(decided: Plan, *, has_book: bool) -> list[str]:
    counts = decided.counts()
    lines = [f"{counted(len(decided.lines), 'request')}, all valid"]
    if not has_book:
        return lines
    changed = [planned for planned in decided.lines if planned.edited]
    named = {
        "new": counts[Step.NEW],
        "to go on with": counts[Step.RESUME],
        "to run again": counts[Step.RERUN],
        "done": counts[Step.DONE],
        "done, files to fetch": counts[Step.FETCH],
        "left as they are (failed, rejected or ambiguous)": counts[Step.LEFT],
        "refused": counts[Step.CONFLICT],
    }
    lines += [f"  {count:,} {name}" for name, count in named.items() if count]
    lines += _listed("changed", [planned.line.key for planned in changed])
    lines += _listed("gone from the file (not touched)", [row.key for row in decided.gone])
    return lines


def _listed(what: str, keys: list[str]) -> list[str]:
    if not keys:
        return []
    shown = ", ".join(shortened(key, 40) for key in keys[:_SHOWN_KEYS])
    more = f" and {len(keys) - _SHOWN_KEYS:,} more" if len(keys) > _SHOWN_KEYS else ""
    return [f"  {len(keys):,} {what}: {shown}{more}"]


def cost_lines(costs: Mapping[str, Cost], api_generation: ApiGeneration = "seed") -> list[str]:
    """What submitting costs, by model and in all, by the prices of a generation of the API."""
    from .._requests import credit_usd, describe

    if not costs:
        return ["nothing to pay"]
    lines = []
    for model, cost in costs.items():
        price = in_credits(cost.credits) if cost.unknown < cost.jobs else "price unknown"
        known = describe(model)
        if known is not None and known.settles and cost.unknown < cost.jobs:
            price = f"at most {price}"  # references' lengths are charged, and not known here
        unknown = f" + {cost.unknown:,} of unknown price" if 0 < cost.unknown < cost.jobs else ""
        lines.append(f"  {visible(model)}: {counted(cost.jobs, 'job')}, {price}{unknown}")
    total = total_cost(costs)
    parts = []
    if known_jobs := total.jobs - total.unknown:
        money = in_money(total.credits, credit_usd(api_generation))
        parts.append(f"{money} for {counted(known_jobs, 'job')}")
    if total.unknown:
        parts.append(f"unknown for {counted(total.unknown, 'job')}")
    lines.append(f"cost: {', and '.join(parts)}")
    return lines


def total_cost(costs: Mapping[str, Cost]) -> Cost:
    """All models together."""
    each = costs.values()
    return Cost(
        sum(cost.jobs for cost in each),
        sum((cost.credits for cost in each), Decimal(0)),
        sum(cost.unknown for cost in each),
    )


def _budget_line(costs: Mapping[str, Cost], totals: Totals, budget: Decimal) -> str:
    left = max(budget - totals.committed, Decimal(0))
    fits = "enough" if total_cost(costs).credits <= left else "not enough: the run will stop there"
    return f"budget: {in_credits(left)} left of {in_credits(budget)}, {fits}"


def _facts(decided: Plan, costs: Mapping[str, Cost]) -> dict[str, object]:
    total = total_cost(costs)
    return {
        "lines": len(decided.lines),
        "steps": {str(step): count for step, count in decided.counts().items() if count},
        "gone": len(decided.gone),
        "jobs_to_pay": total.jobs,
        "credits": float(total.credits),
        "unknown_price": total.unknown,
    }
