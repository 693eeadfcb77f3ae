"""The watch over a ledger that several processes share: one lane of each keeps it.

A process that does not hold the lease tries to get it, and tells how the jobs of its own
handles fare. The one that holds it drives what the others enter, and drops what they cancel.
Everything is found in the ledger; nothing but it joins the processes.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, ParamSpec

import anyio

from .._errors import KinoviError
from .._ledger import JobState
from ._arrival import look_again, place, price
from ._book import LOOK, look_scale
from ._following import show_accepted, tell_ended
from ._hosting import host_guests
from ._job import Job
from ._mailbox import Note
from ._memory import recall
from ._standing import exchange

if TYPE_CHECKING:
    from .._ledger import JobRow
    from ._book import Book
    from ._lane import Lane
    from ._mailbox import Mailbox

__all__ = ["drive_stranger", "watch"]

_log = logging.getLogger("kinovi_async")

P = ParamSpec("P")


async def watch(lane: Lane) -> None:
    """Keeps the watch while this lane is the longest there; runs until it is cancelled."""
    book = lane.book
    scale = look_scale(lane.account.second)
    with lane.watching:
        await book.wait_for_turn(lane)
        while True:
            with anyio.CancelScope(shield=True):  # bounded by the ledger's own timeout
                await _look(lane)
            await anyio.sleep(scale * lane.account.rng.uniform(*LOOK))


async def _look(lane: Lane) -> None:
    book = lane.book
    if not book.runs and await book.try_to_run(lane):
        _log.info("this process runs the ledger from now on")
        await recall(lane.account, book, again=True)
    if book.runs and book.followed:
        await _take_over(book)
    position = await book.ledger.position()
    if position is None or lane.leaving:
        return
    await exchange(lane)
    look = book.duty.plan(position, runs=book.runs, hosts=book.hosts, unsent=book.has_unsent)
    if look.ended_after is not None:
        await _tell_endings(book)
    if look.accepted:
        await _show_accepted(book)
    if book.runs and book.mailbox is not None:
        await book.mailbox.refresh()
        if look.hinted_after is not None:
            await _read_hints(book, book.mailbox)
    if look.entered_after is not None:
        book.duty.rescan = False  # whoever leaves something from here on asks for another one
        for state in (JobState.ACCEPTED, JobState.QUEUED):  # what holds a slot counts first
            await _drive_strangers(lane, state, after=look.entered_after)
        book.duty.looked(position)
        lane.account.pump()


async def _take_over(book: Book) -> None:
    """The jobs that were followed become this process's own, in their order of entry."""
    rows = [row for key in list(book.followed) if (row := await book.ledger.get(key)) is not None]
    for row in sorted(rows, key=lambda row: row.number):
        job = book.followed.get(row.key)
        if job is None or job.lane is None or job.leaving or job.lane.closing:
            continue  # ended or left in the meantime
        if row.state is JobState.ENDED:
            _begin(job.lane, tell_ended, job, row)
        elif row.state is not JobState.SENDING:
            place(job.lane, job, row)
            job.lane.account.pump()


async def _tell_endings(book: Book) -> None:
    """Tells the handles of what ended elsewhere; what is queued here leaves the queue."""
    while rows := await book.ledger.ended_rows(after=book.duty.ended):
        # No await up to the next read: a job that begins to follow sees that it was passed.
        book.duty.ended = rows[-1].ended_number or book.duty.ended
        for row in rows:
            job = book.live.get(row.key)
            if job is None or job.lane is None or job.lane.closing:
                continue
            if job.key in book.followed:
                _begin(job.lane, tell_ended, job, row)
            elif job.entry is not None and job.lane.account.state.withdraw(job.entry):
                # Not by the row at hand: it may be queued again already.
                _begin(job.lane, look_again, job.lane, job)
    await book.count_money()


async def _show_accepted(book: Book) -> None:
    after = 0
    while rows := await book.ledger.rows(states={JobState.ACCEPTED}, after=after):
        after = rows[-1].number
        for row in rows:
            job = book.followed.get(row.key)
            if job is not None and job.lane is not None and job.key not in job.lane.running:
                _begin(job.lane, show_accepted, job.lane, job, row)


async def _drive_strangers(lane: Lane, state: JobState, *, after: int) -> None:
    book = lane.book
    while rows := await book.ledger.rows(states={state}, after=after):
        after = rows[-1].number
        arriving = book.arriving_keys()
        for row in rows:
            if not (row.key in book.live or row.key in arriving or row.key in book.told_unsent):
                drive_stranger(lane, row)


async def _read_hints(book: Book, mailbox: Mailbox) -> None:
    """What webhooks told, in whichever process they arrived."""
    while hints := await book.ledger.hints(after=book.duty.hinted):
        book.duty.hinted = hints[-1].number
        for hint in hints:
            mailbox.put(Note(hint.key, hint.attempt, hint.task_id))


def drive_stranger(lane: Lane, row: JobRow) -> None:
    """Drives a job that no handle of this process waits for."""
    if lane.leaving:
        lane.book.duty.rescan = True
        return
    try:
        job = Job.of_row(row)
    except KinoviError as error:
        _log.error("job %s cannot be read and is left alone: %s", row.key, error)
        lane.book.told_unsent.add(row.key)
        return
    guests = host_guests(lane)
    price(guests, job)
    place(guests, job, row)


def _begin(lane: Lane, act: Callable[P, Awaitable[None]], *args: P.args, **more: P.kwargs) -> None:
    async def run() -> None:
        with anyio.CancelScope(shield=True):
            await act(*args, **more)
        lane.account.pump()

    lane.begin(run)
