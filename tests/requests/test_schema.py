"""The JSON Schema of a batch line takes what the check takes, and refuses what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kinovi_async._errors import InvalidRequestError
from kinovi_async._requests import (
    GENERATIONS,
    MODELS,
    ApiGeneration,
    batch_schema,
    example_line,
    parse_request,
    wire_fields,
)

from .bodies import CASES, IMAGE, Case
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
    line = {"model": model, "inputs": {"prompt": "x", **inputs}}
    by_mode = told.startswith("only with mode") or model == "midjourney-v8"
    assert valid(line, SCHEMA) == (by_mode and model != "midjourney-v8")


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
