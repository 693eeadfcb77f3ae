"""Wrong fields and values: every error names the model, the field and what is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from kinovi_async._errors import InvalidRequestError
from kinovi_async._requests import FieldDescription, parse_request, wire_fields

from .bodies import CASES, CLIP, IMAGE, SOUND, Case


def wrong_values(field: FieldDescription) -> Iterator[object]:  # noqa: C901 - one for each type
    """Values that a field does not take."""
    match field.type:
        case "whole number":
            yield from (field.minimum - 1, field.maximum + 1, "many", True, 4.5, [4])  # type: ignore[operator] # ranges have both
        case "number":
            yield from ("many", True, [1])
        case "choice":
            yield from ("none of these", 7, "", [field.choices[0]], True)
        case "true or false":
            yield from ("true", 1, "yes")
        case "text":
            yield from (5, ["x"], True)
            if field.required:
                yield "  "
            if field.maximum:
                yield "x" * (int(field.maximum) + 1)
        case "address":
            yield from ("nowhere", CLIP, 5, [IMAGE])
        case "list of addresses":
            yield from (5, {"0": IMAGE}, ["nowhere"], [5])
            if field.maximum:
                yield [IMAGE] * (int(field.maximum) + 1)


def wrong() -> Iterator[tuple[Case, str, object]]:
    """Every field of every model with every value that it does not take."""
    for case in CASES:
        for name, field in wire_fields(case.cls, case.generation).items():
            for value in wrong_values(case.model.narrowed(field, case.generation)):
                yield case, name, value


WRONG = list(wrong())


def test_there_are_many() -> None:
    assert len(WRONG) > 1000
    assert len({(case.model.id, name) for case, name, _ in WRONG}) > 150


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_wrong_value_is_refused_with_the_model_the_field_and_what_is_allowed(case: Case) -> None:
    for _, name, value in (each for each in WRONG if each[0] is case):
        inputs = {**case.body["inputs"], name: value}
        if name == "mode" and case.model.requests[0] is not case.cls:
            continue  # the mode says which class it is; the test below has it
        with pytest.raises(InvalidRequestError) as caught:
            # A wrong value of one generation may be a right one of the other.
            request = parse_request({**case.body, "inputs": inputs}, api_generation=case.generation)
            request.to_wire(api_generation=case.generation)
        problems = [each for each in caught.value.problems if name in each.field]
        assert problems, (name, value, str(caught.value))
        assert case.model.id in str(caught.value)
        assert all(problem.allowed for problem in problems)
        field = case.model.narrowed(wire_fields(case.cls, case.generation)[name], case.generation)
        if (
            field.type == "choice"
            and not field.phrase
            and case.model.generations == (case.generation,)
        ):
            assert all(str(each) in problems[0].allowed for each in field.choices)
        if field.type == "whole number":
            assert f"from {field.minimum} to {field.maximum}" in problems[0].allowed


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize(
    "name", ["prmpt", "zzz", "aspect-ratio", "callBackUrl", "model", "Seed", ""]
)
def test_an_unknown_field_is_refused_by_name(case: Case, name: str) -> None:
    inputs = {**case.body["inputs"], name: "x"}
    with pytest.raises(InvalidRequestError, match="no such field") as caught:
        parse_request({**case.body, "inputs": inputs})
    assert case.model.id in str(caught.value)
    assert any(problem.field.startswith("inputs.") for problem in caught.value.problems)


SLIPS: list[tuple[str, dict[str, Any], str]] = [
    ("seedance2-5", {"urls": [IMAGE]}, "images go into imageUrls, videos into videoUrls"),
    ("seedance2-5", {"audio": True}, "did you mean generate_audio?"),
    ("seedance2-5", {"generateAudio": True}, "did you mean generate_audio?"),
    ("seedance2-5", {"resolution": "720p"}, "did you mean outputResolution?"),
    ("seedance2-5-edit", {"duration": 5, "videoUrls": [CLIP]}, "no such field"),
    ("wan3.0-text-to-video", {"generate_audio": True}, "did you mean audio?"),
    ("wan3.0-text-to-video", {"imageUrls": [IMAGE]}, "image-to-video or ref-to-video model"),
    ("wan3.0-image-to-video", {"imageUrls": [IMAGE], "videoUrls": [CLIP]}, "ref-to-video model"),
    ("wan3.0-ref-to-video", {"seed": -1}, "a whole number from 0 to 2147483647"),
    ("wan3.0-ref-to-video", {"aspectRatio": "adaptive"}, "16:9, 9:16, 4:3, 3:4 or 1:1"),
    ("nanobanana-pro", {"imageUrls": [IMAGE]}, "did you mean uploadedUrls?"),
    ("nanobanana-pro", {"negativePrompt": "x"}, "say in the prompt what to leave out"),
    ("seedream-5.0-pro", {"resolution": "4k"}, "1k or 2k"),
    ("gpt-image-2", {"background": "transparent"}, "auto or opaque"),
    ("gpt-image-2", {"quality": "max"}, "low, medium or high"),
    ("gpt-image-2.5-flare", {"outputCompression": 101}, "a whole number from 0 to 100"),
    ("gpt-image-2.5-flare", {"uploadedUrls": [IMAGE] * 17}, "a list of at most 16"),
    ("gpt-image-2.5-flare", {"seed": 5}, "results cannot be reproduced"),
    ("seedance2.0-mini", {"outputResolution": "1080p"}, "480p or 720p"),
    ("seedance2.0-mini", {"upscaleResolution": "4k"}, "not in API generation 2026-09"),
    ("seedance2-fast", {"outputResolution": "4k"}, "480p or 720p"),
    ("seedance-20", {"output_format": "mov"}, "no such field"),
    ("seedance-20", {"audioUrls": [SOUND]}, 'only with mode "reference"'),
    ("midjourney-v7", {"autoFix": True}, "not in API generation seed"),
    ("midjourney-v7", {"aspectRatio": "3:2"}, "1:1, 16:9, 9:16, 3:4, 4:3 or 21:9"),
    ("midjourney-v8", {"imageUrls": [IMAGE]}, "sourceImageUrl takes one address"),
    ("seedance-20", {"ratio": "16:9"}, "did you mean aspectRatio?"),
    ("seedance-20", {"audio": True}, "did you mean generate_audio or audioUrls?"),
    ("seedance-20", {"images": [IMAGE]}, "did you mean imageUrls?"),
    ("seedance-20", {"negativePrompt": "x"}, "the fields here are duration, upscaleResolution, p"),
    ("nanobanana2", {"size": "1k"}, "imageUrls, negativePrompt, aspectRatio, resolution, seed and"),
]


@pytest.mark.parametrize(("model", "inputs", "told"), SLIPS)
def test_what_people_mix_up_is_told(model: str, inputs: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_request({"model": model, "inputs": {"prompt": "x", **inputs}})
    assert model in str(caught.value)
    assert told in str(caught.value)
