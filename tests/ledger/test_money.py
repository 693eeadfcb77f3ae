"""The totals, and the budget that is compared with them."""

from __future__ import annotations

from decimal import Decimal, localcontext

import pytest

from kinovi_async._errors import LedgerError
from kinovi_async._ledger import Ending, Ledger, Permission, Resolution, Totals
from kinovi_async._outcomes import AttemptResult, OutcomeStatus

from .builders import RUN, accepted, ended, ending, job, row_of, sending

NOTHING = Totals()


def totals(spent: int = 0, reserved: int = 0, exposed: int = 0) -> Totals:
    return Totals(Decimal(spent), Decimal(reserved), Decimal(exposed))


async def test_a_queued_job_costs_nothing(ledger: Ledger) -> None:
    await ledger.add([job()])
    assert await ledger.totals() == NOTHING


async def test_a_submission_and_a_running_task_are_reserved(ledger: Ledger) -> None:
    await sending(ledger, reserve=4)
    assert await ledger.totals() == totals(reserved=4)
    await ledger.accepted("cat-1", RUN, "task-1", at=3.0)
    assert await ledger.totals() == totals(reserved=4)


async def test_success_replaces_the_reservation_by_what_was_charged(ledger: Ledger) -> None:
    row = await ended(ledger, OutcomeStatus.SUCCEEDED, reserve=4, credits_=3)
    assert (row.credits, row.reserved) == (Decimal(3), Decimal(0))
    assert await ledger.totals() == totals(spent=3)


@pytest.mark.parametrize("used", [None, Decimal("NaN"), Decimal(-1), Decimal("1e999999")])
async def test_success_of_unknown_cost_counts_as_reserved(
    ledger: Ledger, used: Decimal | None
) -> None:
    await accepted(ledger, reserve=4)
    row = await ledger.end("cat-1", Ending(OutcomeStatus.SUCCEEDED, at=9.0, credits=used))
    assert row is not None
    assert row.credits is None
    assert await ledger.totals() == totals(spent=4)


@pytest.mark.parametrize(
    "status", [OutcomeStatus.FAILED, OutcomeStatus.REJECTED, OutcomeStatus.CANCELLED]
)
async def test_what_is_refunded_or_never_charged_costs_nothing(
    ledger: Ledger, status: OutcomeStatus
) -> None:
    row = await ended(ledger, status, reserve=4, credits_=4)
    assert (row.credits, row.reserved) == (Decimal(0), Decimal(0))
    assert await ledger.totals() == NOTHING


@pytest.mark.parametrize("status", [OutcomeStatus.AMBIGUOUS, OutcomeStatus.EXPIRED])
async def test_what_may_cost_stays_reserved(ledger: Ledger, status: OutcomeStatus) -> None:
    row = await ended(ledger, status, reserve=4)
    assert (row.credits, row.reserved) == (None, Decimal(4))
    assert await ledger.totals() == totals(reserved=4)


async def test_a_refused_and_an_unsent_submission_release_the_reservation(
    ledger: Ledger,
) -> None:
    await sending(ledger)
    await ledger.refused("cat-1", RUN)
    assert await ledger.totals() == NOTHING
    await sending(ledger)
    await ledger.send_again("cat-1", RUN, result=AttemptResult.NOT_SENT, detail="")
    assert await ledger.totals() == NOTHING


@pytest.mark.parametrize("result", [AttemptResult.SERVER_ERROR, AttemptResult.AMBIGUOUS])
async def test_an_unclear_attempt_moves_the_reservation_to_what_is_exposed(
    ledger: Ledger, result: AttemptResult
) -> None:
    for attempt in range(1, 3):
        await sending(ledger, reserve=4)
        await ledger.send_again("cat-1", RUN, result=result, detail="500")
        assert await ledger.totals() == totals(exposed=4 * attempt)
    await accepted(ledger, reserve=4)
    assert await ledger.totals() == totals(reserved=4, exposed=8)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (OutcomeStatus.SUCCEEDED, totals(spent=3, exposed=4)),
        (OutcomeStatus.FAILED, totals(exposed=4)),
        (OutcomeStatus.EXPIRED, totals(reserved=4, exposed=4)),
        (OutcomeStatus.REJECTED, totals(exposed=4)),
        (OutcomeStatus.AMBIGUOUS, totals(reserved=4, exposed=4)),
    ],
)
async def test_what_was_exposed_stays_counted_however_the_job_ends(
    ledger: Ledger, status: OutcomeStatus, expected: Totals
) -> None:
    await sending(ledger)
    await ledger.send_again("cat-1", RUN, result=AttemptResult.SERVER_ERROR, detail="500")
    await ended(ledger, status, reserve=4, credits_=3)
    assert await ledger.totals() == expected


async def test_a_rerun_of_a_refunded_job_keeps_only_what_was_exposed(ledger: Ledger) -> None:
    await sending(ledger)
    await ledger.send_again("cat-1", RUN, result=AttemptResult.SERVER_ERROR, detail="500")
    await ended(ledger, OutcomeStatus.FAILED)
    await ledger.add([job()], rerun={OutcomeStatus.FAILED})
    assert await ledger.totals() == totals(exposed=4)


async def test_an_adopted_job_is_reserved_until_it_is_charged(ledger: Ledger) -> None:
    await ended(ledger, OutcomeStatus.EXPIRED, reserve=4)
    await ledger.adopt("cat-1", at=10.0)
    assert await ledger.totals() == totals(reserved=4)
    await ledger.end("cat-1", ending(OutcomeStatus.SUCCEEDED, 5))
    assert await ledger.totals() == totals(spent=5)


@pytest.mark.parametrize(
    ("resolution", "task_id", "expected"),
    [
        (Resolution.ACCEPTED, "t", totals(reserved=4)),
        (Resolution.NOT_CREATED, None, NOTHING),
        (Resolution.RESUBMIT, None, totals(exposed=4)),
    ],
)
async def test_a_resolution_settles_the_money(
    ledger: Ledger, resolution: Resolution, task_id: str | None, expected: Totals
) -> None:
    await ended(ledger, OutcomeStatus.AMBIGUOUS, reserve=4)
    await ledger.resolve("cat-1", resolution, at=10.0, task_id=task_id)
    assert await ledger.totals() == expected


async def test_the_budget_covers_the_worst_case_and_not_a_credit_more(ledger: Ledger) -> None:
    await ended(ledger, OutcomeStatus.SUCCEEDED, "spent", reserve=4, credits_=3)
    await ended(ledger, OutcomeStatus.AMBIGUOUS, "unclear", reserve=4)
    await sending(ledger, "exposed", reserve=5)
    await ledger.send_again("exposed", RUN, result=AttemptResult.SERVER_ERROR, detail="500")
    (before,) = await ledger.add([job()])
    assert (await ledger.totals()).committed == 12
    intent = await ledger.intent("cat-1", RUN, at=1.0, reserve=Decimal(4), budget=Decimal("15.99"))
    assert intent.permission is Permission.OVER_BUDGET
    assert await row_of(ledger) == before
    intent = await ledger.intent("cat-1", RUN, at=1.0, reserve=Decimal(4), budget=Decimal(16))
    assert intent.permission is Permission.GRANTED
    assert (await ledger.totals()).committed == 16


async def test_a_job_that_is_not_queued_is_not_called_too_dear(ledger: Ledger) -> None:
    await sending(ledger)
    intent = await ledger.intent("cat-1", RUN, at=1.0, reserve=Decimal(4), budget=Decimal(0))
    assert intent.permission is Permission.NOT_QUEUED


async def test_an_endless_budget_is_a_budget(ledger: Ledger) -> None:
    await ledger.add([job()])
    intent = await ledger.intent("cat-1", RUN, at=1.0, budget=Decimal("Infinity"))
    assert intent.permission is Permission.GRANTED


@pytest.mark.parametrize("amount", ["-0.01", "NaN", "sNaN", "Infinity", "1e15", "1e-13"])
async def test_what_is_no_amount_of_credits_is_not_reserved(ledger: Ledger, amount: str) -> None:
    (before,) = await ledger.add([job()])
    with pytest.raises(LedgerError, match="cannot be reserved"):
        await ledger.intent("cat-1", RUN, at=1.0, reserve=Decimal(amount))
    with pytest.raises(LedgerError, match="cannot be a budget"):
        await ledger.intent("cat-1", RUN, at=1.0, budget=Decimal("NaN"))
    assert await row_of(ledger) == before


async def test_sums_are_exact_whatever_the_callers_decimal_context(ledger: Ledger) -> None:
    large, small = Decimal(999999999999999), Decimal("0.000000000001")
    await ledger.add([job("a"), job("b"), job("c")])
    with localcontext() as context:
        context.prec = 3
        await ledger.intent("a", RUN, at=1.0, reserve=large)
        await ledger.intent("b", RUN, at=1.0, reserve=small)
        over = await ledger.intent("c", RUN, at=1.0, reserve=small, budget=large)
        assert over.permission is Permission.OVER_BUDGET
    assert (await ledger.totals()).reserved == Decimal("999999999999999.000000000001")
    await ledger.refused("a", RUN)
    assert (await ledger.totals()).reserved == small
