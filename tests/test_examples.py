"""Every example runs as the README says, against the simulator."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(script: str, *options: str) -> str:
    done = subprocess.run(  # noqa: S603
        [sys.executable, str(EXAMPLES / script), *options],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def test_the_bulk_script_saves_every_picture_once_over_two_runs(tmp_path: Path) -> None:
    first = run("bulk.py", "--simulate", "-o", str(tmp_path))
    pictures = {path.name for path in tmp_path.glob("*.png")}
    assert len(pictures) == 16
    assert first.count(".png") == 16
    second = run("bulk.py", "--simulate", "-o", str(tmp_path))
    assert second.splitlines() == [f"pictures are in {tmp_path}"]
    assert {path.name for path in tmp_path.glob("*.png")} == pictures


def test_the_service_serves_its_customer_before_the_import_ends() -> None:
    lines = run("service.py", "--simulate").splitlines()
    customer = next(n for n, line in enumerate(lines) if line.startswith("customer's picture"))
    assert sum("product-" in line and "succeeded" in line for line in lines) == 12
    assert any("product-" in line for line in lines[customer:])


@pytest.mark.parametrize("script", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_every_example_is_tested_here(script: str) -> None:
    assert f'run("{script}"' in Path(__file__).read_text("utf-8")
