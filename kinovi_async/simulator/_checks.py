"""What createTask accepts: the body of a call becomes a checked order or a refusal.

Models are checked and priced by the package's own descriptions, each in one generation
of the API: the one the simulator was made for, or the one whose names the body uses.
Unlike the package, which also reads Python names and texts for numbers, the API knows
the names on the wire alone; and its later generation leaves out what it does not know
without a word, so that a body with an old or misspelt name is charged as something else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, cast

from .._errors import InvalidRequestError, Problem
from .._requests import (
    LATER,
    SEED,
    ApiGeneration,
    FieldDescription,
    ModelDescription,
    describe,
    input_fields,
    parse_request,
    wire_fields,
)
from ._answers import Answer, bad_request, refusal
from ._shapes import Shape, shape_of, source_seconds

_FIELDS: Final = ("model", "inputs", "callBackUrl")
_NOT_JSON: Final = refusal(400, "Invalid request parameters")
_SHOWN: Final = 80
_FRAMES: Final = 2
"""Images of a keyframe task that count; further ones are left out without a word."""
_REFERENCES: Final = frozenset({"imageUrls", "videoUrls", "audioUrls"})


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a task fails, as its record will say."""

    code: str
    message: str


_AUDIO_ALONE: Final = Failure("InvalidParameter", "Audio cannot be the only reference")


@dataclass(frozen=True, slots=True)
class Order:
    """A createTask that the API would take, its place and price aside."""

    body: Mapping[str, object]
    model: str
    prompt: str
    """Empty when there is none."""
    generation: ApiGeneration
    """Of the API, in whose form the body is."""
    shape: Shape
    seconds: tuple[float, float]
    """The model's usual time, lowest and highest."""
    price: Decimal
    """Credits, reserved when it is accepted."""
    final: Decimal
    """Credits in the end; other than `price` for models that settle after success."""
    callback_url: str | None
    referring: bool
    """It has reference files."""
    doom: Failure | None = None
    """What the API finds wrong only after it has accepted the task."""


def read_body(raw: bytes) -> object:
    """The JSON in a body, or an Answer that refuses it. NaN and infinities are no JSON."""
    try:
        return cast("object", json.loads(raw, parse_constant=_refuse, parse_float=_finite))
    except (ValueError, RecursionError):
        return _NOT_JSON


def _refuse(text: str) -> float:
    raise ValueError(text)


def _finite(text: str) -> float:
    number = float(text)
    return number if abs(number) < float("inf") else _refuse(text)


def prompt_of(body: object) -> str:
    """The prompt of any body, checked or not; empty when there is none."""
    inputs = body.get("inputs") if isinstance(body, Mapping) else None
    prompt = inputs.get("prompt") if isinstance(inputs, Mapping) else None
    return prompt if isinstance(prompt, str) else ""


def check_body(
    body: object, *, ignore_unknown: bool | None = None, generation: ApiGeneration | None = None
) -> Order | Answer:
    """The order in a body, or the refusal the documents give for it.

    Args:
        body: The JSON of a createTask.
        ignore_unknown: Whether keys that the model has no field for are left out, or each
            is a 400 that names it; None: as the generation does.
        generation: The API's generation; None: the one whose names the body uses.
    """
    if not isinstance(body, Mapping):
        return _NOT_JSON
    later = generation == LATER if ignore_unknown is None else ignore_unknown
    if later:
        body = {name: body[name] for name in _FIELDS if name in body}
    problems = [_unknown(key, "") for key in body if key not in _FIELDS]
    model, inputs = body.get("model"), body.get("inputs")
    if not isinstance(model, str) or not model:
        problems.append(Problem("model", _shown(model), "the id of a model"))
    if not isinstance(inputs, Mapping):
        problems.append(Problem("inputs", _shown(inputs), "an object"))
    if problems or not isinstance(model, str) or not isinstance(inputs, Mapping):
        return bad_request("Invalid request parameters", problems)
    description = describe(model)
    if description is None:
        return refusal(400, "Unknown model")
    spoken = _generation(description, inputs, generation)
    if ignore_unknown is None:
        ignore_unknown = spoken == LATER
    return _Check(description, spoken, ignore_unknown=ignore_unknown).order(dict(body), inputs)


def _generation(
    description: ModelDescription, inputs: Mapping[str, object], chosen: ApiGeneration | None
) -> ApiGeneration:
    """The chosen generation, or the later one when the body has a name it alone knows."""
    if chosen is not None or len(description.generations) == 1:
        return description.generation(chosen or SEED)
    names = {each: set(_names(description, each)) for each in description.generations}
    only_later = names[LATER] - names[SEED]
    return LATER if only_later.intersection(inputs) else SEED


def _names(
    description: ModelDescription, generation: ApiGeneration
) -> Mapping[str, FieldDescription]:
    """The names of the model's `inputs`, of all its modes."""
    return {
        name: field
        for cls in description.requests
        for name, field in wire_fields(cls, generation).items()
    }


class _Check:
    """The check of one model's `inputs` in one generation."""

    def __init__(
        self, description: ModelDescription, generation: ApiGeneration, *, ignore_unknown: bool
    ) -> None:
        self._description = description
        self._generation = generation
        self._ignore = ignore_unknown

    def order(self, body: dict[str, object], inputs: Mapping[str, object]) -> Order | Answer:
        """The order, or what refuses it."""
        known = self._known(inputs)
        unknown = [key for key in inputs if key not in known]
        # Wan refuses references that its task does not take; everything else is let by.
        named = [key for key in unknown if not self._ignore or self._is_wan_reference(key)]
        if named:
            problems = [_unknown(key, "inputs.") for key in named]
            return bad_request("Invalid inputs for model", problems)
        taken = {key: value for key, value in inputs.items() if key not in unknown}
        wrong = [
            problem
            for key, value in taken.items()
            if (problem := _wrong_type(known[key], value)) is not None
        ]
        if wrong:
            return bad_request("Invalid inputs for model", wrong)
        taken, doom = self._as_the_api_reads(taken)
        checked = {**body, "inputs": taken}
        try:
            request = parse_request(checked, api_generation=self._generation)
            request.inputs_wire(api_generation=self._generation)
        except InvalidRequestError as error:
            return _refused(error.problems)
        terms = self._description.terms[self._generation]
        values = request.values()
        reserved = terms.price.reserved(values) or Decimal(0)
        final = terms.price.settled(values, source_seconds(values))
        return Order(
            body=body,
            model=self._description.id,
            prompt=prompt_of(body),
            generation=self._generation,
            shape=shape_of(self._description, self._generation, values),
            seconds=terms.seconds,
            price=reserved,
            final=reserved if final is None else final,
            callback_url=request.callback_url,
            referring=any(
                bool(values[name])
                for name, field in input_fields(type(request)).items()
                if field.formats
            ),
            doom=doom,
        )

    def _known(self, inputs: Mapping[str, object]) -> Mapping[str, FieldDescription]:
        """The names on the wire: the mode's in the seeds, all of the model's later."""
        if self._generation == LATER:
            return _names(self._description, self._generation)
        return wire_fields(self._description.request_class(inputs), self._generation)

    def _is_wan_reference(self, key: str) -> bool:
        return self._description.id.startswith("wan") and key in _REFERENCES

    def _as_the_api_reads(
        self, inputs: dict[str, object]
    ) -> tuple[dict[str, object], Failure | None]:
        """The inputs as the later generation takes them, which it does not always say."""
        if self._generation != LATER:
            return inputs, None
        inputs = {key: value for key, value in inputs.items() if value is not None}
        if self._description.id.startswith("midjourney"):
            return _as_midjourney_reads(inputs, _names(self._description, LATER)), None
        if isinstance(inputs.get("prompt"), str):
            # Citations are words to the API; only the package checks where they point.
            inputs["prompt"] = str(inputs["prompt"]).replace("@", "#")
        images, videos = inputs.get("imageUrls"), inputs.get("videoUrls")
        if inputs.get("audioUrls") and not images and not videos and "audioUrls" in inputs:
            del inputs["audioUrls"]
            if inputs.get("mode") == "reference":
                del inputs["mode"]
            return inputs, _AUDIO_ALONE
        if len(self._description.requests) > 1:
            inputs = _as_seedance_reads(inputs)
        return inputs, None


def _as_seedance_reads(inputs: dict[str, object]) -> dict[str, object]:
    """Seedance 2.0: references decide the mode, and frames beyond the second do not count."""
    images = inputs.get("imageUrls")
    if inputs.get("videoUrls") or inputs.get("audioUrls"):
        inputs["mode"] = "reference"
    elif inputs.get("mode") == "reference" and not images:
        # What an old body's references leave when their name is not known.
        del inputs["mode"]
    elif inputs.get("mode") != "reference" and isinstance(images, list):
        inputs["imageUrls"] = images[:_FRAMES]
    if not images:
        inputs.pop("imageUrls", None)
    return inputs


def _as_midjourney_reads(
    inputs: dict[str, object], known: Mapping[str, FieldDescription]
) -> dict[str, object]:
    """An unknown ratio is taken for 1:1, and a prompt is cut off, both without a word."""
    if inputs.get("aspectRatio", "1:1") not in known["aspectRatio"].choices:
        del inputs["aspectRatio"]
    prompt, longest = inputs.get("prompt"), known["prompt"].maximum
    if isinstance(prompt, str) and isinstance(longest, int):
        inputs["prompt"] = prompt[:longest]
    return inputs


def _wrong_type(field: FieldDescription, value: object) -> Problem | None:
    """The problem of a value that the package would convert and the API refuses."""
    if isinstance(value, str) and field.type in {"number", "whole number"}:
        if isinstance(field.wire(0), str):  # as the seeds type `duration`
            return None
        return Problem(field.path, _shown(value), field.allowed)
    if isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
        return Problem(field.path, "an object", field.allowed)
    return None


def _refused(problems: tuple[Problem, ...]) -> Answer:
    inside = any(problem.field.startswith("inputs") for problem in problems)
    message = "Invalid inputs for model" if inside else "Invalid request parameters"
    return bad_request(message, problems)


def _unknown(key: str, prefix: str) -> Problem:
    return Problem(f"{prefix}{key[:_SHOWN]}", "", f"unknown field {key[:_SHOWN]!r}")


def _shown(value: object) -> str:
    return "" if value is None else repr(value)[:_SHOWN]
