"""Short ways to say what a ledger is given."""

from __future__ import annotations

from decimal import Decimal

from kinovi_async._errors import LedgerError
from kinovi_async._ledger import Ending, JobRow, Ledger, NewJob, Permission
from kinovi_async._outcomes import OutcomeStatus

RUN = "run-1"
OTHER_RUN = "run-2"


def job(key: str = "cat-1", prompt: str = "a cat", at: float = 1.0, **more: object) -> NewJob:
    body = {"model": "nanobanana2", "inputs": {"prompt": prompt}}
    return NewJob(key=key, body=body, at=at, **more)  # type: ignore[arg-type]


def ending(status: OutcomeStatus, credits_: int | None = None, at: float = 9.0) -> Ending:
    return Ending(status, at=at, credits=None if credits_ is None else Decimal(credits_))


async def row_of(ledger: Ledger, key: str = "cat-1") -> JobRow:
    row = await ledger.get(key)
    assert row is not None
    return row


async def sending(ledger: Ledger, key: str = "cat-1", reserve: int = 4) -> None:
    """Enters a job when it is new, and gets the permission to send it."""
    if await ledger.get(key) is None:
        await ledger.add([job(key)])
    intent = await ledger.intent(key, RUN, at=2.0, reserve=Decimal(reserve))
    assert intent.permission is Permission.GRANTED


async def accepted(ledger: Ledger, key: str = "cat-1", reserve: int = 4) -> None:
    await sending(ledger, key, reserve)
    await ledger.accepted(key, RUN, f"task-{key}", at=3.0)


async def ended(
    ledger: Ledger,
    status: OutcomeStatus,
    key: str = "cat-1",
    *,
    reserve: int = 4,
    credits_: int | None = None,
) -> JobRow:
    """Brings a new job to this end, the way it comes there."""
    if status is OutcomeStatus.CANCELLED:
        await ledger.add([job(key)])
    elif status in {OutcomeStatus.REJECTED, OutcomeStatus.AMBIGUOUS}:
        await sending(ledger, key, reserve)
    else:
        await accepted(ledger, key, reserve)
    row = await ledger.end(key, ending(status, credits_))
    if row is None:
        raise LedgerError(f"{key} did not end")
    return row
