"""What a generation costs, by the price tables of the API's documents.

A price sees the values of a request by their names in Python, defaults included, and
answers in credits; None when the tables do not tell. Where the final price depends on
the length of a reference video, which nobody here can know, `credits` is the most it
can be, and the price `settles`: the record's `creditsUsed` changes some seconds after
the task has succeeded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from enum import Enum
from types import MappingProxyType
from typing import Final, Protocol

from ._generations import LATER, SEED, ApiGeneration
from ._kinds import Kind
from ._references import kind_of

Amounts = Mapping[str, Decimal]

CREDIT_USD = Decimal("0.005")
"""What one credit costs in US dollars by the seeds: 200 credits are one dollar."""

_USD: Final[Mapping[ApiGeneration, Decimal]] = MappingProxyType(
    # The later documents quote 0.0046 to 0.0047 dollars per credit, by model.
    {SEED: CREDIT_USD, LATER: Decimal("0.0047")}
)

SETTLE_SECONDS: Final = 10.0
"""Seconds after success at which a settled price is read again; "a few", say the documents."""

_HUNDREDTH: Final = Decimal("0.01")
LONGEST_SOURCE: Final = 30
"""Seconds of reference video that are billed at most, all of a request together."""
_EDIT_RESERVE: Final = 15
"""Seconds that are reserved for an edit, whatever the length of its source."""


def credit_usd(api_generation: ApiGeneration = SEED) -> Decimal:
    """What one credit costs in US dollars, about."""
    return _USD[api_generation]


def amounts(**by_tier: str) -> Amounts:
    """Credits by tier, written as text: no binary fraction comes near money.

    A tier's name is given with a leading underscore: `_720p="40"`.
    """
    return MappingProxyType({name.lstrip("_"): Decimal(text) for name, text in by_tier.items()})


class Price(Protocol):
    """How a model is charged."""

    @property
    def text(self) -> str:
        """The price for people: `40 credits per second`."""

    @property
    def tiers(self) -> Mapping[str, tuple[str, ...]]:
        """The values that have a price, by the name of their field in Python."""

    @property
    def defaults(self) -> Mapping[str, str]:
        """What the API takes when such a field is left out."""

    def settles(self, values: Mapping[str, object]) -> bool:
        """Whether `creditsUsed` of such a request changes after its success."""

    def credits(self, values: Mapping[str, object]) -> Decimal | None:
        """Credits for one request, the most it can cost when it settles; None when unknown."""

    def reserved(self, values: Mapping[str, object]) -> Decimal | None:
        """Credits taken when it is accepted; None when unknown."""

    def settled(self, values: Mapping[str, object], source_seconds: int) -> Decimal | None:
        """Credits in the end, its reference videos being so long together; None when unknown."""


class _Fixed:
    """What most prices share: no tiers, and an amount that is known from the start."""

    __slots__ = ()

    @property
    def tiers(self) -> Mapping[str, tuple[str, ...]]:
        """None."""
        return {}

    @property
    def defaults(self) -> Mapping[str, str]:
        """None."""
        return {}

    def settles(self, values: Mapping[str, object]) -> bool:  # noqa: ARG002 - a Price
        """Never."""
        return False

    def credits(self, values: Mapping[str, object]) -> Decimal | None:
        """The amount."""
        raise NotImplementedError

    def reserved(self, values: Mapping[str, object]) -> Decimal | None:
        """The same amount."""
        return self.credits(values)

    def settled(self, values: Mapping[str, object], source_seconds: int) -> Decimal | None:  # noqa: ARG002 - a Price
        """The same amount."""
        return self.credits(values)


class Billed(Enum):
    """The seconds that are paid for."""

    DURATION = "duration"
    WITH_REFERENCE = "the reference videos, at most 30 s, and duration"
    """As `DURATION` without a reference video."""
    TWICE_SOURCE = "twice the source video, at most 30 s of it"


@dataclass(frozen=True, slots=True)
class PerSecond:
    """Credits for every second of the video, by its resolution and what it is made from."""

    rates: Amounts
    """By `output_resolution`; a single one under the empty name."""
    with_video: Amounts | None = None
    """The rates of a request with a reference video; None: the same."""
    default: str = ""
    """The resolution when none is given."""
    upscale: Decimal = Decimal(0)
    """Added per second when `upscale_resolution` is given."""
    billed: Billed = Billed.DURATION

    @property
    def text(self) -> str:
        """The price for people."""
        if not self.default:
            text = f"{plain(self.rates[''])} credits per second"
        else:
            text = f"credits per second by outputResolution: {_by_tier(self.rates)}"
        if self.with_video is not None:
            text += f"; with a reference video {_by_tier(self.with_video)}"
        if self.upscale:
            text += f", {plain(self.upscale)} more with 4K upscale"
        if self.billed is not Billed.DURATION:
            text += f"; billed are {self.billed.value}, settled after success"
        return text

    @property
    def tiers(self) -> Mapping[str, tuple[str, ...]]:
        """The resolutions."""
        return {"output_resolution": tuple(self.rates)} if self.default else {}

    @property
    def defaults(self) -> Mapping[str, str]:
        """The resolution when none is given."""
        return {"output_resolution": self.default} if self.default else {}

    def settles(self, values: Mapping[str, object]) -> bool:
        """Whether it has a reference video whose length is billed."""
        return self.billed is not Billed.DURATION and has_video(values)

    def credits(self, values: Mapping[str, object]) -> Decimal | None:
        """Seconds times rate."""
        return self.settled(values, LONGEST_SOURCE)

    def reserved(self, values: Mapping[str, object]) -> Decimal | None:
        """Seconds times rate, the reference videos not counted; a flat estimate for an edit."""
        if self.billed is Billed.TWICE_SOURCE:
            return self._amount(_EDIT_RESERVE, values)
        return self._amount(values.get("duration"), values)

    def settled(self, values: Mapping[str, object], source_seconds: int) -> Decimal | None:
        """Seconds times rate, by the length of the reference videos."""
        source = min(source_seconds, LONGEST_SOURCE)
        if self.billed is Billed.TWICE_SOURCE:
            return self._amount(2 * source, values)
        seconds = values.get("duration")
        if not isinstance(seconds, int):
            return None
        return self._amount(seconds + (source if self.settles(values) else 0), values)

    def _amount(self, seconds: object, values: Mapping[str, object]) -> Decimal | None:
        rate = self._rate(values)
        if rate is None or not isinstance(seconds, int):
            return None
        # The pages print amounts in hundredths of a credit.
        amount = (seconds * rate).quantize(_HUNDREDTH, ROUND_HALF_UP)
        return Decimal(plain(amount))

    def _rate(self, values: Mapping[str, object]) -> Decimal | None:
        rates = self.rates
        if self.with_video is not None and has_video(values):
            rates = self.with_video
        rate = rates.get(
            str(values.get("output_resolution") or self.default) if self.default else ""
        )
        if rate is None:
            return None
        return rate + self.upscale if values.get("upscale_resolution") is not None else rate


@dataclass(frozen=True, slots=True)
class PerRun(_Fixed):
    """The same number of credits for every request."""

    amount: Decimal

    @property
    def text(self) -> str:
        """The price for people."""
        return f"{plain(self.amount)} credits per run"

    def credits(self, values: Mapping[str, object]) -> Decimal | None:  # noqa: ARG002 - a Price
        """The amount, whatever the values."""
        return self.amount


@dataclass(frozen=True, slots=True)
class PerImage(_Fixed):
    """Credits by the values of `resolution` and perhaps `quality`."""

    table: Mapping[str, Amounts]
    """By quality, then by resolution; a price that knows no quality under the empty name."""
    default: str
    """The resolution when none is given."""
    default_quality: str = ""

    @property
    def text(self) -> str:
        """The price for people."""
        if not self.default_quality:
            return f"credits per run by resolution: {_by_tier(self.table[''])}"
        rows = "; ".join(f"{name}: {_by_tier(row)}" for name, row in self.table.items())
        return f"credits per run by quality and resolution: {rows}"

    @property
    def tiers(self) -> Mapping[str, tuple[str, ...]]:
        """The resolutions, and the qualities."""
        qualities = {"quality": tuple(self.table)} if self.default_quality else {}
        return {"resolution": tuple(next(iter(self.table.values()))), **qualities}

    @property
    def defaults(self) -> Mapping[str, str]:
        """The resolution and the quality when none is given."""
        quality = {"quality": self.default_quality} if self.default_quality else {}
        return {"resolution": self.default, **quality}

    def credits(self, values: Mapping[str, object]) -> Decimal | None:
        """The amount of the quality and resolution."""
        quality = str(values.get("quality") or self.default_quality) if self.default_quality else ""
        row = self.table.get(quality)
        return None if row is None else row.get(str(values.get("resolution") or self.default))


@dataclass(frozen=True, slots=True)
class Metered(_Fixed):
    """Credits by tokens, which nobody can count in advance: unknown, and settled."""

    per_thousand_tokens: Amounts
    precharge: Decimal
    """What is reserved at low quality and 1k without references, about."""
    sample: Decimal
    """What the documents' sample cost in the end."""

    @property
    def text(self) -> str:
        """The price for people."""
        rates = ", ".join(
            f"{name.replace('_', ' ')} {plain(rate)}"
            for name, rate in self.per_thousand_tokens.items()
        )
        return (
            f"credits per 1,000 tokens: {rates}; about {plain(self.precharge)} for the smallest "
            "image, settled after success"
        )

    def settles(self, values: Mapping[str, object]) -> bool:  # noqa: ARG002 - a Price
        """Always."""
        return True

    def credits(self, values: Mapping[str, object]) -> Decimal | None:  # noqa: ARG002 - a Price
        """None: tokens cannot be counted in advance."""
        return None

    def reserved(self, values: Mapping[str, object]) -> Decimal | None:  # noqa: ARG002 - a Price
        """About what the smallest image takes."""
        return self.precharge

    def settled(self, values: Mapping[str, object], source_seconds: int) -> Decimal | None:  # noqa: ARG002 - a Price
        """The documents' sample."""
        return self.sample


def reference_videos(values: Mapping[str, object]) -> int:
    """How many reference videos a request's values hold."""
    videos, urls = values.get("video_urls"), values.get("urls")
    own = len(videos) if isinstance(videos, tuple | list) else 0
    mixed = urls if isinstance(urls, tuple | list) else ()
    return own + sum(kind_of(each) is Kind.VIDEO for each in mixed)


def has_video(values: Mapping[str, object]) -> bool:
    """Whether a request's values hold a reference video."""
    return reference_videos(values) > 0


def plain(amount: Decimal) -> str:
    """`40`, `7.5`: without an exponent and without zeros behind the point."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _by_tier(rates: Amounts) -> str:
    return ", ".join(f"{name} {plain(rate)}" for name, rate in rates.items())
