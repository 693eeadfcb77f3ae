"""Delta debugging: leaves out features and jobs one by one while the schedule still fails."""

from __future__ import annotations

from collections.abc import Callable, Collection

from .plan import Tier, make_plan
from .run import run_plan

__all__ = ["least_that_fails", "shrink"]


def shrink(
    seed: int, tier: Tier, without: Collection[str], jobs: int, *, guests: bool = False
) -> tuple[frozenset[str], int]:
    """The features that can be left out and the jobs that are enough, for the same invariant."""

    def broken(left_out: Collection[str], most: int) -> set[str]:
        plan = make_plan(seed, tier, without=left_out, jobs=most, guests=guests)
        return {text.partition(" ")[0] for text in run_plan(plan).violations}

    wanted = broken(without, jobs)
    names = make_plan(seed, tier, without=without, guests=guests).names
    return least_that_fails(
        names,
        jobs,
        lambda left_out, most: bool(wanted & broken({*without, *left_out}, most)),
        without=without,
    )


def least_that_fails(
    names: Collection[str],
    jobs: int,
    fails: Callable[[frozenset[str], int], bool],
    *,
    without: Collection[str] = (),
) -> tuple[frozenset[str], int]:
    """What can be left out of `names`, beside `without`, and how many jobs are enough.

    Each feature draws from a stream of its own, so the rest of the schedule stays as it was;
    what depends on times may still pass by, therefore it goes round until nothing changes.
    """
    least, most = frozenset(without), jobs
    changed = True
    while changed:
        changed = False
        for name in sorted(frozenset(names) - least):
            if fails(least | {name}, most):
                least, changed = least | {name}, True
        for fewer in (1, most // 4, most // 2, most - 1):
            if 0 < fewer < most and fails(least, fewer):
                most, changed = fewer, True
                break
    return least, most
