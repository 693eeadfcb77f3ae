"""What only the ledger in memory does: forget."""

from __future__ import annotations

from decimal import Decimal

import pytest

from kinovi_async._errors import LedgerError
from kinovi_async._ledger import JobState, Ledger, MemoryLedger
from kinovi_async._ledger._memory import _Order
from kinovi_async._outcomes import OutcomeStatus

from .builders import RUN, accepted, ended, ending, job, sending


def test_both_kinds_are_ledgers() -> None:
    assert isinstance(MemoryLedger(), Ledger)


async def test_closing_forgets_nothing() -> None:
    ledger = MemoryLedger()
    await ledger.add([job()])
    await ledger.aclose()
    await ledger.open()
    assert [row.key for row in await ledger.rows()] == ["cat-1"]
    assert repr(ledger) == "<MemoryLedger: 1 jobs>"


async def test_one_execution_at_a_time_runs_it() -> None:
    ledger = MemoryLedger()
    await ledger.acquire_lease(RUN, "pid 1 on a")
    await ledger.acquire_lease(RUN, "pid 1 on a")
    with pytest.raises(LedgerError, match="in use by pid 1 on a"):
        await ledger.acquire_lease("run-2", "pid 1 on a")
    await ledger.release_lease()
    await ledger.acquire_lease("run-2", "pid 1 on a")
    await ledger.aclose()
    await ledger.acquire_lease(RUN, "pid 1 on a")


async def test_an_ended_job_is_forgotten_at_once_but_its_money_is_not() -> None:
    ledger = MemoryLedger(keep_ended=0)
    row = await ended(ledger, OutcomeStatus.SUCCEEDED, credits_=3)
    assert row.status is OutcomeStatus.SUCCEEDED
    assert await ledger.get("cat-1") is None
    assert await ledger.rows() == await ledger.ended_rows() == []
    await ended(ledger, OutcomeStatus.AMBIGUOUS, reserve=4)
    assert (await ledger.totals()).spent == 3
    assert (await ledger.totals()).committed == 7
    await ledger.set_files("cat-1", ["a.png"])
    assert await ledger.end("cat-1", ending(OutcomeStatus.FAILED)) is None


async def test_the_latest_ended_jobs_are_kept() -> None:
    ledger = MemoryLedger(keep_ended=2)
    for key in "abc":
        await ended(ledger, OutcomeStatus.FAILED, key)
    await ledger.set_files("b", ["b.png"])
    assert [row.key for row in await ledger.ended_rows()] == ["b", "c"]
    await ledger.add([job("b")], rerun={OutcomeStatus.FAILED})
    await ended(ledger, OutcomeStatus.FAILED, "d")
    assert [row.key for row in await ledger.ended_rows()] == ["c", "d"]
    assert [row.key for row in await ledger.rows()] == ["c", "b", "d"]


async def test_a_forgotten_key_is_a_new_job() -> None:
    ledger = MemoryLedger(keep_ended=0)
    await ended(ledger, OutcomeStatus.SUCCEEDED)
    (row,) = await ledger.add([job(prompt="a dog")])
    assert (row.number, row.attempts) == (2, ())


async def test_what_is_kept_does_not_grow_with_the_jobs_that_passed() -> None:
    ledger = MemoryLedger(keep_ended=3)
    for n in range(2000):
        key = f"k{n}"
        await accepted(ledger, key)
        await ledger.end(key, ending(OutcomeStatus.SUCCEEDED, 1))
    assert (await ledger.totals()).spent == Decimal(2000)
    assert len(ledger._jobs) == len(ledger._keys) == len(ledger._ended_keys) == 3
    assert len(ledger._oldest_ended) == 3
    for order in [*ledger._orders.values(), ledger._ended_order]:
        assert len(order._numbers) < 100
        assert len(order._gone) < 100


async def test_a_page_from_the_middle_skips_what_is_gone() -> None:
    ledger = MemoryLedger()
    await ledger.add([job(f"k{n}") for n in range(200)])
    for n in range(100):
        await sending(ledger, f"k{n}")
    for n in range(0, 100, 2):
        await ledger.refused(f"k{n}", RUN)
    page = await ledger.rows(states={JobState.QUEUED}, after=90, limit=10)
    assert [row.number for row in page] == [91, 93, 95, 97, 99, 101, 102, 103, 104, 105]


def test_an_order_takes_back_what_was_removed() -> None:
    order = _Order()
    for number in [1, 2, 3, 5]:
        order.add(number)
    order.remove(2)
    order.add(4)
    order.remove(5)
    order.add(2)
    assert list(order.after(0)) == [1, 2, 3, 4]
    assert list(order.after(2)) == [3, 4]
