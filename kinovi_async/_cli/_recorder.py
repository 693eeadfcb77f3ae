"""What is written as jobs end: files, the ledger's note of them, a line of results.

Two steps, so that a slow video never delays the news of a failure: one task takes ended
jobs in order and writes the lines that need no file; a few others fetch files and write
the lines of those jobs.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from .._crash_points import point
from .._errors import KinoviError
from .._outcomes import OutcomeStatus
from ._books import result
from ._fetch import AT_ONCE, Fetched
from ._full_disk import DISK_FULL
from ._results import is_result
from ._text import shortened

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream

    from .._ledger import JobRow, Ledger
    from ..progress._tally import Tally
    from ._fetch import Fetcher
    from ._full_disk import FullDisk
    from ._lines import InputLine
    from ._reporters import Reporter
    from ._results import ResultsFile


class Recorder:
    """Takes keys of ended jobs; `running()` does the work until all of them are dealt with."""

    def __init__(
        self,
        ledger: Ledger,
        results: ResultsFile,
        *,
        lines: Mapping[str, InputLine],
        fetcher: Fetcher | None,
        tally: Tally,
        reporter: Reporter,
        on_error: Callable[[Exception], None],
        full_disk: FullDisk | None = None,
    ) -> None:
        self._ledger = ledger
        self._results = results
        self._lines = lines
        self._fetcher = fetcher
        self._tally = tally
        self._reporter = reporter
        self._on_error = on_error
        self._full_disk = full_disk
        self._told: set[str] = set()
        # Without a bound: keys are small, and the scheduler must not wait for a disk.
        self._send, self._ended = anyio.create_memory_object_stream[str](math.inf)

    def take(self, key: str) -> None:
        """A job ended, or has files to fetch. After the end, the final rewrite tells of it."""
        with contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            self._send.send_nowait(key)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Works beside the body, and after it until everything is done.

        Cancellation: unfinished files are removed, or kept to be resumed; the ledger knows
        what is missing.
        """
        send_rows, rows = anyio.create_memory_object_stream["JobRow"](math.inf)
        with self._send, self._ended, send_rows, rows:
            async with anyio.create_task_group() as group:
                for _ in range(AT_ONCE if self._fetcher is not None else 0):
                    group.start_soon(self._guard, self._fetch_all, rows.clone())

                async def sort_out() -> None:
                    with send_rows:
                        async for key in self._ended:
                            row = await self._ledger.get(key)
                            if row is not None and self._needs_files(row):
                                self._tally.to_fetch += 1
                                send_rows.send_nowait(row)
                            elif row is not None:
                                self._write(row)

                group.start_soon(self._guard, sort_out)
                yield
                self._send.close()

    async def _guard(self, work: Callable[..., object], *args: object) -> None:
        try:
            await work(*args)  # type: ignore[misc] # an async function
        except (KinoviError, OSError) as error:
            self._on_error(error)

    def _needs_files(self, row: JobRow) -> bool:
        return self._fetcher is not None and row.status is OutcomeStatus.SUCCEEDED

    async def _fetch_all(self, rows: MemoryObjectReceiveStream[JobRow]) -> None:
        assert self._fetcher is not None  # noqa: S101 - no fetcher, no workers
        with rows:
            async for row in rows:
                point("files: before")
                fetched = await self._fetch(row)
                point("files: fetched")
                await self._ledger.set_files(row.key, fetched.files, download_error=fetched.error)
                point("files: in the ledger")
                self._tally.to_fetch -= 1
                self._tally.files += len(fetched.files)
                if fetched.error is not None:
                    failure = f"{shortened(row.key, 40)}: file not fetched: {fetched.error}"
                    self._tally.note_failure(failure)
                    self._reporter.failed(failure, matters=True)
                after = await self._ledger.get(row.key)
                if after is not None:
                    self._write(after)

    async def _fetch(self, row: JobRow) -> Fetched:
        fetcher, line, disk = self._fetcher, self._lines.get(row.key), self._full_disk
        assert fetcher is not None  # noqa: S101 - as above
        if disk is not None and disk.given_up:
            return Fetched(row.files, DISK_FULL, disk_full=True)
        fetched = await fetcher.fetch(row, line)
        if disk is None or not fetched.disk_full:
            return fetched
        disk.begin()
        # Whoever looks into the ledger meanwhile, or after a kill, finds the reason.
        await self._ledger.set_files(row.key, fetched.files, download_error=fetched.error)
        return await disk.retried(fetched, lambda: fetcher.fetch(row, line))

    def _tell_once(self, trouble: str) -> None:
        if trouble not in self._told:
            self._told.add(trouble)
            self._reporter.warn(trouble)

    def _write(self, row: JobRow) -> None:
        if not is_result(row):
            # It was ambiguous, and somebody has resolved it since: it ends another time.
            return
        line = result(row, self._lines.get(row.key))
        try:
            self._results.append(line)
        except OSError as error:
            # Only a view, and written anew at the end: no reason to stop.
            self._tell_once(f"cannot write {self._results.path.name}: {error.strerror}")
        self._reporter.event("result", json.loads(line.to_json()))
