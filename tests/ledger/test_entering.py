"""`add`: one key is one job."""

from __future__ import annotations

import re
from types import MappingProxyType

import pytest

from kinovi_async._errors import KeyConflictError, LedgerError
from kinovi_async._ledger import JobState, JsonObject, Ledger, NewJob
from kinovi_async._outcomes import AttemptResult, OutcomeStatus

from .builders import RUN, accepted, ended, job, row_of, sending

RERUNNABLE = [OutcomeStatus.FAILED, OutcomeStatus.REJECTED, OutcomeStatus.CANCELLED]
FINAL = [OutcomeStatus.SUCCEEDED, OutcomeStatus.AMBIGUOUS, OutcomeStatus.EXPIRED]


async def test_a_new_job_is_queued_with_all_it_was_given(ledger: Ledger) -> None:
    new = job(at=5.5, group="shop", priority=3, meta={"tags": {"sku": "7"}, "line": 12})
    (row,) = await ledger.add([new])
    assert (row.key, row.number, row.state, row.status) == ("cat-1", 1, JobState.QUEUED, None)
    assert row.body == {"model": "nanobanana2", "inputs": {"prompt": "a cat"}}
    assert (row.group, row.priority, row.created_at) == ("shop", 3, 5.5)
    assert row.meta == {"tags": {"sku": "7"}, "line": 12}
    assert (row.execution, row.task_id, row.attempts, row.files) == (None, None, (), ())
    assert await ledger.get("cat-1") == row


async def test_jobs_are_numbered_in_order_of_entry(ledger: Ledger) -> None:
    first = await ledger.add([job(key) for key in "ab"])
    second = await ledger.add([job(key) for key in "cd"])
    assert [row.number for row in first + second] == [1, 2, 3, 4]


async def test_an_unknown_key_is_none(ledger: Ledger) -> None:
    assert await ledger.get("nobody") is None
    assert await ledger.get("\ud800") is None


async def test_the_same_request_again_is_the_same_job_whatever_became_of_it(
    ledger: Ledger,
) -> None:
    (queued,) = await ledger.add([job()])
    assert await ledger.add([job(at=99.0, priority=8)]) == [queued]
    await sending(ledger)
    assert await ledger.add([job()]) == [await row_of(ledger)]
    await ledger.accepted("cat-1", RUN, "task-1", at=3.0)
    assert await ledger.add([job()]) == [await row_of(ledger)]


@pytest.mark.parametrize("status", OutcomeStatus)
async def test_an_ended_job_is_not_run_again_unasked(ledger: Ledger, status: OutcomeStatus) -> None:
    row = await ended(ledger, status)
    assert await ledger.add([job()]) == [row]


async def test_another_request_under_a_key_is_a_conflict_that_names_the_key(
    ledger: Ledger,
) -> None:
    (row,) = await ledger.add([job()])
    with pytest.raises(KeyConflictError, match="'cat-1' already belongs to another request"):
        await ledger.add([job(prompt="a dog")])
    assert await row_of(ledger) == row


async def test_a_conflict_enters_none_of_the_jobs(ledger: Ledger) -> None:
    await ledger.add([job("b")])
    with pytest.raises(KeyConflictError):
        await ledger.add([job("a"), job("b", "a dog"), job("c")])
    assert [row.key for row in await ledger.rows()] == ["b"]


async def test_a_key_twice_in_one_call_is_one_job(ledger: Ledger) -> None:
    rows = await ledger.add([job("a"), job("b"), job("a")])
    assert [row.number for row in rows] == [1, 2, 1]
    assert rows[0] == rows[2]


async def test_a_key_twice_in_one_call_with_two_requests_is_a_conflict(ledger: Ledger) -> None:
    with pytest.raises(KeyConflictError, match="'a' is given to two different requests"):
        await ledger.add([job("a"), job("a", "a dog")], replace_unsent=True)
    assert await ledger.rows() == []


@pytest.mark.parametrize("status", RERUNNABLE)
async def test_rerun_queues_what_cost_nothing_and_keeps_its_attempts(
    ledger: Ledger, status: OutcomeStatus
) -> None:
    before = await ended(ledger, status)
    await ledger.set_files("cat-1", ["a.png"], download_error="gone")
    (row,) = await ledger.add([job(at=20.0, prompt="a better cat")], rerun={status})
    assert (row.state, row.status, row.task_id, row.record, row.error) == (
        JobState.QUEUED, None, None, None, None,
    )  # fmt: skip
    assert (row.files, row.download_error, row.credits) == ((), None, None)
    assert (row.ended_at, row.ended_number, row.accepted_at) == (None, None, None)
    assert row.body["inputs"] == {"prompt": "a better cat"}
    assert row.body_hash != before.body_hash
    assert row.created_at == 20.0
    assert row.attempts == before.attempts
    intent = await ledger.intent("cat-1", RUN, at=21.0)
    assert intent.attempt == len(before.attempts) + 1


@pytest.mark.parametrize("status", FINAL)
async def test_rerun_never_takes_what_was_or_may_have_been_paid(
    ledger: Ledger, status: OutcomeStatus
) -> None:
    row = await ended(ledger, status)
    assert await ledger.add([job()], rerun=set(OutcomeStatus)) == [row]
    with pytest.raises(KeyConflictError):
        await ledger.add([job(prompt="a dog")], rerun=set(OutcomeStatus), replace_unsent=True)


async def test_rerun_takes_only_the_statuses_it_names(ledger: Ledger) -> None:
    row = await ended(ledger, OutcomeStatus.FAILED)
    assert await ledger.add([job()], rerun={OutcomeStatus.REJECTED}) == [row]


async def test_what_is_queued_anew_gets_a_new_number_so_that_a_pager_meets_it(
    ledger: Ledger,
) -> None:
    await ended(ledger, OutcomeStatus.FAILED, "a")
    await ledger.add([job("b")])
    (again,) = await ledger.add([job("a")], rerun={OutcomeStatus.FAILED})
    assert again.number == 3
    assert [row.key for row in await ledger.rows(after=2)] == ["a"]
    assert [row.key for row in await ledger.rows()] == ["b", "a"]


async def test_an_unsent_job_takes_a_new_request_when_told_so(ledger: Ledger) -> None:
    await ledger.add([job()])
    (row,) = await ledger.add([job(prompt="a dog")], replace_unsent=True)
    assert row.body["inputs"] == {"prompt": "a dog"}
    assert row.state is JobState.QUEUED
    assert await row_of(ledger) == row


async def test_a_cancelled_job_is_queued_again_by_replace_unsent(ledger: Ledger) -> None:
    await ended(ledger, OutcomeStatus.CANCELLED)
    (row,) = await ledger.add([job()], replace_unsent=True)
    assert row.state is JobState.QUEUED


async def test_a_job_that_provably_never_left_may_be_replaced(ledger: Ledger) -> None:
    await sending(ledger)
    await ledger.send_again("cat-1", RUN, result=AttemptResult.NOT_SENT, detail="refused")
    (row,) = await ledger.add([job(prompt="a dog")], replace_unsent=True)
    assert row.body["inputs"] == {"prompt": "a dog"}


async def test_a_rerun_job_not_yet_sent_again_may_be_replaced(ledger: Ledger) -> None:
    await ended(ledger, OutcomeStatus.FAILED)
    await ledger.add([job()], rerun={OutcomeStatus.FAILED})
    (row,) = await ledger.add([job(prompt="a dog")], replace_unsent=True)
    assert row.body["inputs"] == {"prompt": "a dog"}


async def test_a_job_that_the_server_may_have_charged_is_not_replaced(ledger: Ledger) -> None:
    await sending(ledger)
    await ledger.send_again("cat-1", RUN, result=AttemptResult.SERVER_ERROR, detail="500")
    with pytest.raises(KeyConflictError):
        await ledger.add([job(prompt="a dog")], replace_unsent=True)


async def test_a_job_on_the_wire_or_running_is_not_replaced(ledger: Ledger) -> None:
    await sending(ledger, "a")
    await accepted(ledger, "b")
    for key in "ab":
        with pytest.raises(KeyConflictError):
            await ledger.add([job(key, prompt="a dog")], replace_unsent=True)


async def test_later_changes_to_what_was_given_change_nothing(ledger: Ledger) -> None:
    inputs: dict[str, object] = {"prompt": "a cat", "images": ["u"]}
    meta: dict[str, object] = {"tags": ["x"]}
    body = {"model": "m", "inputs": inputs}
    await ledger.add([NewJob(key="k", body=body, meta=meta, at=1.0)])  # type: ignore[arg-type]
    inputs["prompt"] = "a dog"
    meta.clear()
    row = await row_of(ledger, "k")
    assert row.body["inputs"] == {"prompt": "a cat", "images": ["u"]}
    assert row.meta == {"tags": ["x"]}


async def test_any_mapping_and_sequence_is_taken(ledger: Ledger) -> None:
    body: JsonObject = MappingProxyType(
        {"model": "m", "inputs": MappingProxyType({"images": ("a", "b")})}
    )
    await ledger.add([NewJob(key="k", body=body, at=1.0)])
    assert (await row_of(ledger, "k")).body == {"model": "m", "inputs": {"images": ["a", "b"]}}


@pytest.mark.parametrize("key", ["", "a\ud800b"])
async def test_a_key_that_is_no_text_is_refused(ledger: Ledger, key: str) -> None:
    with pytest.raises(LedgerError, match="cannot be a key"):
        await ledger.add([job(key)])


@pytest.mark.parametrize(
    "key", ["a\0b", "a\nb", "'; DROP TABLE jobs", "ключ", "🐈", " ", "x" * 5000]
)
async def test_any_other_text_is_a_key(ledger: Ledger, key: str) -> None:
    (row,) = await ledger.add([job(key)])
    assert await ledger.get(key) == row
    assert row.key == key


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", float("nan"), object()])
async def test_a_request_that_is_no_json_is_refused(ledger: Ledger, value: object) -> None:
    body: dict[str, object] = {"model": "m", "inputs": {"x": value}}
    with pytest.raises(LedgerError, match="cannot be kept in a ledger"):
        await ledger.add([NewJob(key="k", body=body, at=1.0)])  # type: ignore[arg-type]
    assert await ledger.get("k") is None


async def test_a_request_too_deep_for_json_is_refused(ledger: Ledger) -> None:
    deep: object = []
    for _ in range(100_000):
        deep = [deep]
    body: dict[str, object] = {"model": "m", "inputs": deep}
    with pytest.raises(LedgerError, match=re.escape("the request of job 'k' cannot be kept")):
        await ledger.add([NewJob(key="k", body=body, at=1.0)])  # type: ignore[arg-type]
    while isinstance(deep, list) and deep:  # taken apart, or freeing it recurses too
        deep = deep.pop()


async def test_lone_surrogates_in_a_request_survive(ledger: Ledger) -> None:
    (row,) = await ledger.add([job(prompt="a \ud800 cat", group="g\udfff")])
    assert row.body["inputs"] == {"prompt": "a \ud800 cat"}
    assert row.group == "g\\udfff"
    assert await row_of(ledger) == row


async def test_a_thousand_jobs_are_entered_in_one_call(ledger: Ledger) -> None:
    rows = await ledger.add([job(f"k{n}") for n in range(1000)])
    assert [row.number for row in rows] == list(range(1, 1001))
    assert await ledger.rows(limit=2000) == rows
