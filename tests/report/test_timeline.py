"""Tasks on the timeline: slots, pauses, and the share that was in use."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinovi_async._cli._report._timeline import MOST_STEPS, Span, Timeline, span_of, timeline
from kinovi_async._ledger import JobState
from kinovi_async._record_parsing import parse_record

from .outs import START, row


def line(*times: tuple[float, float, float, float], now: float = 1e6, **more: object) -> Timeline:
    """The timeline of jobs by (queued, accepted, done, seen)."""
    spans = [Span(job, *each) for job, each in enumerate(times)]
    return timeline(spans, now=now, **more)  # type: ignore[arg-type]


def test_tasks_one_after_the_other_share_a_slot() -> None:
    made = line((0, 0, 10, 11), (0, 11, 20, 21), (0, 5, 30, 31))
    assert made.slots == 2
    assert [(bar.job, bar.slot) for bar in made.bars] == [(0, 0), (1, 0), (2, 1)]
    assert made.length == 31


def test_a_slot_may_be_taken_again_before_its_end_is_seen() -> None:
    made = line((0, 0, 10, 14), (0, 12, 20, 20))
    assert made.slots == 1
    assert [(bar.start, bar.done, bar.end) for bar in made.bars] == [(0, 10, 12), (12, 20, 20)]


def test_clocks_that_differ_a_little_make_no_new_slot() -> None:
    assert line((0, 0, 10.1, 10.1), (0, 10, 20, 20)).slots == 1
    assert line((0, 0, 12, 12), (0, 10, 20, 20)).slots == 2


def test_the_pause_between_two_runs_is_cut_out() -> None:
    made = line((0, 0, 100, 100), (0, 50_000, 50_100, 50_100))
    assert made.length == 200
    assert [(each.start, each.length, each.at) for each in made.stretches] == [
        (0, 100, 0),
        (100, 100, 50_000),
    ]
    assert made.bars[1].start == 100


def test_short_gaps_stay() -> None:
    assert len(line((0, 0, 10, 10), (0, 40, 50, 50)).stretches) == 1


def test_use_counts_the_time_in_which_jobs_were_waiting() -> None:
    # Two slots; from 10 on one is empty while a job waits until 20.
    made = line((0, 0, 10, 10), (0, 0, 40, 40), (0, 20, 30, 30))
    assert made.use == pytest.approx((10 * 2 + 10) / (20 * 2))
    assert line((0, 0, 10, 10)).use is None


def test_unseen_time_is_told() -> None:
    assert line((0, 0, 9, 10)).unseen_share == pytest.approx(0.1)


def test_jobs_that_wait_still_are_on_the_curve() -> None:
    made = line((0, 0, 10, 10), waiting_since=[0.0, 5.0], now=10)
    assert made.waiting == ((0, 1), (5, 2))


def test_the_curve_of_a_long_run_stays_short() -> None:
    made = line(*((0.0, float(n), n + 1.0, n + 1.0) for n in range(3_000)))
    assert len(made.waiting) == MOST_STEPS
    assert (made.waiting[0][0], made.waiting[-1]) == (0, (2_999, 0))


@given(
    st.lists(
        st.tuples(*[st.floats(0, 1e5)] * 4).map(
            lambda t: (t[0], t[0] + t[1], t[0] + t[1] + t[2], t[0] + t[1] + t[2] + t[3] / 1e4)
        ),
        min_size=1,
        max_size=30,
    )
)
def test_bars_of_a_slot_never_overlap(times: list[tuple[float, float, float, float]]) -> None:
    made = line(*times)
    assert sorted(bar.job for bar in made.bars) == list(range(len(times)))
    for slot in range(made.slots):
        bars = [bar for bar in made.bars if bar.slot == slot]
        assert bars
        for bar, after in pairwise(bars):
            assert bar.end <= after.start
    for bar in made.bars:
        assert 0 <= bar.start <= bar.done <= bar.end <= made.length * 1.000_001
    if made.use is not None:
        assert -1e-6 <= made.use <= 1 + 1e-6


def test_the_server_s_clock_measures_the_task_and_ours_the_rest() -> None:
    made = row("a", queued=1.0, accepted=5.0, took=20.0, unseen=2.0)
    assert made.record is not None
    record = parse_record(
        {**made.record, "createTime": 1_000_000_000_000, "completeTime": 1_000_000_020_000}
    )
    span = span_of(0, made, record, now=START)
    assert span is not None
    assert (span.waited, span.generating, span.unseen) == pytest.approx((4, 20, 2))


def test_a_task_that_runs_on_lasts_until_now() -> None:
    made = row("a", status=None, state=JobState.ACCEPTED, accepted=5.0)
    span = span_of(0, made, None, now=START + 65)
    assert span is not None
    assert span.generating == pytest.approx(60)
    assert span_of(0, row("q", status=None, state=JobState.QUEUED), None, now=START) is None


def test_a_server_that_tells_nonsense_moves_nothing() -> None:
    made = row("a", accepted=5.0, took=20.0)
    assert made.record is not None
    for complete in (1, made.record["createTime"] * 3, "soon"):  # type: ignore[operator]
        record = parse_record({**made.record, "completeTime": complete})
        span = span_of(0, made, record, now=START)
        assert span is not None
        assert 0 <= span.generating <= 21
