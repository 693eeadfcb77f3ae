"""A request for a model without a class: any JSON object as `inputs`, sent untouched."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, ClassVar, TypeGuard

from pydantic import Field, GetCoreSchemaHandler, JsonValue, PrivateAttr, field_validator
from pydantic_core import core_schema

from .._errors import InvalidRequestError, Problem
from ._base import Request
from ._catalog import MODELS, describe
from ._checking import demand
from ._problems import show_key
from ._rules import PlainRule, Text, is_unicode, refuse, shorten, show

# Far beyond any real input; a deeper or endless structure would end in a RecursionError.
_DEEPEST = 50
# No JSON reader keeps an integer of more bits apart from infinity.
_MOST_BITS = 1023


class JsonObject(PlainRule):
    """Any JSON object, copied, so that a later change of the original changes nothing."""

    type: ClassVar[str] = "JSON object"
    allowed: ClassVar[str] = "a JSON object"

    def check(self, value: object) -> dict[str, JsonValue]:
        """A deep copy with lists and dicts alone."""
        if not isinstance(value, Mapping):
            raise refuse(self.allowed, show(value))
        problems: list[Problem] = []
        copied = _copy_object(value, "inputs", problems, 0)
        if problems:
            raise InvalidRequestError.of(problems)
        return copied

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        inner = core_schema.dict_schema(core_schema.str_schema(), core_schema.any_schema())
        return core_schema.no_info_before_validator_function(self.check, inner)


class Generation(Request):
    """A request for any model of the API, its `inputs` passed through untouched.

    `inputs` goes by the names on the wire. The inputs of a model that this package
    describes are checked, priced and sent as by the model's own class; those of any
    other are only checked to be JSON, and their price is unknown.
    """

    model: Annotated[str, Text(required=True)] = Field(description="The model's id.")
    inputs: Annotated[Mapping[str, JsonValue], JsonObject()] = Field(
        description="The inputs, as the API's documents name them."
    )

    _described: Request | None = PrivateAttr(default=None)

    @field_validator("model")
    @classmethod
    def _spelled_exactly(cls, model: str) -> str:
        # The API refuses an id that is not exact, and our checks would be passed by.
        for known in MODELS:
            if model != known and _loose(model) == _loose(known):
                raise refuse(f"the model id {known}", show(model))
        return model

    def model_post_init(self, context: object, /) -> None:  # noqa: ARG002 - pydantic's
        """Checks the inputs of a described model."""
        description = describe(self.model)
        if description is not None:
            self._described = demand(description, self.inputs)

    def inputs_wire(self) -> dict[str, JsonValue]:
        """`inputs` of the body, as a copy."""
        if self._described is not None:
            return self._described.inputs_wire()
        return _copy_object(self.inputs, "inputs", [], 0)

    def cost(self) -> Decimal | None:
        """None: unknown, unless the model is a described one."""
        return None if self._described is None else self._described.cost()

    def __hash__(self) -> int:
        # Values may be lists; equal inputs have equal keys.
        return hash((self.model, self.callback_url, frozenset(self.inputs)))


class StoredGeneration(Generation):
    """A body that was checked when it was stored; it is sent as it stands.

    Built with `model_construct`, which checks nothing.
    """

    def model_post_init(self, context: object, /) -> None:
        """Checks nothing."""


def _loose(model: str) -> str:
    return model.strip().casefold().replace("_", "-")


def _copy_object(
    value: Mapping[object, object] | Mapping[str, JsonValue],
    path: str,
    problems: list[Problem],
    depth: int,
) -> dict[str, JsonValue]:
    copied: dict[str, JsonValue] = {}
    for key, item in value.items():
        if isinstance(key, str) and is_unicode(key):
            copied[key] = _copy(item, f"{path}.{show_key(key)}", problems, depth + 1)
        else:
            problems.append(Problem(path, show(key), "names that are text"))
    return copied


def _copy(value: object, path: str, problems: list[Problem], depth: int) -> JsonValue:
    if depth > _DEEPEST:
        # At once: a structure that contains itself would have endless problems.
        allowed = f"JSON nested at most {_DEEPEST} deep"
        raise InvalidRequestError.of([Problem(shorten(path), "deeper", allowed)])
    if isinstance(value, Mapping):
        return _copy_object(value, path, problems, depth)
    if isinstance(value, list | tuple):
        return [
            _copy(item, f"{path}[{index}]", problems, depth + 1) for index, item in enumerate(value)
        ]
    if _is_scalar(value):
        return value
    problems.append(Problem(path, show(value), "a value that JSON can carry"))
    return None


def _is_scalar(value: object) -> TypeGuard[bool | int | float | str | None]:
    if isinstance(value, str):
        return is_unicode(value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return value.bit_length() <= _MOST_BITS
    return value is None
