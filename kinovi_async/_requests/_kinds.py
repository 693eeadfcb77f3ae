"""The kinds of reference files."""

from __future__ import annotations

from enum import StrEnum


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
