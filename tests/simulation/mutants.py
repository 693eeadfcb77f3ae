"""Seeded bugs: does the simulation find what it is there to find?

    python -m tests.simulation.mutants                 # each against up to 300 seeds
    python -m tests.simulation.mutants NAME --tier bytes

Each mutant is the package with some text replaced, in a directory of its own. A text that is
not there exactly once is an error: no mutant rots unnoticed.
"""

# ruff: noqa: T201 - a command

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import kinovi_async

__all__ = ["MUTANTS", "ROOT", "Edit", "Mutant", "edited", "simulate"]

PACKAGE = Path(kinovi_async.__file__).parent
ROOT = Path(__file__).parents[2]
SEEDS = 300

SUBMIT, RESULT, POLL, BOOK = (
    f"_account/{name}.py" for name in ("_submit", "_result", "_poll", "_book")
)
VERDICT, RULES, MONEY = "_transport/_verdict.py", "_ledger/_rules.py", "_ledger/_money.py"


@dataclass(frozen=True)
class Edit:
    """One replacement."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """A bug."""

    name: str
    edits: tuple[Edit, ...]
    seed: int
    """The first that finds it, or one that is known to; the short form runs a few from here."""


MUTANTS = (
    Mutant(
        "everything unclear is retried",
        (Edit(VERDICT, "    if unsent:\n", "    if True:\n"),),
        seed=1,
    ),
    Mutant(
        "a read timeout counts as not sent",
        (Edit(VERDICT, "    if unsent:\n", "    if unsent or failure.timed_out:\n"),),
        seed=10,
    ),
    Mutant(
        "a disconnect counts as not sent",
        (Edit(VERDICT, "    if unsent:\n", '    if unsent or "disconnected" in failure.text:\n'),),
        seed=1,
    ),
    Mutant(
        "a gateway's page counts as the API's own 500",
        (
            Edit(
                VERDICT,
                "    if status == _SERVER_ERROR and reading.vendor and",
                "    if status >= _SERVER_ERROR and",
            ),
        ),
        seed=46,
    ),
    Mutant(
        "a cut answer is not searched for its task",
        (
            Edit(
                VERDICT,
                "    for match in _SALVAGE.finditer(text):",
                "    for match in _SALVAGE.finditer(text[:0]):",
            ),
        ),
        seed=93,
    ),
    Mutant(
        "429 ends the job",
        (
            Edit(
                VERDICT,
                "Refused(error) if isinstance(error, RateLimitError) else Rejected(error)",
                "Rejected(error)",
            ),
        ),
        seed=1,
    ),
    Mutant(
        "server errors are retried without end",
        (
            Edit(
                "_transport/_judgement.py",
                "if count < policy.max_server_error_resubmits else None",
                "if count >= 0 else None",
            ),
        ),
        seed=139,
    ),
    Mutant(
        "hold does not hold",
        (
            Edit(
                "_transport/_judgement.py",
                'isinstance(result, ServerFailed) and policy.server_error == "hold"',
                'isinstance(result, ServerFailed) and policy.server_error == "never"',
            ),
        ),
        seed=3,
    ),
    Mutant(
        "a dangling intent is ignored on resume",
        (
            Edit(
                BOOK,
                "        ended = await self.ledger.end(row.key, ending)",
                "        await self.ledger.send_again(\n"
                "            row.key, row.execution or '', result=AttemptResult.NOT_SENT, detail=''\n"
                "        )\n"
                "        del ending\n"
                "        return await self.ledger.get(row.key)",
            ),
        ),
        seed=2,
    ),
    Mutant(
        "the POST goes before the intent",
        (
            Edit(
                SUBMIT,
                "    intent = await lane.book.ledger.intent(\n",
                "    early = await _post(lane, job, 1)\n"
                "    intent = await lane.book.ledger.intent(\n",
            ),
            Edit(
                SUBMIT,
                "        await _send(lane, job, intent.attempt)",
                "        await record_result(lane, job, early)",
            ),
        ),
        seed=0,
    ),
    Mutant(
        "the acceptance is not written",
        (
            Edit(
                RESULT,
                "        await lane.book.ledger.accepted("
                "job.key, lane.book.execution, task_id, at=account.wall())",
                "        pass",
            ),
        ),
        seed=0,
    ),
    Mutant(
        "an unclear job releases its credits",
        (
            Edit(
                RULES,
                "        return row.reserved, None\n",
                "        return Decimal(0), None\n",
            ),
        ),
        seed=1,
    ),
    Mutant(
        "a server error releases its credits",
        (
            Edit(
                RULES,
                "        exposed = EXACT.add(row.exposed, row.reserved)\n    elif",
                "        exposed = row.exposed\n    elif",
            ),
        ),
        seed=9,
    ),
    Mutant(
        "reserved credits do not count against the budget",
        (
            Edit(
                MONEY,
                "    return EXACT.add(EXACT.add(totals.spent, totals.reserved), totals.exposed)",
                "    return totals.spent",
            ),
        ),
        seed=23,
    ),
    Mutant(
        "a failed poll ends the wait",
        (
            Edit(
                POLL,
                "    lost = unknown and waited >= NOT_FOUND_GRACE * account.second\n",
                "    lost = True\n",
            ),
        ),
        seed=3,
    ),
    Mutant(
        "a task that is not known yet is lost",
        (Edit(POLL, "NOT_FOUND_GRACE = 60.0", "NOT_FOUND_GRACE = 0.0"),),
        seed=3,
    ),
    Mutant(
        "a refusal leaks its slot",
        (
            Edit(
                RESULT,
                "    lane.account.state.refused(job.entry, anyio.current_time(), refusal)\n",
                "    assert refusal\n",
            ),
        ),
        seed=1,
    ),
    Mutant(
        "an ended task leaks its slot",
        (
            Edit(
                "_scheduling/_state.py",
                "            self._census.in_flight -= 1\n            self._running.discard(entry)",
                "            self._running.discard(entry)",
            ),
        ),
        seed=0,
    ),
    Mutant(
        "a cancelled wait cuts off its submission",
        (
            Edit(
                SUBMIT,
                "    with anyio.CancelScope(shield=True):\n        await _submit(lane, job)",
                "    await _submit(lane, job)",
            ),
            Edit(
                SUBMIT,
                "    scope = anyio.CancelScope(shield=True)",
                "    scope = anyio.CancelScope()",
            ),
        ),
        seed=97,
    ),
    Mutant(
        "402 ends the job",
        (
            Edit(
                RESULT,
                "AuthenticationError | InsufficientCreditsError | PermissionDeniedError |",
                "AuthenticationError | PermissionDeniedError |",
            ),
        ),
        seed=25,
    ),
    Mutant(
        "a job on the wire is cancelled",
        (
            Edit(
                "_scheduling/_state.py",
                "        if entry.state is not State.QUEUED:\n            return False\n",
                "        if entry.state is not State.QUEUED:\n            return True\n",
            ),
        ),
        seed=54,
    ),
)


def edited(mutant: Mutant) -> dict[str, str]:
    """The files with the bug, by their paths in the package.

    Raises:
        ValueError: a text to replace is not there exactly once.
    """
    texts: dict[str, str] = {}
    for edit in mutant.edits:
        text = texts.get(edit.file) or (PACKAGE / edit.file).read_text("utf-8")
        if text.count(edit.old) != 1:
            msg = f"{mutant.name}: {edit.file} has {text.count(edit.old)} times {edit.old!r}"
            raise ValueError(msg)
        texts[edit.file] = text.replace(edit.old, edit.new)
    return texts


def mutated(mutant: Mutant, directory: Path) -> None:
    """Writes the package with the bug below the directory."""
    copy = directory / "kinovi_async"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.mp4"))
    for name, text in edited(mutant).items():
        (copy / name).write_text(text, "utf-8")


def simulate(
    mutant: Mutant, *, start: int = 0, seeds: int = SEEDS, tier: str = "transport"
) -> tuple[int | None, str]:
    """The first seed that finds the bug, or None, and what it says."""
    with tempfile.TemporaryDirectory() as directory:
        mutated(mutant, Path(directory))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join((directory, str(ROOT)))}
        command = [sys.executable, "-P", "-m", "tests.simulation", "--tier", tier, "--first"]
        command += ["--start", str(start), "--seeds", str(seeds)]
        done = subprocess.run(  # noqa: S603 - our own words
            command, env=environment, cwd=directory, capture_output=True, text=True, check=False
        )
    found = re.search(r"^seed (\d+),.*\n +(.*)", done.stdout, re.MULTILINE)
    if found is None and "schedules at" not in done.stdout:
        raise RuntimeError(f"{mutant.name}: {done.stdout}{done.stderr}")
    return (int(found[1]), found[2]) if found else (None, "")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants")
    parser.add_argument("names", nargs="*", help="a part of the name; all without one")
    parser.add_argument("--tier", choices=("transport", "bytes"), default="transport")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time")
    arguments = parser.parse_args()
    chosen = [
        mutant
        for mutant in MUTANTS
        if not arguments.names or any(name in mutant.name for name in arguments.names)
    ]

    def run(mutant: Mutant) -> tuple[int | None, str]:
        return simulate(mutant, seeds=arguments.seeds, tier=arguments.tier)

    missed = 0
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for mutant, (seed, text) in zip(chosen, pool.map(run, chosen), strict=True):
            missed += seed is None
            print(f"| {mutant.name} | {'none' if seed is None else seed} | {text} |", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} found within {arguments.seeds} seeds")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
