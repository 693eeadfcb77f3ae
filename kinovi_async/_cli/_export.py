"""`kinovi export`: copies of result files for delivery, and what each job cost.

Everything is decided before the first byte is copied: where each file comes from, what
it is called, whether names meet. A source is a plain file of the output directory's
`media`, never what a link points at; a copy is a new file directly in DEST, never over
another one.
"""

from __future__ import annotations

import csv
import errno
import io
import os
import re
import stat
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from .._errors import ConfigurationError
from .._outcomes import OutcomeStatus
from ._books import MEDIA_NAME, all_rows, make_directory, open_book, result
from ._csv import guarded
from ._exits import ExitCode
from ._fetch import job_fields
from ._options import with_extension
from ._picks import picked, read_picks
from ._rates import usd_per_credit
from ._reporters import write_line
from ._text import counted, shortened, visible

if TYPE_CHECKING:
    from .._ledger import JobRow

_CHUNK = 1 << 20
# Flags that a system lacks are 0 there; a FIFO must not make anyone wait.
_READ = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NONBLOCK", 0)
)
_MOST_TOLD = 5
_SPLIT = re.compile(r"([;\t\r\n]\s*)(?=[=+@\uff1d\uff0b\uff0d\uff20-])")


@dataclass(frozen=True, slots=True)
class Copy:
    """One file to be copied."""

    key: str
    """Of its job."""
    file: str
    """Relative to the output directory."""
    name: str
    """In DEST."""


def export_command(
    out: Path,
    dest: Path,
    *,
    picks: Path | None,
    name_template: str | None,
    costs: Path | None,
    quiet: bool,
) -> ExitCode:
    """`kinovi export`; everything that would go wrong is told before anything is copied.

    Raises:
        ConfigurationError: no output directory, a wrong pick or template, names that
            collide, something that is in the way.
        OSError: a file cannot be copied; those before it are.
    """
    rows = anyio.run(_rows, out)
    chosen = picked(rows, read_picks(picks)) if picks is not None else _all_files(rows)
    copies = plan_copies(rows, chosen, template=name_template)
    lost = [copy for copy in copies if not is_plain_file(out, copy.file)]
    if lost and picks is not None:
        names = ", ".join(visible(copy.file) for copy in lost[:_MOST_TOLD])
        raise ConfigurationError(
            f"{counted(len(lost), 'picked file is', 'picked files are')} not there: {names}; "
            f"kinovi download {visible(str(out))} fetches what is missing"
        )
    present = [copy for copy in copies if copy not in set(lost)]
    there = _in_the_way(out, dest, present)
    table = costs_table(rows, present)
    if costs is not None and os.path.lexists(costs) and not _holds(costs, table):
        raise ConfigurationError(f"{visible(str(costs))} is there already")
    make_directory(dest)
    copied = [copy for copy in present if copy.name not in there]
    for copy in copied:
        copy_file(out, copy.file, dest, copy.name)
    if costs is not None:
        write_costs(costs, table)
    if not quiet:
        again = f", {len(there):,} there already" if there else ""
        told = f"{counted(len(copied), 'file')} copied to {visible(str(dest))}{again}"
        write_line(told, sys.stdout)
        if costs is not None:
            write_line(f"costs: {visible(str(costs))}", sys.stdout)
    lacking = len(lost) + (0 if picks else sum(1 for row in rows if _has_none(row)))
    if lacking:
        write_line(
            f"{counted(lacking, 'file is', 'files are')} not there: "
            f"kinovi download {visible(str(out))} fetches what is missing",
            sys.stderr,
        )
    return ExitCode.FAILED if lacking else ExitCode.OK


async def _rows(out: Path) -> list[JobRow]:
    async with open_book(out) as ledger:
        return list((await all_rows(ledger)).values())


def _all_files(rows: Iterable[JobRow]) -> dict[str, tuple[str, ...]]:
    return {
        row.key: row.files for row in rows if row.status is OutcomeStatus.SUCCEEDED and row.files
    }


def _has_none(row: JobRow) -> bool:
    if row.status is not OutcomeStatus.SUCCEEDED:
        return False
    return row.download_error is not None or not row.files


def plan_copies(
    rows: Iterable[JobRow], chosen: Mapping[str, Collection[str]], *, template: str | None
) -> list[Copy]:
    """What is copied under which name; without a template the files keep theirs.

    Raises:
        ConfigurationError: a wrong template, or two files of one name, both of them named.
    """
    rows = [row for row in rows if row.key in chosen]
    copies = list(_named(rows, chosen, template))
    _refuse_collisions(copies)
    return copies


def _named(
    rows: Collection[JobRow], chosen: Mapping[str, Collection[str]], template: str | None
) -> Iterator[Copy]:
    from .._downloads import check_template, file_name
    from .._downloads._names import is_plain_name, split_extension, template_fields

    fields = {row.key: job_fields(row, None) for row in rows}
    known = {name for each in fields.values() for name in each} | {"task_id"}
    if template is not None:
        template = with_extension(template)
        check_template(template, known)
    for row in rows:
        for number, file in enumerate(row.files, start=1):
            if file not in chosen[row.key]:
                continue
            last = file.rpartition("/")[2]
            if template is None:
                if not is_plain_name(last):
                    raise ConfigurationError(f"{visible(file)} is no name to copy under")
                yield Copy(row.key, file, last)
                continue
            values = {
                # A job without one of the tags has an empty text in its place.
                **dict.fromkeys(known, ""),
                **fields[row.key],
                "n": str(number),
                "ext": split_extension(last)[1],
            }
            several = number > 1 and "n" not in template_fields(template, allowed=values)
            suffix = f"-{number}" if several else ""
            yield Copy(row.key, file, file_name(template, fields=values, suffix=suffix))


def _refuse_collisions(copies: Iterable[Copy]) -> None:
    from .._downloads._names import collision_key

    first: dict[str, Copy] = {}
    problems: list[str] = []
    for copy in copies:
        other = first.setdefault(collision_key(copy.name), copy)
        if other is not copy:
            problems.append(
                f"{visible(other.file)} (job {shortened(other.key, 60)}) and "
                f"{visible(copy.file)} (job {shortened(copy.key, 60)}) would both be "
                f"{visible(copy.name)}"
            )
    if problems:
        more = len(problems) - _MOST_TOLD
        lines = problems[:_MOST_TOLD] + ([f"and {more:,} more"] if more > 0 else [])
        raise ConfigurationError(
            "nothing was copied, names collide:\n  "
            + "\n  ".join(lines)
            + "\n  --name-template with {id}, {task_id} or {n} tells them apart"
        )


def is_plain_file(out: Path, file: str) -> bool:
    """Whether a file of `media` is there, without a link on the way to it."""
    from ._report import is_inside

    if not is_inside(file):
        return False
    path = out
    for part in file.split("/")[:-1]:
        path /= part
        if not _has_mode(path, stat.S_ISDIR):
            return False
    return _has_mode(out / file, stat.S_ISREG)


def _has_mode(path: Path, test: Callable[[int], bool]) -> bool:
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False
    return test(mode)


def _in_the_way(out: Path, dest: Path, copies: Iterable[Copy]) -> set[str]:
    """The names whose very bytes stand in DEST already.

    Raises:
        ConfigurationError: something else has a name, or DEST is `media` itself.
    """
    from .._downloads._names import collision_key

    try:
        with os.scandir(dest) as entries:
            taken = {collision_key(entry.name): entry.name for entry in entries}
    except FileNotFoundError:
        return set()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(f"cannot read {visible(str(dest))}: {reason}") from error
    if (out / MEDIA_NAME).exists() and dest.samefile(out / MEDIA_NAME):
        raise ConfigurationError(f"{visible(str(dest))} is where the files come from")
    same: set[str] = set()
    other: list[str] = []
    for copy in copies:
        name = taken.get(collision_key(copy.name))
        if name == copy.name and _same_bytes(out / copy.file, dest / name):
            same.add(copy.name)
        elif name is not None:
            other.append(f"{visible(name)} (for {visible(copy.file)})")
    if other:
        more = f" and {len(other) - _MOST_TOLD:,} more" if len(other) > _MOST_TOLD else ""
        raise ConfigurationError(
            f"nothing was copied: {visible(str(dest))} has other files of these names: "
            f"{', '.join(other[:_MOST_TOLD])}{more}"
        )
    return same


def _same_bytes(one: Path, other: Path) -> bool:
    try:
        with closing(_Source(one)) as first, closing(_Source(other)) as second:
            if first.size != second.size:
                return False
            while data := first.read():
                if second.read() != data:
                    return False
            return True
    except OSError:
        return False


class _Source:
    """A regular file for reading, not through a link."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, _READ)
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            self.close()
            raise OSError(errno.EINVAL, "it is no plain file", str(path))

    def close(self) -> None:
        os.close(self._fd)

    @property
    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def read(self) -> bytes:
        """Exactly a chunk, less at the end."""
        pieces, wanted = [], _CHUNK
        while wanted and (piece := os.read(self._fd, wanted)):
            pieces.append(piece)
            wanted -= len(piece)
        return b"".join(pieces)


def copy_file(out: Path, file: str, dest: Path, name: str) -> None:
    """Copies one file, whole or not at all, never over another one.

    Raises:
        OSError: it cannot be read or written, or something has the name by now.
    """
    from .._downloads._files import PartFile

    with closing(_Source(out / file)) as source:
        part = PartFile(dest, name)
        try:
            part.open()
            while data := source.read():
                part.write(data)
            part.settle("keep")
        finally:
            part.discard()


def write_costs(path: Path, table: bytes) -> None:
    """Writes the costs, whole or not at all, never over another file.

    Raises:
        OSError: something else is there, or it cannot be written.
    """
    from .._downloads._files import PartFile

    part = PartFile(path.parent, path.name)
    try:
        part.open()
        part.write(table)
        part.settle("keep")
    finally:
        part.discard()


def _holds(path: Path, data: bytes) -> bool:
    """Whether a plain file has just these bytes."""
    try:
        with closing(_Source(path)) as source:
            return source.size == len(data) and b"".join(iter(source.read, b"")) == data
    except OSError:
        return False


def costs_table(rows: Iterable[JobRow], copies: Iterable[Copy]) -> bytes:
    """A CSV of all jobs and what they cost; no cell of it is computed by a spreadsheet."""
    rows = list(rows)
    exported: dict[str, list[str]] = {}
    for copy in copies:
        exported.setdefault(copy.key, []).append(copy.name)
    lines = [result(row, None) for row in rows]
    tags = list(dict.fromkeys(name for line in lines for name in line.tags))
    taken = ("id", "model", "status", "task_id", "credits", "dollars", "exported")
    headers = [name if name not in taken else f"tag {name}" for name in tags]
    # With this line end the writer quotes a lone carriage return, which would end a row.
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    fixed = ["id", "model", "status", "task_id"]
    sums = ["credits", "dollars", "created_at", "completed_at", "exported"]
    writer.writerow(map(_inert, [*fixed, *headers, *sums]))
    for row, line in zip(rows, lines, strict=True):
        paid = None if line.credits is None else line.credits * usd_per_credit(row)
        cells = [
            line.id,
            line.model,
            line.status,
            line.task_id or "",
            *(_text(line.tags.get(name)) for name in tags),
            _digits(line.credits),
            _digits(paid),
            line.created_at or "",
            line.completed_at or "",
            " ".join(exported.get(line.id, ())),
        ]
        writer.writerow(map(_inert, cells))
    return text.getvalue().encode("utf-8", "backslashreplace")


def _inert(cell: str) -> str:
    # A spreadsheet set to another separator, or that minds no quotes, splits cells anew.
    return guarded(_SPLIT.sub(r"\1'", cell))


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _digits(amount: Decimal | None) -> str:
    if amount is None:
        return ""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
