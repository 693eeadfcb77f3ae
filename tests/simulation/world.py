"""The world outside of the library: the server and its books, the clock, death.

Whatever a process does to the outside is an *event* here, has a number, and may be the moment
at which that process is killed. A dead process may go on running its clean-up in a time of its
own, but nothing it does has any effect. What the server did is the oracle: a statement that the
process makes in its ledger is compared with it at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from kinovi_async import NanoBanana2
from kinovi_async.simulator import Answer, Faults, Simulator, TaskRule

from .clock import Clock, ProcessLoop
from .fates import Fate, get_fate, post_fate, what_it_tells
from .plan import Job, Life, Plan

if TYPE_CHECKING:
    from kinovi_async import Request
    from kinovi_async.simulator._tasks import SimulatedTask

__all__ = ["KEY", "Exchange", "Process", "Row", "World", "request_of"]

KEY = "sk-CANARY-0123456789"
CREDITS = Decimal(1_000_000)
GRACE = 10.0
"""Seconds a submission on the wire is waited for when its process is told to end."""
WAIT_FOR_ANSWER = 120.0
EPSILON = 1e-3


def request_of(job: Job) -> Request | dict[str, object]:
    """What the job asks for."""
    prompt = f"{job.key} of the plan"
    if job.model == "nanobanana2":
        return NanoBanana2(prompt=prompt, resolution="4k" if job.resolution == "4k" else "1k")
    return {"model": job.model, "inputs": {"prompt": prompt}}


@dataclass(eq=False)
class Process:
    """One process of the user's, alive or dead."""

    number: int
    life: Life
    loop: ProcessLoop
    task: asyncio.Task[None] | None = None
    alive: bool = True
    events: int = 0
    ledger_calls: int = 0
    told_to_stop_at: dict[str, float] = field(default_factory=dict)
    """When a wait was cancelled, by key; of all of them under the empty one."""
    sending: set[str] = field(default_factory=set)
    running: set[str] = field(default_factory=set)
    refusals: int = 0
    accepted: int = 0
    started_at: float = 0.0
    disk_failed: bool = False
    wire: set[Exchange] = field(default_factory=set)
    alone: bool = True
    """Whether the loop is its own."""
    ended: bool = False
    on_death: Callable[[], None] | None = None
    """What the system takes from it."""
    connections: int = 0
    open_pipes: int = 0


@dataclass(eq=False)
class Exchange:
    """One HTTP exchange on its way."""

    process: Process
    fate: Fate
    key: str
    """The job's for a POST, empty for a GET."""
    task_id: str
    authorization: str | None
    body: bytes
    started_at: float
    sent: bool = False
    """Whether all of it left."""
    arrived: bool = False
    answer: Answer | None = None
    made: str | None = None
    """The task that the server made of it."""
    tells: str | None = None
    """What its answer told, once it was read."""


@dataclass
class Row:
    """A job as the world knows it: what the server did, what the ledger was told."""

    job: Job
    posts: int = 0
    tasks: list[str] = field(default_factory=list)
    state: str = "new"
    status: str | None = None
    task_id: str | None = None
    post: Exchange | None = None
    """The submission of the last intent."""
    owner: Process | None = None
    errors: int = 0
    """Server errors in a row that it was sent again after."""
    exposures: int = 0
    not_found: int = 0
    unheard: int = 0
    withdrawn: bool = False
    """The user took it back before it was sent, and was told so."""
    may_cancel: bool = False
    accepted_at: float = 0.0
    reruns: int = 0


class World:
    """Everything but the library."""

    def __init__(self, plan: Plan, *, verbose: bool = False) -> None:
        self.plan = plan
        self.clock = Clock()
        self.lines: list[str] | None = [] if verbose else None
        self._hash = hashlib.blake2b(digest_size=8)
        self.violations: list[str] = []
        self.events = 0
        self.rows = {job.key: Row(job) for job in plan.jobs}
        low, high = plan.durations
        self.simulator = Simulator(
            seed=plan.seed,
            limit=plan.limit,
            credits=CREDITS,
            faults=Faults(fail=plan.fail),
            durations={"nanobanana2": (low, high), "midjourney-v7": (low * 1.5, high * 1.5)},
            clock=lambda: self.clock.now,
        )
        self.simulator.script(
            *(
                TaskRule(prompt=f"{job.key} of", stuck=False, seconds=400.0)
                for job in plan.jobs
                if job.stuck
            )
        )
        self._state = self.simulator._state
        self._polls: dict[str, int] = {}
        self._limits = list(plan.limits)
        self.tasks: dict[str, tuple[str, float]] = {}
        """Key and time of acceptance, by task."""
        self.processes = 0
        self.refusals = 0.0
        """Most 429 beyond what I10 calls usual, to see how near it came."""
        self.budget: Decimal | None = None
        self.money: object = None
        """Answers the ledger's committed credits; set by whoever keeps the ledger."""

    # -- time, traces, violations --------------------------------------------------------

    @property
    def now(self) -> float:
        """Seconds since the world began."""
        return self.clock.now

    def wall(self) -> float:
        """What a clock on the wall says; it may jump."""
        steps = sum(step for at, step in self.plan.clock_steps if at <= self.now)
        return 1_700_000_000.0 + self.now + steps

    def note(self, text: str) -> None:
        """Adds a line to the trace."""
        line = f"{self.now:.4f} {text}"
        self._hash.update(line.encode())
        if self.lines is not None:
            self.lines.append(line)

    @property
    def trace(self) -> str:
        """The fingerprint of everything that happened."""
        return self._hash.hexdigest()

    def violated(self, text: str) -> None:
        """An invariant does not hold."""
        self.violations.append(f"{text} (at {self.now:.3f} s)")
        self.note(f"VIOLATION {text}")

    def require(self, holds: object, text: str) -> None:
        """The same unless it holds."""
        if not holds:
            self.violated(text)

    # -- life and death ------------------------------------------------------------------

    def event(self, process: Process, text: str) -> bool:
        """Something of the process reaches the outside; False: it is dead, nothing happens."""
        if not process.alive:
            return False
        self.note(f"p{process.number} {text}")
        self.events += 1
        process.events += 1
        if process.events == process.life.crash_at:
            self.kill(process)
            return False
        return True

    def kill(self, process: Process) -> None:
        """SIGKILL. What had left is still on its way, or was not sent after all."""
        self.note(f"p{process.number} KILLED")
        for exchange in sorted(process.wire, key=lambda each: (each.started_at, each.key)):
            luck = Random(f"{self.plan.seed} kernel {exchange.key} {exchange.started_at}")
            if exchange.sent and luck.random() < 0.5:
                self.arrive(exchange)
        process.alive = False
        process.wire.clear()
        if process.on_death is not None:
            process.on_death()
        if process.alone:
            process.loop.leave_world()
        if process.task is not None:
            process.task.cancel()

    # -- the network -----------------------------------------------------------------------

    def begin_post(self, process: Process, authorization: str | None, body: bytes) -> Exchange:
        """A createTask is about to be sent."""
        prompt = str(json.loads(body)["inputs"]["prompt"])
        row = self.rows[prompt.partition(" ")[0]]
        row.posts += 1
        key = row.job.key
        fate = post_fate(self.plan, key, row.posts, self.now)
        return Exchange(process, fate, key, "", authorization, body, self.now)

    def begin_get(self, process: Process, authorization: str | None, target: str) -> Exchange:
        """A recordInfo is about to be sent."""
        task_id = parse_qs(urlsplit(target).query).get("taskId", [""])[0]
        number = self._polls[task_id] = self._polls.get(task_id, 0) + 1
        made = self.tasks.get(task_id)
        age = None if made is None else self.now - made[1]
        fate = get_fate(self.plan, task_id, number, self.now, age)
        return Exchange(process, fate, "", task_id, authorization, b"", self.now)

    def leaves(self, exchange: Exchange) -> bool:
        """Its first byte leaves; False: the process is dead."""
        process, key = exchange.process, exchange.key
        if not key:
            return self.event(process, f"GET {exchange.task_id} {exchange.fate.name}")
        if not process.alive:
            return False
        row = self.rows[key]
        # I3: at most one POST for an intent, which is durable, of this process, and first.
        self.require(row.state == "sending", f"I3 {key} was sent while {row.state}")
        self.require(row.owner is process, f"I3 {key} was sent by another than its intent's")
        self.require(row.post is None, f"I3 {key} was sent two times for one intent")
        self.require(not row.withdrawn, f"I3 {key} was sent after it was cancelled")
        row.post = exchange
        process.sending.add(key)
        asked = process.told_to_stop_at.get("")
        late = asked is not None and process.life.stop_by == "cancel" and self.now > asked + 1
        self.require(not late, f"I5 {key} was sent after the process was told to stop")
        bound = self.plan.max_in_flight
        busy = len(process.sending | process.running)
        # What a wait leaves behind runs on and is out of its process's count.
        if bound is not None and not process.told_to_stop_at and not process.disk_failed:
            self.require(busy <= bound, f"I1 {busy} submitted or running, at most {bound} wanted")
        return self.event(process, f"POST {key} {exchange.fate.name}")

    def left(self, exchange: Exchange) -> None:
        """All of it left."""
        exchange.sent = True
        exchange.process.wire.add(exchange)

    def arrive(self, exchange: Exchange) -> None:
        """The server has the request, and acts at once."""
        if exchange.arrived or not exchange.process.alive:
            return
        exchange.arrived = True
        while self._limits and self._limits[0][0] <= self.now:
            self.simulator.set_limit(self._limits.pop(0)[1])
        if exchange.key:
            self._arrive_post(exchange)
        else:
            self._arrive_get(exchange)

    def _arrive_post(self, exchange: Exchange) -> None:
        fate, row = exchange.fate, self.rows[exchange.key]
        answer = fate.answer
        if row.job.bad and fate.heard:
            answer = Answer.json(400, {"message": "The prompt is not allowed"})
        elif fate.heard:
            heard = self.simulator.submit(exchange.authorization, exchange.body, "http://media")
            made = json.loads(heard.answer.body).get("taskId")
            if made is not None:
                exchange.made = str(made)
                row.tasks.append(exchange.made)
                self.tasks[exchange.made] = (exchange.key, self.now)
                self.note(f"made {exchange.made} of {exchange.key}")
                self.check_money()
            if made is None or answer is None:
                answer = heard.answer  # a refusal is a refusal, whatever was to go wrong
        exchange.answer = answer or Answer(500)

    def _arrive_get(self, exchange: Exchange) -> None:
        fate = exchange.fate
        answer = self.simulator.poll(
            exchange.authorization, exchange.task_id, "http://media"
        ).answer
        if fate.answer is not None:
            answer = fate.answer
        elif fate.state is not None and answer.status == 200:
            record = json.loads(answer.body)
            answer = Answer.json(200, {**record, "status": fate.state, "output": None})
        exchange.answer = answer

    def heard(self, exchange: Exchange, body: bytes, *, whole: bool) -> None:
        """The process has read the answer, or as much of it as came."""
        exchange.process.wire.discard(exchange)
        if exchange.answer is None:
            return
        read = Answer(exchange.answer.status, body)
        if exchange.key:
            exchange.tells = what_it_tells(read, whole=whole)
            if read.status == 429:
                exchange.process.refusals += 1
            return
        row = self.row_of_task(exchange.task_id)
        if row is not None:
            row.not_found += read.status in {404, 400}
            row.unheard += read.status in {401, 403}

    def broken(self, exchange: Exchange) -> None:
        """The exchange ended without an answer, by the network's or our own deadline."""
        exchange.process.wire.discard(exchange)

    def given_up(self, exchange: Exchange) -> None:
        """The process stopped waiting for the answer, though nothing was wrong yet."""
        exchange.process.wire.discard(exchange)
        if not exchange.key or not exchange.process.alive:
            return
        self.note(f"p{exchange.process.number} gave up {exchange.key}")
        asked = exchange.process.told_to_stop_at
        moments = [asked[name] for name in (exchange.key, "") if name in asked]
        waited = self.now - exchange.started_at
        in_grace = any(self.now >= at + GRACE - EPSILON for at in moments)
        self.require(
            in_grace or waited >= WAIT_FOR_ANSWER - EPSILON or not self.wanted(exchange),
            f"I3 the submission of {exchange.key} was cut off after {waited:.3f} s",
        )

    def wanted(self, exchange: Exchange) -> bool:
        """Whether its process still works as it should: no disk has failed it."""
        return not exchange.process.disk_failed

    def task(self, task_id: str) -> SimulatedTask:
        """A task as the server has it."""
        return self._state._tasks[task_id]

    def row_of_task(self, task_id: str) -> Row | None:
        """The job that a task belongs to."""
        made = self.tasks.get(task_id)
        return None if made is None else self.rows[made[0]]

    def in_outage(self) -> bool:
        """Whether nobody can connect now."""
        windows = self.plan.windows.get("outage", ())
        return any(begin <= self.now < end for begin, end in windows)

    # -- money ---------------------------------------------------------------------------

    @property
    def spent(self) -> Decimal:
        """Credits that the server has taken and not given back."""
        spent = Decimal(0)
        for account in self._state.accounts.known.values():
            account.settle(self.now)
            spent += CREDITS - account.credits
        return spent

    def check_money(self) -> None:
        """I4: what the ledger calls the worst case is never less than what was taken."""
        if callable(self.money):
            committed, spent = self.money(), self.spent
            self.require(committed >= spent, f"I4 {spent} credits taken, {committed} committed")
            if self.budget is not None:
                within = spent <= self.budget
                self.require(within, f"I4 {spent} credits taken, {self.budget} allowed")
