"""Which moves a job may make in a ledger, and what each does to the money.

Every rule is a pure function from the row as it stands to the row as it will stand, so
that no two ledgers can decide differently. A refused move raises `LedgerError` (or
`KeyConflictError`) and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TypeAlias

from .._errors import KeyConflictError, LedgerError
from .._outcomes import Attempt, AttemptResult, OutcomeStatus
from ._json import body_hash, clean_text, json_object, optional_object
from ._money import EXACT, UNSETTLED, Book, committed, is_amount
from ._protocol import (
    Ending,
    Intent,
    JobRow,
    JobState,
    NewJob,
    Permission,
    Resolution,
    Totals,
)

Stage: TypeAlias = tuple[JobState, OutcomeStatus | None]

RERUNNABLE = frozenset({OutcomeStatus.FAILED, OutcomeStatus.REJECTED, OutcomeStatus.CANCELLED})
"""Nothing was paid for these in the end, so that they may run again."""

_ENDS_OF = {
    JobState.QUEUED: {OutcomeStatus.CANCELLED, OutcomeStatus.REJECTED, OutcomeStatus.AMBIGUOUS},
    JobState.SENDING: {OutcomeStatus.REJECTED, OutcomeStatus.AMBIGUOUS},
    JobState.ACCEPTED: {OutcomeStatus.SUCCEEDED, OutcomeStatus.FAILED, OutcomeStatus.EXPIRED},
}
_FREE = {OutcomeStatus.FAILED, OutcomeStatus.REJECTED, OutcomeStatus.CANCELLED}
_UNCLEAR = {AttemptResult.SERVER_ERROR, AttemptResult.AMBIGUOUS, None}


def enter_all(
    jobs: Sequence[NewJob],
    find: Callable[[str], JobRow | None],
    last_number: int,
    *,
    rerun: Collection[OutcomeStatus],
    replace_unsent: bool,
) -> list[tuple[JobRow | None, JobRow]]:
    """Enters jobs: each one's row before and after, in order; the same row when it stays.

    Raises:
        KeyConflictError: a key belongs to another request, in the ledger or among `jobs`.
        LedgerError: a job that no ledger can keep.
    """
    entered: dict[str, JobRow] = {}
    hashes: dict[str, str] = {}
    changes: list[tuple[JobRow | None, JobRow]] = []
    takes = RERUNNABLE.intersection(rerun)
    for given in jobs:
        job = _checked(given)
        job_hash = body_hash(job.body)
        if hashes.setdefault(job.key, job_hash) != job_hash:
            raise KeyConflictError(f"key {job.key!r} is given to two different requests")
        if job.key in entered:
            changes.append((entered[job.key], entered[job.key]))
            continue
        before = find(job.key)
        after = _enter(
            before, job, job_hash, last_number + 1, takes=takes, replace_unsent=replace_unsent
        )
        last_number = max(last_number, after.number)
        entered[job.key] = after
        changes.append((before, after))
    return changes


def _checked(job: NewJob) -> NewJob:
    if not job.key or clean_text(job.key) != job.key:
        raise LedgerError(f"{job.key!r} cannot be a key: a key is text of at least one character")
    return replace(
        job,
        group=clean_text(job.group),
        body=json_object(job.body, f"the request of job {job.key!r}"),
        meta=json_object(job.meta, f"the meta data of job {job.key!r}"),
    )


def _enter(
    row: JobRow | None,
    job: NewJob,
    job_hash: str,
    number: int,
    *,
    takes: Collection[OutcomeStatus],
    replace_unsent: bool,
) -> JobRow:
    if row is None:
        return JobRow(
            key=job.key,
            number=number,
            body=job.body,
            body_hash=job_hash,
            group=job.group,
            priority=job.priority,
            meta=job.meta,
            state=JobState.QUEUED,
            created_at=job.at,
        )
    again = row.status in takes or (replace_unsent and row.status is OutcomeStatus.CANCELLED)
    same = row.body_hash == job_hash
    if again or (replace_unsent and not same and is_unsent(row)):
        return replace(
            _queued_again(row, number),
            body=job.body,
            body_hash=job_hash,
            group=job.group,
            priority=job.priority,
            meta=job.meta,
            created_at=job.at,
        )
    if same:
        return row
    raise KeyConflictError(
        f"key {job.key!r} already belongs to another request, which is {row.status or row.state}",
        task_id=row.task_id,
    )


def is_unsent(row: JobRow) -> bool:
    """Whether no submission of the present request can have reached the server.

    Attempts before the last rerun belong to a request that was settled then.
    """
    if row.state is not JobState.QUEUED:
        return False
    for attempt in reversed(row.attempts):
        if attempt.result is not AttemptResult.NOT_SENT:
            return attempt.result not in _UNCLEAR
    return True


def _queued_again(row: JobRow, number: int) -> JobRow:
    return replace(
        _reopened(row, number, JobState.QUEUED),
        execution=None,
        task_id=None,
        record=None,
        reserved=Decimal(0),
        accepted_at=None,
    )


def _reopened(row: JobRow, number: int, state: JobState) -> JobRow:
    return replace(
        row,
        number=number,
        state=state,
        status=None,
        error=None,
        credits=None,
        files=(),
        download_error=None,
        ended_at=None,
        ended_number=None,
    )


def intend(
    row: JobRow | None,
    execution: str,
    totals: Totals,
    *,
    at: float,
    reserve: Decimal,
    budget: Decimal | None,
    body_hash: str | None,
) -> tuple[Intent, JobRow | None]:
    """May it be sent? With the row that sends, when granted."""
    if not is_amount(reserve):
        raise LedgerError(f"{reserve} credits cannot be reserved")
    if budget is not None and budget.is_nan():
        raise LedgerError(f"{budget} cannot be a budget")
    replaced = row is not None and body_hash is not None and row.body_hash != body_hash
    if row is None or row.state is not JobState.QUEUED or replaced:
        return Intent(Permission.NOT_QUEUED, task_id=row.task_id if row else None), None
    if budget is not None and EXACT.add(committed(totals), reserve) > budget:
        return Intent(Permission.OVER_BUDGET), None
    number = row.attempts[-1].number + 1 if row.attempts else 1
    sending = replace(
        row,
        state=JobState.SENDING,
        execution=clean_text(execution),
        reserved=reserve,
        attempts=(*row.attempts, Attempt(number=number, at=at)),
    )
    return Intent(Permission.GRANTED, attempt=number), sending


def refuse(row: JobRow | None, key: str, execution: str) -> JobRow:
    """The row after a 429."""
    row = _sending(row, key, execution)
    return replace(row, state=JobState.QUEUED, reserved=Decimal(0), attempts=row.attempts[:-1])


def send_again(
    row: JobRow | None, key: str, execution: str, result: AttemptResult, detail: str
) -> JobRow:
    """The row after an attempt that may be followed by another one."""
    row = _sending(row, key, execution)
    if result in {AttemptResult.SERVER_ERROR, AttemptResult.AMBIGUOUS}:
        exposed = EXACT.add(row.exposed, row.reserved)
    elif result is AttemptResult.NOT_SENT:
        exposed = row.exposed
    else:
        raise LedgerError(f"job {key!r} cannot be sent again after {result}")
    return replace(
        row,
        state=JobState.QUEUED,
        reserved=Decimal(0),
        exposed=exposed,
        attempts=_with_result(row.attempts, result, detail),
    )


def accept(row: JobRow | None, key: str, execution: str, task_id: str, at: float) -> JobRow:
    """The row of a job whose task is known; `row` itself when it was known before."""
    task_id = clean_text(task_id)
    if row is not None and row.state is JobState.ACCEPTED and row.task_id == task_id:
        return row
    row = _sending(row, key, execution, task_id=task_id)
    return replace(
        row,
        state=JobState.ACCEPTED,
        task_id=task_id,
        accepted_at=at,
        attempts=_with_result(row.attempts, AttemptResult.ACCEPTED, None),
    )


def _sending(row: JobRow | None, key: str, execution: str, *, task_id: str | None = None) -> JobRow:
    task = f"; the server made task {task_id} of it" if task_id else ""
    if row is None:
        raise LedgerError(f"there is no job {key!r}{task}", task_id=task_id)
    if row.state is not JobState.SENDING:
        raise LedgerError(
            f"job {key!r} is not being sent, it is {row.status or row.state}{task}", task_id=task_id
        )
    if row.execution != clean_text(execution):
        raise LedgerError(f"job {key!r} is being sent by another execution{task}", task_id=task_id)
    return row


def _with_result(
    attempts: tuple[Attempt, ...], result: AttemptResult, detail: str | None
) -> tuple[Attempt, ...]:
    last = replace(
        attempts[-1], result=result, detail=None if detail is None else clean_text(detail)
    )
    return (*attempts[:-1], last)


def adopt(row: JobRow | None, key: str, number: int, at: float) -> JobRow:
    """The row of an expired job that is waited for again; `row` itself when it is already."""
    if row is None:
        raise LedgerError(f"there is no job {key!r}")
    if row.state is JobState.ACCEPTED:
        return row
    if row.status is not OutcomeStatus.EXPIRED:
        raise LedgerError(
            f"job {key!r} cannot be waited for again, it is {row.status or row.state}",
            task_id=row.task_id,
        )
    return replace(_reopened(row, number, JobState.ACCEPTED), accepted_at=at)


def resolve(
    row: JobRow | None,
    key: str,
    resolution: Resolution,
    book: Book,
    *,
    at: float,
    task_id: str | None,
) -> JobRow:
    """The row of an ambiguous job about which something became known."""
    if row is None:
        raise LedgerError(f"there is no job {key!r}", task_id=task_id)
    if row.status is not OutcomeStatus.AMBIGUOUS:
        raise LedgerError(
            f"job {key!r} is not ambiguous, it is {row.status or row.state}", task_id=row.task_id
        )
    if (resolution is Resolution.ACCEPTED) != bool(task_id):
        raise LedgerError(f"a task id belongs to {Resolution.ACCEPTED} and to nothing else")
    number = book.last_number + 1
    if resolution is Resolution.RESUBMIT:
        exposed = EXACT.add(row.exposed, row.reserved)
        return replace(_queued_again(row, number), exposed=exposed)
    if resolution is Resolution.ACCEPTED:
        return replace(
            _reopened(row, number, JobState.ACCEPTED),
            task_id=clean_text(task_id or ""),
            accepted_at=at,
            attempts=_cleared_up(
                row.attempts, AttemptResult.ACCEPTED, f"resolved: it became task {task_id}"
            ),
        )
    return replace(
        row,
        number=number,
        status=OutcomeStatus.CANCELLED,
        error=None,
        reserved=Decimal(0),
        credits=Decimal(0),
        ended_at=at,
        ended_number=book.last_ended + 1,
        attempts=_cleared_up(row.attempts, AttemptResult.NOT_SENT, "resolved: not created"),
    )


def _cleared_up(
    attempts: tuple[Attempt, ...], result: AttemptResult, told: str
) -> tuple[Attempt, ...]:
    """The attempts with what became known of the last one, beside why it was unclear."""
    if not attempts or attempts[-1].result not in _UNCLEAR:
        return attempts
    detail = attempts[-1].detail
    return _with_result(attempts, result, f"{detail}; {told}" if detail else told)


def end(row: JobRow | None, ending: Ending, ended_number: int) -> JobRow | None:
    """The row of a job that ends, or None when it cannot be cancelled or has ended already."""
    if row is None or row.state is JobState.ENDED:
        return None
    if ending.status is OutcomeStatus.CANCELLED and row.state is not JobState.QUEUED:
        return None
    if ending.status not in _ENDS_OF[row.state]:
        raise LedgerError(
            f"job {row.key!r} cannot end as {ending.status}, it is {row.state}",
            task_id=row.task_id,
        )
    what = f"the ending of job {row.key!r}"
    record = optional_object(ending.record, what)
    reserved, credits_ = _settled(row, ending)
    exposed = row.exposed
    if ending.status is OutcomeStatus.AMBIGUOUS and ending.attempt_result is AttemptResult.REJECTED:
        # The last submission cost nothing; what stays reserved is for the unclear one before it.
        reserved = min(reserved, exposed)
        exposed = EXACT.subtract(exposed, reserved)
    return replace(
        row,
        exposed=exposed,
        state=JobState.ENDED,
        status=ending.status,
        record=row.record if record is None else record,
        error=optional_object(ending.error, what),
        reserved=reserved,
        credits=credits_,
        attempts=_ended_attempts(row, ending),
        ended_at=ending.at,
        ended_number=ended_number,
    )


def _settled(row: JobRow, ending: Ending) -> tuple[Decimal, Decimal | None]:
    """What stays reserved, and what was charged as far as known."""
    if ending.status in _FREE:
        # Some generations of the API still show the reserved credits on a failed task.
        return Decimal(0), Decimal(0)
    if ending.status in UNSETTLED or ending.credits is None or not is_amount(ending.credits):
        return row.reserved, None
    return Decimal(0), ending.credits


def _ended_attempts(row: JobRow, ending: Ending) -> tuple[Attempt, ...]:
    if row.state is not JobState.SENDING:
        return row.attempts
    rejected = ending.status is OutcomeStatus.REJECTED
    default = AttemptResult.REJECTED if rejected else AttemptResult.AMBIGUOUS
    return _with_result(row.attempts, ending.attempt_result or default, ending.attempt_detail)


def keep_files(
    row: JobRow | None, files: Sequence[str], download_error: str | None
) -> JobRow | None:
    """The row with its files, or None for a job that has not ended."""
    if row is None or row.state is not JobState.ENDED:
        return None
    error = None if download_error is None else clean_text(download_error)
    return replace(row, files=tuple(files), download_error=error)


def stages(states: Collection[JobState], statuses: Collection[OutcomeStatus]) -> list[Stage]:
    """The pairs of state and status that pass both filters of `rows`."""
    passing: list[Stage] = []
    for state in JobState:
        if states and state not in states:
            continue
        if state is JobState.ENDED:
            passing += [
                (state, status) for status in OutcomeStatus if status in statuses or not statuses
            ]
        elif not statuses:
            passing.append((state, None))
    return passing
