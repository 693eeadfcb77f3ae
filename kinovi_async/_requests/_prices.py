"""What a generation costs, by the price tables of the API's documents.

A price sees the values of a request by their names in Python, defaults included, and
answers in credits; None when the tables do not tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

CREDIT_USD = Decimal("0.005")
"""What one credit costs in US dollars: 200 credits are one dollar."""


class Price(Protocol):
    """How a model is charged."""

    @property
    def text(self) -> str:
        """The price for people: `40 credits per second`."""

    def credits(self, values: Mapping[str, object]) -> Decimal | None:
        """Credits for one request with these values; None when unknown."""


@dataclass(frozen=True, slots=True)
class PerSecond:
    """Credits for every second of `duration`, and some more with a 4K upscale."""

    rate: int
    upscale: int
    """Added per second when `upscale_resolution` is `4k`."""

    @property
    def text(self) -> str:
        """The price for people."""
        return f"{self.rate} credits per second, {self.upscale} more with 4K upscale"

    def credits(self, values: Mapping[str, object]) -> Decimal | None:
        """Seconds times rate."""
        seconds = values.get("duration")
        if not isinstance(seconds, int):
            return None
        upscaled = values.get("upscale_resolution") is not None
        return Decimal(seconds * (self.rate + (self.upscale if upscaled else 0)))


@dataclass(frozen=True, slots=True)
class PerRun:
    """The same number of credits for every request."""

    amount: int

    @property
    def text(self) -> str:
        """The price for people."""
        return f"{self.amount} credits per run"

    def credits(self, values: Mapping[str, object]) -> Decimal | None:  # noqa: ARG002 - a Price
        """The amount, whatever the values."""
        return Decimal(self.amount)


@dataclass(frozen=True, slots=True)
class PerResolution:
    """Credits by the value of `resolution`."""

    amounts: Mapping[str, int]

    @property
    def text(self) -> str:
        """The price for people."""
        each = ", ".join(f"{name} {amount}" for name, amount in self.amounts.items())
        return f"credits per run by resolution: {each}"

    def credits(self, values: Mapping[str, object]) -> Decimal | None:
        """The amount of the resolution."""
        amount = self.amounts.get(str(values.get("resolution")))
        return None if amount is None else Decimal(amount)
