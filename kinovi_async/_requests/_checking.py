"""Builds a request of a known class from an API body's parts, and names all that is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from pydantic import ValidationError

from .._errors import InvalidRequestError, Problem
from ._base import Request
from ._fields import input_fields
from ._problems import given_twice, problems_of, unknown_input

if TYPE_CHECKING:
    from ._catalog import ModelDescription

R = TypeVar("R", bound=Request)
Checked: TypeAlias = tuple[R | None, list[Problem]]
"""The request, or None and everything that is wrong."""


def check_described(
    description: ModelDescription, inputs: Mapping[str, object], callback_url: object = None
) -> Checked[Request]:
    """A request of a described model from the `inputs` of a body."""
    cls = description.request_class(inputs)
    names = {
        name: field.wire_name
        for field in input_fields(cls).values()
        for name in (field.name, field.wire_name)
    }
    problems: list[Problem] = []
    data: dict[str, object] = {}
    for key, value in inputs.items():
        wire = names.get(key)
        if wire is None:
            problems.append(unknown_input(key, cls))
        elif wire in data:
            problems.append(given_twice(f"inputs.{wire}"))
        else:
            data[wire] = value
    request, more = build(cls, {**data, "model": description.id, "callBackUrl": callback_url})
    return (None if problems else request), [*problems, *more]


def build(cls: type[R], data: Mapping[str, object]) -> Checked[R]:
    """A request of this class from its fields, by either name."""
    try:
        return cls.model_validate(data), []
    except ValidationError as error:
        return None, problems_of(error, cls)


def with_callback(request: Request, callback_url: str) -> Request:
    """The same request with a webhook URL.

    Raises:
        InvalidRequestError: it is no http(s) URL.
    """
    try:
        return request.model_copy(update={"callback_url": callback_url})
    except ValidationError as error:
        raise InvalidRequestError.of(problems_of(error, type(request))) from None


def demand(description: ModelDescription, inputs: Mapping[str, object]) -> Request:
    """A request of a described model from the `inputs` of a body.

    Raises:
        InvalidRequestError: naming every problem.
    """
    request, problems = check_described(description, inputs)
    if request is None:
        raise InvalidRequestError.of(problems)
    return request
