"""A request in one generation of the API: whether it fits, and what it looks like there.

The request classes accept what any generation takes; here is decided what a certain one
does, before anything is sent. Nothing is ever dropped: what does not fit is a problem.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic_core import PydanticCustomError

from .._errors import Problem
from ._addresses import References
from ._fields import all_fields, input_fields, instead_of
from ._files import LocalFile, check_format
from ._generations import ApiGeneration
from ._rules import OneOf, show

if TYPE_CHECKING:
    from pydantic import JsonValue

    from ._base import Request
    from ._description import ModelDescription
    from ._fields import FieldDescription


@dataclass(frozen=True, slots=True)
class Misfit:
    """One reason why a request cannot go out in a generation."""

    problem: Problem
    absent: bool = False
    """The generation has no such field."""
    hinted: bool = False
    """Only a number is out of range; see `In.hint`."""
    file: bool = False
    """Only the format of a local file does not fit."""


def misfits(
    request: Request, description: ModelDescription, generation: ApiGeneration
) -> list[Misfit]:
    """Everything in a request that one generation of the API does not take."""
    cls = type(request)
    fields = input_fields(cls, generation)
    tiers = description.terms[generation].price.tiers
    found: list[Misfit] = []
    for name in request.model_fields_set:
        if name in {"model", "callback_url"}:
            continue
        value = getattr(request, name)
        field = fields.get(name)
        if value is None or value == ():
            continue
        if field is None:
            found.append(_absent(cls, name, generation))
        elif field.own or name in tiers or field.parts:
            found += _out_of_range(field, tiers.get(name, ()), value, generation)
    for name, field in fields.items():
        if field.required and getattr(request, name) is None:
            allowed = f"required in API generation {generation}: {field.allowed}"
            found.append(Misfit(Problem(field.path, "", allowed)))
    return found


def _absent(cls: type[Request], name: str, generation: ApiGeneration) -> Misfit:
    path = all_fields(cls)[name].path
    allowed = f"not in API generation {generation}; {instead_of(cls)[name]}"
    return Misfit(Problem(path, "", allowed), absent=True)


def _out_of_range(
    field: FieldDescription, tiers: Sequence[str], value: object, generation: ApiGeneration
) -> list[Misfit]:
    rule = OneOf(*tiers) if tiers else field.rule

    def refused(error: PydanticCustomError, place: str = "", *, file: bool = False) -> Misfit:
        context = error.context or {}
        allowed = f"{context.get('allowed')}{_suffix(field, generation)}"
        given = str(context.get("given", show(value)))
        problem = Problem(f"{field.path}{place}", given, allowed)
        return Misfit(problem, hinted=field.hint is not None, file=file)

    try:
        rule.check(value)
        if field.parts:
            _split(field, value)
    except PydanticCustomError as error:
        return [refused(error)]
    found: list[Misfit] = []
    for index, item in enumerate(value if isinstance(value, tuple) else ()):
        try:
            if isinstance(item, LocalFile):
                check_format(item, rule.formats)
        except PydanticCustomError as error:
            found.append(refused(error, f"[{index}]", file=True))
    return found


def _suffix(field: FieldDescription, generation: ApiGeneration) -> str:
    return f" ({field.hint})" if field.hint else f" (API generation {generation})"


def why_none(every: Sequence[Sequence[Misfit]]) -> list[Problem]:
    """The problems of a request that no generation takes, by each one's misfits.

    They are those of the generation that knows most of its fields, unless each has a field
    that the other lacks: these two do not go together.
    """
    absent = [[each.problem.field for each in found if each.absent] for found in every]
    if len(every) > 1 and all(absent):
        other = absent[1][0].removeprefix("inputs.")
        allowed = f"not together with {other}: no generation of the API has both"
        return [Problem(absent[0][0], "", allowed)]
    best = min(every, key=lambda found: sum(each.absent for each in found), default=())
    return [each.problem for each in best]


def inputs_in(
    request: Request, generation: ApiGeneration, *, stored: bool = False
) -> dict[str, JsonValue]:
    """`inputs` of the body in one generation, of a request that fits it.

    With `stored`, references keep the kinds that their addresses do not show.
    """
    inputs: dict[str, JsonValue] = {}
    for name, field in input_fields(type(request), generation).items():
        value = getattr(request, name)
        if value is None or not (name in request.model_fields_set or name in request.ALWAYS_SENT):
            continue
        if field.parts:
            inputs.update(_split(field, value))
        elif stored and isinstance(field.rule, References):
            inputs[field.wire_name] = field.rule.stored(value)
        else:
            inputs[field.wire_name] = field.wire(value)
    return inputs


def _split(field: FieldDescription, value: object) -> Mapping[str, JsonValue]:
    assert field.parts is not None  # noqa: S101 - see the callers
    assert isinstance(field.rule, References)  # noqa: S101 - only these are split
    assert isinstance(value, tuple)  # noqa: S101 - checked references
    return {
        field.parts[kind].wire_name: list(addresses)
        for kind, addresses in field.rule.split(value).items()
    }
