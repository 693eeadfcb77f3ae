"""`rows` and `ended_rows`: filters, order and pages."""

from __future__ import annotations

import pytest

from kinovi_async._ledger import JobState, Ledger
from kinovi_async._outcomes import OutcomeStatus

from .builders import accepted, ended, ending, job, sending

ENDS = ["succeeded", "failed", "rejected", "ambiguous", "expired", "cancelled"]


@pytest.fixture
async def one_of_each(ledger: Ledger) -> Ledger:
    """A ledger with a job in every state and of every status, each named by it."""
    for status in OutcomeStatus:
        await ended(ledger, status, status.value)
    await accepted(ledger, "accepted")
    await sending(ledger, "sending")
    await ledger.add([job("queued")])
    return ledger


async def keys(
    ledger: Ledger,
    states: set[JobState] | None = None,
    statuses: set[OutcomeStatus] | None = None,
) -> list[str]:
    rows = await ledger.rows(states=states or (), statuses=statuses or ())
    return [row.key for row in rows]


async def test_without_a_filter_all_jobs_come_in_order_of_entry(one_of_each: Ledger) -> None:
    assert await keys(one_of_each) == [*ENDS, "accepted", "sending", "queued"]


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.SENDING, JobState.ACCEPTED])
async def test_jobs_in_one_state(one_of_each: Ledger, state: JobState) -> None:
    assert await keys(one_of_each, {state}) == [state.value]


async def test_jobs_in_several_states_come_in_order_of_entry(one_of_each: Ledger) -> None:
    assert await keys(one_of_each, {JobState.ENDED, JobState.QUEUED}) == [*ENDS, "queued"]


@pytest.mark.parametrize("status", OutcomeStatus)
async def test_jobs_of_one_status(one_of_each: Ledger, status: OutcomeStatus) -> None:
    assert await keys(one_of_each, statuses={status}) == [status.value]


async def test_both_filters_must_pass(one_of_each: Ledger) -> None:
    both = {OutcomeStatus.FAILED, OutcomeStatus.EXPIRED}
    assert await keys(one_of_each, {JobState.ENDED, JobState.QUEUED}, both) == [
        "failed",
        "expired",
    ]
    assert await keys(one_of_each, {JobState.QUEUED}, both) == []


@pytest.mark.parametrize("states", [(), {JobState.QUEUED}, {JobState.QUEUED, JobState.ENDED}])
async def test_pages_cover_every_job_once(ledger: Ledger, states: set[JobState]) -> None:
    names = [f"k{n:03}" for n in range(100)]
    await ledger.add([job(name) for name in names])
    for name in names[::7]:
        await ledger.end(name, ending(OutcomeStatus.CANCELLED))
    expected = names if len(states) != 1 else [n for n in names if n not in names[::7]]
    found: list[str] = []
    after = 0
    while page := await ledger.rows(states=states, after=after, limit=9):
        assert len(page) <= 9
        found += [row.key for row in page]
        after = page[-1].number
    assert found == expected


async def test_ended_jobs_come_in_order_of_ending(ledger: Ledger) -> None:
    await ledger.add([job(key) for key in "abcd"])
    for key in "cab":
        await ledger.end(key, ending(OutcomeStatus.CANCELLED))
    rows = await ledger.ended_rows()
    assert [(row.key, row.ended_number) for row in rows] == [("c", 1), ("a", 2), ("b", 3)]
    assert await ledger.ended_rows(after=1, limit=1) == rows[1:2]
    assert await ledger.ended_rows(after=3) == []


async def test_a_job_that_ends_again_is_met_again(ledger: Ledger) -> None:
    await ended(ledger, OutcomeStatus.FAILED, "a")
    await ended(ledger, OutcomeStatus.SUCCEEDED, "b")
    await ledger.add([job("a")], rerun={OutcomeStatus.FAILED})
    assert [row.key for row in await ledger.ended_rows()] == ["b"]
    await ledger.end("a", ending(OutcomeStatus.CANCELLED))
    assert [(row.key, row.ended_number) for row in await ledger.ended_rows()] == [
        ("b", 2),
        ("a", 3),
    ]


@pytest.mark.parametrize("limit", [0, -1])
async def test_no_room_on_the_page_is_no_job(ledger: Ledger, limit: int) -> None:
    await ended(ledger, OutcomeStatus.CANCELLED)
    assert await ledger.rows(limit=limit) == []
    assert await ledger.ended_rows(limit=limit) == []
