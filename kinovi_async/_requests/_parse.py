"""Turns an API body, as the documents print it, into the right request class."""

from __future__ import annotations

from collections.abc import Mapping

from .._errors import InvalidRequestError, Problem
from ._base import Request
from ._catalog import ModelDescription, describe
from ._checking import build, check_described
from ._fields import input_fields
from ._generation import Generation, StoredGeneration
from ._problems import given_twice, unknown_key
from ._rules import show

_WIRE_NAMES = {
    "model": "model",
    "inputs": "inputs",
    "callBackUrl": "callBackUrl",
    "callback_url": "callBackUrl",
}
_FIELDS = tuple(dict.fromkeys(_WIRE_NAMES.values()))


def parse_request(body: Mapping[str, object]) -> Request:
    """The request that an API body describes, in the class of its model and mode.

    `body` is what the documents print: `model`, `inputs` and perhaps `callBackUrl`.
    Fields go by their names on the wire or in Python. A model without a class becomes a
    `Generation`.

    Raises:
        InvalidRequestError: naming every problem at once; nothing else, whatever `body` is.
    """
    parts, unknown, problems = _parts(body)
    model, inputs = parts.get("model"), parts.get("inputs")
    description = describe(model) if isinstance(model, str) else None
    if description is not None and isinstance(inputs, Mapping):
        request, more = check_described(description, inputs, parts.get("callBackUrl"))
    elif description is not None:
        request, more = None, _problems_without_inputs(parts)
    else:
        request, more = build(Generation, parts)
    problems = [*_unknown(unknown, description, inputs), *problems, *more]
    if request is None or problems:
        raise InvalidRequestError.of(problems)
    return request


def as_request(value: Request | Mapping[str, object]) -> Request:
    """The request itself, or the one that an API body describes.

    Raises:
        InvalidRequestError: naming every problem of the body.
    """
    return value if isinstance(value, Request) else parse_request(value)


def restore_request(body: Mapping[str, object]) -> Request:
    """The request of a body that was checked when it was stored; what it sends never changes.

    A body that today's checks refuse (a later version knows its model better, or an
    address has lost the `Image` that told its kind) comes back as a `Generation` that
    sends it as it stands and whose price is unknown.

    Raises:
        InvalidRequestError: it is no body at all: `model` or `inputs` is missing.
    """
    stored = _stored(body)
    if stored is None:
        return parse_request(body)
    try:
        request = parse_request(body)
    except InvalidRequestError:
        return stored
    return request if request.to_wire() == stored.to_wire() else stored


def _stored(body: object) -> StoredGeneration | None:
    if not isinstance(body, Mapping):
        return None
    model, inputs, callback_url = body.get("model"), body.get("inputs"), body.get("callBackUrl")
    if not isinstance(model, str) or not isinstance(inputs, Mapping):
        return None
    return StoredGeneration.model_construct(
        model=model,
        inputs=inputs,
        callback_url=callback_url if isinstance(callback_url, str) else None,
    )


def _parts(body: object) -> tuple[dict[str, object], list[object], list[Problem]]:
    """The fields of a body by their names on the wire, the unknown keys, and the doubles."""
    if not isinstance(body, Mapping):
        allowed = "an object with model and inputs"
        raise InvalidRequestError.of([Problem("request", show(body), allowed)])
    parts: dict[str, object] = {}
    unknown: list[object] = []
    problems: list[Problem] = []
    for key, value in body.items():
        wire = _WIRE_NAMES.get(key)
        if wire is None:
            unknown.append(key)
        elif wire in parts:
            problems.append(given_twice(wire))
        else:
            parts[wire] = value
    return parts, unknown, problems


def _unknown(
    keys: list[object], description: ModelDescription | None, inputs: object
) -> list[Problem]:
    inside: list[str] = []
    if description is not None:
        cls = description.request_class(inputs if isinstance(inputs, Mapping) else {})
        for field in input_fields(cls).values():
            inside += [field.name, field.wire_name]
    return [unknown_key(key, _FIELDS, inside) for key in keys]


def _problems_without_inputs(parts: Mapping[str, object]) -> list[Problem]:
    """What is wrong with a described model's body whose `inputs` are missing or no object."""
    given = {key: value for key, value in parts.items() if key != "model"}
    return build(Generation, {**given, "model": "unknown"})[1]
