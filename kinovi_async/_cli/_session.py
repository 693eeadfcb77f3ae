"""Whose account a command works with: the real one, or the simulator's of this command.

The key comes from the environment and nowhere else. A simulated output directory stays
one: its tasks mean nothing to the real API, and the other way round.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .._errors import ConfigurationError
from .._policy import SubmitPolicy

if TYPE_CHECKING:
    from .._client import AsyncKinovi
    from .._ledger import Ledger
    from ._options import RunOptions

KEY_NAME = "KINOVI_API_KEY"
ADDRESS_NAME = "KINOVI_BASE_URL"
_ACCOUNT = "command.account"
_TEMPLATE = "command.name_template"
_REAL, _SIMULATED = "real", "simulated"

SIMULATED_SPEED = 60.0
"""Times real time: a video of three minutes takes three seconds."""
SIMULATED_KEY = "simulated-key"
"""Opens every account of a simulator that lists no keys."""


@dataclass(frozen=True, slots=True)
class OpenAccount:
    """Where a client finds its account. None: what the environment says."""

    base_url: str | None = None
    api_key: str | None = None
    speed: float = 1.0


def check_account(*, may_simulate: bool) -> None:
    """Refuses to begin without a key, or with an address the key must not be sent to.

    Raises:
        ConfigurationError: a variable is missing or wrong; `may_simulate` names the way out.
    """
    from .._secrets import find_key
    from .._transport import check_base_url

    if not os.environ.get(KEY_NAME, "").strip():
        advice = " (or try it out with --simulate)" if may_simulate else ""
        raise ConfigurationError(f"no API key: set the environment variable {KEY_NAME}{advice}")
    find_key(None)
    address = os.environ.get(ADDRESS_NAME)
    if address:
        try:
            check_base_url(address)
        except ConfigurationError as error:
            raise ConfigurationError(f"{ADDRESS_NAME}: {error.message}") from error


@asynccontextmanager
async def open_account(*, simulate: bool, out: Path | None) -> AsyncIterator[OpenAccount]:
    """The real account, or a simulator on a free loopback port for the time of the block.

    The simulator keeps what it accepted in the output directory, so that the next
    simulated run finds its tasks again, as a real one would; without a directory, nowhere.
    """
    if not simulate:
        yield OpenAccount()
        return
    from ._simulate import simulator

    async with simulator(out, speed=SIMULATED_SPEED, key=SIMULATED_KEY) as base_url:
        yield OpenAccount(base_url, SIMULATED_KEY, SIMULATED_SPEED)


def client_for(options: RunOptions, account: OpenAccount) -> AsyncKinovi:
    """The client of a run.

    Raises:
        ConfigurationError: the key or an option is wrong.
    """
    from .._client import AsyncKinovi
    from .._connection import DEFAULT_POLL_INTERVAL

    low, high = options.poll_interval or DEFAULT_POLL_INTERVAL
    if options.poll_interval is None:
        # A server that is so many times faster is asked so many times as often.
        low, high = low / account.speed, high / account.speed
    return AsyncKinovi(
        api_key=account.api_key,
        base_url=account.base_url,
        poll_interval=(low, high),
        submit_policy=SubmitPolicy(server_error="hold" if options.hold_on_500 else "retry"),
        api_generation=options.api_generation,
    )


async def is_simulated(ledger: Ledger) -> bool:
    """Whether an output directory's jobs are those of a simulator."""
    return await ledger.recall(_ACCOUNT) == _SIMULATED


async def remembered_template(ledger: Ledger) -> str | None:
    """The name template of the last run in an output directory."""
    found = await ledger.recall(_TEMPLATE)
    return found if isinstance(found, str) else None


async def remember_template(ledger: Ledger, template: str) -> None:
    """Keeps the name template for `kinovi download`."""
    await ledger.remember(_TEMPLATE, template)


async def check_same_account(ledger: Ledger, *, simulate: bool) -> None:
    """Refuses to mix simulated and real jobs in one output directory.

    Raises:
        ConfigurationError: the directory holds jobs of the other kind.
    """
    wanted = _SIMULATED if simulate else _REAL
    found = await ledger.recall(_ACCOUNT)
    if found is None:
        await ledger.remember(_ACCOUNT, wanted)
    elif found != wanted:
        advice = "leave --simulate away" if simulate else "add --simulate"
        raise ConfigurationError(
            f"this output directory holds {found} jobs: {advice}, or take another directory (-o)"
        )
