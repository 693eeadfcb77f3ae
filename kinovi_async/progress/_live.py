"""The live display of a terminal: a few lines at the bottom, redrawn a few times a second.

It fits any width and height and every encoding, leaves what is printed meanwhile above
it, mends itself when the terminal is resized, and never hides the cursor: whatever ends
the process leaves a terminal that needs no mending.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType
from rich.text import Text

from .._text import visible
from ._content import Bar, Line, Part, Tone, content, fitted, parts_that_fit
from ._snapshot import Snapshot

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["Frame", "LiveDisplay", "console_for", "fit_encoding"]

_STYLES = {
    Tone.PLAIN: "",
    Tone.STRONG: "bold",
    Tone.GOOD: "green",
    Tone.BUSY: "cyan",
    Tone.WARNING: "yellow",
    Tone.BAD: "red",
    Tone.FAINT: "dim",
}
LABEL = 9
"""Columns of the labels, a space included."""
NARROW = 30
"""Columns below which there is no room for labels."""
WIDEST = 60
"""Columns of the widest bar."""
SMALL_BAR = 10
_LEAST_BAR = 8
_SPARE_ROWS = 1
"""The line of a terminal's own cursor, or of a `^C` that wraps."""


def fit_encoding(text: str, encoding: str) -> str:
    """The text with an escape for each character that the encoding lacks."""
    if text.isascii():
        return text
    return text.encode(encoding, "backslashreplace").decode(encoding)


class Frame:
    """One picture of a run, for any width and height."""

    def __init__(self, shot: Snapshot, *, hints: Sequence[str] = ()) -> None:
        self._lines = content(shot, hints=hints)

    def lines(self, *, width: int, height: int, encoding: str) -> list[Text]:
        """Its lines, for a terminal of so many columns and rows."""
        # A line that fills the last column makes some terminals wrap.
        drawn = _Drawn(max(1, width - 1), encoding)
        return [drawn.line(line) for line in fitted(self._lines, height - _SPARE_ROWS)]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        height = options.height or console.size.height
        yield from self.lines(width=options.max_width, height=height, encoding=options.encoding)


class _Drawn:
    """Draws lines for one width and encoding."""

    def __init__(self, width: int, encoding: str) -> None:
        self._width = width
        self._encoding = encoding
        self._ascii = not encoding.lower().startswith("utf")

    def line(self, line: Line) -> Text:
        """The line, no wider than there is room."""
        text = Text(no_wrap=True, overflow="crop", end="\n")
        labelled = self._width >= NARROW
        if labelled and not (line.bar is not None and line.bar.wide):
            text.append(line.label.ljust(LABEL), style="dim")
        room = self._width - cell_len(text.plain)
        if line.bar is not None:
            parts = list(parts_that_fit(line.parts, room))
            self._bar(text, line.bar, room - _width_of(parts) - 2)
        room = self._width - cell_len(text.plain)
        for place, part in enumerate(parts_that_fit(line.parts, room)):
            if place:
                text.append(", ")
            text.append(self._fit(part.text), style=_STYLES[part.tone])
        return self._cut(text)

    def _bar(self, text: Text, bar: Bar, room: int) -> None:
        width = min(room, WIDEST if bar.wide else SMALL_BAR)
        if width < _LEAST_BAR:
            return
        full, empty = ("#", "-") if self._ascii else ("━", "─")
        signs = {Tone.BUSY: "=" if self._ascii and bar.wide else full}
        begun, drawn = 0.0, 0
        for share, tone in bar.shares:
            begun += share
            upto = min(width, round(begun * width))
            text.append(signs.get(tone, full) * (upto - drawn), style=_STYLES[tone])
            drawn = max(drawn, upto)
        text.append(empty * (width - drawn), style="dim")
        text.append("  ")

    def _fit(self, text: str) -> str:
        # Cut first: a text of megabytes must not be encoded as a whole.
        return fit_encoding(text[: self._width + 1], self._encoding)

    def _cut(self, text: Text) -> Text:
        if cell_len(text.plain) > self._width:
            dots = ("..." if self._ascii else "…")[: self._width]
            text.truncate(max(0, self._width - len(dots)), overflow="crop")
            text.append(dots)
        return text


def _width_of(parts: list[Part]) -> int:
    return sum(cell_len(part.text) for part in parts) + 2 * max(0, len(parts) - 1)


def console_for(stream: TextIO | None = None) -> Console:
    """A console on a stream, standard error if none is given, that is nothing but a terminal."""
    return Console(
        file=stream,
        stderr=stream is None,
        highlight=False,
        markup=False,
        emoji=False,
        force_jupyter=False,
    )


class LiveDisplay:
    """Draws frames on a terminal; what is printed meanwhile goes above them."""

    def __init__(self, console: Console, *, hints: Sequence[str] = ()) -> None:
        self._console = console
        self._hints = hints
        self._live = Live(
            console=console,
            # Drawn by the run's own loop: a thread of its own could draw half a snapshot.
            auto_refresh=False,
            transient=True,
            # What goes into a file or a pipe must get there.
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=sys.stderr.isatty(),
        )
        self._widths: list[int] = []
        self._width = 0

    def start(self) -> None:
        """Takes the bottom of the terminal."""
        self._live.start()
        self._console.show_cursor(show=True)

    def show(self, shot: Snapshot) -> None:
        """Draws a snapshot."""
        self._mend()
        size = self._console.size
        lines = Frame(shot, hints=self._hints).lines(
            width=size.width, height=size.height, encoding=self._console.encoding
        )
        self._widths = [cell_len(line.plain) for line in lines]
        self._live.update(Group(*lines), refresh=True)

    def print(self, text: str, style: str = "") -> None:
        """Prints a line above the display, as data: no markup in it is obeyed."""
        self._mend()
        shown = fit_encoding(visible(text), self._console.encoding)
        self._console.print(Text(shown, style=style), soft_wrap=True)

    def stop(self) -> None:
        """Gives the terminal back. Idempotent."""
        self._mend()
        self._live.stop()

    def _mend(self) -> None:
        """Takes away the rows by which a narrower terminal has wrapped the last frame.

        A terminal that cuts lines instead of wrapping them (xterm) loses as many rows of
        what stands above the display.
        """
        before, self._width = self._width, self._console.size.width
        if not 0 < self._width < before or not self._live.is_started:
            return
        more = sum(max(0, -(-cells // self._width) - 1) for cells in self._widths)
        self._widths = []
        up = ((ControlType.ERASE_IN_LINE, 2), (ControlType.CURSOR_UP, 1))
        self._console.control(Control(*(up * more)))
