"""A simulator for tests: time that passes when it is asked for, and a script to be read."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Unpack

import anyio

from ..simulator import AccountBooks, Dialect, Faults, PollRule, Simulator, SubmitRule, TaskRule
from ._asgi import post
from ._client import KEY, ClientOptions, connect

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from .._client import AsyncKinovi
    from ..simulator import Webhook
    from ..simulator._answers import Delivery

# A minute of a task is 60 microseconds of the simulator's clock. Records tell the client how
# long tasks took, and it waits accordingly before it asks about the next ones.
_SPEED: Final = 1e6
# Real seconds from an acceptance to the first webhook that a server sends by itself, so that
# the application knows the task id by then, as it always does with the real API.
_HEAD_START: Final = 0.02
_OK: Final = 200


class _Moment:
    """A clock that moves when it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class InstantSimulator(Simulator):
    """A simulator whose tasks take no time: its clock moves when somebody asks about a task.

    A poll of a task that still runs lets the clock jump to the next moment at which any
    task ends, and is answered then. So a single task has ended when it is first asked
    about, several end in the order of their durations, and until somebody asks each of
    them keeps its slot. What happens follows from the calls alone, never from how fast the
    machine is.

    Args:
        limit: Tasks that may run at a time; later createTasks get a 429.
        credits: What each account starts with.
        seed: Decides ids, durations, failures and faults.
        faults: How often which fault strikes; none by default.
        dialect: The shape of records and webhooks; the seeds' by default.
        durations: Seconds a task of a model takes, lowest and highest, instead of the
            documented ones. They decide which task ends first, and nothing else.

    The methods that script it (`fail`, `refuse`, ...) have some arguments in common:
    `nth` is the number of the task or call, from 1; `prompt` a piece of the prompt;
    `times` how often it happens. What was said first wins.
    """

    def __init__(
        self,
        *,
        limit: int = 5,
        credits: Decimal | int = 1_000_000,  # noqa: A002 - the word of the API
        seed: int = 0,
        faults: Faults | None = None,
        dialect: Dialect | None = None,
        durations: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        self._moment = _Moment()
        self._held = 0
        self._heard_at = 0.0
        super().__init__(
            limit=limit,
            credits=credits,
            seed=seed,
            faults=faults,
            dialect=dialect,
            durations=durations,
            speed=_SPEED,
            clock=self._moment,
            started_at=time.time(),
        )

    def client(self, **options: Unpack[ClientOptions]) -> AsyncKinovi:
        """A client of this simulator, in process, without a socket.

        It needs no closing, and like any client belongs to the event loop that first
        uses it. Takes the options of `AsyncKinovi`, e.g. `ledger=tmp_path / "jobs"`.
        """
        return connect(self.app, **options)

    # -- the script ------------------------------------------------------------------

    def fail(
        self,
        code: int | str = 2038,
        *,
        nth: int | None = None,
        prompt: str | None = None,
        times: int | None = None,
        message: str = "The prompt does not comply with the platform's rules",
    ) -> None:
        """Accepted tasks end in `fail`, refunded: all, or those named. 2038 is moderation."""
        rule = TaskRule(nth=nth, prompt=prompt, times=times, code=str(code), message=message)
        self.script(rule)

    def stall(
        self, *, nth: int | None = None, prompt: str | None = None, times: int | None = None
    ) -> None:
        """Accepted tasks never end: all, or those named. They keep their slots."""
        self.script(TaskRule(nth=nth, prompt=prompt, times=times, stuck=True))

    def refuse(
        self,
        status: int = 429,
        *,
        nth: int | None = None,
        prompt: str | None = None,
        times: int | None = 1,
    ) -> None:
        """A createTask is answered with this status, in the API's own form; nothing is accepted."""
        self.script(SubmitRule(answer=status, nth=nth, prompt=prompt, times=times))

    def lose_answer(
        self,
        *,
        accepted: bool = True,
        nth: int | None = None,
        prompt: str | None = None,
        times: int | None = 1,
    ) -> None:
        """The connection of a createTask ends without an answer; `accepted`: the task runs."""
        answer = "lost-answer" if accepted else "before-acceptance-drop"
        self.script(SubmitRule(answer=answer, nth=nth, prompt=prompt, times=times))

    def slow(
        self,
        seconds: float,
        *,
        nth: int | None = None,
        prompt: str | None = None,
        times: int | None = 1,
    ) -> None:
        """A createTask is answered that many real seconds late; the latest call sets how many."""
        self.slow_seconds = seconds
        self.script(SubmitRule(answer="slow", nth=nth, prompt=prompt, times=times))

    def fail_polls(
        self,
        status: int = 503,
        *,
        nth: int | None = None,
        prompt: str | None = None,
        times: int | None = 1,
    ) -> None:
        """A recordInfo is answered with this status; `nth` counts the polls of each task."""
        self.script(PollRule(answer=status, nth=nth, prompt=prompt, times=times))

    @property
    def limit(self) -> int:
        """Tasks that may run at a time; set it at any time, running tasks go on."""
        return self._account().limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self.set_limit(limit)

    @property
    def credits(self) -> Decimal:
        """What the account of the fixtures' key has left; set it for all accounts."""
        return self._account().credits

    @credits.setter  # noqa: A003 - the word of the API
    def credits(self, credits: Decimal | int) -> None:  # noqa: A002 - the word of the API
        self.set_credits(credits)

    def _account(self) -> AccountBooks:
        with self._lock:
            account = self._state.accounts.of_name(self.fingerprint(KEY))
            assert account is not None  # noqa: S101 - every key has an account here
            return account.books(self._moment.now)

    # -- time ------------------------------------------------------------------------

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Tasks stay as they are while the block runs, however often they are polled."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    def finish(self) -> None:
        """Every running task ends now, except those that never will."""
        with self._lock:
            while (at := self._state.next_change()) is not None:
                self._moment.now = at

    def submit(self, authorization: str | None, raw: bytes, media_base: str) -> Delivery:
        """Answers a createTask."""
        delivery = super().submit(authorization, raw, media_base)
        if delivery.answer.status == _OK:
            self._heard_at = time.monotonic()
        return delivery

    def poll(self, authorization: str | None, task_id: str | None, media_base: str) -> Delivery:
        """Lets time pass if the task still runs, then answers a recordInfo."""
        with self._lock:
            if not self._held and self._state.runs(task_id):
                self._jump(self._state.next_change())
        return super().poll(authorization, task_id, media_base)

    def _jump(self, at: float | None) -> None:
        if at is not None:
            self._moment.now = max(at, self._moment.now)

    # -- webhooks --------------------------------------------------------------------

    async def deliver_webhooks(self, app: ASGIApp) -> list[int]:
        """Ends the tasks that have a callback address, and posts their webhooks to `app`.

        In process, whatever host the addresses name, in the order in which the tasks end.
        Answers the statuses; what the application raises comes out here.
        """
        statuses: list[int] = []
        while webhooks := self._end_next_with_webhook():
            statuses += [await self._post(app, webhook) for webhook in webhooks]
        return statuses

    @asynccontextmanager
    async def delivering_webhooks(self, app: ASGIApp) -> AsyncIterator[None]:
        """Does that over and over while the block runs, soon after each acceptance."""

        async def deliver() -> None:
            while True:
                await anyio.sleep(_HEAD_START)
                await self.deliver_webhooks(app)

        async with anyio.create_task_group() as group:
            group.start_soon(deliver)
            yield
            group.cancel_scope.cancel()

    async def _post(self, app: ASGIApp, webhook: Webhook) -> int:
        status = await post(app, webhook.url, webhook.body)
        self.webhook_ended("sent" if status // 100 == 2 else "failed")  # noqa: PLR2004 - HTTP
        return status

    def _end_next_with_webhook(self) -> list[Webhook]:
        with self._lock:
            if not self._held:
                self._jump(self._state.next_webhook_at())
            return self._state.take_due_webhooks()

    # What a server that sends webhooks by itself calls.

    def take_due_webhooks(self) -> list[Webhook]:
        """The webhooks to be posted now; the sender's waiting is what makes time pass."""
        pause = self.seconds_to_webhook()
        return [] if pause is None or pause > 0 else self._end_next_with_webhook()

    def seconds_to_webhook(self) -> float | None:
        """Real seconds until the next webhook is to be sent; None when none is waiting."""
        if super().seconds_to_webhook() is None:
            return None
        pause = self._heard_at + _HEAD_START - time.monotonic()
        return _HEAD_START if self._held else max(0.0, pause)
