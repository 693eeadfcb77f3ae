"""What the API's documents print, literally: bodies and price tables."""

from __future__ import annotations

from decimal import Decimal
from typing import get_args

import pytest

from kinovi_async._requests import (
    CREDIT_USD,
    MODELS,
    Generation,
    ImageToVideo,
    Midjourney,
    NanoBanana2,
    OmniReference,
    Request,
    TextToVideo,
    describe,
    fields_of,
    parse_request,
)

TEXT_TO_VIDEO: dict[str, object] = {
    "model": "seedance-20",
    "inputs": {
        "prompt": "A serene mountain landscape at golden hour, cinematic camera slowly panning right",
        "duration": "5",
        "aspectRatio": "16:9",
    },
}
OMNI_REFERENCE: dict[str, object] = {
    "model": "seedance-20",
    "inputs": {
        "urls": ["https://example.com/character-portrait.jpg"],
        "prompt": "A person @image1 walking on the beach at sunset, cinematic lighting",
        "duration": "5",
        "mode": "reference",
    },
}
OMNI_ALL_KINDS: dict[str, object] = {
    "model": "seedance-20",
    "inputs": {
        "urls": ["https://example.com/person.jpg", "https://example.com/dance-clip.mp4"],
        "audioUrls": ["https://example.com/music.mp3"],
        "prompt": "@image1 performs the dance moves from @video1, synced to the beat of @audio1",
        "mode": "reference",
    },
}
MIDJOURNEY: dict[str, object] = {
    "model": "midjourney-v7",
    "inputs": {
        "prompt": "A majestic snow leopard resting on a mountain cliff at golden hour, "
        "hyperrealistic photography",
        "aspectRatio": "16:9",
        "stylize": 500,
        "chaos": 20,
    },
}
NANO_BANANA: dict[str, object] = {
    "model": "nanobanana2",
    "inputs": {
        "prompt": "A futuristic cityscape at sunset, ultra detailed",
        "imageUrls": ["https://example.com/reference.jpg"],
    },
}


@pytest.mark.parametrize(
    ("body", "cls"),
    [
        (TEXT_TO_VIDEO, TextToVideo),
        (OMNI_REFERENCE, OmniReference),
        (OMNI_ALL_KINDS, OmniReference),
        (MIDJOURNEY, Midjourney),
        (NANO_BANANA, NanoBanana2),
    ],
)
def test_a_printed_body_goes_through_unchanged(body: dict[str, object], cls: type[Request]) -> None:
    request = parse_request(body)
    assert type(request) is cls
    assert request.to_wire() == body
    with_callback = {**body, "callBackUrl": "https://example.com/hook?job=1"}
    assert parse_request(with_callback).to_wire() == with_callback


@pytest.mark.parametrize(
    ("inputs", "cls"),
    [
        ({"prompt": "A lake"}, TextToVideo),
        ({"prompt": "A lake", "mode": "keyframe"}, TextToVideo),
        ({"urls": ["https://example.com/a.jpg"]}, ImageToVideo),
        ({"urls": ["https://example.com/a.jpg"], "mode": "keyframe"}, ImageToVideo),
        (
            {"urls": ["https://example.com/a.jpg", "https://example.com/b"], "prompt": "Zoom"},
            ImageToVideo,
        ),
    ],
)
def test_mode_and_urls_decide_the_seedance_class(
    inputs: dict[str, object], cls: type[Request]
) -> None:
    request = parse_request({"model": "seedance2-fast", "inputs": inputs})
    assert type(request) is cls
    assert request.to_wire() == {"model": "seedance2-fast", "inputs": inputs}


STANDARD = [(4, 160, 272), (5, 200, 340), (8, 320, 544), (10, 400, 680), (15, 600, 1020)]
STANDARD_USD = [("0.80", "1.36"), ("1.00", "1.70"), ("1.60", "2.72"), ("2.00", "3.40")]
STANDARD_USD += [("3.00", "5.10")]
FAST = [(4, 112, 224), (5, 140, 280), (8, 224, 448), (10, 280, 560), (15, 420, 840)]
FAST_USD = [("0.56", "1.12"), ("0.70", "1.40"), ("1.12", "2.24"), ("1.40", "2.80")]
FAST_USD += [("2.10", "4.20")]
# The text-to-video and the omni-reference page print the same rows; image-to-video is
# "the same pricing".
MODES: dict[str, dict[str, object]] = {
    "text-to-video": {"prompt": "A lake"},
    "image-to-video": {"urls": ["https://example.com/a.jpg"]},
    "omni-reference": {
        "prompt": "A lake",
        "urls": ["https://example.com/a.jpg"],
        "mode": "reference",
    },
}
ROWS = [
    (model, seconds, amount, usd, upscaled)
    for model, rows, prices in (
        ("seedance-20", STANDARD, STANDARD_USD),
        ("seedance2-fast", FAST, FAST_USD),
    )
    for (seconds, plain, with_4k), (plain_usd, usd_4k) in zip(rows, prices, strict=True)
    for amount, usd, upscaled in ((plain, plain_usd, False), (with_4k, usd_4k, True))
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("model", "seconds", "amount", "usd", "upscaled"), ROWS)
def test_every_row_of_the_seedance_price_tables(
    mode: str, model: str, seconds: int, amount: int, usd: str, *, upscaled: bool
) -> None:
    inputs: dict[str, object] = {**MODES[mode], "duration": str(seconds)}
    if upscaled:
        inputs["upscaleResolution"] = "4k"
    cost = parse_request({"model": model, "inputs": inputs}).cost()
    assert cost == Decimal(amount)
    assert cost * CREDIT_USD == Decimal(usd)


@pytest.mark.parametrize("model", ["midjourney-v7", "midjourney-v7-niji", "midjourney-v8"])
def test_every_row_of_the_midjourney_price_table(model: str) -> None:
    cost = parse_request({"model": model, "inputs": {"prompt": "A lake"}}).cost()
    assert cost == Decimal(12)
    assert cost * CREDIT_USD == Decimal("0.06")


@pytest.mark.parametrize(
    ("resolution", "amount", "usd"),
    [("1k", 15, "0.075"), ("2k", 15, "0.075"), ("4k", 25, "0.125")],
)
def test_every_row_of_the_nanobanana_price_table(resolution: str, amount: int, usd: str) -> None:
    inputs = {"prompt": "A lake", "resolution": resolution}
    cost = parse_request({"model": "nanobanana2", "inputs": inputs}).cost()
    assert cost == Decimal(amount)
    assert cost * CREDIT_USD == Decimal(usd)


def test_defaults_are_priced_as_the_documents_say() -> None:
    assert TextToVideo(prompt="A lake").cost() == Decimal(200)  # 5 seconds
    assert NanoBanana2(prompt="A lake").cost() == Decimal(15)  # 2k


def test_the_price_of_a_model_without_a_table_is_unknown() -> None:
    assert Generation(model="suno-music", inputs={"prompt": "A waltz"}).cost() is None


@pytest.mark.parametrize(
    ("model", "kind", "outputs", "typical", "price"),
    [
        (
            "seedance-20",
            "video",
            1,
            (60, 180),
            "40 credits per second, 28 more with 4K upscale",
        ),
        (
            "seedance2-fast",
            "video",
            1,
            (30, 90),
            "28 credits per second, 28 more with 4K upscale",
        ),
        ("midjourney-v7", "image", 4, (30, 90), "12 credits per run"),
        ("midjourney-v8", "image", 4, (30, 90), "12 credits per run"),
        ("midjourney-v7-niji", "image", 4, (30, 90), "12 credits per run"),
        ("nanobanana2", "image", 1, (10, 31), "credits per run by resolution: 1k 15, 2k 15, 4k 25"),
    ],
)
def test_the_catalogue_describes_every_model(
    model: str, kind: str, outputs: int, typical: tuple[float, float], price: str
) -> None:
    description = describe(model)
    assert description is not None
    assert (description.kind, description.outputs) == (kind, outputs)
    assert description.typical_seconds == typical
    assert description.price_text == price
    assert description.give_up_seconds >= max(900, 600, 5 * typical[1])


def test_the_catalogue_and_the_classes_name_the_same_models() -> None:
    named: dict[str, set[type[Request]]] = {}
    for description in MODELS.values():
        named.setdefault(description.id, set()).update(description.requests)
    for cls in (TextToVideo, ImageToVideo, OmniReference, Midjourney, NanoBanana2):
        for model in get_args(cls.model_fields["model"].annotation):
            assert cls in named[model]
    assert all(
        model in get_args(cls.model_fields["model"].annotation)
        for model, classes in named.items()
        for cls in classes
    )
    assert describe("suno-music") is None


def test_field_descriptions_are_read_off_the_classes() -> None:
    fields = fields_of(TextToVideo)
    duration = fields["duration"]
    assert (duration.path, duration.type) == ("inputs.duration", "whole number")
    assert (duration.minimum, duration.maximum, duration.default) == (4, 15, "5")
    assert (fields["prompt"].required, fields["prompt"].maximum) == (True, 4000)
    assert fields["aspect_ratio"].wire_name == "aspectRatio"
    assert fields["aspect_ratio"].choices == ("16:9", "9:16", "1:1", "3:4", "4:3", "21:9")
    assert fields["upscale_resolution"].choices == ("4k",)
    assert fields_of(Midjourney)["quality"].choices == (0.25, 0.5, 1)
    assert all(field.description for field in fields.values())


def test_a_models_fields_are_those_of_all_its_modes() -> None:
    description = describe("seedance-20")
    assert description is not None
    required = {field.wire_name: field.required for field in description.fields_in()}
    assert set(required) == {
        *("duration", "upscaleResolution", "prompt", "aspectRatio", "mode", "urls", "audioUrls"),
    }
    assert not any(required.values())  # image-to-video needs no prompt, text-to-video no urls
    later = {field.wire_name: field.required for field in description.fields_in("2026-09")}
    assert set(later) == {
        *("duration", "outputResolution", "prompt", "aspectRatio", "mode", "generate_audio"),
        *("imageUrls", "videoUrls", "audioUrls", "bitrate_mode", "seed"),
    }
    assert [name for name, needed in later.items() if needed] == ["prompt"]
    nano = describe("nanobanana2")
    assert nano is not None
    assert [field.name for field in nano.fields_in() if field.required] == ["prompt"]
