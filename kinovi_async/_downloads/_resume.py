"""Whether a download may go on where another one ended, and whether it really did.

Beside an unfinished file stands a note: which address it came from, how long the whole
is, and the validator by which the host tells one version of it from the next. The host is
asked for the rest with that validator (`If-Range`), from a little before the end of what
is there; the bytes that come twice must agree. Whenever anything does not fit, the file is
fetched from its start: a wrong restart costs time, a wrong continuation a broken result.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

__all__ = ["MIN_RESUMED_BYTES", "OVERLAP_BYTES", "Leftover", "Note", "note_of", "partial_problem"]

MIN_RESUMED_BYTES = 16 << 10
"""Below it a file is fetched anew: that costs less than asking."""
OVERLAP_BYTES = 4096
"""Bytes fetched twice and compared: a page, of which a crash of the system tears the last."""

_MAX_NOTE_BYTES = 8192
_STRONG_ETAG = re.compile(r'"[!#-~]{1,1024}"')
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Note:
    """What is kept beside an unfinished file."""

    address: str
    """Hash of the address without its query, which signs it and changes."""
    signed: str
    """Hash of the whole address."""
    total: int
    """Bytes of the whole file."""
    etag: str | None = None
    modified: str | None = None
    """The Last-Modified header, kept where there is no ETag."""

    def serves(self, url: str) -> bool:
        """Whether the file of this address may go on from here.

        An ETag tells two files of one path apart; a time of change does not, so with it
        the whole address must be the same.
        """
        here = _hashes(url)
        return self.signed == here[1] or (self.address == here[0] and self.etag is not None)

    def encode(self) -> bytes:
        """The note as it is written."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps({"kinovi_async": 1, **fields}).encode()

    @classmethod
    def decode(cls, data: bytes) -> Note | None:
        """A note as it was written; None when it is torn, or somebody else's file."""
        try:
            found = json.loads(data) if len(data) <= _MAX_NOTE_BYTES else None
        except ValueError:
            return None
        if not isinstance(found, dict) or found.pop("kinovi_async", None) != 1:
            return None
        etag, modified, total = found.get("etag"), found.get("modified"), found.get("total")
        texts = (found.get("address"), found.get("signed"), etag or modified)
        if not all(isinstance(text, str) for text in texts) or type(total) is not int:
            return None
        note = cls(str(texts[0]), str(texts[1]), total, etag, None if etag else modified)
        return note if _is_usable(note) else None


@dataclass(frozen=True, slots=True)
class Leftover:
    """An unfinished file that a download may go on with."""

    note: Note
    size: int
    """Bytes that are there."""
    head: bytes
    """The first bytes, as many as are judged."""
    tail: bytes
    """The last bytes, which are fetched again."""

    @property
    def offset(self) -> int:
        """The first byte to ask for."""
        return self.size - len(self.tail)

    def headers(self) -> dict[str, str]:
        """What asks for the rest, if it is still the rest of the same."""
        validator = self.note.etag or self.note.modified
        assert validator is not None  # noqa: S101 - no note without one
        return {"range": f"bytes={self.offset}-", "if-range": validator}


def note_of(url: str, headers: Mapping[str, str], *, total: int | None) -> Note | None:
    """What to keep of an answer so that its file can be resumed; None when it cannot.

    Needed are the length and a strong validator: an ETag that is not weak, or a time of
    change at least a second before the answer's own time (RFC 9110, 8.8.2.2).

    Args:
        url: The output's address, before redirects.
        headers: The answer's, names in lower case.
        total: Bytes of the whole file; None when unknown, or when it came encoded.
    """
    if total is None or headers.get("accept-ranges", "").strip().lower() == "none":
        return None
    address, signed = _hashes(url)
    note = Note(
        address,
        signed,
        total,
        etag=headers.get("etag", "").strip() or None,
        modified=headers.get("last-modified", "").strip() or None,
    )
    if note.etag is not None:
        note = Note(address, signed, total, etag=note.etag)
    elif note.modified is None or not _is_settled(note.modified, headers.get("date", "")):
        return None
    return note if _is_usable(note) else None


def partial_problem(headers: Mapping[str, str], leftover: Leftover) -> str | None:
    """Why an answer 206 is not exactly the rest that was asked for, or None."""
    found = _CONTENT_RANGE.fullmatch(headers.get("content-range", "").strip())
    if found is None:
        return "it does not say which part it is"
    first, last, total = (int(digits) for digits in found.groups())
    if (first, last, total) != (leftover.offset, total - 1, leftover.note.total):
        return "it is another part than was asked for"
    length = headers.get("content-length", "").strip()
    if length and length != str(total - first):
        return "its lengths disagree"
    if headers.get("content-encoding", "").strip().lower() not in {"", "identity"}:
        return "it is encoded"
    etag = headers.get("etag", "").strip()
    if etag and leftover.note.etag is not None and etag != leftover.note.etag:
        return "it is a part of another version"
    return None


def _hashes(url: str) -> tuple[str, str]:
    address = url.partition("#")[0].partition("?")[0]
    return _hash(address), _hash(url)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _is_usable(note: Note) -> bool:
    """Whether its validator may be sent: it was a header once, and may have been edited."""
    if note.etag is not None:
        return _STRONG_ETAG.fullmatch(note.etag) is not None
    return note.modified is not None and _time(note.modified) is not None


def _is_settled(modified: str, date: str) -> bool:
    changed, sent = _time(modified), _time(date)
    return changed is not None and sent is not None and sent - changed >= 1


def _time(text: str) -> float | None:
    """Seconds since the epoch, of a header's date."""
    if not text.isascii() or not text.isprintable():
        return None
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
