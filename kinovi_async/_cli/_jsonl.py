"""JSON lines to raw lines: one API body a line, with an optional id and tags.

Lines end at a line feed and nowhere else: U+2028 is an ordinary character in JSON. The
file is read line by line, so its size does not matter, and a line without an end is cut
at a limit instead of filling the memory.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping
from typing import NoReturn, cast

from ._encodings import sniff_unicode
from ._lines import LINE_LIMIT, InputProblem, RawLine, TagValue, given

_SNIFFED = 4096
_DOCUMENT_BEGINS = frozenset({"[", "{"})
_EXAMPLE = '{"model": "...", "inputs": {...}}'


def read_jsonl(reader: io.BufferedReader) -> Iterator[RawLine | InputProblem]:
    """The lines of a binary stream, problems in between; blank lines are skipped."""
    codec, _ = sniff_unicode(reader.peek(_SNIFFED))
    lines = _utf8_lines(reader) if codec.startswith("utf-8") else _wide_lines(reader, codec)
    found = False
    for number, text in enumerate(lines, start=1):
        if isinstance(text, InputProblem):
            yield text
        elif text.strip() in _DOCUMENT_BEGINS and not found:
            # One document over many lines: each of them would be wrong in its own way.
            yield InputProblem(number, "", f"every request is one line: {_EXAMPLE}")
            return
        elif text.strip():
            found = True
            yield from _parse(number, text)


def _utf8_lines(reader: io.BufferedReader) -> Iterator[str | InputProblem]:
    offset = 0
    number = 0
    while line := reader.readline(LINE_LIMIT + 1):
        number += 1
        start = offset
        offset += len(line)
        if len(line) > LINE_LIMIT and not line.endswith(b"\n"):
            while (rest := reader.readline(LINE_LIMIT)) and not rest.endswith(b"\n"):
                offset += len(rest)
            offset += len(rest)
            yield _too_long(number)
            continue
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            byte = line[error.start]
            where = f"byte {start + error.start:,} of the file"
            message = f"not valid UTF-8: 0x{byte:02x} at {where}; save the file as UTF-8"
            yield InputProblem(number, "", message)
            continue
        yield text.removeprefix("\ufeff")


def _wide_lines(reader: io.BufferedReader, codec: str) -> Iterator[str | InputProblem]:
    text = io.TextIOWrapper(reader, encoding=codec, newline="\n")
    try:
        yield from _decoded_lines(text, codec)
    finally:
        text.detach()  # whoever opened the file closes it


def _decoded_lines(text: io.TextIOWrapper, codec: str) -> Iterator[str | InputProblem]:
    number = 0
    while True:
        number += 1
        try:
            line = text.readline(LINE_LIMIT + 1)
            if not line:
                return
            if len(line) > LINE_LIMIT and not line.endswith("\n"):
                while (rest := text.readline(LINE_LIMIT)) and not rest.endswith("\n"):
                    pass
                yield _too_long(number)
                continue
        except UnicodeError as error:
            # The decoder cannot find its feet again in a wide encoding.
            yield InputProblem(number, "", f"not valid {codec.upper()}: {error}; not read further")
            return
        yield line.removeprefix("\ufeff")


def _too_long(number: int) -> InputProblem:
    return InputProblem(number, "", f"longer than {LINE_LIMIT:,} bytes, the limit of one line")


class _RefusedError(ValueError):
    """JSON that Python would read and that means something else, or nothing."""


def _parse(number: int, text: str) -> Iterator[RawLine | InputProblem]:
    try:
        value = _DECODER.decode(text.rstrip("\r\n"))
    except json.JSONDecodeError as error:
        yield InputProblem(number, "", f"not valid JSON: {error.msg} at column {error.colno}")
        return
    except RecursionError:
        yield InputProblem(number, "", "nested too deep")
        return
    except ValueError as error:
        # Ours, or Python's own limit on the digits of a whole number.
        known = isinstance(error, _RefusedError)
        yield InputProblem(number, "", f"not valid JSON: {error if known else 'a huge number'}")
        return
    if not isinstance(value, dict):
        yield InputProblem(number, "", f"an object is needed, not {given(value)}")
        return
    yield from _split(number, value)


def _split(number: int, body: dict[str, object]) -> Iterator[RawLine | InputProblem]:
    problems: list[InputProblem] = []
    key = body.pop("id", None)
    if isinstance(key, int) and not isinstance(key, bool):
        key = str(key)
    if key is not None and not isinstance(key, str):
        problems.append(InputProblem(number, "id", f"text or a whole number, not {given(key)}"))
    tags = body.pop("tags", None)
    if tags is None:
        tags = {}
    if not isinstance(tags, Mapping):
        problems.append(InputProblem(number, "tags", f"an object, not {given(tags)}"))
    else:
        for name, value in tags.items():
            if not isinstance(value, str | int | float) or isinstance(value, bool):
                message = f"text or a number, not {given(value)}"
                problems.append(InputProblem(number, f"tags.{name}", message))
    if problems:
        yield from problems
        return
    known = cast("Mapping[str, TagValue]", tags)
    yield RawLine(number, body, id=cast("str | None", key), tags=known)


def _no_constant(name: str) -> NoReturn:
    message = f"{name} is no JSON"
    raise _RefusedError(message)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        message = f"{text[:20]} is too large a number"
        raise _RefusedError(message)
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                message = f"the field {given(name)} is there twice"
                raise _RefusedError(message)
            seen.add(name)
    return found


_DECODER = json.JSONDecoder(
    parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_unique
)
