"""What every request is: a frozen model that knows its wire form and its price."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationInfo, model_validator

from .._errors import InvalidRequestError
from ._addresses import Address
from ._entry import describe
from ._fields import wire_name
from ._files import LocalFile, files_in, with_addresses
from ._forms import Misfit, inputs_in, misfits, why_none
from ._generations import GENERATIONS, SEED, ApiGeneration, check_generation
from ._rules import Text, count, shorten, show

if TYPE_CHECKING:
    from ._description import ModelDescription

_SHOWN_TEXT = 40
"""Characters of a text that a request's repr shows."""
ANY_LENGTH = {"any_length": True}
"""Validation context: ranges that are only numbers are those of the widest generation."""


class Request(BaseModel):
    """What the user wants generated: the base of every request class.

    Requests are frozen, hashable and can be pickled. They are checked on construction
    and forbid unknown fields; fields go by their names in Python (`aspect_ratio`) or on
    the wire (`aspectRatio`). A field given as None is a field not given. Two requests
    are equal when their values are, whether set or left to the default.

    A request belongs to no generation of the API: what no generation takes is refused
    on construction, what the chosen one does not take before it is sent.

    Raises:
        pydantic.ValidationError: from the constructor, for a wrong field. `parse_request`
            and every call that takes a mapping raise `InvalidRequestError` instead.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        alias_generator=wire_name,
        # A class costs milliseconds to build, and most programs use one or two of them.
        defer_build=True,
    )

    HINTS: ClassVar[Mapping[str, str]] = {}
    """What to say about a field that is not there: wire name to sentence."""
    GENERATIONS: ClassVar[tuple[ApiGeneration, ...]] = GENERATIONS
    """The generations of the API that know any model of the class."""
    TOLD_BY: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Sets of names in `inputs` of which one must be there, for a mode that others do without."""
    ALWAYS_SENT: ClassVar[frozenset[str]] = frozenset()
    """Fields that are sent though they were not set: the mode requires them."""

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

    @model_validator(mode="after")
    def _fits_a_generation(self, info: ValidationInfo) -> Self:
        if type(self) is Request:  # it would be sent unchecked
            raise TypeError("Request is a base class; use Generation for a model without a class")
        description = self._description()
        if description is None:
            return self
        context: Mapping[str, object] = info.context or {}
        every: list[list[Misfit]] = []
        for generation in description.generations:
            found = misfits(self, description, generation)
            if not found:
                return self
            if all(each.hinted for each in found) and "any_length" not in context:
                every = [found]
                break
            every.append(found)
        raise InvalidRequestError.of(why_none(every))

    def _description(self) -> ModelDescription | None:
        """The description of the model, None for a class that checks nothing."""
        # Beside its class, as a rule; without importing the other families.
        home = sys.modules.get(type(self).__module__)
        for each in getattr(home, "DESCRIPTIONS", ()):
            if each.id == self.model:
                found: ModelDescription = each
                return found
        return describe(self.model)

    @property
    def files(self) -> tuple[LocalFile, ...]:
        """The local files among its references, in order, each content once."""
        found = files_in([getattr(self, name) for name in type(self).model_fields])
        return tuple({file.sha256: file for file in found}.values())

    def place_of(self, file: LocalFile) -> str:
        """The field in which a file stands, for messages: `inputs.urls`."""
        for name, field in type(self).model_fields.items():
            if file in files_in(getattr(self, name)):
                return f"inputs.{field.alias or name}".replace("inputs.inputs", "inputs")
        return "inputs"

    def to_wire(
        self,
        *,
        api_generation: ApiGeneration = SEED,
        uploaded: Mapping[str, str] | None = None,
    ) -> dict[str, JsonValue]:
        """The body of createTask, as new objects: `model`, `inputs`, `callBackUrl` when set.

        Args:
            api_generation: In whose names, types and ranges: `seed` or `2026-09`. A model
                that only one generation knows uses that one, whatever is chosen.
            uploaded: Where local files are now, by the SHA-256 of their content.

        Raises:
            InvalidRequestError: the generation does not take the request; each field is
                named, with what to use instead. Nothing is ever left out. Or a local file
                has no address yet.
            ConfigurationError: there is no such generation.
        """
        inputs = self.inputs_wire(api_generation=api_generation)
        return self._body(with_addresses(inputs, uploaded or {}) if self.files else inputs)

    def inputs_wire(self, *, api_generation: ApiGeneration = SEED) -> dict[str, JsonValue]:
        """`inputs` of the body: the fields that were set, and what the mode requires.

        A local file stands there in the ledger's form, an object: it has no address yet.

        Raises:
            InvalidRequestError: the generation does not take the request.
            ConfigurationError: there is no such generation.
        """
        chosen = check_generation(api_generation)
        description = self._description()
        if description is not None:
            chosen = description.generation(chosen)
            found = misfits(self, description, chosen)
            if found:
                problems = [each.problem for each in found]
                raise InvalidRequestError.of(problems, what=f"request for {self.model}")
        return inputs_in(self, chosen)

    def to_stored(self) -> dict[str, JsonValue]:
        """The body as a ledger keeps it: one form, in whatever generation it is sent.

        It is the form of the first generation that takes the request, whatever the format
        of its local files, with the kinds of references that their addresses do not show.
        `restore_request` reads it back.
        """
        description = self._description()
        generation: ApiGeneration = SEED
        if description is not None:
            generation = next(
                (
                    generation
                    for generation in description.generations
                    if all(each.file for each in misfits(self, description, generation))
                ),
                description.generations[0],
            )
        return self._body(inputs_in(self, generation, stored=True))

    def _body(self, inputs: dict[str, JsonValue]) -> dict[str, JsonValue]:
        body: dict[str, JsonValue] = {"model": self.model, "inputs": inputs}
        if self.callback_url is not None:
            body["callBackUrl"] = self.callback_url
        return body

    def cost(self, *, api_generation: ApiGeneration = SEED) -> Decimal | None:
        """Credits by the price tables of the API's documents; None when unknown.

        Where the final price depends on the length of reference videos, it is the most
        that it can be. None for a request that the generation does not take.

        Raises:
            ConfigurationError: there is no such generation.
        """
        chosen = check_generation(api_generation)
        description = self._description()
        if description is None:
            return None
        generation = description.generation(chosen)
        if misfits(self, description, generation):
            return None
        return description.terms[generation].price.credits(self.values())

    def values(self) -> dict[str, object]:
        """Every field's value by its name in Python, defaults included."""
        return {name: getattr(self, name) for name in type(self).model_fields}

    def model_copy(self, *, update: Mapping[str, object] | None = None, deep: bool = False) -> Self:
        """A copy with some fields changed, by their names in Python, and checked again.

        Raises:
            pydantic.ValidationError: for a wrong field.
        """
        if not update:
            return super().model_copy(deep=deep)
        kept = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self).model_validate({**kept, **update}, context=ANY_LENGTH)

    def __repr__(self) -> str:
        """Short, and without the addresses, which may carry a signature."""
        shown = [
            _shown(name, getattr(self, name))
            for name in type(self).model_fields
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
