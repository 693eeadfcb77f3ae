"""The API's state as a pure function of the calls so far and the clock.

No I/O, no waiting, no chance beyond the seed: a call comes in with its header and
body, a delivery goes out, and what really happened stands in the books.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from heapq import heappop, heappush
from typing import Final

from .._errors import ConfigurationError
from .._records import TaskStatus
from .._requests import ApiGeneration, body_hash
from . import _answers as answers
from ._accounts import Account, Accounts, AccountSettings
from ._answers import Answer, Delivery, Way
from ._books import AcceptedTask, Books, Counts
from ._checks import Order, check_body, prompt_of, read_body
from ._deliveries import delivery, scripted
from ._demo import demo_tasks
from ._fates import fate
from ._faults import (
    MEDIA_FAULTS,
    NOTHING_ACCEPTED,
    POLL_FAULTS,
    SUBMIT_FAULTS,
    WEBHOOK_FAULTS,
    Fault,
    Faults,
)
from ._luck import Luck
from ._script import LiveRule, PollRule, Script, SubmitRule
from ._tasks import NEVER, SETTLING, Dialect, SimulatedTask, enveloped, record
from ._uploads import UploadStore

_TASK_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,255}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Download:
    """A file to be drawn and sent: the n-th (from 0) of a task."""

    task: SimulatedTask
    number: int
    way: Way


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook that is due."""

    task_id: str
    url: str
    body: bytes
    """JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a simulator is made with; see `Simulator`."""

    seed: int
    speed: float
    defaults: AccountSettings
    keys: Mapping[str, AccountSettings] | tuple[str, ...] | None
    faults: Faults
    dialect: Dialect
    ignore_unknown_inputs: bool | None
    api_generation: ApiGeneration | None
    durations: Mapping[str, tuple[float, float]]

    def __post_init__(self) -> None:
        if not 0 < self.speed < float("inf"):
            raise ConfigurationError(f"speed is a number above 0, not {self.speed}")
        for model, (low, high) in self.durations.items():
            if not 0 <= low <= high < float("inf"):
                raise ConfigurationError(
                    f"a task of {model} takes from low to high seconds, not {low} to {high}"
                )


class State:
    """Accounts, tasks and books. Not safe for threads by itself."""

    def __init__(self, options: Options, clock: Callable[[], float], started_at: float) -> None:
        self._options = options
        self._clock = clock
        self._origin = started_at - clock()
        self._luck = Luck(options.seed)
        self.reset()

    def reset(self) -> None:
        """Forgets every task, rule and number, as if newly made."""
        self.accounts = Accounts(self._options.defaults, self._options.keys)
        self.counts = Counts()
        self.script = Script()
        self.uploads = UploadStore(
            self._options.seed, self._clock, self._luck, self._options.faults, self.counts
        )
        self._accepted: list[SimulatedTask] = []
        self._tasks = {task.id: task for task in demo_tasks(self._clock())}
        self._admissible: Counter[str] = Counter()
        self._copies: Counter[str] = Counter()
        self._fetched: Counter[tuple[str, int]] = Counter()
        self._webhooks: list[tuple[float, int, SimulatedTask]] = []

    # createTask

    def submit(self, authorization: str | None, raw: bytes, media_base: str) -> Delivery:
        """Answers a createTask. `media_base` is where its files will be served."""
        self.counts.submissions += 1
        account = self.accounts.of_header(authorization)
        if isinstance(account, Answer):
            return self._refused(account)
        body = read_body(raw)
        rule = self.script.submit_rule(self.counts.submissions, prompt_of(body))
        if rule is not None and _accepts_nothing(rule.rule):
            return self._scripted(rule, account)
        order = self._admit(account, body)
        if isinstance(order, Answer):
            return self._refused(order)
        return self._accept(account, order, rule, media_base)

    def _refused(self, answer: Answer) -> Delivery:
        self.counts.refused[answer.status] += 1
        return Delivery(answer)

    def _scripted(self, live: LiveRule[SubmitRule], account: Account) -> Delivery:
        answer = live.applied().answer
        if isinstance(answer, str):
            self.counts.faults[answer] += 1
            return delivery(Fault(answer), answers.INTERNAL_ERROR)
        self.counts.faults[_name(answer)] += 1
        running = account.settle(self._clock())
        return Delivery(scripted(answer, limit=account.limit, running=running))

    def _admit(self, account: Account, body: object) -> Order | Answer:
        """The order that is taken, or what refuses it: access, body, slots, credits."""
        if not account.api_enabled:
            return answers.NOT_ENABLED
        if isinstance(body, Answer):
            return body
        order = check_body(
            body,
            ignore_unknown=self._options.ignore_unknown_inputs,
            generation=self._options.api_generation,
        )
        if isinstance(order, Answer):
            return order
        running = account.settle(self._clock())
        if running >= account.limit:
            return answers.limit_reached(account.limit, running)
        if order.price > account.credits:
            return answers.insufficient(order.price, account.credits)
        return order

    def _accept(
        self, account: Account, order: Order, rule: LiveRule[SubmitRule] | None, media_base: str
    ) -> Delivery:
        what = body_hash(order.body)
        self._admissible[what] += 1
        if rule is not None:
            fault = _fault_of(rule.applied())
        else:
            roll = self._luck.roll("submit", what, self._admissible[what])
            fault = self._options.faults.pick(SUBMIT_FAULTS, roll)
        if fault is not None:
            self.counts.faults[fault] += 1
        if fault in NOTHING_ACCEPTED:
            return delivery(fault, answers.INTERNAL_ERROR)
        task = self._create(account, order, what, media_base, fault)
        return delivery(fault, Answer.json(200, {"taskId": task.id}))

    def _create(
        self, account: Account, order: Order, what: str, media_base: str, fault: Fault | None
    ) -> SimulatedTask:
        order = self.uploads.checked(order, media_base)
        self._copies[what] += 1
        copy = self._copies[what]
        now = self._clock()
        place = len(self._accepted) + 1
        rule = self.script.task_rule(place, order.prompt)
        usual = self._options.durations.get(order.model, order.seconds)
        settled = fate(self._luck, what, copy, order, rule, self._options.faults, usual)
        if settled.unlucky:
            self.counts.faults[Fault.FAIL] += 1
        speed = self._options.speed
        ends_at = now + settled.seconds / speed
        settles = order.final != order.price
        task = SimulatedTask(
            id=settled.task_id,
            order=place,
            account=account.name,
            request=order,
            accepted_at=now,
            starts_at=now + settled.waiting / speed,
            ends_at=ends_at,
            settles_at=ends_at + SETTLING / speed if settles else ends_at,
            failure=settled.failure,
            media_base=media_base,
            submission=fault or "answered",
        )
        account.take(task)
        self._accepted.append(task)
        self._tasks[task.id] = task
        if order.callback_url is not None and task.ends_at != NEVER:
            heappush(self._webhooks, (task.ends_at, place, task))
        return task

    # uploads

    def offer_upload(self, authorization: str | None, raw: bytes, media_base: str) -> Answer:
        """Answers POST /uploads."""
        account = self.accounts.of_header(authorization)
        if isinstance(account, Answer):
            return account
        if not account.api_enabled:
            return answers.NOT_ENABLED
        body = read_body(raw)
        if isinstance(body, Answer):
            return body
        return self.uploads.offer(body, media_base)

    # recordInfo

    def poll(self, authorization: str | None, task_id: str | None, media_base: str) -> Delivery:
        """Answers a recordInfo."""
        self.counts.polls += 1
        account = self.accounts.of_header(authorization)
        if isinstance(account, Answer):
            return Delivery(account)
        if not task_id:
            return Delivery(answers.MISSING_TASK_ID)
        if _TASK_ID.fullmatch(task_id) is None:
            return Delivery(answers.INVALID_TASK_ID)
        task = self._tasks.get(task_id)
        if task is None:
            return Delivery(answers.TASK_NOT_FOUND)
        if task.account != account.name:
            return Delivery(answers.ACCESS_DENIED)
        task.polls += 1
        return self._polled(task, media_base)

    def _polled(self, task: SimulatedTask, media_base: str) -> Delivery:
        rule = self.script.poll_rule(task.polls, task.request.prompt)
        fault = _fault_of(rule) if rule is not None else self._poll_fault(task)
        if rule is not None and not isinstance(rule.answer, str):
            self.counts.faults[_name(rule.answer)] += 1
            return Delivery(scripted(rule.answer, limit=0, running=0))
        if fault is not None:
            self.counts.faults[fault] += 1
        now = self._clock()
        if fault in {None, Fault.SLOW_POLL} and task.seen_at is None and now >= task.ends_at:
            task.seen_at = now
        payload: object = record(task, now, self._origin, self._options.dialect, media_base)
        if self._options.dialect.envelope:
            payload = enveloped(payload)
        return delivery(fault, Answer.json(200, payload))

    def _poll_fault(self, task: SimulatedTask) -> Fault | None:
        roll = self._luck.roll("poll", task.id, task.polls)
        return self._options.faults.pick(POLL_FAULTS, roll)

    # files and webhooks

    def download(self, task_id: str, name: str, *, with_key: bool) -> Download | Answer:
        """The file behind `/media/<task_id>/<name>`, or the 404 or fault that answers it."""
        self.counts.downloads += 1
        self.counts.keys_leaked += with_key
        task = self._tasks.get(task_id)
        if task is None or task.status(self._clock()) is not TaskStatus.SUCCESS:
            return answers.refusal(404, "Not found")
        names = task.names()
        if name not in names:
            return answers.refusal(404, "Not found")
        number = names.index(name)
        self._fetched[task_id, number] += 1
        roll = self._luck.roll("media", task_id, number, self._fetched[task_id, number])
        fault = self._options.faults.pick(MEDIA_FAULTS, roll)
        if fault is not None:
            self.counts.faults[fault] += 1
        if fault is Fault.MEDIA_ERROR:
            return answers.UNAVAILABLE
        return Download(task, number, Way.TRUNCATE if fault else Way.PLAIN)

    def next_webhook_at(self) -> float | None:
        """When the next webhook is due by the clock; None when none is waiting."""
        return self._webhooks[0][0] if self._webhooks else None

    def take_due_webhooks(self) -> list[Webhook]:
        """The webhooks that are due and were not taken yet, in the order of their tasks' ends."""
        now = self._clock()
        due: list[Webhook] = []
        while self._webhooks and self._webhooks[0][0] <= now:
            due += self._webhook(heappop(self._webhooks)[2])
        return due

    def _webhook(self, task: SimulatedTask) -> list[Webhook]:
        fault = self._options.faults.pick(WEBHOOK_FAULTS, self._luck.roll("webhook", task.id))
        if fault is not None:
            self.counts.faults[fault] += 1
        if fault is Fault.WEBHOOK_LOST:
            self.counts.webhooks["lost"] += 1
            return []
        dialect = self._options.dialect
        payload: object = record(task, task.ends_at, self._origin, dialect, task.media_base)
        if dialect.webhook_envelope:
            payload = enveloped(payload)
        webhook = Webhook(task.id, task.request.callback_url or "", answers.render(payload))
        return [webhook] * (2 if fault else 1)

    # time

    def runs(self, task_id: str | None) -> bool:
        """Whether this is a task that has not ended, or whose price is not final yet."""
        task = self._tasks.get(task_id or "")
        return task is not None and self._clock() < task.settles_at

    def next_change(self) -> float | None:
        """When a task ends next, or has its final price, by the clock; None: never."""
        now = self._clock()
        moments = (account.next_change(now) for account in self.accounts.known.values())
        return min((moment for moment in moments if moment is not None), default=None)

    # books

    def books(self) -> Books:
        """A snapshot of everything that happened."""
        now = self._clock()
        return Books(
            now=now,
            accepted=tuple(_accepted(task, now) for task in self._accepted),
            submissions=self.counts.submissions,
            refused=dict(self.counts.refused),
            polls=self.counts.polls,
            faults={str(name): count for name, count in self.counts.faults.items()},
            downloads=self.counts.downloads,
            keys_leaked=self.counts.keys_leaked,
            uploads=self.counts.uploads,
            webhooks=dict(self.counts.webhooks),
            accounts={name: each.books(now) for name, each in self.accounts.known.items()},
        )

    def set_limit(self, limit: int, name: str | None) -> None:
        """Changes the limit of one account, or of all."""
        self.accounts.change(name=name, limit=limit)

    def set_credits(self, balance: Decimal, name: str | None) -> None:
        """Changes the balance of one account, or of all."""
        self._settle_all()
        self.accounts.change(name=name, balance=balance)

    def _settle_all(self) -> None:
        for account in self.accounts.known.values():
            account.settle(self._clock())


def _accepts_nothing(rule: SubmitRule) -> bool:
    return not isinstance(rule.answer, str) or rule.answer in NOTHING_ACCEPTED


def _fault_of(rule: SubmitRule | PollRule) -> Fault | None:
    return Fault(rule.answer) if isinstance(rule.answer, str) else None


def _name(answer: int | Answer) -> str:
    return str(answer if isinstance(answer, int) else answer.status)


def _accepted(task: SimulatedTask, now: float) -> AcceptedTask:
    return AcceptedTask(
        order=task.order,
        task_id=task.id,
        account=task.account,
        model=task.request.model,
        prompt=task.request.prompt,
        body=task.request.body,
        credits=task.charged(now),
        accepted_at=task.accepted_at,
        ends_at=None if task.ends_at == NEVER else task.ends_at,
        status=task.status(now),
        polls=task.polls,
        seen_at=task.seen_at,
        submission=str(task.submission),
    )
