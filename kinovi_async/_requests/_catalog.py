"""The models this package describes, collected from the modules of their families.

To describe a model, add it to its family's module: to the names of its class, and as a
`ModelDescription` below it. A new family is a new module, named here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from . import _gpt_image, _midjourney, _nanobanana, _seedance, _seedance25, _seedream, _wan
from ._description import ModelDescription

# In the order of the API's overview, then of the later documents.
_FAMILIES = (_seedance, _midjourney, _nanobanana, _seedance25, _wan, _seedream, _gpt_image)

MODELS: Mapping[str, ModelDescription] = MappingProxyType(
    {each.id: each for family in _FAMILIES for each in family.DESCRIPTIONS}
)
"""Every described model by its id."""


def describe(model_id: str) -> ModelDescription | None:
    """The description of a model, None when there is none."""
    return MODELS.get(model_id)
