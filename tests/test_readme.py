"""The README: its examples run, and it names everything that is public."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import anyio.from_thread
import pytest

import kinovi_async
from kinovi_async.simulator import Simulator, serve

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@contextmanager
def running_simulator() -> Iterator[str]:
    with (
        anyio.from_thread.start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serve(Simulator(speed=300))) as running,
    ):
        yield running.base_url


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_every_python_example_runs(block: str, tmp_path: Path) -> None:
    with running_simulator() as base_url:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-c", block],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=tmp_path,
            env={**os.environ, "KINOVI_API_KEY": "any", "KINOVI_BASE_URL": base_url},
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_first_example_fits_in_a_dozen_lines() -> None:
    lines = [line for line in BLOCKS[0].splitlines() if line.strip()]
    assert len(lines) <= 12


def test_every_public_name_is_told() -> None:
    missing = [
        name
        for name in kinovi_async.__all__
        if not re.search(rf"\b{re.escape(name)}\b", README) and name != "__version__"
    ]
    assert missing == []


def test_the_error_tree_is_complete_and_true() -> None:
    tree = re.search(r"```text\nKinoviError\n(.*?)```", README, re.DOTALL)
    assert tree is not None
    path: list[type] = [kinovi_async.KinoviError]
    for line in tree[1].splitlines():
        match = re.match(r"([│├└─ ]+)(\w+)", line)
        assert match is not None
        depth = len(match[1]) // 4
        error = getattr(kinovi_async, match[2])
        del path[depth:]
        assert issubclass(error, path[-1]), line
        path.append(error)
