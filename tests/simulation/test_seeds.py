"""The short form of the simulation; `python -m tests.simulation --help` has the long one.

Each chunk is a process of its own, which coverage does not slow down; what fails says how to
run it again.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from .mutants import ROOT
from .plan import Tier

CHUNK = 25


def run_chunk(first: int, tier: Tier, *, guests: bool = False) -> None:
    command = [sys.executable, "-m", "tests.simulation", "--tier", tier]
    command += ["--start", str(first), "--seeds", str(CHUNK)]
    command += ["--guests"] * guests
    done = subprocess.run(  # noqa: S603 - our own words
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("first", range(0, 300, CHUNK))
def test_no_invariant_breaks_at_transport_level(first: int) -> None:
    run_chunk(first, "transport")


@pytest.mark.parametrize("first", range(0, 25, CHUNK))
def test_no_invariant_breaks_with_two_processes_at_once(first: int) -> None:
    run_chunk(first, "transport", guests=True)


@pytest.mark.parametrize("first", range(0, 50, CHUNK))
def test_no_invariant_breaks_at_byte_level(first: int) -> None:
    run_chunk(first, "bytes")
