"""What the command needs to know of the models: field names, kinds of values, the check.

The tables come from the request classes, so a field added there is a column here. A
batch file is read against a `Vocabulary`, which a test can make up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from typing import TYPE_CHECKING

from ._text import shortened

if TYPE_CHECKING:
    from .._ledger import JsonObject
    from .._requests import Request

_CLOSE = 0.8
"""How alike two ids are that one is taken for a slip of the other; 1 is the same."""
_SEPARATORS = re.compile(r"[\s_\-]+")


class Kind(StrEnum):
    """How the text of a table's cell becomes a value."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The fields a batch file may use, and the check of a whole request."""

    kinds: Mapping[str, Mapping[str, Kind]]
    """Model -> wire name of each of its fields -> kind."""
    check: Callable[[Mapping[str, object]], Request]
    """An API body to a request; raises InvalidRequestError."""
    hash_of: Callable[[JsonObject], str]
    """The hash of a body in its canonical form."""
    _names: dict[str, str] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for fields in self.kinds.values():
            for name in fields:
                self._names.setdefault(folded(name), name)

    def wire_name(self, column: str) -> str | None:
        """The field a column's header means (`aspect_ratio`, `Aspect Ratio`), or None."""
        return self._names.get(folded(column))

    def kind(self, model: str, name: str) -> Kind:
        """How a cell of this field is read; a model nobody described borrows the kinds."""
        described = self.kinds.get(model)
        if described is not None:
            return described.get(name, self._anywhere(name))
        return self._anywhere(name)

    def _anywhere(self, name: str) -> Kind:
        found = {fields[name] for fields in self.kinds.values() if name in fields}
        return found.pop() if len(found) == 1 else Kind.TEXT


def unknown_models(models: Iterable[str], described: Collection[str]) -> Iterator[str]:
    """A sentence for each model that is not described, once."""
    for model in dict.fromkeys(models):
        if model in described:
            continue
        near = get_close_matches(model, described, n=1, cutoff=_CLOSE)
        question = f"; did you mean {near[0]}?" if near else ""
        yield (
            f"model {shortened(model, 60)}: not described here, passed through unchecked, "
            f"price unknown{question}"
        )


def folded(name: str) -> str:
    """A header without case, spaces, underscores and hyphens: what two spellings share."""
    return _SEPARATORS.sub("", name).casefold()


def kinovi_vocabulary() -> Vocabulary:
    """The vocabulary of the models this package describes."""
    from .._requests import MODELS, body_hash, parse_request

    kinds: dict[str, dict[str, Kind]] = {}
    for model in MODELS.values():
        fields = {
            each.wire_name: _kind(each.type) for each in model.fields if each.path != each.wire_name
        }
        if len(model.requests) > 1:
            # Told by the class in Python, so no field there; a column in a table.
            fields.setdefault("mode", Kind.TEXT)
        kinds[model.id] = fields
    return Vocabulary(kinds=kinds, check=parse_request, hash_of=body_hash)


def _kind(described: str) -> Kind:
    if described.startswith("list"):
        return Kind.LIST
    return {
        "whole number": Kind.INTEGER,
        "number": Kind.NUMBER,
        "true or false": Kind.BOOLEAN,
    }.get(described, Kind.TEXT)
