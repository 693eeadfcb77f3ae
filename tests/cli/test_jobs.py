"""`kinovi jobs --format csv` gives back what was read, whatever it was."""

from __future__ import annotations

import csv
import io
import shlex
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinovi_async._cli._csv import TableOptions, TableReader
from kinovi_async._cli._jobs import again_hint, job_lines, parse_filter, table_of
from kinovi_async._cli._lines import Batch, BatchReader
from kinovi_async._cli._vocabulary import kinovi_vocabulary
from kinovi_async._errors import ConfigurationError
from kinovi_async._outcomes import OutcomeStatus
from kinovi_async._requests import parse_request

from .rows import row

VOCABULARY = kinovi_vocabulary()
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
SPECIAL = st.sampled_from(["=1+1", "-5", "+x", "@a", "'=x", "''=x", 'say "hi"', "a;b", "a,b", "|"])
PROMPTS = (TEXTS | SPECIAL).filter(str.strip)


def read(text: str, tags: tuple[str, ...]) -> Batch:
    reader = BatchReader(VOCABULARY)
    return reader.read("x", TableReader(VOCABULARY, TableOptions(tags=tags)).read(text.encode()))


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, object]:
    model = draw(st.sampled_from(["nanobanana2", "midjourney-v7", "seedance-20", "future-1"]))
    inputs: dict[str, object] = {"prompt": draw(PROMPTS)}
    if model == "nanobanana2" and draw(st.booleans()):
        inputs["imageUrls"] = ["https://e.com/a|b.png", "https://e.com/c.png"]
    if model == "midjourney-v7":
        inputs |= {"quality": 0.5, "stylize": draw(st.integers(0, 1000)), "no": draw(PROMPTS)}
    if model == "seedance-20":
        inputs["duration"] = str(draw(st.integers(4, 15)))
    if model == "future-1":
        inputs["options"] = draw(
            st.dictionaries(TEXTS, st.integers() | st.booleans() | TEXTS, max_size=3)
        )
    return dict(parse_request({"model": model, "inputs": inputs}).to_wire())


@given(bodies(), st.dictionaries(TEXTS.filter(str.isalnum), PROMPTS, max_size=2), PROMPTS)
@settings(max_examples=200, deadline=None)
def test_a_job_comes_back_as_it_was(
    body: dict[str, object], tags: dict[str, str], key: str
) -> None:
    tags = {f"tag {name}": value for name, value in tags.items()}
    found = row(key, status=OutcomeStatus.FAILED, body=body, meta={"tags": tags})
    batch = read(table_of([found], VOCABULARY), tuple(tags))
    assert batch.problems == []
    (line,) = batch.lines
    assert line.body == body
    assert line.tags == tags
    assert line.key == key.strip()


def test_the_input_s_own_headers_come_back() -> None:
    headers = {
        "model": "Model",
        "inputs.prompt": "Prompt",
        "inputs.aspectRatio": "aspect_ratio",
        "tags.scene": "scene",
    }
    body: dict[str, object] = {
        "model": "nanobanana2",
        "inputs": {"prompt": "x", "aspectRatio": "1:1"},
    }
    found = row(
        status=OutcomeStatus.FAILED,
        body=body,
        meta={"headers": headers, "tags": {"scene": "night"}},
        error={"type": "TaskFailedError", "message": "=no\nway"},
    )
    records = list(csv.DictReader(io.StringIO(table_of([found], VOCABULARY))))
    assert records == [
        {
            "id": "cat",
            "Model": "nanobanana2",
            "Prompt": "x",
            "aspect_ratio": "1:1",
            "scene": "night",
            "status": "failed",
            "error": "'=no\nway",
        }
    ]
    hint = again_hint([found], Path("out"))
    assert hint.endswith("kinovi run FILE -o out --rerun failed,rejected --tags scene")


def test_the_command_for_a_mended_csv_can_be_copied_as_it_is() -> None:
    found = row(status=OutcomeStatus.FAILED, meta={"tags": {"shot no": "1", "client": "a"}})
    command = again_hint([found], Path("my films")).partition("run it with: ")[2]
    words = shlex.split(command)
    assert words[words.index("-o") + 1] == "my films"
    assert words[words.index("--tags") + 1] == "shot no,client"


def test_filters_and_formats_are_checked() -> None:
    assert parse_filter("failed, accepted") == ("failed", "accepted")
    with pytest.raises(ConfigurationError, match="--status is one of"):
        parse_filter("broken")
    with pytest.raises(ConfigurationError, match="--format is one of"):
        job_lines([], format_name="xml", vocabulary=VOCABULARY)


def test_a_table_line_is_one_line_without_control_characters() -> None:
    found = row(
        "a\u202eb",
        status=OutcomeStatus.FAILED,
        error={"type": "TaskFailedError", "message": "x\x1b[2J\ny" * 50},
    )
    lines = list(job_lines([found], format_name="table", vocabulary=VOCABULARY))
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


def test_a_carriage_return_in_a_prompt_starts_no_row_of_a_spreadsheet() -> None:
    body: dict[str, object] = {"model": "nanobanana2", "inputs": {"prompt": "a\r=HYPERLINK(0)"}}
    text = table_of([row(status=OutcomeStatus.FAILED, body=body)], VOCABULARY)
    assert '"a\r=HYPERLINK(0)"' in text
