"""The example application, from end to end: uvicorn, the simulator, and a real browser."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.report.browser import missing

from .processes import ROOT

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals"),
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]


def test_the_shop_survives_its_server_its_customers_and_their_budgets(tmp_path: Path) -> None:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "tests.workers.shop", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    log = (tmp_path / "log").read_text()
    assert done.returncode == 0, f"{done.stderr[-4_000:]}\n{log[-4_000:]}"
    seen = json.loads(done.stdout.splitlines()[-1])
    assert "Traceback" not in log
    assert seen["said"] == []
    # Killed between submission and callback, which the next server hears; the answer of one
    # submission had not come yet. Each is made once, paid once, and shown.
    assert seen["hooks"]["before"] == ["ambiguous", "generating"]
    assert seen["hooks"]["webhooks"] == {"sent": 2}
    assert sorted(round(shape, 1) for shape in seen["hooks"]["shapes"]) == [1.0, 1.8]
    # And once more, with the callback lost.
    assert seen["polls"]["credits"] == "45 of 60 credits"
    assert seen["budget"]["said"] == "Your plan does not cover another picture."
    assert seen["budget"]["credits"] == "75 of 600 credits"
    # Closed: what was queued is not made, what was being made is paid and there.
    statuses = Counter(seen["closed"]["statuses"])
    assert statuses == {"succeeded": 5 + 3, "cancelled": 13}
    assert seen["closed"]["shown"] == statuses["succeeded"]
    paid = Counter(seen["paid"])
    assert set(paid.values()) == {1}
    assert len(paid) == statuses["succeeded"] + 1
    assert "one too many" not in paid
    # Another customer sees nothing of it, on a narrow screen and in the dark.
    assert seen["looks"]["overflow"] <= 0
    assert seen["looks"]["strangers"] == 1
    assert seen["looks"]["ground"] == "rgb(21, 19, 18)"
    assert seen["keys_leaked"] == 0
    assert seen["exit"] in {0, -signal.SIGTERM}
