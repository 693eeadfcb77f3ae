"""Accounts: who a key belongs to, its balance, and the slots its tasks hold.

Keys are never kept; an account goes by its key's fingerprint.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from heapq import heappop, heappush
from typing import Final

from .._errors import ConfigurationError
from ._answers import INVALID_KEY, NO_AUTHORIZATION, Answer
from ._books import AccountBooks
from ._tasks import NEVER, SimulatedTask

DEMO_KEY: Final = "zimg_demo_readonly_d2cb4bea56fcc21a9eb106e0"
"""The API's published demo key: no credits, no createTask, five ended demo tasks to read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSettings:
    """What an account starts with.

    Raises:
        ConfigurationError: a negative limit or balance.
    """

    limit: int = 5
    """Tasks that may run at a time; the API's later documents show 3, 5 and 50."""
    credits: Decimal = Decimal(1_000_000)
    api_enabled: bool = True
    """Without it createTask answers 403."""

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise ConfigurationError(f"a limit is 0 or more tasks, not {self.limit}")
        if not self.credits >= 0:
            raise ConfigurationError(f"a balance is 0 or more credits, not {self.credits}")


def fingerprint(key: str) -> str:
    """16 hexadecimal digits that stand for a key in the books."""
    text = key.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=8, person=b"kinovi-simulate").hexdigest()


@dataclass(slots=True)
class Account:
    """One account's balance and running tasks."""

    name: str
    credits: Decimal
    limit: int
    api_enabled: bool
    peak_running: int = 0
    _running: list[tuple[float, int, SimulatedTask]] = field(default_factory=list)
    _settling: list[tuple[float, int, SimulatedTask]] = field(default_factory=list)
    """Succeeded tasks whose price is not final yet."""

    def settle(self, now: float) -> int:
        """Frees the slots of ended tasks, refunds failed ones and settles prices; those running."""
        while self._running and self._running[0][0] <= now:
            _, _, task = heappop(self._running)
            if task.failure is not None:
                self.credits += task.request.price
            elif task.request.final != task.request.price:
                heappush(self._settling, (task.settles_at, task.order, task))
        while self._settling and self._settling[0][0] <= now:
            _, _, task = heappop(self._settling)
            self.credits += task.request.price - task.request.final
        return len(self._running)

    def take(self, task: SimulatedTask) -> None:
        """Reserves the task's credits and gives it a slot."""
        self.credits -= task.request.price
        heappush(self._running, (task.ends_at, task.order, task))
        self.peak_running = max(self.peak_running, len(self._running))

    def next_change(self, now: float) -> float | None:
        """When the next of its tasks ends or has its final price; None when none ever will."""
        self.settle(now)
        moments = (heap[0][0] for heap in (self._running, self._settling) if heap)
        return min((moment for moment in moments if moment != NEVER), default=None)

    def books(self, now: float) -> AccountBooks:
        """The account as the books show it."""
        running = self.settle(now)
        return AccountBooks(self.credits, self.limit, running, self.peak_running)


class Accounts:
    """The accounts of a simulator: the listed keys, or any key at all."""

    def __init__(
        self, default: AccountSettings, keys: Mapping[str, AccountSettings] | Iterable[str] | None
    ) -> None:
        self._default = default
        self._listed: dict[str, AccountSettings] | None = None
        if isinstance(keys, Mapping):
            self._listed = {fingerprint(key): settings for key, settings in keys.items()}
        elif keys is not None:
            self._listed = {fingerprint(key): default for key in keys}
        self._demo = fingerprint(DEMO_KEY)
        self.known: dict[str, Account] = {}

    def of_header(self, authorization: str | None) -> Account | Answer:
        """The account behind an Authorization header, or the 401 that answers it."""
        if not authorization:
            return NO_AUTHORIZATION
        scheme, _, key = authorization.strip().partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            return INVALID_KEY
        return self.of_name(fingerprint(key.strip())) or INVALID_KEY

    def of_name(self, name: str) -> Account | None:
        """The account with a fingerprint, opened when the key is one that may come."""
        account = self.known.get(name)
        if account is None:
            settings = self._settings(name)
            if settings is None:
                return None
            account = Account(name, settings.credits, settings.limit, settings.api_enabled)
            self.known[name] = account
        return account

    def _settings(self, name: str) -> AccountSettings | None:
        if name == self._demo:
            return AccountSettings(limit=0, credits=Decimal(0), api_enabled=False)
        return self._default if self._listed is None else self._listed.get(name)

    def change(
        self, *, name: str | None, limit: int | None = None, balance: Decimal | None = None
    ) -> None:
        """Changes one account, or all that are open and those opened later."""
        settings = AccountSettings(
            limit=self._default.limit if limit is None else limit,
            credits=self._default.credits if balance is None else balance,
        )
        if name is None:
            self._default = settings
            changed = [each for each in self.known.values() if each.name != self._demo]
        else:
            account = self.of_name(name)
            if account is None:
                raise ConfigurationError("this key is not among the simulator's keys")
            changed = [account]
        for account in changed:
            account.limit = settings.limit if limit is not None else account.limit
            account.credits = settings.credits if balance is not None else account.credits
