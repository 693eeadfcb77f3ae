"""The mixes of jobs: which models, how long they take, in which order they come."""

from __future__ import annotations

import random
from types import MappingProxyType
from typing import Final

NANOBANANA: Final = "nanobanana2"
MIDJOURNEY: Final = "midjourney-v7"
SEEDANCE: Final = "seedance-20"

MIXES: Final = MappingProxyType(
    {
        "NB": (NANOBANANA,),
        "MJ": (MIDJOURNEY,),
        "SD": (SEEDANCE,),
        "MIX": (NANOBANANA, MIDJOURNEY, SEEDANCE),
    }
)
SECONDS: Final = MappingProxyType(
    {NANOBANANA: (8.0, 12.0), MIDJOURNEY: (30.0, 90.0), SEEDANCE: (60.0, 180.0)}
)
"""Least and most seconds that a task of a model takes; the same as in `scheduling.py`."""


def bodies(mix: str, count: int, draw: int) -> list[dict[str, object]]:
    """That many jobs of a mix, models in random order; another draw, other durations."""
    models = MIXES[mix]
    chosen = [models[index % len(models)] for index in range(count)]
    random.Random(draw).shuffle(chosen)
    return [
        {"model": model, "inputs": {"prompt": f"{mix} job {index}, draw {draw}"}}
        for index, model in enumerate(chosen)
    ]


def warm_up() -> list[dict[str, object]]:
    """One short job that is not among those measured."""
    return [{"model": NANOBANANA, "inputs": {"prompt": "warm-up"}}]
