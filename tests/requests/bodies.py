"""Requests for every model and mode, with every field that a generation of the API has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from kinovi_async._requests import MODELS, ApiGeneration, ModelDescription, Request, wire_fields

IMAGE = "https://example.com/a.png"
CLIP = "https://example.com/a.mp4"
SOUND = "https://example.com/a.mp3"
PROMPT = "A quiet harbour at dawn"


class Case(NamedTuple):
    """A model in a mode and a generation, and a body with every field it has there."""

    model: ModelDescription
    cls: type[Request]
    generation: ApiGeneration
    body: dict[str, Any]

    @property
    def name(self) -> str:
        """For the test's report."""
        return f"{self.model.id}-{self.cls.__name__}-{self.generation}"


def full_inputs(
    model: ModelDescription, cls: type[Request], generation: ApiGeneration
) -> dict[str, Any]:
    """A value for every field on the wire; other than the default where there is one."""
    found: dict[str, Any] = {}
    for name, field in wire_fields(cls, generation).items():
        shown = model.narrowed(field, generation)
        others = [each for each in shown.choices if each != shown.default]
        value = others[-1] if others else shown.rule.example()
        found[name] = shown.default if value is None else value
    return found


def cases() -> Iterator[Case]:
    """Every model, mode and generation that knows it."""
    for model in MODELS.values():
        for cls in model.requests:
            for generation in model.generations:
                inputs = full_inputs(model, cls, generation)
                yield Case(model, cls, generation, {"model": model.id, "inputs": inputs})


CASES = list(cases())
