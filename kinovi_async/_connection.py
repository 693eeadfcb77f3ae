"""What a client holds: key, connection, account and ledger; opened, shared and closed."""

from __future__ import annotations

import itertools
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from random import Random, SystemRandom
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio

from ._account import Account, Book, Uploads, new_book
from ._errors import ConfigurationError
from ._ledger import Ledger, MemoryLedger, open_ledger
from ._logs import configure_logging
from ._options import (
    check_bound,
    check_interval,
    check_receiver,
    check_retries,
    interval_from_environment,
    is_path,
)
from ._policy import SubmitPolicy
from ._requests import (
    SEED,
    ApiGeneration,
    check_generation,
)
from ._secrets import ApiKey, find_key
from ._shield import finish
from ._transport import HttpTransport, check_base_url

if TYPE_CHECKING:
    import httpx

    from .webhooks import WebhookReceiver

__all__ = ["Connection"]

DEFAULT_BASE_URL = "https://kinovi.ai/api/v1"
# The documents' advice: poll every 3 to 5 seconds.
DEFAULT_POLL_INTERVAL = (3.0, 5.0)
# Seconds for one HTTP exchange that costs nothing.
DEFAULT_TIMEOUT = 30.0
# Files fetched at a time: a line is full with a few streams, and small pictures wait for
# answers most of the time.
DOWNLOADS_AT_ONCE = 8


@dataclass(slots=True)
class _Shared:
    """What a client has in common with those made by `with_options`."""

    transport: HttpTransport
    account: Account
    book: Book
    groups: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    downloads: anyio.Semaphore = field(default_factory=lambda: anyio.Semaphore(DOWNLOADS_AT_ONCE))
    closed: bool = False


class Connection:
    """The life of a client. What it is asked to do is in those made of it."""

    def __init__(
        self,
        *,
        api_key: str | Callable[[], str] | ApiKey | None = None,
        base_url: str | None = None,
        timeout: float | httpx.Timeout | None = DEFAULT_TIMEOUT,
        max_retries: int = 2,
        default_headers: Mapping[str, str] | None = None,
        http_client: object | None = None,
        poll_interval: tuple[float, float] = DEFAULT_POLL_INTERVAL,
        max_in_flight: int | None = None,
        ledger: str | PathLike[str] | Ledger | None = None,
        submit_policy: SubmitPolicy | None = None,
        webhooks: WebhookReceiver | None = None,
        api_generation: ApiGeneration = SEED,
    ) -> None:
        configure_logging()
        key = find_key(api_key)
        del api_key  # a traceback that shows local variables must not show it
        self._options: dict[str, object] = {
            "api_key": key,
            "base_url": base_url,
            "timeout": timeout,
            "max_retries": max_retries,
            "default_headers": default_headers,
            "http_client": http_client,
            "poll_interval": poll_interval,
            "max_in_flight": max_in_flight,
            "ledger": ledger,
            "submit_policy": submit_policy,
            "webhooks": webhooks,
            "api_generation": check_generation(api_generation),
        }
        self._base_url = check_base_url(
            base_url or os.environ.get("KINOVI_BASE_URL") or DEFAULT_BASE_URL
        )
        if poll_interval is DEFAULT_POLL_INTERVAL:  # none was given, in whatever words
            poll_interval = interval_from_environment(DEFAULT_POLL_INTERVAL)
        self._poll_interval = check_interval(poll_interval)
        self._policy = submit_policy or SubmitPolicy()
        self._webhooks = check_receiver(webhooks, self._policy)
        self._is_view = False
        self._closed = False
        transport = HttpTransport(
            key,
            self._base_url,
            timeout=timeout,
            max_retries=check_retries(max_retries),
            default_headers=default_headers,
            http_client=http_client,
            policy=self._policy,
            wall=self._wall,
        )
        account = Account(
            transport,
            api_generation=api_generation,
            name=f"account {key.account} at {self._base_url}",
            poll_interval=self._poll_interval,
            max_in_flight=check_bound(max_in_flight),
            policy=self._policy,
            wall=self._wall,
            rng=self._new_random(),
        )
        account.uploads = Uploads(transport, name=account.name, wall=account.wall)
        book = new_book(
            account,
            # Bounded, so that a batch of any length fits; what is forgotten has ended.
            MemoryLedger(keep_ended=1000) if ledger is None else open_ledger(ledger),
            webhooks,
            durable=ledger is not None,
            owned=is_path(ledger),
        )
        self._shared = _Shared(transport, account, book)
        self._transport = transport

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else "open"
        return f"<AsyncKinovi {self._base_url} {state}>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a client cannot be pickled: it holds the key and a connection")

    def _wall(self) -> float:
        # A method, and the next one too, for the simulation of tests/simulation: its client is
        # a subclass with another clock and seeded chance.
        return time.time()

    def _new_random(self) -> Random:
        return SystemRandom()

    # -- life ------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._check_open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connections and the ledger it opened. Idempotent.

        A client made by `with_options` leaves what it shares to the first one.
        """
        if self._closed:
            return
        self._closed = True
        if self._is_view:
            return
        self._shared.closed = True
        self._account.close(ConfigurationError("the client was closed"))

        async def work() -> None:
            try:
                await self._transport.aclose()
            finally:
                await self._shared.book.aclose()

        # Cut off by a native cancellation, it would keep the lease until the process ends.
        with anyio.CancelScope(shield=True):
            await finish(work, grace=math.inf)

    close = aclose

    @property
    def is_closed(self) -> bool:
        """Whether `aclose` was called, here or on the client that shares with this one."""
        return self._closed or self._shared.closed

    def _check_open(self) -> None:
        self._check_closed()
        self._account.check_loop()

    @property
    def _account(self) -> Account:
        return self._shared.account

    def _group_name(self, kind: str) -> str:
        return f"{kind}-{next(self._shared.groups)}"

    def _book_for(self, ledger: str | PathLike[str] | Ledger | None) -> tuple[Book, bool]:
        """The book of a scheduler, and whether it is the scheduler's own."""
        self._check_closed()
        if ledger is not None:
            owned, opened = is_path(ledger), open_ledger(ledger)
            return new_book(self._account, opened, self._webhooks, durable=True, owned=owned), True
        if self._shared.book.durable:
            return self._shared.book, False
        # Remembers ended jobs, so that get() and outcomes() work; bounded all the same.
        memory = MemoryLedger(keep_ended=10_000)
        return new_book(self._account, memory, self._webhooks, durable=False), True

    def _check_closed(self) -> None:
        if self.is_closed:
            raise ConfigurationError("the client is closed")

    def with_options(
        self,
        *,
        api_key: str | Callable[[], str] | None = None,
        base_url: str | None = None,
        timeout: float | httpx.Timeout | None = None,
        max_retries: int | None = None,
        default_headers: Mapping[str, str] | None = None,
    ) -> Self:
        """A client with other options that shares connection, ledger and slots.

        Another key or base URL is another account: then nothing is shared, and the new
        client is to be closed by itself.
        """
        given = {
            "api_key": None if api_key is None else find_key(api_key),
            "base_url": base_url,
            "timeout": timeout,
            "max_retries": max_retries,
            "default_headers": default_headers,
        }
        del api_key
        changes = {name: value for name, value in given.items() if value is not None}
        options = {**self._options, **changes}
        if "api_key" in changes or "base_url" in changes:
            options["ledger"] = None
            return type(self)(**options)  # type: ignore[arg-type]
        view = object.__new__(type(self))
        view.__dict__.update(self.__dict__)
        view._options = options
        view._is_view = True
        view._closed = False
        view._transport = self._transport.with_options(
            timeout=timeout,
            max_retries=None if max_retries is None else check_retries(max_retries),
            default_headers=default_headers,
        )
        return view

    @property
    def _is_loopback(self) -> bool:
        """Whether the API is this machine's simulator, whose files are on loopback too."""
        return self._base_url.startswith("http://")


# What a user reads in the TypeError for an argument too many or misspelt.
Connection.__init__.__qualname__ = "AsyncKinovi.__init__"
