"""How text of other people reaches a terminal, and how numbers are written for people.

Prompts, ids, tags and the server's messages are data. Whatever could move a cursor,
change a title, open a link or turn the reading direction is shown as an escape, never
sent raw.
"""

from __future__ import annotations

import contextlib
import unicodedata
from decimal import Decimal
from typing import TextIO

USD_PER_CREDIT = Decimal("0.005")
"""1 credit = 0.005 USD. Source: the price tables of the API's model pages."""

_MINUTE = 60
_HOUR = 3600
_DAY = 24  # hours
_TEN, _TWENTY, _HUNDRED, _THOUSAND = 10, 20, 100, 1000
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


def in_money(amount: Decimal, usd: Decimal = USD_PER_CREDIT) -> str:
    """`200 credits ($1.00)`; dollars to the cent, more digits only below one dollar."""
    return f"{in_credits(amount)} ({dollars(amount, usd)})"


def dollars(amount: Decimal, usd: Decimal = USD_PER_CREDIT) -> str:
    """What this many credits cost, as `$1.00`; `usd` is what one of them does."""
    value = (amount * usd).quantize(Decimal("0.0001"))
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


def sized(size: float) -> str:
    """Bytes for people: `512 B`, `31.2 MB`; a kB is 1,000 bytes."""
    amount, unit = size, "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < _THOUSAND:
            break
        amount, unit = amount / _THOUSAND, larger
    return f"{amount:,.0f} {unit}" if unit == "B" or amount >= _HUNDRED else f"{amount:,.1f} {unit}"


def roughly(seconds: float) -> str:
    """Seconds that are an estimate, rounded as one would say them: `40 s`, `3 min`, `1 h 20 min`."""
    if seconds < _MINUTE - 5:
        return f"{max(10, round(seconds / 10) * 10)} s"
    minutes = max(1, round(seconds / _MINUTE))
    if minutes > _TWENTY:
        minutes = round(minutes / 5) * 5
    if minutes < _MINUTE:
        return f"{minutes} min"
    hours = seconds / _HOUR
    if hours < _TEN:
        tens = round(hours * 6) * 10
        rest = f" {tens % 60} min" if tens % 60 else ""
        return f"{tens // 60} h{rest}"
    return f"{round(hours)} h" if hours < 2 * _DAY else f"{round(hours / _DAY):,} days"


def write_line(text: str, stream: TextIO) -> None:
    """Writes one line at once, with an escape for what the stream's encoding lacks.

    A reader that has gone away does not end a run that is paid for.
    """
    line = text + "\n"
    # OSError: a closed pipe, a terminal that is gone (EIO), a full disk below a log.
    # ValueError: closed, at the very end of the process.
    with contextlib.suppress(OSError, ValueError):
        try:
            stream.write(line)
        except UnicodeEncodeError:
            encoding = stream.encoding or "ascii"
            stream.write(line.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
