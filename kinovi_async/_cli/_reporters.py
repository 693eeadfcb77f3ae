"""Who tells what a run does: a live display, plain lines, JSON events, or nobody.

Results for programs go to standard output, words for people to standard error, so that
neither is ever in the way of the other.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol, TextIO

from .._text import counted, visible, write_line

if TYPE_CHECKING:
    from ..progress._lines import Throttle
    from ..progress._snapshot import Snapshot

__all__ = [
    "JsonReporter",
    "LiveReporter",
    "PlainReporter",
    "Reporter",
    "choose_reporter",
    "write_line",
]

JSON_INTERVAL = 1.0
"""Least seconds between two `progress` events: programs read faster than people."""
MOST_FAILURES = 10
"""Failures that stay on the terminal when the live display goes; the results have them all."""
HINTS = ("Ctrl-C stops", "the same command goes on")


class Reporter(Protocol):
    """Shows a run."""

    def start(self) -> None:
        """The run begins."""

    def tell(self, text: str) -> None:
        """A line for people: a detection, a step, the way of things."""

    def warn(self, text: str) -> None:
        """A line that matters even to those who want no progress."""

    def failed(self, text: str, *, matters: bool = False) -> None:
        """A job or a file did not end well; `matters` as a warning does."""

    def event(self, name: str, facts: Mapping[str, object]) -> None:
        """A fact for programs."""

    def show(self, shot: Snapshot) -> None:
        """The run as it stands; called often."""

    def summary(self, text: str) -> None:
        """What came of it, several lines."""

    def stop(self) -> None:
        """Nothing more is shown live. Idempotent."""


class PlainReporter:
    """Lines on standard error: now and then one of progress, and each failure."""

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        quiet: bool = False,
        interval: float | None = None,
        err: TextIO | None = None,
        out: TextIO | None = None,
    ) -> None:
        self._clock = clock
        self._quiet = quiet
        self._interval = interval
        self._err = err
        self._out = out
        self._throttle: Throttle | None = None

    def start(self) -> None:
        """Nothing to prepare."""

    def tell(self, text: str) -> None:
        """A line, unless nobody wants one."""
        if not self._quiet:
            write_line(visible(text), self._err or sys.stderr)

    def warn(self, text: str) -> None:
        """A line in any case."""
        write_line(visible(text), self._err or sys.stderr)

    def failed(self, text: str, *, matters: bool = False) -> None:
        """A line."""
        if matters:
            self.warn(text)
        else:
            self.tell(text)

    def event(self, name: str, facts: Mapping[str, object]) -> None:
        """Not for people."""

    def show(self, shot: Snapshot) -> None:
        """A line of progress when it is time for one and enough has changed."""
        from ..progress._content import one_line

        if self._throttle is None:
            self._throttle = self._make_throttle(self._interval)
        if self._throttle.is_due(shot):
            self.tell(one_line(shot))

    def _make_throttle(self, interval: float | None) -> Throttle:
        from ..progress._lines import LINE_SECONDS, Throttle

        return Throttle(self._clock, LINE_SECONDS if interval is None else interval)

    def summary(self, text: str) -> None:
        """The summary on standard output."""
        if not self._quiet:
            for line in text.splitlines():
                write_line(line, self._out or sys.stdout)

    def stop(self) -> None:
        """Nothing to give back."""


class JsonReporter(PlainReporter):
    """Events as JSON lines on standard output; everything human on standard error."""

    _events: Throttle | None = None

    def show(self, shot: Snapshot) -> None:
        """An event `progress` now and then, and more rarely a line for people."""
        from ..progress._snapshot import snapshot_facts

        if self._events is None:
            self._events = self._make_throttle(JSON_INTERVAL)
        if self._events.is_due(shot):
            self.event("progress", snapshot_facts(shot))
        super().show(shot)

    def event(self, name: str, facts: Mapping[str, object]) -> None:
        """One object: the event's name first."""
        text = json.dumps({"event": name, **facts}, ensure_ascii=True, default=str)
        write_line(text, self._out or sys.stdout)

    def summary(self, text: str) -> None:
        """For people, and so on standard error."""
        for line in text.splitlines():
            self.tell(line)


class LiveReporter(PlainReporter):
    """A live display on the terminal of standard error."""

    def __init__(self, *, clock: Callable[[], float], err: TextIO | None = None) -> None:
        super().__init__(clock=clock)
        from ..progress._live import LiveDisplay, console_for

        self._display = LiveDisplay(console_for(err), hints=HINTS)
        self._failures: deque[str] = deque(maxlen=MOST_FAILURES)
        self._failed = 0

    def start(self) -> None:
        """Takes the bottom of the terminal."""
        self._safely(self._display.start)

    def tell(self, text: str) -> None:
        """A line above the display."""
        self._safely(lambda: self._display.print(text))

    def warn(self, text: str) -> None:
        """A line above the display that stands out."""
        self._safely(lambda: self._display.print(text, style="red"))

    def failed(self, text: str, *, matters: bool = False) -> None:  # noqa: ARG002 - shown anyway
        """Stands in the display while that is there; the last ones stay when it goes."""
        self._failures.append(text)
        self._failed += 1

    def show(self, shot: Snapshot) -> None:
        """Draws it."""
        self._safely(lambda: self._display.show(shot))

    def stop(self) -> None:
        """Gives the terminal back, and leaves the last failures on it."""
        self._safely(self._display.stop)
        failures, count = tuple(self._failures), self._failed
        self._failures.clear()
        self._failed = 0
        if count > len(failures):
            self.tell(f"{counted(count, 'failure')}, the last {len(failures)}:")
        for text in failures:
            self.warn(text)

    def _safely(self, draw: Callable[[], None]) -> None:
        # A terminal that is gone (EIO) must not end a run that is paid for.
        with contextlib.suppress(OSError):
            draw()


def choose_reporter(
    *, as_json: bool, quiet: bool, clock: Callable[[], float], live: bool = True
) -> Reporter:
    """The reporter for these options and this terminal.

    Without `live`, a terminal gets plain lines too: a log goes to it at the same time.
    """
    if as_json:
        return JsonReporter(clock=clock, quiet=quiet)
    if quiet:
        return PlainReporter(clock=clock, quiet=True)
    # A terminal that cannot move its cursor gets lines.
    dumb = os.environ.get("TERM", "").lower() in {"dumb", "unknown"}
    if live and sys.stderr.isatty() and not dumb:
        return LiveReporter(clock=clock)
    return PlainReporter(clock=clock)
