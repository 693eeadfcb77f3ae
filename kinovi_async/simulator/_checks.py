"""What createTask accepts: the body of a call becomes a checked order or a refusal.

Described models are checked and priced by the package's own request classes, the
others of the documents are taken with any inputs at a nominal price. Unlike the
package, which also reads Python names, the API knows the names on the wire alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, cast

from .._errors import InvalidRequestError, Problem
from .._requests import describe, fields_of, parse_request
from ._answers import Answer, bad_request, refusal
from ._shapes import NOMINAL_PRICE, Profile, Shape, profile_of, shape_of

_FIELDS: Final = ("model", "inputs", "callBackUrl")
_NOT_JSON: Final = refusal(400, "Invalid request parameters")
_SHOWN: Final = 80


@dataclass(frozen=True, slots=True)
class Order:
    """A createTask that the API would take, its place and price aside."""

    body: Mapping[str, object]
    model: str
    prompt: str
    """Empty when there is none."""
    shape: Shape
    seconds: tuple[float, float]
    """The model's usual time, lowest and highest."""
    price: Decimal
    """Credits."""
    callback_url: str | None


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


def check_body(body: object, *, ignore_unknown: bool) -> Order | Answer:
    """The order in a body, or the refusal the documents give for it.

    `ignore_unknown` leaves out keys that the model has no field for, as the API's later
    documents describe; otherwise each is a 400 that names it.
    """
    if not isinstance(body, Mapping):
        return _NOT_JSON
    if ignore_unknown:
        body = {name: body[name] for name in _FIELDS if name in body}
    problems = [_unknown(key, "") for key in body if key not in _FIELDS]
    model, inputs = body.get("model"), body.get("inputs")
    if not isinstance(model, str) or not model:
        problems.append(Problem("model", _shown(model), "the id of a model"))
    if not isinstance(inputs, Mapping):
        problems.append(Problem("inputs", _shown(inputs), "an object"))
    if problems or not isinstance(model, str) or not isinstance(inputs, Mapping):
        return bad_request("Invalid request parameters", problems)
    profile = profile_of(model)
    if profile is None:
        return refusal(400, "Unknown model")
    return _check_inputs(dict(body), model, inputs, profile, ignore_unknown=ignore_unknown)


def _check_inputs(
    body: dict[str, object],
    model: str,
    inputs: Mapping[str, object],
    profile: Profile,
    *,
    ignore_unknown: bool,
) -> Order | Answer:
    known = _known_inputs(model, inputs)
    unknown = [] if known is None else [key for key in inputs if key not in known]
    if unknown and not ignore_unknown:
        problems = [_unknown(key, "inputs.") for key in unknown]
        return bad_request("Invalid inputs for model", problems)
    inputs = {key: value for key, value in inputs.items() if key not in unknown}
    try:
        request = parse_request({**body, "inputs": inputs})
    except InvalidRequestError as error:
        return _refused(error.problems)
    price = request.cost()
    return Order(
        body=body,
        model=model,
        prompt=prompt_of(body),
        shape=shape_of(model, profile, inputs),
        seconds=profile.seconds,
        price=NOMINAL_PRICE[profile.kind] if price is None else price,
        callback_url=request.callback_url,
    )


def _known_inputs(model: str, inputs: Mapping[str, object]) -> frozenset[str] | None:
    """The names on the wire that a described model's mode has fields for."""
    described = describe(model)
    if described is None:
        return None
    fields = fields_of(described.request_class(inputs)).values()
    return frozenset(field.wire_name for field in fields if field.wire_name not in _FIELDS)


def _refused(problems: tuple[Problem, ...]) -> Answer:
    inside = any(problem.field.startswith("inputs") for problem in problems)
    message = "Invalid inputs for model" if inside else "Invalid request parameters"
    return bad_request(message, problems)


def _unknown(key: str, prefix: str) -> Problem:
    return Problem(f"{prefix}{key[:_SHOWN]}", "", f"unknown field {key[:_SHOWN]!r}")


def _shown(value: object) -> str:
    return "" if value is None else repr(value)[:_SHOWN]
