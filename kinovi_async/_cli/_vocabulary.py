"""What the command needs to know of the models: field names, kinds of values, the check.

The tables come from the request classes, so a field added there is a column here. A
batch file is read against a `Vocabulary`, which a test can make up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ._text import shortened

if TYPE_CHECKING:
    from .._ledger import JsonObject
    from .._requests import ApiGeneration, Request

_CLOSE = 0.8
"""How alike two ids are that one is taken for a slip of the other; 1 is the same."""
_SEPARATORS = re.compile(r"[\s_\-]+")


class Kind(StrEnum):
    """How the text of a table's cell becomes a value."""

    TEXT = "text"
    WORD = "word"
    """As text, without the white space around it: a choice, an address."""
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
    """The hash of a body in its stored form."""
    stored: Callable[[Request], JsonObject] = lambda request: request.to_stored()
    """A request as the ledger keeps it, in whatever generation of the API it is sent."""
    cost: Callable[[Request], Decimal | None] = lambda request: request.cost()
    """Credits of a request in the generation in which it is sent; None when unknown."""
    local: Callable[[Mapping[str, object], Path], Mapping[str, object]] = lambda body, _: body
    """A body whose references may be files, relative to a directory."""
    _names: dict[str, str] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for fields in self.kinds.values():
            for name in fields:
                self._names.setdefault(folded(name), name)

    def wire_name(self, column: str) -> str | None:
        """The field a column's header means (`aspect_ratio`, `Aspect Ratio`), or None."""
        return self._names.get(folded(column))

    def name_for(self, model: str, name: str) -> str:
        """The field as the model spells it: `outputFormat` here is `output_format` there."""
        fields = self.kinds.get(model, {})
        if name in fields:
            return name
        wanted = folded(name)
        return next((each for each in fields if folded(each) == wanted), name)

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


def kinovi_vocabulary(api_generation: ApiGeneration = "seed") -> Vocabulary:
    """The vocabulary of the models this package describes, for a generation of the API."""
    from .._requests import MODELS, as_request, body_hash, with_local_files

    return Vocabulary(
        kinds={
            model.id: {each.wire_name: _kind(each.type) for each in model.fields}
            for model in MODELS.values()
        },
        check=partial(as_request, api_generation=api_generation),
        hash_of=body_hash,
        cost=lambda request: request.cost(api_generation=api_generation),
        local=with_local_files,
    )


def _kind(described: str) -> Kind:
    if described.startswith("list"):
        return Kind.LIST
    return {
        "whole number": Kind.INTEGER,
        "number": Kind.NUMBER,
        "true or false": Kind.BOOLEAN,
        "choice": Kind.WORD,
        "address": Kind.WORD,
    }.get(described, Kind.TEXT)
