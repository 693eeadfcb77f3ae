"""Random lives of three processes on one ledger: whatever happens, each job is paid for once.

A schedule of submissions, cancellations, kills, departures and arrivals is drawn from a
seed; the server's books and the ledger are compared at the end. In virtual time.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import anyio
import anyio.abc
import pytest

from kinovi_async import Job, LedgerError, NanoBanana2, OutcomeStatus
from kinovi_async._ledger import JobRow, JobState

from .conftest import Api
from .members import Life, scheduler

pytestmark = pytest.mark.unwatched

STEPS = 50


@dataclass
class World:
    """What a schedule has done so far."""

    api: Api
    path: Path
    rng: Random
    group: anyio.abc.TaskGroup
    lives: list[Life] = field(default_factory=list)
    handles: list[tuple[Life, Job]] = field(default_factory=list)
    submitted: int = 0
    killed: int = 0

    async def step(self) -> None:
        """Something happens."""
        await anyio.sleep(self.rng.choice([0, 0.01, 0.1, 0.5, 3]))
        acts = [self.join, self.submit, self.cancel, self.leave, self.kill]
        act = self.rng.choices(acts, [2, 9, 2, 1, 1])[0] if self.lives else self.join
        await act()

    async def join(self) -> None:
        """A process arrives, unless three are there."""
        if len(self.lives) < 3:
            life = Life(self.api, self.path, max_in_flight=self.rng.choice([None, 1, 2]))
            self.lives.append(await life.start(self.group))

    async def submit(self) -> None:
        """A process enters a job, or one that another has entered before."""
        if not self.lives:
            return
        life = self.rng.choice(self.lives)
        n = self.rng.choice([self.submitted, self.submitted, self.rng.randint(0, self.submitted)])
        self.submitted = max(self.submitted, n + 1)
        prompt = NanoBanana2(prompt=f"cat {n}")
        self.handles.append((life, await life.scheduler.submit(prompt, key=f"k{n}")))

    async def cancel(self) -> None:
        """A process changes its mind."""
        mine = [job for life, job in self.handles if life in self.lives and not job.done]
        if mine:
            await self.rng.choice(mine).cancel()

    async def leave(self) -> None:
        """A process goes in order."""
        if self.lives:
            self.lives.pop(self.rng.randrange(len(self.lives))).leave()

    async def kill(self) -> None:
        """A process dies."""
        if self.lives:
            self.killed += 1
            self.lives.pop(self.rng.randrange(len(self.lives))).kill()


async def all_rows(api: Api, path: Path) -> list[JobRow]:
    async with scheduler(api, path, resume=False) as made:
        return await made._book.ledger.rows(limit=10_000)


@pytest.mark.parametrize("seed", range(3))
async def test_every_job_ends_once_and_is_paid_for_once(
    api: Api, tmp_path: Path, seed: int
) -> None:
    path = tmp_path / "jobs.sqlite3"
    api.simulator.latency = 0.2  # so that some die with a submission on the wire
    async with anyio.create_task_group() as group:
        world = World(api, path, Random(seed), group)
        await world.join()
        for _ in range(STEPS):
            await world.step()
        await world.join()
        alive = list(world.lives)
        # Whoever is there ends what all have entered; handles of the living are told.
        told = {job: await job.outcome() for life, job in world.handles if life in alive}
        with anyio.fail_after(3000):
            while any(row.state is not JobState.ENDED for row in await rows_of(alive[0])):  # noqa: ASYNC110 - nobody tells
                await anyio.sleep(5)
        for life in alive:
            life.leave()
    rows = {row.key: row for row in await all_rows(api, path)}
    paid = Counter(api.simulator.books.accepted_per_prompt())
    assert len(rows) == world.submitted
    assert set(paid.values()) <= {1}
    for key, row in rows.items():
        tasks = paid[f"cat {key.removeprefix('k')}"]
        if row.status is OutcomeStatus.AMBIGUOUS:
            assert world.killed
        else:
            assert tasks == (row.status is OutcomeStatus.SUCCEEDED), row
    for job, outcome in told.items():
        assert outcome.status is rows[job.key].status


async def rows_of(life: Life) -> list[JobRow]:
    try:
        return await life.member.ledger.rows(limit=10_000)
    except LedgerError:
        return []
