"""Real runs killed with SIGKILL at numbered points, compared with the server's books.

The whole of it is `python -m tests.kill --all` and `python -m tests.kill --lossy`.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from kinovi_async import _crash_points

from .cases import (
    ADOPTED,
    LOSSY_SERVER,
    NEVER_BY_THE_COMMAND,
    PACKAGE,
    RECORDED,
    SAMPLE,
    SETTLED,
    WINDOW,
    Recording,
    all_cases,
    points_in_source,
)
from .harness import Bench, benches, try_all
from .processes import PACKAGE_ROOT

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


@posix_only
def test_no_kill_at_a_numbered_point_pays_twice_or_loses_a_paid_task(tmp_path: Path) -> None:
    with ExitStack() as stack:
        places = benches(stack, tmp_path, 3)
        tries = [partial(Bench.try_case, case=case) for case in SAMPLE]
        reports = list(try_all(tries, places))
    assert [report.row() for report in reports if report.findings] == []
    assert sum(report.kills for report in reports) == sum(len(case.kills) for case in SAMPLE)
    for case, report in zip(SAMPLE, reports, strict=True):
        clear = WINDOW.isdisjoint(moment.point for moment in case.kills)
        assert case.kind == "crowded" or clear == (report.statuses["ambiguous"] == 0)


@posix_only
def test_a_run_that_loses_answers_and_is_killed_five_times_accounts_for_every_job(
    tmp_path: Path,
) -> None:
    """5 % of the answers are lost after acceptance; no prompt is paid twice."""
    with ExitStack() as stack:
        (bench,) = benches(stack, tmp_path, 1, jobs=60, **LOSSY_SERVER)
        report = bench.try_random_kills(seed=1, kills=5)
    assert report.findings == []
    assert report.kills == 5
    assert sum(report.statuses.values()) == 60
    assert report.statuses["succeeded"] > 0


def test_every_point_has_a_name_of_its_own_and_is_tried() -> None:
    names = [name for name, _ in points_in_source()]
    assert [name for name, count in Counter(names).items() if count > 1] == []
    assert len(names) >= 40
    assert set(names) >= WINDOW | NEVER_BY_THE_COMMAND | {SETTLED.point, ADOPTED.point}
    once = Recording(Counter(names))
    cases = all_cases(dict.fromkeys(RECORDED, once), once)
    tried = {moment.point for case in cases for moment in case.kills}
    assert set(names) == tried
    assert sum(len(case.kills) for case in cases) >= 100


def test_a_point_does_nothing_and_nothing_of_the_library_can_turn_it_on() -> None:
    """Only code that calls `install` can: no variable of the environment, no argument."""
    assert _crash_points._hook is None
    assert "import os" not in Path(_crash_points.__file__).read_text("utf-8")
    users = [path for path in PACKAGE.rglob("*.py") if "install(" in path.read_text("utf-8")]
    assert [path.name for path in users] == ["_crash_points.py"]
    code = "import kinovi_async._cli, kinovi_async._crash_points as c; assert c._hook is None"
    subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(PACKAGE_ROOT)}
    )


def test_a_hook_is_told_the_name_of_every_point() -> None:
    told: list[str] = []
    _crash_points.install(told.append)
    try:
        _crash_points.point("here")
    finally:
        _crash_points.install(None)
    _crash_points.point("there")
    assert told == ["here"]
