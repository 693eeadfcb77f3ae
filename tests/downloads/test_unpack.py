"""Bodies that come packed though nobody asked: rows 9 of the findings and 102."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable, Iterable

import pytest

from kinovi_async._downloads._unpack import PIECE_BYTES, Unpacker, encoding_of


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


BODIES = [b"", b"a", b"\x78\x9c", bytes(3 << 20), random.Random(1).randbytes(200_000)]
PACKED: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("deflate", zlib.compress),
]


def unpacked(unpacker: Unpacker, chunks: Iterable[bytes]) -> bytes:
    pieces = [piece for chunk in chunks for piece in unpacker.feed(chunk)]
    assert all(0 < len(piece) <= PIECE_BYTES for piece in pieces)
    return b"".join(pieces)


@pytest.mark.parametrize("body", BODIES, ids=len)
@pytest.mark.parametrize("step", [1, 1000, 1 << 30])
def test_what_was_packed_comes_out_in_bounded_pieces(body: bytes, step: int) -> None:
    for encoding, pack in [*PACKED, ("deflate", bare)]:
        packed = pack(body)[: 20_000 if step == 1 else None]
        unpacker = Unpacker(encoding)
        out = unpacked(unpacker, (packed[at : at + step] for at in range(0, len(packed), step)))
        assert body.startswith(out)
        assert unpacker.finished == (out == body)


def test_a_bomb_costs_one_piece_at_a_time() -> None:
    """64 kB that are 64 MB: nothing is unpacked that nobody takes."""
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    assert len(bomb) < 1 << 17
    pieces = Unpacker("gzip").feed(bomb)
    assert [len(next(pieces)) for _ in range(50)] == [PIECE_BYTES] * 50
    pieces.close()  # type: ignore[attr-defined] # a generator


@pytest.mark.parametrize("bad", [b"no gzip at all", gzip.compress(b"x", mtime=0) + b"more"])
def test_a_damaged_body_is_told(bad: bytes) -> None:
    with pytest.raises(zlib.error):
        unpacked(Unpacker("gzip"), [bad])


def test_padding_behind_the_end_is_no_damage() -> None:
    assert unpacked(Unpacker("gzip"), [gzip.compress(b"x"), b"\0\0", b"\0"]) == b"x"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", (None, True)),
        ("identity", (None, True)),
        (" GZIP ", ("gzip", True)),
        ("deflate", ("deflate", True)),
        ("br", ("br", False)),
        ("gzip, gzip", ("gzip, gzip", False)),
    ],
)
def test_two_encodings_are_understood_alone(header: str, expected: tuple[str | None, bool]) -> None:
    assert encoding_of({"content-encoding": header}) == expected
