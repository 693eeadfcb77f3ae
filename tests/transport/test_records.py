"""Every shape a record has had is understood, and nothing else ever raises."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinovi_async._errors import InvalidResponseError
from kinovi_async._record_parsing import parse_record, record_from_json
from kinovi_async._records import Output, TaskError, TaskRecord, TaskStatus
from kinovi_async._transport._decoding import decode_json

BASE: dict[str, Any] = {"taskId": "task_1", "model": "seedance-20", "status": "success"}
URL = "https://static.kinovi.ai/a.mp4"
WHEN = datetime(2025, 11, 21, 7, 33, 20, 123000, tzinfo=UTC)
MS = 1763710400123


def test_the_documented_record() -> None:
    record = parse_record(
        {
            **BASE,
            "creditsUsed": 99.80000000000001,
            "output": [{"url": URL, "width": 1280, "height": 720, "mediaType": "video/mp4"}],
            "error": None,
            "createTime": MS,
            "completeTime": MS,
        }
    )
    assert record.task_id == "task_1"
    assert record.model == "seedance-20"
    assert record.status is TaskStatus.SUCCESS
    assert record.outputs == (Output(URL, 1280, 720, "video/mp4"),)
    assert record.credits_used == Decimal("99.8")  # without the noise of binary fractions
    assert record.error is None
    assert record.created_at == record.completed_at == WHEN


@pytest.mark.parametrize(
    "data",
    [
        BASE,
        {"code": 200, "message": "success", "data": BASE},
        {"code": "200", "data": BASE},
        {"data": BASE | {"status": None, "state": "Success"}, "code": 0},
        {"code": 200, "data": {"code": 200, "data": BASE}},
        {"data": BASE},
        BASE | {"status": " SUCCESS "},
        {"taskId": "task_1", "model": "seedance-20", "state": "success"},
        {"task_id": "task_1", "model": "seedance-20", "status": "success"},
        BASE | {"data": {"status": "fail", "taskId": "another"}},
    ],
)
def test_envelopes_and_names_of_the_state(data: object) -> None:
    record = parse_record(data)
    assert (record.task_id, record.model) == ("task_1", "seedance-20")
    assert record.status is TaskStatus.SUCCESS


@pytest.mark.parametrize(
    ("given_error", "expected"),
    [
        (None, None),
        ("", None),
        ({}, None),
        ({"code": None, "message": ""}, None),
        ("face detected", TaskError(None, "face detected")),
        ({"code": "2038", "message": "broke rules"}, TaskError("2038", "broke rules")),
        ({"code": 500, "message": "try again"}, TaskError("500", "try again")),
        ({"message": "only text"}, TaskError(None, "only text")),
        ({"code": "1001"}, TaskError("1001", "")),
        ('{"code": "1001", "message": "as text"}', TaskError("1001", "as text")),
        ([{"code": "1", "message": "first"}], TaskError("1", "first")),
        (["text"], TaskError(None, '["text"]')),
        (42, TaskError(None, "42")),
    ],
)
def test_errors(given_error: object, expected: TaskError | None) -> None:
    parsed = parse_record(BASE | {"status": "fail", "error": given_error}).error
    if given_error == ["text"]:
        assert parsed is not None
        assert "text" in parsed.message
    else:
        assert parsed == expected


@pytest.mark.parametrize(
    ("given_output", "expected"),
    [
        (None, ()),
        ([], ()),
        ("", ()),
        (7, ()),
        (URL, (Output(URL),)),
        ([URL, None, "", {"width": 1}, {"url": None}, 3], (Output(URL),)),
        ({"url": URL}, (Output(URL),)),
        ([{"url": URL, "width": None, "height": "720"}], (Output(URL, None, 720),)),
        ([{"url": URL, "width": 1280.0, "height": True}], (Output(URL, 1280, None),)),
        ([{"url": URL, "seed": 5}], (Output(URL, extra={"seed": 5}),)),
        (json.dumps([{"url": URL, "width": 2}]), (Output(URL, 2),)),
        (json.dumps({"url": URL}), (Output(URL),)),
        ("[not json", (Output("[not json"),)),
    ],
)
def test_outputs(given_output: object, expected: tuple[Output, ...]) -> None:
    assert parse_record(BASE | {"output": given_output}).outputs == expected


@pytest.mark.parametrize(
    ("given_credits", "expected"),
    [
        (None, None),
        (0, Decimal(0)),
        (2.17, Decimal("2.17")),
        ("2.17", Decimal("2.17")),
        (" 5 ", Decimal(5)),
        ("many", None),
        ("NaN", None),
        (float("nan"), None),
        (float("inf"), None),
        ("1e999999", None),
        (True, None),
        ([1], None),
    ],
)
def test_credits(given_credits: object, expected: Decimal | None) -> None:
    assert parse_record(BASE | {"creditsUsed": given_credits}).credits_used == expected


@pytest.mark.parametrize(
    ("given_time", "expected"),
    [
        (MS, WHEN),
        (str(MS), WHEN),
        (float(MS), WHEN),
        (MS / 1000, WHEN),
        ("2025-11-21T07:33:20.123Z", WHEN),
        ("2025-11-21T08:33:20.123+01:00", WHEN),
        ("2025-11-21T07:33:20.123", WHEN),
        (None, None),
        (0, None),
        (-5, None),
        ("", None),
        ("soon", None),
        (1e300, None),
        (10**29, None),
        ({}, None),
    ],
)
def test_times(given_time: object, expected: datetime | None) -> None:
    created = parse_record(BASE | {"createTime": given_time}).created_at
    assert created == expected
    assert created is None or created.utcoffset() is not None


def test_missing_id_is_the_one_asked_for_and_survives_storage() -> None:
    record = parse_record({"status": "waiting"}, task_id="task_9")
    assert record.task_id == "task_9"
    assert parse_record(record.raw) == record


def test_numeric_id_is_text() -> None:
    assert parse_record(BASE | {"taskId": 123}).task_id == "123"


def test_unknown_status_runs_on_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "kinovi_async"):
        for _ in range(3):
            assert parse_record(BASE | {"status": "upscaling"}).status is TaskStatus.GENERATING
    assert [r.getMessage() for r in caplog.records if "upscaling" in r.getMessage()] == [
        "unknown task status 'upscaling' is taken for 'generating'"
    ]


@pytest.mark.parametrize(
    "data",
    [None, [], "x", 3, {}, {"taskId": "t"}, {"status": None}, {"status": ""}, {"status": []},
     {"code": 404, "message": "no", "data": None}, {"status": "waiting"}],
)  # fmt: skip
def test_what_is_no_record_is_refused(data: object) -> None:
    with pytest.raises(InvalidResponseError):
        parse_record(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELDS = ["taskId", "status", "state", "output", "error", "creditsUsed", "createTime", "data",
          "completeTime", "model", "code", "message"]  # fmt: skip
RECORDS = st.dictionaries(st.sampled_from(FIELDS), JSON | st.text(max_size=5), max_size=9)


@settings(max_examples=300, deadline=None)
@given(JSON | RECORDS | st.builds(lambda r: {"code": 200, "data": r}, RECORDS))
def test_arbitrary_json_gives_a_record_or_the_one_error(data: object) -> None:
    """And what is read from `raw`, also after storage as JSON, is the same record."""
    try:
        record = parse_record(data, task_id="asked")
    except InvalidResponseError:
        return
    assert record.task_id
    assert_same(parse_record(record.raw), record)
    stored = json.dumps(record.raw, allow_nan=True)
    assert_same(record_from_json(stored), record)


def assert_same(one: TaskRecord, other: TaskRecord) -> None:
    """Equal, with NaN taken for equal to itself."""
    assert repr(one) == repr(other)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode("utf-16")))
def test_arbitrary_bytes_are_json_or_refused(body: bytes) -> None:
    try:
        value = decode_json(body)
    except InvalidResponseError:
        return
    # Whatever was read can be stored as strict JSON in UTF-8.
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"\xef\xbb\xbf{}", {}),
        ('{"a": "ä"}'.encode("utf-16"), {"a": "ä"}),
        ('{"a": 1}'.encode("utf-32-le"), {"a": 1}),
        (b'{"a": NaN, "b": -Infinity, "c": 1e999}', {"a": None, "b": None, "c": None}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (rb'{"a": "\ud800"}', {"a": "\ufffd"}),
        (rb'{"a": "\ud83d\ude00"}', {"a": "\U0001f600"}),
        (b'{"a": "\xff"}', {"a": "\ufffd"}),
    ],
)
def test_json_is_read_by_its_content(body: bytes, expected: object) -> None:
    assert decode_json(body) == expected


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[" * 100_000, b"[" * 70 + b"]" * 70, b'{"a":' * 50_000, b"9" * 5000, b"{"],
)
def test_bombs_and_pages_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidResponseError):
        decode_json(body)
