"""One request, two forms: what goes out in each generation of the API, and what cannot."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from kinovi_async._errors import ConfigurationError, InvalidRequestError
from kinovi_async._requests import (
    GENERATIONS,
    MODELS,
    ApiGeneration,
    Generation,
    GptImage25,
    Image,
    ImageToVideo,
    Midjourney,
    NanoBanana2,
    OmniReference,
    Request,
    Seedance25,
    Seedance25Edit,
    Seedance25Extend,
    TextToVideo,
    Video,
    Wan3RefToVideo,
    Wan3TextToVideo,
    as_request,
    body_hash,
    fields_of,
    parse_request,
    renamed_references,
    restore_request,
    settle_delay,
    wire_fields,
)
from kinovi_async._requests._addresses import Address, Addresses, Alone, References
from kinovi_async._requests._rules import Flag, Number, OneOf, Rule, Text, Whole

from .bodies import CASES, CLIP, IMAGE, SOUND, Case

LATER: ApiGeneration = "2026-09"
UNKNOWN = "https://example.com/asset/1"

BOTH_FORMS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"prompt": "x", "duration": "8"}, {"prompt": "x", "duration": 8}),
    (
        {"prompt": "x", "urls": [IMAGE], "aspectRatio": "1:1"},
        {"prompt": "x", "imageUrls": [IMAGE], "aspectRatio": "1:1"},
    ),
    (
        {"prompt": "x", "urls": [IMAGE, CLIP], "audioUrls": [SOUND], "mode": "reference"},
        {
            "prompt": "x",
            "imageUrls": [IMAGE],
            "videoUrls": [CLIP],
            "audioUrls": [SOUND],
            "mode": "reference",
        },
    ),
]


def body(model: str, inputs: dict[str, Any]) -> dict[str, Any]:
    return {"model": model, "inputs": inputs}


def problems(call: Any) -> list[str]:
    with pytest.raises(InvalidRequestError) as caught:
        call()
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(("old", "new"), BOTH_FORMS)
@pytest.mark.parametrize("model", ["seedance-20", "seedance2-fast"])
def test_both_forms_of_a_seedance_body_are_one_request(
    model: str, old: dict[str, Any], new: dict[str, Any]
) -> None:
    one, other = parse_request(body(model, old)), parse_request(body(model, new))
    assert one == other
    assert type(one) is type(other)
    for request in (one, other):
        assert request.to_wire()["inputs"] == old
        assert request.to_wire(api_generation=LATER)["inputs"] == new
        assert request.to_stored() == body(model, old)
        assert body_hash(request) == body_hash(body(model, old))


def test_references_of_images_go_by_the_generations_name_and_type() -> None:
    midjourney = Midjourney(model="midjourney-v8", prompt="x", source_image_url=IMAGE)
    assert midjourney.to_wire()["inputs"] == {"prompt": "x", "sourceImageUrl": IMAGE}
    later = {"prompt": "x", "uploadedUrls": [IMAGE]}
    assert midjourney.to_wire(api_generation=LATER)["inputs"] == later
    assert parse_request(body("midjourney-v8", later)) == midjourney
    nano = NanoBanana2(prompt="x", image_urls=[IMAGE])
    assert nano.to_wire()["inputs"] == {"prompt": "x", "imageUrls": [IMAGE]}
    assert nano.to_wire(api_generation=LATER)["inputs"] == later
    assert parse_request(body("nanobanana2", later)) == nano


def test_a_model_of_one_generation_goes_out_in_that_one_whatever_is_chosen() -> None:
    old = Midjourney(model="midjourney-v7", prompt="x", source_image_url=IMAGE)
    assert old.to_wire(api_generation=LATER) == old.to_wire()
    assert old.cost(api_generation=LATER) == 12
    mini = TextToVideo(model="seedance2.0-mini", prompt="x", duration=6)
    assert mini.to_wire()["inputs"] == {"prompt": "x", "duration": 6}
    assert mini.cost() == mini.cost(api_generation=LATER) == Decimal(120)
    assert Seedance25(prompt="x").cost() == Decimal(295)


@pytest.mark.parametrize(
    ("request_", "generation", "told"),
    [
        (
            TextToVideo(prompt="x", upscale_resolution="4k"),
            LATER,
            (
                "inputs.upscaleResolution: not in API generation 2026-09; "
                'outputResolution "4k" is its successor, of seedance-20'
            ),
        ),
        (
            TextToVideo(prompt="x", output_resolution="1080p"),
            "seed",
            (
                "inputs.outputResolution: not in API generation seed; the video has 720p; "
                'upscaleResolution "4k" enlarges it'
            ),
        ),
        (
            TextToVideo(prompt="x", generate_audio=False),
            "seed",
            "inputs.generate_audio: not in API generation seed; leave it out",
        ),
        (
            NanoBanana2(prompt="x", negative_prompt="y"),
            LATER,
            (
                "inputs.negativePrompt: not in API generation 2026-09; "
                "say in the prompt what to leave out"
            ),
        ),
        (
            NanoBanana2(prompt="x", resolution="1k"),
            LATER,
            "inputs.resolution: 2k or 4k (API generation 2026-09), not '1k'",
        ),
        (
            NanoBanana2(prompt="x", image_urls=[IMAGE] * 10),
            LATER,
            (
                "inputs.uploadedUrls: a list of at most 9 http or https addresses of images "
                "(API generation 2026-09), not a list of 10 items"
            ),
        ),
        (
            ImageToVideo(urls=[IMAGE]),
            LATER,
            "inputs.prompt: required in API generation 2026-09: text of 1 to 10,000 characters",
        ),
        (
            Midjourney(model="midjourney-v8", prompt="x", aspect_ratio="3:2"),
            "seed",
            (
                "inputs.aspectRatio: 1:1, 16:9, 9:16, 3:4, 4:3 or 21:9 (API generation seed), "
                "not '3:2'"
            ),
        ),
        (
            Midjourney(model="midjourney-v8", prompt="x" * 6001),
            LATER,
            (
                "inputs.prompt: text of 1 to 6,000 characters (API generation 2026-09), "
                "not text of 6,001 characters"
            ),
        ),
        (
            OmniReference(prompt="x", urls=[IMAGE, UNKNOWN]),
            LATER,
            (
                "inputs.urls: a reference of known kind: mark it as Image(url) or Video(url) "
                f"(API generation 2026-09), not '{UNKNOWN}'"
            ),
        ),
    ],
)
def test_what_the_chosen_generation_does_not_take_is_an_error_and_never_dropped(
    request_: Request, generation: ApiGeneration, told: str
) -> None:
    (other,) = (each for each in GENERATIONS if each != generation)
    assert request_.to_wire(api_generation=other) or UNKNOWN in str(request_.to_stored())
    with pytest.raises(InvalidRequestError) as caught:
        request_.to_wire(api_generation=generation)
    assert [str(problem) for problem in caught.value.problems] == [told]
    assert f"invalid request for {request_.model}: " in str(caught.value)
    assert request_.cost(api_generation=generation) is None
    with pytest.raises(InvalidRequestError):
        as_request(request_, api_generation=generation)
    assert as_request(request_, api_generation=other) is request_


def test_what_no_generation_takes_together_is_refused_on_construction() -> None:
    with pytest.raises(ValidationError, match="generate_audio: not together with upscaleRes"):
        TextToVideo(prompt="x", upscale_resolution="4k", generate_audio=True)
    told = problems(
        lambda: parse_request(body("seedance2-fast", {"prompt": "x", "outputResolution": "1080p"}))
    )
    assert told == ["inputs.outputResolution: 480p or 720p (API generation 2026-09), not '1080p'"]


def test_a_number_beyond_the_seeds_range_makes_no_request_one_of_the_later_generation() -> None:
    long = "x" * 5000
    with pytest.raises(ValidationError, match=r"1 to 4,000 characters \(up to 10,000 in API"):
        TextToVideo(prompt=long)
    later = TextToVideo(prompt=long, output_resolution="720p")
    assert later.to_wire(api_generation=LATER)["inputs"]["prompt"] == long  # type: ignore[index, call-overload]
    told = problems(later.to_wire)
    assert len(told) == 2
    plain = body("seedance-20", {"prompt": long})
    request = parse_request(plain, api_generation=LATER)
    assert request.to_wire(api_generation=LATER) == plain
    assert restore_request(request.to_stored()) == request
    assert request.model_copy(update={"duration": 7}).to_wire(api_generation=LATER)
    for chosen in (None, "seed"):
        with pytest.raises(InvalidRequestError):
            parse_request(plain, api_generation=chosen)


def test_a_field_under_the_names_of_both_generations_is_given_twice() -> None:
    for inputs in (
        {"prompt": "x", "urls": [IMAGE], "imageUrls": [IMAGE]},
        {"prompt": "x", "imageUrls": [IMAGE], "urls": [IMAGE]},
        {"prompt": "x", "videoUrls": [CLIP], "urls": [IMAGE], "mode": "reference"},
    ):
        assert any(
            "twice" in each
            for each in problems(lambda i=inputs: parse_request(body("seedance-20", i)))
        )
    nano = body("nanobanana2", {"prompt": "x", "uploadedUrls": [IMAGE], "imageUrls": [IMAGE]})
    assert problems(lambda: parse_request(nano)) == [
        "inputs.imageUrls: given twice, also as uploadedUrls"
    ] or problems(lambda: parse_request(nano)) == [
        "inputs.imageUrls: given twice, also as imageUrls"
    ]


@pytest.mark.parametrize(
    ("model", "inputs", "fields"),
    [
        ("seedance-20", {"prompt": "x", "imageUrls": [IMAGE, CLIP]}, ["inputs.imageUrls[1]"]),
        ("seedance-20", {"prompt": "x", "imageUrls": [IMAGE] * 3}, ["inputs.imageUrls"]),
        (
            "seedance-20",
            {"prompt": "x", "videoUrls": [CLIP, 5], "mode": "reference"},
            ["inputs.videoUrls[1]"],
        ),
        (
            "seedance-20",
            {"prompt": "x", "videoUrls": [CLIP] * 4, "imageUrls": IMAGE, "mode": "reference"},
            ["inputs.videoUrls", "inputs.imageUrls"],
        ),
        ("midjourney-v8", {"prompt": "x", "uploadedUrls": [IMAGE, IMAGE]}, ["inputs.uploadedUrls"]),
        ("midjourney-v8", {"prompt": "x", "uploadedUrls": [CLIP]}, ["inputs.uploadedUrls"]),
        ("nanobanana2", {"prompt": "x", "uploadedUrls": [IMAGE, "a"]}, ["inputs.uploadedUrls[1]"]),
    ],
)
def test_problems_name_the_field_as_it_was_given(
    model: str, inputs: dict[str, Any], fields: list[str]
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_request(body(model, inputs))
    assert [problem.field for problem in caught.value.problems] == fields


def test_marks_tell_the_kinds_in_python_in_bodies_and_in_the_ledger() -> None:
    request = OmniReference(prompt="@video1", urls=[Image(UNKNOWN), Video(UNKNOWN), IMAGE])
    assert request.to_wire()["inputs"]["urls"] == [UNKNOWN, UNKNOWN, IMAGE]  # type: ignore[index, call-overload]
    later = request.to_wire(api_generation=LATER)["inputs"]
    assert later["imageUrls"] == [UNKNOWN, IMAGE]  # type: ignore[index, call-overload]
    assert later["videoUrls"] == [UNKNOWN]  # type: ignore[index, call-overload]
    stored = request.to_stored()
    assert stored["inputs"]["urls"] == [{"image": UNKNOWN}, {"video": UNKNOWN}, IMAGE]  # type: ignore[index, call-overload]
    assert restore_request(json.loads(json.dumps(stored))) == request
    assert parse_request(stored) == request
    again = parse_request({"model": "seedance-20", "inputs": later})
    assert again.to_wire(api_generation=LATER)["inputs"] == later


def test_the_hash_is_that_of_the_seeds_form_as_it_always_was() -> None:
    request = OmniReference(prompt="x", urls=[Image(IMAGE), CLIP], duration=7)
    assert body_hash(request) == body_hash(request.to_wire())
    assert body_hash(Generation(model="seedance-20", inputs={"prompt": "x"})) == body_hash(
        TextToVideo(prompt="x")
    )


def test_a_generation_of_a_known_model_is_checked_and_can_be_sent_unchecked() -> None:
    inputs = {"prompt": "x", "urls": [IMAGE], "whatever": 1}
    with pytest.raises(ValidationError, match=r"inputs\.whatever: no such field"):
        Generation(model="seedance-20", inputs=inputs)
    unchecked = Generation(model="seedance-20", inputs=inputs, check=False)
    for generation in GENERATIONS:
        assert unchecked.to_wire(api_generation=generation) == body("seedance-20", inputs)
    assert unchecked.cost() is None
    stored = unchecked.to_stored()
    assert stored == {**body("seedance-20", inputs), "check": False}
    assert restore_request(stored) == unchecked
    assert restore_request(stored).to_wire() == body("seedance-20", inputs)
    checked = Generation(model="nanobanana2", inputs={"prompt": "x", "imageUrls": [IMAGE]})
    assert checked.to_wire(api_generation=LATER)["inputs"] == {
        "prompt": "x",
        "uploadedUrls": [IMAGE],
    }
    assert checked.cost(api_generation=LATER) == 15
    assert Generation(model="unheard-of", inputs=inputs).to_wire(api_generation=LATER) == body(
        "unheard-of", inputs
    )


def test_a_generation_that_is_none_is_refused() -> None:
    for call in (
        lambda: TextToVideo(prompt="x").to_wire(api_generation="2027"),  # type: ignore[arg-type]
        lambda: TextToVideo(prompt="x").cost(api_generation="2027"),  # type: ignore[arg-type]
        lambda: Generation(model="x", inputs={}).to_wire(api_generation=""),  # type: ignore[arg-type]
        lambda: parse_request(body("nanobanana2", {"prompt": "x"}), api_generation="later"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ConfigurationError, match="seed or 2026-09"):
            call()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_body_with_every_field_goes_through_unchanged(case: Case) -> None:
    request = parse_request(case.body)
    assert type(request) is case.cls
    assert request.to_wire(api_generation=case.generation) == case.body
    inputs = case.body["inputs"]
    in_python = {}
    for name, field in wire_fields(case.cls, case.generation).items():
        whole = fields_of(case.cls, case.generation)[field.name]
        same = whole.parts is None and not isinstance(whole.rule, Alone)
        in_python[field.name if same else name] = inputs[name]
    assert parse_request({"model": case.model.id, "inputs": in_python}) == request
    stored = request.to_stored()
    assert restore_request(json.loads(json.dumps(stored))).to_stored() == stored


def values_of(rule: Rule) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - one for each rule
    """Values that a rule takes, in the API's form."""
    match rule:
        case Whole():
            return st.integers(rule.minimum, rule.maximum).map(rule.wire)
        case Number():
            return st.sampled_from(rule.choices) if rule.choices else st.integers(-(2**40), 2**40)
        case OneOf():
            return st.sampled_from(rule.choices)
        case Flag():
            return st.booleans()
        case Text():
            words = st.text(st.characters(exclude_characters="@", exclude_categories=["C", "Z"]))
            return words.map(lambda word: f"x{word[:50]}")
        case Alone():
            return st.just([IMAGE])
        case Address():
            return st.just(IMAGE)
        case Addresses():
            most = min(rule.maximum or 3, 5)
            url = rule.example()[0]  # type: ignore[index]
            return st.integers(max(1, rule.minimum), most).map(lambda count: [url] * count)
        case References():
            return st.integers(1, 9).map(lambda count: [IMAGE] * count + [CLIP] * (count % 4))
        case _:
            pytest.fail(f"no values for {rule}")


@st.composite
def drawn_bodies(draw: st.DrawFn) -> tuple[ApiGeneration, dict[str, Any]]:
    """A body of any model in any generation, with some of its fields."""
    model = draw(st.sampled_from(list(MODELS.values())))
    generation = draw(st.sampled_from(model.generations))
    cls = draw(st.sampled_from(model.requests))
    inputs: dict[str, Any] = {}
    for name, field in wire_fields(cls, generation).items():
        if field.required or draw(st.booleans()):
            inputs[name] = draw(values_of(model.narrowed(field, generation).rule))
    if cls is OmniReference:
        inputs["mode"] = "reference"
        if generation == LATER and not {"imageUrls", "videoUrls"} & set(inputs):
            inputs["imageUrls"] = [IMAGE]
    if cls is ImageToVideo and generation == LATER:
        inputs["imageUrls"] = inputs.get("imageUrls", [IMAGE])[:2]
        inputs.pop("audioUrls", None)
    if cls is Seedance25 and not {"imageUrls", "videoUrls"} & set(inputs):
        inputs.pop("audioUrls", None)
    return generation, {"model": model.id, "inputs": inputs}


@settings(deadline=None, max_examples=400)
@given(drawn_bodies())
def test_a_request_survives_both_generations(drawn: tuple[ApiGeneration, dict[str, Any]]) -> None:
    generation, given_body = drawn
    request = parse_request(given_body, api_generation=generation)
    assert request.to_wire(api_generation=generation) == given_body
    stored = json.loads(json.dumps(request.to_stored()))
    assert restore_request(stored) == request
    assert body_hash(request) == body_hash(stored)
    for other in GENERATIONS:
        try:
            wire = request.to_wire(api_generation=other)
        except InvalidRequestError:
            assert request.cost(api_generation=other) is None
            continue
        again = parse_request(json.loads(json.dumps(wire)), api_generation=other)
        assert again == request
        assert again.to_wire(api_generation=other) == wire
        # What goes out is always the request whose hash the ledger has.
        assert body_hash(again) == body_hash(request)
        assert again.cost(api_generation=other) == request.cost(api_generation=other)


def test_an_edit_an_extension_and_references_cost_at_most_what_their_longest_source_does() -> None:
    edit = Seedance25Edit(prompt="x", video_urls=[CLIP])
    assert edit.cost() == 2 * 30 * 35
    price = MODELS["seedance2-5-extend"].price
    extend = Seedance25Extend(prompt="x", video_urls=[CLIP], duration=5)
    # The documents' own sample: a clip of 10 s, extended by 5 s.
    assert price.reserved(extend.values()) == 175
    assert price.settled(extend.values(), 10) == 525
    assert extend.cost() == 35 * 35
    referenced = Seedance25(prompt="x", video_urls=[CLIP], duration=5, output_resolution="1080p")
    assert referenced.cost() == Decimal("85.68") * 35
    assert [settle_delay(each) is not None for each in (edit, extend, referenced)] == [True] * 3
    assert settle_delay(Seedance25(prompt="x")) is None
    assert settle_delay(GptImage25(prompt="x")) is not None
    assert settle_delay(Generation(model="seedance2-5", inputs={"a": 1}, check=False)) is not None
    assert settle_delay(Generation(model="seedance2-5", inputs={"prompt": "x"})) is None
    assert settle_delay(TextToVideo(prompt="x")) is None
    assert settle_delay(Generation(model="unheard-of", inputs={})) is None


def test_fractional_prices_are_exact() -> None:
    mini = TextToVideo(model="seedance2.0-mini", prompt="x", duration=7, output_resolution="480p")
    assert mini.cost() == Decimal("52.5")
    wan = Wan3TextToVideo(prompt="x", duration=3, output_resolution="480p")
    assert str(wan.cost()) == "42.78"
    assert GptImage25(prompt="x").cost() is None
    longer = Wan3TextToVideo(prompt="x", duration=5, output_resolution="720p")
    assert str(longer.cost()) == "142.57"
    assert str(Seedance25(prompt="x", output_resolution="1080p").cost()) == "717"
    shorter = Wan3TextToVideo(prompt="x", duration=2, output_resolution="720p")
    assert str(shorter.cost()) == "57.03"  # to a hundredth, as the pages print amounts


def test_citations_of_wan_references_are_checked() -> None:
    assert Wan3RefToVideo(prompt="@Image1 and @audio1", image_urls=[IMAGE], audio_urls=[SOUND])
    with pytest.raises(ValidationError, match="@Video1"):
        Wan3RefToVideo(prompt="@Video1 dances", image_urls=[IMAGE])
    told = problems(lambda: parse_request(body("wan3.0-ref-to-video", {"prompt": "@Image1"})))
    assert told == ["inputs.prompt: @ references to what is given, here nothing, not @Image1"]


def test_audio_alone_is_refused() -> None:
    told = problems(
        lambda: parse_request(body("seedance2-5", {"prompt": "x", "audioUrls": [SOUND]}))
    )
    assert told == [
        "inputs.audioUrls: only together with imageUrls or videoUrls: audio cannot be alone"
    ]


@pytest.mark.parametrize(
    ("request_", "names"),
    [
        (OmniReference(prompt="x", urls=[IMAGE]), {"urls": "imageUrls and videoUrls"}),
        (ImageToVideo(urls=[IMAGE]), {"urls": "imageUrls"}),
        (NanoBanana2(prompt="x", image_urls=[IMAGE]), {"imageUrls": "uploadedUrls"}),
        (
            Midjourney(model="midjourney-v8", prompt="x", source_image_url=IMAGE),
            {"sourceImageUrl": "uploadedUrls"},
        ),
        (
            Generation(model="nanobanana2", inputs={"prompt": "x", "imageUrls": [IMAGE]}),
            {"imageUrls": "uploadedUrls"},
        ),
        (Midjourney(model="midjourney-v7", prompt="x", source_image_url=IMAGE), {}),
        (NanoBanana2(prompt="x"), {}),
        (NanoBanana2(prompt="x", image_urls=[]), {}),
        (Seedance25(prompt="x", image_urls=[IMAGE]), {}),
        (Generation(model="other", inputs={"urls": [IMAGE]}), {}),
    ],
)
def test_references_whose_names_have_changed_are_told(
    request_: Request, names: dict[str, str]
) -> None:
    assert renamed_references(request_) == names
