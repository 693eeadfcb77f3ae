"""The generations of the API, and which of them a call speaks.

The API renamed its fields, changed their ranges and raised its prices between the first
published documents ("seed") and those of September 2026 ("2026-09"). A request is the
same object in both; only its wire form and its price differ.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from .._errors import ConfigurationError

ApiGeneration: TypeAlias = Literal["seed", "2026-09"]

SEED: Final = "seed"
"""The API's first published documents; the default everywhere."""
LATER: Final = "2026-09"
"""The documents of September 2026."""
GENERATIONS: Final[tuple[ApiGeneration, ...]] = (SEED, LATER)


def check_generation(name: str) -> ApiGeneration:
    """The generation of this name.

    Raises:
        ConfigurationError: there is none.
    """
    for generation in GENERATIONS:
        if name == generation:
            return generation
    known = " or ".join(GENERATIONS)
    raise ConfigurationError(f"api_generation is {known}, not {str(name)[:40]!r}")
