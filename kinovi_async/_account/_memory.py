"""What one run of an account learns for the next: its limit, and how long models take."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .._errors import LedgerError
from .._ledger import JsonValue

if TYPE_CHECKING:
    from ._account import Account
    from ._book import Book

__all__ = ["keep", "recall", "remember"]

_log = logging.getLogger("kinovi_async")


async def recall(account: Account, book: Book, *, again: bool = False) -> None:
    """Starts from what the last run learned; whatever cannot be read is not known.

    Args:
        account: Who is to know it.
        book: Where it stands.
        again: Whether another process has run the ledger meanwhile, and learned more.
    """
    if not book.durable or (account.name in book.recalled and not again):
        return
    book.recalled.add(account.name)
    known = await book.ledger.recall(account.name)
    if not isinstance(known, Mapping):
        return
    limit = known.get("limit")
    if isinstance(limit, int) and not isinstance(limit, bool) and limit > 0:
        account.state.remember_limit(limit)
    if again and not account.state.has_learned:
        account.state.durations.clear()  # an earlier state of the same
    account.state.durations.load(_seconds(known.get("seconds")))


async def remember(account: Account, book: Book) -> None:
    """Keeps what was learned. A ledger that cannot is no reason to fail: the run is over."""
    if not book.durable:
        return
    try:
        await keep(account, book)
    except LedgerError as error:
        _log.warning("what was learned of the account is not kept: %s", error)


async def keep(account: Account, book: Book) -> None:
    """Keeps what was learned, as of now.

    Raises:
        LedgerError: it cannot be written.
    """
    learned: dict[str, JsonValue] = {
        "limit": account.state.learned_limit,
        "seconds": dict(account.state.durations.export()),
    }
    await book.ledger.remember(account.name, learned)


def _seconds(value: JsonValue) -> dict[str, list[float]]:
    if not isinstance(value, Mapping):
        return {}
    return {
        model: [float(x) for x in recent if isinstance(x, int | float) and x >= 0]
        for model, recent in value.items()
        if isinstance(recent, Sequence) and not isinstance(recent, str)
    }
