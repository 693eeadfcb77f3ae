"""Reading an output directory: its ledger's rows, and which files are there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from .._errors import ConfigurationError
from .._outcomes import OutcomeStatus
from ._lines import InputLine
from ._results import Result, is_result, result_of
from ._text import visible

if TYPE_CHECKING:
    from .._ledger import JobRow, JsonObject, Ledger

LEDGER_NAME = "ledger.sqlite3"
MEDIA_NAME = "media"


def make_directory(path: Path) -> None:
    """Makes the output directory.

    Raises:
        ConfigurationError: something else is there, or it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(f"cannot make {visible(str(path))}: {reason}") from error


def check_writable(path: Path) -> None:
    """Makes sure that files can be made in a directory, before something is paid for.

    Raises:
        ConfigurationError: they cannot.
    """
    try:
        # Asked of the file system itself: neither a mode nor `os.access` knows for certain.
        with TemporaryFile(dir=path):
            pass
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(f"cannot write into {visible(str(path))}: {reason}") from error


@asynccontextmanager
async def open_book(out: Path, *, create: bool = False) -> AsyncIterator[Ledger]:
    """The ledger of an output directory; it may be read while a run works in it.

    Raises:
        ConfigurationError: there is none, and `create` is not set.
        LedgerError: it cannot be opened.
    """
    from .._ledger import SQLiteLedger

    path = out / LEDGER_NAME
    if not create and not path.is_file():
        raise ConfigurationError(f"{visible(str(out))} is no output directory: no {LEDGER_NAME}")
    ledger = SQLiteLedger(path)
    await ledger.open()
    try:
        yield ledger
    finally:
        await ledger.aclose()


async def all_rows(ledger: Ledger) -> dict[str, JobRow]:
    """Every job of a ledger by its key, in order of entry."""
    rows: dict[str, JobRow] = {}
    after = 0
    while found := await ledger.rows(after=after):
        after = found[-1].number
        rows.update((row.key, row) for row in found)
    return rows


def urls_of(record: JsonObject) -> tuple[str, ...]:
    """The addresses of the files in a record, as the server sent it."""
    from .._record_parsing import parse_record

    return parse_record(record).urls


def lacks_files(row: JobRow, out: Path) -> bool:
    """Whether a succeeded job has a file that is not on disk."""
    if row.status is not OutcomeStatus.SUCCEEDED:
        return False
    if row.download_error is not None:
        return True
    if not row.files:
        return bool(row.record and urls_of(row.record))
    return not all((out / name).is_file() for name in row.files)


def results(rows: Mapping[str, JobRow], lines: Mapping[str, InputLine]) -> list[Result]:
    """The lines of `results.jsonl`, in order of entry."""
    return [result(row, lines.get(row.key)) for row in rows.values() if is_result(row)]


def result(row: JobRow, line: InputLine | None) -> Result:
    """One job's line; the current file knows its place and tags better than the ledger."""
    return result_of(
        row,
        urls_of=urls_of,
        line=line.number if line else None,
        tags=line.tags if line else None,
    )
