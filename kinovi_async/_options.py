"""Options of the public surface, checked where they are given."""

from __future__ import annotations

import math
import os
from decimal import Decimal
from os import PathLike
from typing import TypeVar

from ._errors import ConfigurationError
from ._ledger import Ledger
from ._policy import SubmitPolicy

R = TypeVar("R")


def to_credits(value: Decimal | float | None) -> Decimal | None:
    """Credits as Decimal, without the noise of a float."""
    if value is None or isinstance(value, Decimal):
        return value
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def check_bound(value: int | None) -> int | None:
    """A bound of running tasks.

    Raises:
        ConfigurationError: it is below 1.
    """
    if value is not None and value < 1:
        msg = f"max_in_flight must be at least 1, or None to learn the limit, not {value}"
        raise ConfigurationError(msg)
    return value


def is_path(ledger: str | PathLike[str] | Ledger | None) -> bool:
    """Whether a ledger is opened, and so closed, by us."""
    return ledger is None or isinstance(ledger, str | PathLike)


def check_receiver(receiver: R | None, policy: SubmitPolicy) -> R | None:
    """The receiver of webhooks, if there is one.

    Raises:
        ConfigurationError: it is none, or the policy needs one.
    """
    if receiver is None:
        if policy.hold_for_webhook:
            msg = "hold_for_webhook needs a client with webhooks="
            raise ConfigurationError(msg)
    elif not hasattr(receiver, "attach"):
        msg = f"webhooks is a WebhookReceiver, not {type(receiver).__name__}"
        raise ConfigurationError(msg)
    return receiver


def check_interval(interval: tuple[float, float]) -> tuple[float, float]:
    """A poll interval.

    Raises:
        ConfigurationError: not two positive numbers in order.
    """
    try:
        low, high = interval
    except TypeError:
        low = high = math.nan
    if not (0 < low <= high < math.inf):
        msg = f"poll_interval must be (low, high) seconds with 0 < low <= high, not {interval}"
        raise ConfigurationError(msg)
    return float(low), float(high)


def interval_from_environment(default: tuple[float, float]) -> tuple[float, float]:
    """`KINOVI_POLL_INTERVAL`, two seconds as `LOW,HIGH`, or the default.

    Raises:
        ConfigurationError: it is no interval.
    """
    text = os.environ.get("KINOVI_POLL_INTERVAL")
    if not text:
        return default
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low = high = math.nan
    if not (0 < low <= high < math.inf):
        msg = f"KINOVI_POLL_INTERVAL is LOW,HIGH in seconds, not {text!r}"
        raise ConfigurationError(msg)
    return low, high


def check_retries(value: int) -> int:
    """A number of repetitions.

    Raises:
        ConfigurationError: it is negative.
    """
    if value < 0:
        msg = f"max_retries must be 0 or more, not {value}"
        raise ConfigurationError(msg)
    return value


def check_task_id(task_id: str) -> str:
    """A task id.

    Raises:
        ConfigurationError: it is empty.
    """
    if not task_id:
        msg = "task_id is empty"
        raise ConfigurationError(msg)
    return task_id
