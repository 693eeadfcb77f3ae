"""The hash of what a request generates."""

from __future__ import annotations

import hashlib

import pytest

from kinovi_async._errors import InvalidRequestError
from kinovi_async._requests import NanoBanana2, TextToVideo, body_hash, parse_request


def test_it_is_the_sha256_of_canonical_json() -> None:
    text = '{"inputs":{"duration":"5","prompt":"\\u00e4"},"model":"seedance-20"}'
    expected = hashlib.sha256(text.encode()).hexdigest()
    assert body_hash(TextToVideo(prompt="ä", duration=5)) == expected


def test_a_request_and_its_wire_form_have_one_hash_in_any_order_of_fields() -> None:
    request = NanoBanana2(prompt="x", seed=3)
    assert body_hash(request) == body_hash(request.to_wire())
    assert body_hash(request) == body_hash(
        {"inputs": {"seed": 3, "prompt": "x"}, "model": "nanobanana2"}
    )


def test_the_callback_is_left_out_and_everything_else_counts() -> None:
    request = NanoBanana2(prompt="x")
    with_callback = NanoBanana2(prompt="x", callback_url="https://example.com/hook")
    assert body_hash(request) == body_hash(with_callback)
    assert body_hash(request) != body_hash(NanoBanana2(prompt="y"))
    assert body_hash(request) != body_hash(NanoBanana2(prompt="x", resolution="2k"))


def test_spellings_of_one_body_have_one_hash() -> None:
    camel = {"model": "seedance-20", "inputs": {"prompt": "x", "aspectRatio": "1:1"}}
    snake = {"model": "seedance-20", "inputs": {"prompt": "x", "aspect_ratio": "1:1"}}
    assert body_hash(parse_request(camel)) == body_hash(parse_request(snake))


@pytest.mark.parametrize(
    "body",
    [{}, {"model": "x"}, {"model": "x", "inputs": {1, 2}}, {"model": "x", "inputs": [1e999]}],
)
def test_what_is_no_body_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(InvalidRequestError):
        body_hash(body)
