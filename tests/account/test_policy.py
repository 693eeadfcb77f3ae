"""What the account does by the user's policy: attempts, credits, breaker, crashes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from decimal import Decimal

import anyio
import pytest

from kinovi_async._account import Book, Job, Lane, LaneOptions
from kinovi_async._account._breaker import MAX_UNCLEAR, PROBE_TASK, Breaker
from kinovi_async._errors import (
    AmbiguousSubmissionError,
    APIConnectionError,
    AuthenticationError,
    BudgetExceededError,
    JobCancelledError,
    LedgerError,
    NotFoundError,
    RateLimitError,
    ServerError,
)
from kinovi_async._events import Event, SchedulerPaused, SchedulerResumed
from kinovi_async._ledger import JobState, MemoryLedger
from kinovi_async._outcomes import AttemptResult, OutcomeStatus
from kinovi_async._policy import SubmitPolicy
from kinovi_async._transport import (
    Accepted,
    Ambiguous,
    NotSent,
    Rejected,
    ServerFailed,
    SubmitResult,
)

from .fakes import FakeServer, make_account, make_book
from .test_lane import drive, wish, wishes

A = AttemptResult
TWICE = SubmitPolicy(ambiguous="resubmit", max_resubmits=2)
COST = Decimal(15)


def unclear() -> Ambiguous:
    return Ambiguous(AmbiguousSubmissionError("no answer"))


def lane_of(
    server: FakeServer, policy: SubmitPolicy, book: Book | None = None, **options: object
) -> Lane:
    account = make_account(server, policy=policy)
    return Lane(account, book or make_book(), LaneOptions(**options))  # type: ignore[arg-type]


def results(job: Job) -> list[AttemptResult | None]:
    assert job._outcome is not None
    return [attempt.result for attempt in job._outcome.attempts]


# --- sending again


async def test_an_unclear_submission_is_sent_again_when_the_policy_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each attempt is in the outcome, and what it may have cost stays counted."""
    server = FakeServer()
    server.script.extend([unclear(), unclear()])
    lane = lane_of(server, TWICE)
    (job,) = await drive(lane, wishes(1))
    assert (await job.outcome()).ok
    assert results(job) == [A.AMBIGUOUS, A.AMBIGUOUS, A.ACCEPTED]
    assert [a.number for a in (await job.outcome()).attempts] == [1, 2, 3]
    totals = await lane.book.ledger.totals()
    assert (totals.spent, totals.reserved, totals.exposed) == (COST, Decimal(0), 2 * COST)
    assert caplog.text.count("is sent again, though it may have been accepted") == 2


async def test_after_the_cap_it_is_held() -> None:
    server = FakeServer()
    server.script.extend([unclear()] * 5)
    lane = lane_of(server, TWICE)
    (job,) = await drive(lane, wishes(1))
    assert (await job.outcome()).status is OutcomeStatus.AMBIGUOUS
    assert results(job) == [A.AMBIGUOUS] * 3
    assert server.posts == 3
    totals = await lane.book.ledger.totals()
    assert (totals.reserved, totals.exposed, totals.committed) == (COST, 2 * COST, 3 * COST)


async def test_each_kind_of_unclear_answer_has_its_own_count() -> None:
    server = FakeServer()
    failed = ServerFailed(ServerError("internal error", status_code=500))
    server.script.extend([failed, unclear(), failed, unclear(), failed])
    lane = lane_of(server, TWICE)
    (job,) = await drive(lane, wishes(1))
    assert (await job.outcome()).status is OutcomeStatus.AMBIGUOUS
    assert results(job) == [
        A.SERVER_ERROR, A.AMBIGUOUS, A.SERVER_ERROR, A.AMBIGUOUS, A.AMBIGUOUS,
    ]  # fmt: skip
    assert (await lane.book.ledger.totals()).committed == 5 * COST


async def test_a_budget_covers_every_attempt() -> None:
    """A second try needs a second reservation: the first may have been charged."""
    server = FakeServer()
    server.script.append(unclear())
    lane = lane_of(server, TWICE, budget=COST * 2 - 1)
    (job,) = await drive(lane, wishes(1))
    outcome = await job.outcome()
    assert outcome.status is OutcomeStatus.AMBIGUOUS, "it is not cancelled: it may be paid"
    assert results(job) == [A.AMBIGUOUS]
    assert server.posts == 1
    assert isinstance(lane.stopped, BudgetExceededError)
    assert (await lane.book.ledger.totals()).committed == COST


async def test_a_refusal_that_stops_the_account_leaves_an_unclear_job_ambiguous() -> None:
    server = FakeServer()
    error = AuthenticationError("Invalid API Key", status_code=401)
    server.script.extend([unclear(), Rejected(error)])
    lane = lane_of(server, TWICE)
    first, second = await drive(lane, wishes(2))
    statuses = {(await job.outcome()).status for job in (first, second)}
    assert statuses == {OutcomeStatus.AMBIGUOUS, OutcomeStatus.CANCELLED}
    assert (await lane.book.ledger.totals()).committed == COST


async def test_a_job_that_waits_to_be_sent_again_ends_as_ambiguous_when_cancelled() -> None:
    server = FakeServer()
    server.script.append(unclear())
    lane = lane_of(server, TWICE)
    await lane.open()
    job = wish("picture 0", key="job-0")
    answers: list[bool] = []

    async def cancel_between() -> None:
        await anyio.sleep(0.3)  # the answer came, the next try has not begun
        assert job.unclear is not None
        answers.append(await job.cancel())

    async with anyio.create_task_group() as group:
        group.start_soon(cancel_between)
        lane.arrive([job])
        await lane.run(lambda: not lane.busy)
    assert answers == [False], "not: nothing is paid"
    assert (await job.outcome()).status is OutcomeStatus.AMBIGUOUS
    row = await lane.book.ledger.get("job-0")
    assert row is not None
    assert (row.status, server.posts) == (OutcomeStatus.AMBIGUOUS, 1)


async def test_a_deadline_of_the_queue_that_meets_it_then_says_ambiguous_too() -> None:
    server = FakeServer()
    server.script.append(unclear())
    lane = lane_of(server, TWICE)
    (job,) = await drive(lane, wishes(1, max_queue_wait=0.5))
    assert (await job.outcome()).status is OutcomeStatus.AMBIGUOUS
    assert server.posts == 1


async def test_the_cap_holds_over_restarts() -> None:
    """The attempts are in the ledger, and an order to send again is durable like a job."""
    ledger = MemoryLedger()
    posts = []
    for _ in range(4):
        server = FakeServer()
        gone = NotSent(APIConnectionError("gone"), retryable=False)  # ends the process's run
        server.script.extend([unclear(), gone])
        lane = lane_of(server, TWICE, make_book(ledger, durable=True))
        (job,) = await drive(lane, wishes(1))
        assert (await job.outcome()).status is OutcomeStatus.AMBIGUOUS
        await lane.book.aclose()
        posts.append(server.posts)
    assert posts == [2, 2, 1, 0]
    row = await ledger.get("job-0")
    assert row is not None
    assert [a.result for a in row.attempts] == [
        A.AMBIGUOUS, A.NOT_SENT, A.AMBIGUOUS, A.NOT_SENT, A.AMBIGUOUS,
    ]  # fmt: skip
    assert row.status is OutcomeStatus.AMBIGUOUS
    assert (await ledger.totals()).committed == 3 * COST


async def test_what_a_dead_process_left_on_the_wire_is_held_whatever_the_policy() -> None:
    """Nobody knows whether it left at all, and a crash may come again and again."""
    ledger = MemoryLedger()
    first = lane_of(FakeServer(), TWICE, make_book(ledger, durable=True))
    await first.open()
    job = wish("picture 0", key="job-0")
    await ledger.add([job.to_ledger(0)])
    await ledger.intent("job-0", first.book.execution, at=1.0, reserve=COST)
    await first.book.aclose()
    server = FakeServer()
    lane = lane_of(server, TWICE, make_book(ledger, durable=True))
    (again,) = await drive(lane, wishes(1))
    assert (await again.outcome()).status is OutcomeStatus.AMBIGUOUS
    assert server.posts == 0


class ForgetfulLedger(MemoryLedger):
    """Cannot keep what became of a submission."""

    async def end(self, *_: object, **__: object) -> None:
        raise LedgerError("disk full")

    send_again = end


@pytest.mark.parametrize("policy", [SubmitPolicy(), TWICE], ids=["hold", "resubmit"])
async def test_an_unclear_job_the_ledger_cannot_keep_is_not_called_cancelled(
    policy: SubmitPolicy,
) -> None:
    server = FakeServer()
    server.script.append(unclear())
    lane = lane_of(server, policy, make_book(ForgetfulLedger(), durable=True))
    (job,) = wishes(1)
    with pytest.raises(LedgerError):
        await drive(lane, [job])
    assert (await job.outcome()).status is OutcomeStatus.AMBIGUOUS


async def test_what_the_user_calls_not_sent_is_sent_again_and_costs_nothing() -> None:
    """As often as it takes: an answer came, so the address is right."""
    server = FakeServer()
    error = APIConnectionError("the CDN did not reach the API")
    server.script.extend([NotSent(error, retryable=True, answered=True)] * 12)
    lane = lane_of(server, SubmitPolicy())
    (job,) = await drive(lane, wishes(1))
    assert (await job.outcome()).ok
    assert results(job) == [A.NOT_SENT] * 12 + [A.ACCEPTED]
    assert (await lane.book.ledger.totals()).committed == COST


# --- the circuit breaker


def test_the_breaker_opens_at_the_third_and_lets_one_through_then() -> None:
    breaker = Breaker()
    for _ in range(MAX_UNCLEAR):
        assert breaker.admits
        breaker.unclear()
    assert breaker.is_open
    seen = [breaker.admits]
    with breaker.sending():
        seen.append(breaker.admits)
    seen.append(breaker.admits)
    assert seen == [True, False, True]
    assert [breaker.next_delay() for _ in range(7)] == [30, 60, 120, 240, 480, 900, 900]
    breaker.clear()
    assert breaker.in_a_row == 0
    with breaker.sending(), breaker.sending():
        assert breaker.admits
    assert breaker.next_delay() == 30


async def test_unclear_answers_that_are_sent_again_count_as_well() -> None:
    """An outage costs a few jobs whatever the policy, and the rest was never sent."""
    server = FakeServer(limit=1)
    server.script.extend([unclear()] * 99)
    policy = SubmitPolicy(ambiguous="resubmit", max_resubmits=50)
    lane = lane_of(server, policy)
    jobs = await drive(lane, wishes(6))
    assert server.posts == MAX_UNCLEAR
    statuses = Counter([(await job.outcome()).status for job in jobs])
    assert statuses[OutcomeStatus.CANCELLED] >= 6 - MAX_UNCLEAR
    assert set(statuses) == {OutcomeStatus.AMBIGUOUS, OutcomeStatus.CANCELLED}
    ambiguous = [job for job in jobs if results(job)]
    assert all(job.unclear is not None for job in ambiguous)
    assert (await lane.book.ledger.totals()).committed == MAX_UNCLEAR * COST


@pytest.mark.parametrize(
    ("between", "opens"),
    [
        (lambda: NotSent(APIConnectionError("refused"), retryable=True), True),
        (lambda: ServerFailed(ServerError("internal", status_code=500)), True),
        (lambda: Accepted("task_x"), False),
    ],
    ids=["not sent", "500", "accepted"],
)
async def test_only_a_clear_answer_ends_the_count(
    between: Callable[[], SubmitResult], *, opens: bool
) -> None:
    server = FakeServer(limit=1)
    server.script.extend([unclear(), between(), unclear(), between(), unclear()])
    lane = lane_of(server, SubmitPolicy(max_server_error_resubmits=9))
    await drive(lane, wishes(8, max_wait=60))
    assert (lane.stopped is not None) is opens


async def test_500s_that_are_held_in_the_end_open_it_too() -> None:
    server = FakeServer(limit=1)
    server.script.extend([ServerFailed(ServerError("internal", status_code=500))] * 99)
    lane = lane_of(server, SubmitPolicy())
    jobs = await drive(lane, wishes(10))
    statuses = Counter([(await job.outcome()).status for job in jobs])
    assert statuses == {OutcomeStatus.AMBIGUOUS: 3, OutcomeStatus.CANCELLED: 7}
    assert server.posts <= 9 + 2


async def test_an_outage_costs_the_breakers_number_and_what_is_on_the_wire() -> None:
    server = FakeServer(limit=50, latency=2)
    lane = lane_of(server, SubmitPolicy())
    await drive(lane, wishes(30))  # learned: much may be on the wire at once
    server.script.extend([unclear()] * 9_999)
    more = [wish(f"more {n}", key=f"more-{n}") for n in range(2_000)]
    next_lane = Lane(lane.account, make_book(), LaneOptions())
    await drive(next_lane, more)
    statuses = Counter([(await job.outcome()).status for job in more])
    assert statuses[OutcomeStatus.AMBIGUOUS] <= MAX_UNCLEAR + 50
    assert statuses[OutcomeStatus.CANCELLED] >= 2_000 - MAX_UNCLEAR - 50


async def run_paused(
    server: FakeServer, jobs: list[Job], seconds: float, seen: list[Event]
) -> Lane:
    """A scheduler's lane, left after so many seconds."""
    lane = lane_of(server, SubmitPolicy(), pause_on_stop=True, on_event=seen.append)
    await lane.open()
    lane.arrive(jobs)
    with anyio.move_on_after(seconds):
        await lane.run(lambda: not lane.busy)
    return lane


async def test_a_paused_scheduler_goes_on_once_the_api_answers() -> None:
    server = FakeServer(limit=1)
    server.script.extend([unclear()] * MAX_UNCLEAR)
    server.poll_script.extend([APIConnectionError("no route")] * 2)
    seen: list[Event] = []
    jobs = wishes(8)
    lane = await run_paused(server, jobs, 600, seen)
    assert [(await job.outcome()).status for job in jobs[3:]] == [OutcomeStatus.SUCCEEDED] * 5
    (paused,) = [event for event in seen if isinstance(event, SchedulerPaused)]
    (resumed,) = [event for event in seen if isinstance(event, SchedulerResumed)]
    assert resumed.at - paused.at == pytest.approx(90, abs=1), "30 s, and twice no answer"
    assert server.polls[PROBE_TASK] == 3
    assert lane.account.breaker.in_a_row == 0


async def test_an_outage_of_submissions_alone_costs_one_job_a_trial() -> None:
    """GETs are answered, submissions are not: each trial waits twice as long."""
    server = FakeServer(limit=9)
    server.script.extend([unclear()] * 9_999)
    seen: list[Event] = []
    jobs = wishes(100)
    await run_paused(server, jobs, 3_600, seen)
    ambiguous = sum([(await job.outcome()).status is OutcomeStatus.AMBIGUOUS for job in jobs])
    trials = sum(isinstance(event, SchedulerResumed) for event in seen)
    assert trials == 7  # after 30, 60, 120, 240, 480, 900 and 900 s
    assert ambiguous == server.posts == MAX_UNCLEAR + trials


@pytest.mark.parametrize(
    ("answer", "back"),
    [
        (NotFoundError("no", status_code=404, body={"message": "Task not found"}), True),
        (NotFoundError("no", status_code=404, body="<html>gateway</html>"), False),
        (RateLimitError("slow down", status_code=429), True),
        (ServerError("bad gateway", status_code=502), False),
        (AuthenticationError("Invalid API Key", status_code=401), False),
        (APIConnectionError("no route"), False),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_only_the_apis_own_answer_ends_a_pause(answer: Exception, *, back: bool) -> None:
    server = FakeServer(limit=1)
    server.script.extend([unclear()] * MAX_UNCLEAR)
    server.poll_script.extend([answer] * 3)
    seen: list[Event] = []
    await run_paused(server, wishes(4), 50, seen)
    assert any(isinstance(event, SchedulerResumed) for event in seen) is back


async def test_a_stopped_batch_is_not_taken_up_by_itself() -> None:
    server = FakeServer(limit=1)
    server.script.extend([unclear()] * MAX_UNCLEAR)
    ledger = MemoryLedger()
    lane = lane_of(server, SubmitPolicy(), make_book(ledger, durable=True))
    jobs = await drive(lane, wishes(6))
    assert server.posts == MAX_UNCLEAR
    assert PROBE_TASK not in server.polls
    rows = await ledger.rows(states={JobState.QUEUED})
    assert [row.key for row in rows] == ["job-3", "job-4", "job-5"], "resumable"
    with pytest.raises(AmbiguousSubmissionError, match="3 submissions in a row"):
        await jobs[5].result()


# --- one task, two jobs


async def test_a_task_told_to_two_jobs_is_reported_with_both(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Both go on: each has its answer, and the server's books decide who paid."""
    server = FakeServer(limit=5)
    lane = lane_of(server, SubmitPolicy())
    first = await drive(lane, wishes(1))
    assert "both told" not in caplog.text
    server.script.append(Accepted("task_1"))
    second = [wish("another", key="twin")]
    next_lane = Lane(lane.account, make_book(), LaneOptions())
    with caplog.at_level(logging.ERROR, logger="kinovi_async"):
        await drive(next_lane, second)
    assert "jobs job-0 and twin were both told task task_1" in caplog.text
    assert [(await job.outcome()).task_id for job in (*first, *second)] == ["task_1"] * 2


def test_only_the_latest_tasks_are_remembered() -> None:
    account = make_account(FakeServer())
    assert account.note_task("task_0", "a") is None
    assert account.note_task("task_0", "a") is None, "the same job waits again"
    assert account.note_task("task_0", "b") == "a"
    for n in range(10_000):
        account.note_task(f"other_{n}", "c")
    assert account.note_task("task_0", "d") is None


async def test_a_job_that_was_clear_is_cancelled_as_ever() -> None:
    server = FakeServer(limit=1)
    lane = lane_of(server, TWICE)
    await lane.open()
    jobs = wishes(2)
    lane.arrive(jobs)
    answers: list[bool] = []

    async def cancel() -> None:
        await anyio.sleep(3)
        answers.append(await jobs[1].cancel())

    async with anyio.create_task_group() as group:
        group.start_soon(cancel)
        await lane.run(lambda: not lane.busy)
    assert answers == [True]
    with pytest.raises(JobCancelledError):
        await jobs[1].result()
