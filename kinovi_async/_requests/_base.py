"""What every request is: a frozen model that knows its wire form and its price."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from .._errors import InvalidRequestError, Problem
from ._addresses import Address
from ._fields import fields_of, input_fields, wire_name
from ._rules import Text, count, shorten, show

_SHOWN_TEXT = 40
"""Characters of a text that a request's repr shows."""


class Request(BaseModel):
    """What the user wants generated: the base of every request class.

    Requests are frozen, hashable and can be pickled. They are checked on construction
    and forbid unknown fields; fields go by their names in Python (`aspect_ratio`) or on
    the wire (`aspectRatio`). A field given as None is a field not given. Two requests
    are equal when their values are, whether set or left to the default.

    Raises:
        pydantic.ValidationError: from the constructor, for a wrong field. `parse_request`
            and every call that takes a mapping raise `InvalidRequestError` instead.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, alias_generator=wire_name
    )

    HINTS: ClassVar[Mapping[str, str]] = {}
    """What to say about a field that is not there: wire name to sentence."""

    model: Annotated[str, Text(required=True)] = Field(description="The model's id.")
    callback_url: Annotated[str | None, Address()] = Field(
        default=None, description="Where the API posts the record when the task has ended."
    )

    @model_validator(mode="before")
    @classmethod
    def _unset_none(cls, data: object) -> object:
        if isinstance(data, Mapping):
            return {key: value for key, value in data.items() if value is not None}
        return data

    def model_post_init(self, context: object, /) -> None:  # noqa: ARG002 - pydantic's
        """Refuses the base class itself, which would be sent unchecked."""
        if type(self) is Request:
            raise TypeError("Request is a base class; use Generation for a model without a class")

    def to_wire(self) -> dict[str, JsonValue]:
        """The body of createTask, as new objects: `model`, `inputs`, `callBackUrl` when set."""
        body: dict[str, JsonValue] = {"model": self.model, "inputs": self.inputs_wire()}
        if self.callback_url is not None:
            body["callBackUrl"] = self.callback_url
        return body

    def inputs_wire(self) -> dict[str, JsonValue]:
        """`inputs` of the body: the fields that were set, and what the mode requires."""
        return {
            field.wire_name: field.wire(getattr(self, name))
            for name, field in input_fields(type(self)).items()
            if name in self.model_fields_set and getattr(self, name) is not None
        }

    def cost(self) -> Decimal | None:
        """Credits by the price tables of the API's documents; None when unknown."""
        from ._catalog import describe  # the catalogue lists the classes built on this one

        described = describe(self.model)
        return None if described is None else described.price.credits(self._values())

    def _values(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in fields_of(type(self))}

    def model_copy(self, *, update: Mapping[str, object] | None = None, deep: bool = False) -> Self:
        """A copy with some fields changed, by their names in Python, and checked again.

        Raises:
            pydantic.ValidationError: for a wrong field.
        """
        if not update:
            return super().model_copy(deep=deep)
        kept = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self).model_validate({**kept, **update})

    def __repr__(self) -> str:
        """Short, and without the addresses, which may carry a signature."""
        shown = [
            _shown(name, getattr(self, name))
            for name in fields_of(type(self))
            if name in self.model_fields_set and name != "callback_url"
        ]
        return f"{type(self).__name__}({', '.join(part for part in shown if part)})"

    def __str__(self) -> str:
        return repr(self)


def _shown(name: str, value: object) -> str:
    if name.endswith(("url", "urls")):
        return f"{name}=<{count(len(value), 'address')}>" if isinstance(value, tuple) else ""
    if isinstance(value, str):
        return f"{name}={shorten(value, _SHOWN_TEXT)!r}"
    return f"{name}={show(value)}"


def encode_body(body: Mapping[str, object]) -> bytes:
    """An API body as it goes over the wire."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def body_hash(request: Request | Mapping[str, object]) -> str:
    """SHA-256, in hex, of what a request generates: its model and inputs.

    Canonical JSON of `{"inputs", "model"}` of the wire form (sorted keys, no spaces,
    ASCII); `callBackUrl` is left out, since it changes nothing that is generated. A
    mapping is taken as the wire form it is, unchecked.

    Raises:
        InvalidRequestError: the mapping lacks `model` or `inputs`, or is no JSON.
    """
    body = request.to_wire() if isinstance(request, Request) else request
    try:
        content = {"model": body["model"], "inputs": body["inputs"]}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (KeyError, TypeError, ValueError, RecursionError):
        problem = Problem("request", show(body), "a JSON object with model and inputs")
        raise InvalidRequestError.of([problem]) from None
    return hashlib.sha256(text.encode("ascii")).hexdigest()
