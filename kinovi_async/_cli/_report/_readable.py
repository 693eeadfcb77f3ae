"""Texts of other people on the page: on several lines, without control characters or secrets.

Signed addresses are keys: whoever reads one may fetch what it signs. The ledger and the
results keep them, for fetching again; a page that is shown around does not.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from .._text import visible

_ADDRESS = re.compile(r"https?://[^\s\"'<>`]+", re.IGNORECASE)
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


def unsigned(text: str) -> str:
    """Text whose addresses on the web have lost their queries."""
    if "://" not in text:
        return text
    return _ADDRESS.sub(lambda found: without_query(found[0]), text)


def without_query(url: str) -> str:
    """An address without what may be a signature or a password."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an address that cannot be read"
    if parts.scheme not in {"http", "https"}:
        return url[:40]
    if not parts.query and not parts.fragment and "@" not in parts.netloc:
        return url
    return f"{parts.scheme}://{host}{port}{parts.path}" + ("?…" if parts.query else "")


def _is_control(char: str) -> bool:
    code = ord(char)
    return code < 0x20 or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000  # noqa: PLR2004 - Unicode's ranges
