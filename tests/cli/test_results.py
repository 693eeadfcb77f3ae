"""`results.jsonl`: its keys, its numbers, and that it is never half written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinovi_async._cli._results import RESULTS_NAME, Result, ResultsFile, is_result, result_of
from kinovi_async._ledger import JobRow, JobState
from kinovi_async._outcomes import AttemptResult, OutcomeStatus

from .rows import row

KEYS = [
    "id",
    "line",
    "status",
    "task_id",
    "model",
    "credits",
    "urls",
    "files",
    "error",
    "tags",
    "attempts",
    "created_at",
    "completed_at",
]
ACCEPTED = (AttemptResult.ACCEPTED,)


def of(found: JobRow) -> Result:
    return result_of(found, urls_of=lambda record: tuple(record["urls"]))  # type: ignore[arg-type]


def test_a_line_has_exactly_these_keys_in_this_order() -> None:
    found = row(
        status=OutcomeStatus.SUCCEEDED,
        results=ACCEPTED,
        credits=Decimal("15.00"),
        files=("media/cat_1.png",),
        meta={"line": 4, "tags": {"scene": "night", "take": 2}},
    )
    data = json.loads(of(found).to_json())
    assert list(data) == KEYS
    assert data["credits"] == 15
    assert data["line"] == 4
    assert data["tags"] == {"scene": "night", "take": 2}
    assert data["files"] == ["media/cat_1.png"]
    assert data["error"] is None
    assert data["attempts"] == 1
    assert data["created_at"] == "2026-11-21T07:48:00.123Z"
    assert data["completed_at"] == "2026-11-21T07:48:05.500Z"


@given(st.decimals(min_value=0, max_value=10**12, places=6))
def test_credits_are_written_digit_for_digit(amount: Decimal) -> None:
    found = row(status=OutcomeStatus.SUCCEEDED, results=ACCEPTED, credits=amount)
    text = of(found).to_json()
    assert json.loads(text, parse_float=Decimal, parse_int=Decimal)["credits"] == amount
    assert "E" not in text.split('"credits": ')[1].split(",")[0]


@pytest.mark.parametrize(
    "status", [OutcomeStatus.FAILED, OutcomeStatus.REJECTED, OutcomeStatus.CANCELLED]
)
def test_what_failed_costs_nothing(status: OutcomeStatus) -> None:
    found = row(status=status, results=ACCEPTED, credits=Decimal(15))
    assert of(found).credits == 0


def test_unknown_credits_are_null_and_errors_are_told() -> None:
    found = row(
        status=OutcomeStatus.AMBIGUOUS,
        results=(AttemptResult.SERVER_ERROR, AttemptResult.AMBIGUOUS),
        error={"type": "AmbiguousSubmissionError", "message": "lost\u2028answer \ud800"},
    )
    text = of(found).to_json()
    data = json.loads(text)
    assert data["credits"] is None
    assert data["attempts"] == 2
    assert data["error"]["type"] == "AmbiguousSubmissionError"
    assert data["error"]["message"] == "lost\u2028answer \ud800"
    assert text.splitlines() == [text]
    text.encode()


def test_a_missing_file_is_told_as_an_error_of_a_succeeded_job() -> None:
    found = row(status=OutcomeStatus.SUCCEEDED, results=ACCEPTED, download_error="gone")
    assert of(found).error == {"type": "DownloadError", "code": None, "message": "gone"}
    assert of(found).status == "succeeded"


def test_only_jobs_that_ended_and_were_submitted_have_a_line() -> None:
    assert not is_result(row(state=JobState.QUEUED))
    assert not is_result(row(state=JobState.ACCEPTED, results=ACCEPTED))
    assert not is_result(row(status=OutcomeStatus.CANCELLED))
    assert not is_result(row(status=OutcomeStatus.CANCELLED, results=(AttemptResult.NOT_SENT,)))
    assert is_result(row(status=OutcomeStatus.EXPIRED, results=ACCEPTED))
    assert is_result(row(status=OutcomeStatus.REJECTED, results=(AttemptResult.REJECTED,)))


def test_append_then_rewrite_leaves_one_line_an_id(tmp_path: Path) -> None:
    file = ResultsFile(tmp_path)
    line = of(row(status=OutcomeStatus.SUCCEEDED, results=ACCEPTED))
    file.append(line)
    file.append(line)
    assert len(file.path.read_text().splitlines()) == 2
    file.rewrite([line])
    assert [json.loads(each)["id"] for each in file.path.read_text().splitlines()] == ["cat"]
    assert [each.name for each in tmp_path.iterdir()] == ["results.jsonl"]


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links")
def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    """Whoever may write in the directory could guess the names of its files."""
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "out").mkdir()
    file = ResultsFile(tmp_path / "out")
    line = of(row(status=OutcomeStatus.SUCCEEDED, results=ACCEPTED))
    unfinished = file.path.with_name(f".results.jsonl.{os.getpid()}.tmp")
    for link in (file.path, unfinished):
        link.symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match=RESULTS_NAME):
        file.append(line)
    file.rewrite([line])
    assert (tmp_path / "precious").read_text() == "precious"
    assert not file.path.is_symlink()
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["results.jsonl"]


@pytest.mark.skipif(sys.platform == "win32", reason="resource")
def test_a_line_for_which_there_is_no_room_leaves_no_half_of_it(tmp_path: Path) -> None:
    """The system itself cuts the write short, as a full disk does."""
    line = of(row(status=OutcomeStatus.SUCCEEDED, results=ACCEPTED))
    file = ResultsFile(tmp_path)
    file.rewrite([line])
    whole = file.path.read_bytes()
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from tests.cli.test_results import ACCEPTED, OutcomeStatus, ResultsFile, of, row\n"
        "bound = int(sys.argv[2])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (bound, bound))\n"
        "line = of(row(status=OutcomeStatus.SUCCEEDED, results=ACCEPTED))\n"
        "for _ in range(2):\n"
        "    try:\n"
        "        ResultsFile(Path(sys.argv[1])).append(line)\n"
        "    except OSError as error:\n"
        "        print(error.strerror)\n"
    )
    ran = subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-c", script, tmp_path, str(2 * len(whole) + 20)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert ran.stdout == "No space left on device\n", ran.stderr
    assert file.path.read_bytes() == whole * 2


def test_a_rewrite_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    file = ResultsFile(tmp_path)
    line = of(row(status=OutcomeStatus.SUCCEEDED, results=ACCEPTED))
    file.rewrite([line])
    before = file.path.read_bytes()

    def breaking() -> Iterator[Result]:
        yield line
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        file.rewrite(breaking())
    assert file.path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["results.jsonl"]


@given(st.text(), st.dictionaries(st.text(), st.text() | st.integers()))
def test_any_text_survives(key: str, tags: dict[str, str | int]) -> None:
    found = row(key, status=OutcomeStatus.FAILED, results=ACCEPTED, meta={"tags": tags})
    text = of(found).to_json()
    assert text.splitlines() in ([text], [])
    data = json.loads(text)
    assert data["id"] == key
    assert data["tags"] == tags
