"""Texts of other people on the page: whole, on several lines, without control characters."""

from __future__ import annotations

from .._text import visible

_KEPT = frozenset("\n\t")


def readable(text: str) -> str:
    """Text with its line ends and its direction marks, without other control characters."""
    if text.isprintable():
        return text
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(
        char if char.isprintable() or char in _KEPT or not _is_control(char) else visible(char)
        for char in text
    )


def _is_control(char: str) -> bool:
    code = ord(char)
    return code < 0x20 or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000  # noqa: PLR2004 - Unicode's ranges
