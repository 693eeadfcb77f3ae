"""What a request class tells about its fields, read off the class itself.

Messages, the model catalogue, the wire form and the JSON Schema all take names, limits
and defaults from here, so that a field is written down once: in its class. What a field
has of its own in one generation of the API stands beside it, as `In` or `Only`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, get_args, get_origin

from pydantic.alias_generators import to_camel

from ._addresses import Addresses
from ._generations import GENERATIONS, ApiGeneration
from ._kinds import Formats, Kind
from ._rules import Figure, OneOf, Phrase, Rule, Text

if TYPE_CHECKING:
    from pydantic import JsonValue
    from pydantic.fields import FieldInfo

    from ._base import Request

ENVELOPE = frozenset({"model", "callback_url", "inputs", "check"})
"""The fields of a request that stand beside `inputs` on the wire, or are `inputs` itself."""


@dataclass(frozen=True)
class In:
    """What is different about a field in one generation of the API."""

    generation: ApiGeneration
    rule: Rule | None = None
    """Its range there; the class's own accepts what any generation does."""
    name: str | None = None
    """Its name on the wire there."""
    required: bool = False
    """It is required there, whatever the class says."""
    default: str | bool | None = None
    """What the API takes there when it is left out."""
    hint: str | None = None
    """The range is only a number: alone it makes no request one of another generation, but
    is refused, and this says what would."""


@dataclass(frozen=True)
class Split:
    """A mixed list of references that one generation of the API separates by kind."""

    generation: ApiGeneration
    names: Mapping[Kind, str]
    """The name on the wire for each kind."""


@dataclass(frozen=True)
class Only:
    """A field that one generation of the API alone has."""

    generation: ApiGeneration
    instead: str = "leave it out"
    """What to do in the other generations."""


def wire_name(name: str) -> str:
    """A field's name on the wire: camel case, and `callBackUrl` as the API spells it."""
    return "callBackUrl" if name == "callback_url" else to_camel(name)


@dataclass(frozen=True)
class FieldDescription:
    """One field of a request class, as one generation of the API has it."""

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
    own: bool = False
    """The rule is this generation's own, narrower than the class's."""
    hint: str | None = None
    """See `In.hint`."""
    parts: Mapping[Kind, FieldDescription] | None = None
    """Where the wire separates a mixed list: a field for each kind."""

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

    @property
    def formats(self) -> Formats:
        """Of the local files that it takes, by kind; empty when it takes none."""
        return self.rule.formats

    def wire(self, value: object) -> JsonValue:
        """A checked value in the API's own form."""
        return self.rule.wire(value)


Fields = Mapping[str, FieldDescription]


@cache
def fields_of(cls: type[Request], generation: ApiGeneration | None = None) -> Fields:
    """The fields of a request class by their names in Python, in the order of the class.

    Args:
        cls: The class.
        generation: As that generation of the API has them; None: the first that knows it.
    """
    chosen = generation or cls.GENERATIONS[0]
    fields = {
        name: _described(name, field, chosen)
        for name, field in cls.model_fields.items()
        if not any(isinstance(m, Only) and m.generation != chosen for m in field.metadata)
    }
    return MappingProxyType(fields)


@cache
def input_fields(cls: type[Request], generation: ApiGeneration | None = None) -> Fields:
    """The fields that stand in `inputs`, by their names in Python."""
    fields = fields_of(cls, generation).items()
    return MappingProxyType({name: field for name, field in fields if name not in ENVELOPE})


@cache
def wire_fields(cls: type[Request], generation: ApiGeneration | None = None) -> Fields:
    """The fields that stand in `inputs`, by their names on the wire; a mixed list by its parts."""
    found: dict[str, FieldDescription] = {}
    for field in input_fields(cls, generation).values():
        for each in field.parts.values() if field.parts else (field,):
            found[each.wire_name] = each
    return MappingProxyType(found)


@cache
def all_fields(cls: type[Request]) -> Fields:
    """Every field of a class by its name in Python: as the first generation that has it does."""
    found: dict[str, FieldDescription] = {}
    for generation in cls.GENERATIONS:
        for name, field in fields_of(cls, generation).items():
            found.setdefault(name, field)
    return MappingProxyType({name: found[name] for name in cls.model_fields})


@cache
def readable(cls: type[Request]) -> Fields:
    """Every key that `inputs` may have: names in Python and those of every generation's wire."""
    found: dict[str, FieldDescription] = {}
    for generation in cls.GENERATIONS:
        for key, field in wire_fields(cls, generation).items():
            found.setdefault(key, field)
    for name, field in all_fields(cls).items():
        if name not in ENVELOPE:
            found.setdefault(name, field)
    return MappingProxyType(found)


@cache
def widest_rule(cls: type[Request], name: str) -> Rule:
    """The class's own rule of a field: what any generation takes."""
    return _rule(cls.model_fields[name])


@cache
def instead_of(cls: type[Request]) -> Mapping[str, str]:
    """What to do where a generation lacks a field, by the field's name in Python."""
    return {
        name: each.instead
        for name, field in cls.model_fields.items()
        for each in field.metadata
        if isinstance(each, Only)
    }


def plain(key: str) -> str:
    """A key without case and punctuation, so that `Aspect-Ratio` meets `aspect_ratio`."""
    return "".join(char for char in key.lower() if char.isalnum())


def _described(name: str, field: FieldInfo, generation: ApiGeneration) -> FieldDescription:
    own = next(
        (m for m in field.metadata if isinstance(m, In) and m.generation == generation),
        In(generation),
    )
    rule = own.rule or _rule(field)
    default = None if field.is_required() else field.get_default()
    shown: JsonValue = own.default
    if shown is None and default is not None:
        shown = rule.wire(default)
    phrases = (each.allowed for each in field.metadata if isinstance(each, Phrase))
    described = FieldDescription(
        name=name,
        wire_name=own.name or field.alias or name,
        rule=rule,
        required=own.required or field.is_required(),
        default=shown,
        description=field.description or "",
        phrase=next(phrases, None),
        own=own.rule is not None,
        hint=own.hint,
    )
    split = (m for m in field.metadata if isinstance(m, Split) and m.generation == generation)
    return _with_parts(described, next(split, None))


def _with_parts(field: FieldDescription, split: Split | None) -> FieldDescription:
    if split is None:
        return field
    most: Mapping[Kind, int] = getattr(field.rule, "most", {})
    parts = {
        kind: replace(
            field,
            wire_name=name,
            rule=Addresses(kind, 0, most[kind]),
            required=False,
            default=None,
            description=f"Reference {kind.plural}, in order.",
        )
        for kind, name in split.names.items()
    }
    return replace(field, parts=parts)


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


__all__ = [
    "ENVELOPE",
    "GENERATIONS",
    "FieldDescription",
    "In",
    "Only",
    "Split",
    "all_fields",
    "fields_of",
    "input_fields",
    "instead_of",
    "plain",
    "readable",
    "widest_rule",
    "wire_fields",
    "wire_name",
]
