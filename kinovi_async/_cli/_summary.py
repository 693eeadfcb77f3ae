"""What a run came to, in words and as facts."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from .._errors import (
    APIConnectionError,
    AuthenticationError,
    InsufficientCreditsError,
    KinoviError,
    NotFoundError,
    PermissionDeniedError,
)
from .._outcomes import OutcomeStatus
from ._books import MEDIA_NAME
from ._plan import Plan, Step
from ._results import RESULTS_NAME
from ._text import USD_PER_CREDIT, counted, number, visible
from ._unclear import money_lines

if TYPE_CHECKING:
    from .._ledger import JobRow, Totals
    from ._exits import ExitCode


@dataclass(frozen=True, slots=True)
class RunEnd:
    """A run that is over, one way or another."""

    out: Path
    rows: tuple[JobRow | None, ...]
    """The file's jobs, in its order; None: never entered."""
    totals: Totals
    """Of the whole output directory."""
    spent_before: Decimal
    """Credits that earlier runs in it had spent."""
    idle: bool
    """There was nothing to submit, to wait for or to fetch."""
    lacking: int
    """Succeeded jobs of which a file is missing."""
    stopped: str | None
    """Why it was stopped early."""
    interrupted: bool
    usd: Decimal = USD_PER_CREDIT
    """Dollars for a credit."""
    report: Path | None = None
    """The page to look at, when one was written."""

    def counts(self) -> dict[str, int]:
        """Jobs by status; those that have not ended count as `unfinished`."""
        counts: dict[str, int] = {}
        for row in self.rows:
            unfinished = row is None or row.status in {None, OutcomeStatus.CANCELLED}
            word = "unfinished" if unfinished or row is None else str(row.status)
            counts[word] = counts.get(word, 0) + 1
        return counts


def opening_line(decided: Plan) -> str:
    """What a run is about to do, on one line."""
    counts = decided.counts()
    words = {
        Step.NEW: "to generate",
        Step.RERUN: "to run again",
        Step.RESUME: "to go on with",
        Step.FETCH: "with files to fetch",
        Step.DONE: "done already",
        Step.LEFT: "left as they are",
    }
    parts = [f"{counts[step]:,} {words[step]}" for step in words if counts[step]]
    return f"{counted(len(decided.lines), 'line')}: {', '.join(parts)}"


def address_hint(error: KinoviError, base_url: str) -> str:
    """Where to look when no answer came, or that of somebody else."""
    where = "the variable KINOVI_BASE_URL names the address"
    if isinstance(error, NotFoundError):
        return f"{base_url} may be the wrong address: {where}"
    return f"no answer from {base_url}: {where}"


def stop_sentence(error: KinoviError, base_url: str) -> str:
    """Why the account lets nothing more through, in words that say what to do."""
    told = error.message.rstrip(".")
    match error:
        case APIConnectionError() | NotFoundError():
            return f"{told}; {address_hint(error, base_url)}"
        case InsufficientCreditsError(required=Decimal() as required, available=available):
            has = "" if available is None else f", the account has {number(available)}"
            return f"not enough credits: the next job needs {number(required)}{has}"
        case InsufficientCreditsError():
            return f"not enough credits ({told})"
        case AuthenticationError():
            return f"the API key was refused ({told}); look at KINOVI_API_KEY"
        case PermissionDeniedError():
            return f"the account may not do this ({told})"
        case _:
            return told


def summary_text(end: RunEnd) -> str:
    """The summary of a run, several lines."""
    counts = end.counts()
    by_status = ", ".join(f"{count:,} {status}" for status, count in sorted(counts.items()))
    lines = ["nothing to do"] if end.idle else []
    lines += [
        f"{counted(len(end.rows), 'job')}: {by_status}",
        *money_lines(end.totals, spent_before=end.spent_before, usd=end.usd),
    ]
    if end.lacking:
        lines.append(f"{counted(end.lacking, 'job lacks', 'jobs lack')} a file")
    files = sum(len(row.files) for row in end.rows if row is not None)
    if files:
        lines.append(f"files: {counted(files, 'file')} in {_shown(end.out / MEDIA_NAME)}")
    lines.append(f"results: {_shown(end.out / RESULTS_NAME)}")
    if end.report is not None:
        lines.append(f"report: {_shown(end.report)}")
    if end.interrupted:
        lines.append("interrupted: the same command goes on")
    elif end.stopped is not None:
        lines.append(f"stopped: {visible(end.stopped)}; the same command goes on")
    elif counts.get("failed") or counts.get("rejected"):
        lines.append("to run these again: the same command with --rerun failed,rejected")
    elif counts.get("expired") or counts.get("unfinished") or end.lacking:
        lines.append("the same command goes on")
    return "\n".join(lines)


def summary_facts(end: RunEnd, code: ExitCode) -> dict[str, object]:
    """The summary for programs."""
    return {
        "jobs": end.counts(),
        "credits": _json_number(end.totals.spent),
        "credits_reserved": _json_number(end.totals.reserved),
        "credits_exposed": _json_number(end.totals.exposed),
        "credits_at_most": _json_number(end.totals.committed),
        "jobs_lacking_files": end.lacking,
        "stopped": end.stopped,
        "interrupted": end.interrupted,
        "exit_code": int(code),
    }


def _json_number(amount: Decimal) -> int | float:
    return int(amount) if amount == amount.to_integral_value() else float(amount)


def _shown(path: Path) -> str:
    return visible(str(path))
