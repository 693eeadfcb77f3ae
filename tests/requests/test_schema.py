"""The JSON Schema of a batch line takes what the check takes, and refuses what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kinovi_async import OmniReference
from kinovi_async._errors import InvalidRequestError
from kinovi_async._requests import (
    GENERATIONS,
    MODELS,
    ApiGeneration,
    as_request,
    batch_schema,
    example_line,
    parse_request,
    wire_fields,
)

from .bodies import CASES, CLIP, IMAGE, SOUND, Case
from .json_schema import valid
from .test_wrong import SLIPS, WRONG

EXAMPLES = Path(__file__).parents[2] / "examples" / "batch.jsonl"
SCHEMA = json.loads(json.dumps(batch_schema()))


def test_it_names_its_dialect_and_every_model() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMA["properties"]["model"]["anyOf"][0]["enum"] == list(MODELS)


@pytest.mark.parametrize("line", EXAMPLES.read_text("utf-8").splitlines())
def test_the_examples_are_valid(line: str) -> None:
    assert valid(json.loads(line), SCHEMA)


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("model", MODELS)
def test_the_example_line_of_a_model_is_valid_checked_and_priced(
    model: str, generation: ApiGeneration
) -> None:
    line = json.loads(json.dumps(example_line(MODELS[model], generation)))
    assert valid(line, SCHEMA)
    assert valid(line, batch_schema([model], api_generation=generation))
    request = parse_request({name: line[name] for name in ("model", "inputs")})
    assert request.to_wire(api_generation=generation)["inputs"] == line["inputs"]
    assert (request.cost(api_generation=generation) is None) == model.startswith("gpt-image-2.5")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_body_with_every_field_is_valid(case: Case) -> None:
    only = batch_schema([case.model.id], api_generation=case.generation)
    line = {"id": 7, "tags": {"client": "acme", "take": 3}, **case.body}
    assert valid(line, SCHEMA)
    assert valid(line, only)
    assert not valid({**line, "model": "other"}, only)
    assert not valid({**line, "inputs": {**case.body["inputs"], "zzz": 1}}, SCHEMA)
    for name, field in wire_fields(case.cls, case.generation).items():
        if case.model.requests == (case.cls,) and field.required:
            short = {key: value for key, value in case.body["inputs"].items() if key != name}
            assert not valid({**line, "inputs": short}, only)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_names_in_python_are_as_good_as_those_on_the_wire(case: Case) -> None:
    names = {name: field.name for name, field in wire_fields(case.cls, case.generation).items()}
    parts = {"imageUrls", "videoUrls"} if case.cls is OmniReference else {"uploadedUrls"}
    inputs = {
        (name if name in parts else names[name]): value
        for name, value in case.body["inputs"].items()
    }
    line = {"model": case.model.id, "inputs": inputs, "callback_url": IMAGE}
    assert (
        parse_request(line).to_wire(api_generation=case.generation)["inputs"]
        == (case.body["inputs"])
    )
    only = batch_schema([case.model.id], api_generation=case.generation)
    assert valid(line, only)
    assert valid(line, SCHEMA)
    both = {**line, "inputs": {**inputs, **case.body["inputs"]}}
    assert valid(both, only) == (inputs == case.body["inputs"])


def test_a_wrong_value_is_invalid_by_the_schema_of_its_generation() -> None:
    schemas = {
        (model.id, generation): batch_schema([model.id], api_generation=generation)
        for model in MODELS.values()
        for generation in model.generations
    }
    missed = 0
    for case, name, value in WRONG:
        line: dict[str, Any] = {**case.body, "inputs": {**case.body["inputs"], name: value}}
        missed += valid(line, schemas[case.model.id, case.generation])
    # What a mode or the kind of an address forbids is left to the check of the request.
    assert missed < len(WRONG) / 15


@pytest.mark.parametrize(("model", "inputs", "told"), SLIPS)
def test_what_people_mix_up_is_invalid(model: str, inputs: dict[str, Any], told: str) -> None:
    assert told
    assert not valid({"model": model, "inputs": {"prompt": "x", **inputs}}, SCHEMA)


def test_marked_references_other_models_and_lines_without_a_model_are_valid() -> None:
    marked = {"urls": [{"video": IMAGE}, IMAGE], "prompt": "x", "mode": "reference"}
    assert valid({"model": "seedance-20", "inputs": marked}, SCHEMA)
    assert not valid({"model": "seedance-20", "inputs": {"urls": [{"sound": IMAGE}]}}, SCHEMA)
    assert valid({"model": "suno-music", "inputs": {"lyrics": ["la"]}}, SCHEMA)
    assert valid({"inputs": {"prompt": "x"}}, SCHEMA)
    assert not valid({"inputs": {}, "promt": 1}, SCHEMA)
    assert not valid({"model": "nanobanana2"}, SCHEMA)


def test_a_valid_line_that_the_check_refuses_is_refused_for_what_spans_fields() -> None:
    for case in CASES:
        lone = {name: value for name, value in case.body["inputs"].items() if name != "audioUrls"}
        line = {**case.body, "inputs": lone}
        try:
            parse_request(line)
        except InvalidRequestError as error:
            pytest.fail(f"{case.name}: {error}")
        assert valid(line, SCHEMA)


SCHEMAS: dict[tuple[str, ApiGeneration | None], Any] = {
    (model.id, generation): batch_schema([model.id], api_generation=generation)
    for model in MODELS.values()
    for generation in (None, *GENERATIONS)
}
NOT_IN_SCHEMA = re.compile(
    "audio cannot be alone|@|http or https address of|address of an image or a video|"
    "a reference of known kind|at most 9 images and 3 videos"
)
"""What the schema leaves to the check."""


def inputs_schema_of(schema: Any) -> Any:
    """The schema of `inputs` in that of one model's lines."""
    return schema["allOf"][0]["then"]["properties"]["inputs"]


def refusal_of(line: dict[str, Any], generation: ApiGeneration | None) -> str:
    """Why no generation, or the given one, takes a line; empty when one does."""
    told = ""
    for each in GENERATIONS if generation is None else (generation,):
        try:
            as_request(line, api_generation=each)
        except InvalidRequestError as error:
            told += str(error)
        else:
            return ""
    return told


def value_of(name: str, schema: Any) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - one a type
    """Values that a property takes."""
    address = CLIP if "ideo" in name else SOUND if "udio" in name and "rl" in name else IMAGE
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of([value_of(name, each) for each in schema["anyOf"]])
    match schema.get("type"):
        case "integer":
            return st.integers(schema["minimum"], schema["maximum"])
        case "number":
            return st.integers(-9, 9) | st.floats(-9, 9)
        case "boolean":
            return st.booleans()
        case "array":
            least = schema.get("minItems", 0)
            items = value_of(name, schema["items"])
            return st.lists(items, min_size=least, max_size=min(schema.get("maxItems", 9), 9))
        case "object":
            kind = {"image": IMAGE, "video": CLIP}
            return st.just({mark: kind[mark] for mark in schema["properties"]})
        case "string" if "format" in schema:
            return st.just(address)
        case "string":
            return st.sampled_from(
                ["x", "A cat, at dawn", "x" * min(schema.get("maxLength", 9), 9000)]
            )
        case _:
            pytest.fail(f"no values for {schema}")


@st.composite
def drawn_lines(draw: st.DrawFn) -> tuple[dict[str, Any], str, ApiGeneration | None]:
    """A line made from the schema of a model, its model, and the generation of the schema."""
    model, generation = draw(st.sampled_from(list(SCHEMAS)))
    whole = inputs_schema_of(SCHEMAS[model, generation])
    form = draw(st.sampled_from(whole.get("anyOf", [whole])))
    narrow = form.get("properties", {})
    names = [name for name in whole["properties"] if narrow.get(name) is not False]
    chosen = {name for name in names if draw(st.integers(0, 3)) == 0} | {*form.get("required", ())}
    for each in form.get("allOf", ()):
        chosen |= {*draw(st.sampled_from(each["anyOf"]))["required"]}
    inputs = {}
    for name in names:
        if name in chosen and not chosen & {
            *whole.get("dependentSchemas", {}).get(name, {"properties": {}})["properties"]
        }:
            schema = narrow.get(name) or whole["properties"][name]
            inputs[name] = draw(value_of(name, schema))
    return {"model": model, "inputs": inputs}, model, generation


@settings(deadline=None, max_examples=150)
@given(drawn_lines())
def test_what_the_schema_takes_the_check_takes(
    drawn: tuple[dict[str, Any], str, ApiGeneration | None],
) -> None:
    line, model, generation = drawn
    assume(valid(line, SCHEMAS[model, generation]))
    told = refusal_of(line, generation)
    assert not told or NOT_IN_SCHEMA.search(told)


@settings(deadline=None, max_examples=150)
@given(drawn_lines(), st.data())
def test_what_the_check_refuses_the_schema_refuses(
    drawn: tuple[dict[str, Any], str, ApiGeneration | None], data: st.DataObject
) -> None:
    line, model, generation = drawn
    properties = inputs_schema_of(SCHEMAS[model, generation])["properties"]
    name = data.draw(st.sampled_from([*properties, "zzz", "Prompt", "callBackUrl"]))
    wrong: list[Any] = ["", "zzz", 0, -2, 10**9, 2.5, True, [], ["x", 1], {}, [IMAGE] * 31]
    line["inputs"][name] = data.draw(st.sampled_from(wrong))
    if data.draw(st.booleans()):
        del line["inputs"][data.draw(st.sampled_from(sorted(line["inputs"])))]
    told = refusal_of(line, generation)
    if told and not NOT_IN_SCHEMA.search(told):
        assert not valid(line, SCHEMAS[model, generation]), told
