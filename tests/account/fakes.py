"""An account in memory: the server's side of createTask and recordInfo, in virtual time."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random

import anyio

from kinovi_async._account import Account, Book, Lane, LaneOptions
from kinovi_async._errors import ConcurrencyLimitError, NotFoundError
from kinovi_async._ledger import Ledger, MemoryLedger
from kinovi_async._policy import SubmitPolicy
from kinovi_async._record_parsing import parse_record
from kinovi_async._records import TaskRecord
from kinovi_async._transport import Accepted, Refused, SubmitResult

START = 1_700_000_000.0


def wall() -> float:
    """The wall clock, moved by the virtual one."""
    try:
        return START + anyio.current_time()
    except Exception:  # noqa: BLE001 - outside a loop
        return START


@dataclass
class Made:
    """A task the server made."""

    task_id: str
    body: dict[str, object]
    at: float
    ends_at: float
    fails: bool = False


@dataclass
class FakeServer:
    """Runs `limit` tasks at a time, each for `seconds`; counts everything."""

    limit: int = 3
    seconds: float | Callable[[], float] = 10.0
    latency: float = 0.05
    script: deque[SubmitResult | Exception] = field(default_factory=deque)
    """Answers to give instead, one for each submission."""
    poll_script: deque[Exception] = field(default_factory=deque)
    failing: set[str] = field(default_factory=set)
    """Prompts whose tasks fail."""
    failure: tuple[str, str] = ("2038", "moderated")
    tells_limit: bool = True
    made: dict[str, Made] = field(default_factory=dict)
    refused: int = 0
    posts: int = 0
    polls: Counter[str] = field(default_factory=Counter)
    poll_times: dict[str, list[float]] = field(default_factory=dict)
    peak: int = 0
    order: list[str] = field(default_factory=list)
    closed: bool = False

    def running(self) -> int:
        now = anyio.current_time()
        return sum(1 for task in self.made.values() if task.ends_at > now)

    def prompts(self) -> Counter[str]:
        """How often each prompt was paid for."""
        return Counter(self.prompt(task) for task in self.made.values())

    @staticmethod
    def prompt(task: Made) -> str:
        inputs = task.body["inputs"]
        assert isinstance(inputs, dict)
        return str(inputs["prompt"])

    # -- what a transport does -------------------------------------------------------

    async def submit(
        self, body: bytes, *, scope: anyio.CancelScope | None = None, attempt: int = 1
    ) -> SubmitResult:
        with scope if scope is not None else anyio.CancelScope():
            await anyio.sleep(self.latency / 2)
            result = self._decide(json.loads(body))
            await anyio.sleep(self.latency / 2)
        return result

    def _decide(self, body: dict[str, object]) -> SubmitResult:
        self.posts += 1
        if self.script:
            scripted = self.script.popleft()
            if isinstance(scripted, Exception):
                raise scripted
            return scripted
        running = self.running()
        if running >= self.limit:
            self.refused += 1
            error = ConcurrencyLimitError("Concurrency limit reached", status_code=429)
            if self.tells_limit:
                error.limit, error.current = self.limit, running
            return Refused(error)
        now = anyio.current_time()
        seconds = self.seconds() if callable(self.seconds) else self.seconds
        task = Made(f"task_{len(self.made) + 1}", body, now, now + seconds)
        task.fails = self.prompt(task) in self.failing
        self.made[task.task_id] = task
        self.order.append(self.prompt(task))
        self.peak = max(self.peak, self.running())
        return Accepted(task.task_id)

    async def fetch(self, task_id: str, *, retries: int | None = None) -> TaskRecord:
        self.polls[task_id] += 1
        self.poll_times.setdefault(task_id, []).append(anyio.current_time())
        await anyio.sleep(self.latency)
        if self.poll_script:
            raise self.poll_script.popleft()
        task = self.made.get(task_id)
        if task is None:
            body = {"message": "Task not found"}
            raise NotFoundError("Task not found", status_code=404, body=body)
        return parse_record(self.record(task))

    def record(self, task: Made) -> dict[str, object]:
        done = anyio.current_time() >= task.ends_at
        status = "generating" if not done else "fail" if task.fails else "success"
        code, message = self.failure
        return {
            "taskId": task.task_id,
            "model": task.body["model"],
            "status": status,
            "creditsUsed": 15,
            "output": [{"url": f"https://cdn.example/{task.task_id}.png"}]
            if status == "success"
            else None,
            "error": {"code": code, "message": message} if status == "fail" else None,
            "createTime": _ms(task.at),
            "completeTime": _ms(task.ends_at) if done else None,
        }

    async def aclose(self) -> None:
        self.closed = True


def _ms(seconds: float) -> int:
    return int(datetime.fromtimestamp(START + seconds, UTC).timestamp() * 1000)


def make_account(server: FakeServer, **options: object) -> Account:
    """An account whose transport is the server itself."""
    given: dict[str, object] = {
        "poll_interval": (3.0, 5.0),
        "max_in_flight": None,
        "policy": SubmitPolicy(),
        "wall": wall,
        "rng": Random(7),
        **options,
    }
    return Account(server, **given)  # type: ignore[arg-type]


def make_book(ledger: Ledger | None = None, *, durable: bool = False) -> Book:
    return Book(ledger or MemoryLedger(), durable=durable, wall=wall)


def make_lane(server: FakeServer, book: Book | None = None, **options: object) -> Lane:
    return Lane(make_account(server), book or make_book(), LaneOptions(**options))  # type: ignore[arg-type]
