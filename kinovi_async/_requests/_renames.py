"""References whose fields were renamed: where the wrong generation costs money silently."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._fields import input_fields
from ._generation import Generation
from ._generations import LATER, SEED

if TYPE_CHECKING:
    from ._base import Request


def renamed_references(request: Request) -> dict[str, str]:
    """Fields of references that a request sends under the seeds' names: old name to new.

    The later generation of the API does not know these names and ignores what it does
    not know: the request would run, and be paid, as if it had no references. Empty for
    requests without such references, and for models that one generation alone knows.
    """
    inner = request.described if isinstance(request, Generation) else request
    if inner is None:
        return {}
    described = inner._description()  # noqa: SLF001 - one package
    if described is None or not {SEED, LATER} <= set(described.generations):
        return {}
    later = input_fields(type(inner), LATER)
    found: dict[str, str] = {}
    for name, field in input_fields(type(inner), SEED).items():
        if name not in inner.model_fields_set or not getattr(inner, name) or name not in later:
            continue
        new = later[name]
        names = [part.wire_name for part in new.parts.values()] if new.parts else [new.wire_name]
        if field.wire_name not in names:
            found[field.wire_name] = " and ".join(names)
    return found
