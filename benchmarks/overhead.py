"""What the SDK costs: CPU per poll, memory per job, imports, clients. Goals 8 to 11.

    python benchmarks/overhead.py --short       under a minute; fails on a gross regression
    python benchmarks/overhead.py --full        the figures of the README, about 20 minutes
    python -m venv peers && peers/bin/pip install fal-client replicate runwayml openai
    python benchmarks/overhead.py --full --peers-venv peers

Everything runs in fresh processes, one after the other. What is compared is measured in
turns within one run, so the ratios hold on a busy machine while the times do not: only
ratios, bytes and counts can fail a run.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, cast

from _overhead_checks import Row, rows
from _overhead_server import serving

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "overhead.json"


class Effort(NamedTuple):
    """How much of everything."""

    polls: int
    each: int
    rounds: int
    seconds: float
    streamed: int
    runs: int


SHORT = Effort(polls=200, each=1, rounds=2, seconds=2.0, streamed=20_000, runs=2)
FULL = Effort(polls=500, each=4, rounds=8, seconds=20.0, streamed=1_000_000, runs=7)


def child(module: str, *arguments: object) -> dict[str, object]:
    """Runs a sibling script and takes its figures."""
    command = [sys.executable, str(HERE / f"{module}.py"), *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    return cast("dict[str, object]", json.loads(done.stdout))


def measure(effort: Effort, peers_venv: Path | None) -> dict[str, dict[str, object]]:
    """All figures, by section."""
    found: dict[str, dict[str, object]] = {}

    def tell(section: str, figures: dict[str, object]) -> None:
        found[section] = figures
        print(f"{section}: done", file=sys.stderr, flush=True)

    peers = [] if peers_venv is None else ["--peers-venv", peers_venv]
    tell("start", child("_overhead_start", "--runs", effort.runs, *peers))
    with serving() as base_url:
        polls = ["--polls", effort.polls, "--each", effort.each, "--rounds", effort.rounds]
        tell("polls", child("_overhead_polls", base_url, *polls))
        tell("load", child("_overhead_load", base_url, "--seconds", effort.seconds))
    tell("queued", child("_overhead_memory", "queued"))
    tell("slow consumer", child("_overhead_memory", "slow"))
    tell("stream", child("_overhead_memory", "stream", "--count", effort.streamed))
    return found


def machine() -> dict[str, object]:
    """What the figures depend on."""
    names = ["kinovi-async", "httpx", "httpcore", "anyio", "pydantic", "aiohttp", "httpx-aiohttp"]
    versions: dict[str, str] = {}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions,
    }


def print_figures(found: Mapping[str, Mapping[str, object]]) -> None:
    """Everything measured, a line each."""
    for section, figures in found.items():
        print(f"\n{section}")
        for name, value in figures.items():
            if isinstance(value, Mapping):
                print(f"  {name}")
                for part, figure in value.items():
                    print(f"    {part:40} {_shown(figure)}")
            else:
                print(f"  {name:42} {_shown(value)}")


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return "   ".join(f"{name}: {figure:g}" for name, figure in value.items())
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def print_goals(table: list[Row]) -> None:
    """The goals and how they are met."""
    print(f"\n{'goal':62} {'figure':>9} {'goal':>7}  {'':7} fails above")
    for row in table:
        verdict = "met" if row.met else "NOT MET"
        fails = "" if row.gross is None else f"{row.gross:g}"
        print(f"{row.name:62} {row.figure:9.4g} {row.goal:7g}  {verdict:7} {fails}")


def main() -> int:
    """Measures, prints, writes; 1 when a ratio has regressed grossly."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Raw)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--short", action="store_true", help="under a minute (the default)")
    size.add_argument("--full", action="store_true", help="about 20 minutes")
    parser.add_argument("--peers-venv", type=Path, help="where the peers are installed")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="where the JSON goes (with --full: benchmarks/results/overhead.json)",
    )
    options = parser.parse_args()
    found = measure(FULL if options.full else SHORT, options.peers_venv)
    table = rows(found)
    print_figures(found)
    print_goals(table)
    report = {
        "date": datetime.now(UTC).date().isoformat(),
        "mode": "full" if options.full else "short",
        "machine": machine(),
        "figures": found,
        "goals": [row._asdict() | {"met": row.met} for row in table],
    }
    output = options.output or (RESULTS if options.full else None)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    broken = [row.name for row in table if row.broken]
    for name in broken:
        print(f"gross regression: {name}", file=sys.stderr)
    return 1 if broken else 0


class _Raw(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the description."""


if __name__ == "__main__":
    sys.exit(main())
