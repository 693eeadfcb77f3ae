"""What people see: counts at any size, in any terminal, and never a raw control character."""

from __future__ import annotations

import io
import json
import sys
import unicodedata
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from kinovi_async._cli._reporters import (
    MOST_FAILURES,
    JsonReporter,
    LiveReporter,
    PlainReporter,
    choose_reporter,
)
from kinovi_async._cli._text import dollars, duration, in_credits, shortened, visible
from kinovi_async._outcomes import OutcomeStatus
from kinovi_async.progress import Snapshot
from kinovi_async.progress._live import Frame, LiveDisplay, console_for, fit_encoding
from tests.progress.shots import EVIL, Screen, shot
from tests.progress.test_tally import Clock

HINTS = ("Ctrl-C stops", "the same command goes on")


def drawn(each: Snapshot, width: int, *, height: int = 24, encoding: str = "utf-8") -> list[str]:
    lines = Frame(each, hints=HINTS).lines(width=width, height=height, encoding=encoding)
    assert all(line.cell_len < width for line in lines)
    return [line.plain for line in lines]


@pytest.mark.parametrize("width", [3, 20, 40, 80, 200])
@pytest.mark.parametrize("height", [1, 5, 24])
def test_a_frame_fits_its_terminal(width: int, height: int) -> None:
    wide = shot(failures=("x" * 500, "猫" * 300, "e\u0301" * 90), paused="402: " + "y" * 300)
    assert len(drawn(wide, width, height=height)) <= max(1, height - 1)


def test_a_frame_has_the_same_height_for_ten_thousand_jobs() -> None:
    big = shot(total=10_000, waiting=9_000, ended={OutcomeStatus.SUCCEEDED: 995})
    assert len(drawn(big, 80)) == len(drawn(shot(), 80))
    text = "\n".join(drawn(big, 80))
    assert "995 of 10,000 jobs done" in text
    assert "5 of 8 in use, 9,000 waiting" in text


def test_a_frame_tells_slots_money_files_and_time_left() -> None:
    assert drawn(shot(), 80) == [
        "━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━─────────────  12 of 24 jobs done, 50 %",
        "slots    ━━━━━━────  5 of 8 in use, 7 waiting, 1 on the wire, 97% full so far",
        "ended    10 succeeded, 2 failed",
        "credits  1,440.5 of 3,000 spent, $7.20, 40 reserved",
        "files    9 saved, 31.2 MB, 3 being fetched, of 2 jobs",
        "time     1 min 00 s, 12 jobs a minute, 2 to 4 min left",
        "failures cat: failed: no",
        "         Ctrl-C stops, the same command goes on",
    ]


def test_a_narrow_terminal_gets_what_matters_most() -> None:
    assert drawn(shot(paused="402: not enough credits"), 40) == [
        "━━━━━━━━━━───  12 of 24 jobs done, 50 %",
        "slots    5 of 8 in use, 7 waiting",
        "ended    10 succeeded, 2 failed",
        "credits  1,440.5 of 3,000 spent",
        "files    9 saved, 3 being fetched",
        "time     2 to 4 min until what runs ha…",
        "paused   402: not enough credits",
        "failures cat: failed: no",
        "         Ctrl-C stops",
    ]


def test_a_terminal_without_unicode_gets_ascii() -> None:
    lines = drawn(shot(failures=("猫 and a long story " * 9,)), 60, encoding="ascii")
    assert all(line.isascii() for line in lines)
    assert lines[0].startswith("####")
    assert "\\u732b" in "\n".join(lines)
    assert lines[-2].endswith("...")
    assert fit_encoding("Straße 猫", "latin-1") == "Straße \\u732b"


def test_an_unknown_limit_is_said_to_be_unknown() -> None:
    text = "\n".join(drawn(shot(limit=None), 80))
    assert "5 in use, the limit is not known yet, 7 waiting" in text


def test_a_frame_shows_no_control_character_and_obeys_no_markup() -> None:
    text = "".join(drawn(shot(failures=(EVIL,)), 200))
    assert text.isprintable()
    assert "\\x1b]8" in text
    assert "[red]markup[/red]" in text


# -- the live display on a terminal --------------------------------------------------------


class Terminal(io.StringIO):
    """Hands what is written to a screen."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.screen = Screen(width)
        self.raw = ""

    def write(self, text: str) -> int:
        self.raw += text
        self.screen.take(text)
        return len(text)


def live(width: int = 80, *, colour: bool = True) -> tuple[LiveDisplay, Console, Terminal]:
    terminal = Terminal(width)
    console = Console(
        file=terminal,
        width=width,
        height=24,
        force_terminal=True,
        no_color=not colour,
        highlight=False,
        _environ={"TERM": "xterm"},
    )
    return LiveDisplay(console, hints=HINTS), console, terminal


def test_lines_stay_above_the_display_and_nothing_of_it_is_left() -> None:
    display, _, terminal = live()
    display.start()
    display.show(shot())
    display.print(EVIL)
    display.show(shot(total=30))
    assert terminal.screen.cursor_shown
    assert terminal.screen.lines == [visible(EVIL), *drawn(shot(total=30), 80)]
    display.stop()
    display.stop()
    display.print("after")
    assert terminal.screen.lines == [visible(EVIL), "after"]
    assert terminal.screen.cursor_shown


@pytest.mark.parametrize("widths", [(40,), (79, 78, 30), (25, 120), (10, 80, 10)])
def test_a_resized_terminal_shows_one_display(widths: tuple[int, ...]) -> None:
    display, console, terminal = live()
    display.start()
    display.print("above")
    display.show(shot())
    for width in widths:
        terminal.screen.resize(width)
        console.width = width
        display.show(shot())
        assert terminal.screen.lines == ["above", *(line.rstrip() for line in drawn(shot(), width))]
    terminal.screen.resize(9)
    console.width = 9
    display.stop()
    assert terminal.screen.lines == ["above"]


def test_without_colour_there_is_none() -> None:
    display, _, terminal = live(colour=False)
    display.start()
    display.show(shot())
    assert "\x1b[3" not in terminal.raw
    assert "━━━───" in terminal.screen.lines[0]


def test_what_a_program_prints_into_a_file_gets_there() -> None:
    """Rich would take standard output over, though it is no terminal."""
    display, _, _ = live()
    before = sys.stdout
    display.start()
    assert sys.stdout is before
    display.stop()


def test_a_live_reporter_leaves_the_last_failures_on_the_terminal() -> None:
    terminal = Terminal(80)
    reporter = LiveReporter(clock=Clock(), err=terminal)
    for number in range(MOST_FAILURES + 2):
        reporter.failed(f"job-{number}: failed")
    reporter.stop()
    reporter.stop()
    assert terminal.screen.lines == [
        "12 failures, the last 10:",
        *(f"job-{number}: failed" for number in range(2, 12)),
    ]


class Gone(Terminal):
    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")


def test_a_terminal_that_is_gone_ends_nothing() -> None:
    reporter = LiveReporter(clock=Clock(), err=Gone(80))
    reporter.start()
    reporter.failed("no")
    reporter.show(shot())
    reporter.stop()


@pytest.mark.parametrize(("term", "kind"), [("dumb", PlainReporter), ("xterm", LiveReporter)])
def test_a_terminal_that_cannot_move_its_cursor_gets_lines(
    monkeypatch: pytest.MonkeyPatch, term: str, kind: type
) -> None:
    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(sys, "stderr", Tty())
    assert type(choose_reporter(as_json=False, quiet=False, clock=Clock())) is kind
    assert type(choose_reporter(as_json=True, quiet=False, clock=Clock())) is JsonReporter
    assert type(choose_reporter(as_json=False, quiet=True, clock=Clock())) is PlainReporter


def test_a_console_is_nothing_but_a_terminal() -> None:
    console = console_for(io.StringIO())
    assert not console.is_jupyter
    assert not console.is_terminal


# -- lines, JSON, nothing -------------------------------------------------------------------


def test_plain_lines_are_throttled() -> None:
    clock, err = Clock(), io.StringIO()
    reporter = PlainReporter(clock=clock, interval=10, err=err)
    for second in range(40):
        clock.now = float(second)
        reporter.show(
            shot(ended={OutcomeStatus.SUCCEEDED: 2 * (second // 20), OutcomeStatus.FAILED: 1})
        )
    lines = err.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("1 of 24 jobs done, 5 running in 8 slots, 7 waiting, 1 failed")


def test_quiet_tells_only_what_went_wrong() -> None:
    err, out = io.StringIO(), io.StringIO()
    reporter = PlainReporter(clock=Clock(), quiet=True, interval=0, err=err, out=out)
    reporter.tell("hello")
    reporter.show(shot())
    reporter.failed("a job")
    reporter.summary("all done")
    reporter.warn(EVIL)
    reporter.failed("a file", matters=True)
    assert out.getvalue() == ""
    first, second = err.getvalue().splitlines()
    assert first.isprintable()
    assert second == "a file"


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


def test_json_progress_comes_once_a_second_at_most() -> None:
    clock, out = Clock(), io.StringIO()
    reporter = JsonReporter(clock=clock, err=io.StringIO(), out=out)
    for tick in range(41):
        clock.now = tick / 4
        reporter.show(shot(ended={OutcomeStatus.SUCCEEDED: tick // 4 * 2}))
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [event["done"] for event in events] == [2 * second for second in range(1, 11)]
    assert {event["event"] for event in events} == {"progress"}


class Closed(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError(text)


def test_a_reader_that_goes_away_does_not_end_the_run() -> None:
    reporter = JsonReporter(clock=Clock(), err=Closed(), out=Closed())
    reporter.tell("hello")
    reporter.event("ended", {})


# -- words ----------------------------------------------------------------------------------


@given(st.text(max_size=60))
def test_visible_text_moves_and_hides_nothing(text: str) -> None:
    """Only printable characters, spaces of any width, and the two joiners are left."""
    for each in (shown := visible(text)):
        assert each.isprintable() or each in "\u200c\u200d" or unicodedata.category(each) == "Zs"
    shown.encode()


@given(st.text(max_size=200), st.integers(min_value=1, max_value=80))
def test_shortened_keeps_its_limit(text: str, limit: int) -> None:
    assert len(shortened(text, limit)) <= limit


@given(st.text(max_size=80), st.integers(2, 60), st.sampled_from(["utf-8", "ascii", "cp1252"]))
def test_no_text_makes_a_line_longer_than_its_terminal(text: str, width: int, code: str) -> None:
    for line in drawn(shot(failures=(text,), held=text), width, encoding=code):
        line.encode(code)
        assert "\n" not in line


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
