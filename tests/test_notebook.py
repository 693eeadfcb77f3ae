"""Records and outcomes in a notebook: escaped, small, and with their pictures."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from kinovi_async import NanoBanana2, Outcome, OutcomeStatus, Output, TaskRecord, TaskStatus
from kinovi_async._errors import KinoviError
from kinovi_async._records import TaskError

from .environment import plain_environment

START = datetime(2026, 11, 21, 7, 48, tzinfo=UTC)


def record(*urls: str, **more: object) -> TaskRecord:
    outputs = tuple(Output(url, width=64, height=48) for url in urls)
    options: dict[str, object] = {
        "task_id": "task_1",
        "status": TaskStatus.SUCCESS,
        "model": "nanobanana2",
        "credits_used": Decimal(15),
        "created_at": START,
        "completed_at": START + timedelta(seconds=20),
        **more,
    }
    return TaskRecord(outputs=outputs, **options)  # type: ignore[arg-type]


def test_a_record_shows_its_pictures() -> None:
    shown = record("https://cdn.example.com/a.png?x=1&y=2")._repr_html_()
    assert '<img src="https://cdn.example.com/a.png?x=1&amp;y=2"' in shown
    assert "15 credits" in shown
    assert "20 s" in shown
    assert "on the server until 2026-12-05" in shown


@pytest.mark.parametrize(
    ("output", "element"),
    [
        (Output("https://c/x.mp4"), "<video"),
        (Output("https://c/x?name=a.png", media_type="video/mp4"), "<video"),
        (Output("https://c/x.mp3"), "<audio"),
        (Output("https://c/x"), "<img"),
    ],
)
def test_films_and_sounds_have_a_player(output: Output, element: str) -> None:
    shown = TaskRecord("t", TaskStatus.SUCCESS, outputs=(output,))._repr_html_()
    assert element in shown


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,<script>", "file:///etc/passwd", "//x/y",
            "https://[::1", "https://c/" + "x" * 5_000, "https:///nowhere"],
)  # fmt: skip
def test_other_addresses_are_told_and_not_loaded(url: str) -> None:
    shown = record(url)._repr_html_()
    assert "src=" not in shown
    assert "<code>" in shown
    assert "<script>" not in shown


def test_everything_is_escaped() -> None:
    bad = "\"><script>alert(1)</script>'&"
    error = KinoviError(bad, task_id=bad)
    made = record(f"https://c/{bad}", task_id=bad, model=bad, error=TaskError(bad, bad))
    request = NanoBanana2(prompt=bad)
    outcome = Outcome(bad, OutcomeStatus.FAILED, request, record=made, error=error,
                      task_id=bad, download_error=bad)  # fmt: skip
    for shown in (made._repr_html_(), outcome._repr_html_()):
        assert "<script" not in shown
        assert set(re.findall(r"<(\w+)", shown)) <= {"div", "strong", "span", "img"}
        assert not re.search(r"\son\w+=", shown.replace(bad, ""))


def test_a_cell_stays_small() -> None:
    made = record(*(f"https://c/{n}.png" for n in range(1_000)), model="m" * 10**6)
    outcome = Outcome(
        "k" * 10**6, OutcomeStatus.SUCCEEDED, NanoBanana2(prompt="x" * 9_000), record=made
    )
    shown = outcome._repr_html_()
    assert len(shown) < 8_000
    assert shown.count("<img") == 8
    assert "and 992 more" in shown


def test_an_outcome_without_anything_is_shown_too() -> None:
    shown = Outcome("a", OutcomeStatus.CANCELLED, None)._repr_html_()
    assert "cancelled" in shown
    assert "\ud800" not in Outcome("\ud800", OutcomeStatus.CANCELLED, None)._repr_html_()


@pytest.mark.parametrize(
    ("more", "since"),
    [({}, START + timedelta(seconds=20)), ({"completed_at": None}, START)],
)
def test_files_are_kept_for_fourteen_days(more: dict[str, object], since: datetime) -> None:
    assert record("https://c/a.png", **more).media_expires_at == since + timedelta(days=14)


def test_what_has_no_files_or_times_does_not_expire() -> None:
    assert record().media_expires_at is None
    assert record("https://c/a", created_at=None, completed_at=None).media_expires_at is None


def test_records_import_nothing_for_notebooks() -> None:
    code = (
        "import sys, kinovi_async; kinovi_async.TaskRecord, kinovi_async.Outcome; "
        "print(sorted({'kinovi_async._notebook', 'jinja2', 'html'} & set(sys.modules)))"
    )
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env=plain_environment(),
    )
    assert done.stdout.strip() == "[]"
