"""Runs one seed from its first process to the last, and looks at what is left."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
import traceback
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from kinovi_async import ConfigurationError, LedgerError
from kinovi_async._ledger import JobRow

from .application import Application
from .clock import DeadlockError, LivelockError, ProcessLoop, numbered_scopes
from .ledger import Disk, InMemory, MortalLedger, OnDisk
from .plan import Life, Plan, Tier, make_plan
from .world import KEY, Process, World

__all__ = ["Result", "run_plan", "run_seed"]

MOST_LIVES = 8
GUEST_NUMBER = 100
"""Added to the number of the second process of two."""
_MEMORY = Path("/dev/shm")  # noqa: S108 - a directory of its own is made in it


@dataclass
class Result:
    """What came of a seed."""

    plan: Plan
    trace: str
    violations: list[str]
    events: int
    processes: int
    seconds: float
    """Of the world."""
    outcomes: dict[str, int] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    killed: int = 0
    refusals: float = 0.0


def run_seed(
    seed: int,
    tier: Tier = "transport",
    *,
    without: Collection[str] = (),
    jobs: int | None = None,
    guests: bool = False,
    verbose: bool = False,
) -> Result:
    """Runs the schedule of a seed."""
    plan = make_plan(seed, tier, without=without, jobs=jobs, guests=guests)
    return run_plan(plan, verbose=verbose)


def run_plan(plan: Plan, *, verbose: bool = False) -> Result:
    """Runs a schedule; nothing is raised for what goes wrong in it."""
    world = World(plan, verbose=verbose)
    with _disk(plan) as disk, _logs(world), numbered_scopes():
        world.money = disk.committed
        killed = _live_through(world, disk)
        if not world.violations:
            _audit(world, disk)
    counts: dict[str, int] = {}
    for row in world.rows.values():
        counts[row.status or row.state] = counts.get(row.status or row.state, 0) + 1
    return Result(
        plan=plan,
        trace=world.trace,
        violations=world.violations,
        events=world.events,
        processes=world.processes,
        seconds=world.now,
        outcomes=counts,
        lines=world.lines or [],
        killed=killed,
        refusals=world.refusals,
    )


@contextlib.contextmanager
def _disk(plan: Plan) -> Iterator[Disk]:
    if not plan.sqlite:
        yield InMemory()
        return
    with (
        tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as directory,
        contextlib.closing(OnDisk(f"{directory}/ledger.sqlite3")) as disk,
    ):
        yield disk


class _Ear(logging.Handler):
    """I8: hears everything that the library logs."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.DEBUG)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        """Looks for the key."""
        self._world.require(KEY not in record.getMessage(), "I8 the key is in the log")


@contextlib.contextmanager
def _logs(world: World) -> Iterator[None]:
    logger = logging.getLogger("kinovi_async")
    before = logger.level, logger.propagate
    ear = _Ear(world)
    logger.addHandler(ear)
    logger.propagate = False
    logger.setLevel(logging.DEBUG if world.plan.seed % 8 == 0 else logging.WARNING)
    try:
        yield
    finally:
        logger.removeHandler(ear)
        logger.level, logger.propagate = before


def _live_through(world: World, disk: Disk) -> int:
    """The processes of the plan, then calm ones until every job has ended."""
    lives = list(world.plan.lives)
    killed = number = 0
    while number < MOST_LIVES and not world.violations:
        last = number >= len(lives)
        life = Life() if last else lives[number]
        if last:
            world.clock.now = max(world.now, world.plan.calm_at)
        killed += _live(world, disk, number, life, last=last)
        number += 1
        world.clock.now += life.downtime
        if last and all(row.state == "ended" for row in world.rows.values()):
            break
    else:
        left = [key for key, row in world.rows.items() if row.state != "ended"]
        world.require(not left, f"I5 not ended after all is calm: {', '.join(left)}")
    return killed


def _live(world: World, disk: Disk, number: int, life: Life, *, last: bool) -> int:
    """One process, or two at once; answers how many were killed."""
    world.clock.horizon = world.now + _patience(world)
    loop = ProcessLoop(world.clock)
    guests = world.plan.guests
    guest = guests[number] if not last and number < len(guests) else None
    lives = [life] if guest is None else [life, guest]
    applications = []
    for place, each in enumerate(lives):
        process = Process(number + GUEST_NUMBER * place, each, loop, started_at=world.now)
        process.alone = guest is None
        # Some jobs are entered by both.
        jobs = [job for job in world.plan.jobs if guest is None or job.shared or place == job.side]
        ledger = MortalLedger(disk, world, process)
        applications.append(Application(world, process, ledger, jobs, last=last))
        world.processes += 1
    runner = asyncio.Runner(loop_factory=lambda: loop)
    ended = _Ended(everything=True)
    with ended:
        runner.run(_run(world, applications))
    alive = any(application.process.alive for application in applications)
    if isinstance(ended.error, KeyboardInterrupt):
        raise ended.error
    if isinstance(ended.error, DeadlockError):
        world.require(not alive, "I5 deadlock: nothing is ready nor scheduled")
        _seal(applications)
    elif isinstance(ended.error, LivelockError):
        world.require(not alive, f"I5 not done in {_patience(world):.0f} s")
        _seal(applications)
    elif ended.error is not None:
        applications[0].failed.append(ended.error)
    with contextlib.suppress(DeadlockError, LivelockError):
        runner.close()
    for application in applications:
        _judge(world, application.process, application)
        if application.process.disk_failed and application.process.on_death is not None:
            application.process.on_death()
    return sum(not application.process.alive for application in applications)


async def _run(world: World, applications: list[Application]) -> None:
    async def one(application: Application) -> None:
        process = application.process
        process.task = asyncio.current_task()
        ended = _Ended()
        with ended:
            await application.run()
        process.ended = True
        if ended.error is not None and process.alive:
            application.failed.append(ended.error)

    if len(applications) == 1:
        await one(applications[0])
    else:
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.create_task(one(each)) for each in applications))
    if any(application.process.alive for application in applications):
        others = len(asyncio.all_tasks()) - 1
        world.require(not others, f"I6 {others} tasks are left")


class _Ended:
    """What a process ended with: a kill is a cancellation, so everything is caught."""

    def __init__(self, *, everything: bool = False) -> None:
        self.error: BaseException | None = None
        self._all = everything

    def __enter__(self) -> None:
        """Nothing to begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> bool:
        self.error = error
        # What stops the loop itself goes on to whoever runs it.
        stops = DeadlockError | LivelockError | KeyboardInterrupt
        return self._all or not isinstance(error, stops)


def _seal(applications: list[Application]) -> None:
    """Lets stuck processes clean up without an effect."""
    for application in applications:
        application.process.alive = False
        application.process.loop.leave_world()


def _patience(world: World) -> float:
    """Seconds that a process may take: as if one slot had to do all, and much trouble before."""
    trouble = max(0.0, world.plan.calm_at - world.now)
    longest = 3 * world.plan.durations[1] + 400.0 * any(job.stuck for job in world.plan.jobs)
    return (
        trouble + 1500.0 + len(world.plan.jobs) * (longest + 60.0) * (1 + world.plan.retry_failed)
    )


def _judge(world: World, process: Process, application: Application) -> None:
    """What a process leaves behind, and what it died of."""
    if not process.alive:
        return
    for error in application.failed:
        expected = (
            type(error).__name__ == "_StopError"
            or (isinstance(error, LedgerError) and process.disk_failed)
            # It went on entering jobs after it had told the scheduler to drain.
            or (isinstance(error, ConfigurationError) and process.told_to_stop_at)
        )
        if not expected:
            told = "".join(traceback.format_exception(error)) if world.lines is not None else ""
            world.violated(f"I6 the program died of {error!r} {told}")
    world.require(process.open_pipes == 0, f"I6 {process.open_pipes} connections are left open")
    world.require(not process.wire, "I6 an exchange is left on the wire")
    seconds = world.now - process.started_at
    world.refusals = max(world.refusals, process.refusals - process.accepted - seconds / 5)
    world.require(
        process.refusals <= 30 + 2 * process.accepted + seconds / 5,
        f"I10 {process.refusals} times 429 for {process.accepted} accepted in {seconds:.0f} s",
    )


def _audit(world: World, disk: Disk) -> None:
    """The same command once more must change nothing; then the books are compared."""
    posts = sum(row.posts for row in world.rows.values())
    before = {key: row.status for key, row in world.rows.items()}
    _live(world, disk, MOST_LIVES, Life(), last=True)
    world.require(
        posts == sum(row.posts for row in world.rows.values()), "I3 an ended job was sent again"
    )
    for key, row in world.rows.items():
        same = row.status == before[key] or before[key] == "expired"
        world.require(same, f"I2 {key} was {before[key]} and is {row.status}")
    kept, total = asyncio.run(_read(disk))
    reserved = exposed = spent = Decimal(0)
    for key in world.rows:
        if key not in kept:
            world.violated(f"I2 {key} is not in the ledger")
            continue
        _compare(world, key, kept[key])
        reserved += kept[key].reserved if kept[key].status in {"ambiguous", "expired"} else 0
        exposed += kept[key].exposed
        spent += kept[key].credits or 0
    summed = spent + reserved + exposed
    world.require(total == summed, f"I4 {total} in total, {summed} in the rows")


async def _read(disk: Disk) -> tuple[dict[str, JobRow], Decimal]:
    ledger = disk.ledger()
    await ledger.open()
    rows = {row.key: row for row in await ledger.rows()}
    total = disk.committed()
    await ledger.aclose()
    return rows, total


def _compare(world: World, key: str, kept: JobRow) -> None:
    """One job in the ledger and in the server's books."""
    row, status = world.rows[key], kept.status.value if kept.status else kept.state.value
    world.require(row.status == status, f"I2 {key} is {status} in the ledger, not {row.status}")
    tasks = [world.task(task_id) for task_id in row.tasks]
    kept_tasks = [task for task in tasks if task.failure is None]
    held = status == "ambiguous"
    unknown = [task for task in kept_tasks if task.id != kept.task_id]
    covered = row.exposures + held
    # Nothing paid is lost: it is the job's task, or an unclear attempt stands for it.
    world.require(
        len(unknown) <= covered,
        f"I3 {key} was paid {len(kept_tasks)} times, {len(unknown)} unknown, {covered} unclear",
    )
    if status in {"rejected", "cancelled"}:
        world.require(
            len(kept_tasks) <= row.exposures, f"I4 {key} is {status}, but it was paid for"
        )
    price = tasks[0].request.price if tasks else None
    if status == "succeeded":
        world.require(kept.credits == price, f"I4 {key} cost {price}, not {kept.credits}")
    if price is not None:
        due = price * row.exposures
        world.require(kept.exposed == due, f"I4 {key} is exposed to {kept.exposed}, not {due}")
    world.require(KEY not in repr(kept), f"I8 the key is in the row of {key}")
