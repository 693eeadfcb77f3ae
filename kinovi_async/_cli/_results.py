"""`results.jsonl`: one JSON object for each ended job, made from the ledger's rows.

The file is a view. Lines are appended as jobs end, so that others can follow it; at the
start and at the end of a run it is written anew in one step, one line per id.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from .._crash_points import point
from .._ledger import JobRow, JobState
from .._leftovers import remove_leftovers
from .._outcomes import AttemptResult, OutcomeStatus

if TYPE_CHECKING:
    from .._ledger import JsonObject, JsonValue

RESULTS_NAME = "results.jsonl"

_UNPAID = frozenset({OutcomeStatus.FAILED, OutcomeStatus.REJECTED, OutcomeStatus.CANCELLED})
# Characters that JSON allows raw and that programs splitting at line ends stumble over.
_LINE_ENDS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the file, field by field."""

    id: str
    line: int | None
    """Line of the batch file, from 1; None for a job that came from elsewhere."""
    status: str
    task_id: str | None
    model: str
    credits: Decimal | None
    """Credits charged; None while nobody knows."""
    urls: tuple[str, ...]
    files: tuple[str, ...]
    """Relative to the output directory, with forward slashes."""
    error: Mapping[str, str | None] | None
    """`type`, `code` and `message`, or None."""
    tags: Mapping[str, JsonValue]
    attempts: int
    """Submissions, over all runs."""
    created_at: str | None
    """ISO 8601, UTC."""
    completed_at: str | None

    def to_json(self) -> str:
        """The object on one line, without a line end."""
        parts = []
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            # A Decimal is written digit for digit: through a float it could gain some.
            text = _digits(value) if isinstance(value, Decimal) else _dumps(value)
            parts.append(f'"{name}": {text}')
        return "{" + ", ".join(parts) + "}"


def is_result(row: JobRow) -> bool:
    """Whether the job has a line: it ended, and something of it was submitted."""
    if row.state is not JobState.ENDED:
        return False
    return row.status is not OutcomeStatus.CANCELLED or bool(submissions(row))


def submissions(row: JobRow) -> int:
    """Submissions that left, or may have left."""
    return sum(1 for attempt in row.attempts if attempt.result is not AttemptResult.NOT_SENT)


def result_of(
    row: JobRow,
    *,
    urls_of: Callable[[JsonObject], tuple[str, ...]],
    line: int | None = None,
    tags: Mapping[str, JsonValue] | None = None,
) -> Result:
    """A job's line. `line` and `tags` are those of the current file, when it has the job."""
    status = row.status or row.state
    if line is None:
        known = row.meta.get("line")
        line = known if isinstance(known, int) else None
    if tags is None:
        kept = row.meta.get("tags")
        tags = kept if isinstance(kept, Mapping) else {}
    return Result(
        id=row.key,
        line=line,
        status=str(status),
        task_id=row.task_id,
        model=str(row.body.get("model", "")),
        credits=Decimal(0) if row.status in _UNPAID else row.credits,
        urls=urls_of(row.record) if row.record else (),
        files=row.files,
        error=_error(row),
        tags=tags,
        attempts=submissions(row),
        created_at=iso_time(row.created_at),
        completed_at=iso_time(row.ended_at),
    )


def _error(row: JobRow) -> dict[str, str | None] | None:
    if row.error is not None:
        code = row.error.get("code")
        return {
            "type": str(row.error.get("type", "KinoviError")),
            "code": None if code is None else str(code),
            "message": str(row.error.get("message", "")),
        }
    if row.download_error is not None:
        return {"type": "DownloadError", "code": None, "message": row.download_error}
    return None


def iso_time(at: float | None) -> str | None:
    """Seconds since the epoch as `2026-11-21T07:48:00.123Z`; None for none."""
    if not at:
        return None
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _digits(value: Decimal) -> str:
    if not value.is_finite():
        return "null"
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _dumps(value: object) -> str:
    text = json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)
    return text.translate(_LINE_ENDS).encode("utf-8", "backslashreplace").decode()


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value


class ResultsFile:
    """Writes one `results.jsonl`. Not safe for two writers; the run's lease keeps it alone."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / RESULTS_NAME

    @property
    def path(self) -> Path:
        """Where it is."""
        return self._path

    def append(self, result: Result) -> None:
        """Adds a line, whole or not at all; whoever follows the file sees it at once.

        Raises:
            OSError: it cannot be written, or not whole.
        """
        data = (result.to_json() + "\n").encode()
        point("results: before a line")
        # One write of one buffer: two of them could show half a line to a reader.
        with os.fdopen(_open_to_append(self._path), "ab", buffering=0) as stream:
            size = stream.seek(0, os.SEEK_END)
            try:
                whole = stream.write(data) == len(data)
            except OSError:
                stream.truncate(size)
                raise
            if not whole:
                stream.truncate(size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        point("results: after a line")

    def rewrite(self, results: Iterable[Result]) -> None:
        """Writes the file anew: the old one or the new one is there, never a part."""
        remove_leftovers(self._path, f".{RESULTS_NAME}.")
        unfinished = self._path.with_name(f".{RESULTS_NAME}.{os.getpid()}.tmp")
        unfinished.unlink(missing_ok=True)
        try:
            # Made by us and no other, so that nothing is written through a link.
            with unfinished.open("x", encoding="utf-8", newline="\n") as stream:
                for result in results:
                    stream.write(result.to_json() + "\n")
                stream.flush()
                os.fsync(stream.fileno())
            point("results: new file written")
            unfinished.replace(self._path)
            point("results: new file in place")
        finally:
            unfinished.unlink(missing_ok=True)
        _sync_directory(self._path.parent)


def _open_to_append(path: Path) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    # Flags that a system lacks are 0 there.
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0), 0o666)


def _sync_directory(directory: Path) -> None:
    # Makes the rename itself durable. Windows cannot open a directory, and need not.
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
