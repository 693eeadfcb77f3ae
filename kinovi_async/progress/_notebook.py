"""The display in a notebook: one output cell that is updated in place, by IPython alone.

No widget and no script: the page stays readable when the notebook is opened again, and
what the server or a prompt says in it is escaped.
"""

from __future__ import annotations

import sys
from html import escape
from importlib import import_module
from typing import Protocol, cast

from ._content import Bar, Line, Tone, content, one_line
from ._snapshot import Snapshot

__all__ = ["NotebookDisplay", "find_display", "snapshot_html"]

_COLOURS = {
    Tone.GOOD: "#2e9e4f",
    Tone.BUSY: "#1f8fb3",
    Tone.WARNING: "#b07a00",
    Tone.BAD: "#d0342c",
}
_STYLES = {
    Tone.STRONG: "font-weight:600",
    Tone.FAINT: "opacity:.65",
}
_FRAME = "font:13px/1.6 system-ui,sans-serif;max-width:720px"
_TABLE = "border-collapse:collapse;color:inherit;font:inherit"
_LABEL = "opacity:.65;padding-right:14px;vertical-align:top;white-space:nowrap;text-align:left"
_CELL = "text-align:left;overflow-wrap:anywhere"
_TRACK = (
    "display:inline-flex;width:{width};height:8px;border-radius:4px;overflow:hidden;"
    "background:rgba(128,128,128,.25);margin-right:10px;vertical-align:middle"
)
LONGEST_TEXT = 400
"""Characters of one part, a failure say."""


class _Handle(Protocol):
    def update(self, obj: object) -> None:
        """Puts another object in the place of what is displayed."""


class _Display(Protocol):
    def __call__(self, obj: object, *, display_id: bool) -> _Handle | None:
        """Displays an object; the handle can replace it."""


def find_display() -> _Display | None:
    """IPython's `display` when this runs in a notebook, else None.

    A notebook is an IPython that was loaded already and talks to a kernel's front end; the
    one of a terminal shows text only.
    """
    shell_of = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = shell_of() if callable(shell_of) else None
    if getattr(shell, "kernel", None) is None:
        return None
    try:
        return cast("_Display", import_module("IPython.display").display)
    except (ImportError, AttributeError):
        return None


class _Shown:
    """A snapshot as IPython displays it: HTML, or one line where there is only text."""

    def __init__(self, shot: Snapshot) -> None:
        self._shot = shot

    def _repr_html_(self) -> str:
        return snapshot_html(self._shot)

    def __repr__(self) -> str:
        return one_line(self._shot)


class NotebookDisplay:
    """Shows snapshots in one output of a notebook."""

    def __init__(self, display: _Display) -> None:
        self._display = display
        self._handle: _Handle | None = None
        self._last = ""

    def show(self, shot: Snapshot) -> None:
        """Displays it, in the place of the last one."""
        before, self._last = self._last, snapshot_html(shot)
        if self._last == before:
            return
        if self._handle is None:
            self._handle = self._display(_Shown(shot), display_id=True)
        else:
            self._handle.update(_Shown(shot))

    def finish(self, shot: Snapshot) -> None:
        """The last picture stays."""
        self.show(shot)

    def close(self) -> None:
        """Nothing to give back."""


def snapshot_html(shot: Snapshot) -> str:
    """The display as HTML, with everything in it escaped."""
    rows = "".join(map(_row, content(shot)))
    return f'<div style="{_FRAME}"><table style="{_TABLE}">{rows}</table></div>'


def _row(line: Line) -> str:
    bar = "" if line.bar is None else _bar(line.bar)
    parts = ", ".join(_part(part.text, part.tone) for part in line.parts)
    if line.bar is not None and line.bar.wide:
        return f'<tr><td colspan="2" style="{_CELL}">{bar}{parts}</td></tr>'
    label = escape(line.label)
    return f'<tr><td style="{_LABEL}">{label}</td><td style="{_CELL}">{bar}{parts}</td></tr>'


def _bar(bar: Bar) -> str:
    pieces = "".join(
        f'<span style="width:{share:.2%};background:{_COLOURS[tone]}"></span>'
        for share, tone in bar.shares
    )
    track = _TRACK.format(width="320px;max-width:50%" if bar.wide else "80px")
    return f'<span style="{track}">{pieces}</span>'


def _part(text: str, tone: Tone) -> str:
    shown = text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
    shown = escape(shown.encode("utf-8", "replace").decode())
    if tone in _COLOURS:
        # No colour of a text can be read on the grounds of light and dark notebooks alike.
        return f'<span style="color:{_COLOURS[tone]}" aria-hidden="true">●</span> {shown}'
    style = _STYLES.get(tone)
    return shown if style is None else f'<span style="{style}">{shown}</span>'
