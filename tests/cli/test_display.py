"""What people see: counts at any size, and never a raw control character."""

from __future__ import annotations

import io
import json
import unicodedata
from collections.abc import Iterator
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from kinovi_async._cli._display import Frame, LiveDisplay
from kinovi_async._cli._progress import Progress, Snapshot, one_line
from kinovi_async._cli._reporters import JsonReporter, PlainReporter
from kinovi_async._cli._text import dollars, duration, in_credits, shortened, visible
from kinovi_async._outcomes import OutcomeStatus

EVIL = "\x1b]8;;http://evil\x07link\x1b[2J\r\u202egnp.exe\u2066 [red]markup[/red]"


def snapshot(**changes: object) -> Snapshot:
    values: dict[str, object] = {
        "total": 24,
        "ended": {OutcomeStatus.SUCCEEDED: 10, OutcomeStatus.FAILED: 2},
        "queued": 7,
        "running": 5,
        "limit": 5,
        "spent": Decimal("1440.5"),
        "reserved": Decimal(40),
        "budget": Decimal(3000),
        "elapsed": 60.0,
        "ended_now": 12,
        "files": 9,
        "fetching": 1,
        "failures": ("cat: failed: no",),
        **changes,
    }
    return Snapshot(**values)  # type: ignore[arg-type]


def drawn(shot: Snapshot, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=False, no_color=True)
    console.print(Frame(shot))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_a_frame_fits_its_terminal(width: int) -> None:
    shot = snapshot(failures=("x" * 500, "猫" * 300))
    for line in drawn(shot, width):
        assert len(line) <= width


def test_a_frame_has_the_same_height_for_ten_thousand_jobs() -> None:
    big = snapshot(total=10_000, queued=9_000, ended={OutcomeStatus.SUCCEEDED: 995})
    assert len(drawn(big, 80)) == len(drawn(snapshot(), 80))
    text = "\n".join(drawn(big, 80))
    assert "995 of 10,000 jobs done" in text
    assert "5 running in 5 slots, 9,000 waiting" in text


def test_a_frame_tells_money_rate_and_time_left() -> None:
    text = "\n".join(drawn(snapshot(), 100))
    assert "1,440.5 of 3,000 credits ($7.20) spent, 40 more reserved" in text
    assert "12.0 jobs a minute, about 1 min 00 s left" in text
    assert "2 failed" in text
    assert "cat: failed: no" in text


def test_a_frame_shows_no_control_character_and_obeys_no_markup() -> None:
    text = "".join(drawn(snapshot(failures=(EVIL,)), 200))
    assert text.isprintable()
    assert "\\x1b]8" in text
    assert "[red]markup[/red]" in text


def test_printed_lines_are_data() -> None:
    console = Console(file=io.StringIO(), width=60, force_terminal=False)
    LiveDisplay(console).print(EVIL)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert text.endswith("\n")
    assert text[:-1].isprintable()
    assert "[red]markup[/red]" in text


@given(st.text(max_size=60))
def test_visible_text_moves_and_hides_nothing(text: str) -> None:
    """Only printable characters, spaces of any width, and the two joiners are left."""
    for each in (shown := visible(text)):
        assert each.isprintable() or each in "\u200c\u200d" or unicodedata.category(each) == "Zs"
    shown.encode()


@given(st.text(max_size=200), st.integers(min_value=1, max_value=80))
def test_shortened_keeps_its_limit(text: str, limit: int) -> None:
    assert len(shortened(text, limit)) <= limit


def test_ordinary_text_of_any_script_is_shown_as_it_is() -> None:
    for text in ("Straße", "猫と犬", "हिन्दी", "👩\u200d🚀", "می\u200cخواهم"):  # noqa: RUF001 - as it is written
        assert visible(text) == text


def test_amounts_and_durations_for_people() -> None:
    assert in_credits(Decimal("1234.50")) == "1,234.5 credits"
    assert in_credits(Decimal(1)) == "1 credit"
    assert in_credits(Decimal("1E+3")) == "1,000 credits"
    assert dollars(Decimal(200)) == "$1.00"
    assert dollars(Decimal(15)) == "$0.075"
    assert dollars(Decimal(0)) == "$0.00"
    assert [duration(s) for s in (0.4, 59.6, 200, 7500)] == [
        "0 s",
        "1 min 00 s",
        "3 min 20 s",
        "2 h 05 min",
    ]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_plain_lines_are_throttled_and_silent_without_news() -> None:
    clock, err = Clock(), io.StringIO()
    reporter = PlainReporter(clock=clock, interval=10, err=err)
    for second in range(40):
        clock.now = float(second)
        reporter.show(snapshot(files=second // 20))
    lines = err.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("12 of 24 done, 5 running in 5 slots, 7 waiting, 2 failed")


def test_quiet_tells_only_what_went_wrong() -> None:
    clock, err, out = Clock(), io.StringIO(), io.StringIO()
    reporter = PlainReporter(clock=clock, quiet=True, interval=0, err=err, out=out)
    reporter.tell("hello")
    reporter.show(snapshot())
    reporter.summary("all done")
    reporter.warn(EVIL)
    assert out.getvalue() == ""
    assert len(err.getvalue().splitlines()) == 1
    assert err.getvalue()[:-1].isprintable()


def test_json_events_are_lines_of_ascii_and_words_go_to_stderr() -> None:
    err, out = io.StringIO(), io.StringIO()
    reporter = JsonReporter(clock=Clock(), err=err, out=out)
    reporter.tell("hello")
    reporter.event("ended", {"id": EVIL, "credits": Decimal(5)})
    reporter.summary("two\nlines")
    (line,) = out.getvalue().splitlines()
    assert line.isascii()
    assert json.loads(line)["event"] == "ended"
    assert json.loads(line)["id"] == EVIL
    assert err.getvalue().splitlines() == ["hello", "two", "lines"]


class Closed(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError(text)


def test_a_reader_that_goes_away_does_not_end_the_run() -> None:
    reporter = JsonReporter(clock=Clock(), err=Closed(), out=Closed())
    reporter.tell("hello")
    reporter.event("ended", {})


def test_progress_counts_and_keeps_the_last_failures() -> None:
    clock = Clock()
    progress = Progress(total=10, clock=clock, to_do=9)
    progress.ended_before(OutcomeStatus.SUCCEEDED)
    for number in range(6):
        progress.job_ended(OutcomeStatus.FAILED, f"job {number}")
    clock.now = 60.0
    shot = progress.snapshot(running=2, limit=None, spent=Decimal(0), reserved=Decimal(0))
    assert (shot.queued, shot.left) == (1, 3)
    assert shot.done == 7
    assert shot.failures == ("job 2", "job 3", "job 4", "job 5")
    assert shot.per_minute == 6
    assert shot.seconds_left == 30
    assert "about 30 s left" in one_line(shot)


def _rates() -> Iterator[tuple[int, float]]:
    yield 2, 60.0
    yield 5, 0.0


@pytest.mark.parametrize(("ended", "elapsed"), list(_rates()))
def test_no_rate_is_told_before_there_is_one(ended: int, elapsed: float) -> None:
    shot = snapshot(ended_now=ended, elapsed=elapsed)
    assert shot.per_minute is None
    assert shot.seconds_left is None
