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

from .._errors import KinoviError
from .._outcomes import OutcomeStatus
from ._books import result
from ._fetch import AT_ONCE
from ._text import shortened

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream

    from .._ledger import JobRow, Ledger
    from ._fetch import Fetcher
    from ._lines import InputLine
    from ._progress import Progress
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
        progress: Progress,
        reporter: Reporter,
        on_error: Callable[[Exception], None],
    ) -> None:
        self._ledger = ledger
        self._results = results
        self._lines = lines
        self._fetcher = fetcher
        self._progress = progress
        self._reporter = reporter
        self._on_error = on_error
        # Without a bound: keys are small, and the scheduler must not wait for a disk.
        self._send, self._ended = anyio.create_memory_object_stream[str](math.inf)

    def take(self, key: str) -> None:
        """A job ended, or has files to fetch. After the end, the final rewrite tells of it."""
        with contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            self._send.send_nowait(key)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Works beside the body, and after it until everything is done.

        Cancellation: unfinished files are removed; the ledger knows what is missing.
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
                                self._progress.fetching += 1
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
                fetched = await self._fetcher.fetch(row, self._lines.get(row.key))
                await self._ledger.set_files(row.key, fetched.files, download_error=fetched.error)
                self._progress.fetching -= 1
                self._progress.files += len(fetched.files)
                if fetched.error is not None:
                    failure = f"{shortened(row.key, 40)}: file not fetched: {fetched.error}"
                    self._progress.failed(failure)
                    self._reporter.warn(failure)
                after = await self._ledger.get(row.key)
                if after is not None:
                    self._write(after)

    def _write(self, row: JobRow) -> None:
        line = result(row, self._lines.get(row.key))
        self._results.append(line)
        self._reporter.event("result", json.loads(line.to_json()))
