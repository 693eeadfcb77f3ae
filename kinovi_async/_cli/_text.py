"""How text of other people reaches a terminal, and how numbers are written for people.

Prompts, ids, tags and the server's messages are data. Whatever could move a cursor,
change a title, open a link or turn the reading direction is shown as an escape, never
sent raw.
"""

from __future__ import annotations

import unicodedata
from decimal import Decimal

USD_PER_CREDIT = Decimal("0.005")
"""1 credit = 0.005 USD. Source: the price tables of the API's model pages."""

_MINUTE = 60
_HOUR = 3600
# Controls, formats (bidi marks, zero-width, BOM), surrogates, private use, line and
# paragraph separators: nothing of these has a width a display could count on.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# The joiner of emoji families and the joiners that Persian and Indic scripts need.
_HARMLESS = frozenset("\u200c\u200d")


def visible(text: str) -> str:
    r"""The text on one line, with everything unprintable as an escape such as `\x1b`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_visible_character, text))


def _visible_character(character: str) -> str:
    if unicodedata.category(character) not in _HIDDEN or character in _HARMLESS:
        return character
    code = ord(character)
    if character == "\n":
        return "\\n"
    if code <= 0xFF:  # noqa: PLR2004 - the three widths of Python's own escapes
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - as above


def shortened(text: str, limit: int = 80) -> str:
    """The text made visible and cut to `limit` characters, an ellipsis included."""
    # Cut first: a text of megabytes must not be escaped as a whole.
    shown = visible(text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def in_credits(amount: Decimal) -> str:
    """`1,234.5 credits`, `1 credit`; no trailing zeros."""
    return f"{number(amount)} {'credit' if amount == 1 else 'credits'}"


def in_money(amount: Decimal) -> str:
    """`200 credits ($1.00)`; dollars to the cent, more digits only below one cent."""
    return f"{in_credits(amount)} ({dollars(amount)})"


def dollars(amount: Decimal) -> str:
    """What this many credits cost, as `$1.00`."""
    value = amount * USD_PER_CREDIT
    cents = value.quantize(Decimal("0.01"))
    return f"${cents:,}" if cents == value or value >= 1 else f"${value.normalize():f}"


def number(amount: Decimal) -> str:
    """`1,234.5`: thousands apart, no exponent, no trailing zeros."""
    text = f"{amount:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """`1 job`, `2 jobs`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """`4 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = max(0, round(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02d} s"
    return f"{whole // _HOUR:,} h {whole % _HOUR // _MINUTE:02d} min"
