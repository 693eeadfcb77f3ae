"""A request for a model without a class: any JSON object as `inputs`, sent untouched."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, ClassVar, Self, TypeGuard, cast

from pydantic import Field, GetCoreSchemaHandler, JsonValue, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError, core_schema

from .._errors import InvalidRequestError, Problem
from ._base import Request
from ._catalog import MODELS, describe
from ._checking import demand
from ._description import ModelDescription
from ._fields import readable, wire_fields
from ._files import Upload, as_json, is_file_form, is_source, local_file
from ._generations import SEED, ApiGeneration, check_generation
from ._kinds import FORMATS
from ._problems import show_key
from ._rules import Flag, PlainRule, Text, is_unicode, refuse, shorten, show

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
    describes are checked, priced and sent as by the model's own class, unless `check` is
    False; those of any other are only checked to be JSON, and their price is unknown.
    """

    model: Annotated[str, Text(required=True)] = Field(description="The model's id.")
    inputs: Annotated[Mapping[str, JsonValue], JsonObject()] = Field(
        description="The inputs, as the API's documents name them."
    )
    check: Annotated[bool, Flag()] = Field(
        default=True, description="False sends the inputs of a described model as they are."
    )

    _described: Request | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _check_described(self) -> Self:
        if not self.check:
            return self
        # The API refuses an id that is not exact, and our checks would be passed by.
        for known in MODELS:
            if self.model != known and _loose(self.model) == _loose(known):
                problem = Problem("model", show(self.model), f"the model id {known}")
                raise InvalidRequestError.of([problem])
        description = describe(self.model)
        if description is not None:
            self._described = demand(description, self.inputs)
        return self

    @property
    def described(self) -> Request | None:
        """The checked request of a described model; None when nothing was checked."""
        return self._described

    def _description(self) -> ModelDescription | None:
        # Its fields are not the model's: the request inside is checked in its place.
        return None

    def inputs_wire(self, *, api_generation: ApiGeneration = SEED) -> dict[str, JsonValue]:
        """`inputs` of the body, as a copy.

        Raises:
            InvalidRequestError: the generation does not take the inputs of a described model.
        """
        check_generation(api_generation)
        if self._described is not None:
            return self._described.inputs_wire(api_generation=api_generation)
        return _json_of(self.inputs)

    def to_stored(self) -> dict[str, JsonValue]:
        """The body as a ledger keeps it, with `"check": false` when it passes unchecked."""
        if self._described is not None:
            inner = self._described.to_stored()["inputs"]
            return self._body(cast("dict[str, JsonValue]", inner))
        body = self._body(_json_of(self.inputs))
        if not self.check:
            body["check"] = False
        return body

    def cost(self, *, api_generation: ApiGeneration = SEED) -> Decimal | None:
        """None: unknown, unless the model is a described one."""
        check_generation(api_generation)
        if self._described is None:
            return None
        return self._described.cost(api_generation=api_generation)

    def __hash__(self) -> int:
        # Values may be lists; equal inputs have equal keys.
        return hash((self.model, self.callback_url, frozenset(self.inputs)))


class StoredGeneration(Generation):
    """A body that was checked when it was stored; it is sent as it stands.

    Built with `model_construct`, which checks nothing.
    """

    def inputs_wire(self, *, api_generation: ApiGeneration = SEED) -> dict[str, JsonValue]:
        """`inputs` of the body, as they stand.

        Raises:
            InvalidRequestError: a name is one of another generation, and would be ignored.
        """
        inputs = super().inputs_wire(api_generation=api_generation)
        description = describe(self.model)
        if description is None:
            return inputs
        generation = description.generation(api_generation)
        classes = description.requests
        here = {name for cls in classes for name in wire_fields(cls, generation)}
        elsewhere = {name for cls in classes for name in readable(cls)} - here
        problems = [
            Problem(f"inputs.{name}", "", f"no name of API generation {generation}; enter it anew")
            for name in inputs
            if name in elsewhere
        ]
        if problems:
            raise InvalidRequestError.of(problems, what=f"stored request for {self.model}")
        return inputs

    def to_stored(self) -> dict[str, JsonValue]:
        """The body as it stands."""
        return self._body(_json_of(self.inputs))


def _json_of(inputs: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return cast("dict[str, JsonValue]", as_json(inputs))


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
    if isinstance(value, Mapping) and not is_file_form(value):
        return _copy_object(value, path, problems, depth)
    if isinstance(value, Upload) or is_source(value):
        return _copy_file(value, path, problems)
    if isinstance(value, list | tuple):
        return [
            _copy(item, f"{path}[{index}]", problems, depth + 1) for index, item in enumerate(value)
        ]
    if _is_scalar(value):
        return value
    allowed = "a value that JSON can carry"
    if is_file_form(value):  # see _files: JSON must not name local files
        allowed += "; a local file is given as a path or an open file"
    problems.append(Problem(path, show(value), allowed))
    return None


def _copy_file(value: object, path: str, problems: list[Problem]) -> JsonValue:
    if isinstance(value, Upload):
        return value.url
    try:
        # No JSON yet: it becomes one when it is stored, and an address when it is sent.
        return cast("JsonValue", local_file(value, FORMATS))
    except PydanticCustomError as error:
        context = error.context or {}
        problem = Problem(path, str(context.get("given")), str(context.get("allowed")))
        problems.append(problem)
        return None


def _is_scalar(value: object) -> TypeGuard[bool | int | float | str | None]:
    if isinstance(value, str):
        return is_unicode(value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return value.bit_length() <= _MOST_BITS
    return value is None
