"""Bodies of every sort: names, messages, and that nothing but InvalidRequestError comes out."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from kinovi_async._errors import InvalidRequestError, Problem
from kinovi_async._requests import (
    MODELS,
    Generation,
    Midjourney,
    NanoBanana2,
    OmniReference,
    Request,
    TextToVideo,
    Video,
    as_request,
    parse_request,
    restore_request,
)
from kinovi_async._requests._problems import problems_of

PICTURE = "https://example.com/a.jpg"
EXAMPLES = Path(__file__).parents[2] / "examples" / "batch.jsonl"


def message_of(body: object) -> str:
    with pytest.raises(InvalidRequestError) as caught:
        parse_request(cast("dict[str, object]", body))
    text = str(caught.value)
    assert text.startswith("invalid request")
    return re.sub(r"^invalid request( for \S+)?: ", "", text)


def test_snake_and_camel_names_give_the_same_request() -> None:
    camel = parse_request(
        {
            "model": "midjourney-v8",
            "inputs": {"prompt": "x", "aspectRatio": "4:3", "sourceImageUrl": PICTURE},
            "callBackUrl": "https://example.com/hook",
        }
    )
    snake = parse_request(
        {
            "model": "midjourney-v8",
            "inputs": {"prompt": "x", "aspect_ratio": "4:3", "source_image_url": PICTURE},
            "callback_url": "https://example.com/hook",
        }
    )
    python = Midjourney(
        model="midjourney-v8",
        prompt="x",
        aspect_ratio="4:3",
        source_image_url=PICTURE,
        callback_url="https://example.com/hook",
    )
    assert camel == snake == python
    assert camel.to_wire() == snake.to_wire() == python.to_wire()
    by_alias = Midjourney.model_validate({"prompt": "x", "aspectRatio": "4:3"})
    assert by_alias.aspect_ratio == "4:3"


@pytest.mark.parametrize(
    ("inputs", "sent"),
    [
        ({"urls": None, "audioUrls": None, "videoUrls": []}, {}),
        ({"imageUrls": ["https://x.test/a"], "urls": None}, {"urls": ["https://x.test/a"]}),
        (
            {"imageUrls": ["https://x.test/a"], "videoUrls": [], "audioUrls": []},
            {"urls": ["https://x.test/a"]},
        ),
        (
            {"mode": "reference", "urls": ["https://x.test/a"], "imageUrls": None},
            {"mode": "reference", "urls": ["https://x.test/a"]},
        ),
    ],
)
def test_fields_of_another_mode_that_say_nothing_are_not_given(
    inputs: dict[str, object], sent: dict[str, object]
) -> None:
    request = parse_request({"model": "seedance-20", "inputs": {"prompt": "x", **inputs}})
    assert request.to_wire()["inputs"] == {"prompt": "x", **sent}


@pytest.mark.parametrize("nothing", [None, []])
def test_a_field_of_no_mode_is_refused_whatever_it_holds(nothing: object) -> None:
    inputs = {"prompt": "x", "sourceImageUrl": nothing}
    with pytest.raises(InvalidRequestError, match=r"inputs\.sourceImageUrl: no such field"):
        parse_request({"model": "seedance-20", "inputs": inputs})


def test_only_what_was_set_is_sent() -> None:
    assert TextToVideo(prompt="x").inputs_wire() == {"prompt": "x"}
    assert TextToVideo(prompt="x", duration=5).inputs_wire() == {"prompt": "x", "duration": "5"}
    unset = {"prompt": "x", "seed": None, "resolution": None}
    parsed = parse_request({"model": "nanobanana2", "inputs": unset, "callBackUrl": None})
    assert parsed.to_wire() == {"model": "nanobanana2", "inputs": {"prompt": "x"}}


MESSAGES: list[tuple[object, str]] = [
    (None, "request: an object with model and inputs, not null"),
    ([], "request: an object with model and inputs, not an empty list"),
    ("{}", "request: an object with model and inputs, not '{}'"),
    ({"model": "nanobanana2"}, "inputs: required: a JSON object"),
    ({"model": "nanobanana2", "inputs": None}, "inputs: required: a JSON object"),
    ({"model": "nanobanana2", "inputs": [1, 2]}, "inputs: a JSON object, not a list of 2 items"),
    ({"inputs": {}}, "model: required: text that is not blank"),
    ({"model": 5, "inputs": {}}, "model: text that is not blank, not 5"),
    ({"model": " ", "inputs": {}}, "model: text that is not blank, not ' '"),
    (
        {"model": "Seedance_20", "inputs": {}},
        "model: the model id seedance-20, not 'Seedance_20'",
    ),
    (
        {"model": "nanobanana2", "inputs": {"prompt": "x", "resolution": "8k"}},
        "inputs.resolution: 1k, 2k or 4k, not '8k'",
    ),
    (
        {"model": "seedance-20", "inputs": {"prompt": "x", "duration": "3"}},
        "inputs.duration: a whole number from 4 to 15, not '3'",
    ),
    (
        {"model": "seedance-20", "inputs": {"prompt": "x", "duration": True}},
        "inputs.duration: a whole number from 4 to 15, not true",
    ),
    (
        {"model": "seedance-20", "inputs": {"prompt": "x", "upscaleResolution": "8k"}},
        "inputs.upscaleResolution: only 4k, not '8k'",
    ),
    (
        {"model": "seedance-20", "inputs": {"prompt": "x" * 4321}},
        (
            "inputs.prompt: text of 1 to 4,000 characters (up to 10,000 in API generation 2026-09, "
            'for example with outputResolution "720p"), not text of 4,321 characters'
        ),
    ),
    (
        {"model": "seedance-20", "inputs": {"urls": [PICTURE] * 3}},
        "inputs.urls: a list of 1 or 2 http or https addresses of images, not a list of 3 items",
    ),
    (
        {"model": "seedance-20", "inputs": {"urls": ["https://example.com/a.mp4"]}},
        "inputs.urls[0]: an http or https address of an image, not 'https://example.com/a.mp4'",
    ),
    (
        {"model": "midjourney-v7", "inputs": {"prompt": "x", "quality": 2}},
        "inputs.quality: 0.25, 0.5 or 1, not 2",
    ),
    (
        {"model": "midjourney-v7", "inputs": {"prompt": "x", "stylise": 2}},
        "inputs.stylise: no such field; did you mean stylize?",
    ),
    (
        {"model": "midjourney-v7", "inputs": {"prompt": "x", "Aspect-Ratio": "1:1"}},
        "inputs.Aspect-Ratio: no such field; did you mean aspectRatio?",
    ),
    (
        {"model": "midjourney-v7", "inputs": {"prompt": "x", "negative_prompt": "y"}},
        "inputs.negative_prompt: no such field here; did you mean no?",
    ),
    (
        {"model": "nanobanana2", "inputs": {"prompt": "x", "zzz": "y"}},
        (
            "inputs.zzz: no such field; the fields here are prompt, imageUrls, negativePrompt, "
            "aspectRatio, resolution, seed and uploadedUrls"
        ),
    ),
    (
        {"model": "nanobanana2", "inputs": {"prompt": "x"}, "callbackURL": "y"},
        "callbackURL: no such field; did you mean callBackUrl?",
    ),
    (
        {"model": "nanobanana2", "inputs": {"prompt": "x", "callBackUrl": PICTURE}},
        "inputs.callBackUrl: no such field; it belongs beside inputs",
    ),
    (
        {"model": "nanobanana2", "inputs": {"prompt": "x"}, "aspect_ratio": "1:1"},
        "aspect_ratio: belongs inside inputs: inputs.aspect_ratio",
    ),
    (
        {"model": "nanobanana2", "inputs": {"prompt": "x"}, "zzz": "1:1"},
        "zzz: no such field; the fields here are model, inputs and callBackUrl",
    ),
    (
        {
            "model": "nanobanana2",
            "inputs": {"prompt": "x", "aspect_ratio": "1:1", "aspectRatio": "1:1"},
        },
        "inputs.aspectRatio: given twice, under both of its names",
    ),
    (
        {"model": "x", "inputs": {}, "callBackUrl": PICTURE, "callback_url": PICTURE},
        "callBackUrl: given twice, under both of its names",
    ),
    (
        {"model": "x", "inputs": {"a": [{"b": float("nan")}]}},
        "inputs.a[0].b: a value that JSON can carry, not nan",
    ),
    (
        {"model": "x", "inputs": {"a": {5: 1}}},
        "inputs.a: names that are text, not 5",
    ),
]


@pytest.mark.parametrize(("body", "message"), MESSAGES)
def test_messages_say_where_what_is_allowed_and_what_was_given(body: object, message: str) -> None:
    assert message_of(body) == message


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_request(
            {
                "model": "seedance-20",
                "inputs": {
                    "prompt": "@image7",
                    "urls": [PICTURE],
                    "mode": "reference",
                    "duration": 60,
                    "aspectRatio": "2:1",
                    "sed": 5,
                },
                "callBackUrl": "nowhere",
                "prompt": "x",
            }
        )
    assert sorted(problem.field for problem in caught.value.problems) == [
        "callBackUrl",
        "inputs.aspectRatio",
        "inputs.duration",
        "inputs.prompt",
        "inputs.sed",
        "prompt",
    ]
    assert str(caught.value).startswith("invalid request for seedance-20, 6 problems:\n")
    assert isinstance(caught.value, ValueError)
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own bytes
    assert again.problems == caught.value.problems


def test_a_described_models_body_without_inputs_has_all_its_problems_named() -> None:
    message = message_of({"model": "seedance-20", "callBackUrl": "nowhere"})
    assert "inputs: required: a JSON object" in message
    assert "callBackUrl: an http or https address, not 'nowhere'" in message


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.sampled_from([*MODELS, "reference", "keyframe", "4k", PICTURE, "@image1", "5"])
    | st.sampled_from([10**4000, -(10**400), float("nan"), "x" * 100_000, b"x", object(), {1}])
)
INPUT_KEYS = st.sampled_from(
    ["prompt", "urls", "audioUrls", "mode", "duration", "aspect_ratio", "aspectRatio", "seed"]
)
JUNK = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8) | INPUT_KEYS, inner, max_size=5)
    ),
    max_leaves=12,
)
KEYS = st.sampled_from(["model", "inputs", "callBackUrl", "callback_url"]) | SCALARS.filter(
    lambda key: not isinstance(key, set)
)
BODIES = st.fixed_dictionaries(
    {
        "model": st.sampled_from([*MODELS, "other"]) | JUNK,
        "inputs": st.dictionaries(INPUT_KEYS | KEYS, JUNK, max_size=6) | JUNK,
    },
    optional={"callBackUrl": JUNK, "callback_url": JUNK},
)


def outcome_of(body: object) -> tuple[Request | None, tuple[Problem, ...]]:
    try:
        return parse_request(cast("dict[str, object]", body)), ()
    except InvalidRequestError as error:
        return None, error.problems


@settings(deadline=None)
@given(JUNK | st.dictionaries(KEYS, JUNK, max_size=4) | BODIES)
def test_junk_is_refused_or_becomes_a_request_that_can_be_sent(body: object) -> None:
    request, problems = outcome_of(body)
    if request is None:
        assert problems
        assert all(len(problem.given) <= 80 for problem in problems)
        "".join(map(str, problems)).encode()
        return
    wire = request.to_wire()
    json.dumps(wire, allow_nan=False, ensure_ascii=False).encode()
    assert parse_request(wire).to_wire() == wire
    assert hash(request) == hash(parse_request(wire))


ENDLESS = 10**5000  # str() of it is a ValueError


@pytest.mark.parametrize(
    "body",
    [
        {ENDLESS: 1},
        {"model": ENDLESS, "inputs": {}},
        {"model": "seedance-20", "inputs": {ENDLESS: 1, ("a",): 2}},
        {"model": "seedance-20", "inputs": {"prompt": "x", "duration": ENDLESS}},
        {"model": "nanobanana2", "inputs": {"prompt": ENDLESS, "seed": ENDLESS}},
        {"model": "nanobanana2", "inputs": {"prompt": "x", "imageUrls": [ENDLESS]}},
        {"model": "other", "inputs": {"a": ENDLESS, "b": "\ud800", "\ud800": 1}},
    ],
    ids=range(7),
)
def test_numbers_without_end_are_refused(body: object) -> None:
    message_of(body)


def test_structures_without_end_are_refused() -> None:
    wide: list[object] = []
    wide += [wide, wide]
    assert "nested at most" in message_of({"model": "x", "inputs": {"a": wide}})
    deep: dict[str, object] = {}
    deep["a"] = deep
    assert "nested at most" in message_of({"model": "x", "inputs": deep})
    assert "required" in message_of({"model": "nanobanana2", "inputs": {"b": wide}})


def test_a_request_is_its_own_request() -> None:
    request = TextToVideo(prompt="x")
    assert as_request(request) is request
    assert as_request(request.to_wire()) == request
    with pytest.raises(InvalidRequestError):
        as_request({"model": "nanobanana2"})


class TestGeneration:
    INPUTS: ClassVar[dict[str, object]] = {
        "lyrics": ["la", {"la": None}],
        "n": 1,
        "f": 0.5,
        "ok": True,
    }

    def test_inputs_of_an_unknown_model_pass_untouched(self) -> None:
        body = {"model": "suno-music", "inputs": self.INPUTS, "callBackUrl": PICTURE}
        request = parse_request(body)
        assert type(request) is Generation
        assert request.to_wire() == body

    def test_later_changes_of_the_given_inputs_change_nothing(self) -> None:
        inputs = {"a": [1]}
        request = Generation(model="suno-music", inputs=inputs)
        inputs["a"].append(2)
        cast("list[int]", request.inputs_wire()["a"]).append(3)
        assert request.inputs_wire() == {"a": [1]}

    def test_a_described_model_is_checked_priced_and_sent_by_its_description(self) -> None:
        request = Generation(model="seedance-20", inputs={"prompt": "x", "duration": 8})
        assert request.cost() == 320
        assert request.to_wire() == {
            "model": "seedance-20",
            "inputs": {"prompt": "x", "duration": "8"},
        }
        with pytest.raises(ValidationError, match=r"inputs\.duration: a whole number from 4 to 15"):
            Generation(model="seedance-20", inputs={"prompt": "x", "duration": 99})

    def test_it_compares_hashes_and_pickles(self) -> None:
        one = Generation(model="suno-music", inputs={"a": [1]})
        other = Generation(model="suno-music", inputs={"a": [1]})
        assert one == other
        assert len({one, other}) == 1
        assert one != Generation(model="suno-music", inputs={"a": [2]})
        described = Generation(model="nanobanana2", inputs={"prompt": "x"})
        for request in (one, described):
            again = pickle.loads(pickle.dumps(request))  # noqa: S301 - our own bytes
            assert again == request
            assert again.to_wire() == request.to_wire()
            assert again.cost() == request.cost()


class TestRestore:
    def test_a_stored_body_comes_back_as_its_own_class(self) -> None:
        request = OmniReference(prompt="@image1", urls=[PICTURE], duration=7)
        restored = restore_request(request.to_wire())
        assert restored == request
        assert type(restored) is OmniReference

    @pytest.mark.parametrize(
        "body",
        [
            # A marker told the kind, and is gone from the wire form.
            {
                "model": "seedance-20",
                "inputs": {
                    "urls": ["https://example.com/a.mp4"],
                    "prompt": "@image1",
                    "mode": "reference",
                },
            },
            # Stored by a version whose checks or wire form were others.
            {"model": "nanobanana2", "inputs": {"prompt": "x", "new": [1]}, "callBackUrl": PICTURE},
            {"model": "seedance-20", "inputs": {"prompt": "x", "duration": 5}},
            {"model": "SEEDANCE-20", "inputs": {}},
        ],
    )
    def test_what_it_sends_never_changes(self, body: dict[str, object]) -> None:
        restored = restore_request(body)
        assert restored.to_wire() == body
        assert isinstance(restored, Generation)
        assert restored.cost() is None
        again = pickle.loads(pickle.dumps(restored))  # noqa: S301 - our own bytes
        assert again.to_wire() == body

    def test_it_is_not_sent_where_its_names_would_be_ignored(self) -> None:
        inputs = {"urls": ["https://x.test/a.mp4"], "prompt": "@image1", "mode": "reference"}
        restored = restore_request({"model": "seedance-20", "inputs": inputs})
        with pytest.raises(InvalidRequestError, match="stored request for seedance-20") as info:
            restored.to_wire(api_generation="2026-09")
        (problem,) = info.value.problems
        assert str(problem) == "inputs.urls: no name of API generation 2026-09; enter it anew"

    @pytest.mark.parametrize("body", [{}, {"model": "x"}, {"inputs": {}}, None])
    def test_what_is_no_body_is_refused(self, body: object) -> None:
        with pytest.raises(InvalidRequestError):
            restore_request(cast("dict[str, object]", body))


LINES = [json.loads(line) for line in EXAMPLES.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("line", LINES, ids=lambda line: line["id"])
def test_every_example_parses_and_is_sent_as_it_stands(line: dict[str, object]) -> None:
    body = {key: value for key, value in line.items() if key not in {"id", "tags"}}
    request = parse_request(body)
    assert request.to_wire() == body
    assert request.cost() is not None


def test_the_examples_show_every_model_and_mode_of_the_seeds_and_every_later_family() -> None:
    assert len(LINES) >= 24
    assert len({line["id"] for line in LINES}) == len(LINES)
    requests = [parse_request({key: line[key] for key in ("model", "inputs")}) for line in LINES]
    shown = {(type(request), request.model) for request in requests}
    known = [each for each in MODELS.values() if "seed" in each.generations]
    assert shown >= {(cls, each.id) for each in known for cls in each.requests}
    families = {cls.__module__ for each in MODELS.values() for cls in each.requests}
    assert {type(request).__module__ for request in requests} == families


def test_a_marked_reference_may_stand_in_a_body() -> None:
    body = {
        "model": "seedance-20",
        "inputs": {"urls": [Video("https://e.com/x")], "prompt": "@video1", "mode": "reference"},
    }
    assert parse_request(body).inputs_wire()["urls"] == ["https://e.com/x"]


MAKERS: list[Callable[[], Request]] = [
    lambda: TextToVideo(prompt="x" * 500, duration=8, callback_url="https://e.com/?token=abc"),
    lambda: OmniReference(prompt="x", urls=["https://e.com/a.png?sig=abc", PICTURE]),
    lambda: NanoBanana2(prompt="x", image_urls=["https://e.com/a.png?sig=abc"], seed=1.5),
    lambda: Midjourney(prompt="x", source_image_url="https://e.com/a.png?sig=abc"),
    lambda: Generation(model="other", inputs={"key": "abc", "list": list(range(500))}),
]


@pytest.mark.parametrize("make", MAKERS)
def test_requests_are_frozen_hashable_picklable_and_short(make: Callable[[], Request]) -> None:
    request = make()
    with pytest.raises(ValidationError):
        request.model = "other"  # type: ignore[misc]
    assert len({request, make()}) == 1
    again = pickle.loads(pickle.dumps(request))  # noqa: S301 - our own bytes
    assert again == request
    assert again.to_wire() == request.to_wire()
    assert len(repr(request)) < 200
    assert "abc" not in repr(request)
    assert str(request) == repr(request)


def test_a_changed_copy_is_checked_again() -> None:
    request = TextToVideo(prompt="x")
    changed = request.model_copy(update={"duration": 9})
    assert changed.inputs_wire() == {"prompt": "x", "duration": "9"}
    assert request.model_copy() == request
    assert changed.model_copy(update={"duration": None}).inputs_wire() == {"prompt": "x"}
    with pytest.raises(ValidationError):
        request.model_copy(update={"duration": 99})
    with pytest.raises(ValidationError):
        request.model_copy(update={"durations": 9})


def test_the_base_class_is_no_request_of_its_own() -> None:
    with pytest.raises(TypeError, match="Generation"):
        Request(model="seedance-20")


def test_a_request_survives_pydantics_own_json() -> None:
    for make in MAKERS:
        request = make()
        text = request.model_dump_json(by_alias=True, exclude_unset=True)
        assert type(request).model_validate_json(text) == request
        assert type(request).model_json_schema()["type"] == "object"


def test_a_constructors_own_errors_turn_into_the_same_problems() -> None:
    with pytest.raises(ValidationError) as caught:
        TextToVideo.model_validate({"prompt": "x", "durations": 5, "aspect_ratio": "2:1"})
    assert [str(problem) for problem in problems_of(caught.value, TextToVideo)] == [
        "inputs.aspectRatio: 16:9, 9:16, 1:1, 3:4, 4:3 or 21:9, not '2:1'",
        "inputs.durations: no such field; did you mean duration?",
    ]
    with pytest.raises(ValidationError) as caught:
        TextToVideo.model_validate("x")
    assert [str(problem) for problem in problems_of(caught.value, TextToVideo)] == [
        "request: an object with the fields of TextToVideo, not 'x'"
    ]
