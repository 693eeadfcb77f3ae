"""Which part of a file a request asks for, by its Range, If-Range and If-None-Match headers."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_ONE_RANGE: Final = re.compile(r"bytes=[ \t]*(\d{0,18})-(\d{0,18})[ \t]*", re.ASCII)


class Part(NamedTuple):
    """The answer's status and, of the file, the first byte and the one after the last."""

    status: int
    start: int
    end: int


def part_of(
    size: int,
    etag: str,
    *,
    wanted: str | None,
    if_range: str | None,
    if_none_match: str | None,
) -> Part:
    """The part to send: 200 all of it, 206 a piece, 304 or 416 nothing (RFC 9110).

    A range in another unit, of several pieces or written wrongly is left aside, as the
    RFC allows: the whole file goes out.
    """
    if if_none_match is not None and _matches(if_none_match, etag):
        return Part(304, 0, 0)
    whole = Part(200, 0, size)
    if wanted is None or (if_range is not None and if_range.strip() != etag):
        return whole
    found = _ONE_RANGE.fullmatch(wanted)
    if found is None or found.group(1, 2) == ("", ""):
        return whole
    first, last = (int(digits) if digits else None for digits in found.groups())
    if first is None:  # the last so many bytes
        start, end = size - min(last or 0, size), size
    elif last is not None and last < first:
        return whole
    else:
        start, end = first, size if last is None else min(last + 1, size)
    return Part(206, start, end) if start < end else Part(416, 0, 0)


def _matches(header: str, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return etag in tags or "*" in tags
