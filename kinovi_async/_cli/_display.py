"""The live display: a few lines on a terminal, redrawn four times a second.

It shows counts, not jobs, so ten thousand jobs take as much room and time as ten, and
it is cut to the width of the terminal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from .._outcomes import OutcomeStatus
from ._progress import SHOWN_STATUSES, Snapshot, money_text, running_text
from ._text import counted, duration, number, visible

if TYPE_CHECKING:
    from rich.console import RenderableType

_STYLES = {
    OutcomeStatus.FAILED: "red",
    OutcomeStatus.REJECTED: "red",
    OutcomeStatus.AMBIGUOUS: "bold yellow",
    OutcomeStatus.EXPIRED: "yellow",
}
_NARROWEST_BAR = 10
_WIDEST_BAR = 40


class Frame:
    """One picture of a run, for any width."""

    def __init__(self, shot: Snapshot) -> None:
        self._shot = shot

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self._lines(options.max_width)

    def _lines(self, width: int) -> list[RenderableType]:
        lines: list[RenderableType] = [self._bar(width), self._jobs(), self._money(), self._time()]
        lines += [Text(f"  {visible(failure)}", style="red") for failure in self._shot.failures]
        for line in lines:
            if isinstance(line, Text):
                line.no_wrap = True
                line.overflow = "ellipsis"
        return lines

    def _bar(self, width: int) -> RenderableType:
        shot = self._shot
        text = Text(f"{shot.done:,} of {shot.total:,} jobs done", style="bold")
        room = min(_WIDEST_BAR, width - len(text.plain) - 2)
        if room < _NARROWEST_BAR:
            return text
        bar = ProgressBar(total=max(1, shot.total), completed=shot.done, width=room)
        return _Row(bar, Text("  ").append(text))

    def _jobs(self) -> Text:
        shot = self._shot
        text = Text(f"{running_text(shot)}, {shot.queued:,} waiting")
        succeeded = shot.ended.get(OutcomeStatus.SUCCEEDED, 0)
        text.append(f", {succeeded:,} succeeded", style="green" if succeeded else "")
        for status in SHOWN_STATUSES:
            count = shot.ended.get(status, 0)
            if count:
                text.append(f", {count:,} {status}", style=_STYLES[status])
        return text

    def _money(self) -> Text:
        shot = self._shot
        text = Text(f"{money_text(shot)} spent")
        if shot.reserved:
            text.append(f", {number(shot.reserved)} more reserved")
        text.append(f", {counted(shot.files, 'file')} saved")
        if shot.fetching:
            text.append(f", {counted(shot.fetching, 'job')} to fetch")
        return text

    def _time(self) -> Text:
        shot = self._shot
        text = Text(duration(shot.elapsed), style="dim")
        rate = shot.per_minute
        if rate is not None:
            text.append(f", {rate:,.1f} jobs a minute")
        left = shot.seconds_left
        if left is not None:
            text.append(f", about {duration(left)} left")
        text.append(", Ctrl-C stops; the same command goes on")
        return text


class _Row:
    """A bar and the text after it, on one line."""

    def __init__(self, bar: ProgressBar, text: Text) -> None:
        self._bar = bar
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from console.render(self._bar, options)
        yield self._text


class LiveDisplay:
    """Draws frames on a terminal; what is printed meanwhile goes above them."""

    def __init__(self, console: Console) -> None:
        self._console = console
        # Drawn by the run's own loop: a thread of its own could draw half a snapshot.
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def start(self) -> None:
        """Takes the bottom of the terminal."""
        self._live.start()

    def show(self, shot: Snapshot) -> None:
        """Draws a snapshot."""
        self._live.update(Group(Frame(shot)), refresh=True)

    def print(self, text: str, style: str = "") -> None:
        """Prints a line above the display, as data: no markup in it is obeyed."""
        self._console.print(Text(visible(text), style=style), soft_wrap=True)

    def stop(self) -> None:
        """Gives the terminal back. Idempotent."""
        self._live.stop()
