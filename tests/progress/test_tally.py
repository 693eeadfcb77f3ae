"""The counters: every event finds its place, and a frame costs the same at any size."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from kinovi_async import (
    APIConnectionError,
    Event,
    InsufficientCreditsError,
    JobAccepted,
    JobEnded,
    JobPolled,
    JobQueued,
    JobRefused,
    JobSubmitted,
    Outcome,
    OutcomeStatus,
    SchedulerPaused,
    SchedulerResumed,
    TaskFailedError,
    TaskRecord,
    TaskStatus,
)
from kinovi_async._record_parsing import parse_record
from kinovi_async.progress._tally import Tally, failure_line, pause_reason


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def record(status: str = "success") -> TaskRecord:
    return parse_record({"taskId": "t", "status": status, "model": "nanobanana2"})


def queued(key: str, model: str = "nanobanana2", cost: int | None = 15) -> JobQueued:
    return JobQueued(at=0, key=key, model=model, cost=None if cost is None else Decimal(cost))


def accepted(key: str) -> list[Event]:
    return [
        JobSubmitted(at=0, key=key, attempt=1),
        JobAccepted(at=0, key=key, task_id=f"task-{key}"),
    ]


def ended(key: str, status: OutcomeStatus = OutcomeStatus.SUCCEEDED, **more: object) -> JobEnded:
    given: dict[str, object] = {"record": record(), "credits": Decimal(15), **more}
    return JobEnded(at=0, outcome=Outcome(key=key, status=status, request=None, **given))  # type: ignore[arg-type]


def tally(*events: Event, clock: Clock | None = None, **options: object) -> Tally:
    made = Tally(clock or Clock(), **options)  # type: ignore[arg-type]
    for event in events:
        made.note(event)
    return made


def test_a_job_goes_from_state_to_state() -> None:
    made = tally()
    seen = []
    for event in (queued("a"), queued("b"), *accepted("a"), ended("a")):
        made.note(event)
        shot = made.snapshot()
        seen.append((shot.waiting, shot.submitting, shot.running, shot.done))
        assert shot.total == shot.waiting + shot.submitting + shot.running + shot.done
    assert seen == [(1, 0, 0, 0), (2, 0, 0, 0), (1, 1, 0, 0), (1, 0, 1, 0), (1, 0, 0, 1)]


def test_a_refused_submission_goes_back_and_tells_the_limit() -> None:
    made = tally(queued("a"), JobSubmitted(at=0, key="a", attempt=1))
    made.note(JobRefused(at=0, key="a", limit=8))
    made.note(JobRefused(at=0, key="a", limit=None))
    shot = made.snapshot()
    assert (shot.waiting, shot.submitting, shot.limit) == (1, 0, 8)


def test_a_task_taken_up_from_a_ledger_shows_with_its_first_poll() -> None:
    made = tally(JobPolled(at=0, key="a", task_id="t", status=TaskStatus.GENERATING))
    assert made.snapshot().running == 1
    made.note(ended("a"))
    assert made.snapshot().running == 0


@pytest.mark.parametrize("status", [None, TaskStatus.SUCCESS])
def test_a_poll_that_comes_late_brings_no_job_back(status: TaskStatus | None) -> None:
    made = tally(queued("a"), *accepted("a"), ended("a"))
    made.note(JobPolled(at=0, key="a", task_id="t", status=status))
    assert made.snapshot().total == 1


def test_a_failed_task_that_is_run_again_is_submitted_again() -> None:
    made = tally(queued("a"), *accepted("a"), JobSubmitted(at=0, key="a", attempt=2))
    shot = made.snapshot()
    assert (shot.submitting, shot.running, shot.total) == (1, 0, 1)


def test_money_counts_what_is_charged_and_what_may_be() -> None:
    unclear = ended("c", OutcomeStatus.AMBIGUOUS, record=None, credits=None)
    made = tally(
        queued("a"), queued("b"), queued("c"), queued("d", cost=None),
        *accepted("a"), *accepted("b"), *accepted("c"), *accepted("d"),
        ended("a"), unclear,
        budget=Decimal(100),
    )  # fmt: skip
    shot = made.snapshot()
    assert [shot.spent, shot.reserved, shot.budget] == [Decimal(15), Decimal(30), Decimal(100)]


def test_the_last_failures_stand_in_the_snapshot_and_all_are_counted() -> None:
    made = tally()
    for number in range(6):
        error = TaskFailedError(f"task t failed: no {number}", record=record("fail"))
        made.note(ended(f"k{number}", OutcomeStatus.FAILED, error=error))
    assert made.snapshot().failures == tuple(f"k{n}: failed: no {n}" for n in range(2, 6))
    assert made.failed == 6


def test_cancelled_jobs_are_counted_and_are_no_failures() -> None:
    error = APIConnectionError("the scheduler is draining")
    made = tally(ended("a", OutcomeStatus.CANCELLED, error=error, record=None, credits=None))
    assert made.snapshot().ended == {OutcomeStatus.CANCELLED: 1}
    assert made.failed == 0


def test_a_long_key_is_cut_and_made_visible() -> None:
    outcome = ended("\x1b[2J" + "k" * 500, OutcomeStatus.FAILED).outcome
    line = failure_line(outcome)
    assert line.startswith("\\x1b[2Jkkk")
    assert len(line) < 60


def test_jobs_that_have_not_come_yet_wait_too() -> None:
    made = tally(queued("a"), total=10)
    shot = made.snapshot()
    assert (shot.total, shot.waiting) == (10, 10)
    made.total = None
    assert made.snapshot().total == 1


def test_an_announced_job_that_is_queued_is_one_job() -> None:
    made = tally()
    made.expect("a", "nanobanana2", Decimal(15))
    made.note(queued("a"))
    made.ended_before(OutcomeStatus.SUCCEEDED)
    shot = made.snapshot()
    assert (shot.total, shot.waiting, shot.done) == (2, 1, 1)


def test_a_pause_says_why_and_what_runs_is_still_estimated() -> None:
    clock = Clock()
    made = tally(queued("a"), queued("b"), queued("c"), *accepted("a"), clock=clock)
    clock.now = 10.0
    made.note(ended("a"))
    for event in accepted("b"):
        made.note(event)
    short = InsufficientCreditsError("no", status_code=402)
    short.required, short.available = Decimal(15), Decimal(3)
    made.note(SchedulerPaused(at=0, reason=short))
    shot = made.snapshot()
    assert shot.notice == (
        "paused",
        "402: not enough credits: the next job needs 15, the account has 3",
    )
    assert shot.remaining is not None
    assert shot.remaining.high < 30
    made.note(SchedulerResumed(at=0))
    assert made.snapshot().notice is None


def test_a_pause_without_a_status_says_what_happened() -> None:
    assert pause_reason(APIConnectionError("no route")) == "no route"


def test_a_rate_needs_three_and_looks_at_the_last_fifty() -> None:
    clock = Clock()
    made = tally(clock=clock)
    for number in range(2):
        made.note(ended(f"early-{number}"))
    clock.now = 30.0
    assert made.snapshot().per_minute is None
    made.note(ended("early-3"))
    assert made.snapshot().per_minute == pytest.approx(6)
    for number in range(100):
        clock.now += 1
        made.note(ended(f"late-{number}"))
    assert made.snapshot().per_minute == pytest.approx(60, rel=0.05)


def test_time_left_comes_from_the_durations_seen_and_the_limit() -> None:
    clock = Clock()
    made = tally(*(queued(f"k{n}", "some-model") for n in range(20)), clock=clock)
    made.note(JobRefused(at=0, key="k19", limit=2))
    for first in range(0, 8, 2):
        for key in (f"k{first}", f"k{first + 1}"):
            for event in accepted(key):
                made.note(event)
        clock.now += 30.0
        made.note(ended(f"k{first}"))
        made.note(ended(f"k{first + 1}"))
    left = made.snapshot().remaining
    assert left is not None
    assert left.low == pytest.approx(180, rel=0.2)
    assert 180 <= left.high < 300


def test_while_the_limit_is_unknown_what_was_in_use_tells_how_fast_it_goes() -> None:
    """Thirty at once for a moment, then four at a time: that is what goes on."""
    clock = Clock()
    made = tally(*(queued(f"k{n}", "some-model") for n in range(600)), clock=clock)

    def rounds(first: int, size: int, count: int, seconds: float) -> None:
        for start in range(first, first + size * count, size):
            keys = [f"k{n}" for n in range(start, start + size)]
            for key in keys:
                made.note(accepted(key)[0])
            clock.now += seconds / 2
            for key in keys:
                made.note(accepted(key)[1])
            clock.now += seconds / 2
            for key in keys:
                made.note(ended(key))

    rounds(0, 30, 1, 1.0)
    rounds(30, 4, 50, 1.0)
    left = made.snapshot().remaining
    assert left is not None
    assert left.low is None
    # 370 jobs at four a second, submissions included: no "at most 15 s".
    assert left.high > 35


def test_jobs_that_had_ended_before_are_done_and_make_no_rate() -> None:
    made = tally(
        *(replace(ended(f"k{n}"), echo=True) for n in range(5)),
        replace(ended("bad", OutcomeStatus.FAILED, error=APIConnectionError("x")), echo=True),
        queued("new"),
    )
    shot = made.snapshot()
    assert (shot.done, shot.total, shot.waiting) == (6, 7, 1)
    assert shot.spent == 90
    assert shot.per_minute is None
    assert shot.failures == ()


def test_a_job_that_another_process_ends_is_an_ending_of_this_run() -> None:
    made = tally(queued("a"), *accepted("a"), replace(ended("a"), echo=True))
    assert made.snapshot().done == 1
    assert not made._open


def test_an_estimate_is_made_once_a_second() -> None:
    clock = Clock()
    made = tally(queued("a"), *accepted("a"), clock=clock)
    clock.now = 20.0
    made.note(ended("a"))
    for event in (queued("b"), *accepted("b")):
        made.note(event)
    first = made.snapshot().remaining
    clock.now = 20.5
    assert made.snapshot().remaining is first
    clock.now = 21.5
    assert made.snapshot().remaining is not first


def test_ten_thousand_jobs_leave_no_trace_when_they_have_ended() -> None:
    made = tally()
    for number in range(10_000):
        made.note(queued(f"k{number}"))
    for number in range(10_000):
        made.note(ended(f"k{number}"))
    shot = made.snapshot()
    assert (shot.done, shot.waiting, shot.total) == (10_000, 0, 10_000)
    assert not made._open
