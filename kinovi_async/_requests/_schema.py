"""JSON Schema of a line of a batch file, and an example line of every model.

The schema follows from the descriptions, so that an editor completes and checks what
`kinovi run` takes: what it finds valid, the check of the line does too, but for citations
in a prompt, audio without a picture, and what a reference's address shows of its kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._addresses import Address
from ._catalog import MODELS
from ._description import wider
from ._fields import input_fields, readable, wire_fields
from ._generations import SEED, ApiGeneration

if TYPE_CHECKING:
    from pydantic import JsonValue

    from ._base import Request
    from ._description import ModelDescription
    from ._fields import FieldDescription

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_TAGS: dict[str, JsonValue] = {
    "type": "object",
    "description": "Travel into results, file names and the report.",
    "additionalProperties": {"type": ["string", "number"]},
}
_CALLBACK: dict[str, JsonValue] = {
    **Address().json_schema(),
    "description": "Where the API posts the record when the task has ended.",
}
_ENVELOPE: dict[str, JsonValue] = {
    "id": {
        "type": ["string", "integer"],
        "pattern": "\\S",
        "maxLength": 200,
        "description": "Names the job; without one, a hash of the line does.",
    },
    "tags": _TAGS,
    "callBackUrl": _CALLBACK,
    "callback_url": _CALLBACK,
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
        "dependentSchemas": {"callback_url": _without(["callBackUrl"])},
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
    """JSON Schema of a model's `inputs`, by the names on the wire and those in Python."""
    chosen = model.generations if generation is None else (model.generation(generation),)
    forms = [
        _Form.of(model, cls, each, every_name=generation is None)
        for cls in model.requests
        for each in chosen
    ]
    properties: dict[str, JsonValue] = {}
    for name in dict.fromkeys(name for form in forms for name in form.fields):
        properties[name] = _property(name, [form for form in forms if name in form.fields])
    schema: dict[str, JsonValue] = {
        "title": model.title,
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
    twice = {name: _without(others) for name, others in _other_names(forms).items()}
    if twice:
        schema["dependentSchemas"] = twice
    if len(forms) == 1:
        return {**schema, **forms[0].demands()}
    demands = [form.narrowed(properties) for form in forms]
    schema["anyOf"] = [each for n, each in enumerate(demands) if each not in demands[:n]]
    return schema


@dataclass(frozen=True)
class _Form:
    """One form that a model's `inputs` may have: those of a mode, in a generation."""

    cls: type[Request]
    generation: ApiGeneration
    fields: Mapping[str, FieldDescription]
    """By every name that is read, as the generation takes them."""

    @classmethod
    def of(
        cls,
        model: ModelDescription,
        request: type[Request],
        generation: ApiGeneration,
        *,
        every_name: bool,
    ) -> _Form:
        """With the other generations' names too, or those in Python alone."""
        found = dict(wire_fields(request, generation))
        own = input_fields(request, generation)
        for name, field in readable(request).items():
            if field.name in own and (every_name or name == field.name):
                here = own[field.name]
                # Where a generation has another type, a name has that of its own one.
                same = type(here.rule) is type(field.rule)
                found.setdefault(name, here if same else field)
        narrowed = {name: model.narrowed(each, generation) for name, each in found.items()}
        return cls(request, generation, narrowed)

    def demands(self) -> dict[str, JsonValue]:
        """What must be there, by any of its names."""
        required: list[JsonValue] = []
        choices: list[JsonValue] = []
        if self.told_by:
            choices.append({"anyOf": [_given(names) for names in self.told_by]})
        for field in input_fields(self.cls, self.generation).values():
            names = [name for name, each in self.fields.items() if each.name == field.name]
            if field.required and len(names) == 1:
                required += names
            elif field.required:
                choices.append({"anyOf": [{"required": [name]} for name in names]})
        found: dict[str, JsonValue] = {"required": required} if required else {}
        return {**found, "allOf": choices} if choices else found

    @property
    def told_by(self) -> list[tuple[str, ...]]:
        """The sets of names of which one must be there for it to be this mode."""
        return [names for names in self.cls.TOLD_BY if set(names) <= set(self.fields)]

    def narrowed(self, properties: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """What holds for it beyond the properties of all forms together."""
        narrow: dict[str, JsonValue] = {}
        for name, whole in properties.items():
            if name not in self.fields:
                narrow[name] = False
                continue
            rule = self.fields[name].rule.json_schema()
            known = whole if isinstance(whole, dict) else {}
            if self.fields[name].type != "whole number" and not rule.items() <= known.items():
                narrow[name] = rule
        return {**self.demands(), "properties": narrow}


def _given(names: Sequence[str]) -> JsonValue:
    """All of them are there, and no list among them is empty."""
    some: dict[str, JsonValue] = {name: {"minItems": 1} for name in names}
    return {"required": list(names), "properties": some}


def _without(names: Iterable[str]) -> JsonValue:
    return {"properties": dict.fromkeys(names, False)}


def _other_names(forms: Sequence[_Form]) -> dict[str, list[str]]:
    """For each further name of a field, the names that must not be there beside it."""
    found: dict[str, list[str]] = {}
    for form in forms:
        names = list(form.fields.items())
        for number, (name, field) in enumerate(names):
            for other, known in names[:number]:
                kinds = {*field.formats, *known.formats}
                apart = len(field.formats) == len(known.formats) == 1 < len(kinds)
                if known.name == field.name and not apart:
                    found.setdefault(name, []).append(other)
    return {name: list(dict.fromkeys(others)) for name, others in found.items()}


def _property(name: str, forms: Sequence[_Form]) -> JsonValue:
    fields = [form.fields[name] for form in forms]
    field = fields[0]
    for other in fields[1:]:
        field = wider(field, other)
    rules = [each.rule.json_schema() for each in fields]
    schema: dict[str, JsonValue] = dict(field.rule.json_schema())
    if any("anyOf" in rule for rule in rules):  # digits in one generation, a number in another
        schema = next(rule for rule in rules if "anyOf" in rule)
    schema["description"] = f"{field.description}{_remark(name, field, forms)}"
    if field.default is not None and field.default != []:
        schema["default"] = field.default
    return schema


def _remark(name: str, field: FieldDescription, forms: Sequence[_Form]) -> str:
    """Of which generation it is, or what the name on the wire is."""
    cls = forms[0].cls
    if name == field.name and name != field.wire_name:
        return f" The name in Python of {field.wire_name}."
    homes = {each for each in cls.GENERATIONS if field.name in input_fields(cls, each)}
    known = {each for each in cls.GENERATIONS if name in wire_fields(cls, each)}
    if len(cls.GENERATIONS) > 1 and len(known) == 1:
        (only,) = known
        what = "only" if len(homes) == 1 else "has this name"
        return f" API generation {only} {what}."
    return ""


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
