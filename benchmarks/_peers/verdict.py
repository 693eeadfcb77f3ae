"""Who is better: what fails the short run, and what the full one says of each peer."""

from __future__ import annotations

from collections.abc import Mapping

from .figures import Figures
from .lab import CONTENDERS, OURS

Results = Mapping[str, Figures]
"""Figures of one mix by contender."""

# Gross regressions only: shared machines are noisy, and few jobs weigh the start heavily.
LEAST_SLOT_USE = 0.85
"""Of our slot use over that of the best peer that was told the limit."""
MOST_MAKESPAN = {"MIX": 1.0}
"""Of our makespan over that of the best peer that was told the limit, 1.2 unless it says
otherwise: in a mix of models, longest first wins by a fifth, and the check holds it to a win."""
MOST_REFUSALS = 1.5
"""429 per job; scheduling.md wants 0.6 from 1000 jobs on, plus a limit's worth at the start."""
MOST_POLLS = 1.25
"""Of our polls per job over a semaphore's, which polls as often as the documents ask."""

COMPARABLE = (1.25, 0.1)
"""Refusals are comparable up to ours times this, and plus this."""
CLOSE = 0.01
"""Differences up to this share are noise."""


def _told(results: Results) -> list[Figures]:
    return [results[each.name] for each in CONTENDERS if each.is_told and each.name in results]


def regressions(mix: str, results: Results) -> list[str]:
    """What is grossly worse than it should be, one sentence each."""
    ours, told = results[OURS.name], _told(results)
    checks = [
        (
            "slot use over the best told peer's",
            ours.slot_use / max(each.slot_use for each in told),
            LEAST_SLOT_USE,
            False,
        ),
        (
            "makespan over the best told peer's",
            ours.makespan / min(each.makespan for each in told),
            MOST_MAKESPAN.get(mix, 1.2),
            True,
        ),
        ("429 per job", ours.refusals, MOST_REFUSALS, True),
        (
            "polls per job over the semaphore's",
            ours.polls / results["semaphore, C"].polls,
            MOST_POLLS,
            True,
        ),
    ]
    return [
        f"{mix}: {what} is {value:.2f}, {'at most' if is_ceiling else 'at least'} {bound} expected"
        for what, value, bound, is_ceiling in checks
        if (value > bound if is_ceiling else value < bound)
    ]


def better_peers(mix: str, results: Results) -> list[str]:
    """Who has more slot use or a shorter makespan at comparable refusals, a sentence each."""
    ours = results[OURS.name]
    times, plus = COMPARABLE
    found = []
    for contender in CONTENDERS:
        peer = results.get(contender.name)
        if peer is None or contender.is_ours:
            continue
        if peer.refusals > max(times * ours.refusals, ours.refusals + plus):
            continue
        gains = []
        if peer.slot_use > ours.slot_use * (1 + CLOSE):
            gains.append(f"slot use {peer.slot_use:.3f} against {ours.slot_use:.3f}")
        if peer.makespan < ours.makespan * (1 - CLOSE):
            gains.append(
                f"makespan {peer.makespan:.3f} against {ours.makespan:.3f}"
                f" ({peer.by_oracle:.3f} against {ours.by_oracle:.3f} over the oracle)"
            )
        if gains:
            told = " (told the limit)" if contender.is_told else ""
            polls = f"{peer.polls / ours.polls:.2f} x the polls"
            found.append(f"{mix}: {contender.name}{told}: {', '.join(gains)}, with {polls}")
    return found
