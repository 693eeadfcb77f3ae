"""What a request class tells about its fields, read off the class itself.

Messages, the model catalogue and the wire form all take names, limits and defaults from
here, so that a field is written down once: in its class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, get_args, get_origin

from pydantic.alias_generators import to_camel

from ._rules import Figure, OneOf, Phrase, Rule, Text

if TYPE_CHECKING:
    from pydantic import BaseModel, JsonValue
    from pydantic.fields import FieldInfo

ENVELOPE = frozenset({"model", "callback_url", "inputs"})
"""The fields of a request that stand beside `inputs` on the wire, or are `inputs` itself."""


def wire_name(name: str) -> str:
    """A field's name on the wire: camel case, and `callBackUrl` as the API spells it."""
    return "callBackUrl" if name == "callback_url" else to_camel(name)


@dataclass(frozen=True)
class FieldDescription:
    """One field of a request class."""

    name: str
    """In Python: `aspect_ratio`."""
    wire_name: str
    """In the API: `aspectRatio`."""
    rule: Rule
    required: bool
    default: JsonValue
    """In the API's form; None when there is none."""
    description: str
    """One sentence for people."""
    phrase: str | None = None

    @property
    def path(self) -> str:
        """Where it stands in an API body: `inputs.aspectRatio`, `callBackUrl`."""
        return self.wire_name if self.name in ENVELOPE else f"inputs.{self.wire_name}"

    @property
    def type(self) -> str:
        """One word or two: `whole number`, `text`, `choice`, `list of addresses`, ..."""
        return self.rule.type

    @property
    def allowed(self) -> str:
        """What is allowed, as a phrase: `a whole number from 4 to 15`."""
        return self.phrase or self.rule.allowed

    @property
    def minimum(self) -> Figure | None:
        """The least value, number of characters or of items; None when there is none."""
        return self.rule.minimum

    @property
    def maximum(self) -> Figure | None:
        """The greatest value, number of characters or of items; None when there is none."""
        return self.rule.maximum

    @property
    def choices(self) -> tuple[str | Figure, ...]:
        """The only values allowed; empty when the field is not a choice."""
        return self.rule.choices

    def wire(self, value: object) -> JsonValue:
        """A checked value in the API's own form."""
        return self.rule.wire(value)


@cache
def fields_of(cls: type[BaseModel]) -> Mapping[str, FieldDescription]:
    """The fields of a request class by their names in Python, in the order of the class."""
    fields = {name: _described(name, field) for name, field in cls.model_fields.items()}
    return MappingProxyType(fields)


@cache
def input_fields(cls: type[BaseModel]) -> Mapping[str, FieldDescription]:
    """The fields that stand in `inputs` on the wire."""
    fields = {name: field for name, field in fields_of(cls).items() if name not in ENVELOPE}
    return MappingProxyType(fields)


def plain(key: str) -> str:
    """A key without case and punctuation, so that `Aspect-Ratio` meets `aspect_ratio`."""
    return "".join(char for char in key.lower() if char.isalnum())


def _described(name: str, field: FieldInfo) -> FieldDescription:
    rule = _rule(field)
    default = None if field.is_required() else field.get_default()
    phrases = (each.allowed for each in field.metadata if isinstance(each, Phrase))
    return FieldDescription(
        name=name,
        wire_name=field.alias or name,
        rule=rule,
        required=field.is_required(),
        default=None if default is None else rule.wire(default),
        description=field.description or "",
        phrase=next(phrases, None),
    )


def _rule(field: FieldInfo) -> Rule:
    for each in field.metadata:
        if not isinstance(each, Phrase) and hasattr(each, "allowed"):
            rule: Rule = each
            return rule
    choices = _literals(field.annotation)
    return OneOf(*choices) if choices else Text()


def _literals(annotation: object) -> tuple[str, ...]:
    """The values of a `Literal`, also of one that may be None."""
    if get_origin(annotation) is Literal:
        return tuple(str(value) for value in get_args(annotation))
    return tuple(value for part in get_args(annotation) for value in _literals(part))
