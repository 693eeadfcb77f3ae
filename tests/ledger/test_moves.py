"""From queued to ended: which moves are taken, and what they leave in the book."""

from __future__ import annotations

from decimal import Decimal

import pytest

from kinovi_async._errors import LedgerError
from kinovi_async._ledger import (
    Ending,
    Intent,
    JobState,
    Ledger,
    Permission,
    Resolution,
)
from kinovi_async._outcomes import Attempt, AttemptResult, OutcomeStatus

from .builders import OTHER_RUN, RUN, accepted, ended, ending, job, row_of, sending

NOT_QUEUED = Intent(Permission.NOT_QUEUED)


async def test_intent_opens_an_attempt(ledger: Ledger) -> None:
    await ledger.add([job()])
    intent = await ledger.intent("cat-1", RUN, at=2.0, reserve=Decimal(4))
    assert intent == Intent(Permission.GRANTED, attempt=1)
    row = await row_of(ledger)
    assert (row.state, row.execution, row.reserved) == (JobState.SENDING, RUN, Decimal(4))
    assert row.attempts == (Attempt(1, 2.0),)


async def test_a_job_being_sent_is_granted_to_nobody_not_even_to_its_sender(
    ledger: Ledger,
) -> None:
    await sending(ledger)
    before = await row_of(ledger)
    assert await ledger.intent("cat-1", RUN, at=3.0) == NOT_QUEUED
    assert await ledger.intent("cat-1", OTHER_RUN, at=3.0) == NOT_QUEUED
    assert await row_of(ledger) == before


async def test_an_accepted_job_is_not_granted_and_its_task_is_told(ledger: Ledger) -> None:
    await accepted(ledger)
    intent = await ledger.intent("cat-1", RUN, at=4.0)
    assert intent == Intent(Permission.NOT_QUEUED, task_id="task-cat-1")


@pytest.mark.parametrize("status", OutcomeStatus)
async def test_an_ended_job_is_not_granted(ledger: Ledger, status: OutcomeStatus) -> None:
    await ended(ledger, status)
    intent = await ledger.intent("cat-1", RUN, at=4.0)
    assert intent.permission is Permission.NOT_QUEUED


async def test_an_unknown_job_is_not_granted(ledger: Ledger) -> None:
    assert await ledger.intent("nobody", RUN, at=1.0) == NOT_QUEUED


async def test_a_request_replaced_meanwhile_is_not_granted(ledger: Ledger) -> None:
    (old,) = await ledger.add([job()])
    (new,) = await ledger.add([job(prompt="a dog")], replace_unsent=True)
    assert await ledger.intent("cat-1", RUN, at=2.0, body_hash=old.body_hash) == NOT_QUEUED
    granted = await ledger.intent("cat-1", RUN, at=2.0, body_hash=new.body_hash)
    assert granted.permission is Permission.GRANTED


async def test_a_refusal_leaves_no_trace(ledger: Ledger) -> None:
    await sending(ledger)
    await ledger.refused("cat-1", RUN)
    row = await row_of(ledger)
    assert (row.state, row.attempts, row.reserved) == (JobState.QUEUED, (), Decimal(0))
    assert (await ledger.intent("cat-1", OTHER_RUN, at=5.0)).attempt == 1


@pytest.mark.parametrize(
    "result", [AttemptResult.NOT_SENT, AttemptResult.SERVER_ERROR, AttemptResult.AMBIGUOUS]
)
async def test_an_attempt_that_may_be_repeated_is_kept(
    ledger: Ledger, result: AttemptResult
) -> None:
    await sending(ledger)
    await ledger.send_again("cat-1", RUN, result=result, detail="it went wrong")
    row = await row_of(ledger)
    assert row.state is JobState.QUEUED
    assert row.attempts == (Attempt(1, 2.0, result, "it went wrong"),)
    assert (await ledger.intent("cat-1", RUN, at=5.0)).attempt == 2


@pytest.mark.parametrize("result", [AttemptResult.ACCEPTED, AttemptResult.REJECTED])
async def test_nothing_is_sent_again_after_any_other_result(
    ledger: Ledger, result: AttemptResult
) -> None:
    await sending(ledger)
    before = await row_of(ledger)
    with pytest.raises(LedgerError, match="cannot be sent again after"):
        await ledger.send_again("cat-1", RUN, result=result, detail="")
    assert await row_of(ledger) == before


async def test_an_accepted_job_has_its_task(ledger: Ledger) -> None:
    await accepted(ledger)
    row = await row_of(ledger)
    assert (row.state, row.task_id, row.accepted_at) == (JobState.ACCEPTED, "task-cat-1", 3.0)
    assert row.attempts == (Attempt(1, 2.0, AttemptResult.ACCEPTED),)


async def test_telling_the_same_task_twice_is_harmless(ledger: Ledger) -> None:
    await accepted(ledger)
    before = await row_of(ledger)
    await ledger.accepted("cat-1", RUN, "task-cat-1", at=30.0)
    assert await row_of(ledger) == before


async def test_a_task_is_never_exchanged_and_the_second_one_is_named(ledger: Ledger) -> None:
    await accepted(ledger)
    before = await row_of(ledger)
    with pytest.raises(LedgerError, match="made task task-2 of it") as caught:
        await ledger.accepted("cat-1", RUN, "task-2", at=30.0)
    assert caught.value.task_id == "task-2"
    assert await row_of(ledger) == before


async def test_a_task_id_that_is_no_text_is_kept_readable(ledger: Ledger) -> None:
    await sending(ledger)
    await ledger.accepted("cat-1", RUN, "t\ud800/../x", at=3.0)
    assert (await row_of(ledger)).task_id == "t\\ud800/../x"


async def test_only_the_sender_says_what_became_of_a_submission(ledger: Ledger) -> None:
    await sending(ledger)
    before = await row_of(ledger)
    with pytest.raises(LedgerError, match="by another execution"):
        await ledger.refused("cat-1", OTHER_RUN)
    with pytest.raises(LedgerError, match="by another execution"):
        await ledger.send_again("cat-1", OTHER_RUN, result=AttemptResult.NOT_SENT, detail="")
    with pytest.raises(LedgerError, match="by another execution"):
        await ledger.accepted("cat-1", OTHER_RUN, "task-1", at=3.0)
    assert await row_of(ledger) == before


async def test_what_is_not_on_the_wire_has_no_answer(ledger: Ledger) -> None:
    (before,) = await ledger.add([job()])
    with pytest.raises(LedgerError, match="is not being sent, it is queued"):
        await ledger.refused("cat-1", RUN)
    with pytest.raises(LedgerError, match="is not being sent, it is queued"):
        await ledger.accepted("cat-1", RUN, "task-1", at=3.0)
    with pytest.raises(LedgerError, match="there is no job 'nobody'"):
        await ledger.send_again("nobody", RUN, result=AttemptResult.NOT_SENT, detail="")
    assert await row_of(ledger) == before


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.SENDING, JobState.ACCEPTED])
@pytest.mark.parametrize("status", OutcomeStatus)
async def test_which_end_can_follow_which_state(
    ledger: Ledger, state: JobState, status: OutcomeStatus
) -> None:
    await ledger.add([job()])
    if state is JobState.SENDING:
        await sending(ledger)
    elif state is JobState.ACCEPTED:
        await accepted(ledger)
    taken = {
        JobState.QUEUED: {"cancelled", "rejected", "ambiguous"},
        JobState.SENDING: {"rejected", "ambiguous"},
        JobState.ACCEPTED: {"succeeded", "failed", "expired"},
    }[state]
    before = await row_of(ledger)
    if status in taken:
        row = await ledger.end("cat-1", ending(status))
        assert row == await row_of(ledger)
        assert (row.state, row.status, row.ended_at) == (JobState.ENDED, status, 9.0)
    elif status is OutcomeStatus.CANCELLED:
        assert await ledger.end("cat-1", ending(status)) is None
        assert await row_of(ledger) == before
    else:
        with pytest.raises(LedgerError, match=f"cannot end as {status}, it is {state}"):
            await ledger.end("cat-1", ending(status))
        assert await row_of(ledger) == before


@pytest.mark.parametrize("status", OutcomeStatus)
async def test_what_has_ended_stays_as_it_is(ledger: Ledger, status: OutcomeStatus) -> None:
    before = await ended(ledger, status)
    for other in OutcomeStatus:
        assert await ledger.end("cat-1", ending(other, 5)) is None
    assert await row_of(ledger) == before


async def test_an_unknown_job_cannot_end(ledger: Ledger) -> None:
    assert await ledger.end("nobody", ending(OutcomeStatus.CANCELLED)) is None


async def test_an_ending_keeps_record_and_error(ledger: Ledger) -> None:
    await accepted(ledger)
    record = {"taskId": "task-cat-1", "state": "fail", "x": [1, None]}
    error = {"type": "TaskFailedError", "message": "no\ud800"}
    end = Ending(OutcomeStatus.FAILED, at=9.0, record=record, error=error)
    row = await ledger.end("cat-1", end)
    assert row is not None
    assert (row.record, row.error, row.task_id) == (record, error, "task-cat-1")
    assert row == await row_of(ledger)


async def test_the_attempt_on_the_wire_gets_the_result_it_ended_with(ledger: Ledger) -> None:
    await sending(ledger)
    end = Ending(
        OutcomeStatus.REJECTED,
        at=9.0,
        attempt_result=AttemptResult.NOT_SENT,
        attempt_detail="no such host",
    )
    row = await ledger.end("cat-1", end)
    assert row is not None
    assert row.attempts == (Attempt(1, 2.0, AttemptResult.NOT_SENT, "no such host"),)


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (OutcomeStatus.REJECTED, AttemptResult.REJECTED),
        (OutcomeStatus.AMBIGUOUS, AttemptResult.AMBIGUOUS),
    ],
)
async def test_by_default_the_attempt_ends_as_its_job(
    ledger: Ledger, status: OutcomeStatus, result: AttemptResult
) -> None:
    row = await ended(ledger, status)
    assert [attempt.result for attempt in row.attempts] == [result]


async def test_a_new_runner_ends_what_a_dead_one_left_on_the_wire(ledger: Ledger) -> None:
    await sending(ledger, "a")
    await ledger.add([job("b")])
    (dangling,) = await ledger.rows(states={JobState.SENDING})
    assert (dangling.key, dangling.execution) == ("a", RUN)
    row = await ledger.end("a", ending(OutcomeStatus.AMBIGUOUS))
    assert row is not None
    assert row.status is OutcomeStatus.AMBIGUOUS
    assert (await ledger.intent("a", OTHER_RUN, at=9.0)).permission is Permission.NOT_QUEUED
    with pytest.raises(LedgerError, match="it is ambiguous; the server made task late of it"):
        await ledger.accepted("a", RUN, "late", at=10.0)


async def test_an_expired_job_is_waited_for_again(ledger: Ledger) -> None:
    await ended(ledger, OutcomeStatus.EXPIRED)
    row = await ledger.adopt("cat-1", at=50.0)
    assert (row.state, row.status, row.task_id) == (JobState.ACCEPTED, None, "task-cat-1")
    assert (row.accepted_at, row.ended_at, row.ended_number) == (50.0, None, None)
    assert await ledger.adopt("cat-1", at=60.0) == row == await row_of(ledger)


@pytest.mark.parametrize("status", sorted(set(OutcomeStatus) - {OutcomeStatus.EXPIRED}))
async def test_nothing_else_is_waited_for_again(ledger: Ledger, status: OutcomeStatus) -> None:
    before = await ended(ledger, status)
    with pytest.raises(LedgerError, match="cannot be waited for again"):
        await ledger.adopt("cat-1", at=50.0)
    assert await row_of(ledger) == before


async def test_a_job_never_accepted_is_not_adopted(ledger: Ledger) -> None:
    await ledger.add([job()])
    with pytest.raises(LedgerError, match="cannot be waited for again, it is queued"):
        await ledger.adopt("cat-1", at=50.0)
    with pytest.raises(LedgerError, match="there is no job"):
        await ledger.adopt("nobody", at=50.0)


async def test_an_ambiguous_job_whose_task_is_found_is_polled(ledger: Ledger) -> None:
    await ended(ledger, OutcomeStatus.AMBIGUOUS)
    row = await ledger.resolve("cat-1", Resolution.ACCEPTED, at=50.0, task_id="found")
    assert (row.state, row.task_id, row.accepted_at) == (JobState.ACCEPTED, "found", 50.0)
    assert [attempt.result for attempt in row.attempts] == [AttemptResult.ACCEPTED]
    assert await row_of(ledger) == row


async def test_an_ambiguous_job_of_which_nothing_was_made_is_cancelled(ledger: Ledger) -> None:
    before = await ended(ledger, OutcomeStatus.AMBIGUOUS)
    row = await ledger.resolve("cat-1", Resolution.NOT_CREATED, at=50.0)
    assert (row.status, row.ended_at, row.error) == (OutcomeStatus.CANCELLED, 50.0, None)
    assert [attempt.result for attempt in row.attempts] == [AttemptResult.NOT_SENT]
    assert before.ended_number is not None
    assert await ledger.ended_rows(after=before.ended_number) == [row]
    (again,) = await ledger.add([job(prompt="a dog")], replace_unsent=True)
    assert again.state is JobState.QUEUED


async def test_an_ambiguous_job_may_be_sent_again_at_the_owners_risk(ledger: Ledger) -> None:
    await ended(ledger, OutcomeStatus.AMBIGUOUS)
    row = await ledger.resolve("cat-1", Resolution.RESUBMIT, at=50.0)
    assert (row.state, row.reserved, row.exposed) == (JobState.QUEUED, Decimal(0), Decimal(4))
    assert (await ledger.intent("cat-1", OTHER_RUN, at=51.0)).attempt == 2


@pytest.mark.parametrize("status", sorted(set(OutcomeStatus) - {OutcomeStatus.AMBIGUOUS}))
async def test_only_an_ambiguous_job_is_resolved(ledger: Ledger, status: OutcomeStatus) -> None:
    before = await ended(ledger, status)
    with pytest.raises(LedgerError, match="is not ambiguous"):
        await ledger.resolve("cat-1", Resolution.RESUBMIT, at=50.0)
    assert await row_of(ledger) == before


async def test_a_resolution_needs_a_task_id_exactly_when_there_is_a_task(ledger: Ledger) -> None:
    before = await ended(ledger, OutcomeStatus.AMBIGUOUS)
    with pytest.raises(LedgerError, match="a task id belongs to accepted"):
        await ledger.resolve("cat-1", Resolution.ACCEPTED, at=50.0)
    with pytest.raises(LedgerError, match="a task id belongs to accepted"):
        await ledger.resolve("cat-1", Resolution.RESUBMIT, at=50.0, task_id="t")
    with pytest.raises(LedgerError, match="there is no job"):
        await ledger.resolve("nobody", Resolution.RESUBMIT, at=50.0)
    assert await row_of(ledger) == before


async def test_files_of_an_ended_job_are_kept(ledger: Ledger) -> None:
    await ended(ledger, OutcomeStatus.SUCCEEDED)
    await ledger.set_files("cat-1", ["media/a.png", "media/\udc80.png"], download_error="404")
    row = await row_of(ledger)
    assert row.files == ("media/a.png", "media/\udc80.png")
    assert row.download_error == "404"
    await ledger.set_files("cat-1", ["media/a.png"])
    assert (await row_of(ledger)).download_error is None
    assert await ledger.ended_rows() == [await row_of(ledger)]


async def test_files_of_a_job_that_is_not_ended_are_not_kept(ledger: Ledger) -> None:
    (before,) = await ledger.add([job()])
    await ledger.set_files("cat-1", ["a.png"])
    await ledger.set_files("nobody", ["a.png"])
    assert await ledger.rows() == [before]


async def test_a_small_value_is_remembered(ledger: Ledger) -> None:
    assert await ledger.recall("limit") is None
    await ledger.remember("limit", 7)
    await ledger.remember("durations", {"m": [1.5, 2.5]})
    await ledger.remember("limit", 8)
    assert await ledger.recall("limit") == 8
    assert await ledger.recall("durations") == {"m": [1.5, 2.5]}
    with pytest.raises(LedgerError, match="the value 'bad' cannot be kept"):
        await ledger.remember("bad", {1, 2})  # type: ignore[arg-type]
    assert await ledger.recall("bad") is None
