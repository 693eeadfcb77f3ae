"""Records and outcomes in a notebook: escaped, small, and with their pictures."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from kinovi_async import (
    NanoBanana2,
    Outcome,
    OutcomeStatus,
    Output,
    TaskRecord,
    TaskStatus,
)
from kinovi_async._errors import KinoviError
from kinovi_async._notebook import LARGEST_CELL, LARGEST_PICTURE, MOST_SAVED, saved
from kinovi_async._records import TaskError
from kinovi_async.testing import InstantSimulator

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


# -- files on the disk -----------------------------------------------------------------

SMALL, LARGE = b"\x89PNG small", b"x" * (LARGEST_PICTURE + 1)


def sources(shown: str) -> list[str]:
    return re.findall(r' src="([^"]*)"', shown)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    """The notebook's folder."""
    with contextlib.chdir(tmp_path):
        yield tmp_path


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_a_small_picture_that_was_downloaded_stands_in_the_cell(here: Path) -> None:
    made = record("https://c/a.png", "https://c/b.png", task_id="task_small")
    saved("task_small", [put(here / "a.png", SMALL)])
    data = f"data:image/png;base64,{b64encode(SMALL).decode()}"
    assert sources(made._repr_html_()) == [data, "https://c/b.png"]
    outcome = Outcome("k", OutcomeStatus.SUCCEEDED, None, record=made)
    assert sources(outcome._repr_html_())[0] == data


def test_larger_files_and_films_are_pointed_to(here: Path) -> None:
    urls = ("https://c/a", "https://c/b", "javascript:alert(1)")
    made = record(*urls, task_id="task_large")
    names = ('pictures/a "b"<#1>.png', "pictures/film.mp4", "pictures/page.html")
    saved("task_large", [put(here / name, LARGE) for name in names])
    shown = made._repr_html_()
    assert sources(shown) == [
        "pictures/a%20%22b%22%3C%231%3E.png", "pictures/film.mp4", "pictures/page.html",
    ]  # fmt: skip
    assert "<video" in shown


def test_what_is_gone_or_elsewhere_is_fetched_from_the_server(here: Path) -> None:
    made = record("https://c/a.png", "https://c/b.png", "https://c/c.png", task_id="task_gone")
    put(here / "notebooks" / "n.ipynb", b"{}")
    saved("task_gone", [here / "gone.png", put(here / "far.png", LARGE), here])
    with contextlib.chdir(here / "notebooks"):
        assert sources(made._repr_html_()) == list(made.urls)


def test_a_cell_of_pictures_stays_below_its_bound(here: Path) -> None:
    paths = [put(here / f"{n}.png", b"x" * LARGEST_PICTURE) for n in range(8)]
    saved("task_many", paths)
    made = record(*(f"https://c/{n}.png" for n in range(8)), task_id="task_many")
    shown = made._repr_html_()
    assert len(shown) < LARGEST_CELL + 8_000
    assert [source[:5] for source in sources(shown)] == ["data:"] * 2 + [
        f"{n}.png" for n in range(2, 8)
    ]


def test_only_the_last_tasks_are_remembered(here: Path) -> None:
    for number in range(MOST_SAVED + 1):
        saved(f"task_{number}", [put(here / "a.png", SMALL)] if not number else [])
    assert sources(record("https://c/a.png", task_id="task_0")._repr_html_()) == ["https://c/a.png"]


async def test_a_download_shows_its_files_from_then_on(tmp_path: Path) -> None:
    async with InstantSimulator().client() as client:
        made = await client.generate(NanoBanana2(prompt="a red cat"))
        (path,) = await client.download(made, tmp_path)
    data = b64encode(path.read_bytes()).decode()
    assert sources(made._repr_html_()) == [f"data:image/png;base64,{data}"]


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
    )
    assert done.stdout.strip() == "[]"
