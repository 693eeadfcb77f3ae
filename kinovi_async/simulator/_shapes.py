"""What a task of a model produces: how many files, their sizes, formats and seconds.

Sizes and output fields are those of the models' descriptions; what the API makes of a
reference video's length, which nobody can see here, is made of five seconds for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from .._requests import ApiGeneration, ModelDescription, reference_videos

MediaKind = Literal["image", "video"]

SOURCE_SECONDS: Final = 5
"""How long every reference video is taken to be."""

_FORMATS: Final[Mapping[str, tuple[str, str]]] = {
    "mp4": ("mp4", "video/mp4"),
    "mov": ("mov", "video/quicktime"),
    "png": ("png", "image/png"),
    "jpeg": ("jpg", "image/jpeg"),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """The files one task produces."""

    kind: MediaKind
    width: int
    """Pixels, of the record and of the file alike."""
    height: int
    count: int
    seconds: int = 0
    """Length of a video; 0 for a picture."""
    format: str = ""
    """`mov` or `jpeg` where the request asked for it; else the usual one of the kind."""
    fields: tuple[str, ...] = ("url", "width", "height")
    """Of each output in the record."""
    seed: int | None = None
    """The seed that was asked for."""

    @property
    def extension(self) -> str:
        """The files' extension, without the dot."""
        return _FORMATS[self._format][0]

    @property
    def media_type(self) -> str:
        """The files' MIME type."""
        return _FORMATS[self._format][1]

    @property
    def has_last_frame(self) -> bool:
        """Whether there is a picture of the video's end besides."""
        return "lastFrameImage" in self.fields

    @property
    def _format(self) -> str:
        return self.format or ("mp4" if self.kind == "video" else "png")


def shape_of(
    description: ModelDescription, generation: ApiGeneration, values: Mapping[str, object]
) -> Shape:
    """The files that a task makes, by the values of its request (names in Python)."""
    terms = description.terms[generation]
    tier = values.get("upscale_resolution") or values.get("output_resolution")
    width, height = terms.sizes.size(tier or values.get("resolution"), values.get("aspect_ratio"))
    wanted = values.get("output_format")
    seed = values.get("seed")
    return Shape(
        description.kind,
        width,
        height,
        description.outputs,
        _seconds(values) if description.kind == "video" else 0,
        wanted if isinstance(wanted, str) else "",
        terms.output_fields,
        seed if isinstance(seed, int) and seed >= 0 else None,
    )


def _seconds(values: Mapping[str, object]) -> int:
    """The wished length; an edit is as long as its source."""
    seconds = values.get("duration")
    return seconds if isinstance(seconds, int) else SOURCE_SECONDS


def source_seconds(values: Mapping[str, object]) -> int:
    """How long the reference videos of a request are together."""
    return SOURCE_SECONDS * reference_videos(values)
