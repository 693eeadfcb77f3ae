"""`picks.json`: the files that somebody starred in the report.

The report writes `{"format": "kinovi picks 1", "picks": [{"id": ..., "file": ...}]}`; a list
of plain texts, each the id of a job or a file of `media`, is understood as well, for those
who write it by hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from .._errors import ConfigurationError
from ._text import counted, shortened, visible

if TYPE_CHECKING:
    from .._ledger import JobRow

MOST_BYTES = 64 * 1024 * 1024
"""A file of picks of a million jobs is smaller."""


def read_picks(path: Path) -> list[tuple[str, str]]:
    """The picks of a file: id (empty when it is not told) and file, or text and nothing.

    Raises:
        ConfigurationError: it cannot be read, or is no picks.json.
    """
    shown = visible(str(path))
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ConfigurationError(f"{shown} is too large for a picks.json")
        data: object = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(f"cannot read {shown}: {reason}") from error
    except (ValueError, RecursionError):
        raise ConfigurationError(f"{shown} is no picks.json: no JSON") from None
    found = data.get("picks") if isinstance(data, Mapping) else data
    if not isinstance(found, list):
        raise ConfigurationError(f"{shown} is no picks.json: it has no list of picks")
    return [_pick(each, shown) for each in found]


def _pick(each: object, shown: str) -> tuple[str, str]:
    if isinstance(each, str):
        return each, ""
    if isinstance(each, Mapping) and isinstance(each.get("file"), str):
        known = each.get("id")
        return known if isinstance(known, str) else "", each["file"]
    raise ConfigurationError(f"{shown} is no picks.json: a pick names no file")


def picked(rows: Iterable[JobRow], picks: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """The picked files by the key of their job, in the jobs' order.

    Raises:
        ConfigurationError: a pick is none of these jobs' files; nothing is to be copied then.
    """
    rows = list(rows)
    owner = {file: row.key for row in rows for file in row.files}
    files = {row.key: row.files for row in rows}
    chosen: dict[str, set[str]] = {}
    unknown: list[str] = []
    for name, file in picks:
        if (file or name) in owner:
            chosen.setdefault(owner[file or name], set()).add(file or name)
        elif not file and files.get(name):
            chosen.setdefault(name, set()).update(files[name])
        else:
            unknown.append(file or name)
    if unknown:
        names = ", ".join(shortened(each) for each in unknown[:5])
        raise ConfigurationError(
            f"{counted(len(unknown), 'pick is', 'picks are')} no file of this output directory: "
            f"{names}{' ...' if len(unknown) > 5 else ''}"  # noqa: PLR2004 - as many as are named
        )
    return {
        row.key: tuple(file for file in row.files if file in chosen[row.key])
        for row in rows
        if row.key in chosen
    }
