"""Unpacking of a file that a host sends encoded though nobody asked, piece by piece.

We ask for `identity`. A host that packs all the same is understood for the two encodings
of the standard library; each piece that comes out is bounded, so that the caps on the
file's size are checked before a bomb has any effect. Everything else is refused unread.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping

__all__ = ["PIECE_BYTES", "Unpacker", "encoding_of"]

PIECE_BYTES = 64 << 10
"""Bytes that come out at once, whatever went in."""

_GZIP = frozenset({"gzip", "x-gzip"})
_KNOWN = _GZIP | {"deflate"}


def encoding_of(headers: Mapping[str, str]) -> tuple[str | None, bool]:
    """The content encoding of an answer, None for none, and whether it can be unpacked."""
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding in {"", "identity"}:
        return None, True
    return encoding, encoding in _KNOWN


class Unpacker:
    """A decoder for one body."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._decoder: zlib._Decompress | None = None
        self._start = b""

    @property
    def finished(self) -> bool:
        """Whether the packed data came to its own end."""
        return self._decoder is not None and self._decoder.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What the next bytes of the body unpack to, in pieces of at most 64 KiB.

        Raises:
            zlib.error: the body is damaged, or goes on behind its end.
        """
        if self._decoder is None:
            self._start = data = self._start + data
            if len(data) < 2:  # noqa: PLR2004 - the two bytes that tell the formats apart
                return
            self._decoder = zlib.decompressobj(self._window(data))
        piece = data
        while data or len(piece) == PIECE_BYTES:
            if self._decoder.eof:
                if data.strip(b"\0"):
                    raise zlib.error("something follows the end")
                return
            piece = self._decoder.decompress(data, PIECE_BYTES)
            data = self._decoder.unconsumed_tail or self._decoder.unused_data
            if piece:
                yield piece

    def _window(self, data: bytes) -> int:
        if self._encoding in _GZIP:
            return zlib.MAX_WBITS | 16
        # `deflate` is zlib's format, but some servers send it bare (RFC 9110, 8.4.1.2). A
        # zlib stream begins with method 8 and is, as a number of 16 bits, a multiple of 31.
        is_zlib = data[0] & 0x0F == zlib.DEFLATED and int.from_bytes(data[:2], "big") % 31 == 0
        return zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS
