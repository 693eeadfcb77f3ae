"""`kinovi models`: the models this version describes, their fields and prices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .._errors import ConfigurationError
from ._text import visible

if TYPE_CHECKING:
    from .._requests import ModelDescription


def model_lines(name: str | None) -> Iterator[str]:
    """A line for each model, or everything about one.

    Raises:
        ConfigurationError: no model of this name is described.
    """
    from .._requests import MODELS

    if name is not None:
        if name not in MODELS:
            known = ", ".join(MODELS)
            raise ConfigurationError(
                f"no description of '{visible(name)}' (it can be used all the same, its inputs are "
                f"passed through); described: {known}"
            )
        return _one(MODELS[name])
    width = max(map(len, MODELS))
    return (
        f"{each.id.ljust(width)}  {each.kind}  {each.title}, {each.price_text}"
        for each in MODELS.values()
    )


def _one(model: ModelDescription) -> Iterator[str]:
    from .._requests import fields_of

    yield f"{model.id}: {model.title}"
    yield f"  makes {model.outputs} x {model.media_type}, {model.price_text}"
    low, high = model.typical_seconds
    yield f"  takes about {low:g} to {high:g} s"
    for cls in model.requests:
        yield f"{cls.__name__}:" if len(model.requests) > 1 else "fields:"
        fields = [each for each in fields_of(cls).values() if each.path.startswith("inputs.")]
        width = max((len(field.wire_name) for field in fields), default=0)
        for field in fields:
            need = ", required" if field.required else ""
            default = f", default {field.default}" if field.default else ""
            yield f"  {field.wire_name.ljust(width)}  {field.allowed}{need}{default}"
