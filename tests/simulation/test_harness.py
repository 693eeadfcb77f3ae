"""The simulation itself: repeatable, honest about death, and able to shrink what fails."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import sys

import anyio
import anyio.lowlevel
import pytest

from .clock import Clock, DeadlockError, LivelockError, ProcessLoop
from .mutants import ROOT
from .plan import FEATURES, Life, Tier, make_plan
from .run import run_seed
from .shrink import least_that_fails, shrink
from .world import Process, World

pytestmark = pytest.mark.unwatched


@pytest.mark.parametrize("tier", ["transport", "bytes"])
def test_the_same_seed_leaves_the_same_trace(tier: Tier) -> None:
    seeds = (2, 16, 29)
    assert [run_seed(seed, tier).trace for seed in seeds] == [
        run_seed(seed, tier).trace for seed in seeds
    ]


def test_the_trace_does_not_depend_on_the_hash_seed() -> None:
    code = (
        "from tests.simulation.run import run_seed\n"
        "import json\n"
        "print(json.dumps([run_seed(seed).trace for seed in (2, 16)]))"
    )
    here = [run_seed(seed).trace for seed in (2, 16)]
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    told = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, check=True
    )
    assert json.loads(told.stdout) == here


def test_seeds_differ() -> None:
    assert len({run_seed(seed).trace for seed in range(5)}) == 5


def test_a_feature_left_out_leaves_the_others_as_they_were() -> None:
    plan = make_plan(2, "transport")
    for name in plan.names:
        other = make_plan(2, "transport", without={name})
        assert other.names == plan.names - {name}
        assert [job.key for job in other.jobs] == [job.key for job in plan.jobs]
        assert {fault: other.rate(fault) for fault in other.rates} == {
            fault: plan.rate(fault) for fault in plan.rates if fault != name
        }


def test_every_feature_is_in_force_in_some_schedule_of_the_short_form() -> None:
    seen = {name for seed in range(300) for name in make_plan(seed, "transport").names}
    assert seen == set(FEATURES)


def test_schedules_kill_processes_and_end_jobs_in_every_way() -> None:
    missing = {"succeeded", "failed", "rejected", "ambiguous", "expired", "cancelled"}
    killed = 0
    for seed in range(60):
        result = run_seed(seed)
        missing -= result.outcomes.keys()
        killed += result.killed
        if not missing and killed:
            return
    pytest.fail(f"never seen: {missing}, {killed} killed")


def test_a_killed_process_reaches_nothing_any_more() -> None:
    world = World(make_plan(0, "transport"))
    loop = ProcessLoop(world.clock)
    process = Process(0, Life(crash_at=2), loop)
    try:
        assert world.event(process, "first")
        assert not world.event(process, "second")
        assert not process.alive
        before = world.trace
        assert not world.event(process, "third")
        assert world.trace == before
    finally:
        loop.close()


def test_the_waits_of_a_killed_process_take_no_time_of_the_world() -> None:
    clock = Clock(horizon=1e6)
    loop = ProcessLoop(clock)

    async def wait() -> None:
        await anyio.sleep(10)
        loop.leave_world()
        await anyio.sleep(100)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(wait())
    assert clock.now == pytest.approx(10)


def test_a_deadlock_is_an_error() -> None:
    async def wait() -> None:
        await anyio.Event().wait()

    runner = asyncio.Runner(loop_factory=lambda: ProcessLoop(Clock()))
    with pytest.raises(DeadlockError):
        runner.run(wait())
    runner.close()


def test_work_without_time_is_an_error() -> None:
    async def turn() -> None:
        for _ in itertools.count():
            await anyio.lowlevel.checkpoint()

    loop = ProcessLoop(Clock())
    runner = asyncio.Runner(loop_factory=lambda: loop)
    with pytest.raises(LivelockError):
        runner.run(turn())
    loop.leave_world()
    runner.close()


def test_a_failure_shrinks_to_what_it_needs() -> None:
    def fails(without: frozenset[str], jobs: int) -> bool:
        return jobs >= 3 and not without & {"lost", "crash"}

    least, jobs = least_that_fails(FEATURES, 30, fails)
    assert frozenset(FEATURES) - least == {"lost", "crash"}
    assert jobs == 3


def test_a_schedule_that_holds_cannot_be_shrunk() -> None:
    assert shrink(2, "transport", frozenset(), 3) == (frozenset(), 3)
