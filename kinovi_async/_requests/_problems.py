"""What pydantic's errors say in our own words.

One pure function turns a ValidationError into problems whose phrases come from the
fields' own rules, so that a new field needs no second edit here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from .._errors import InvalidRequestError, Problem
from ._fields import ENVELOPE, FieldDescription, all_fields, fields_of, plain, readable, widest_rule
from ._rules import listed, shorten, show

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from ._base import Request
    from ._description import ModelDescription

# Beyond this no key is a misspelt field, and comparing gets slow.
_LONGEST_MISSPELLING = 40
_KEY_SHOWN = 40
# How alike a key and a field's name are that one is taken for the other; 1 is the same.
_ALIKE = 0.75
_WORD = re.compile(r"[A-Za-z][a-z]*")


def problems_of(
    error: ValidationError,
    cls: type[Request],
    *,
    description: ModelDescription | None = None,
    names: Mapping[str, str] | None = None,
) -> list[Problem]:
    """Every error of a request class as problems, in the order of its fields.

    Args:
        error: What pydantic raised.
        cls: The class.
        description: The model, which may take less than the class does.
        names: The name under which a field was given, by its name in Python.
    """
    found: list[Problem] = []
    for details in error.errors(include_url=False):
        found.extend(_problems(details, cls, description, names or {}))
    return found


def _problems(
    details: ErrorDetails,
    cls: type[Request],
    description: ModelDescription | None,
    names: Mapping[str, str],
) -> Sequence[Problem]:
    context = details.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, InvalidRequestError):
        return cause.problems
    location = details["loc"]
    key = str(location[0]) if location else ""
    if details["type"] == "extra_forbidden":
        return [unknown_input(key, cls)]
    field = _field(key, cls)
    if field is None:
        allowed = f"an object with the fields of {cls.__name__}"
        return [Problem(key or "request", show(details["input"]), allowed)]
    if details["type"] == "missing":
        return [missing(field)]
    given_name = names.get(field.name)
    path = f"inputs.{given_name}" if given_name else field.path
    path += "".join(f"[{part}]" for part in location[1:])
    given = context.get("given", show(details["input"]))
    allowed = str(context.get("allowed", ""))
    if not allowed or allowed == widest_rule(cls, field.name).allowed:
        allowed = _allowed(field, cls, description)
    return [Problem(path, str(given), allowed)]


def _allowed(
    field: FieldDescription, cls: type[Request], description: ModelDescription | None
) -> str:
    """What the model takes, in each generation of the API where they differ."""
    if field.name in ENVELOPE:
        return field.allowed
    first: FieldDescription | None = None
    more = ""
    for generation in description.generations if description else cls.GENERATIONS:
        own = fields_of(cls, generation).get(field.name)
        if own is None:
            continue
        own = description.narrowed(own, generation) if description else own
        if first is None:
            first = own
        elif _adds(first, own):
            more += f" (API generation {generation}: {own.allowed})"
    return (first or field).allowed + more


def _adds(first: FieldDescription, other: FieldDescription) -> bool:
    """Whether another generation takes values that the first does not."""
    if first.choices or other.choices:
        return bool({*other.choices} - {*first.choices})
    return other.maximum is None or (first.maximum is not None and other.maximum > first.maximum)


def missing(field: FieldDescription) -> Problem:
    """The problem of a required field that is not there."""
    return Problem(field.path, "", f"required: {field.allowed}")


def unknown_input(key: object, cls: type[Request]) -> Problem:
    """The problem of a key in `inputs` that the class has no field for."""
    hint = "no such field"
    if isinstance(key, str) and len(key) <= _LONGEST_MISSPELLING:
        hints: Mapping[str, str] = getattr(cls, "HINTS", {})
        told = {plain(name): text for name, text in hints.items()}
        every = (name for each in _modes(cls) for name in _wire_names(each))
        names = list(dict.fromkeys(every))
        if plain(key) in {plain(name) for name in ("model", "callBackUrl")}:
            return Problem(f"inputs.{show_key(key)}", "", f"{hint}; it belongs beside inputs")
        listing = f"{hint}; the fields here are {listed(names, 'and')}"
        hint = told.get(plain(key)) or _elsewhere(key, cls) or _did_you_mean(key, names) or listing
    return Problem(f"inputs.{show_key(key)}", "", hint)


def unknown_key(key: object, names: Sequence[str], inside: Sequence[str]) -> Problem:
    """The problem of a key beside `inputs`: `names` belong there, `inside` within `inputs`."""
    hint = f"no such field; the fields here are {listed(names, 'and')}"
    if isinstance(key, str) and len(key) <= _LONGEST_MISSPELLING:
        if plain(key) in {plain(name) for name in inside}:
            hint = f"belongs inside inputs: inputs.{key}"
        else:
            hint = _did_you_mean(key, names) or hint
    return Problem(show_key(key), "", hint)


def given_twice(path: str) -> Problem:
    """The problem of a field that is there under both of its names."""
    return Problem(path, "", "given twice, under both of its names")


def show_key(key: object) -> str:
    """A key of an object as part of a path; short and printable, whatever it is."""
    if isinstance(key, str):
        return shorten(key if key.isprintable() and key else repr(key[:_KEY_SHOWN]), _KEY_SHOWN)
    return f"[{shorten(show(key), _KEY_SHOWN)}]"


def _modes(cls: type[Request]) -> Sequence[type[Request]]:
    """The classes of the same model, this one first."""
    home = sys.modules.get(cls.__module__)
    modes = next((m.requests for m in getattr(home, "DESCRIPTIONS", ()) if cls in m.requests), ())
    return [cls, *(each for each in modes if each is not cls)]


def _wire_names(cls: type[Request]) -> list[str]:
    return [name for name, field in readable(cls).items() if name == field.wire_name]


def _elsewhere(key: str, cls: type[Request]) -> str | None:
    """What to say of a field that another mode has."""
    homes = [each.__name__ for each in _modes(cls) if key in readable(each)]
    return f"only for {listed(homes)}" if homes else None


def _did_you_mean(key: str, names: Sequence[str]) -> str | None:
    # A word of the name, such as `ratio` of `aspectRatio`, says more than likeness does.
    meant = _words(key)
    near = [name for name in names if meant and meant <= _words(name)]
    if not near:
        by_plain = {plain(name): name for name in names}
        close = get_close_matches(plain(key), by_plain, n=1, cutoff=_ALIKE)
        near = [by_plain[each] for each in close]
    return f"no such field; did you mean {listed(near)}?" if near else None


def _words(name: str) -> set[str]:
    """The words of a name without an s at their end: `image` and `url` of `imageUrls`."""
    return {word.lower().removesuffix("s") for word in _WORD.findall(name)}


def _field(key: str, cls: type[Request]) -> FieldDescription | None:
    for field in all_fields(cls).values():
        if key in {field.name, field.wire_name}:
            return field
    return None
