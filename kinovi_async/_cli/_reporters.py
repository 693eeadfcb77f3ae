"""Who tells what a run does: a live display, plain lines, JSON events, or nobody.

Results for programs go to standard output, words for people to standard error, so that
neither is ever in the way of the other.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Mapping
from typing import IO, Protocol

from ._progress import Snapshot, one_line
from ._text import visible

PLAIN_INTERVAL = 10.0
"""Seconds between two plain lines of progress: enough for a log of hours."""


class Reporter(Protocol):
    """Shows a run."""

    def start(self) -> None:
        """The run begins."""

    def tell(self, text: str) -> None:
        """A line for people: a detection, a step, the way of things."""

    def warn(self, text: str) -> None:
        """A line that matters even to those who want no progress."""

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
        interval: float = PLAIN_INTERVAL,
        err: IO[str] | None = None,
        out: IO[str] | None = None,
    ) -> None:
        self._clock = clock
        self._quiet = quiet
        self._interval = interval
        self._err = err
        self._out = out
        self._next = clock() + interval
        self._last: tuple[int, int, int] | None = None

    def start(self) -> None:
        """Nothing to prepare."""

    def tell(self, text: str) -> None:
        """A line, unless nobody wants one."""
        if not self._quiet:
            write_line(visible(text), self._err or sys.stderr)

    def warn(self, text: str) -> None:
        """A line in any case."""
        write_line(visible(text), self._err or sys.stderr)

    def event(self, name: str, facts: Mapping[str, object]) -> None:
        """Not for people."""

    def show(self, shot: Snapshot) -> None:
        """A line of progress when it is time for one and something has changed."""
        now = self._clock()
        if now < self._next:
            return
        self._next = now + self._interval
        state = (shot.done, shot.running, shot.files)
        if state != self._last:
            self._last = state
            self.tell(one_line(shot))

    def summary(self, text: str) -> None:
        """The summary on standard output."""
        if not self._quiet:
            for line in text.splitlines():
                write_line(line, self._out or sys.stdout)

    def stop(self) -> None:
        """Nothing to give back."""


class JsonReporter(PlainReporter):
    """Events as JSON lines on standard output; everything human on standard error."""

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

    def __init__(self, *, clock: Callable[[], float]) -> None:
        super().__init__(clock=clock)
        from rich.console import Console

        from ._display import LiveDisplay

        self._display = LiveDisplay(Console(stderr=True, highlight=False))

    def start(self) -> None:
        """Takes the bottom of the terminal."""
        self._safely(self._display.start)

    def tell(self, text: str) -> None:
        """A line above the display."""
        self._safely(lambda: self._display.print(text))

    def warn(self, text: str) -> None:
        """A line above the display that stands out."""
        self._safely(lambda: self._display.print(text, style="red"))

    def show(self, shot: Snapshot) -> None:
        """Draws it."""
        self._safely(lambda: self._display.show(shot))

    def stop(self) -> None:
        """Gives the terminal back."""
        self._safely(self._display.stop)

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
    if sys.stderr.isatty() and live:
        return LiveReporter(clock=clock)
    return PlainReporter(clock=clock)


def write_line(text: str, stream: IO[str]) -> None:
    """Writes one line at once. A reader that has gone away does not end a paid run."""
    try:
        stream.write(text + "\n")
        stream.flush()
    except OSError:  # a closed pipe, a terminal that is gone (EIO), a full disk below a log
        return
    except ValueError:  # closed, at the very end of the process
        return
