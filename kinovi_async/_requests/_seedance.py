"""Seedance 2.0: video from text, from one or two images, or after references.

Three classes share the models `seedance-20` and `seedance2-fast`; which one a body
becomes is decided by its `mode` and `urls`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field, JsonValue, ValidationInfo, field_validator

from ._addresses import Addresses, References
from ._base import Request
from ._references import Given, Kind, Reference, citations, dangling
from ._rules import Phrase, Text, Whole, listed, refuse, shorten

SeedanceModel: TypeAlias = Literal["seedance-20", "seedance2-fast"]
VideoAspectRatio: TypeAlias = Literal["16:9", "9:16", "1:1", "3:4", "4:3", "21:9"]

# All limits: the API's pages on text-to-video and omni reference.
_PROMPT = 4000
_SECONDS = (4, 15)
_MOST = {Kind.IMAGE: 9, Kind.VIDEO: 3}
_MOST_AUDIO = 3
_MODE = Phrase("keyframe, or reference for an omni reference")


class _Seedance(Request):
    """The fields that all Seedance 2.0 modes share."""

    HINTS: ClassVar[Mapping[str, str]] = {
        "audioUrls": 'only with mode "reference", an omni reference',
        "url": "no such field; did you mean urls?",
        "imageUrl": "no such field; did you mean urls?",
        "imageUrls": "no such field here; did you mean urls?",
        "videoUrls": "no such field here; did you mean urls?",
        "image": "no such field; did you mean urls?",
        "resolution": 'no such field here; upscaleResolution "4k" upscales the output',
        "outputResolution": 'no such field here; upscaleResolution "4k" upscales the output',
    }

    model: SeedanceModel = Field(
        default="seedance-20",
        description="seedance-20, or seedance2-fast: about twice as fast, a little less quality.",
    )
    duration: Annotated[int, Whole(*_SECONDS, as_text=True)] = Field(
        default=5, description="Length of the video in seconds; it sets the price."
    )
    upscale_resolution: Literal["4k"] | None = Field(
        default=None, description="4k upscales the video, at a surcharge per second."
    )


class TextToVideo(_Seedance):
    """A video from text alone.

    `duration` is in seconds, 4 to 15. Example: `TextToVideo(prompt="A lake at dawn")`.
    """

    prompt: Annotated[str, Text(_PROMPT, required=True)] = Field(
        description="What the video shows: scene, motion, camera, light, style."
    )
    aspect_ratio: VideoAspectRatio = Field(default="16:9", description="Shape of the video.")
    mode: Annotated[Literal["keyframe"], _MODE] = Field(
        default="keyframe", description="The standard generation."
    )

    @field_validator("prompt")
    @classmethod
    def _no_citations(cls, prompt: str) -> str:
        return _without_citations(prompt)


class ImageToVideo(_Seedance):
    """A video that starts with an image, or leads from a first to a last one.

    `urls` holds one image address (the first frame) or two (first and last frame). The
    prompt is optional and guides the motion; `@image1` is not available here, that is
    what `OmniReference` is for.
    """

    urls: Annotated[Sequence[str], Addresses(Kind.IMAGE, 1, 2)] = Field(
        description="The first frame, or the first and the last frame."
    )
    prompt: Annotated[str | None, Text(_PROMPT)] = Field(
        default=None, description="How the picture moves."
    )
    aspect_ratio: VideoAspectRatio | None = Field(default=None, description="Shape of the video.")
    mode: Annotated[Literal["keyframe"], _MODE] = Field(
        default="keyframe", description="The standard generation."
    )

    @field_validator("prompt")
    @classmethod
    def _no_citations(cls, prompt: str) -> str:
        return _without_citations(prompt)


class OmniReference(_Seedance):
    """A video after reference images, videos and audio, cited as `@image1` in the prompt.

    `urls` is one ordered list of images and videos: at least one, at most 9 images and 3
    videos. The kind is told by the extension of the address's path, or by `Image(url)`
    and `Video(url)`; a file of unknown kind counts for neither limit. `@image1` is the
    first image of `urls`, `@video1` the first video, `@audio1` the first of `audio_urls`
    (any case); each must point at something given.
    """

    # Before the prompt, whose citations are checked against them.
    urls: Annotated[Sequence[Reference], References(_MOST)] = Field(
        description="Reference images and videos, in order."
    )
    audio_urls: Annotated[Sequence[str], Addresses(Kind.AUDIO, 0, _MOST_AUDIO)] = Field(
        default=(), description="Reference audio files, 15 seconds in all."
    )
    prompt: Annotated[str, Text(_PROMPT, required=True)] = Field(
        description="What the video shows, citing references as @image1, @video1, @audio1."
    )
    aspect_ratio: VideoAspectRatio = Field(default="16:9", description="Shape of the video.")
    mode: Literal["reference"] = Field(
        default="reference", description="What makes it an omni reference; always sent."
    )

    @field_validator("prompt")
    @classmethod
    def _cites_what_is_given(cls, prompt: str, info: ValidationInfo) -> str:
        if "urls" not in info.data or "audio_urls" not in info.data:
            return prompt  # those have problems of their own
        given = Given.of(info.data["urls"], info.data["audio_urls"])
        lost = dangling(prompt, given)
        if lost:
            texts = ", ".join(dict.fromkeys(each.text for each in lost))
            raise refuse(_citable(given), shorten(texts))
        return prompt

    def inputs_wire(self) -> dict[str, JsonValue]:
        """`inputs` of the body; `mode` is always there, the API requires it."""
        return {**super().inputs_wire(), "mode": self.mode}


def seedance_class(inputs: Mapping[str, object]) -> type[Request]:
    """The class for the `inputs` of a Seedance body."""
    if inputs.get("mode") == "reference":
        return OmniReference
    return TextToVideo if inputs.get("urls") is None else ImageToVideo


def _without_citations(prompt: str) -> str:
    cited = [each.text for each in citations(prompt)]
    if cited:
        allowed = 'text without @ references, which only mode "reference" (OmniReference) has'
        raise refuse(allowed, shorten(", ".join(dict.fromkeys(cited))))
    return prompt


def _citable(given: Given) -> str:
    """What a prompt may cite: `only references to what is given: @image1 to @image3, ...`."""
    parts = []
    for kind in Kind:
        most = given.most(kind)
        if most == 1:
            parts.append(f"@{kind}1")
        elif most > 1:
            parts.append(f"@{kind}1 to @{kind}{most}")
    return "@ references to what is given, here " + listed(parts, "and")
