"""Snapshots made up, and a screen that does what a terminal does."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal

from kinovi_async._outcomes import OutcomeStatus
from kinovi_async.progress import Remaining, Snapshot

EVIL = "\x1b]8;;http://evil\x07link\x1b[2J\r\u202egnp.exe\u2066 [red]markup[/red]"

SHOT = Snapshot(
    total=24,
    ended={OutcomeStatus.SUCCEEDED: 10, OutcomeStatus.FAILED: 2},
    waiting=7,
    submitting=1,
    running=5,
    limit=8,
    slot_use=0.97,
    spent=Decimal("1440.5"),
    reserved=Decimal(40),
    budget=Decimal(3000),
    elapsed=60.0,
    per_minute=12.0,
    remaining=Remaining(115.0, 245.0),
    files=9,
    fetched_bytes=31_200_000,
    fetching_files=3,
    to_fetch=2,
    failures=("cat: failed: no",),
)


def shot(**changes: object) -> Snapshot:
    """`SHOT` with other values."""
    return replace(SHOT, **changes)  # type: ignore[arg-type]


_PIECE = re.compile(
    r"\x1b\[(?P<private>\??)(?P<number>\d*)[;\d]*(?P<letter>[A-Za-z])|(?P<text>.)", re.DOTALL
)


class Screen:
    """The rows of a terminal that wraps its lines again when it is resized.

    As many rows as are needed, so nothing scrolls away; it knows what rich's live display
    sends: carriage return, line feed, up, erase a line, colours, show and hide the cursor.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self.cursor_shown = True
        self._rows: list[tuple[str, bool]] = [("", False)]
        """Each with whether it goes on in the next."""
        self._at = 0
        self._column = 0

    @property
    def lines(self) -> list[str]:
        """What is to be seen, without empty rows at the end."""
        return "\n".join(text.rstrip() for text, _ in self._rows).rstrip("\n").split("\n")

    def take(self, data: str) -> None:
        """What a program wrote."""
        for piece in _PIECE.finditer(data):
            if piece["text"] is not None:
                self._character(piece["text"])
            elif piece["letter"] == "A":
                self._at = max(0, self._at - int(piece["number"] or 1))
            elif piece["letter"] == "K":
                self._rows[self._at] = ("", False)
            elif piece["private"] and piece["number"] == "25":
                self.cursor_shown = piece["letter"] == "h"

    def _character(self, character: str) -> None:
        if character == "\r":
            self._column = 0
        elif character == "\n":
            self._next_row()
            self._column = 0
        else:
            if self._column >= self.width:
                self._rows[self._at] = (self._rows[self._at][0], True)
                self._next_row()
                self._column = 0
            text, goes_on = self._rows[self._at]
            text = text.ljust(self._column)
            self._rows[self._at] = (
                text[: self._column] + character + text[self._column + 1 :],
                goes_on,
            )
            self._column += 1

    def _next_row(self) -> None:
        self._at += 1
        if self._at == len(self._rows):
            self._rows.append(("", False))

    def resize(self, width: int) -> None:
        """Another width: whole lines are wrapped again, and the cursor stays in its text."""
        rows: list[tuple[str, bool]] = []
        whole, cursor, was_at = "", None, self._at
        for place, (text, goes_on) in enumerate(self._rows):
            if place == was_at:
                cursor = len(whole) + self._column
            whole += text
            if goes_on:
                continue
            pieces = [whole[start : start + width] for start in range(0, len(whole), width)] or [""]
            if cursor is not None:
                row = min(cursor // width, len(pieces) - 1)
                self._at, self._column = len(rows) + row, cursor - row * width
                cursor = None
            rows += [(piece, at < len(pieces)) for at, piece in enumerate(pieces, start=1)]
            whole = ""
        self._rows, self.width = rows, width
