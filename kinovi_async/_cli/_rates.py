"""What a job's credits cost in dollars: by the generation of the API in which it went out."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from .._account._terms import split_meta
from .._requests import SEED, check_generation, credit_usd, describe

if TYPE_CHECKING:
    from .._ledger import JobRow


def usd_per_credit(row: JobRow) -> Decimal:
    """US dollars for one of a job's credits, about.

    A model that only one generation knows is paid for at the rate of that one.
    """
    chosen = check_generation(split_meta(row.meta)[1].api_generation or SEED)
    described = describe(str(row.body.get("model", "")))
    return credit_usd(chosen if described is None else described.generation(chosen))
