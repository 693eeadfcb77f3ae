"""What the body of a webhook says, in every form that the API's documents show."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinovi_async.webhooks._hint import (
    _TEXT,
    DEEPEST,
    MalformedPayloadError,
    read_payload,
)
from kinovi_async.webhooks._receiver import LARGEST_BODY

TASK = {"taskId": "task_cl1", "model": "nanobanana2", "creditsUsed": 15}
LEGACY = {**TASK, "status": "fail", "creditsUsed": 200, "output": None, "error": "went wrong"}
LATER_A = {
    "code": 200,
    "message": "success",
    "data": {
        **TASK,
        "state": "fail",
        "orderId": "o1",
        "updateTime": 1,
        "completeTime": None,
        "error": {"code": "2038", "message": "moderated"},
    },
}
LATER_B = {
    "code": 200,
    "message": "success",
    "data": {**TASK, "status": "success", "output": [{"url": "https://x/y.png"}]},
}


@pytest.mark.parametrize("payload", [LEGACY, LATER_A, LATER_B])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_every_documented_form_names_its_task(payload: Any, encoding: str) -> None:
    assert read_payload(json.dumps(payload).encode(encoding)) == ("task_cl1", True)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({}, (None, True)),
        ({"taskId": None, "data": {}}, (None, True)),
        ({"taskId": "a", "data": None}, ("a", True)),
        ({"taskId": "a", "status": "generating"}, ("a", False)),
        ({"taskId": "a", "state": " Waiting "}, ("a", False)),
        ({"taskId": "a", "status": "exploded"}, ("a", True)),
        ({"status": "success", "data": {"taskId": "a", "state": "generating"}}, ("a", False)),
        ({"data": {"data": {"data": {"taskId": "a"}}}}, ("a", True)),
        ({"task_id": "a"}, ("a", True)),
        ({"taskId": 123}, ("123", True)),
        ({"taskId": True}, (None, True)),
        ({"taskId": -1}, (None, True)),
        ({"taskId": ["a"]}, (None, True)),
        ({"taskId": ""}, (None, True)),
        ({"taskId": "  "}, (None, True)),
        ({"taskId": "a\nb"}, (None, True)),
        ({"taskId": "x" * 256}, (None, True)),
        ({"taskId": "../../x?y=z"}, ("../../x?y=z", True)),
        ({"taskId": "a", "status": 7}, ("a", True)),
    ],
)
def test_everything_else_is_read_as_far_as_it_goes(payload: Any, said: Any) -> None:
    assert read_payload(json.dumps(payload).encode()) == said


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b'"text"', b"1", b"{", b'{"a": }', b"\xff\xfe\xfd", b"<html>",
        b"[" * 100_000, b'{"a":' * 50_000, b'{"taskId": ' + b"9" * 5000 + b"}",
    ],
)  # fmt: skip
def test_what_is_no_json_object_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedPayloadError):
        read_payload(body)


def test_depth_is_bounded_and_brackets_in_texts_are_none() -> None:
    def nested(depth: int) -> bytes:
        return b'{"taskId": "a", "x": ' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"

    assert read_payload(nested(DEEPEST)) == ("a", True)
    with pytest.raises(MalformedPayloadError):
        read_payload(nested(DEEPEST + 1))
    text = json.dumps({"taskId": "a", "prompt": '[{"' * 1000 + "\\"}).encode()
    assert read_payload(text) == ("a", True)
    assert read_payload(json.dumps({"taskId": "a", "x": [{}] * 1000}).encode()) == ("a", True)


@pytest.mark.parametrize("start", [b"[" * 40 + b'"', b"{" * 40, b"[" * 40 + b"\\"])
def test_a_text_that_nobody_closes_is_read_once(start: bytes) -> None:
    """Read again from each of its quotes, 256 kB held the event loop for minutes."""
    body = start + b'\\"' * ((LARGEST_BODY - len(start)) // 2)
    assert len(_TEXT.findall(body)) == 1
    with pytest.raises(MalformedPayloadError):
        read_payload(body)


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_malformed(body: bytes) -> None:
    try:
        task_id, _ = read_payload(body)
    except MalformedPayloadError:
        return
    assert task_id is None or task_id
