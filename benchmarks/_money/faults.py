"""The faults of the table: what the server does to a wish, and which prompt asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Column:
    """One fault of the table."""

    name: str
    title: str
    answer: str
    """The simulator's name for it; empty for none."""
    polls: bool = False
    """It strikes no submission: four polls in a row, if anything."""


POLLS_IN_A_ROW: Final = 4
CONTROL: Final = Column(name="none", title="no fault", answer="", polls=True)
"""What every client must manage, or its desk speaks its language badly."""
COLUMNS: Final = (
    Column(name="timeout", title="no answer", answer="slow"),
    Column(name="reset", title="reset", answer="reset"),
    Column(name="500", title="500", answer="error-500-accepted"),
    Column(name="502", title="502 page", answer="html-502-accepted"),
    Column(name="truncated", title="cut-off 200", answer="truncated"),
    Column(name="polls-503", title="4 polls: 503", answer="poll-error", polls=True),
    Column(name="polls-drop", title="4 polls: dropped", answer="poll-drop", polls=True),
)
SPELLS: Final = ("always", "once")
"""How long a fault of the submission lasts: for every try of the wish, or for its first."""


def prompts(client: str, column: Column, spell: str, count: int) -> list[str]:
    """The wishes of one cell: prompts that tell the server what to do to them."""
    return [f"a cat for {client}, {column.name}, {spell}, {number}." for number in range(count)]
