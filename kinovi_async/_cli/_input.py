"""Opening a batch file: which reader it takes, and what can be wrong with it as a file."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from .._errors import ConfigurationError
from ._csv import TableOptions, TableReader
from ._jsonl import read_jsonl
from ._lines import Batch, BatchReader, InputProblem, RawLine
from ._text import visible
from ._vocabulary import Vocabulary

STANDARD_INPUT = "-"
TABLE_LIMIT = 1 << 30
"""Bytes of a CSV, which is read as a whole; JSON lines have no such limit."""


def read_batch(
    file: str, vocabulary: Vocabulary, options: TableOptions, *, first: int | None = None
) -> Batch:
    """Reads and checks a whole batch file.

    Raises:
        ConfigurationError: there is no such file, or it cannot be read.
    """
    base = Path() if file == STANDARD_INPUT else Path(file).parent
    reader = BatchReader(vocabulary, model=options.model, base=base)
    batch = reader.read(
        "standard input" if file == STANDARD_INPUT else file, _source(file, vocabulary, options)
    )
    batch.notes[:0] = options.notes
    if first is not None:
        del batch.lines[first:]
    return batch


def _source(
    file: str, vocabulary: Vocabulary, options: TableOptions
) -> Iterator[RawLine | InputProblem]:
    if file == STANDARD_INPUT:
        _no_table_options(options, "standard input holds JSON lines")
        yield from read_jsonl(io.BufferedReader(cast("io.RawIOBase", sys.stdin.buffer)))
        return
    path = Path(file)
    suffix = path.suffix.lower()
    try:
        if suffix in {".jsonl", ".ndjson"}:
            _no_table_options(options, f"{visible(file)} holds JSON lines")
            with path.open("rb") as stream:
                yield from read_jsonl(stream)
        elif suffix in {".csv", ".tsv"}:
            if path.stat().st_size > TABLE_LIMIT:
                message = f"{visible(file)} is larger than {TABLE_LIMIT:,} bytes; use JSON lines"
                raise ConfigurationError(message)
            yield from TableReader(vocabulary, options).read(path.read_bytes())
        else:
            message = f"{visible(file)} is neither .jsonl nor .csv"
            if suffix == ".json":
                message += ": JSON lines hold one request a line, in a file named .jsonl"
            raise ConfigurationError(message)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        message = f"cannot read {visible(file)}: {reason[:1].lower()}{reason[1:]}"
        raise ConfigurationError(message) from error


def _no_table_options(options: TableOptions, why: str) -> None:
    for given, flag in ((options.tags, "--tags"), (options.id_column, "--id-column")):
        if given:
            options.notes.append(f"{flag} is for the columns of a CSV; {why}")
