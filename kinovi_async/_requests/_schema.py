"""JSON Schema of a line of a batch file, and an example line of every model.

The schema follows from the descriptions, so that an editor completes and checks what
`kinovi run` takes. It knows the names on the wire; what spans several fields (citations
in a prompt, marks of references) is left to `kinovi check`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ._catalog import MODELS
from ._description import wider
from ._fields import wire_fields
from ._generations import SEED, ApiGeneration

if TYPE_CHECKING:
    from pydantic import JsonValue

    from ._description import ModelDescription
    from ._fields import FieldDescription

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_TAGS: dict[str, JsonValue] = {
    "type": "object",
    "description": "Travel into results, file names and the report.",
    "additionalProperties": {"type": ["string", "number"]},
}
_ENVELOPE: dict[str, JsonValue] = {
    "id": {
        "type": ["string", "integer"],
        "description": "Names the job; without one, a hash of the line does.",
    },
    "tags": _TAGS,
    "callBackUrl": {
        "type": "string",
        "format": "uri",
        "description": "Where the API posts the record when the task has ended.",
    },
}


def batch_schema(
    models: Iterable[str] | None = None, *, api_generation: ApiGeneration | None = None
) -> dict[str, JsonValue]:
    """JSON Schema (2020-12) of one line of a batch file.

    Args:
        models: Ids of described models, the only ones the line may name then; None: any
            model, and those that are described are checked.
        api_generation: By whose names and ranges; None: by those of any.
    """
    chosen = [MODELS[name] for name in (MODELS if models is None else models)]
    names: list[JsonValue] = [each.id for each in chosen]
    model: dict[str, JsonValue] = {"description": "The model's id.", "enum": names}
    if models is None:
        # Other ids pass through; an editor still proposes the known ones.
        model = {"description": "The model's id.", "anyOf": [{"enum": names}, {"type": "string"}]}
    return {
        "$schema": DIALECT,
        "title": "A request of a Kinovi batch file",
        "type": "object",
        "properties": {"model": model, "inputs": {"type": "object"}, **_ENVELOPE},
        "required": ["inputs"],
        "additionalProperties": False,
        "allOf": [_clause(each, api_generation) for each in chosen],
    }


def _clause(model: ModelDescription, generation: ApiGeneration | None) -> JsonValue:
    return {
        "if": {"properties": {"model": {"const": model.id}}, "required": ["model"]},
        "then": {"properties": {"inputs": inputs_schema(model, generation)}},
    }


def inputs_schema(
    model: ModelDescription, generation: ApiGeneration | None = None
) -> dict[str, JsonValue]:
    """JSON Schema of a model's `inputs`."""
    chosen = model.generations if generation is None else (model.generation(generation),)
    by_name: dict[str, list[tuple[ApiGeneration, FieldDescription]]] = {}
    for each in chosen:
        for field in model.fields_in(each):
            by_name.setdefault(field.wire_name, []).append((each, field))
    required: list[JsonValue] = [
        name
        for name, found in by_name.items()
        if len(found) == len(chosen) and all(field.required for _, field in found)
    ]
    return {
        "title": model.title,
        "type": "object",
        "properties": {
            name: _property(found, alone=len(found) < len(model.generations) and len(chosen) > 1)
            for name, found in by_name.items()
        },
        "required": required,
        "additionalProperties": False,
    }


def _property(found: Sequence[tuple[ApiGeneration, FieldDescription]], *, alone: bool) -> JsonValue:
    generation, field = found[0]
    for _, other in found[1:]:
        field = wider(field, other)
    rules = [each.rule.json_schema() for _, each in found]
    schema: dict[str, JsonValue] = dict(field.rule.json_schema())
    if any("anyOf" in rule for rule in rules):  # digits in one generation, a number in another
        schema = next(rule for rule in rules if "anyOf" in rule)
    where = f" API generation {generation} only." if alone else ""
    schema["description"] = f"{field.description}{where}"
    if field.default is not None and field.default != []:
        schema["default"] = field.default
    return schema


def example_line(
    model: ModelDescription, api_generation: ApiGeneration = SEED
) -> dict[str, JsonValue]:
    """A line of a batch file that asks the model for something, ready to paste.

    It gives what is required, and what sets the price.
    """
    generation = model.generation(api_generation)
    cls = model.requests[0]
    price = model.terms[generation].price
    inputs: dict[str, JsonValue] = {}
    for name, field in wire_fields(cls, generation).items():
        shown = model.narrowed(field, generation)
        if field.required:
            inputs[name] = shown.rule.example()
        elif field.name in price.tiers or field.name == "duration":
            inputs[name] = shown.default
    if "prompt" in inputs:
        inputs = {"prompt": inputs.pop("prompt"), **inputs}
    return {"id": "example-1", "model": model.id, "inputs": inputs}
