"""`Progress`: the display for a batch or a scheduler of one's own, in whatever shows it.

    events -> counters -> snapshot -> terminal | notebook | plain lines

Events only count; a task of the block draws, a few times a second at most, so that a burst
of events costs nothing and an estimate goes on while nothing happens.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol, Self, TextIO, TypeAlias

import anyio
import anyio.abc

from .._errors import ConfigurationError
from .._events import Event
from .._options import to_credits
from .._text import visible, write_line
from ._content import one_line
from ._lines import LINE_SECONDS, Throttle
from ._notebook import NotebookDisplay, find_display
from ._snapshot import Snapshot
from ._tally import Tally

if TYPE_CHECKING:
    from .._scheduler import JobScheduler

__all__ = ["Progress", "Style", "choose_style"]

Style: TypeAlias = Literal["terminal", "notebook", "lines", "none"]
"""How a run is shown: `terminal` needs the extra `cli`, `notebook` needs IPython."""

_log = logging.getLogger("kinovi_async")

REDRAW_SECONDS: dict[Style, float] = {"terminal": 0.25, "notebook": 0.5, "lines": 1.0}
"""Between two pictures: smooth for the eye, nothing for the processor. Lines are throttled on top."""


class _Display(Protocol):
    def show(self, shot: Snapshot) -> None:
        """Shows the run as it stands; called often."""

    def finish(self, shot: Snapshot) -> None:
        """Shows the run as it ended."""

    def close(self) -> None:
        """Leaves everything as it was before. Idempotent."""


class Progress:
    """Shows what a batch or a scheduler is doing, on a terminal, in a notebook, or in lines.

    ```python
    async with Progress() as progress:
        outcomes = await client.run_batch(requests, on_event=progress)
    ```

    With a scheduler of one's own, `progress.follow(scheduler)` adds what only that knows: the
    learned limit, the whole ledger's credits, how long tasks took in earlier runs.

    One Progress shows one run: a batch, or a scheduler.

    What cannot be drawn is logged once and not tried again: a display never ends a run that
    is paid for. Everything goes to standard error, never into the way of results.

    Args:
        total: Jobs that will come, for a source of which not all are queued at once. None
            counts those that have come. Jobs that a ledger knows to have ended count as
            done; requests that our own check refuses never come as events.
        budget: Credits that may be spent, as told to the batch or the scheduler.
        style: None chooses: `notebook` in a notebook, `terminal` where standard error is
            one and rich is installed, else `lines`.
        stream: Where `lines` and `terminal` go; None: standard error.
        interval: Least seconds between two lines.

    Raises:
        ConfigurationError: an unknown style, or one whose package is not installed.
    """

    def __init__(
        self,
        *,
        total: int | None = None,
        budget: Decimal | float | None = None,
        style: Style | None = None,
        stream: TextIO | None = None,
        interval: float = LINE_SECONDS,
    ) -> None:
        self._tally = Tally(time.monotonic, total=total, budget=to_credits(budget))
        self._stream = stream
        self._style = choose_style(stream or sys.stderr) if style is None else style
        self._display = self._make_display(interval)
        self._group: anyio.abc.TaskGroup | None = None

    def __call__(self, event: Event) -> None:
        """Takes an event: this is what `on_event` is given."""
        self._tally.note(event)

    def follow(self, scheduler: JobScheduler) -> None:
        """Shows what a scheduler knows, too. Its `on_event` is to be this object."""
        self._tally.follow(scheduler)

    @property
    def total(self) -> int | None:
        """Jobs that will come, None to count those that have come; may be set at any time."""
        return self._tally.total

    @total.setter
    def total(self, total: int | None) -> None:
        self._tally.total = total

    async def __aenter__(self) -> Self:
        if self._group is not None:
            raise ConfigurationError("a Progress is entered only once; make a new one")
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._group.start_soon(self._draw_on)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        assert self._group is not None  # noqa: S101 - __aenter__ made it
        try:
            if error is not None and isinstance(error, anyio.get_cancelled_exc_class()):
                # The group must see it, or the cancelled scope would not end here.
                return await self._group.__aexit__(kind, error, traceback)  # noqa: ASYNC102
            self._group.cancel_scope.cancel()
            # What the block raises stays what it is: not wrapped in a group of one.
            await self._group.__aexit__(None, None, None)  # noqa: ASYNC102 - it only sleeps
            return None
        finally:
            self._draw(last=True)

    async def _draw_on(self) -> None:
        seconds = REDRAW_SECONDS.get(self._style)
        while seconds is not None and self._display is not None:
            self._draw()
            await anyio.sleep(seconds)

    def _draw(self, *, last: bool = False) -> None:
        display = self._display
        if display is None:
            return
        try:
            shot = self._tally.snapshot()
            if last:
                display.finish(shot)
            else:
                display.show(shot)
        except Exception:  # noqa: BLE001 - whatever it is, the run is worth more
            self._display = None
            _log.exception("the progress cannot be shown any more")
            with contextlib.suppress(Exception):
                display.close()

    def _make_display(self, interval: float) -> _Display | None:
        match self._style:
            case "none":
                return None
            case "lines":
                return _Lines(self._tally, self._stream, interval=interval)
            case "terminal":
                return _Terminal(self._tally, self._stream)
            case "notebook":
                display = find_display()
                if display is None:
                    raise ConfigurationError("style 'notebook' needs an IPython notebook")
                return NotebookDisplay(display)
            case _:
                raise ConfigurationError(f"unknown style {self._style!r}")


def choose_style(stream: TextIO) -> Style:
    """The style for this process and this stream."""
    if find_display() is not None:
        return "notebook"
    try:
        is_terminal = stream.isatty()
    except (AttributeError, ValueError):  # closed, or none at all (pythonw)
        return "lines"
    # A terminal that cannot move its cursor gets lines.
    if not is_terminal or os.environ.get("TERM", "").lower() in {"dumb", "unknown"}:
        return "lines"
    return "terminal" if _has_rich() else "lines"


def _has_rich() -> bool:
    from importlib.util import find_spec

    return find_spec("rich") is not None


class _Failures:
    """What has failed since it was asked for last: the last few, and how many they are."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._told = 0

    def new(self, shot: Snapshot) -> list[str]:
        count, self._told = self._tally.failed - self._told, self._tally.failed
        if not count:
            return []
        shown = shot.failures[-count:]
        more = count - len(shown)
        return [*([f"{more:,} more did not end well"] if more else []), *shown]


class _Lines:
    """Lines on a stream, now and then."""

    def __init__(self, tally: Tally, stream: TextIO | None, *, interval: float) -> None:
        self._throttle = Throttle(time.monotonic, interval)
        self._failures = _Failures(tally)
        self._stream = stream

    def show(self, shot: Snapshot) -> None:
        if self._throttle.is_due(shot):
            self._tell(shot)

    def finish(self, shot: Snapshot) -> None:
        self._tell(shot)

    def close(self) -> None:
        """Nothing to give back."""

    def _tell(self, shot: Snapshot) -> None:
        stream = self._stream or sys.stderr
        for text in (*self._failures.new(shot), one_line(shot)):
            write_line(visible(text), stream)


class _Terminal:
    """The live display; what is left of it at the end is what matters then."""

    def __init__(self, tally: Tally, stream: TextIO | None) -> None:
        try:
            from ._live import LiveDisplay, console_for
        except ImportError as error:
            message = "style 'terminal' needs rich: pip install 'kinovi-async[cli]'"
            raise ConfigurationError(message) from error
        self._live = LiveDisplay(console_for(stream))
        self._failures = _Failures(tally)
        self._started = False

    def show(self, shot: Snapshot) -> None:
        if not self._started:
            self._started = True
            self._live.start()
        self._live.show(shot)

    def finish(self, shot: Snapshot) -> None:
        self._live.stop()
        for text in (*self._failures.new(shot), one_line(shot)):
            self._live.print(text)

    def close(self) -> None:
        self._live.stop()
