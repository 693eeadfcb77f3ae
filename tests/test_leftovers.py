"""Temporary files of dead processes go, those of living ones stay."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kinovi_async._leftovers import remove_leftovers


@pytest.mark.skipif(os.name != "posix", reason="nobody can be asked there")
def test_files_of_dead_processes_are_removed_and_others_left(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    stay = ["a", f"a.new-{os.getpid()}.x", "a.new-x", "a.new-", f"b.new-{dead.pid}.x", "a.new-1.y"]
    for name in [*stay, f"a.new-{dead.pid}.x", f"a.new-{dead.pid}"]:
        (tmp_path / name).touch()
    (tmp_path / "a.new-99999999999999999999.x").touch()  # no process has such a number
    remove_leftovers(tmp_path / "a", "a.new-")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {*stay, "a.new-99999999999999999999.x"}


def test_a_directory_that_is_gone_has_no_leftovers(tmp_path: Path) -> None:
    remove_leftovers(tmp_path / "gone" / "a", "a.new-")
