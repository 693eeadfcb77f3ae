"""What one wish costs when the network misbehaves: this project against real packages.

    python benchmarks/money.py --make-venv DIR             # once: the peers from the registry
    python benchmarks/money.py --full --venv DIR           # the table of the README, 3 minutes
    python benchmarks/money.py --short                     # what CI runs: no peers

One server, our simulator with a desk for each peer that speaks as the peer's own server
does, accepts every submission and loses the answer, or fails four polls in a row. Its book
says how many tasks were created, and so paid for. A cell is *tasks paid per wish / paid
results lost per wish*. Lost is a paid task whose result the call did not deliver and which
nothing points to: neither the error (its text and attributes: a task id, or an idempotency
key under which the server finds the task) nor a durable record of what may be paid.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import subprocess
import sys
import time
import venv
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from _money.faults import COLUMNS, SPELLS
from _money.lab import NAIVE, OURS, PEERS, Contender, Measured, Scene, measure, server
from _money.verdict import broken_promises, naive_is_caught
from _table import table, write_json

HERE = Path(__file__).parent
FULL = Scene(count=3, patience=1.0, slow_seconds=130.0, seconds=2.0, poll=None, hurried=False)
"""This project waits its own 120 s for an answer; the peers wait 1 s, by their options."""
SHORT = Scene(count=1, patience=0.5, slow_seconds=5.0, seconds=0.3, poll=(0.05, 0.1), hurried=True)
SPELL_TITLES = {
    "always": "Every answer to the wish's submissions is lost (an outage of seconds)",
    "once": "Only the first answer is lost",
}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What a wish costs when answers are lost.")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--short", action="store_true", help="what CI runs (the default)")
    size.add_argument("--full", action="store_true", help="with the peers of --venv")
    size.add_argument("--make-venv", type=Path, metavar="DIR", help="install the peers there")
    parser.add_argument("--venv", type=Path, metavar="DIR", help="where the peers are installed")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where the JSON goes")
    parser.add_argument("--only", default="", help="peers by name, separated by commas")
    return parser.parse_args()


def _python_of(directory: Path) -> str:
    inside = "Scripts/python.exe" if os.name == "nt" else "bin/python"
    # Not resolved: the link itself is what makes it the environment's.
    return str(directory.absolute() / inside)


def make_venv(directory: Path) -> None:
    """A virtual environment with the peers."""
    venv.create(directory, with_pip=True)
    requirements = str(HERE / "requirements-money.txt")
    command = [_python_of(directory), "-m", "pip", "install", "--quiet", "-r", requirements]
    subprocess.run(command, check=True)  # noqa: S603 - pip


def _contenders(options: argparse.Namespace) -> list[Contender]:
    chosen = [*OURS, NAIVE]
    if not options.full:
        return chosen
    if options.venv is None:
        print("the peers are left out: they need --venv (see --make-venv)")
        return chosen
    names = options.only.split(",") if options.only else None
    peers = [each for each in PEERS if names is None or each.name in names]
    return [*OURS, *peers, NAIVE]


def _measure_all(
    contenders: Sequence[Contender], scene: Scene, python: str | None
) -> list[Measured]:
    # Side by side: they wait nearly all the time, and what they cost is counted, not timed.
    with (
        server(scene, contenders) as origin,
        ThreadPoolExecutor(len(contenders)) as threads,
    ):
        found = [threads.submit(measure, each, scene, origin, python) for each in contenders]
        return [each.result() for each in found]


def _title(measured: Measured) -> str:
    # The first package is what the row is about; what it sends with matters less.
    versions = list(measured.versions.items())
    package, version = versions[-1] if measured.contender.name.startswith("httpx") else versions[0]
    return f"{measured.contender.name} {version}" if package else measured.contender.name


def _print(rows: Sequence[Measured]) -> None:
    for spell in SPELLS:
        columns = [column for column in COLUMNS if spell == SPELLS[0] or not column.polls]
        cells = [[_title(row), *(str(row.cells[each, spell]) for each in columns)] for row in rows]
        table(
            f"{SPELL_TITLES[spell]}: tasks paid / paid results lost, per wish",
            ["", *(column.title for column in columns)],
            cells,
        )


def _to_json(rows: Sequence[Measured], scene: Scene) -> dict[str, object]:
    return {
        "machine": {
            "date": dt.datetime.now(dt.UTC).date().isoformat(),
            "python": platform.python_version(),
            "system": platform.system(),
        },
        "scene": asdict(scene),
        "rows": [
            {
                "name": row.contender.name,
                "versions": row.versions,
                "cells": [
                    {"fault": column.name, "spell": spell, **each.to_json()}
                    for (column, spell), each in row.cells.items()
                ],
            }
            for row in rows
        ],
    }


def main() -> int:
    """Prints the tables; 1 when this project broke a promise."""
    options = _options()
    if options.make_venv is not None:
        make_venv(options.make_venv)
        return 0
    began = time.monotonic()
    scene = FULL if options.full else SHORT
    python = None if options.venv is None else _python_of(options.venv)
    rows = _measure_all(_contenders(options), scene, python)
    _print(rows)
    print("\n* Not delivered, but not lost either: the error or the ledger points to it.")
    output = options.output or (HERE / "results" / "money.json" if options.full else None)
    if output is not None:
        write_json(output, _to_json(rows, scene))
    print(f"\n{scene.count} wishes a cell, {time.monotonic() - began:.0f} s in all.")
    failures = []
    for row in rows:
        if row.contender in OURS:
            failures += broken_promises(row.contender.name, row.cells)
        elif row.contender == NAIVE:
            failures += naive_is_caught(row.contender.name, row.cells)
    for sentence in failures:
        print(f"REGRESSION - {sentence}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
