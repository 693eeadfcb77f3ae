"""Seeded chance: what the simulator draws depends on the seed and on names, not on order.

A drawing is named by what it is for (a body and the how-manieth time it came, a task
and the number of its poll), so the same jobs meet the same fates whichever order a
concurrent client sends them in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


class Luck:
    """Drawings that follow from a seed and names alone."""

    __slots__ = ("_seed",)

    def __init__(self, seed: int) -> None:
        self._seed = str(seed)

    def _number(self, names: tuple[object, ...]) -> int:
        text = "\x1f".join((self._seed, *map(str, names)))
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=20).digest()
        return int.from_bytes(digest, "big")

    def roll(self, *names: object) -> float:
        """A number in [0, 1)."""
        # 53 bits fill a float's mantissa; one bit more could round up to 1.0.
        return float((self._number(names) >> 107) / (1 << 53))

    def between(self, low: float, high: float, *names: object) -> float:
        """A number from `low` to `high`."""
        return low + (high - low) * self.roll(*names)

    def choice(self, options: Sequence[T], *names: object) -> T:
        """One of the options."""
        return options[self._number(names) % len(options)]

    def token(self, length: int, *names: object) -> str:
        """Lower-case letters and digits, at most 30 of them."""
        number = self._number(names)
        letters = []
        for _ in range(length):
            number, place = divmod(number, len(_ALPHABET))
            letters.append(_ALPHABET[place])
        return "".join(letters)
