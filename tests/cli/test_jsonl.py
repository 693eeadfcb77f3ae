"""JSON lines: everything a file of them can get wrong, by line number."""

from __future__ import annotations

import io
import json
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinovi_async._cli._jsonl import read_jsonl
from kinovi_async._cli._lines import LINE_LIMIT, Batch, BatchReader
from kinovi_async._cli._vocabulary import Vocabulary, kinovi_vocabulary

from .conftest import ReadFile

GOOD = b'{"id": "cat", "model": "nanobanana2", "inputs": {"prompt": "a cat"}}\n'


def messages(batch: Batch) -> list[tuple[int, str, str]]:
    return [(problem.line, problem.field, problem.message) for problem in batch.problems]


def test_a_line_is_an_api_body_with_id_and_tags(read: ReadFile) -> None:
    line = {
        "id": "cat-1",
        "tags": {"scene": "night", "take": 3, "weight": 0.5},
        "model": "seedance-20",
        "inputs": {"prompt": "a cat", "duration": 5},
    }
    batch = read(json.dumps(line).encode())
    assert batch.problems == []
    (found,) = batch.lines
    assert (found.number, found.key) == (1, "cat-1")
    assert found.tags == {"scene": "night", "take": 3, "weight": 0.5}
    assert found.body == {"model": "seedance-20", "inputs": {"prompt": "a cat", "duration": "5"}}
    assert found.request.cost() == 200


@pytest.mark.parametrize(
    ("line", "field", "words"),
    [
        ("nope", "", "not valid JSON: Expecting value at column 1"),
        ('{"model": "nanobanana2"', "", "not valid JSON"),
        (GOOD.decode().strip() + " }", "", "not valid JSON: Extra data at column"),
        ("[1, 2]", "", "an object is needed, not a list"),
        ("7", "", "an object is needed, not 7"),
        ('{"inputs": {"prompt": "x"}}', "model", "missing, and no --model was given"),
        ('{"model": 5, "inputs": {"prompt": "x"}}', "model", "a model's name, not 5"),
        ('{"model": "nanobanana2"}', "inputs", "missing"),
        ('{"model": "nanobanana2", "inputs": "x"}', "inputs", "an object, not 'x'"),
        (
            '{"model": "nanobanana2", "inputs": {"prompt": "x"}, "promt": 1}',
            "promt",
            "no such field on this level",
        ),
        (
            '{"model": "nanobanana2", "prompt": "x"}',
            "prompt",
            "the model's fields go into inputs",
        ),
        (
            '{"model": "nanobanana2", "inputs": {"prompt": NaN}}',
            "",
            "NaN is no JSON",
        ),
        (
            '{"model": "nanobanana2", "inputs": {"prompt": "x", "seed": 1e999}}',
            "",
            "1e999 is too large a number",
        ),
        (
            '{"model": "nanobanana2", "inputs": {"prompt": "x", "prompt": "y"}}',
            "",
            "the field 'prompt' is there twice",
        ),
        (
            '{"model": "seedance-20", "inputs": {"prompt": "x", "duration": 60}}',
            "inputs.duration",
            "a whole number from 4 to 15, not 60",
        ),
        (
            '{"id": 1.5, "model": "nanobanana2", "inputs": {"prompt": "x"}}',
            "id",
            "text or a whole number, not 1.5",
        ),
        (
            '{"id": "a\\u0007b", "model": "nanobanana2", "inputs": {"prompt": "x"}}',
            "id",
            "has a control character",
        ),
        (
            '{"id": " ", "model": "nanobanana2", "inputs": {"prompt": "x"}}',
            "id",
            "an empty id",
        ),
        (
            '{"id": "' + "i" * 201 + '", "model": "nanobanana2", "inputs": {"prompt": "x"}}',
            "id",
            "201 characters, at most 200",
        ),
        (
            '{"tags": ["a"], "model": "nanobanana2", "inputs": {"prompt": "x"}}',
            "tags",
            "an object, not a list",
        ),
        (
            '{"tags": {"a": null}, "model": "nanobanana2", "inputs": {"prompt": "x"}}',
            "tags.a",
            "text or a number, not null",
        ),
        (
            '{"model": "x-1", "inputs": {"prompt": "\\ud800"}}',
            "inputs",
            "half of a surrogate pair",
        ),
        ("[" * 100_000, "", "nested too deep"),
        (
            '{"model": "x-1", "inputs": {"a": ' + "[" * 40 + "]" * 40 + "}}",
            "inputs",
            "nested deeper than 32 levels",
        ),
        (
            '{"model": "x-1", "inputs": {"a": ' + "9" * 5000 + "}}",
            "",
            "a huge number",
        ),
    ],
)
def test_a_bad_line_is_named_with_its_number_and_reason(
    read: ReadFile, line: str, field: str, words: str
) -> None:
    batch = read(GOOD + line.encode() + b"\n" + GOOD.replace(b'"cat"', b'"dog"'))
    assert any(
        number == 2 and at == field and words in message for number, at, message in messages(batch)
    ), messages(batch)
    assert all(number == 2 for number, _, _ in messages(batch))


def test_every_bad_line_is_named_in_one_go(read: ReadFile) -> None:
    """Ten mistakes in one file, ten lines in the answer."""
    lines = [
        '{"id": "ok", "model": "nanobanana2", "inputs": {"prompt": "x"}}',
        "{oops}",
        '{"inputs": {"prompt": "x"}}',
        '{"model": "nanobanana2"}',
        '{"model": "nanobanana2", "inputs": {}}',
        '{"model": "seedance-20", "inputs": {"prompt": "x", "duration": 3}}',
        '{"model": "nanobanana2", "inputs": {"prompt": "x", "aspectRatio": "2:1"}}',
        '{"model": "midjourney-v7", "inputs": {"prompt": "x", "stylize": 1001}}',
        '{"model": "nanobanana2", "inputs": {"prompt": "x", "colour": "red"}}',
        '{"id": "ok", "model": "nanobanana2", "inputs": {"prompt": "y"}}',
        '{"model": "seedance-20", "inputs": {"prompt": "' + "x" * 4001 + '"}}',
    ]
    batch = read("\n".join(lines).encode())
    assert {problem.line for problem in batch.problems} == set(range(2, 12))
    assert "'ok' is already the id of line 1" in [p.message for p in batch.problems]


def test_a_repeated_id_does_not_hide_what_else_is_wrong(read: ReadFile) -> None:
    batch = read(GOOD + b'{"id": "cat", "model": "nanobanana2", "inputs": {}}')
    assert {problem.field for problem in batch.problems} == {"id", "inputs.prompt"}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_byte_order_marks_and_utf_16_are_read(read: ReadFile, encoding: str) -> None:
    text = '{"model": "nanobanana2", "inputs": {"prompt": "猫と犬"}}\r\n' * 2
    batch = read(text.encode(encoding))
    assert batch.problems == []
    assert [line.number for line in batch.lines] == [1, 2]
    assert batch.lines[0].body["inputs"] == {"prompt": "猫と犬"}


def test_blank_lines_and_crlf_keep_the_count(read: ReadFile) -> None:
    batch = read(b"\r\n" + GOOD + b"   \n\n" + b"oops\n")
    assert [line.number for line in batch.lines] == [2]
    assert [problem.line for problem in batch.problems] == [5]


def test_u_2028_is_an_ordinary_character(read: ReadFile) -> None:
    prompt = "one\u2028two\u0085three"
    line = json.dumps({"model": "nanobanana2", "inputs": {"prompt": prompt}}, ensure_ascii=False)
    batch = read(line.encode())
    assert batch.problems == []
    assert batch.lines[0].body["inputs"] == {"prompt": prompt}


def test_invalid_utf_8_names_line_and_byte(read: ReadFile) -> None:
    batch = read(GOOD + b'{"model": "nanob\xff"}\n' + GOOD)
    offset = len(GOOD) + len(b'{"model": "nanob')
    ((line, _, message),) = [m for m in messages(batch) if m[0] == 2]
    assert line == 2
    assert f"0xff at byte {offset:,} of the file" in message


def test_a_cut_utf_16_file_is_told(read: ReadFile) -> None:
    data = '{"model": "nanobanana2", "inputs": {"prompt": "x"}}'.encode("utf-16")
    assert "not valid UTF-16" in read(data[:-1]).problems[0].message


def test_a_line_over_the_limit_is_refused_and_the_next_one_read(read: ReadFile) -> None:
    long = b'{"model": "' + b"x" * (3 * LINE_LIMIT) + b'"}\n'
    batch = read(long + GOOD)
    assert messages(batch) == [(1, "", "longer than 1,000,000 bytes, the limit of one line")]
    assert [line.number for line in batch.lines] == [2]


@pytest.mark.parametrize("data", [b"", b"\n \r\n", b"\xef\xbb\xbf"])
def test_a_file_without_requests_is_an_error(read: ReadFile, data: bytes) -> None:
    assert messages(read(data)) == [(0, "", "no requests in this file")]


def test_keys_without_ids_do_not_move_when_a_line_is_inserted(read: ReadFile) -> None:
    one = b'{"model": "nanobanana2", "inputs": {"prompt": "one"}}\n'
    two = b'{"model": "nanobanana2", "inputs": {"prompt": "two"}}\n'
    before = [line.key for line in read(one + two + one).lines]
    after = [line.key for line in read(one + GOOD + two + one).lines]
    assert before == [after[0], *after[2:]]
    assert before[2] == f"{before[0]}-2"
    assert len(set(before)) == 3


def test_the_key_follows_the_request_not_its_spelling(read: ReadFile) -> None:
    """`5` and `"5"` are the same duration, and the same job."""
    spelled = [
        b'{"model": "seedance-20", "inputs": {"prompt": "x", "duration": 5}}',
        b'{"inputs": {"duration": "5", "prompt": "x"}, "model": "seedance-20"}',
    ]
    assert len({read(line).lines[0].key for line in spelled}) == 1


def test_an_id_that_equals_a_generated_key_is_a_repeated_id(read: ReadFile) -> None:
    line = b'{"model": "nanobanana2", "inputs": {"prompt": "one"}}\n'
    key = read(line).lines[0].key.encode()
    batch = read(line + line.replace(b"{", b'{"id": "' + key + b'", ', 1))
    assert messages(batch) == [(2, "id", f"'{key.decode()}' is already the id of line 1")]


def test_repeated_requests_are_told_and_kept(read: ReadFile) -> None:
    batch = read(GOOD + GOOD.replace(b'"cat"', b'"dog"'))
    assert len(batch.lines) == 2
    assert "1 line repeats the request of an earlier one (line 2 that of line 1)" in batch.notes[0]


def test_model_option_and_first(read: ReadFile) -> None:
    line = b'{"inputs": {"prompt": "x"}}\n'
    batch = read(line + b'{"inputs": {"prompt": "y"}}\n', model="nanobanana2", first=1)
    assert [each.body["model"] for each in batch.lines] == ["nanobanana2"]


def test_a_problem_shows_no_control_character() -> None:
    reader = BatchReader(kinovi_vocabulary())
    line = b'{"id": "\\u001b]8;;http://evil\\u0007", "model": "m", "inputs": {}, "\\u202e": 1}'
    batch = reader.read("b\x1b.jsonl", read_jsonl(io.BufferedReader(io.BytesIO(line))))
    text = "".join(problem.show("b\x1b.jsonl") for problem in batch.problems)
    assert text
    assert text.isprintable()


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_no_bytes_raise(data: bytes) -> None:
    read_all(data)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "tags", "model", "inputs", "prompt", "duration", "callBackUrl", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(st.lists(JSON_VALUES, max_size=4))
@settings(max_examples=300, deadline=None)
def test_no_json_raises(values: list[object]) -> None:
    """Every line is a request or is named as a problem; nothing is lost in between."""
    batch = read_all("\n".join(map(json.dumps, values)).encode())
    told = {line.number for line in batch.lines} | {problem.line for problem in batch.problems}
    assert told >= set(range(1, len(values) + 1))


def read_all(data: bytes, vocabulary: Vocabulary | None = None) -> Batch:
    reader = BatchReader(vocabulary or kinovi_vocabulary(), model=None)
    return reader.read("x", read_jsonl(io.BufferedReader(io.BytesIO(data))))


@pytest.mark.skipif(sys.platform == "win32", reason="paths with colons")
def test_a_problem_begins_with_file_and_line(read: ReadFile) -> None:
    batch = read(b"oops")
    assert batch.problems[0].show("dir/b.jsonl").startswith("dir/b.jsonl:1: not valid JSON")
