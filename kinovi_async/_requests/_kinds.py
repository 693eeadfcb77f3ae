"""The kinds of reference files, and their formats by the names that the documents use."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeAlias


class Kind(StrEnum):
    """The kinds of reference files."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"

    @property
    def described(self) -> str:
        """`an image`, `a video`, `an audio file`."""
        return {"image": "an image", "video": "a video", "audio": "an audio file"}[self.value]

    @property
    def plural(self) -> str:
        """`images`, `videos`, `audio files`."""
        return {"image": "images", "video": "videos", "audio": "audio files"}[self.value]


Formats: TypeAlias = Mapping[Kind, tuple[str, ...]]
"""What files a field takes: formats by kind."""

# What the documents name for references, and what "other common" audio is.
FORMATS: Final[Formats] = MappingProxyType(
    {
        Kind.IMAGE: ("jpg", "png", "webp"),
        Kind.VIDEO: ("mp4", "mov", "webm"),
        Kind.AUDIO: ("mp3", "wav", "m4a", "aac", "ogg", "flac"),
    }
)
"""Every format of a reference."""
