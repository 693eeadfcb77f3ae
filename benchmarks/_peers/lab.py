"""Starts the server and the contenders, each in a process of its own, and reads the books."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.request import Request, urlopen

from .figures import Figures, Run, figures, read_tasks
from .mixes import SECONDS, bodies, warm_up
from .work import Work

BENCHMARKS: Final = Path(__file__).parents[1]
_LONGEST_RUN: Final = 600
"""Seconds; the longest expected run, one slot in five, takes about a minute."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One way to run a batch."""

    name: str
    module: str
    share: float = 1.0
    """Guess of the limit over the true limit."""
    guesses: bool = True
    """Whether it needs a guess at all."""
    needs: tuple[str, ...] = ()
    """What it imports beyond httpx and backoff, which this project requires itself."""

    left_out_of: tuple[str, ...] = ()
    """Mixes that it is not run in, to save time."""

    @property
    def is_told(self) -> bool:
        """Whether it is told the true limit, which no user knows."""
        return self.guesses and self.share == 1

    @property
    def is_ours(self) -> bool:
        """Whether it is this project, which a peers' environment does not have."""
        return self.module.startswith("ours")

    def guess(self, limit: int) -> int:
        """The limit it believes in."""
        return max(1, round(limit * self.share))


OURS: Final = Contender(name="kinovi-async", module="ours", guesses=False)


def _guessing(name: str, module: str, *needs: str) -> list[Contender]:
    shares = {"C": 1.0, "C/5": 0.2, "5C": 5.0}
    return [
        Contender(
            name=f"{name}, {text}",
            module=module,
            share=share,
            needs=needs,
            # Too few slots are too few in any loop; it takes long to show.
            left_out_of=("MJ", "SD", "MIX") if share < 1 and module != "with_semaphore" else (),
        )
        for text, share in shares.items()
    ]


CONTENDERS: Final = (
    OURS,
    # Not what the documents ask for, but what the vendor's own loop does.
    Contender(
        name="kinovi-async, 2 s", module="ours_hasty", guesses=False, left_out_of=("SD", "MIX")
    ),
    *_guessing("semaphore", "with_semaphore"),
    *_guessing("aiometer", "with_aiometer", "aiometer"),
    *_guessing("vendor loop", "vendor_loop"),
    Contender(name="tenacity", module="with_tenacity", guesses=False, needs=("tenacity",)),
    Contender(name="backoff", module="with_backoff", guesses=False),
)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What is run: a mix on an account with a limit, on a server of some speed."""

    mix: str
    count: int
    limit: int
    speed: float
    seed: int = 1


class Lab:
    """A running server and the ways to use it."""

    def __init__(self, scene: Scene, base_url: str, peers_python: str | None) -> None:
        self._scene = scene
        self._base_url = base_url
        self._peers_python = peers_python
        self._runs = 0

    def can(self, contender: Contender) -> bool:
        """Whether what the contender needs is there."""
        if self._peers_python is not None:
            return True
        return all(importlib.util.find_spec(name) is not None for name in contender.needs)

    def measure(self, contender: Contender, draw: int) -> Figures:
        """Runs a contender on an account of its own, on a server as newly started.

        The same `draw` is the same jobs, whoever runs them.

        Raises:
            RuntimeError: it failed, or not every job succeeded exactly once.
        """
        scene = self._scene
        guess = contender.guess(scene.limit)
        # A fifth of the slots take five times as long; fewer jobs say as much.
        few = guess < scene.limit
        count = max(2 * scene.limit, scene.count // 4) if few else scene.count
        jobs = bodies(scene.mix, count, draw)
        self._ask("/simulator/reset", "POST")
        self._runs += 1
        run = self._run(contender, jobs, guess)
        books = json.loads(self._ask("/simulator/books", "GET"))
        if run.succeeded != len(jobs):
            raise RuntimeError(f"{contender.name}: {run.succeeded} of {len(jobs)} succeeded")
        tasks = read_tasks(books, {str(_prompt(body)) for body in jobs})
        refusals = int(books["refused_count"])
        return figures(tasks, refusals, run, limit=scene.limit, speed=scene.speed)

    def _run(self, contender: Contender, jobs: list[dict[str, object]], guess: int) -> Run:
        works = [
            Work(
                base_url=self._base_url,
                key=f"peers-{self._runs}-{account}",
                bodies=work,
                speed=self._scene.speed,
                guess=guess,
            )
            for account, work in (("warm-up", warm_up()), ("measured", jobs))
        ]
        python = sys.executable
        if not contender.is_ours and self._peers_python is not None:
            python = self._peers_python
        done = subprocess.run(  # noqa: S603 - our own module
            [python, "-m", "_peers.contender", contender.module],
            input="\n".join(work.to_json() for work in works),
            stdout=subprocess.PIPE,
            cwd=BENCHMARKS,
            text=True,
            timeout=_LONGEST_RUN,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{contender.name} ended with exit code {done.returncode}")
        return Run(**json.loads(done.stdout))

    def _ask(self, path: str, method: str) -> bytes:
        origin = self._base_url.removesuffix("/api/v1")
        request = Request(origin + path, method=method)  # noqa: S310 - our own server
        with urlopen(request, timeout=30) as response:  # noqa: S310
            answer: bytes = response.read()
            return answer


def _prompt(body: dict[str, object]) -> object:
    inputs = body["inputs"]
    return inputs["prompt"] if isinstance(inputs, dict) else None


@contextmanager
def laboratory(scene: Scene, peers_python: str | None) -> Iterator[Lab]:
    """A server in another process while the block runs."""
    settings = json.dumps(
        {
            "speed": scene.speed,
            "limit": scene.limit,
            "seed": scene.seed,
            "durations": {model: list(seconds) for model, seconds in SECONDS.items()},
        }
    )
    command = [sys.executable, "-m", "_peers.server", settings]
    with subprocess.Popen(  # noqa: S603 - our own module
        command, stdout=subprocess.PIPE, cwd=BENCHMARKS, text=True
    ) as server:
        try:
            line = server.stdout.readline() if server.stdout else ""
            if not line:
                raise RuntimeError("the simulator did not start")
            yield Lab(scene, line.strip(), peers_python)
        finally:
            server.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(10)
            server.kill()
