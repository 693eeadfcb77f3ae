"""What follows from a hint: that a submission of ours became a task is proven by a GET alone.

A submission that is held was accepted then; a job that is to be sent again leaves the queue;
one that ended as ambiguous is driven on, and one that expired, once its task has ended; and
where a job has another task already, it was paid twice, which is told and changes nothing.
"""

from __future__ import annotations

import logging
import re
from enum import Enum
from typing import TYPE_CHECKING, Final

import anyio

from .._errors import (
    AmbiguousSubmissionError,
    APIError,
    ConfigurationError,
    LedgerError,
    PermissionDeniedError,
)
from .._events import JobAccepted, StrayTask
from .._ledger import JobRow, JobState, Resolution
from .._outcomes import AttemptResult, OutcomeStatus
from ._arrival import look_again, place
from ._error_json import ending_of_attempt
from ._result import accept_held
from ._watch import drive_stranger

if TYPE_CHECKING:
    from .._records import TaskRecord
    from ._job import Job
    from ._lane import Lane
    from ._mailbox import Mailbox, Note

__all__ = ["Meaning", "meaning_of", "settle"]

_log = logging.getLogger("kinovi_async")

MOST_TRIES: Final = 5
"""Times the API is asked for a task that it does not know, or while it does not answer."""
RETRY_DELAY: Final = 3.0
"""Seconds between them, for polls every 3 s."""


class Meaning(Enum):
    """What a hint says about a job as the ledger has it."""

    NOTHING = "nothing"
    """It is known, or was settled in an earlier run of the job."""
    ON_THE_WIRE = "on the wire"
    """The submission's own answer comes first, unless it is waited for in vain."""
    QUEUED = "queued"
    """It is about to be sent again, though it was accepted."""
    AMBIGUOUS = "ambiguous"
    """This is what became of it."""
    EXPIRED = "expired"
    """Nobody waits for its task any more, which is paid for."""
    STRAY = "stray"
    """The job has another task, or ended without one."""


def meaning_of(row: JobRow | None, note: Note) -> Meaning:
    """What a hint says, provided that the task is ours."""
    if row is None:
        return Meaning.NOTHING
    if row.task_id == note.task_id:
        return Meaning.EXPIRED if row.status is OutcomeStatus.EXPIRED else Meaning.NOTHING
    if row.state is JobState.SENDING:
        return Meaning.ON_THE_WIRE
    result = next((each.result for each in row.attempts if each.number == note.attempt), None)
    is_last = bool(row.attempts) and row.attempts[-1].number == note.attempt
    if result is AttemptResult.ACCEPTED and (not is_last or row.state is JobState.QUEUED):
        return Meaning.NOTHING  # the task of a run that failed and was run again
    if row.state is JobState.QUEUED:
        return Meaning.QUEUED
    return Meaning.AMBIGUOUS if row.status is OutcomeStatus.AMBIGUOUS else Meaning.STRAY


async def settle(mailbox: Mailbox, lane: Lane) -> None:
    """Settles what can be settled now; in the tasks of one lane at a time."""
    try:
        while mailbox.again:
            mailbox.again = waits = False
            for note in list(mailbox.notes):
                waits |= not await _settle(mailbox, lane, note)
            if waits:
                await anyio.sleep(RETRY_DELAY * lane.account.second)
                mailbox.again = True
    finally:
        mailbox.leave(lane)


async def _settle(mailbox: Mailbox, lane: Lane, note: Note) -> bool:
    """Settles one; False when it is to be tried again in a while."""
    book = lane.book
    row = await book.ledger.get(note.key)
    meaning = meaning_of(row, note)
    job = book.live.get(note.key)
    if row is None or meaning is Meaning.NOTHING:
        if job is not None:
            mailbox.announce(job, note.task_id, ended=True)
        mailbox.notes.pop(note, None)
        return True
    if meaning is Meaning.ON_THE_WIRE and (job is None or job.held is None):
        return True  # `nudge` comes with the answer
    if meaning in {Meaning.AMBIGUOUS, Meaning.EXPIRED} and job is not None:
        return False  # its end is being told
    is_ours = await _is_ours(lane, row, note, ended=meaning is Meaning.EXPIRED)
    if not is_ours:
        return _count(mailbox, note, meaning, last=is_ours is not None)
    with anyio.CancelScope(shield=True):
        if not await _act(lane, note, meaning):
            return False
    if meaning is Meaning.STRAY:
        mailbox.settled(note)
    else:  # the row has the task now: another hint about it may tell more
        mailbox.notes.pop(note, None)
    lane.account.pump()
    return True


def _count(mailbox: Mailbox, note: Note, meaning: Meaning, *, last: bool) -> bool:
    """One more try in vain; True when it was the last."""
    tries = mailbox.notes.get(note, MOST_TRIES) + 1
    if not last and tries < MOST_TRIES:
        mailbox.notes[note] = tries
        return False
    if meaning is Meaning.EXPIRED:  # it runs on, as it did before
        mailbox.notes.pop(note, None)
        return True
    mailbox.foreign += 1
    mailbox.settled(note)
    _log.warning("a webhook for job %s names a task that is not its own: ignored", note.key)
    return True


async def _is_ours(lane: Lane, row: JobRow, note: Note, *, ended: bool) -> bool | None:
    """Whether the task can have been made of this job; None: the API does not say yet.

    `ended`: it is only asked whether its own task has come to an end.
    """
    if lane.account.key_of_task(note.task_id) not in {None, note.key}:
        return False
    try:
        record = await lane.transport.fetch(note.task_id, retries=1)
    except PermissionDeniedError:  # somebody else's
        return False
    except (APIError, ConfigurationError) as error:
        _log.debug("task %s cannot be asked for: %s", note.task_id, error)
        return None
    if ended and not record.is_terminal:
        return None
    return record.task_id == note.task_id and _fits(record, row)


def _fits(record: TaskRecord, row: JobRow) -> bool:
    """Whether what the record echoes of its request is the job's."""
    sent, told = _letters(row.body.get("model")), _letters(record.model)
    # An older base of the API answers `seedance20-video-generation` for `seedance-20`.
    return not told or not sent or sent in told or told in sent


def _letters(model: object) -> str:
    return re.sub(r"[^a-z0-9]", "", model.lower()) if isinstance(model, str) else ""


async def _act(lane: Lane, note: Note, meaning: Meaning) -> bool:
    """Does what follows; False when the job has moved on meanwhile."""
    row = await lane.book.ledger.get(note.key)
    job = lane.book.live.get(note.key)
    if row is None or meaning_of(row, note) is not meaning:
        return False
    match meaning:
        case Meaning.ON_THE_WIRE:
            return await _accept(job, note)
        case Meaning.QUEUED:
            return await _take_out(job, note)
        case Meaning.AMBIGUOUS | Meaning.EXPIRED:
            return job is None and await _drive_on(lane, note, meaning)
        case _:
            await _tell(lane, row, note)
            return True


async def _accept(job: Job | None, note: Note) -> bool:
    if job is None or job.lane is None or job.held is None:
        return False
    _log.info("job %s became task %s, as a webhook told", note.key, note.task_id)
    await accept_held(job.lane, job, note.task_id)
    return True


async def _take_out(job: Job | None, note: Note) -> bool:
    """A job that waits to be sent again is a task already."""
    if job is None or job.lane is None or job.entry is None:
        return False
    lane, ledger = job.lane, job.lane.book.ledger
    if not lane.account.state.withdraw(job.entry):
        return False
    _log.info("job %s is not sent again: it is task %s already", note.key, note.task_id)
    at = lane.account.wall()
    error = job.unclear or AmbiguousSubmissionError("its answer said that it was not accepted")
    ending = ending_of_attempt(error, AttemptResult.AMBIGUOUS, at=at)
    if await ledger.end(note.key, ending) is None:
        await look_again(lane, job)
        return True
    row = await ledger.resolve(note.key, Resolution.ACCEPTED, at=at, task_id=note.task_id)
    job.unclear = None
    place(lane, job, row)
    await _say_accepted(lane, job, note)
    return True


async def _say_accepted(lane: Lane, job: Job, note: Note) -> None:
    if job.entry is not None:
        lane.account.state.notified(job.entry, anyio.current_time())
    at, model = lane.account.wall(), job.request.model
    await lane.events.emit(JobAccepted(at=at, key=note.key, task_id=note.task_id, model=model))


async def _drive_on(lane: Lane, note: Note, meaning: Meaning) -> bool:
    """A job that ended as ambiguous is a task, or one that expired has ended.

    Whoever runs the ledger drives it on.
    """
    ledger, at = lane.book.ledger, lane.account.wall()
    failure: LedgerError | None = None
    try:
        if meaning is Meaning.EXPIRED:
            row = await ledger.adopt(note.key, at=at)
        else:
            row = await ledger.resolve(note.key, Resolution.ACCEPTED, at=at, task_id=note.task_id)
    except LedgerError as error:
        failure = error
    if failure is not None:
        if meaning_of(await ledger.get(note.key), note) is meaning:
            raise failure
        return False  # a person was faster
    _log.info("job %s, which was %s, goes on: a webhook told", note.key, meaning.value)
    book = lane.book
    if note.key not in book.live and note.key not in book.arriving_keys():
        drive_stranger(lane, row)
    job = book.live.get(note.key)
    if job is not None and book.mailbox is not None:  # its task has ended: polled at once
        book.mailbox.announce(job, note.task_id, ended=True)
    return True


async def _tell(lane: Lane, row: JobRow, note: Note) -> None:
    """Proof that the server made one task too many of a job."""
    what = f"beside task {row.task_id}" if row.task_id else f"though it is {row.status}"
    _log.error("job %s became task %s, %s: it is paid for, too", row.key, note.task_id, what)
    job = lane.book.live.get(row.key)
    teller = lane if job is None or job.lane is None else job.lane
    model = row.body.get("model")
    await teller.events.emit(
        StrayTask(
            at=lane.account.wall(),
            key=row.key,
            task_id=note.task_id,
            attempt=note.attempt,
            job_task_id=row.task_id,
            model=model if isinstance(model, str) else "",
        )
    )
