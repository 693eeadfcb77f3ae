"""When and how `report.html` is written: whole or not at all, and seldom enough.

A run writes it as jobs end, so that it can be opened in the middle. Making it costs more
with every job, so the pauses between two of them grow with what the last one cost: it
takes a twentieth of a processor at most.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from ..._errors import ConfigurationError, KinoviError
from .._books import all_rows
from .._results import RESULTS_NAME
from ._page import check_extra, page
from ._view import report

if TYPE_CHECKING:
    from ..._ledger import JobRow, Ledger

REPORT_NAME = "report.html"
LEAST_PAUSE = 5.0
"""Seconds between two writings: whoever looks on reloads no faster than that."""
PAUSE_SHARE = 20
"""A pause lasts so many times what the last writing took."""

Tags = Mapping[str, Mapping[str, object]]


def write_report(
    out: Path,
    rows: list[JobRow],
    *,
    live: bool,
    simulated: bool,
    tags: Tags | None = None,
    at: datetime | None = None,
) -> Path:
    """Writes the report on an output directory: the old one or the new one is there.

    Args:
        out: The directory.
        rows: All its jobs.
        live: A run works in it.
        simulated: Its account is the simulator's.
        tags: By id, where they are known better than by the ledger.
        at: Now, in the timezone to tell times in; None asks the clock.

    Raises:
        ConfigurationError: jinja2 is not installed.
        OSError: it cannot be written.
    """
    check_extra()
    made = report(
        rows,
        name=out.resolve().name,
        at=at or datetime.now().astimezone(),
        exists=lambda file: (out / file).is_file(),
        live=live,
        simulated=simulated,
        tags=tags,
    )
    path = out / REPORT_NAME
    _replace(path, page(made))
    return path


def pause_after(took: float) -> float:
    """Seconds until the next writing, after one that took so many."""
    return max(LEAST_PAUSE, PAUSE_SHARE * took)


def _replace(path: Path, text: str) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    unfinished.unlink(missing_ok=True)
    try:
        # Made by us and no other, so that nothing is written through a link; and half a
        # character must not keep a page from being written.
        with unfinished.open(
            "x", encoding="utf-8", errors="backslashreplace", newline=""
        ) as stream:
            stream.write(text)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


class RunReport:
    """The report of a run that works: `keep` it while the run lasts, then `finish`.

    Nothing that goes wrong here ends a run that is paid for: it is told, once.
    """

    def __init__(
        self,
        out: Path,
        *,
        tags: Tags,
        simulated: bool,
        tell: Callable[[str], None],
        warn: Callable[[str], None],
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._out = out
        self._sleep = sleep
        self._tags = tags
        self._simulated = simulated
        self._warn = warn
        self._last: object = None
        self._wanted = True
        try:
            check_extra()
        except ConfigurationError as error:
            self._wanted = False
            tell(f"no {REPORT_NAME}: {error.message}")

    async def keep(self, ledger: Ledger) -> None:
        """Writes it now and whenever jobs have ended, until it is cancelled.

        Cancellation: a writing that has begun is finished first.
        """
        while self._wanted:
            began = time.monotonic()
            state = self._state()
            if state != self._last:
                self._last = state
                try:
                    await self._write(list((await all_rows(ledger)).values()), live=True)
                except KinoviError:
                    return  # the run meets it too, and says so
            await self._sleep(pause_after(time.monotonic() - began))

    async def finish(self, rows: list[JobRow]) -> Path | None:
        """Writes it for the last time; answers its path, None when there is none."""
        if self._wanted:
            await self._write(rows, live=False)
        return self._out / REPORT_NAME if self._wanted else None

    async def _write(self, rows: list[JobRow], *, live: bool) -> None:
        def work() -> None:
            write_report(self._out, rows, live=live, simulated=self._simulated, tags=self._tags)

        try:
            await anyio.to_thread.run_sync(work)
        except Exception as error:  # noqa: BLE001 - a page is not worth a paid run
            self._wanted = False
            reason = (isinstance(error, OSError) and error.strerror) or repr(error)
            self._warn(f"cannot write {REPORT_NAME}: {reason}")

    def _state(self) -> object:
        # Each ended job adds a line there, and a start rewrites it.
        try:
            found = (self._out / RESULTS_NAME).stat()
        except OSError:
            return None
        return found.st_size, found.st_mtime_ns
