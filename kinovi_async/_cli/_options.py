"""The options of `kinovi run`, checked: what the command line says, as values."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING

from .._errors import ConfigurationError
from .._outcomes import OutcomeStatus
from ._text import visible

if TYPE_CHECKING:
    from .._requests import ApiGeneration

DEFAULT_TEMPLATE = "{id}_{n}{ext}"
_SIZE = re.compile(
    r"(?P<number>[0-9]{1,15}(?:\.[0-9]{1,6})?) ?(?P<unit>[KMGT]?)(?:i?B)?", re.IGNORECASE | re.ASCII
)
RERUNNABLE = (OutcomeStatus.FAILED, OutcomeStatus.REJECTED, OutcomeStatus.CANCELLED)
"""What `--rerun` may name: jobs whose last attempt certainly costs nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What `kinovi run` is to do."""

    file: str
    out: Path
    has_out: bool = True
    """Whether somebody named `out`: nothing but files goes into a directory nobody named."""
    max_in_flight: int | None = None
    poll_interval: tuple[float, float] | None = None
    """Seconds, low and high; None: what fits the account."""
    budget: Decimal | None = None
    """Credits for the whole output directory."""
    assume_cost: Decimal | None = None
    """Credits to count for a request of unknown price."""
    max_wait: float | None = None
    """Seconds from acceptance."""
    first: int | None = None
    rerun: Collection[OutcomeStatus] = ()
    retry_failed: int = 0
    """Times a failed task is run again when its failure is of the kind that passes."""
    stop_after_failures: int | None = None
    model: str | None = None
    id_column: str | None = None
    tags: tuple[str, ...] = ()
    name_template: str = DEFAULT_TEMPLATE
    download: bool = True
    max_file_size: int | None = None
    """Bytes of one file; None: 2 GiB."""
    max_total_size: int | None = None
    """Bytes that one command fetches at most."""
    hold_on_500: bool = False
    api_generation: ApiGeneration = "seed"
    """In whose names, types and ranges requests go out, and by whose prices they count."""
    simulate: bool = False
    dry_run: bool = False
    as_json: bool = False
    quiet: bool = False


def with_extension(template: str) -> str:
    """A name template that ends in the extension when it had none: a file needs one."""
    return template if "{ext}" in template else f"{template}{{ext}}"


def parse_generation(text: str) -> ApiGeneration:
    """A generation of the API.

    Raises:
        ConfigurationError: there is none of this name.
    """
    from .._requests import GENERATIONS

    for generation in GENERATIONS:
        if text == generation:
            return generation
    known = " or ".join(GENERATIONS)
    raise ConfigurationError(f"--api-generation is {known}, not '{visible(text)}'")


def parse_interval(text: str | None) -> tuple[float, float] | None:
    """`3,5` as seconds, low and high.

    Raises:
        ConfigurationError: anything else.
    """
    if text is None:
        return None
    parts = text.split(",")
    try:
        low, high = (float(part) for part in (parts if len(parts) > 1 else parts * 2))
    except ValueError:
        low = high = math.nan
    if not 0 < low <= high < math.inf:
        message = f"--poll-interval is LOW,HIGH in seconds, e.g. 3,5, not '{visible(text)}'"
        raise ConfigurationError(message)
    return low, high


def parse_statuses(text: str | None) -> tuple[OutcomeStatus, ...]:
    """`failed,rejected` as the statuses that may run again.

    Raises:
        ConfigurationError: a word that is none of them.
    """
    found = []
    for word in split_list(text):
        if word == OutcomeStatus.AMBIGUOUS:
            raise ConfigurationError(
                "--rerun does not take ambiguous jobs: they may be paid for; look at them with "
                "`kinovi jobs OUT --status ambiguous`"
            )
        if word not in set(RERUNNABLE):
            known = ", ".join(RERUNNABLE)
            raise ConfigurationError(f"--rerun takes {known}, not '{visible(word)}'")
        found.append(OutcomeStatus(word))
    return tuple(found)


def split_list(text: str | None) -> tuple[str, ...]:
    """`a, b` as `("a", "b")`; nothing twice, nothing empty."""
    words = (word.strip() for word in (text or "").split(","))
    return tuple(dict.fromkeys(word for word in words if word))


def parse_credits(text: str | None, flag: str) -> Decimal | None:
    """An amount of credits.

    Raises:
        ConfigurationError: no number, or a negative one.
    """
    if text is None:
        return None
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        raise ConfigurationError(f"{flag} is a number of credits, not '{visible(text)}'")
    return amount


def parse_size(text: str | None, flag: str) -> int | None:
    """`500M`, `2G`, `1.5GiB` or plain bytes as bytes; a K is 1,024.

    Raises:
        ConfigurationError: anything else.
    """
    if text is None:
        return None
    found = _SIZE.fullmatch(text.strip())
    if found is not None:
        size = int(Decimal(found["number"]) * 1024 ** " KMGT".index(found["unit"].upper() or " "))
        if size > 0:
            return size
    raise ConfigurationError(f"{flag} is a size such as 500M or 2G, not '{visible(text)}'")


def positive(value: float | None, flag: str) -> None:
    """Checks a number that must be above zero when it is given.

    Raises:
        ConfigurationError: it is not.
    """
    if value is not None and not 0 < value < math.inf:
        raise ConfigurationError(f"{flag} must be more than 0, not {value:g}")
