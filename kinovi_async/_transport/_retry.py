"""Decides whether a GET that failed is repeated, and after how long.

The waits grow exponentially with full jitter. All GETs of a transport share one quota, as
in botocore's standard mode: when the service is down, thousands of polls do not each
bring their own repeats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import backoff
from backoff import full_jitter

from .._errors import (
    APIConnectionError,
    APIStatusError,
    InvalidResponseError,
    KinoviError,
    RateLimitError,
)

__all__ = ["Jitter", "RetryPlan", "RetryQuota", "full_jitter", "is_retryable"]

Jitter = Callable[[float], float]
"""Turns the longest wait into the actual one, both in seconds."""

# Figures of botocore's retry quota: 500 tokens, 14 per repeat, 5 after a throttling
# answer, 1 back for each GET that succeeds at once.
_CAPACITY, _COST, _THROTTLED_COST, _REWARD = 500, 14, 5, 1
# Longest waits in seconds before the first repeat, doubled for each further one up to
# 20 s. botocore starts at 0.05 s; a poll that fails is made again after 3 s anyway.
_BASE, _THROTTLED_BASE, _MAX_WAIT = 0.5, 1.0, 20.0
# Seconds after which a GET is given up though repeats are left: twice the API's advised
# time between polls would be too short, and nobody waits longer for one record.
_GIVE_UP_AFTER = 120.0
_REQUEST_TIMEOUT, _TOO_MANY, _SERVER_ERROR = 408, 429, 500


def is_retryable(error: KinoviError) -> bool:
    """Whether the same GET may well succeed later."""
    if isinstance(error, APIStatusError):
        status = error.status_code
        return status in {_REQUEST_TIMEOUT, _TOO_MANY} or status >= _SERVER_ERROR
    return isinstance(error, APIConnectionError | InvalidResponseError)


class RetryQuota:
    """Tokens that repeats cost and successes give back."""

    def __init__(self) -> None:
        self._tokens = _CAPACITY

    @property
    def tokens(self) -> int:
        """What is left, 0 to 500."""
        return self._tokens

    def spend(self, cost: int) -> bool:
        """Takes `cost` tokens, or none and False when there are not enough."""
        if cost > self._tokens:
            return False
        self._tokens -= cost
        return True

    def give_back(self, amount: int) -> None:
        """Returns tokens, up to the capacity."""
        self._tokens = min(_CAPACITY, self._tokens + amount)


@dataclass(slots=True)
class _Waits:
    """The two growing sequences of waits; the first `next()` of backoff's yields None."""

    normal: Iterator[float]
    throttled: Iterator[float]

    @classmethod
    def start(cls) -> _Waits:
        normal = backoff.expo(factor=_BASE, max_value=_MAX_WAIT)
        throttled = backoff.expo(factor=_THROTTLED_BASE, max_value=_MAX_WAIT)
        next(normal)
        next(throttled)
        return cls(normal, throttled)


class RetryPlan:
    """The repeats of one GET.

    Args:
        retries: How many there may be.
        quota: Shared by all GETs of the transport.
        jitter: `backoff.full_jitter`, or one with its own source of chance.
        started: When the GET began, in seconds of a monotonic clock.
    """

    def __init__(self, retries: int, *, quota: RetryQuota, jitter: Jitter, started: float) -> None:
        self._left = retries
        self._quota = quota
        self._jitter = jitter
        self._started = started
        self._waits: _Waits | None = None
        self._spent = 0

    def next_wait(
        self, error: KinoviError, *, now: float, retry_after: float | None
    ) -> float | None:
        """Seconds to wait before the next try, None to give up and raise `error`."""
        if self._left <= 0 or not is_retryable(error):
            return None
        throttled = isinstance(error, RateLimitError)
        if self._waits is None:
            self._waits = _Waits.start()
        longest = next(self._waits.throttled if throttled else self._waits.normal)
        wait = max(self._jitter(longest), retry_after or 0.0)
        if now + wait - self._started > _GIVE_UP_AFTER:
            return None
        cost = _THROTTLED_COST if throttled else _COST
        if not self._quota.spend(cost):
            return None
        self._left -= 1
        self._spent = cost
        return wait

    def succeeded(self) -> None:
        """The GET came through: the last repeat's tokens return, or one for none."""
        self._quota.give_back(self._spent or _REWARD)
