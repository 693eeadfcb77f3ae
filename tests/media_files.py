"""Small files of each kind that the API takes as references."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path


def png(shade: int = 0, size: int = 0) -> bytes:
    """A one-pixel PNG of a shade of grey, with `size` bytes of comment."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes([0, shade % 256]))
    comment = chunk(b"tEXt", b"Comment\x00" + b"x" * size) if size else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + comment
        + chunk(b"IDAT", pixels)
        + chunk(b"IEND", b"")
    )


MP4 = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2" + b"\x00\x00\x00\x08free"
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(28)
HTML = b"<!doctype html><html><body>not found</body></html>"


def write(path: Path, content: bytes) -> Path:
    """The path, with the content in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
