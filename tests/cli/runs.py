"""Runs of the command against a simulator, and what they left behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kinovi_async.simulator import RunningSimulator

KEY = "sk-CANARY-of-the-command"
SPEED = 200
POLL = "0.02,0.03"


@dataclass
class Ran:
    """What one command came to."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.out.splitlines()]


Kinovi = Callable[..., Ran]
Serve = Callable[..., RunningSimulator]


def batch(path: Path, count: int = 6, **first: object) -> Path:
    """Pictures with the ids job-1, job-2 ...; `first` changes the first line's inputs."""
    lines = []
    for number in range(1, count + 1):
        inputs = {"prompt": f"picture {number}", **(first if number == 1 else {})}
        lines.append({"id": f"job-{number}", "model": "nanobanana2", "inputs": inputs})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def results_of(out: Path) -> dict[str, dict[str, object]]:
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    found = {line["id"]: line for line in lines}
    assert len(found) == len(lines)
    return found


def accepted(running: RunningSimulator) -> int:
    return len(running.simulator.books.accepted)


def prompts(running: RunningSimulator) -> list[str]:
    return sorted(task.prompt for task in running.simulator.books.accepted)


def run(kinovi: Kinovi, file: Path, out: Path, *more: object) -> Ran:
    return kinovi("run", file, "-o", out, "--poll-interval", POLL, *more)
