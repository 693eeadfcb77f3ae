"""Files of unannounced length, judged by the format's own end; row 100 of the catalogue."""

from __future__ import annotations

import io
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kinovi_async._downloads._ending import EndWatch
from kinovi_async.simulator._movies import film


def box(name: bytes, content: bytes, *, long: bool = False) -> bytes:
    if long:
        return b"\0\0\0\1" + name + (len(content) + 16).to_bytes(8, "big") + content
    return (len(content) + 8).to_bytes(4, "big") + name + content


def picture(kind: str) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((64, 48), 90).convert("RGB").save(file, kind)
    return file.getvalue()


def boundaries(data: bytes) -> set[int]:
    """Where the boxes of a film begin; nothing for another file."""
    found, at = set(), 0
    while data[4:8] in {b"ftyp", b"wide"} and at < len(data):
        found.add(at)
        length = int.from_bytes(data[at : at + 4], "big")
        at += length if length != 1 else int.from_bytes(data[at + 8 : at + 16], "big")
    return found


FTYP = box(b"ftyp", b"isomisom")
FILES = {
    "png": picture("PNG"),
    "jpeg": picture("JPEG"),
    "webp": picture("WEBP"),
    "wav": b"RIFF\x2c\0\0\0WAVE" + bytes(40),
    "mp4": FTYP + box(b"moov", bytes(90)) + box(b"mdat", bytes(3000)),
    "mp4 of 64 bits": FTYP + box(b"mdat", bytes(3000), long=True) + box(b"moov", bytes(90)),
    "film": film(1280, 720, 1.0, "a note"),
    "mov": box(b"wide", b"") + box(b"mdat", bytes(500)),
}


def judged(data: bytes, step: int = 1 << 20) -> Literal["complete", "cut", "unknown"]:
    watch = EndWatch()
    for at in range(0, len(data), step):
        watch.feed(data[at : at + step])
    return watch.ending()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("step", [1, 7, 1000, 1 << 20])
def test_a_whole_file_is_complete_however_it_comes(name: str, step: int) -> None:
    assert judged(FILES[name], step) == "complete"


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_file_without_its_end_is_never_complete(name: str, data: st.DataObject) -> None:
    whole = FILES[name]
    kept = data.draw(st.integers(32, len(whole) - 1))
    cut = judged(whole[:kept], step=data.draw(st.sampled_from([1, 13, 4096])))
    # Where one box ends and the next begins nothing shows that more was to come.
    assert cut == ("complete" if kept in boundaries(whole) else "cut")


@pytest.mark.parametrize(
    "data",
    [
        b"whatever this is",
        b"GIF89a" + bytes(50),
        FTYP + box(b"\0\1\2\3", b"no name"),
        FTYP + b"\0\0\0\0mdat to the end of the file",
        FTYP + b"\0\0\0\5mdat shorter than its own head",
        FTYP + b"\0\0\0\1mdat" + bytes(7) + b"\x0f" + b"shorter than its own head",
    ],
)
def test_what_tells_nothing_is_neither_complete_nor_cut(data: bytes) -> None:
    assert judged(data) == "unknown"


def test_nothing_at_all_is_unknown() -> None:
    assert EndWatch().ending() == "unknown"
