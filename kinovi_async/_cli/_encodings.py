"""Which encoding a file is in: told by its bytes, never by the machine's locale.

UTF-8 and UTF-16, with or without a byte order mark, are recognised for certain. A CSV
that is neither may be cp1252, the "ANSI" of Western European Excel; that is a guess,
so it is made only when nothing speaks against it, and always told.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

_SNIFFED = 4096
_MOSTLY = 0.4
_ASCII = 0x7F
# Characters of cp1252's rows 0x80 and 0x90 that Western prose uses. The others there show
# up in masses when Japanese text is read as cp1252.
_PROSE = frozenset("€…‘’“”•–—™œŒŠšŽžŸ„‚")  # noqa: RUF001 - as they are meant
_LOW_ROWS = frozenset(bytes(range(0x80, 0xA0)).decode("cp1252", "ignore"))
# Western words have one accented letter, or two; Chinese, Cyrillic or Greek ones become
# nothing else.
_LONG_RUN = re.compile(r"[\u00a0-\u00ff]{4,}")
_ODD_SHARE = 0.15


@dataclass(slots=True)
class UndecodableError(Exception):
    """Bytes that are no text in any encoding this project reads."""

    line: int
    """1-based."""
    offset: int
    """Of the offending byte in the file, from 0."""
    message: str


def sniff_unicode(head: bytes) -> tuple[str, str]:
    """The codec for a file that begins like this, and its name for people.

    Falls back to UTF-8, which is right or fails loudly.
    """
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig", "UTF-8 with BOM"
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32", "UTF-32"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", "UTF-16"
    sample = head[:_SNIFFED]
    # Without a mark: markup and separators are ASCII, so every other byte is often NUL.
    if len(sample) >= 2:  # noqa: PLR2004 - one UTF-16 unit
        even, odd = sample[0::2], sample[1::2]
        if odd.count(0) > _MOSTLY * len(odd) and even.count(0) == 0:
            return "utf-16-le", "UTF-16"
        if even.count(0) > _MOSTLY * len(even) and odd.count(0) == 0:
            return "utf-16-be", "UTF-16"
    return "utf-8", "UTF-8"


def decode_table(data: bytes) -> tuple[str, str]:
    """The text of a whole CSV file and the encoding's name for people.

    Raises:
        UndecodableError: the bytes are neither UTF-8 nor UTF-16 nor plausible cp1252.
    """
    codec, name = sniff_unicode(data)
    try:
        return data.decode(codec), name
    except UnicodeDecodeError as error:
        if codec != "utf-8":
            raise _undecodable(data, error.start, f"not valid {name}") from None
        return _western(data, error)


def _western(data: bytes, error: UnicodeDecodeError) -> tuple[str, str]:
    wrong = f"byte 0x{data[error.start]:02x} is not valid UTF-8"
    if _is_mostly_utf8(data):
        # Mixed: reading it all as cp1252 would garble what is UTF-8 now.
        raise _undecodable(data, error.start, wrong) from None
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError as second:
        advice = "and the file is not cp1252 either; save it as UTF-8"
        raise _undecodable(data, second.start, f"{wrong}, {advice}") from None
    if _seems_garbled(text):
        advice = "and as cp1252 the text would be garbled; save it as UTF-8"
        raise _undecodable(data, error.start, f"{wrong}, {advice}") from None
    return text, "cp1252"


def _seems_garbled(text: str) -> bool:
    """Whether this is text of another script, read with the wrong table."""
    high = sum(1 for character in text if ord(character) > _ASCII)
    odd = sum(1 for c in text if ord(c) > _ASCII and c not in _PROSE and c in _LOW_ROWS)
    in_runs = sum(map(len, _LONG_RUN.findall(text)))
    return max(odd, in_runs) > _ODD_SHARE * high


def _is_mostly_utf8(data: bytes) -> bool:
    """Whether more of what is not ASCII is valid UTF-8 than not; some is by accident."""
    text = data.decode("utf-8", "replace")
    wrong = text.count("\ufffd")
    return sum(1 for character in text if ord(character) > _ASCII) - wrong > wrong


def _undecodable(data: bytes, offset: int, message: str) -> UndecodableError:
    line = data.count(b"\n", 0, offset) + 1
    return UndecodableError(line, offset, f"{message} (byte {offset:,} of the file)")
