"""The simulator as its users hold it: options in, an ASGI application and books out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from .._errors import ConfigurationError
from .._requests import ApiGeneration, check_generation, describe
from ._accounts import AccountSettings, fingerprint
from ._answers import Answer, Delivery
from ._app import Site
from ._books import Books
from ._faults import Faults
from ._media import MediaFile, MediaStore
from ._script import Rule
from ._state import Download, Options, State, Webhook
from ._tasks import Dialect

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from ._webhooks import WebhookResult

_SAMPLE_TIME: Final = 1_709_900_000.0
"""`createTime` of the sample record in the API's overview, in Unix seconds."""


class Simulator:
    """The Kinovi API on your own machine: no key, no network, nothing to pay, real files.

    It answers createTask and recordInfo as the API's documents say, errors, prices, the
    account's concurrency limit and refunds included; draws the pictures and videos it
    promises; and keeps books of what really happened. Use `app` in process, or `serve`
    it on a loopback port. Everything follows from the seed, the calls and the clock:
    the same jobs meet the same ids, times and fates, in whichever order they come.

    Args:
        seed: Decides ids, times, failures and faults.
        speed: How many times faster than the API tasks run; 50 turns 60 s into 1.2 s.
        limit: Tasks an account may run at a time; later createTasks get a 429.
        credits: What each account starts with.
        keys: The keys that exist, with settings of their own or without. None: any key
            but the demo key has an account of `limit` and `credits`.
        faults: How often which fault strikes; none by default.
        dialect: The shape of records and webhooks; the seeds' by default.
        ignore_unknown_inputs: Whether keys that the model has no field for are dropped
            without a word, or each call that has one gets a 400 that names them. None: as
            the API's generation does, dropped in the later one.
        api_generation: The generation of the API, "seed" or "2026-09". None: by each
            body, the later one when it has a name that the seeds do not know.
        durations: Seconds a task of a model takes, lowest and highest, before `speed`,
            instead of the documented ones.
        latency: Seconds before each answer of the API, real ones.
        webhooks_anywhere: Send webhooks to other machines too, not to loopback alone.
        clock: Seconds from any zero; the machine's monotonic clock by default.
        started_at: Unix time of the start, for `createTime`; now by default, or with a
            `clock` of your own the time of the documents' sample.

    Raises:
        ConfigurationError: an option out of its range, or an unknown model in `durations`.

    Methods and properties are safe to use from any thread.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        speed: float = 1.0,
        limit: int = 5,
        credits: Decimal | int = 1_000_000,  # noqa: A002 - the word of the API
        keys: Mapping[str, AccountSettings] | Iterable[str] | None = None,
        faults: Faults | None = None,
        dialect: Dialect | None = None,
        ignore_unknown_inputs: bool | None = None,
        api_generation: ApiGeneration | None = None,
        durations: Mapping[str, tuple[float, float]] | None = None,
        latency: float = 0.0,
        webhooks_anywhere: bool = False,
        clock: Callable[[], float] | None = None,
        started_at: float | None = None,
    ) -> None:
        if not 0 <= latency < float("inf"):
            raise ConfigurationError(f"latency is a number of seconds, not {latency}")
        if isinstance(keys, str):
            # A text is a list of its letters, each of them a key.
            raise ConfigurationError("keys is a list of keys, not one key")
        for model in durations or {}:
            if describe(model) is None:
                raise ConfigurationError(f"no such model: {model}")
        options = Options(
            seed=seed,
            speed=speed,
            defaults=AccountSettings(limit=limit, credits=Decimal(credits)),
            keys=keys if keys is None or isinstance(keys, Mapping) else tuple(keys),
            faults=faults or Faults(),
            dialect=dialect or Dialect(),
            ignore_unknown_inputs=ignore_unknown_inputs,
            api_generation=None if api_generation is None else check_generation(api_generation),
            durations=dict(durations or {}),
        )
        if started_at is None:
            started_at = time.time() if clock is None else _SAMPLE_TIME
        self.latency = latency
        self.slow_seconds = options.faults.slow_seconds
        self.webhooks_anywhere = webhooks_anywhere
        self.files = MediaStore()
        self._clock = clock or time.monotonic
        self._state = State(options, self._clock, started_at)
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []
        self._app = Site(self).app()

    def __repr__(self) -> str:
        return "<Simulator>"

    @property
    def app(self) -> ASGIApp:
        """The ASGI application: API under `/api/v1`, files under `/media`, books.

        For use in process, on asyncio or trio, e.g. with `httpx.ASGITransport`. Faults
        that end a connection need a socket; in process a dropped or reset one raises
        `SimulatedHangup` (a `ConnectionError`) out of the client's call, and a truncated
        answer arrives short but without an error. Webhooks are sent by `serve`; in
        process, take them with `take_due_webhooks`.
        """
        return self._app

    @property
    def books(self) -> Books:
        """A snapshot of what really happened, whatever a client believes."""
        with self._lock:
            return self._state.books()

    @staticmethod
    def fingerprint(key: str) -> str:
        """The name under which the books show a key's account."""
        return fingerprint(key)

    def script(self, *rules: Rule) -> None:
        """Says what shall happen at a call, prompt or task; see the rules' own pages.

        Example: `simulator.script(SubmitRule(answer=429, nth=3), TaskRule(prompt="cat",
        code="2038"))`. The first rule that applies wins, over the rates of `Faults` too.
        """
        with self._lock:
            self._state.script.add(rules)

    def set_limit(self, limit: int, *, key: str | None = None) -> None:
        """Changes how many tasks an account, or every account, may run at a time.

        Running tasks go on. Raises ConfigurationError for a negative limit or a key that
        is not among the simulator's.
        """
        with self._lock:
            self._state.set_limit(limit, None if key is None else fingerprint(key))

    def set_credits(self, credits: Decimal | int, *, key: str | None = None) -> None:  # noqa: A002
        """Changes the balance of an account, or of every account; raises as `set_limit`."""
        with self._lock:
            name = None if key is None else fingerprint(key)
            self._state.set_credits(Decimal(credits), name)

    def reset(self) -> None:
        """Forgets tasks, accounts, rules, changed limits and balances: as newly made."""
        with self._lock:
            self._state.reset()
        self.files.clear()

    # What the ASGI application and the server call.

    def submit(self, authorization: str | None, raw: bytes, media_base: str) -> Delivery:
        """Answers a createTask, given its Authorization header and body."""
        with self._lock:
            delivery = self._state.submit(authorization, raw, media_base)
            waiting = self._state.next_webhook_at() is not None
            listeners = list(self._listeners) if waiting else []
        for tell in listeners:
            tell()
        return delivery

    def poll(self, authorization: str | None, task_id: str | None, media_base: str) -> Delivery:
        """Answers a recordInfo, given its Authorization header and task id."""
        with self._lock:
            return self._state.poll(authorization, task_id, media_base)

    def find_file(self, task_id: str, name: str, *, with_key: bool) -> Download | Answer:
        """The file of a task, or what refuses it; `with_key`: an Authorization came along."""
        with self._lock:
            return self._state.download(task_id, name, with_key=with_key)

    def offer_upload(self, authorization: str | None, raw: bytes, media_base: str) -> Answer:
        """Answers a POST /uploads, given its Authorization header and body."""
        with self._lock:
            return self._state.offer_upload(authorization, raw, media_base)

    def put_upload(
        self, path: str, signature: str, content_type: str | None, content: bytes, *, with_key: bool
    ) -> Delivery:
        """Answers the PUT of a file; `with_key`: an Authorization came along."""
        with self._lock:
            return self._state.uploads.put(
                path, signature, content_type, content, with_key=with_key
            )

    def find_upload(self, path: str) -> MediaFile | None:
        """A file that was uploaded and lives."""
        with self._lock:
            return self._state.uploads.find(path)

    def take_due_webhooks(self) -> list[Webhook]:
        """The webhooks that are due by the clock, each given out once, to be posted by you."""
        with self._lock:
            return self._state.take_due_webhooks()

    def seconds_to_webhook(self) -> float | None:
        """Seconds until the next webhook is due, 0 when it is; None when none is waiting."""
        with self._lock:
            due = self._state.next_webhook_at()
            return None if due is None else max(0.0, due - self._clock())

    def webhook_ended(self, result: WebhookResult) -> None:
        """Writes into the books what became of a webhook."""
        with self._lock:
            self._state.counts.webhooks[result] += 1

    @contextmanager
    def listening(self, tell: Callable[[], None]) -> Iterator[None]:
        """Calls `tell`, from any thread, after a createTask while webhooks are waiting."""
        with self._lock:
            self._listeners.append(tell)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.remove(tell)
