"""Jobs driven through an account in virtual time."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from decimal import Decimal
from itertools import pairwise
from random import Random

import anyio
import pytest

from kinovi_async._account import Job, Lane, LaneOptions
from kinovi_async._errors import (
    AmbiguousSubmissionError,
    APIConnectionError,
    AuthenticationError,
    BadRequestError,
    BudgetExceededError,
    InsufficientCreditsError,
    JobCancelledError,
    KeyConflictError,
    ServerError,
    TaskFailedError,
    WaitTimeoutError,
)
from kinovi_async._events import Event, JobAccepted, JobEnded, JobQueued, JobSubmitted
from kinovi_async._ledger import Ending, JobState, MemoryLedger
from kinovi_async._outcomes import AttemptResult, OutcomeStatus
from kinovi_async._requests import NanoBanana2
from kinovi_async._transport import Ambiguous, NotSent, Rejected, ServerFailed

from .fakes import FakeServer, make_account, make_book, make_lane


def wish(prompt: str, **options: object) -> Job:
    return Job(NanoBanana2(prompt=prompt), **options)  # type: ignore[arg-type]


def wishes(count: int, **options: object) -> list[Job]:
    return [wish(f"picture {n}", key=f"job-{n}", **options) for n in range(count)]


async def drive(lane: Lane, jobs: list[Job]) -> list[Job]:
    await lane.open()
    lane.arrive(jobs)
    await lane.run(lambda: not lane.busy)
    return jobs


async def test_every_job_succeeds_once_and_the_limit_is_never_exceeded() -> None:
    server = FakeServer(limit=3)
    lane = make_lane(server)
    jobs = await drive(lane, wishes(20))
    outcomes = [await job.outcome() for job in jobs]
    assert [o.status for o in outcomes] == [OutcomeStatus.SUCCEEDED] * 20
    assert set(server.prompts().values()) == {1}
    assert len(server.prompts()) == 20
    assert server.peak == 3
    assert {o.credits for o in outcomes} == {Decimal(15)}
    assert all(o.record is not None and o.record.urls for o in outcomes)
    assert not lane.book.live


async def test_the_queue_keeps_its_order_in_spite_of_refusals() -> None:
    server = FakeServer(limit=1)
    jobs = await drive(make_lane(server), wishes(6))
    assert server.order == [f"picture {n}" for n in range(6)]
    assert server.refused > 0
    assert [len((await job.outcome()).attempts) for job in jobs] == [1] * 6


async def test_no_task_is_polled_twice_within_the_minimum() -> None:
    server = FakeServer(limit=4, seconds=40)
    await drive(make_lane(server), wishes(8))
    gaps = [
        later - earlier
        for times in server.poll_times.values()
        for earlier, later in pairwise(times)
    ]
    assert gaps
    assert min(gaps) >= 3


async def test_a_failed_task_raises_and_hurts_no_other() -> None:
    server = FakeServer(failing={"picture 1"})
    jobs = await drive(make_lane(server), wishes(3))
    outcome = await jobs[1].outcome()
    assert outcome.status is OutcomeStatus.FAILED
    assert outcome.credits == 0
    with pytest.raises(TaskFailedError, match=r"failed: \[2038\] moderated") as caught:
        await jobs[1].result()
    assert caught.value.code == "2038"
    assert caught.value.task_id == outcome.task_id
    assert not caught.value.retryable
    assert (await jobs[2].result()).urls


async def test_a_transient_failure_is_run_again_when_allowed() -> None:
    server = FakeServer(failing={"picture 0"}, failure=("500", "Service temporarily unavailable"))
    lane = make_lane(server, retry_failed=2)
    (job,) = await drive(lane, wishes(1))
    outcome = await job.outcome()
    assert outcome.status is OutcomeStatus.FAILED
    assert [a.result for a in outcome.attempts] == [AttemptResult.ACCEPTED] * 3
    assert server.prompts() == Counter({"picture 0": 3})


async def test_a_moderated_failure_is_never_run_again() -> None:
    server = FakeServer(failing={"picture 0"})
    (job,) = await drive(make_lane(server, retry_failed=5), wishes(1))
    assert len((await job.outcome()).attempts) == 1


async def test_a_rejected_request_costs_nothing_and_the_rest_goes_on() -> None:
    server = FakeServer()
    server.script.append(Rejected(BadRequestError("prompt is required", status_code=400)))
    jobs = await drive(make_lane(server), wishes(3))
    statuses = [(await job.outcome()).status for job in jobs]
    assert statuses == [
        OutcomeStatus.REJECTED,
        OutcomeStatus.SUCCEEDED,
        OutcomeStatus.SUCCEEDED,
    ]
    with pytest.raises(BadRequestError):
        await jobs[0].result()


async def test_an_ambiguous_submission_is_never_sent_again() -> None:
    server = FakeServer()
    server.script.append(Ambiguous(AmbiguousSubmissionError("no answer")))
    lane = make_lane(server)
    jobs = await drive(lane, wishes(2))
    outcome = await jobs[0].outcome()
    assert outcome.status is OutcomeStatus.AMBIGUOUS
    assert [a.result for a in outcome.attempts] == [AttemptResult.AMBIGUOUS]
    assert server.prompts() == Counter({"picture 1": 1})
    assert server.posts == 2
    assert (await lane.book.ledger.totals()).reserved == 15


async def test_three_unclear_answers_in_a_row_stop_the_batch() -> None:
    server = FakeServer(limit=1)
    server.script.extend(Ambiguous(AmbiguousSubmissionError("no answer")) for _ in range(3))
    jobs = await drive(make_lane(server), wishes(6))
    statuses = Counter([(await job.outcome()).status for job in jobs])
    assert statuses == {OutcomeStatus.AMBIGUOUS: 3, OutcomeStatus.CANCELLED: 3}
    with pytest.raises(AmbiguousSubmissionError, match="3 submissions in a row"):
        await jobs[5].result()


async def test_what_never_left_is_sent_again() -> None:
    server = FakeServer()
    error = APIConnectionError("connection refused")
    server.script.extend([NotSent(error, retryable=True)] * 3)
    jobs = await drive(make_lane(server), wishes(2))
    outcomes = [await job.outcome() for job in jobs]
    assert all(o.ok for o in outcomes)
    results = [a.result for o in outcomes for a in o.attempts]
    assert Counter(results) == {AttemptResult.NOT_SENT: 3, AttemptResult.ACCEPTED: 2}


async def test_an_address_that_never_answers_ends_the_batch() -> None:
    server = FakeServer()
    error = APIConnectionError("no such host")
    server.script.extend([NotSent(error, retryable=True)] * 50)
    jobs = await drive(make_lane(server), wishes(4))
    assert {(await job.outcome()).status for job in jobs} == {OutcomeStatus.CANCELLED}
    with pytest.raises(APIConnectionError, match="no such host"):
        await jobs[0].result()
    assert server.posts < 20


async def test_a_network_that_was_there_is_waited_for() -> None:
    server = FakeServer(limit=1)
    lane = make_lane(server)
    jobs = wishes(2)

    async def cut_the_network(event: Event) -> None:
        if isinstance(event, JobAccepted) and len(server.made) == 1:
            error = APIConnectionError("network is unreachable")
            server.script.extend([NotSent(error, retryable=True)] * 12)

    lane = make_lane(server, on_event=cut_the_network)
    await drive(lane, jobs)
    assert all([(await job.outcome()).ok for job in jobs])


async def test_a_server_error_is_sent_again_twice_then_held() -> None:
    server = FakeServer()
    error = ServerError("internal error, retry", status_code=500)
    server.script.extend([ServerFailed(error)] * 3)
    lane = make_lane(server)
    (job,) = await drive(lane, wishes(1))
    outcome = await job.outcome()
    assert outcome.status is OutcomeStatus.AMBIGUOUS
    assert [a.result for a in outcome.attempts] == [
        AttemptResult.SERVER_ERROR,
        AttemptResult.SERVER_ERROR,
        AttemptResult.AMBIGUOUS,
    ]
    assert (await lane.book.ledger.totals()).committed == 45


@pytest.mark.parametrize(
    "error",
    [
        AuthenticationError("Invalid API Key", status_code=401),
        InsufficientCreditsError("Insufficient credits", status_code=402),
    ],
)
async def test_what_concerns_the_account_cancels_the_rest_of_a_batch(
    error: AuthenticationError,
) -> None:
    server = FakeServer(limit=2)
    lane = make_lane(server)
    jobs = wishes(6)

    def refuse_after_two(event: Event) -> None:
        if isinstance(event, JobEnded) and not server.script:
            server.script.extend([Rejected(error)] * 10)

    lane = make_lane(server, on_event=refuse_after_two)
    await drive(lane, jobs)
    outcomes = [await job.outcome() for job in jobs]
    assert Counter(o.status for o in outcomes) == {
        OutcomeStatus.SUCCEEDED: 2,
        OutcomeStatus.CANCELLED: 4,
    }
    assert all(o.error is error for o in outcomes[2:])
    assert all(o.credits is None or o.credits == 0 for o in outcomes[2:])


async def test_a_durable_ledger_keeps_the_unsent_jobs_of_a_stopped_batch_queued() -> None:
    ledger = MemoryLedger()
    server = FakeServer(limit=1)
    server.script.append(Rejected(AuthenticationError("Invalid API Key", status_code=401)))
    lane = make_lane(server, make_book(ledger, durable=True))
    await drive(lane, wishes(3))
    rows = await ledger.rows(states={JobState.QUEUED})
    assert [row.key for row in rows] == ["job-0", "job-1", "job-2"]
    assert (await ledger.totals()).committed == 0


async def test_a_budget_stops_submitting_and_polls_on() -> None:
    server = FakeServer(limit=10)
    lane = make_lane(server, budget=Decimal(40))
    jobs = await drive(lane, wishes(5))
    outcomes = [await job.outcome() for job in jobs]
    assert [o.status for o in outcomes] == [
        OutcomeStatus.SUCCEEDED,
        OutcomeStatus.SUCCEEDED,
        OutcomeStatus.CANCELLED,
        OutcomeStatus.CANCELLED,
        OutcomeStatus.CANCELLED,
    ]
    with pytest.raises(BudgetExceededError):
        await jobs[4].result()
    assert server.posts == 2


async def test_failed_polls_never_end_a_wait() -> None:
    server = FakeServer()
    server.poll_script.extend(
        [APIConnectionError("reset"), ServerError("oops", status_code=503)] * 4
    )
    (job,) = await drive(make_lane(server), wishes(1))
    assert (await job.outcome()).ok


async def test_a_wait_expires_and_keeps_the_task_id() -> None:
    server = FakeServer(seconds=1000)
    (job,) = await drive(make_lane(server), wishes(1, max_wait=60))
    outcome = await job.outcome()
    assert outcome.status is OutcomeStatus.EXPIRED
    assert outcome.task_id == "task_1"
    with pytest.raises(WaitTimeoutError, match="still running after 60 s") as caught:
        await job.result()
    assert caught.value.task_id == "task_1"
    assert anyio.current_time() < 62


async def test_a_task_the_server_lost_expires_and_is_not_sent_again() -> None:
    server = FakeServer(seconds=500)

    def lose(event: Event) -> None:
        if isinstance(event, JobAccepted):
            server.made.clear()

    lane = make_lane(server, on_event=lose)
    (job,) = await drive(lane, wishes(1))
    outcome = await job.outcome()
    assert outcome.status is OutcomeStatus.EXPIRED
    assert outcome.task_id == "task_1"
    assert server.posts == 1


async def test_a_job_that_finds_no_slot_in_time_is_cancelled() -> None:
    server = FakeServer(limit=1, seconds=100)
    jobs = [*wishes(1), wish("late", key="late", max_queue_wait=20)]
    await drive(make_lane(server), jobs)
    with pytest.raises(JobCancelledError, match="no slot in 20 s"):
        await jobs[1].result()
    assert server.prompts() == Counter({"picture 0": 1})


async def test_cancelling_a_queued_job_costs_nothing_and_leaves_nothing() -> None:
    server = FakeServer(limit=1, seconds=30)
    lane = make_lane(server)
    await lane.open()
    jobs = wishes(3)
    lane.arrive(jobs)
    async with anyio.create_task_group() as group:
        group.start_soon(lane.run, lambda: not lane.busy)
        await anyio.sleep(10)
        assert await jobs[2].cancel() is True
        assert await jobs[2].cancel() is False
        assert await jobs[0].cancel() is False
    assert (await jobs[2].outcome()).status is OutcomeStatus.CANCELLED
    assert server.prompts() == Counter({"picture 0": 1, "picture 1": 1})
    statistics = lane.account.state.statistics()
    assert (statistics.queued, statistics.submitting, statistics.in_flight) == (0, 0, 0)


async def test_leaving_a_wait_names_the_running_tasks(caplog: pytest.LogCaptureFixture) -> None:
    server = FakeServer(limit=1, seconds=100)
    lane = make_lane(server)
    await lane.open()
    jobs = wishes(2)
    lane.arrive(jobs)
    with caplog.at_level(logging.WARNING), anyio.move_on_after(10):
        await lane.run(lambda: False)
    assert "task_1 runs on" in caplog.text
    assert (await jobs[0].outcome()).status is OutcomeStatus.EXPIRED
    assert (await jobs[1].outcome()).status is OutcomeStatus.CANCELLED


async def test_an_interrupted_submission_is_finished_and_recorded() -> None:
    ledger = MemoryLedger()
    server = FakeServer(latency=4.0)
    lane = make_lane(server, make_book(ledger, durable=True))
    await lane.open()
    lane.arrive(wishes(1))
    with anyio.move_on_after(1):
        await lane.run(lambda: False)
    row = await ledger.get("job-0")
    assert row is not None
    assert row.state is JobState.ACCEPTED
    assert row.task_id == "task_1"
    assert anyio.current_time() == pytest.approx(4, abs=0.1)


async def test_another_execution_polls_on_what_is_accepted() -> None:
    ledger = MemoryLedger()
    server = FakeServer(seconds=60)
    first = make_lane(server, make_book(ledger, durable=True))
    await first.open()
    first.arrive(wishes(2))
    with anyio.move_on_after(10):
        await first.run(lambda: False)
    await first.book.aclose()
    second = make_lane(server, make_book(ledger, durable=True))
    jobs = await drive(second, wishes(2))
    assert all([(await job.outcome()).ok for job in jobs])
    assert server.posts == 2


async def test_an_intent_of_a_dead_execution_is_ambiguous_and_never_sent() -> None:
    ledger = MemoryLedger()
    await ledger.open()
    await ledger.add([wish("picture 0", key="job-0").to_ledger(0)])
    await ledger.intent("job-0", "dead", at=1.0, reserve=Decimal(15))
    server = FakeServer()
    lane = make_lane(server, make_book(ledger, durable=True))
    (job,) = await drive(lane, wishes(1))
    assert (await job.outcome()).status is OutcomeStatus.AMBIGUOUS
    with pytest.raises(AmbiguousSubmissionError, match="while its submission was on the wire"):
        await job.result()
    assert server.posts == 0


async def test_the_same_key_is_the_same_job_and_another_request_a_conflict() -> None:
    ledger = MemoryLedger()
    server = FakeServer()
    first = make_lane(server, make_book(ledger, durable=True))
    await drive(first, wishes(1))
    await first.book.aclose()
    lane = make_lane(server, make_book(ledger, durable=True))
    await lane.open()
    (again,) = wishes(1)
    conflict = lane.arrive([wish("another", key="job-0")])
    lane.arrive([again])
    await lane.run(lambda: not lane.busy)
    assert (await again.outcome()).ok
    assert isinstance(conflict.error, KeyConflictError)
    assert server.posts == 1


async def test_events_tell_the_life_of_a_job_in_order() -> None:
    seen: list[Event] = []
    lane = make_lane(FakeServer(), on_event=seen.append)
    await drive(lane, wishes(1))
    kinds = [type(event).__name__ for event in seen if type(event).__name__ != "JobPolled"]
    assert kinds == [t.__name__ for t in (JobQueued, JobSubmitted, JobAccepted, JobEnded)]


async def test_what_an_event_handler_raises_is_logged_and_harmless(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def explode(event: Event) -> None:
        raise ZeroDivisionError(type(event).__name__)

    (job,) = await drive(make_lane(FakeServer(), on_event=explode), wishes(1))
    assert (await job.outcome()).ok
    assert "on_event raised for JobEnded" in caplog.text


async def test_lanes_of_one_account_share_its_slots_and_take_turns() -> None:
    server = FakeServer(limit=2, seconds=10)
    account = make_account(server)
    book = make_book()
    big = Lane(account, book, LaneOptions(group="big"))
    small = Lane(account, book, LaneOptions(group="small"))
    await big.open()
    big.arrive([wish(f"big {n}") for n in range(20)])
    await small.open()
    small.arrive([wish("small")])
    finished: list[str] = []

    async def run(lane: Lane, name: str) -> None:
        await lane.run(lambda: not lane.busy)
        finished.append(name)

    async with anyio.create_task_group() as group:
        group.start_soon(run, big, "big")
        group.start_soon(run, small, "small")
    assert server.peak == 2
    assert finished == ["small", "big"]
    assert server.order.index("small") <= 4


async def test_priority_goes_first() -> None:
    server = FakeServer(limit=1)
    jobs = [*wishes(4), wish("urgent", priority=5)]
    await drive(make_lane(server), jobs)
    assert server.order[0] == "urgent"


async def test_a_lane_that_keeps_the_time_hands_it_on() -> None:
    server = FakeServer(limit=1, seconds=10)
    account = make_account(server)
    book = make_book()
    short, long = Lane(account, book, LaneOptions()), Lane(account, book, LaneOptions())
    await short.open()
    await long.open()
    short.arrive([wish("short")])
    long.arrive([wish(f"long {n}") for n in range(3)])
    async with anyio.create_task_group() as group:
        group.start_soon(short.run, lambda: not short.busy)
        group.start_soon(long.run, lambda: not long.busy)
    assert len(server.made) == 4


async def test_an_ended_account_counts_nothing() -> None:
    rng = Random(3)
    server = FakeServer(limit=5, seconds=lambda: rng.uniform(5, 50), tells_limit=False)
    lane = make_lane(server)
    await drive(lane, wishes(50))
    statistics = lane.account.state.statistics()
    assert (statistics.queued, statistics.submitting, statistics.in_flight) == (0, 0, 0)
    assert server.peak == 5


def after_acceptance(act: Callable[[], Awaitable[object]]) -> Callable[[Event], Awaitable[None]]:
    """An event handler that does something once the first job runs."""
    acts = [act]

    async def handler(event: Event) -> None:
        if isinstance(event, JobAccepted) and acts:
            await acts.pop()()

    return handler


async def test_a_job_cancelled_by_another_process_is_not_sent() -> None:
    ledger = MemoryLedger()
    server = FakeServer(limit=1)
    handler = after_acceptance(lambda: ledger.end("job-1", Ending(OutcomeStatus.CANCELLED, at=1.0)))
    lane = make_lane(server, make_book(ledger, durable=True), on_event=handler)
    jobs = await drive(lane, wishes(2))
    assert (await jobs[1].outcome()).status is OutcomeStatus.CANCELLED
    assert server.prompts() == Counter({"picture 0": 1})


async def test_a_request_replaced_by_another_process_is_sent_as_it_is_now() -> None:
    ledger = MemoryLedger()
    server = FakeServer(limit=1)
    edited = wish("edited", key="job-1").to_ledger(1.0)
    handler = after_acceptance(lambda: ledger.add([edited], replace_unsent=True))
    lane = make_lane(server, make_book(ledger, durable=True), on_event=handler)
    jobs = await drive(lane, wishes(2))
    assert all([(await job.outcome()).ok for job in jobs])
    assert server.prompts() == Counter({"picture 0": 1, "edited": 1})


async def test_a_job_accepted_by_another_process_is_polled_on() -> None:
    ledger = MemoryLedger()
    server = FakeServer(limit=1)

    async def accept_elsewhere() -> None:
        await ledger.intent("job-1", "elsewhere", at=1.0)
        await ledger.accepted("job-1", "elsewhere", "task_1", at=2.0)

    handler = after_acceptance(accept_elsewhere)
    lane = make_lane(server, make_book(ledger, durable=True), on_event=handler)
    jobs = await drive(lane, wishes(2))
    outcome = await jobs[1].outcome()
    assert outcome.ok
    assert outcome.task_id == "task_1"
    assert server.prompts() == Counter({"picture 0": 1})
