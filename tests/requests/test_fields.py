"""Every field of every class: what is accepted, what is refused, and what goes on the wire."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from kinovi_async import _errors
from kinovi_async._requests import (
    Image,
    ImageToVideo,
    Midjourney,
    NanoBanana2,
    OmniReference,
    TextToVideo,
    Video,
    parse_request,
)

PICTURE = "https://example.com/a.jpg"
SEEDANCE: dict[str, object] = {"prompt": "A lake"}
FRAMES: dict[str, object] = {"urls": [PICTURE]}
OMNI: dict[str, object] = {"prompt": "A lake", "urls": [PICTURE], "mode": "reference"}


def body(model: str, inputs: dict[str, object], **more: object) -> dict[str, object]:
    return {"model": model, "inputs": {**inputs, **more}}


def refused(body: object) -> list[str]:
    """The fields that parse_request names."""
    with pytest.raises(_errors.InvalidRequestError) as caught:
        parse_request(body)  # type: ignore[arg-type]  # also what is no mapping
    return [problem.field for problem in caught.value.problems]


WHOLE = [
    ("seedance-20", SEEDANCE, "duration", (4, 15)),
    ("seedance2-fast", FRAMES, "duration", (4, 15)),
    ("seedance-20", OMNI, "duration", (4, 15)),
    ("midjourney-v7", SEEDANCE, "stylize", (0, 1000)),
    ("midjourney-v8", SEEDANCE, "chaos", (0, 100)),
    ("midjourney-v7-niji", SEEDANCE, "weird", (0, 3000)),
    ("midjourney-v8", SEEDANCE, "seed", (0, 4294967295)),
]


@pytest.mark.parametrize(("model", "inputs", "field", "limits"), WHOLE)
@settings(deadline=None)
@given(data=st.data())
def test_whole_numbers_in_range_round_trip(
    model: str, inputs: dict[str, object], field: str, limits: tuple[int, int], data: st.DataObject
) -> None:
    number = data.draw(st.integers(*limits) | st.sampled_from(limits))
    spelled = data.draw(st.sampled_from([number, str(number), float(number)]))
    request = parse_request(body(model, inputs, **{field: spelled}))
    wire = request.to_wire()
    expected = str(number) if field == "duration" else number
    assert wire == body(model, inputs, **{field: expected})
    again = parse_request(wire)
    assert again == request
    assert again.to_wire() == wire


@pytest.mark.parametrize(("model", "inputs", "field", "limits"), WHOLE)
@settings(deadline=None)
@given(data=st.data())
def test_whole_numbers_out_of_range_are_refused_by_name(
    model: str, inputs: dict[str, object], field: str, limits: tuple[int, int], data: st.DataObject
) -> None:
    low, high = limits
    number = data.draw(st.integers(max_value=low - 1) | st.integers(min_value=high + 1))
    spelled = data.draw(st.sampled_from([number, str(number)]))
    assert refused(body(model, inputs, **{field: spelled})) == [f"inputs.{field}"]


@pytest.mark.parametrize(("model", "inputs", "field", "limits"), WHOLE)
@pytest.mark.parametrize(
    "value",
    [True, False, 5.5, "5.5", "abc", "", "5s", "0x5", "1_0", float("nan"), float("inf"), [5], {}],
)
def test_what_is_no_whole_number_is_refused(
    model: str, inputs: dict[str, object], field: str, limits: tuple[int, int], value: object
) -> None:
    assert refused(body(model, inputs, **{field: value})) == [f"inputs.{field}"]
    assert limits[0] < limits[1]


VIDEO_SHAPES = ["16:9", "9:16", "1:1", "3:4", "4:3", "21:9"]
CHOICES = [
    ("seedance-20", SEEDANCE, "aspectRatio", VIDEO_SHAPES, ["5:4", "16/9", "adaptive"]),
    ("seedance-20", FRAMES, "aspectRatio", VIDEO_SHAPES, ["3:2"]),
    ("seedance-20", OMNI, "aspectRatio", VIDEO_SHAPES, ["3:2"]),
    ("seedance-20", SEEDANCE, "upscaleResolution", ["4k"], ["2k", "4K", "8k"]),
    ("midjourney-v7", SEEDANCE, "aspectRatio", VIDEO_SHAPES, ["2:3"]),
    ("midjourney-v8", SEEDANCE, "aspectRatio", VIDEO_SHAPES, ["1:3"]),
    ("midjourney-v8", SEEDANCE, "style", ["raw"], ["cute"]),
    ("midjourney-v8", SEEDANCE, "quality", [0.25, 0.5, 1], [2, 0, 0.75, -1]),
    ("nanobanana2", SEEDANCE, "aspectRatio", VIDEO_SHAPES[:-1], ["21:9"]),
    ("nanobanana2", SEEDANCE, "resolution", ["1k", "2k", "4k"], ["8k", "2K"]),
]


@pytest.mark.parametrize(("model", "inputs", "field", "allowed", "others"), CHOICES)
def test_choices(
    model: str, inputs: dict[str, object], field: str, allowed: list[object], others: list[object]
) -> None:
    for value in allowed:
        given_body = body(model, inputs, **{field: value})
        assert parse_request(given_body).to_wire() == given_body
    for value in [*others, "", "x", True, [], {}, ["16:9"]]:
        assert refused(body(model, inputs, **{field: value})) == [f"inputs.{field}"]


@settings(deadline=None)
@given(st.text(min_size=1, max_size=300).filter(lambda text: text.strip() and "@" not in text))
def test_any_prompt_arrives_as_it_was_typed(prompt: str) -> None:
    for model in ("seedance-20", "midjourney-v7", "nanobanana2"):
        wire = parse_request({"model": model, "inputs": {"prompt": prompt}}).to_wire()
        assert wire == {"model": model, "inputs": {"prompt": prompt}}


@pytest.mark.parametrize("inputs", [SEEDANCE, {**FRAMES, **SEEDANCE}, OMNI])
def test_a_seedance_prompt_has_at_most_4000_characters(inputs: dict[str, object]) -> None:
    longest = body("seedance-20", inputs, prompt="x" * 4000)
    assert parse_request(longest).to_wire() == longest
    assert refused(body("seedance-20", inputs, prompt="x" * 4001)) == ["inputs.prompt"]


def test_only_seedance_limits_the_prompt() -> None:
    for model in ("midjourney-v8", "nanobanana2"):
        assert parse_request({"model": model, "inputs": {"prompt": "x" * 10_000}})


@pytest.mark.parametrize("prompt", ["", " \n\t", None, 5, ["A lake"], b"A lake", "\ud83d"])
@pytest.mark.parametrize("model", ["seedance-20", "midjourney-v7", "nanobanana2"])
def test_a_prompt_is_required_and_holds_something(model: str, prompt: object) -> None:
    assert refused({"model": model, "inputs": {"prompt": prompt}}) == ["inputs.prompt"]
    assert refused({"model": model, "inputs": {}}) == ["inputs.prompt"]


def test_an_image_to_video_needs_no_prompt() -> None:
    assert ImageToVideo(urls=[PICTURE]).to_wire()["inputs"] == {"urls": [PICTURE]}


@pytest.mark.parametrize(
    "address",
    [
        "http://example.com",
        "https://example.com/a.jpg?sig=abc%20d&x=1#top",
        "HTTPS://EXAMPLE.COM/A.JPG",
        "https://user@example.com:8443/a",
        "https://[2001:db8::1]/a",
        "https://example.com/bild-ä.jpg",
    ],
)
def test_web_addresses_are_accepted_and_sent_unchanged(address: str) -> None:
    assert NanoBanana2(prompt="x", image_urls=[address]).inputs_wire()["imageUrls"] == [address]
    assert Midjourney(prompt="x", callback_url=address).to_wire()["callBackUrl"] == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        "example.com/a.jpg",
        "/a.jpg",
        "ftp://example.com/a.jpg",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "https://",
        "https:///a.jpg",
        "https://:80/a.jpg",
        "http://[::1/a",
        "https://example.com:99999/a",
        "https://example.com/a b.jpg",
        " https://example.com/a.jpg",
        "https://example.com/a.jpg\n",
        "https://example.com/\udc00",
        5,
        True,
        ["https://example.com/a.jpg"],
        {"url": "https://example.com/a.jpg"},
    ],
)
def test_what_is_no_web_address_is_refused_with_its_position(address: object) -> None:
    assert refused(body("seedance-20", FRAMES, urls=[PICTURE, address])) == ["inputs.urls[1]"]
    assert refused(body("seedance-20", OMNI, urls=[address])) == ["inputs.urls[0]"]
    audio = body("seedance-20", OMNI, audioUrls=[address])
    assert refused(audio) == ["inputs.audioUrls[0]"]
    assert refused(body("nanobanana2", SEEDANCE, imageUrls=[address])) == ["inputs.imageUrls[0]"]
    source = body("midjourney-v7", SEEDANCE, sourceImageUrl=address)
    assert refused(source) == ["inputs.sourceImageUrl"]
    callback = {"model": "nanobanana2", "inputs": SEEDANCE, "callBackUrl": address}
    assert refused(callback) == ["callBackUrl"]


@pytest.mark.parametrize("value", [PICTURE, {PICTURE}, {"0": PICTURE}, 5, True])
def test_a_list_of_addresses_must_be_a_list(value: object) -> None:
    assert refused(body("seedance-20", FRAMES, urls=value)) == ["inputs.urls"]
    assert refused(body("seedance-20", OMNI, urls=value)) == ["inputs.urls"]
    assert refused(body("nanobanana2", SEEDANCE, imageUrls=value)) == ["inputs.imageUrls"]


def test_an_image_to_video_has_one_or_two_images() -> None:
    for number in (1, 2):
        assert parse_request(body("seedance-20", FRAMES, urls=[PICTURE] * number))
    for number in (0, 3):
        assert refused(body("seedance-20", FRAMES, urls=[PICTURE] * number)) == ["inputs.urls"]
    clip = body("seedance-20", FRAMES, urls=[PICTURE, "https://example.com/b.MP4?x=a.jpg"])
    assert refused(clip) == ["inputs.urls[1]"]


@pytest.mark.parametrize(
    ("seed", "sent"), [(42, 42), ("42", 42), (-1, -1), (0.5, 0.5), ("0.5", 0.5), (7.0, 7)]
)
def test_a_nanobanana_seed_is_any_number(seed: object, sent: float) -> None:
    request = parse_request(body("nanobanana2", SEEDANCE, seed=seed))
    assert repr(request.inputs_wire()["seed"]) == repr(sent)


@pytest.mark.parametrize("seed", [True, "abc", "", float("nan"), float("-inf"), 10**400, [1]])
def test_a_nanobanana_seed_that_is_no_number_is_refused(seed: object) -> None:
    assert refused(body("nanobanana2", SEEDANCE, seed=seed)) == ["inputs.seed"]


def test_whole_qualities_are_sent_as_whole_numbers() -> None:
    assert repr(Midjourney(prompt="x", quality=1.0).inputs_wire()["quality"]) == "1"


@pytest.mark.parametrize(
    ("kind", "most", "address"),
    [("images", 9, "https://example.com/{}.png"), ("videos", 3, "https://example.com/{}.mp4")],
)
def test_an_omni_reference_has_at_most_9_images_and_3_videos(
    kind: str, most: int, address: str
) -> None:
    full = [address.format(number) for number in range(most)]
    assert OmniReference(prompt="x", urls=full).inputs_wire()["urls"] == full
    assert refused(body("seedance-20", OMNI, urls=[*full, address])) == ["inputs.urls"]
    assert kind in parse_problem(body("seedance-20", OMNI, urls=[*full, address]))


def parse_problem(body: dict[str, object]) -> str:
    with pytest.raises(_errors.InvalidRequestError) as caught:
        parse_request(body)
    return str(caught.value)


def test_an_omni_reference_mixes_the_most_of_all_kinds_and_any_number_of_unknown_ones() -> None:
    images = [f"https://example.com/{number}.webp" for number in range(9)]
    videos = [f"https://example.com/{number}.mp4" for number in range(3)]
    unknown = [f"https://example.com/asset/{number}" for number in range(20)]
    audio = [f"https://example.com/{number}.wav" for number in range(3)]
    inputs = body("seedance-20", OMNI, urls=images + unknown + videos, audioUrls=audio)
    assert parse_request(inputs).to_wire() == inputs
    too_much = body("seedance-20", OMNI, audioUrls=[*audio, audio[0]])
    assert refused(too_much) == ["inputs.audioUrls"]


def test_an_omni_reference_needs_urls() -> None:
    assert refused(body("seedance-20", {"prompt": "A lake", "mode": "reference"})) == [
        "inputs.urls"
    ]
    assert refused(body("seedance-20", OMNI, urls=[])) == ["inputs.urls"]
    only_audio: dict[str, object] = {
        "prompt": "x",
        "mode": "reference",
        "audioUrls": ["https://example.com/a.mp3"],
    }
    assert refused(body("seedance-20", only_audio)) == ["inputs.urls"]


def test_a_marker_tells_the_kind_and_is_sent_as_its_address() -> None:
    videos = [Video(f"https://example.com/clip?id={number}") for number in range(3)]
    request = OmniReference(prompt="@video3 with @image1", urls=[*videos, Image("https://e.com/x")])
    assert request.inputs_wire()["urls"] == [
        *(f"https://example.com/clip?id={number}" for number in range(3)),
        "https://e.com/x",
    ]
    with pytest.raises(ValidationError, match="4 videos"):
        OmniReference(prompt="x", urls=[*videos, Video("https://example.com/a.png")])
    with pytest.raises(ValidationError, match="http or https address"):
        OmniReference(prompt="x", urls=[Image("a.png")])


def test_audio_among_the_urls_is_told_where_it_belongs() -> None:
    message = parse_problem(body("seedance-20", OMNI, urls=[PICTURE, "https://e.com/a.mp3"]))
    assert "inputs.urls[1]" in message
    assert "audioUrls" in message


@pytest.mark.parametrize("inputs", [SEEDANCE, FRAMES, {**FRAMES, "mode": "keyframe"}])
def test_audio_without_reference_mode_is_a_clear_problem(inputs: dict[str, object]) -> None:
    given_body = body("seedance-20", inputs, audioUrls=["https://example.com/a.mp3"])
    assert parse_problem(given_body) == (
        "invalid request for seedance-20: inputs.audioUrls: "
        'only with mode "reference", an omni reference'
    )


@pytest.mark.parametrize("mode", ["Reference", "omni", "", True, ["reference"]])
def test_an_unknown_mode_is_refused(mode: object) -> None:
    assert refused(body("seedance-20", SEEDANCE, mode=mode)) == ["inputs.mode"]
    assert refused(body("seedance-20", FRAMES, mode=mode)) == ["inputs.mode"]


def test_the_mode_of_a_class_is_its_own() -> None:
    assert OmniReference(prompt="x", urls=[PICTURE]).inputs_wire()["mode"] == "reference"
    for make in (
        lambda: TextToVideo(prompt="x", mode="reference"),
        lambda: ImageToVideo(urls=[PICTURE], mode="reference"),
        lambda: OmniReference(prompt="x", urls=[PICTURE], mode="keyframe"),
    ):
        assert_invalid(make)


def assert_invalid(make: Callable[[], object]) -> None:
    with pytest.raises(ValidationError):
        make()
