"""Wan 3.0 and Wan 3.0 Prime: video from text, from frames, or after references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal, Self, TypeAlias

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from .._errors import InvalidRequestError, Problem
from . import _failures as fail
from ._addresses import Addresses, Source
from ._base import Request
from ._citations import checked_citations
from ._description import ModelDescription, Terms
from ._generations import LATER
from ._kinds import Kind
from ._prices import Amounts, PerSecond, amounts
from ._references import Given
from ._rules import Flag, Text, Whole
from ._sizes import SEEDANCE_25

WanAspectRatio: TypeAlias = Literal["16:9", "9:16", "4:3", "3:4", "1:1"]
WanImageAspectRatio: TypeAlias = Literal["16:9", "9:16", "4:3", "3:4", "1:1", "adaptive"]

_VIDEO = ("mp4", "mov")
_AUDIO = ("mp3", "wav", "m4a", "ogg")


class _Wan3(Request):
    """The fields that all Wan 3.0 models share."""

    # All limits: the API's later pages on Wan 3.0. It refuses a field that is not its own.
    GENERATIONS = (LATER,)
    HINTS: ClassVar[Mapping[str, str]] = {
        "generate_audio": "no such field here; did you mean audio?",
        "urls": "no such field here; the model's reference fields separate images and videos",
        "resolution": "no such field here; did you mean outputResolution?",
        "upscaleResolution": "no such field here; did you mean outputResolution?",
        "imageUrls": "no such field here; an image-to-video or ref-to-video model takes images",
        "videoUrls": "no such field here; a ref-to-video model takes videos",
        "audioUrls": "no such field here; a ref-to-video model takes audio files",
    }

    prompt: Annotated[str, Text(20_000, required=True)] = Field(
        description="What the video shows: scene, motion, camera, light, style."
    )
    duration: Annotated[int, Whole(2, 30)] = Field(
        default=5, description="Length of the video in seconds; it sets the price."
    )
    output_resolution: Literal["480p", "720p", "1080p"] = Field(
        default="720p", description="Size of the video; it sets the price."
    )
    audio: Annotated[bool, Flag()] = Field(default=True, description="Whether it has sound.")
    seed: Annotated[int | None, Whole(0, 2147483647)] = Field(
        default=None, description="Left out, it is random."
    )


class Wan3TextToVideo(_Wan3):
    """A video of 2 to 30 seconds from text alone."""

    model: Literal["wan3.0-text-to-video", "wan3.0-prime-text-to-video"] = Field(
        default="wan3.0-text-to-video", description="Prime is faster and dearer."
    )
    aspect_ratio: WanAspectRatio = Field(default="16:9", description="Shape of the video.")


class Wan3ImageToVideo(_Wan3):
    """A video that starts with an image, or leads from a first to a last one."""

    model: Literal["wan3.0-image-to-video", "wan3.0-prime-image-to-video"] = Field(
        default="wan3.0-image-to-video", description="Prime is faster and dearer."
    )
    image_urls: Annotated[Sequence[Source], Addresses(Kind.IMAGE, 1, 2)] = Field(
        description="The first frame, or the first and the last; at most 8000 x 8000 pixels."
    )
    aspect_ratio: WanImageAspectRatio = Field(
        default="16:9", description="Shape of the video; adaptive keeps the image's."
    )


class Wan3RefToVideo(_Wan3):
    """A video after reference images, videos and audio, cited as `@Image1` in the prompt.

    The reference videos and `duration` are 30 seconds together.
    """

    model: Literal["wan3.0-ref-to-video", "wan3.0-prime-ref-to-video"] = Field(
        default="wan3.0-ref-to-video", description="Prime is faster and dearer."
    )
    image_urls: Annotated[Sequence[Source], Addresses(Kind.IMAGE, 0, 10)] = Field(
        default=(), description="Reference images, of at most 8000 x 8000 pixels."
    )
    video_urls: Annotated[Sequence[Source], Addresses(Kind.VIDEO, 0, 5, _VIDEO)] = Field(
        default=(), description="Reference videos of at most 15 seconds."
    )
    audio_urls: Annotated[Sequence[Source], Addresses(Kind.AUDIO, 0, 5, _AUDIO)] = Field(
        default=(), description="Reference audio files, 15 seconds in all."
    )
    aspect_ratio: WanAspectRatio = Field(default="16:9", description="Shape of the video.")

    @model_validator(mode="after")
    def _cites_what_is_given(self) -> Self:
        given = Given(len(self.image_urls), len(self.video_urls), 0, len(self.audio_urls))
        try:
            checked_citations(self.prompt, given)
        except PydanticCustomError as error:
            context = error.context or {}
            problem = Problem("inputs.prompt", str(context["given"]), str(context["allowed"]))
            raise InvalidRequestError.of([problem]) from None
        return self


_TEXT_FAILURES = (fail.BLOCKED, fail.FACE, fail.SERVICE)
_IMAGE_FAILURES = (
    *_TEXT_FAILURES,
    fail.COPYRIGHT_500,
    fail.NOT_FETCHED,
    fail.TOO_SMALL,
    fail.UNREADABLE,
)
_REF_FAILURES = (*_IMAGE_FAILURES, fail.VIDEO_TOO_LONG, fail.SUM_TOO_LONG, fail.AUDIO_TOO_LONG)
# As listed, but for 720p: the list rounds it to 28.51, and 5 s are documented to cost 142.57.
_WAN = amounts(_480p="14.26", _720p="28.514", _1080p="57.01")
_PRIME = amounts(_480p="18.86", _720p="38.83", _1080p="77.66")


def _wan(  # noqa: PLR0917 - what differs between the models
    model_id: str,
    title: str,
    cls: type[Request],
    rates: Amounts,
    seconds: tuple[float, float],
    failures: tuple[fail.Failure, ...],
) -> ModelDescription:
    return ModelDescription(
        id=model_id,
        title=title,
        kind="video",
        requests=(cls,),
        outputs=1,
        media_types=("video/mp4",),
        terms={
            LATER: Terms(
                price=PerSecond(rates, default="720p"),
                seconds=seconds,
                sizes=SEEDANCE_25,
                output_fields=("url", "width", "height", "mediaType"),
            )
        },
        failures=failures,
    )


# Prices and times: the API's later page of each model (5 s at 720p, or near it).
DESCRIPTIONS = (
    _wan(
        "wan3.0-text-to-video",
        "Wan 3.0 text-to-video",
        Wan3TextToVideo,
        _WAN,
        (170.0, 180.0),
        _TEXT_FAILURES,
    ),
    _wan(
        "wan3.0-image-to-video",
        "Wan 3.0 image-to-video",
        Wan3ImageToVideo,
        _WAN,
        (120.0, 180.0),
        _IMAGE_FAILURES,
    ),
    _wan(
        "wan3.0-ref-to-video",
        "Wan 3.0 ref-to-video",
        Wan3RefToVideo,
        _WAN,
        (180.0, 360.0),
        _REF_FAILURES,
    ),
    _wan(
        "wan3.0-prime-text-to-video",
        "Wan 3.0 Prime text-to-video",
        Wan3TextToVideo,
        _PRIME,
        (87.0, 90.0),
        _TEXT_FAILURES,
    ),
    _wan(
        "wan3.0-prime-image-to-video",
        "Wan 3.0 Prime image-to-video",
        Wan3ImageToVideo,
        _PRIME,
        (54.0, 60.0),
        _IMAGE_FAILURES,
    ),
    _wan(
        "wan3.0-prime-ref-to-video",
        "Wan 3.0 Prime ref-to-video",
        Wan3RefToVideo,
        _PRIME,
        (120.0, 180.0),
        _REF_FAILURES,
    ),
)
