"""The simulation finds seeded bugs; `python -m tests.simulation.mutants` looks for all of them."""

from __future__ import annotations

import pytest

from .mutants import MUTANTS, Mutant, edited, simulate

SHORT = ("a dangling intent is ignored on resume", "an unclear job releases its credits")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_still_fits_the_source(mutant: Mutant) -> None:
    for name, text in edited(mutant).items():
        compile(text, name, "exec")


@pytest.mark.parametrize(
    "mutant", [mutant for mutant in MUTANTS if mutant.name in SHORT], ids=lambda mutant: mutant.name
)
def test_a_seeded_bug_is_found(mutant: Mutant) -> None:
    seed, _ = simulate(mutant, start=mutant.seed, seeds=3)
    assert seed is not None
