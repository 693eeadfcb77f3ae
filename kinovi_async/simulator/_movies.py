"""Videos: a ready-made file per aspect ratio, stretched to the wished length.

The length of an MP4 is a count of ticks over a timescale (ticks per second). Writing
another timescale into the movie's and its tracks' headers makes the same frames last
longer or shorter; not a frame is touched and no encoder is needed. The ready-made
files have 360360 ticks, which is divisible by every length from 1 to 15 seconds.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from typing import Final, NamedTuple

# ISO/IEC 14496-12: the boxes that hold a timescale, and the way to them.
_CONTAINERS: Final = frozenset({b"moov", b"trak", b"mdia"})
_HEADERS: Final = frozenset({b"mvhd", b"mdhd"})
_HD_WIDTHS: Final = 2000
"""A wider or higher video is of the 4K set; 720p reaches 1470 pixels."""


class Box(NamedTuple):
    """One box of an MP4 file: its type and where its content starts and ends."""

    kind: bytes
    start: int
    end: int


def boxes(data: bytes | bytearray, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """The boxes from `start` to `end`, one level. Raises ValueError at a broken one."""
    end = len(data) if end is None else end
    position = start
    while position < end:
        if position + 8 > end:
            raise ValueError(f"a box header is cut off at byte {position}")
        size, kind = struct.unpack_from(">I4s", data, position)
        header = 8
        if size == 1:
            if position + 16 > end:
                raise ValueError(f"a box header is cut off at byte {position}")
            (size,) = struct.unpack_from(">Q", data, position + 8)
            header = 16
        elif size == 0:
            size = end - position
        if size < header or position + size > end:
            raise ValueError(f"the box at byte {position} says it has {size} bytes")
        yield Box(kind, position + header, position + size)
        position += size


def _headers(data: bytes | bytearray, start: int, end: int) -> Iterator[Box]:
    for box in boxes(data, start, end):
        if box.kind in _CONTAINERS:
            yield from _headers(data, box.start, box.end)
        elif box.kind in _HEADERS:
            yield box


def retimed(movie: bytes, seconds: float) -> bytes:
    """The MP4 file with every timescale changed so that it lasts `seconds`.

    Raises ValueError for a length that is not positive and for a file without a movie.
    """
    if not seconds > 0:
        raise ValueError(f"a video lasts longer than {seconds} seconds")
    data = bytearray(movie)
    found = False
    for box in _headers(movie, 0, len(movie)):
        # Version 1 has 64-bit times: creation, modification, then timescale, duration.
        long = movie[box.start] == 1
        place = box.start + (20 if long else 12)
        (duration,) = struct.unpack_from(">Q" if long else ">I", movie, place + 4)
        struct.pack_into(">I", data, place, max(1, round(duration / seconds)))
        found = True
    if not found:
        raise ValueError("no movie header in this file")
    return bytes(data)


def length(movie: bytes) -> float:
    """Seconds that the movie header states."""
    for box in _headers(movie, 0, len(movie)):
        if box.kind == b"mvhd":
            long = movie[box.start] == 1
            layout, place = (">IQ", 20) if long else (">II", 12)
            timescale, duration = struct.unpack_from(layout, movie, box.start + place)
            return float(duration / timescale)
    raise ValueError("no movie header in this file")


def annotated(movie: bytes, note: str) -> bytes:
    """The file with a `free` box at its end, which players skip: no two files are equal."""
    text = note.encode("utf-8", "replace")
    return movie + struct.pack(">I4s", 8 + len(text), b"free") + text


@lru_cache(maxsize=12)
def _ready_made(name: str) -> bytes:
    return (files(__package__) / "media" / name).read_bytes()


_RATIOS: Final = {
    (1280, 720): "16x9",
    (720, 1280): "9x16",
    (960, 960): "1x1",
    (1112, 834): "4x3",
    (834, 1112): "3x4",
    (1470, 630): "21x9",
}


def film(width: int, height: int, seconds: float, note: str, *, brand: str | None = None) -> bytes:
    """An H.264 MP4 of this size and length. Raises KeyError for a size there is no file of.

    With a `brand` of four characters the file says it is of another kind: `qt  ` is a .mov.
    """
    ready = _ready_made(_name(width, height))
    if brand is not None:
        # The first box is `ftyp`: its size and name, then the major brand.
        ready = ready[:8] + brand.encode("ascii") + ready[12:]
    return annotated(retimed(ready, seconds), note)


def _name(width: int, height: int) -> str:
    if (width, height) in _BY_SIZE:
        return f"{width}x{height}.mp4"
    large = max(width, height) > _HD_WIDTHS
    factor = 3 if large else 1
    ratio = _RATIOS[width // factor, height // factor]
    return f"{ratio}-{'4k' if large else '720p'}.mp4"


_480P: Final = {(864, 496), (496, 864), (854, 480), (480, 854), (752, 560), (560, 752)}
_1080P: Final = {(1920, 1080), (1080, 1920), (1440, 1440), (1664, 1248), (1248, 1664), (2206, 946)}
_BY_SIZE: Final = frozenset({*_480P, (640, 640), (992, 432), *_1080P})
