"""Prices that move after success: when a record is to be read once more.

Some models reserve an estimate and charge by what was really used; `creditsUsed` then
changes some seconds after the task has succeeded, and only a later read is the price.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._entry import describe
from ._generation import Generation
from ._prices import SETTLE_SECONDS

if TYPE_CHECKING:
    from ._base import Request


def settle_delay(request: Request) -> float | None:
    """Seconds after success at which the record's `creditsUsed` is final; None: at once."""
    described = describe(request.model)
    if described is None or not described.settles:
        return None
    inner = request.described if isinstance(request, Generation) else request
    if inner is None:  # unchecked inputs: what they hold is not known
        return SETTLE_SECONDS
    values = inner.values()
    settles = any(terms.price.settles(values) for terms in described.terms.values())
    return SETTLE_SECONDS if settles else None
