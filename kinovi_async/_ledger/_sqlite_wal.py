"""Whether the log of a SQLite ledger (its `-wal` file) was damaged after it was written.

SQLite takes the log up to the first frame whose checksum is wrong and drops the rest
without a word: that is how it forgets a transaction that a crash cut off. After damage in
the middle the same rule would forget acceptances that were durable, and their jobs would
be paid for again. The two can be told apart: each commit is on disk before the next one
begins (`synchronous = FULL`), so that whole commits behind a bad frame prove that the bad
one had been whole too. What cannot be told is damage to the very last commit, or a log
that was cut off or removed.

Layout: https://sqlite.org/fileformat2.html#walformat
"""

from __future__ import annotations

import struct
from typing import NamedTuple

__all__ = ["is_damaged"]

_HEADER = struct.Struct(">8I")
"""Magic, version, page size, sequence, two salts, two checksums."""
_FRAME = struct.Struct(">6I")
"""Page, pages of the file after a commit or 0, two salts, two checksums."""
_SUMMED = 8
"""Bytes of a frame's header that its checksum covers, beside its page."""
_MAGIC = 0x377F0682
"""Words are summed up as little-endian numbers; with the last bit set, as big-endian ones."""
_PROOF = 2
"""Whole commits behind a bad frame that need no other sign."""

_Sum = tuple[int, int]


class _Frame(NamedTuple):
    salts: _Sum
    commits: bool
    told: _Sum
    """The checksum it holds."""
    follows: bool
    """Whether that is right for what the frame before it holds."""


def is_damaged(log: bytes) -> bool:
    """Whether committed frames stand behind a frame that SQLite will stop at."""
    if len(log) < _HEADER.size:
        return False
    magic, _, page_size, _, *salts, one, two = _HEADER.unpack_from(log)
    order = ">" if magic & 1 else "<"
    told = (one, two)
    is_header_whole = magic | 1 == _MAGIC | 1 and _sum(order, log[:24], (0, 0)) == told
    if not is_header_whole:
        # One write of 32 bytes is never torn, so this is damage if there was anything.
        return len(log) > _HEADER.size + _FRAME.size
    frames = _frames(log, page_size, order, told)
    mine = (salts[0], salts[1])
    for number, frame in enumerate(frames):
        if not (frame.follows and frame.salts == mine):
            return _has_commits(frames[number:], mine)
    return False


def _has_commits(frames: list[_Frame], salts: _Sum) -> bool:
    """Whether whole commits follow the first of these frames, which SQLite stops at."""
    ours = [frame.salts == salts for frame in frames]
    whole = [
        number
        for number in range(1, len(frames))
        if ours[number] and frames[number].follows and frames[number].commits
    ]
    if len(whole) >= _PROOF:
        return True
    # The commit that the bad frame belongs to, and a frame of the one after it.
    end = next((n for n, frame in enumerate(frames) if ours[n] and frame.commits), len(frames))
    after = end + 1
    return after < len(frames) and ours[after] and frames[after].follows


def _frames(log: bytes, page_size: int, order: str, before: _Sum) -> list[_Frame]:
    size = _FRAME.size + page_size
    found = []
    for start in range(_HEADER.size, len(log) - size + 1, size):
        _, pages, salt_1, salt_2, sum_1, sum_2 = _FRAME.unpack_from(log, start)
        content = log[start : start + _SUMMED] + log[start + _FRAME.size : start + size]
        told = (sum_1, sum_2)
        follows = _sum(order, content, before) == told
        found.append(_Frame((salt_1, salt_2), pages > 0, told, follows))
        before = told
    return found


def _sum(order: str, content: bytes, before: _Sum) -> _Sum:
    one, two = before
    words = iter(struct.unpack(f"{order}{len(content) // 4}I", content))
    for first, second in zip(words, words, strict=True):
        one = (one + first + two) & 0xFFFFFFFF
        two = (two + second + one) & 0xFFFFFFFF
    return one, two
