"""A table to raw lines: a column for each field, a row for each request.

Encoding and separator are detected and told. A cell is data, whatever it begins with;
the apostrophe that spreadsheets (and `kinovi jobs --format csv`) put before a formula
is taken off again. Values are typed by the fields of the row's model, and what does not
fit stays as it is, for the check of the whole request to name.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from enum import Enum, auto

from ._encodings import UndecodableError, decode_table
from ._lines import InputProblem, RawLine
from ._text import counted, shortened
from ._vocabulary import Kind, Vocabulary, folded

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
REPORT_COLUMNS = ("status", "error")
"""Columns that `kinovi jobs --format csv` adds, read over when such a file is run."""
INPUT_PREFIX = "inputs."
"""Before a field of a model nobody has described: `inputs.steps`."""

# What a spreadsheet begins to compute at, in full width too (OWASP, CSV injection).
_DANGEROUS = r"(?:\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n])"
_FORMULA = re.compile(rf"'*{_DANGEROUS}")
_GUARDED = re.compile(rf"'+{_DANGEROUS}")
_PLAIN_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?")
_TRUE = frozenset({"true", "yes", "1", "wahr", "ja"})
_FALSE = frozenset({"false", "no", "0", "falsch", "nein"})
_SEP_LINE = re.compile(r"sep=([,;\t])\r?\n", re.IGNORECASE)


class _Role(Enum):
    FIELD = auto()
    ID = auto()
    MODEL = auto()
    CALLBACK = auto()
    TAG = auto()
    IGNORED = auto()


@dataclass(frozen=True, slots=True)
class _Column:
    header: str
    role: _Role
    name: str
    """The wire name of a field, the name of a tag."""


@dataclass(slots=True)
class TableOptions:
    """What the command line says about a table."""

    tags: Collection[str] = ()
    id_column: str | None = None
    model: str | None = None
    notes: list[str] = field(default_factory=list)
    """Filled by the reader: what it detected."""


class TableReader:
    """Reads one table."""

    def __init__(self, vocabulary: Vocabulary, options: TableOptions) -> None:
        self._vocabulary = vocabulary
        self._options = options
        self._decimal_comma = False

    def read(self, data: bytes) -> Iterator[RawLine | InputProblem]:
        """The rows of the file's bytes, problems in between; empty rows are skipped."""
        try:
            text, encoding = decode_table(data)
        except UndecodableError as error:
            yield InputProblem(error.line, "", error.message)
            return
        text = text.removeprefix("\ufeff")
        separator, skipped = self._separator(text)
        self._decimal_comma = separator == ";"
        self._options.notes.append(f"read as {encoding}, {SEPARATORS[separator]} between the cells")
        rows = _rows(text, separator, skipped)
        columns: list[_Column] | None = None
        for number, cells in rows:
            if isinstance(cells, InputProblem):
                yield cells
            elif columns is None:
                problems, columns = self._header(number, cells)
                if problems:
                    yield from problems
                    return
            else:
                yield from self._row(number, cells, columns)

    def _separator(self, text: str) -> tuple[str, int]:
        """The separator and how many lines to skip before the header."""
        # Excel's own way of naming it, on a line before the header.
        named = _SEP_LINE.match(text)
        if named is not None:
            return named[1], 1
        scores = {}
        for separator in SEPARATORS:
            header = next((cells for _, cells in _rows(text, separator, 0)), [])
            cells = [] if isinstance(header, InputProblem) else header
            scores[separator] = (sum(map(self._is_known, cells)), len(cells))
        return max(SEPARATORS, key=lambda separator: scores[separator]), 0

    def _is_known(self, header: str) -> bool:
        return self._column(header.strip()) is not None

    def _column(self, header: str) -> _Column | None:  # noqa: PLR0911 - one for each meaning
        options = self._options
        if header in options.tags:
            return _Column(header, _Role.TAG, header)
        if header == options.id_column or (options.id_column is None and folded(header) == "id"):
            return _Column(header, _Role.ID, "id")
        if folded(header) == "model":
            return _Column(header, _Role.MODEL, "model")
        if folded(header) == "callbackurl":
            return _Column(header, _Role.CALLBACK, "callBackUrl")
        if header.startswith(INPUT_PREFIX) and len(header) > len(INPUT_PREFIX):
            return _Column(header, _Role.FIELD, header)
        wire = self._vocabulary.wire_name(header)
        if wire is not None:
            return _Column(header, _Role.FIELD, wire)
        if header in REPORT_COLUMNS:
            return _Column(header, _Role.IGNORED, header)
        return None

    def _header(self, number: int, cells: list[str]) -> tuple[list[InputProblem], list[_Column]]:
        problems: list[InputProblem] = []
        columns: list[_Column] = []
        unknown: list[str] = []
        seen: dict[str, str] = {}
        for position, cell in enumerate(cells, start=1):
            header = cell.strip()
            column = self._column(header)
            if not header:
                columns.append(_Column(f"column {position}", _Role.IGNORED, ""))
                continue
            if column is None:
                unknown.append(header)
                continue
            other = seen.setdefault(column.name, header)
            if other is not header:
                said = "is there twice" if other == header else f"says the same as '{other}'"
                problems.append(InputProblem(number, header, said))
            columns.append(column)
        if unknown:
            problems.append(InputProblem(number, "", _unknown_columns(unknown, self._options.tags)))
        roles = {column.role for column in columns}
        wanted = self._options.id_column
        if wanted is not None and _Role.ID not in roles:
            message = f"there is no column '{wanted}', which --id-column names"
            problems.append(InputProblem(number, wanted, message))
        missing = [tag for tag in self._options.tags if tag not in seen]
        if missing:
            names = ", ".join(missing)
            message = f"there is no column '{names}', which --tags names"
            problems.append(InputProblem(number, "", message))
        if not problems and _Role.FIELD not in roles:
            problems.append(InputProblem(number, "", "no column is a field of a model"))
        ignored = [c.header for c in columns if c.role is _Role.IGNORED and c.name]
        if ignored:
            self._options.notes.append(f"not read: column {', '.join(ignored)}")
        return problems, columns

    def _row(
        self, number: int, cells: list[str], columns: list[_Column]
    ) -> Iterator[RawLine | InputProblem]:
        if len(cells) < len(columns) or any(cell.strip() for cell in cells[len(columns) :]):
            message = f"{counted(len(cells), 'cell')}, but the header has {len(columns)}"
            yield InputProblem(number, "", message)
            return
        values = [
            (column, unguarded(cell))
            for column, cell in zip(columns, cells, strict=False)
            if cell.strip()
        ]
        stray = [column.header for column, _ in values if column.role is _Role.IGNORED]
        nameless = [header for header in stray if header not in REPORT_COLUMNS]
        if nameless:
            yield InputProblem(number, nameless[0], "a value in a column without a name")
            return
        yield self._line(number, values)

    def _line(self, number: int, values: list[tuple[_Column, str]]) -> RawLine:
        key: str | None = None
        tags: dict[str, str] = {}
        places: dict[str, str] = {}
        model = self._options.model
        body: dict[str, object] = {}
        for column, cell in values:
            if column.role is _Role.MODEL:
                model = cell.strip()
                places["model"] = column.header
        if model is not None:
            body["model"] = model
        inputs: dict[str, object] = {}
        for column, cell in values:
            if column.role is _Role.ID:
                key = cell.strip()
            elif column.role is _Role.TAG:
                tags[column.name] = cell
                places[f"tags.{column.name}"] = column.header
            elif column.role is _Role.CALLBACK:
                body["callBackUrl"] = cell.strip()
                places["callBackUrl"] = column.header
            elif column.role is _Role.FIELD:
                name, value = self._value(model or "", column.name, cell)
                inputs[name] = value
                places[f"inputs.{name}"] = column.header
        body["inputs"] = inputs
        return RawLine(number, body, id=key, tags=tags, headers=places)

    def _value(self, model: str, name: str, cell: str) -> tuple[str, object]:
        if name.startswith(INPUT_PREFIX):
            name = name.removeprefix(INPUT_PREFIX)
            described = self._vocabulary.wire_name(name)
            if described is None:
                return name, _json_or_text(cell)
            name = described
        name = self._vocabulary.name_for(model, name)
        kind = self._vocabulary.kind(model, name)
        return name, typed(cell, kind, decimal_comma=self._decimal_comma)


def _unknown_columns(unknown: Collection[str], tags: Collection[str]) -> str:
    names = ", ".join(f"'{shortened(name)}'" for name in unknown)
    flag = ",".join([*tags, *unknown])
    what = "column" if len(unknown) == 1 else "columns"
    verb = "is no field" if len(unknown) == 1 else "are no fields"
    return f"{what} {names} {verb} of any model; to carry along as tags: --tags {shortened(flag)}"


def typed(cell: str, kind: Kind, *, decimal_comma: bool = False) -> object:  # noqa: PLR0911 - one for each kind
    """The value a cell means; the stripped text itself when it is none of that kind."""
    if kind is Kind.TEXT:
        return cell
    if kind is Kind.LIST and cell.lstrip().startswith("["):
        # As `kinovi jobs --format csv` writes references that are marked.
        found = _json_or_text(cell)
        if isinstance(found, list):
            return found
    if kind is Kind.LIST:
        # An address may hold a bar: a cell of several lines is separated by them alone.
        parts = cell.split("\n" if "\n" in cell else "|")
        return [part.strip() for part in parts if part.strip()]
    text = cell.strip()
    if kind is Kind.WORD:
        return text
    if kind is Kind.BOOLEAN:
        word = text.casefold()
        return True if word in _TRUE else False if word in _FALSE else text
    try:
        value = Decimal(text.replace(",", ".") if decimal_comma else text)
    except InvalidOperation:
        return text
    # A spreadsheet writes 5 as 5.0 or 5,0 once a column is formatted so.
    if value.is_finite() and abs(value) < Decimal(10) ** 18 and value == value.to_integral_value():
        return int(value)
    if kind is Kind.INTEGER or not value.is_finite():
        return text
    return float(value)


def unguarded(cell: str) -> str:
    """A cell without the apostrophe that kept a spreadsheet from computing it."""
    return cell[1:] if _GUARDED.match(cell) else cell


def guarded(cell: str) -> str:
    """A cell a spreadsheet will not compute; `unguarded` gives it back."""
    if _FORMULA.match(cell) and not _PLAIN_NUMBER.fullmatch(cell):
        return "'" + cell
    return cell


def _json_or_text(cell: str) -> object:
    try:
        value: object = json.loads(cell)
    except (ValueError, RecursionError):
        return cell
    return value


def _rows(
    text: str, separator: str, skipped: int
) -> Iterator[tuple[int, list[str] | InputProblem]]:
    """Rows with something in them, each with the line on which it starts."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield number, InputProblem(number, "", f"{_reason(error)}; not read further")
            return
        if cells is None:
            return
        if number > skipped and any(cell.strip() for cell in cells):
            yield number, cells


def _reason(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end of data" in text:
        return "a quote is opened and never closed"
    if "expected after" in text:
        return 'text after a closing quote (a quote inside a cell is written twice: "")'
    if "field larger" in text:
        return f"a cell longer than {csv.field_size_limit():,} characters"
    return text
