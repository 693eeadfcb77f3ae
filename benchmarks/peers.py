"""This project against what a user would write instead, over real sockets.

    python benchmarks/peers.py --short                  # under 40 s; what CI runs
    python benchmarks/peers.py --make-venv peers-venv   # once: aiometer, tenacity, ...
    python benchmarks/peers.py --full --venv peers-venv # under 20 minutes; the README's table

The bundled simulator runs in another process, 10 to 50 times faster than life; so does
each contender. All get the same jobs, which take the same time whoever sends them, on
an account of their own. In a round each contender runs once, one after another, and each
round starts with the next of them, and with other jobs; figures are medians over the rounds.

Makespan is over LB = max(sum of durations / C, longest duration), and over the oracle: the
same order of acceptance without any delay; with few jobs a slot, LB has much luck in it, the
oracle none. Slot use, 429 and polls
are read off the server's books, CPU off the client's process (imports left out). `C`,
`C/5` and `5C` are guesses of the account's limit: no user knows it, this project is not
told. With C/5 fewer of the jobs are run (at least 2C), as the ratios stay the same.
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
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from _peers.figures import Figures, middle
from _peers.lab import CONTENDERS, OURS, Contender, Lab, Scene, laboratory
from _peers.mixes import MIXES
from _peers.verdict import better_peers, regressions
from _table import table, write_json

HERE = Path(__file__).parent
FULL = {"NB": 120, "MJ": 80, "SD": 50, "MIX": 80}
SHORT = {"NB": 50, "MIX": 24}
FULL_SPEED = {"NB": 10.0, "MJ": 25.0, "SD": 30.0, "MIX": 25.0}
"""Speed multiplies what CPU costs, in seconds of the API. More than 100 jobs that all start
at once block httpx for about half a second; at 25 times life those without a limit would be
measured by that rather than by what they do, the more the shorter their jobs are."""
SHORT_SPEED = {"NB": 30.0, "MIX": 50.0}
SHORT_CONTENDERS = {
    "NB": ("kinovi-async", "semaphore, C", "semaphore, 5C", "vendor loop, C", "backoff"),
    "MIX": ("kinovi-async", "semaphore, C"),
}
TITLES = {
    "makespan": "makespan/LB",
    "by_oracle": "/oracle",
    "slot_use": "slot use",
    "refusals": "429/job",
    "polls": "polls/job",
    "cpu": "CPU ms/job",
    "unseen": "end->seen s",
    "filled": "filled s",
}


@dataclass
class Table:
    """The rounds of one mix."""

    scene: Scene
    rounds: dict[str, list[Figures]] = field(default_factory=dict)

    @property
    def results(self) -> dict[str, Figures]:
        """Medians by contender."""
        return {name: middle(rounds) for name, rounds in self.rounds.items()}

    def run(self, lab: Lab, contenders: Sequence[Contender], rounds: int) -> None:
        """Every contender once a round; those with a fifth of the slots once in all."""
        for number in range(rounds):
            start = number % len(contenders)
            for contender in (*contenders[start:], *contenders[:start]):
                if contender.share < 1 and number:
                    continue
                self.rounds.setdefault(contender.name, []).append(
                    lab.measure(contender, draw=number)
                )

    def print(self) -> None:
        """The table, and after each figure its ratio to ours."""
        results = self.results
        ours = results[OURS.name]
        scene = self.scene
        rows = [
            [contender.name, *_cells(results[contender.name], ours)]
            for contender in CONTENDERS
            if contender.name in results
        ]
        title = f"{scene.mix}: {scene.count} jobs, C = {scene.limit}, {scene.speed:g} x life"
        table(title, ["", *TITLES.values()], rows)

    def to_json(self) -> dict[str, object]:
        """Everything measured."""
        return {
            "scene": asdict(self.scene),
            "median": {name: asdict(each) for name, each in self.results.items()},
            "rounds": {
                name: [asdict(each) for each in rounds] for name, rounds in self.rounds.items()
            },
        }


def _cells(figures: Figures, ours: Figures) -> list[str]:
    cells = []
    for name in TITLES:
        value, base = getattr(figures, name), getattr(ours, name)
        ratio = f" ({value / base:.2f})" if base > 0 else ""
        cells.append(f"{value:.3f}{ratio}")
    return cells


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="This project against what users write instead.")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--short", action="store_true", help="what CI runs (the default)")
    size.add_argument("--full", action="store_true", help="all mixes and contenders")
    size.add_argument("--make-venv", type=Path, metavar="DIR", help="install the peers there")
    parser.add_argument("--venv", type=Path, metavar="DIR", help="where the peers are installed")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where the JSON goes")
    parser.add_argument("--rounds", type=int, help="default 2, in a short run 1")
    parser.add_argument("--limit", type=int, help="C; default 20, in a short run 10")
    parser.add_argument("--speed", type=float, help="how many times faster than life")
    parser.add_argument("--mixes", default="", help=f"some of {','.join(MIXES)}")
    parser.add_argument("--only", default="", help="contenders by name, separated by |")
    return parser.parse_args()


def _python_of(directory: Path) -> str:
    inside = "Scripts/python.exe" if os.name == "nt" else "bin/python"
    # Not resolved: the link itself is what makes it the environment's.
    return str(directory.absolute() / inside)


def make_venv(directory: Path) -> None:
    """A virtual environment with what the peers need."""
    venv.create(directory, with_pip=True)
    requirements = str(HERE / "requirements-peers.txt")
    command = [_python_of(directory), "-m", "pip", "install", "--quiet", "-r", requirements]
    subprocess.run(command, check=True)  # noqa: S603 - pip


def _chosen(mix: str, options: argparse.Namespace, lab: Lab) -> list[Contender]:
    names = None if options.full else SHORT_CONTENDERS.get(mix)
    only = options.only.split("|") if options.only else None
    chosen = []
    for contender in CONTENDERS:
        if names is not None and contender.name not in names:
            continue
        if only is not None and contender is not OURS and contender.name not in only:
            continue
        if mix in contender.left_out_of:
            continue
        if lab.can(contender):
            chosen.append(contender)
        else:
            print(f"{contender.name} is left out: it needs --venv (see --make-venv)")
    return chosen


def _tables(options: argparse.Namespace) -> list[Table]:
    counts = FULL if options.full else SHORT
    mixes = [mix for mix in options.mixes.split(",") if mix] or list(counts)
    python = None if options.venv is None else _python_of(options.venv)
    tables = []
    for mix in mixes:
        usual = FULL_SPEED[mix] if options.full else SHORT_SPEED.get(mix, FULL_SPEED[mix])
        scene = Scene(
            mix=mix,
            count=counts.get(mix, FULL[mix]),
            limit=options.limit or (20 if options.full else 10),
            speed=options.speed or usual,
        )
        tables.append(_table_of(scene, options, python))
    return tables


def _table_of(scene: Scene, options: argparse.Namespace, python: str | None) -> Table:
    measured = Table(scene)
    with laboratory(scene, python) as lab:
        contenders = _chosen(scene.mix, options, lab)
        measured.run(lab, contenders, options.rounds or (2 if options.full else 1))
        if not options.full and not options.only and regressions(scene.mix, measured.results):
            # A machine that other programs use deserves a second look.
            measured.run(lab, contenders, 1)
    measured.print()
    return measured


def _machine() -> dict[str, object]:
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "python": platform.python_version(),
        "system": platform.system(),
        "processors": os.cpu_count(),
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
    }


def main() -> int:
    """Prints the tables; 1 for a gross regression."""
    options = _options()
    if options.make_venv is not None:
        make_venv(options.make_venv)
        return 0
    began, machine = time.monotonic(), _machine()
    tables = _tables(options)
    output = options.output or (HERE / "results" / "peers.json" if options.full else None)
    if output is not None:
        write_json(output, {"machine": machine, "tables": [each.to_json() for each in tables]})
    print(f"\nIn brackets: over ours. {time.monotonic() - began:.0f} s in all.")
    for measured in tables:
        for sentence in better_peers(measured.scene.mix, measured.results):
            print(f"better at comparable refusals - {sentence}")
    if options.only:
        return 0
    failures = [each for one in tables for each in regressions(one.scene.mix, one.results)]
    for sentence in failures:
        print(f"REGRESSION - {sentence}")
    return 1 if failures else 0


if __name__ == "__main__":
    # Fields and titles belong together.
    assert list(TITLES) == [each.name for each in fields(Figures)]  # noqa: S101
    sys.exit(main())
