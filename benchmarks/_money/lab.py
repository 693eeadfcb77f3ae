"""Starts the server and the contenders, each in a process of its own, and reads the books."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.request import urlopen

from .faults import COLUMNS, CONTROL, SPELLS, Column, prompts
from .verdict import Cell, bill, cell
from .work import Report, Work, read_report

BENCHMARKS: Final = Path(__file__).parents[1]
_LONGEST_RUN: Final = 500
"""Seconds; the longest expected one, our two minutes for an answer, takes 130."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One client."""

    name: str
    module: str
    is_peer: bool = True
    """Whether it needs the environment of the peers."""


OURS: Final = (
    Contender(name="kinovi-async", module="ours", is_peer=False),
    Contender(name='kinovi-async, server_error="hold"', module="ours_hold", is_peer=False),
)
NAIVE: Final = Contender(name="httpx + backoff", module="with_backoff", is_peer=False)
PEERS: Final = (
    Contender(name="fal-client", module="with_fal"),
    Contender(name="runwayml", module="with_runwayml"),
    Contender(name="openai", module="with_openai"),
    Contender(name="replicate", module="with_replicate"),
    Contender(name="comfy-sdk", module="with_comfy"),
    Contender(name="httpx + tenacity", module="with_tenacity"),
)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """How long things take, and how many wishes each cell has."""

    count: int
    patience: float
    """Seconds that a client waits for an answer, where its options let it."""
    slow_seconds: float
    """How late the answer is that is waited for in vain."""
    seconds: float
    """How long a task takes."""
    poll: tuple[float, float] | None
    hurried: bool


Cells = dict[tuple[Column, str], Cell]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One contender's row."""

    contender: Contender
    versions: dict[str, str]
    cells: Cells


def all_wishes(contender: Contender, count: int) -> dict[tuple[Column, str], list[str]]:
    """The prompts of every cell of a row."""
    return {
        (column, spell): prompts(contender.module, column, spell, count)
        for column in (CONTROL, *COLUMNS)
        for spell in SPELLS
        # Four polls in a row are four, once.
        if not (column.polls and spell != SPELLS[0])
    }


def measure(contender: Contender, scene: Scene, origin: str, peers_python: str | None) -> Measured:
    """Lets a contender have all its wishes, and reads in the books what they cost.

    Raises:
        RuntimeError: its process failed, or not even the wishes without a fault were granted.
    """
    wishes = all_wishes(contender, scene.count)
    work = Work(
        origin=origin,
        prompts=[prompt for each in wishes.values() for prompt in each],
        patience=scene.patience,
        poll=scene.poll,
        hurried=scene.hurried,
    )
    report = _run(contender, work, peers_python)
    books = json.loads(_get(f"{origin}/simulator/books"))
    keys = json.loads(_get(f"{origin}/peer/claims"))
    cells = _cells(wishes, report, _tasks(books), keys)
    control = cells[CONTROL, SPELLS[0]]
    if (control.paid, control.delivered) != (1, 1):
        raise RuntimeError(f"{contender.name} fails without any fault: {control.errors}")
    return Measured(contender=contender, versions=report.versions, cells=cells)


def _cells(
    wishes: Mapping[tuple[Column, str], Sequence[str]],
    report: Report,
    tasks: Mapping[str, list[str]],
    keys: Mapping[str, str],
) -> Cells:
    told = {wish.prompt: wish for wish in report.wishes}
    cells: Cells = {}
    for place, prompts_ in wishes.items():
        bills = [bill(told[prompt], tasks.get(prompt, []), keys) for prompt in prompts_]
        cells[place] = cell(bills, [told[prompt] for prompt in prompts_])
    return cells


def _tasks(books: Mapping[str, list[Mapping[str, str]]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for task in books["accepted"]:
        found.setdefault(task["prompt"], []).append(task["task_id"])
    return found


def _run(contender: Contender, work: Work, peers_python: str | None) -> Report:
    python = peers_python if contender.is_peer and peers_python is not None else sys.executable
    done = subprocess.run(  # noqa: S603 - our own module
        [python, "-m", "_money.contender", contender.module],
        input=work.to_json(),
        capture_output=True,
        cwd=BENCHMARKS,
        text=True,
        timeout=_LONGEST_RUN,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{contender.name} ended with {done.returncode}: {done.stderr[-2000:]}")
    return read_report(done.stdout)


def _get(url: str) -> bytes:
    with urlopen(url, timeout=30) as response:  # noqa: S310 - our own server
        answer: bytes = response.read()
        return answer


@contextmanager
def server(scene: Scene, contenders: Sequence[Contender]) -> Iterator[str]:
    """The server in another process while the block runs; gives its origin."""
    settings = json.dumps(
        {
            "seconds": scene.seconds,
            "slow_seconds": scene.slow_seconds,
            "wishes": [
                (column.name, spell, prompt)
                for contender in contenders
                for (column, spell), each in all_wishes(contender, scene.count).items()
                for prompt in each
            ],
        }
    )
    command = [sys.executable, "-m", "_money.server", settings]
    with subprocess.Popen(  # noqa: S603 - our own module
        command, stdout=subprocess.PIPE, cwd=BENCHMARKS, text=True
    ) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line:
                raise RuntimeError("the server did not start")
            yield line.strip()
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
