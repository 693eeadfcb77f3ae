"""What a look into a shared ledger reads: nothing twice, and nothing is passed over."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest

from kinovi_async._account._duty import Duty, Look
from kinovi_async._account._lane_options import LaneOptions
from kinovi_async._account._terms import Terms, split_meta
from kinovi_async._ledger import Ledger, MemoryLedger, Position, SQLiteLedger
from kinovi_async._outcomes import OutcomeStatus
from tests.ledger.builders import ended, job


def plan(duty: Duty, position: Position, **more: bool) -> Look:
    given = {"runs": True, "hosts": True, "unsent": False, **more}
    return duty.plan(position, **given)


def begun(entered: int = 10, ended: int = 5, floor: int = 0) -> Duty:
    duty = Duty()
    duty.begin(Position(entered, ended), floor=floor)
    return duty


def test_nothing_new_is_nothing_to_read() -> None:
    assert plan(begun(), Position(10, 5)) == Look()


def test_what_came_is_read_once() -> None:
    duty = begun()
    position = Position(12, 7)
    assert plan(duty, position) == Look(entered_after=10, ended_after=5)
    duty.looked(position)
    duty.ended = 7
    assert plan(duty, position) == Look()


def test_what_comes_while_a_look_reads_is_left_to_the_next() -> None:
    duty = begun()
    duty.looked(Position(12, 5))
    assert plan(duty, Position(13, 5)) == Look(entered_after=12)


def test_a_member_reads_endings_and_leaves_rows_to_the_runner() -> None:
    duty = begun()
    assert plan(duty, Position(12, 7), runs=False) == Look(ended_after=5)
    assert plan(duty, Position(12, 5), runs=False, unsent=True) == Look(accepted=True)


def test_a_runner_that_does_not_share_reads_endings_only_until_it_does() -> None:
    duty = begun()
    assert plan(duty, Position(12, 7), hosts=False) == Look(ended_after=5)
    assert plan(duty, Position(12, 5)) == Look(entered_after=10)


@pytest.mark.parametrize("floor", [0, 4])
def test_who_takes_over_reads_everything_above_the_floor(floor: int) -> None:
    duty = begun()
    duty.take_over(floor=floor)
    assert plan(duty, Position(10, 5)) == Look(entered_after=floor)


def test_a_row_left_by_a_lane_is_looked_for_again() -> None:
    duty = begun(floor=3)
    duty.rescan = True
    assert plan(duty, Position(10, 5)) == Look(entered_after=3)
    assert plan(duty, Position(10, 5), runs=False) == Look()


async def test_a_ledgers_position_tells_both_orders(tmp_path: object) -> None:
    ledger: Ledger = SQLiteLedger(f"{tmp_path}/ledger.sqlite3")
    await ledger.open()
    assert await ledger.position() == Position(0, 0)
    await ledger.add([job("a"), job("b")])
    assert await ledger.position() == Position(2, 0)
    await ended(ledger, OutcomeStatus.SUCCEEDED, "c")
    assert await ledger.position() == Position(3, 1)
    await ledger.aclose()


async def test_nobody_else_writes_in_memory() -> None:
    ledger: Ledger = MemoryLedger()
    assert await ledger.position() is None


def test_terms_survive_the_way_through_a_row() -> None:
    options = LaneOptions(
        group="batch-1", budget=Decimal("30.5"), assume_cost=Decimal(4), retry_failed=2
    )
    terms = Terms.of(options, max_wait=math.inf, max_queue_wait=2.5)
    assert terms.group.startswith("batch-1@")
    assert split_meta({"tags": {}, "options": terms.to_json()}) == ({"tags": {}}, terms)
    assert Terms.of(LaneOptions(), max_wait=None, max_queue_wait=None).to_json() == {}


@pytest.mark.parametrize(
    "damaged",
    [
        None,
        3,
        {"max_wait": [], "max_queue_wait": "soon", "group": 1, "retry_failed": "x"},
        {"budget": "much"},
        {"budget": "NaN"},
        {"max_wait": "nan"},
        {"max_wait": True},
    ],
)
def test_damaged_terms_are_as_if_they_had_not_been_said(damaged: object) -> None:
    assert Terms.of_json(damaged) == Terms()
