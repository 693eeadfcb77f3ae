"""What a display says, wherever it is drawn."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from decimal import Decimal

import pytest

from kinovi_async._outcomes import OutcomeStatus
from kinovi_async._text import roughly, sized, write_line
from kinovi_async.progress import Remaining, Snapshot
from kinovi_async.progress._content import content, fitted, one_line, remaining_text
from kinovi_async.progress._lines import Throttle
from kinovi_async.progress._notebook import snapshot_html
from kinovi_async.progress._snapshot import snapshot_facts

from .shots import EVIL, SHOT, shot
from .test_tally import Clock


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (100.0, 120.0, "about 2 min left"),
        (115.0, 245.0, "2 to 4 min left"),
        (3300.0, 5000.0, "55 min to 1 h 20 min left"),
        (2.0, 55.0, "at most 1 min left"),
        (None, 125.0, "at most 2 min left"),
        (6.0, 7.0, "a few seconds left"),
        (6.0, 9.0, "about 10 s left"),
        (400_000.0, 900_000.0, "5 to 10 days left"),
    ],
)
def test_an_estimate_is_told_as_sure_as_it_is(low: float | None, high: float, words: str) -> None:
    assert remaining_text(shot(remaining=Remaining(low, high))) == words


def test_nothing_is_told_of_what_nobody_knows() -> None:
    assert remaining_text(shot(remaining=None)) == ""
    assert "left" not in one_line(shot(remaining=None))


def test_what_ends_a_run_early_stands_beside_the_time() -> None:
    short = shot(remaining=Remaining(100.0, 110.0, affordable=3), waiting=70)
    assert remaining_text(short) == "about 2 min until the budget is used up"
    texts = [part.text for line in content(short) for part in line.parts]
    assert "the budget covers about 3 of 70 waiting" in texts
    stopped = shot(remaining=Remaining(20.0, 22.0), paused="402: no")
    assert remaining_text(stopped) == "about 20 s until what runs has ended"


def test_roughly_rounds_as_one_would_say_it() -> None:
    seconds = (0, 11, 54, 60, 100, 1150, 2000, 3500, 5000, 40_000, 200_000)
    assert [roughly(each) for each in seconds] == [
        "10 s", "10 s", "50 s", "1 min", "2 min", "19 min", "35 min", "1 h", "1 h 20 min",
        "11 h", "2 days",
    ]  # fmt: skip


def test_sizes_for_people() -> None:
    assert [sized(each) for each in (0, 999, 1000, 163_400, 31_200_000, 5e12)] == [
        "0 B", "999 B", "1.0 kB", "163 kB", "31.2 MB", "5.0 TB",
    ]  # fmt: skip


def test_little_height_leaves_out_old_failures_first_and_the_bar_last() -> None:
    full = content(shot(failures=("one", "two", "three"), held="the disk is full"), hints=["hint"])
    texts = [[line.parts[0].text for line in fitted(full, height)] for height in (12, 9, 8, 2, 1)]
    assert len(texts[0]) == len(full) == 11
    assert "one" not in texts[1]
    assert {"three", "the disk is full", "hint"} <= set(texts[1])
    assert "two" not in texts[2]
    assert texts[4] == ["12 of 24 jobs done"]


def test_one_line_tells_all_that_matters_in_a_log() -> None:
    assert one_line(shot(held="the disk\nis full")) == (
        "12 of 24 jobs done, 5 running in 8 slots, 7 waiting, 2 failed, "
        "fetching files of 2 jobs, 1,440.5 of 3,000 credits ($7.20), 1 min 00 s, "
        "2 to 4 min until what runs has ended, on hold: the disk\\nis full"
    )
    over = shot(waiting=0, running=0, submitting=0, remaining=None, to_fetch=0, budget=None)
    assert one_line(over) == "12 of 24 jobs done, 2 failed, 1,440.5 credits ($7.20), 1 min 00 s"


def test_facts_for_programs_are_plain_numbers() -> None:
    facts = snapshot_facts(shot(remaining=Remaining(None, 61.4), limit=None))
    assert facts["seconds_left"] == [None, 61]
    assert facts["credits"] == 1440.5
    assert facts["state"] == "running"
    held = snapshot_facts(shot(held="the disk is full", remaining=None))
    assert (held["state"], held["reason"]) == ("on_hold", "the disk is full")
    assert held["seconds_left"] is None


def test_html_is_escaped_and_has_no_script() -> None:
    evil = '<script>alert(1)</script><img src=x onerror="x">'
    html = snapshot_html(shot(failures=(evil, EVIL), paused=evil))
    assert "<script" not in html
    assert "<img" not in html
    assert "\x1b" not in html
    assert "\\x1b]8" in html
    assert len(snapshot_html(shot(failures=("x" * 100_000,)))) < 10_000


def test_no_words_are_coloured_that_must_be_read_on_light_and_dark_grounds() -> None:
    html = snapshot_html(shot(failures=("cat: failed: no",)))
    coloured = re.findall(r'style="color:#\w+"[^>]*>([^<]*)<', html)
    assert coloured
    assert set(coloured) == {"●"}


def test_html_shows_an_empty_run_and_lone_surrogates() -> None:
    assert "0 of 0 jobs done" in snapshot_html(shot(total=0, ended={}))
    snapshot_html(shot(failures=("\ud800",))).encode()


# -- plain lines ---------------------------------------------------------------------------


def told(shots: Sequence[tuple[float, Snapshot]], **options: float) -> list[float]:
    clock = Clock()
    throttle = Throttle(clock, **options)
    times = []
    for at, each in shots:
        clock.now = at
        if throttle.is_due(each):
            times.append(at)
    return times


def test_lines_come_by_time_and_by_progress() -> None:
    """Two jobs of a hundred a second: every 10 s; one in 20 s: once a minute."""

    def at(done: int, total: int) -> Snapshot:
        return shot(total=total, ended={OutcomeStatus.SUCCEEDED: done})

    quick = [(float(second), at(2 * second, 100)) for second in range(51)]
    assert told(quick) == [10, 20, 30, 40, 50]
    slow = [(float(second), at(second // 20, 10_000)) for second in range(300)]
    assert told(slow) == [10, 70, 130, 190, 250]


def test_nothing_new_is_no_line_and_news_come_soon() -> None:
    still = [(float(second), SHOT) for second in range(500)]
    assert told(still) == [10]
    held = shot(held="the disk is full")
    assert told([*still, (500.0, held), (501.0, held), (511.0, SHOT)]) == [10, 500, 511]


class Latin(io.TextIOWrapper):
    """A stream of an old terminal."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="ascii", newline="\n")

    @property
    def written(self) -> bytes:
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue()


def test_a_stream_that_lacks_a_character_gets_an_escape() -> None:
    stream = Latin()
    write_line("Straße 猫", stream)
    assert stream.written == b"Stra\\xdfe \\u732b\n"


def test_a_stream_that_is_closed_is_no_error() -> None:
    stream = Latin()
    stream.close()
    write_line("anything", stream)


def test_money_without_cents_and_with() -> None:
    assert "2,000 credits ($10.00)" in one_line(shot(spent=Decimal(2000), budget=None))
