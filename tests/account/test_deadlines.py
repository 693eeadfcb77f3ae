"""Deadlines of jobs: what passes, what is put off, and what an ended job leaves behind."""

from __future__ import annotations

from collections import Counter

import anyio
import pytest

from kinovi_async._account import Job
from kinovi_async._errors import JobCancelledError
from kinovi_async._outcomes import OutcomeStatus
from kinovi_async._requests import NanoBanana2

from .fakes import FakeServer, make_lane


def wish(prompt: str, **options: object) -> Job:
    return Job(NanoBanana2(prompt=prompt), **options)  # type: ignore[arg-type]


async def test_an_ended_job_leaves_its_lane_with_its_deadline() -> None:
    lane = make_lane(FakeServer(limit=10))
    await lane.open()
    lane.arrive([wish(f"picture {n}", max_wait=100_000, max_queue_wait=9_000) for n in range(50)])
    still_there: list[int] = []
    most = 0

    def done() -> bool:
        nonlocal most
        most = max(most, len(lane._deadlines))
        if not lane.busy:
            still_there.append(len(lane._deadlines))
        return not lane.busy

    await lane.run(done)
    assert most == 50
    assert still_there == [0]


async def test_a_failed_job_that_waits_to_run_again_has_no_deadline_of_its_first_run() -> None:
    server = FakeServer(
        limit=1, seconds=40, failing={"again"}, failure=("500", "Service temporarily unavailable")
    )
    lane = make_lane(server, retry_failed=1)
    await lane.open()
    # Its first run would be given up at 50 s, while the other job has the only slot.
    jobs = [wish("again", max_wait=50), wish("other")]
    lane.arrive(jobs)
    await lane.run(lambda: not lane.busy)
    statuses = [(await job.outcome()).status for job in jobs]
    assert statuses == [OutcomeStatus.FAILED, OutcomeStatus.SUCCEEDED]
    assert server.prompts() == Counter({"again": 2, "other": 1})


async def test_a_queue_deadline_that_passes_on_the_wire_counts_when_the_job_comes_back() -> None:
    server = FakeServer(limit=1, seconds=1_000, latency=8)
    lane = make_lane(server)
    await lane.open()
    _, late = jobs = [wish("first"), wish("late", max_queue_wait=10)]
    lane.arrive(jobs)
    async with anyio.create_task_group() as group:
        group.start_soon(lane.run, lambda: not lane.busy)
        with anyio.fail_after(30), pytest.raises(JobCancelledError, match="no slot in 10 s"):
            await late.result()
        assert server.refused
    assert server.prompts() == Counter({"first": 1})


async def test_a_queue_deadline_that_meets_an_acceptance_gives_nothing_up() -> None:
    server = FakeServer(limit=1, seconds=20, latency=4)
    lane = make_lane(server)
    await lane.open()
    (job,) = jobs = [wish("just in time", max_queue_wait=4)]
    lane.arrive(jobs)
    await lane.run(lambda: not lane.busy)
    assert (await job.outcome()).status is OutcomeStatus.SUCCEEDED
