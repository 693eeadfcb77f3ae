"""What a job's owner asked for beyond the request, on its way through a ledger.

Another process may be the one that drives the job; these options go with the row, under
one reserved name of its meta data. Whatever cannot be read is as if it had not been said.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from .._requests import SEED

if TYPE_CHECKING:
    from .._ledger import JsonObject, JsonValue
    from ._lane_options import LaneOptions

__all__ = ["Terms", "split_meta"]

NAME = "options"
"""The reserved name in a row's meta data."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Options of one job, for whoever drives it."""

    max_wait: float | None = None
    """Seconds from acceptance; `math.inf` is written as text, which JSON can hold."""
    max_queue_wait: float | None = None
    """Seconds from submission."""
    group: str = ""
    """Whose turn it is when the job names no group: its lane in its process."""
    budget: Decimal | None = None
    """Credits that all jobs of the ledger may cost before this one is not sent any more."""
    assume_cost: Decimal | None = None
    retry_failed: int = 0
    stamp: str | None = None
    """The telemetry's, for the end of the job."""
    api_generation: str = ""
    """In whose form the owner sends; empty: the seeds'."""

    @classmethod
    def of(
        cls,
        options: LaneOptions,
        *,
        max_wait: float | None,
        max_queue_wait: float | None,
        stamp: str | None = None,
        api_generation: str = SEED,
    ) -> Terms:
        """Those of a job of this process, entered through a lane with these options."""
        return cls(
            max_wait=max_wait,
            max_queue_wait=max_queue_wait,
            group=f"{options.group}@{os.getpid()}" if options.group else "",
            budget=options.budget,
            assume_cost=options.assume_cost,
            retry_failed=options.retry_failed,
            stamp=stamp,
            api_generation="" if api_generation == SEED else api_generation,
        )

    def to_json(self) -> JsonObject:
        """What was said, and nothing else."""
        found: dict[str, JsonValue] = {}
        for name in ("max_wait", "max_queue_wait"):
            seconds = getattr(self, name)
            if seconds is not None:
                found[name] = seconds if math.isfinite(seconds) else str(seconds)
        for name in ("budget", "assume_cost"):
            amount = getattr(self, name)
            if amount is not None:
                found[name] = str(amount)
        if self.group:
            found["group"] = self.group
        if self.retry_failed:
            found["retry_failed"] = self.retry_failed
        if self.api_generation:
            found["api_generation"] = self.api_generation
        if self.stamp:
            found["stamp"] = self.stamp
        return found

    @classmethod
    def of_json(cls, data: object) -> Terms:
        """The options again."""
        if not isinstance(data, Mapping):
            return cls()
        group, retries = data.get("group"), data.get("retry_failed")
        generation = data.get("api_generation")
        stamp = data.get("stamp")
        return cls(
            max_wait=_seconds(data.get("max_wait")),
            max_queue_wait=_seconds(data.get("max_queue_wait")),
            group=group if isinstance(group, str) else "",
            budget=_amount(data.get("budget")),
            assume_cost=_amount(data.get("assume_cost")),
            retry_failed=retries if isinstance(retries, int) else 0,
            api_generation=generation if isinstance(generation, str) else "",
            stamp=stamp if isinstance(stamp, str) else None,
        )


def split_meta(meta: JsonObject) -> tuple[JsonObject, Terms]:
    """A row's meta data: what is the user's, and the options."""
    own = {name: value for name, value in meta.items() if name != NAME}
    return own, Terms.of_json(meta.get(NAME))


def _seconds(value: object) -> float | None:
    if not isinstance(value, int | float | str) or isinstance(value, bool):
        return None
    try:
        seconds = float(value)
    except ValueError:
        return None
    return None if math.isnan(seconds) else seconds


def _amount(value: object) -> Decimal | None:
    if not isinstance(value, str):
        return None
    try:
        amount = Decimal(value)
    except InvalidOperation:
        return None
    return None if amount.is_nan() else amount
