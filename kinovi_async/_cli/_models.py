"""`kinovi models` and `kinovi schema`: what this version knows of the models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING

from .._errors import ConfigurationError
from ._text import visible

if TYPE_CHECKING:
    from .._requests import ApiGeneration, FieldDescription, ModelDescription


def model_lines(name: str | None, api_generation: ApiGeneration = "seed") -> Iterator[str]:
    """A line for each model, or everything about one, in a generation of the API.

    A model that another generation alone knows is shown as that one has it.

    Raises:
        ConfigurationError: no model of this name is described.
    """
    from .._requests import MODELS

    if name is not None:
        return _one(described(name), api_generation)
    width = max(map(len, MODELS))
    return (
        f"{each.id.ljust(width)}  {each.kind}  {each.title}, "
        f"{each.terms_in(api_generation).price.text}"
        for each in MODELS.values()
    )


def described(name: str) -> ModelDescription:
    """The description of a model.

    Raises:
        ConfigurationError: there is none.
    """
    from .._requests import MODELS

    if name not in MODELS:
        known = ", ".join(MODELS)
        near = get_close_matches(name.lower(), MODELS, n=1)
        question = f"; did you mean {near[0]}?" if near else ""
        raise ConfigurationError(
            f"no description of '{visible(name)}'{question} (it can be used all the same, its "
            f"inputs are passed through); described: {known}"
        )
    return MODELS[name]


def schema_text(name: str | None, api_generation: ApiGeneration | None) -> str:
    """JSON Schema of a line of a batch file; with a model, of its lines alone.

    Raises:
        ConfigurationError: no model of this name is described.
    """
    from .._requests import batch_schema

    models = None if name is None else [described(name).id]
    schema = batch_schema(models, api_generation=api_generation)
    return json.dumps(schema, indent=2, ensure_ascii=True)


def _one(model: ModelDescription, api_generation: ApiGeneration) -> Iterator[str]:
    from .._requests import example_line, input_fields

    generation = model.generation(api_generation)
    terms = model.terms[generation]
    yield f"{model.id}: {model.title}"
    yield f"  makes {model.outputs} x {model.media_type}, {terms.price.text}"
    low, high = terms.seconds
    yield f"  takes about {low:g} to {high:g} s" if low < high else f"  takes about {low:g} s"
    known = " and ".join(model.generations)
    yield f"  shown for API generation {generation}, known to {known}"
    for cls in model.requests:
        yield f"{cls.__name__}:" if len(model.requests) > 1 else "fields:"
        fields = [
            model.narrowed(part, generation)
            for field in input_fields(cls, generation).values()
            for part in (field.parts.values() if field.parts else (field,))
        ]
        fields.sort(key=lambda field: not field.required)
        width = max((len(field.wire_name) for field in fields), default=0)
        for field in fields:
            yield f"  {field.wire_name.ljust(width)}  {_told(field)}"
    line = json.dumps(example_line(model, api_generation), ensure_ascii=False)
    yield f"example line: {line}"


def _told(field: FieldDescription) -> str:
    from .._requests import spelt

    need = ", required" if field.required else ""
    default = ""
    if field.default is not None and field.default != []:
        shown = json.dumps(field.default) if isinstance(field.default, bool) else field.default
        default = f", default {shown}"
    formats = [name for names in field.formats.values() for name in names]
    files = f"; files: {spelt(formats)}" if formats else ""
    return f"{field.allowed}{need}{default}{files}"
