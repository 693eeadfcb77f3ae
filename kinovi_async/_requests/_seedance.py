"""Seedance 2.0: video from text, from one or two images, or after references.

Three classes share the models of the family; which one a body becomes is decided by
its `mode` and references.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field, ValidationInfo, field_validator

from . import _failures as fail
from ._addresses import Addresses, References, Source
from ._base import Request
from ._citations import checked_citations, without_citations
from ._description import ModelDescription, Terms
from ._fields import In, Only, Split
from ._generations import LATER, SEED, ApiGeneration
from ._kinds import FORMATS, Kind
from ._prices import PerSecond, amounts
from ._references import Given, Reference
from ._rules import Flag, Phrase, Text, Whole
from ._sizes import SEEDANCE_20

SeedanceModel: TypeAlias = Literal["seedance-20", "seedance2-fast", "seedance2.0-mini"]
VideoAspectRatio: TypeAlias = Literal["16:9", "9:16", "1:1", "3:4", "4:3", "21:9"]
OutputResolution: TypeAlias = Literal["480p", "720p", "1080p", "4k"]

# All limits: the API's pages on text-to-video and omni reference, and the later pages of
# the models.
_PROMPT = Text(10_000, required=True)
_SEED_PROMPT = In(
    SEED,
    Text(4000, required=True),
    hint='up to 10,000 in API generation 2026-09, for example with outputResolution "720p"',
)
_SECONDS = (4, 15)
_MOST = {Kind.IMAGE: 9, Kind.VIDEO: 3}
_SEED_FORMATS = {**FORMATS, Kind.VIDEO: ("mp4",)}
_MOST_AUDIO = 3
_MODE = Phrase("keyframe, or reference for an omni reference")
# In the later names, these make it an omni reference without a mode.
_WITHOUT_MODE = (("videoUrls",), ("imageUrls", "audioUrls"), ("imageUrls", "audio_urls"))
_BY_KIND = MappingProxyType({Kind.IMAGE: "imageUrls", Kind.VIDEO: "videoUrls"})


class _Seedance(Request):
    """The fields that all Seedance 2.0 modes share."""

    HINTS: ClassVar[Mapping[str, str]] = {
        "audioUrls": 'only with mode "reference", an omni reference',
        "url": "no such field; did you mean urls?",
        "imageUrl": "no such field; did you mean urls?",
        "image": "no such field; did you mean urls?",
        "resolution": "no such field here; did you mean outputResolution?",
    }

    model: SeedanceModel = Field(
        default="seedance-20",
        description="seedance-20, or seedance2-fast: about twice as fast, a little less quality; "
        "seedance2.0-mini is the cheapest.",
    )
    duration: Annotated[int, Whole(*_SECONDS), In(SEED, Whole(*_SECONDS, as_text=True))] = Field(
        default=5, description="Length of the video in seconds; it sets the price."
    )
    upscale_resolution: Annotated[
        Literal["4k"] | None, Only(SEED, 'outputResolution "4k" is its successor, of seedance-20')
    ] = Field(default=None, description="4k upscales the video, at a surcharge per second.")
    output_resolution: Annotated[
        OutputResolution | None,
        Only(LATER, 'the video has 720p; upscaleResolution "4k" enlarges it'),
    ] = Field(default=None, description="Size of the video; it sets the price.")
    generate_audio: Annotated[bool | None, Flag(), Only(LATER), In(LATER, default=True)] = Field(
        default=None, alias="generate_audio", description="Whether the video has sound."
    )
    bitrate_mode: Annotated[Literal["high"] | None, Only(LATER)] = Field(
        default=None, alias="bitrate_mode", description="high doubles the size of the file."
    )
    seed: Annotated[int | None, Whole(-1, 4294967295), Only(LATER)] = Field(
        default=None, description="-1 is random; a result cannot be had twice."
    )


class TextToVideo(_Seedance):
    """A video from text alone.

    `duration` is in seconds, 4 to 15. Example: `TextToVideo(prompt="A lake at dawn")`.
    """

    prompt: Annotated[str, _PROMPT, _SEED_PROMPT] = Field(
        description="What the video shows: scene, motion, camera, light, style."
    )
    aspect_ratio: VideoAspectRatio = Field(default="16:9", description="Shape of the video.")
    mode: Annotated[Literal["keyframe"], _MODE] = Field(
        default="keyframe", description="The standard generation."
    )

    @field_validator("prompt")
    @classmethod
    def _no_citations(cls, prompt: str) -> str:
        return without_citations(prompt)


class ImageToVideo(_Seedance):
    """A video that starts with an image, or leads from a first to a last one.

    `urls` holds one image address (the first frame) or two (first and last frame). The
    prompt guides the motion; the later generation of the API requires one. `@image1` is
    not available here, that is what `OmniReference` is for.
    """

    urls: Annotated[
        Sequence[Source],
        Addresses(Kind.IMAGE, 1, 2),
        In(LATER, Addresses(Kind.IMAGE, 1, 2), name="imageUrls"),
    ] = Field(description="The first frame, or the first and the last frame.")
    prompt: Annotated[
        str | None,
        Text(10_000),
        In(SEED, Text(4000), hint=_SEED_PROMPT.hint),
        In(LATER, _PROMPT, required=True),
    ] = Field(default=None, description="How the picture moves.")
    aspect_ratio: VideoAspectRatio | None = Field(default=None, description="Shape of the video.")
    mode: Annotated[Literal["keyframe"], _MODE] = Field(
        default="keyframe", description="The standard generation."
    )

    @field_validator("prompt")
    @classmethod
    def _no_citations(cls, prompt: str) -> str:
        return without_citations(prompt)


class OmniReference(_Seedance):
    """A video after reference images, videos and audio, cited as `@image1` in the prompt.

    `urls` is one ordered list of images and videos: at least one, at most 9 images and 3
    videos. The kind is told by the extension of the address's path, or by `Image(url)`
    and `Video(url)`; a file of unknown kind counts for neither limit, and cannot be sent
    where the API separates the kinds. `@image1` is the first image of `urls`, `@video1`
    the first video, `@audio1` the first of `audio_urls` (any case); each must point at
    something given.
    """

    ALWAYS_SENT = frozenset({"mode"})
    TOLD_BY = (("mode",), *_WITHOUT_MODE)

    # Before the prompt, whose citations are checked against them.
    urls: Annotated[
        Sequence[Reference],
        References(_MOST),
        In(SEED, References(_MOST, _SEED_FORMATS)),
        Split(LATER, _BY_KIND),
    ] = Field(description="Reference images and videos, in order.")
    audio_urls: Annotated[Sequence[Source], Addresses(Kind.AUDIO, 0, _MOST_AUDIO)] = Field(
        default=(), description="Reference audio files, 15 seconds in all."
    )
    prompt: Annotated[str, _PROMPT, _SEED_PROMPT] = Field(
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
        return checked_citations(prompt, Given.of(info.data["urls"], info.data["audio_urls"]))


def seedance_class(inputs: Mapping[str, object]) -> type[Request]:
    """The class for the `inputs` of a Seedance body, in the form of either generation."""
    if inputs.get("mode") == "reference":
        return OmniReference
    if any(all(inputs.get(name) for name in names) for names in _WITHOUT_MODE):
        return OmniReference
    if inputs.get("urls") is not None or inputs.get("imageUrls") is not None:
        return ImageToVideo
    return TextToVideo


_FAILURES = (fail.REVIEW, fail.BAD_REFERENCES, fail.NOT_FETCHED_500)
_OUTPUT = ("url", "width", "height", "mediaType", "seed", "lastFrameImage")


def _seedance(
    model_id: str,
    title: str,
    terms: Mapping[ApiGeneration, Terms],
    *failures: fail.Failure,
) -> ModelDescription:
    return ModelDescription(
        id=model_id,
        title=title,
        kind="video",
        requests=(TextToVideo, ImageToVideo, OmniReference),
        choose=seedance_class,
        outputs=1,
        media_types=("video/mp4",),
        terms=terms,
        failures=(*_FAILURES, *failures),
    )


def _seeds(rate: str, seconds: tuple[float, float]) -> Terms:
    price = PerSecond({"": Decimal(rate)}, upscale=Decimal(28))
    return Terms(price=price, seconds=seconds, sizes=SEEDANCE_20)


def _later(price: PerSecond, seconds: tuple[float, float]) -> Terms:
    return Terms(price=price, seconds=seconds, sizes=SEEDANCE_20, output_fields=_OUTPUT)


# Prices and times: the API's overview, and the later page of each model (at 720p).
DESCRIPTIONS = (
    _seedance(
        "seedance-20",
        "Seedance 2.0 Pro",
        {
            SEED: _seeds("40", (60.0, 180.0)),
            LATER: _later(
                PerSecond(
                    amounts(_480p="15", _720p="40", _1080p="90", _4k="200"),
                    amounts(_480p="19", _720p="48", _1080p="108", _4k="240"),
                    default="720p",
                ),
                (120.0, 240.0),
            ),
        },
        fail.PROMPT_RULES,
        fail.EXAMPLE_CODE,
    ),
    _seedance(
        "seedance2-fast",
        "Seedance 2.0 Fast",
        {
            SEED: _seeds("28", (30.0, 90.0)),  # "about twice as fast"
            LATER: _later(
                PerSecond(
                    amounts(_480p="14", _720p="28"),
                    amounts(_480p="18", _720p="34"),
                    default="720p",
                ),
                (120.0, 240.0),
            ),
        },
        fail.BACKEND,
    ),
    _seedance(
        "seedance2.0-mini",
        "Seedance 2.0 Mini",
        {
            LATER: _later(
                PerSecond(
                    amounts(_480p="7.5", _720p="20"),
                    amounts(_480p="9.5", _720p="24"),
                    default="720p",
                ),
                (120.0, 360.0),
            )
        },
    ),
)
