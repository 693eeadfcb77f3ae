"""Local files as references: what one is, what its bytes show, and its form in a ledger.

A file is read when a request is made: it must be there, and its first bytes must show a
kind of media that the field takes. From then on it goes by the hash of its content, so
that a file which is edited later is never sent for the one that was checked.

Only Python objects (a path, an open file) name local files. In the JSON of an API body an
address is text and nothing else, or whoever may send a server a body could make it read
the server's files.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, cast

from .._errors import InvalidRequestError, Problem
from .._sniffing import sniff
from ._kinds import FORMATS, Formats, Kind
from ._rules import listed, refuse, shorten

if TYPE_CHECKING:
    from pydantic import JsonValue

_TYPES = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "video/webm": "webm",
    "audio/mpeg": "mp3",
    "audio/wav": "wav",
    "audio/mp4": "m4a",
    "audio/aac": "aac",
    "audio/ogg": "ogg",
    "audio/flac": "flac",
}
"""The format of each media type that a reference may have."""
_SPELT = {"jpg": "JPEG", "webp": "WebP", "webm": "WebM"}
_FORM = {"file", "sha256", "size", "mediaType"}
_HEAD = 1024
_PIECE = 1 << 20
_NAME_DIGITS = 16

FileSource: TypeAlias = str | os.PathLike[str] | BinaryIO
"""A path, or a file opened for reading bytes."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file of this machine as a reference; it is uploaded just before the submission."""

    path: str | None
    """Absolute; None for an open file that has no name, which lives in memory alone."""
    sha256: str
    """Of its content when it was checked, in hex."""
    size: int
    """Bytes."""
    media_type: str
    content: bytes | None = field(default=None, repr=False, compare=False)
    """The bytes of a file without a name."""

    @property
    def kind(self) -> Kind:
        """By its content."""
        return Kind(self.media_type.split("/")[0])

    @property
    def upload_name(self) -> str:
        """The name it gets on the server: nothing of the local one leaves this machine."""
        return f"{self.sha256[:_NAME_DIGITS]}.{_TYPES[self.media_type]}"

    @property
    def shown(self) -> str:
        """For messages."""
        return "an open file" if self.path is None else self.path

    def to_json(self) -> dict[str, JsonValue]:
        """As the ledger keeps it."""
        return {
            "file": self.path,
            "sha256": self.sha256,
            "size": self.size,
            "mediaType": self.media_type,
        }


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was uploaded; wherever a request takes a reference, it takes this as well."""

    url: str
    """For any request until it expires."""
    expires_at: datetime
    """When the server drops it, 24 hours after the upload; in UTC."""
    size: int
    """Bytes."""
    media_type: str
    """As the content shows it: `image/png`."""

    @property
    def kind(self) -> Kind:
        """By its content."""
        return Kind(self.media_type.split("/")[0])


def is_source(value: object) -> bool:
    """Whether the value names a local file: a path or an open file, never a text."""
    return isinstance(value, LocalFile | os.PathLike) or callable(getattr(value, "read", None))


def spelt(formats: Sequence[str]) -> str:
    """`JPEG, PNG or WebP`."""
    return listed([_SPELT.get(name, name.upper()) for name in formats])


def allowed_files(formats: Formats) -> str:
    """`an image file (JPEG, PNG or WebP)`."""
    parts = []
    for kind, names in formats.items():
        what = "an audio file" if kind is Kind.AUDIO else f"{kind.described} file"
        parts.append(f"{what} ({spelt(names)})")
    return listed(parts)


def fits(file: LocalFile | Upload, formats: Formats) -> bool:
    """Whether the file's content is of one of the formats."""
    name = _TYPES.get(file.media_type)
    return any(name in names for names in formats.values())


def check_format(file: LocalFile | Upload, formats: Formats) -> None:
    """Raises PydanticCustomError for a file of another format."""
    if not fits(file, formats):
        what = file.media_type or "of no known type"
        shown = "an upload" if isinstance(file, Upload) else _shown(file.path)
        raise refuse(allowed_files(formats), f"{shown} ({what})")


def local_file(source: object, formats: Formats) -> LocalFile:
    """The file, read through once: its hash, size and type.

    Raises:
        PydanticCustomError: it is missing, cannot be read, is empty, or of another format.
    """
    allowed = allowed_files(formats)
    if isinstance(source, LocalFile):
        found = source
    elif isinstance(source, os.PathLike):
        found = _of_path(Path(os.fsdecode(source)), allowed)
    else:
        found = _of_open_file(cast("BinaryIO", source), allowed)
    check_format(found, formats)
    return found


def file_to_upload(source: object) -> LocalFile:
    """A file of any kind that a reference may have; a text is a path here.

    Raises:
        InvalidRequestError: it is none, or cannot be read.
    """
    from pydantic_core import PydanticCustomError

    if isinstance(source, str):
        source = Path(source)
    if not is_source(source):
        raise InvalidRequestError.of(
            [Problem("file", type(source).__name__, "a path or an open binary file")]
        )
    try:
        return local_file(source, FORMATS)
    except PydanticCustomError as error:
        context = error.context or {}
        problem = Problem("file", str(context.get("given")), str(context.get("allowed")))
        raise InvalidRequestError.of([problem]) from None


def _of_path(path: Path, allowed: str) -> LocalFile:
    try:
        found = path.resolve()
        mode = found.stat().st_mode
        if not S_ISREG(mode):  # opening a pipe would wait for its writer
            media_type = "a directory" if S_ISDIR(mode) else "not a regular file"
            return LocalFile(str(path), "", 0, media_type)
        with found.open("rb") as stream:
            head = stream.read(_HEAD)
            stat = os.fstat(stream.fileno())
        media_type = sniff(head, path.name) or ("" if head else "an empty file")
        if "/" not in media_type:  # not hashed: it is refused anyway
            return LocalFile(str(path), "", stat.st_size, media_type)
        digest = _digest(str(found), stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise refuse(allowed, f"{_shown(str(path))} ({_reason(error)})") from None
    return LocalFile(str(found), digest, stat.st_size, media_type)


@lru_cache(maxsize=4096)
def _digest(path: str, _device: int, _inode: int, _size: int, _mtime: int) -> str:
    # A batch names one picture in thousands of lines. What is sent is hashed once more.
    digest = hashlib.sha256()
    for piece in pieces(path):
        digest.update(piece)
    return digest.hexdigest()


def pieces(path: str) -> Iterator[bytes]:
    """The bytes of a file, 1 MiB at a time."""
    with Path(path).open("rb") as stream:
        while piece := stream.read(_PIECE):
            yield piece


def _of_open_file(stream: BinaryIO, allowed: str) -> LocalFile:
    path = _name_of(stream)
    if path is not None:
        return _of_path(path, allowed)
    try:
        if getattr(stream, "seekable", bool)():
            stream.seek(0)
        content: object = stream.read()
    except (OSError, ValueError) as error:
        raise refuse(allowed, f"an open file ({_reason(error)})") from None
    if not isinstance(content, bytes):
        raise refuse(allowed, "a file opened as text")
    digest = hashlib.sha256(content).hexdigest()
    return LocalFile(None, digest, len(content), sniff(content[:_HEAD]) or "", content)


def _name_of(stream: BinaryIO) -> Path | None:
    """The path of an open file, when it still leads to the same one."""
    name = getattr(stream, "name", None)
    if not isinstance(name, str) or "b" not in str(getattr(stream, "mode", "b")):
        return None
    try:
        same = os.path.samestat(os.stat(name), os.fstat(stream.fileno()))  # noqa: PTH116 - both alike
    except (OSError, ValueError):
        return None
    return Path(name) if same else None


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, RuntimeError):
        return "links in a circle"
    text = str(getattr(error, "strerror", None) or error or type(error).__name__).rstrip(".")
    return text if text.startswith("I/O") else text[:1].lower() + text[1:]


def _shown(path: str | None) -> str:
    if path is None:
        return "an open file"
    text = repr(path)
    return text if len(text) <= _SHOWN else "'..." + text[3 - _SHOWN :]


_SHOWN = 50


# -- in bodies -----------------------------------------------------------------------------


def files_in(value: object) -> Iterator[LocalFile]:
    """Every local file in a request's values."""
    if isinstance(value, LocalFile):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from files_in(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from files_in(item)


def is_file_form(value: object) -> bool:
    """Whether a JSON value is what `LocalFile.to_json` makes."""
    return (
        isinstance(value, Mapping)
        and value.keys() == _FORM
        and isinstance(value["file"], str | None)
        and isinstance(value["sha256"], str)
        and isinstance(value["size"], int)
        and value["mediaType"] in _TYPES
    )


def revived(value: object) -> object:
    """A stored body's part with its files as objects again; nothing is read."""
    if is_file_form(value):
        form = cast("Mapping[str, object]", value)
        return LocalFile(
            cast("str | None", form["file"]),
            str(form["sha256"]),
            cast("int", form["size"]),
            str(form["mediaType"]),
        )
    if isinstance(value, Mapping):
        return {key: revived(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [revived(item) for item in value]
    return value


def as_json(value: object) -> JsonValue:
    """A value of a body with its files in the ledger's form."""
    if isinstance(value, LocalFile):
        return value.to_json()
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    return cast("JsonValue", value)


def with_addresses(
    inputs: Mapping[str, JsonValue], uploaded: Mapping[str, str]
) -> dict[str, JsonValue]:
    """`inputs` with the address of each file's upload, by the hash of its content.

    Raises:
        InvalidRequestError: a file has not been uploaded.
    """
    problems: list[Problem] = []

    def replaced(value: JsonValue, path: str) -> JsonValue:
        if is_file_form(value):
            form = cast("Mapping[str, str]", value)
            address = uploaded.get(form["sha256"])
            if address is None:
                allowed = "an address: a local file is uploaded first (client.upload)"
                problems.append(Problem(path, shorten(repr(form["file"])), allowed))
            return address
        if isinstance(value, dict):
            return {key: replaced(item, f"{path}.{key}") for key, item in value.items()}
        if isinstance(value, list):
            return [replaced(item, f"{path}[{n}]") for n, item in enumerate(value)]
        return value

    found = {key: replaced(value, f"inputs.{key}") for key, value in inputs.items()}
    if problems:
        raise InvalidRequestError.of(problems)
    return found
