"""Turns an API body, as the documents print it, into the right request class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from .._errors import InvalidRequestError, Problem
from ._base import Request
from ._catalog import describe
from ._checking import build, check_described
from ._description import ModelDescription
from ._fields import readable
from ._files import revived
from ._generation import Generation, StoredGeneration
from ._generations import LATER, ApiGeneration, check_generation
from ._problems import given_twice, unknown_key
from ._rules import show

if TYPE_CHECKING:
    from pydantic import JsonValue

_WIRE_NAMES = {
    "model": "model",
    "inputs": "inputs",
    "callBackUrl": "callBackUrl",
    "callback_url": "callBackUrl",
}
_FIELDS = tuple(dict.fromkeys(_WIRE_NAMES.values()))


def parse_request(
    body: Mapping[str, object], *, api_generation: ApiGeneration | None = None
) -> Request:
    """The request that an API body describes, in the class of its model and mode.

    `body` is what the documents print: `model`, `inputs` and perhaps `callBackUrl`.
    Fields go by their names on the wire, of any generation of the API, or in Python. A
    model without a class becomes a `Generation`.

    Args:
        body: The body.
        api_generation: Whose ranges apply where they differ. None: the seeds', unless
            the body uses what only the later generation has.

    Raises:
        InvalidRequestError: naming every problem at once; nothing else, whatever `body` is.
        ConfigurationError: there is no such generation.
    """
    generation = None if api_generation is None else check_generation(api_generation)
    parts, unknown, problems = _parts(body)
    model, inputs = parts.get("model"), parts.get("inputs")
    description = describe(model) if isinstance(model, str) else None
    if description is not None and isinstance(inputs, Mapping):
        callback_url = parts.get("callBackUrl")
        request, more = check_described(description, inputs, callback_url, generation=generation)
    elif description is not None:
        request, more = None, _problems_without_inputs(parts)
    else:
        request, more = build(Generation, parts)
    problems = [*_unknown(unknown, description, inputs), *problems, *more]
    if request is None or problems:
        raise invalid(problems, description)
    return request


def invalid(
    problems: Sequence[Problem], description: ModelDescription | None
) -> InvalidRequestError:
    """The error of these problems, which names the model when it is a described one."""
    what = f"request for {description.id}" if description is not None else "request"
    return InvalidRequestError.of(problems, what=what)


def restore_request(body: Mapping[str, object]) -> Request:
    """The request of a body that was checked when it was stored.

    A body that today's checks refuse (a later version knows its model better, or an
    address has lost the `Image` that told its kind) comes back as a `Generation` that
    sends it as it stands and whose price is unknown.

    Raises:
        InvalidRequestError: it is no body at all: `model` or `inputs` is missing.
    """
    stored = _stored(body)
    if stored is None:
        return parse_request(body)
    if body.get("check") is False:
        return Generation(
            model=stored.model, inputs=stored.inputs, callback_url=stored.callback_url, check=False
        )
    try:
        request = parse_request({**body, "inputs": stored.inputs}, api_generation=LATER)
    except InvalidRequestError:
        return stored
    return request if request.to_stored() == stored.to_stored() else stored


def _stored(body: object) -> StoredGeneration | None:
    if not isinstance(body, Mapping):
        return None
    model, inputs, callback_url = body.get("model"), body.get("inputs"), body.get("callBackUrl")
    if not isinstance(model, str) or not isinstance(inputs, Mapping):
        return None
    return StoredGeneration.model_construct(
        model=model,
        inputs=cast("Mapping[str, JsonValue]", revived(inputs)),
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
        inside += readable(cls)
    return [unknown_key(key, _FIELDS, inside) for key in keys]


def _problems_without_inputs(parts: Mapping[str, object]) -> list[Problem]:
    """What is wrong with a described model's body whose `inputs` are missing or no object."""
    given = {key: value for key, value in parts.items() if key != "model"}
    return build(Generation, {**given, "model": "unknown"})[1]
