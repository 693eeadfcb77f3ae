"""A real, headless Chromium for the report, driven in a process of its own.

Playwright's synchronous interface brings an event loop and pipes that outlive a test;
in a child process neither meets pytest's warnings. The child runs one scenario, a
function of `scenarios.py`, and answers JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = "KINOVI_TEST_CHROMIUM"
"""Names another browser for the tests."""


def executable() -> str | None:
    """The system's Chromium."""
    told = os.environ.get(CHROMIUM)
    return told or next(filter(None, map(shutil.which, NAMES)), None)


@lru_cache(maxsize=1)
def missing() -> str | None:
    """Why the browser's tests cannot run; None when they can."""
    try:
        import playwright  # noqa: F401 - asks whether it is there
    except ModuleNotFoundError:
        return "playwright is not installed"
    if executable() is None:
        return f"no Chromium found ({', '.join(NAMES)}, or {CHROMIUM})"
    return None


def play(scenarios: Mapping[str, tuple[Path, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """What each scenario saw on its page; all of them share a browser, none a profile.

    Args:
        scenarios: Page and options by the scenario's name.

    Raises:
        AssertionError: The browser itself did not work; the message is what was said.
    """
    plan = {name: [str(page), options] for name, (page, options) in scenarios.items()}
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-m", "tests.report.scenarios"],
        input=json.dumps(plan),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4_000:]
    found: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found
