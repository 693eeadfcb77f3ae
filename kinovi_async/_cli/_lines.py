"""A batch file as lines: what one line is, its key, and everything wrong with the file.

Nothing is sent while one line of the file is wrong, so the reader goes to the end and
names every problem with its line number.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from .._errors import InvalidRequestError
from ._text import counted, shortened, visible

if TYPE_CHECKING:
    from .._ledger import JsonObject
    from .._requests import Request
    from ._vocabulary import Vocabulary

LINE_LIMIT = 1_000_000
"""Bytes of one line: 250 times the longest prompt the API takes (4,000 characters)."""
ID_LIMIT = 200
"""Characters of an id: it becomes part of file names and messages."""
DEPTH_LIMIT = 32
"""Levels of nesting; the API's own bodies have three."""
_HASH_LENGTH = 16
_TOP_LEVEL = frozenset({"model", "inputs", "callBackUrl", "callback_url"})

TagValue: TypeAlias = str | int | float


@dataclass(frozen=True, slots=True)
class InputLine:
    """One request of a batch file."""

    number: int
    """Line of the file on which it starts, from 1."""
    key: str
    """The line's id, or a hash of the body and its occurrence."""
    request: Request
    body: JsonObject
    """The request as the ledger keeps it: one form, in whatever generation it is sent."""
    tags: Mapping[str, TagValue] = field(default_factory=dict)
    headers: Mapping[str, str] | None = None
    """For a CSV row, the header each value stood under, to give the row back later:
    `{"inputs.aspectRatio": "aspect_ratio", "tags.scene": "scene"}`."""


@dataclass(frozen=True, slots=True, order=True)
class InputProblem:
    """One thing wrong with a batch file."""

    line: int
    """From 1; 0 for the file as a whole."""
    field: str
    """The field or column, `""` for the line as a whole."""
    message: str

    def show(self, name: str) -> str:
        """`batch.csv:3: inputs.duration: a whole number from 4 to 15, not 60; model x`."""
        place = f"{visible(name)}:{self.line}" if self.line else visible(name)
        where = f"{visible(self.field)}: " if self.field else ""
        return f"{place}: {where}{visible(self.message)}"


@dataclass(frozen=True, slots=True)
class RawLine:
    """A line that could be read; whether it is a request is not known yet."""

    number: int
    body: Mapping[str, object]
    id: str | None = None
    tags: Mapping[str, TagValue] = field(default_factory=dict)
    headers: Mapping[str, str] | None = None


@dataclass(slots=True)
class Batch:
    """A whole batch file: its lines, or what is wrong with it."""

    name: str
    lines: list[InputLine] = field(default_factory=list)
    problems: list[InputProblem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was detected and may be wrong: encoding, separator, repeated requests."""

    @property
    def tag_names(self) -> set[str]:
        """The tags that any line has."""
        return {name for line in self.lines for name in line.tags}


class BatchReader:
    """Turns raw lines into checked lines, keeping account of keys and repeats."""

    def __init__(
        self, vocabulary: Vocabulary, *, model: str | None = None, base: Path | None = None
    ) -> None:
        self._vocabulary = vocabulary
        self._base = Path() if base is None else base
        """Where the files that a line names are, unless it says so itself."""
        self._model = model
        self._first_line: dict[str, int] = {}
        """Key -> the line that has it."""
        self._first_body: dict[str, int] = {}
        """Body hash -> the first line that asks for it."""
        self._occurrences: dict[str, int] = {}
        """Start of a body hash -> lines without an id that begin with it."""
        self._repeats: list[tuple[int, int]] = []

    def read(self, name: str, source: Iterable[RawLine | InputProblem]) -> Batch:
        """Reads the source to its end; never raises for what is in it."""
        batch = Batch(name)
        for item in source:
            if isinstance(item, InputProblem):
                batch.problems.append(item)
            else:
                self._take(item, batch)
        if not batch.lines and not batch.problems:
            batch.problems.append(InputProblem(0, "", "no requests in this file"))
        batch.problems.sort()
        if self._repeats:
            line, first = self._repeats[0]
            count = counted(len(self._repeats), "line repeats", "lines repeat")
            batch.notes.append(
                f"{count} the request of an earlier one (line {line} that of line {first}); "
                "each is generated and paid"
            )
        return batch

    def _take(self, raw: RawLine, batch: Batch) -> None:
        problems = list(_outer_problems(raw, self._model))
        request = None if problems else self._checked(raw, problems)
        problems += self._id_problems(raw)
        if request is None or problems:
            batch.problems += problems
            return
        wire = self._vocabulary.stored(request)
        digest = self._vocabulary.hash_of(wire)
        first = self._first_body.setdefault(digest, raw.number)
        if first != raw.number:
            self._repeats.append((raw.number, first))
        key = raw.id
        if key is None:
            key = self._generated_key(digest)
            problem = self._taken(key, raw.number)
            if problem is not None:
                batch.problems.append(problem)
                return
        batch.lines.append(InputLine(raw.number, key, request, wire, raw.tags, raw.headers))

    def _checked(self, raw: RawLine, problems: list[InputProblem]) -> Request | None:
        body = dict(raw.body)
        if body.get("model") is None:
            body["model"] = self._model
        try:
            return self._vocabulary.check(self._vocabulary.local(body, self._base))
        except InvalidRequestError as error:
            what = f"; model {shortened(str(body['model']))}"
            problems += [
                InputProblem(raw.number, problem.field, f"{problem.demand}{what}")
                for problem in error.problems
            ] or [InputProblem(raw.number, "", error.message)]
            return None

    def _generated_key(self, digest: str) -> str:
        start = digest[:_HASH_LENGTH]
        occurrence = self._occurrences.get(start, 0) + 1
        self._occurrences[start] = occurrence
        return start if occurrence == 1 else f"{start}-{occurrence}"

    def _id_problems(self, raw: RawLine) -> list[InputProblem]:
        if raw.id is None:
            return []
        reason = id_problem(raw.id)
        if reason is not None:
            return [InputProblem(raw.number, "id", reason)]
        problem = self._taken(raw.id, raw.number)
        return [problem] if problem is not None else []

    def _taken(self, key: str, number: int) -> InputProblem | None:
        first = self._first_line.setdefault(key, number)
        if first == number:
            return None
        return InputProblem(number, "id", f"'{shortened(key)}' is already the id of line {first}")


def id_problem(key: str) -> str | None:
    """Why this text cannot be an id, or None when it can."""
    if not key.strip():
        return "an empty id"
    if len(key) > ID_LIMIT:
        return f"{len(key):,} characters, at most {ID_LIMIT} are allowed"
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in key):
        return f"'{shortened(key)}' has a control character in it"
    return None


def _outer_problems(raw: RawLine, default_model: str | None) -> Iterator[InputProblem]:
    body = raw.body
    for name in body:
        if name not in _TOP_LEVEL:
            hint = "" if "inputs" in body else "; the model's fields go into inputs"
            yield InputProblem(raw.number, name, f"no such field on this level{hint}")
    model = body.get("model")
    if model is None and default_model is None:
        yield InputProblem(raw.number, "model", "missing, and no --model was given")
    elif model is not None and not (isinstance(model, str) and model.strip()):
        yield InputProblem(raw.number, "model", f"a model's name, not {given(model)}")
    if "inputs" not in body:
        yield InputProblem(raw.number, "inputs", "missing")
    elif not isinstance(body["inputs"], Mapping):
        yield InputProblem(raw.number, "inputs", f"an object, not {given(body['inputs'])}")
    else:
        yield from _value_problems(body["inputs"], raw.number)


def _value_problems(inputs: object, number: int) -> Iterator[InputProblem]:
    """Values no JSON text could carry to the server, and nests too deep to handle."""
    level: list[object] = [inputs]
    for _ in range(DEPTH_LIMIT):
        below: list[object] = []
        for value in level:
            if isinstance(value, Mapping):
                below += [*value.keys(), *value.values()]
            elif isinstance(value, list):
                below += value
            elif isinstance(value, str) and not _is_text(value):
                message = f"half of a surrogate pair in {given(value)}"
                yield InputProblem(number, "inputs", message)
            elif isinstance(value, float) and not math.isfinite(value):
                yield InputProblem(number, "inputs", f"{value} is no number the API can be sent")
        if not below:
            return
        level = below
    yield InputProblem(number, "inputs", f"nested deeper than {DEPTH_LIMIT} levels")


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def given(value: object) -> str:
    """A value as a problem names it."""
    return shortened(repr(value) if isinstance(value, str) else _json_name(value))


def _json_name(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return str(value) if not isinstance(value, int) or abs(value) < 10**80 else "a huge number"
