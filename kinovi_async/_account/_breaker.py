"""When unclear answers pile up: nothing more is submitted, so that an outage costs a few jobs.

The third unclear answer in a row stops the lane that got it: a batch ends, a scheduler
pauses. A paused scheduler asks the API for a task that does not exist, at growing
intervals; once that is answered properly, it goes on with one submission at a time until
an answer is clear again. `resume()` by the user goes on in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio

from .._errors import (
    AmbiguousSubmissionError,
    BadRequestError,
    KinoviError,
    NotFoundError,
    RateLimitError,
)
from ._stopping import resume, stop

if TYPE_CHECKING:
    from ._lane import Lane

__all__ = ["MAX_UNCLEAR", "Breaker", "stop_if_open"]

# Unclear answers in a row after which nothing more is submitted.
MAX_UNCLEAR = 3
# Waits before the API is asked whether it is back, in seconds for polls every 3 s: each
# trial may cost one more job, so they grow, up to a quarter of an hour.
FIRST_PROBE, LAST_PROBE = 30.0, 900.0
# Nobody's task: the proper answer to it is a 404, which says that the API is there.
PROBE_TASK = "is-the-api-there"


class Breaker:
    """Counts the unclear answers of one account. Open from the third in a row on."""

    def __init__(self) -> None:
        self.in_a_row = 0
        self._pauses = 0
        self._on_the_way = 0

    @property
    def is_open(self) -> bool:
        """Whether only one submission at a time may try."""
        return self.in_a_row >= MAX_UNCLEAR

    @property
    def admits(self) -> bool:
        """Whether one more submission may go now."""
        return not self.is_open or self._on_the_way == 0

    @contextmanager
    def sending(self) -> Iterator[None]:
        """A submission is on its way, from before its intent to its record."""
        self._on_the_way += 1
        try:
            yield
        finally:
            self._on_the_way -= 1

    def unclear(self) -> None:
        """One more unclear answer."""
        self.in_a_row += 1

    def clear(self) -> None:
        """An answer that says what became of its submission."""
        self.in_a_row = self._pauses = 0

    def next_delay(self) -> float:
        """Seconds, for polls every 3 s, until the API is asked: longer from pause to pause."""
        delay = min(LAST_PROBE, FIRST_PROBE * 2.0 ** min(self._pauses, 10))
        self._pauses += 1
        return delay


async def stop_if_open(lane: Lane, error: AmbiguousSubmissionError) -> None:
    """Stops the lane that got an unclear answer, if that was one too many."""
    breaker = lane.account.breaker
    if not breaker.is_open:
        return
    outage = AmbiguousSubmissionError(
        f"{breaker.in_a_row} submissions in a row had an unclear answer; nothing more is submitted"
    )
    outage.evidence = error.evidence
    await stop(lane, outage)
    if lane.paused is outage:
        delay = breaker.next_delay() * lane.account.second
        lane.begin(lambda: _wait_out(lane, outage, delay))


async def _wait_out(lane: Lane, outage: KinoviError, delay: float) -> None:
    """Resumes a paused scheduler once the API answers, unless somebody was faster."""
    while True:
        await anyio.sleep(delay)
        if lane.paused is not outage:
            return
        if await _answers(lane) and lane.paused is outage:
            await resume(lane)
            return


async def _answers(lane: Lane) -> bool:
    """Whether the API answers a GET in its own form."""
    try:
        await lane.transport.fetch(PROBE_TASK, retries=0)
    except RateLimitError:
        return True
    except (BadRequestError, NotFoundError) as error:
        return isinstance(error.body, Mapping)  # and no page of a gateway's
    except KinoviError:
        return False
    return True
