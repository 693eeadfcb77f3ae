"""What the one that runs a ledger tells the others, and what they may ask of it: to resume.

Both go through the ledger: it is all that joins the processes. A web server's requests
come to any of its workers, so whatever an administrator sees or does must be the same in
each of them.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio

from .._errors import LedgerError
from ._error_json import error_from_json, error_to_json
from ._memory import keep
from ._stopping import resume

if TYPE_CHECKING:
    from .._errors import KinoviError
    from .._ledger import JsonObject, JsonValue
    from ._book import Book
    from ._lane import Lane

__all__ = ["Standing", "ask_to_resume", "exchange"]

_log = logging.getLogger("kinovi_async")

STANDING, RESUME = "standing", "resume"
"""The ledger's names for what its runner tells, and for the last wish that it may go on."""
KEEP_GAP: Final = 10.0
"""Seconds, for polls every 3 s, between two times that what was learned is kept: so much of it
the end of a killed process may cost."""


class Standing:
    """How the runner of one ledger stands, as this process knows."""

    def __init__(self) -> None:
        self.limit: int | None = None
        """The account's slots, as another process has learned them."""
        self.paused: KinoviError | None = None
        """Why another process submits nothing."""
        self._told: Mapping[str, JsonValue] | None = None
        """What this one told, as the runner."""
        self._kept_at = 0.0
        self._wish: JsonValue = None
        """The last wish to resume that is not for the present pause."""

    def take_over(self, now: float) -> None:
        """This process runs the ledger from now on: what another one told is past."""
        self.limit = self.paused = self._told = None
        self._kept_at = now

    async def tell(self, lane: Lane) -> None:
        """As the runner: tells a pause at once, keeps what it learns, and hears wishes."""
        book, now = lane.book, anyio.current_time()
        reason = _reason(book)
        paused = None if reason is None else error_to_json(reason)
        is_new = self._told is None or paused != self._told["paused"]
        if is_new and reason is not None:
            # Read before the pause is told: nobody can have answered it yet.
            self._wish = await book.ledger.recall(RESUME)
        elif reason is not None and (wish := await book.ledger.recall(RESUME)) != self._wish:
            self._wish = wish
            _resume_all(book)
        if is_new or now >= self._kept_at + KEEP_GAP * lane.account.second:
            await self._write(lane, paused)
            self._kept_at = now

    async def _write(self, lane: Lane, paused: JsonObject | None) -> None:
        facts: dict[str, JsonValue] = {
            "limit": lane.account.state.learned_limit,
            "paused": paused,
        }
        is_first = self._told is None
        try:
            if facts != self._told:
                await lane.book.ledger.remember(STANDING, facts)
                self._told = facts
            if not is_first:
                await keep(lane.account, lane.book)
        except LedgerError as error:  # a full disk, perhaps; tasks are polled on all the same
            _log.debug("how this process stands cannot be told: %s", error)

    async def hear(self, lane: Lane) -> None:
        """As a member: what the runner told last."""
        told = await lane.book.ledger.recall(STANDING)
        if not isinstance(told, Mapping):
            return
        limit, paused = told.get("limit"), told.get("paused")
        self.limit = limit if isinstance(limit, int) else None
        self.paused = (
            error_from_json(paused, task_id=None, record=None)
            if isinstance(paused, Mapping)
            else None
        )


async def exchange(lane: Lane) -> None:
    """What the lane that keeps the watch tells the other processes, or hears of them."""
    standing = lane.book.standing
    await (standing.tell(lane) if lane.book.runs else standing.hear(lane))


async def ask_to_resume(book: Book) -> None:
    """Asks the process that runs the ledger to go on, within half a second.

    Raises:
        LedgerError: the wish cannot be kept.
    """
    await book.ledger.remember(RESUME, uuid.uuid4().hex)


def _reason(book: Book) -> KinoviError | None:
    lanes = [each for lane in book.lanes for each in (lane, lane.guests) if each is not None]
    return next((lane.paused for lane in lanes if lane.paused is not None), None)


def _resume_all(book: Book) -> None:
    _log.info("another process asks to go on submitting")
    for lane in book.lanes:
        lane.begin(partial(resume, lane))  # it tells the user's handler, who may take long
