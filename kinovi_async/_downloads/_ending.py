"""Whether a file is all there, by its own format: for hosts that announce no length.

Some formats say where they end: an end mark, or lengths at the start of their parts. What
says nothing is neither complete nor cut off, and is only told as unproven.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from ._content import sniff

__all__ = ["EndWatch", "Ending"]

Ending: TypeAlias = Literal["complete", "cut", "unknown"]

_TAIL_BYTES = 1024  # in which an end mark is looked for: some cameras and editors add notes
_PNG_END = b"IEND\xaeB`\x82"
_JPEG_END = b"\xff\xd9"
_RIFF_HEAD = 8  # `RIFF` and the length of what follows
_BOX_HEAD = 8  # length and name, ISO/IEC 14496-12
_LONG_BOX_HEAD = 16  # with a length of 64 bits behind the name
_BOXES = frozenset(
    {"video/mp4", "video/quicktime", "audio/mp4", "image/heic", "image/avif"},
)


class EndWatch:
    """Takes a file's bytes as they come; `ending()` then tells what they amount to."""

    def __init__(self) -> None:
        self._size = 0
        self._head = b""
        self._tail = b""
        # Where the next box begins, and what is known of its head; None: no boxes to follow.
        self._next_box: int | None = 0
        self._box_head = b""

    def feed(self, chunk: bytes) -> None:
        """The next bytes of the file."""
        if len(self._head) < _LONG_BOX_HEAD * 4:
            self._head += chunk[: _LONG_BOX_HEAD * 4]
        self._follow_boxes(chunk)
        self._size += len(chunk)
        self._tail = (self._tail + chunk[-_TAIL_BYTES:])[-_TAIL_BYTES:]

    def ending(self) -> Ending:
        """Whether the bytes so far are a whole file."""
        media_type = sniff(self._head)
        if media_type == "image/png":
            return "complete" if _PNG_END in self._tail else "cut"
        if media_type == "image/jpeg":
            return "complete" if _JPEG_END in self._tail else "cut"
        if self._head.startswith(b"RIFF"):
            length = int.from_bytes(self._head[4:_RIFF_HEAD], "little") + _RIFF_HEAD
            return "complete" if self._size >= length else "cut"
        if media_type in _BOXES:
            return self._boxes_ending()
        return "unknown"

    def _boxes_ending(self) -> Ending:
        if self._next_box is None:
            return "unknown"
        return "complete" if self._next_box == self._size and not self._box_head else "cut"

    def _follow_boxes(self, chunk: bytes) -> None:
        """Steps from box to box; only their heads are looked at."""
        end = self._size + len(chunk)
        while self._next_box is not None:
            start = self._next_box + len(self._box_head)
            if start >= end:
                return
            wanted = _LONG_BOX_HEAD if self._box_head[3:4] == b"\x01" else _BOX_HEAD
            at = start - self._size
            self._box_head += chunk[at : at + wanted - len(self._box_head)]
            if len(self._box_head) < wanted:
                return
            self._take_box_head(wanted)

    def _take_box_head(self, wanted: int) -> None:
        length = int.from_bytes(self._box_head[:4], "big")
        if length == 1:
            if wanted == _BOX_HEAD:
                return  # the loop fetches the rest of the long head
            length = int.from_bytes(self._box_head[8:], "big")
        name = self._box_head[4:_BOX_HEAD]
        # Length 0 is one to the end of the file; the rest is no box at all.
        if length < wanted or not (name.isascii() and name.decode().isprintable()):
            self._next_box = None
            return
        assert self._next_box is not None  # noqa: S101 - the loop saw it
        self._next_box += length
        self._box_head = b""
