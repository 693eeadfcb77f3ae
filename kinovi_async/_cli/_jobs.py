"""`kinovi jobs`: the jobs of an output directory as a table, JSON lines or a CSV to mend.

The CSV is a batch file again: its columns are those of the input, and `status` and
`error`, which a run reads over. A cell that a spreadsheet would compute gets an
apostrophe in front, which a run takes off.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from .._errors import ConfigurationError
from .._ledger import JobState
from .._outcomes import OutcomeStatus
from ._books import all_rows, open_book, result
from ._csv import INPUT_PREFIX, REPORT_COLUMNS, guarded
from ._options import split_list
from ._text import counted, number, shortened, visible
from ._unclear import ambiguous, at_most, quoted, settle_lines, worst_case
from ._vocabulary import Vocabulary

if TYPE_CHECKING:
    from .._ledger import JobRow

FORMATS = ("table", "csv", "jsonl")
_WORDS = (*OutcomeStatus, JobState.QUEUED, JobState.SENDING, JobState.ACCEPTED)


def job_rows(out: Path, *, status: str | None) -> list[JobRow]:
    """The jobs of an output directory with one of these statuses.

    Raises:
        ConfigurationError: no output directory there, or an unknown status.
    """
    wanted = parse_filter(status)

    async def read() -> list[JobRow]:
        async with open_book(out) as ledger:
            return list((await all_rows(ledger)).values())

    return [row for row in anyio.run(read) if not wanted or status_of(row) in wanted]


def job_lines(rows: Sequence[JobRow], *, format_name: str, vocabulary: Vocabulary) -> Iterator[str]:
    """The output of `kinovi jobs`, line by line.

    Raises:
        ConfigurationError: an unknown format.
    """
    if format_name == "jsonl":
        return (result(row, None).to_json() for row in rows)
    if format_name == "csv":
        return iter([table_of(rows, vocabulary)])
    if format_name == "table":
        return _table(rows)
    known = ", ".join(FORMATS)
    raise ConfigurationError(f"--format is one of {known}, not '{visible(format_name)}'")


def parse_filter(text: str | None) -> Collection[str]:
    """`failed,accepted` as words for `status_of`.

    Raises:
        ConfigurationError: an unknown word.
    """
    words = split_list(text)
    for word in words:
        if word not in set(_WORDS):
            known = ", ".join(_WORDS)
            raise ConfigurationError(f"--status is one of {known}, not '{visible(word)}'")
    return words


def status_of(row: JobRow) -> str:
    """How a job ended, or where it stands."""
    return str(row.status or row.state)


def _table(rows: Iterable[JobRow]) -> Iterator[str]:
    cells = [("ID", "STATUS", "MODEL", "CREDITS", "TASK", "WHAT WENT WRONG")]
    for row in rows:
        line = result(row, None)
        cells.append(
            (
                shortened(row.key, 32),
                line.status,
                shortened(line.model, 24),
                _cost(row, line.credits),
                shortened(row.task_id or "", 32),
                shortened(str((line.error or {}).get("message", "")), 100),
            )
        )
    widths = [max(len(each[column]) for each in cells) for column in range(len(cells[0]))]
    for each in cells:
        yield "  ".join(
            cell.ljust(width) for cell, width in zip(each, widths, strict=True)
        ).rstrip()


def _cost(row: JobRow, charged: Decimal | None) -> str:
    """What a job cost, and the most that it may have cost where that is more."""
    more = at_most(row)
    if not more:
        return "" if charged is None else number(charged)
    most = f"at most {number(more + (charged or 0))}"
    return most if charged is None else f"{number(charged)}, {most}"


def table_of(rows: Iterable[JobRow], vocabulary: Vocabulary) -> str:
    """Jobs as a CSV that `kinovi run` takes again, the header first, no last line end."""
    records = [_record(row, vocabulary) for row in rows]
    headers: dict[str, None] = {"id": None}
    for record in records:
        headers.update(dict.fromkeys(record))
    for name in REPORT_COLUMNS:
        headers[name] = headers.pop(name, None)
    text = io.StringIO()
    # With "\n" alone, Python 3.11 would leave a carriage return within a cell unquoted.
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([guarded(header) for header in headers])
    writer.writerows([guarded(record.get(header, "")) for header in headers] for record in records)
    return text.getvalue().removesuffix("\r\n")


def _record(row: JobRow, vocabulary: Vocabulary) -> dict[str, str]:
    known = row.meta.get("headers")
    headers: Mapping[str, object] = known if isinstance(known, Mapping) else {}
    record: dict[str, str] = {"id": row.key}

    def put(place: str, default: str, value: object) -> None:
        header = str(headers.get(place, default))
        # Two places under one header (a tag called `model`, say): neither may be lost.
        record[header if header not in record else place] = cell_of(value)

    put("model", "model", row.body.get("model"))
    if row.body.get("callBackUrl") is not None:
        put("callBackUrl", "callBackUrl", row.body["callBackUrl"])
    inputs = row.body.get("inputs")
    for name, value in (inputs if isinstance(inputs, Mapping) else {}).items():
        described = vocabulary.wire_name(name) == name
        put(f"inputs.{name}", name if described else INPUT_PREFIX + name, value)
    tags = row.meta.get("tags")
    for name, value in (tags if isinstance(tags, Mapping) else {}).items():
        put(f"tags.{name}", name, value)
    line = result(row, None)
    record.setdefault("status", line.status)
    record.setdefault("error", str((line.error or {}).get("message", "")))
    return record


def _path_of(value: object) -> object:
    path = value.get("file") if isinstance(value, Mapping) and "sha256" in value else None
    return value if path is None else path


def cell_of(value: object) -> str:
    """A value as the text of a cell that reads as the same value; a local file is its path."""
    value = _path_of(value)
    if isinstance(value, list | tuple):
        value = [_path_of(each) for each in value]
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        # One that holds a bar keeps it when the cell has several lines.
        if any("|" in each for each in value):
            return "\n".join(value) + "\n"
        return "|".join(value)
    return json.dumps(value, ensure_ascii=False)


def hints(rows: Sequence[JobRow], out: Path, *, format_name: str) -> Iterator[str]:
    """What can be done with these jobs, beside the listing itself."""
    if format_name == "csv":
        yield again_hint(rows, out)
    unclear = ambiguous(rows)
    if unclear and format_name == "table":
        yield f"{counted(len(unclear), 'job is', 'jobs are')} ambiguous: {worst_case(unclear)}"
        yield from settle_lines(unclear, out)


def again_hint(rows: Iterable[JobRow], out: Path) -> str:
    """How a mended CSV of these jobs is run."""
    names: dict[str, None] = {}
    for row in rows:
        tags = row.meta.get("tags")
        if isinstance(tags, Mapping):
            names.update(dict.fromkeys(str(name) for name in tags))
    tags_flag = f" --tags {quoted(','.join(names))}" if names else ""
    command = f"kinovi run FILE -o {quoted(out)} --rerun failed,rejected{tags_flag}"
    return f"mend it, save it, and run it with: {command}"
