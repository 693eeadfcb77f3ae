"""What a reference address shows, and which `@image1` a prompt may cite.

Pure functions over addresses and prompts. The kind of a file is read off the extension
of the address's path, unless the user says it with `Image(url)` or `Video(url)`; where
neither says it, the kind is unknown and the file may turn out to be either.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import SplitResult, urlsplit

from ._files import FileSource, LocalFile, Upload, check_format, is_source, local_file
from ._kinds import FORMATS, Kind

if TYPE_CHECKING:
    from pydantic import JsonValue


# The documents name JPEG, PNG and WebP images, MP4 videos, and "MP3, WAV, or other
# common" audio. The other extensions are here because their kind is beyond doubt.
_EXTENSIONS = {
    ".jpg": Kind.IMAGE,
    ".jpeg": Kind.IMAGE,
    ".png": Kind.IMAGE,
    ".webp": Kind.IMAGE,
    ".mp4": Kind.VIDEO,
    ".mov": Kind.VIDEO,
    ".webm": Kind.VIDEO,
    ".mp3": Kind.AUDIO,
    ".wav": Kind.AUDIO,
    ".m4a": Kind.AUDIO,
    ".aac": Kind.AUDIO,
    ".ogg": Kind.AUDIO,
    ".flac": Kind.AUDIO,
}
_NOT_IN_ADDRESSES = re.compile(r"[\s\x00-\x20\x7f]")
_CITATION = re.compile(r"@(image|video|audio)([0-9]+)", re.IGNORECASE)
# No list of references is this long, and int() refuses 4,300 digits.
_MOST_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Image:
    """A reference of an `OmniReference` that is an image, whatever its address looks like."""

    url: FileSource


@dataclass(frozen=True, slots=True)
class Video:
    """A reference of an `OmniReference` that is a video, whatever its address looks like."""

    url: FileSource


Reference: TypeAlias = FileSource | LocalFile | Upload | Image | Video


def split_address(address: str) -> SplitResult | None:
    """The parts of an http or https address with a host; None when it is none."""
    if _NOT_IN_ADDRESSES.search(address):
        return None
    try:
        parts = urlsplit(address)
        _ = parts.port  # raises when it is no number or out of range
    except ValueError:
        return None
    return parts if parts.scheme in {"http", "https"} and parts.hostname else None


def kind_of(reference: Reference) -> Kind | None:
    """The kind as marked, else as the path's extension shows it; None when unknown."""
    if isinstance(reference, Image):
        return Kind.IMAGE
    if isinstance(reference, Video):
        return Kind.VIDEO
    if isinstance(reference, LocalFile):
        return reference.kind
    parts = split_address(reference) if isinstance(reference, str) else None
    if parts is None:
        return None
    return _EXTENSIONS.get(posixpath.splitext(parts.path)[1].lower())


def address_of(reference: Reference) -> JsonValue:
    """The address alone, as it is sent; of a local file, its form in the ledger."""
    if isinstance(reference, Image | Video):
        reference = reference.url
    if isinstance(reference, LocalFile):
        return reference.to_json()
    return reference if isinstance(reference, str) else str(reference)


def marked(address: Reference, kind: Kind) -> Reference:
    """The address, marked when it does not show by itself that it is an image or a video."""
    if not isinstance(address, str):
        return address
    if kind_of(address) is kind:
        return address
    return Video(address) if kind is Kind.VIDEO else Image(address)


def read_source(value: object) -> object:
    """A local file, read, or an upload's address with its kind; anything else as it is.

    Raises:
        PydanticCustomError: the file cannot be a reference here.
    """
    if isinstance(value, Image | Video):
        kinds: tuple[Kind, ...] = (Kind.IMAGE if isinstance(value, Image) else Kind.VIDEO,)
        value = value.url if is_source(value.url) else value
    else:
        kinds = (Kind.IMAGE, Kind.VIDEO)
    formats = {kind: FORMATS[kind] for kind in kinds}
    if isinstance(value, Upload):
        check_format(value, formats)
        return marked(value.url, value.kind)
    return local_file(value, formats) if is_source(value) else value


def read_marked(value: object) -> object:
    """`{"video": address}` as `Video(address)`; anything else as it is."""
    if isinstance(value, Mapping) and len(value) == 1:
        for mark, cls in (("image", Image), ("video", Video)):
            if isinstance(value.get(mark), str):
                return cls(value[mark])
    return value


def stored_reference(reference: Reference) -> JsonValue:
    """What `read_marked` reads: the address alone when it shows its kind."""
    address = address_of(reference)
    if not isinstance(reference, Image | Video):
        return address
    mark = Kind.VIDEO if isinstance(reference, Video) else Kind.IMAGE
    if kind_of(reference.url) is mark:
        return address
    return {str(mark): address}


@dataclass(frozen=True, slots=True)
class Citation:
    """One `@image1` of a prompt."""

    text: str
    """As written."""
    kind: Kind
    number: int
    """1-based, counted within its kind."""


def citations(prompt: str) -> Iterator[Citation]:
    """Every `@image1`, `@Video2`, `@AUDIO3` of a prompt, in order."""
    for match in _CITATION.finditer(prompt):
        digits = match[2].lstrip("0") or "0"
        number = int(digits[:_MOST_DIGITS])
        yield Citation(match[0], Kind(match[1].lower()), number)


@dataclass(frozen=True, slots=True)
class Given:
    """How many references of each kind a request gives."""

    images: int
    videos: int
    unknown: int
    """Addresses that may be images or videos."""
    audio: int

    @classmethod
    def of(cls, references: Iterable[Reference], audio: Sequence[object]) -> Given:
        """Counts `urls` and `audioUrls`."""
        kinds = [kind_of(reference) for reference in references]
        images, videos = kinds.count(Kind.IMAGE), kinds.count(Kind.VIDEO)
        return cls(images, videos, len(kinds) - images - videos, len(audio))

    def most(self, kind: Kind) -> int:
        """The highest number a citation of this kind can have."""
        if kind is Kind.AUDIO:
            return self.audio
        return self.unknown + (self.images if kind is Kind.IMAGE else self.videos)


def dangling(prompt: str, given: Given) -> list[Citation]:
    """The citations that point at nothing; one of unknown kind satisfies either, but only once."""
    cited = list(citations(prompt))
    lost = [each for each in cited if not 1 <= each.number <= given.most(each.kind)]
    if lost:
        return lost
    images = max((each.number for each in cited if each.kind is Kind.IMAGE), default=0)
    videos = max((each.number for each in cited if each.kind is Kind.VIDEO), default=0)
    needed = max(0, images - given.images) + max(0, videos - given.videos)
    if needed <= given.unknown:
        return []
    return [
        each
        for each in cited
        if (each.kind is Kind.IMAGE and each.number > given.images)
        or (each.kind is Kind.VIDEO and each.number > given.videos)
    ]
