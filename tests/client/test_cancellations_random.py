"""Many calls at once, each cancelled at a moment of its own: nothing hangs, is lost or paid twice.

`KINOVI_TEST_SEEDS` says how many seeds are tried on either event loop.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import anyio
import pytest

from kinovi_async import (
    AsyncKinovi,
    JobScheduler,
    KinoviError,
    NanoBanana2,
    Outcome,
    OutcomeStatus,
)

from .conftest import Api
from .members import process

pytestmark = pytest.mark.unwatched

SEEDS = int(os.environ.get("KINOVI_TEST_SEEDS", "6"))
JOBS = 20
CALLS = 40
LONGEST = 24 * 3600.0
"""Seconds after which something hangs."""

ENDS = {OutcomeStatus.SUCCEEDED, OutcomeStatus.CANCELLED}


def pair(number: int) -> tuple[str, NanoBanana2]:
    return f"job-{number}", NanoBanana2(prompt=f"cat {number}")


class Crowd:
    """Handlers of a web server, whose callers hang up when they like."""

    def __init__(self, seed: int, client: AsyncKinovi, scheduler: JobScheduler) -> None:
        self._rng = Random(seed)
        self._client = client
        self._scheduler = scheduler

    async def run(self) -> None:
        actions: list[Callable[[int], Awaitable[None]]] = [
            self._generate, self._submit, self._submit_and_cancel, self._at_once, self._batch,
            self._ask,
        ]  # fmt: skip
        async with anyio.create_task_group() as group:
            for _ in range(CALLS):
                patience = self._rng.choice([0.0, 0.001, 1.0, 20.0, 90.0, LONGEST])
                group.start_soon(
                    self._call,
                    self._rng.choice(actions),
                    self._rng.randrange(JOBS),
                    self._rng.choice([0.0, self._rng.uniform(0, 120)]),
                    patience * self._rng.random(),
                )

    async def _call(
        self, act: Callable[[int], Awaitable[None]], number: int, start: float, patience: float
    ) -> None:
        await anyio.sleep(start)
        # A full queue, a job that another call has cancelled.
        with anyio.move_on_after(patience), contextlib.suppress(KinoviError):
            await act(number)

    async def _generate(self, number: int) -> None:
        key, request = pair(number)
        await self._client.generate(request, key=key)

    async def _submit(self, number: int) -> None:
        key, request = pair(number)
        await (await self._scheduler.submit(request, key=key)).outcome()

    async def _submit_and_cancel(self, number: int) -> None:
        key, request = pair(number)
        await (await self._scheduler.submit(request, key=key, rerun=True)).cancel()

    async def _at_once(self, number: int) -> None:
        key, request = pair(number)
        await self._scheduler.submit_nowait(request, key=key).outcome()

    async def _batch(self, number: int) -> None:
        await self._client.run_batch([pair((number + n) % JOBS) for n in range(3)])

    async def _ask(self, number: int) -> None:
        job = await self._scheduler.get(pair(number)[0])
        if job is not None:
            await job.outcome()


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_whoever_hangs_up_when_he_likes_nothing_hangs_is_lost_or_paid_twice(
    api: Api, tmp_path: Path, seed: int
) -> None:
    path = tmp_path / "jobs.sqlite3"
    rng = Random(seed)
    with anyio.fail_after(LONGEST):
        async with (
            process(api, path) as member,
            JobScheduler(member.client, max_queue=5) as scheduler,
        ):
            with anyio.move_on_after(rng.choice([30.0, 200.0, LONGEST])):
                await Crowd(seed, member.client, scheduler).run()
            if seed % 2:
                with anyio.move_on_after(rng.choice([0.0, 1.0, LONGEST])):
                    await scheduler.drain(deadline=rng.choice([0.0, 5.0, LONGEST]))
        async with process(api, path) as member:
            outcomes = await member.client.run_batch([pair(number) for number in range(JOBS)])
    check(api, outcomes)


def check(api: Api, outcomes: list[Outcome]) -> None:
    """Every task is known, and is its job's only one; every job has ended."""
    accepted = {task.prompt: task.task_id for task in api.simulator.books.accepted}
    assert set(api.simulator.books.accepted_per_prompt().values()) <= {1}
    assert len(outcomes) == JOBS
    for number, outcome in enumerate(outcomes):
        assert outcome.status in ENDS
        assert outcome.task_id == accepted.get(f"cat {number}")
        assert outcome.ok == (f"cat {number}" in accepted)
