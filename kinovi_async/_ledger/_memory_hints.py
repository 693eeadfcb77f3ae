"""Hints of webhooks in a ledger in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ._protocol import Hinted

MOST_HINTS: Final = 10_000
MOST_IDS: Final = 4
"""Task ids of one submission."""


class Hints:
    """In order of arrival, bounded, each once."""

    def __init__(self) -> None:
        self._hints: dict[int, Hinted] = {}
        self._numbers: dict[tuple[str, int], dict[str, int]] = {}
        """By submission: its task ids, the latest last."""
        self._last = 0

    def add(self, key: str, attempt: int, task_id: str) -> None:
        """Keeps one, with the largest number; older ones give way."""
        numbers = self._numbers.setdefault((key, attempt), {})
        if task_id in numbers:
            self._forget(numbers[task_id])
        elif len(numbers) == MOST_IDS:
            self._forget(next(iter(numbers.values())))
        self._last += 1
        self._hints[self._last] = Hinted(self._last, key, attempt, task_id)
        self._numbers.setdefault((key, attempt), {})[task_id] = self._last
        if len(self._hints) > MOST_HINTS:
            self._forget(next(iter(self._hints)))

    def after(self, number: int) -> Iterator[Hinted]:
        """Those with a larger number."""
        return (hint for hint in list(self._hints.values()) if hint.number > number)

    def _forget(self, number: int) -> None:
        hint = self._hints.pop(number)
        numbers = self._numbers[hint.key, hint.attempt]
        del numbers[hint.task_id]
        if not numbers:
            del self._numbers[hint.key, hint.attempt]
