"""Seedance 2.5: video from text and references, edits of a video, and extensions of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from .._errors import InvalidRequestError, Problem
from . import _failures as fail
from ._addresses import Addresses, Source
from ._base import Request
from ._description import ModelDescription, Terms
from ._generations import LATER
from ._kinds import Kind
from ._prices import Billed, PerSecond, amounts
from ._rules import Flag, Text, Whole
from ._seedance import VideoAspectRatio
from ._sizes import SEEDANCE_25

_MOST_IMAGES = 30
_MOST_VIDEOS = 10
_MOST_AUDIO = 10


class _Seedance25(Request):
    """The fields that all Seedance 2.5 models share."""

    # All limits: the API's later pages on Seedance 2.5.
    GENERATIONS = (LATER,)
    HINTS: ClassVar[Mapping[str, str]] = {
        "urls": "no such field here; images go into imageUrls, videos into videoUrls",
        "uploadedUrls": "no such field here; images go into imageUrls, videos into videoUrls",
        "resolution": "no such field here; did you mean outputResolution?",
        "upscaleResolution": "no such field here; did you mean outputResolution?",
        "audio": "no such field here; did you mean generate_audio?",
    }

    prompt: Annotated[str, Text(30_000, required=True)] = Field(
        description="What the video shows: scene, motion, camera, light, style."
    )
    image_urls: Annotated[Sequence[Source], Addresses(Kind.IMAGE, 0, _MOST_IMAGES)] = Field(
        default=(), description="Frames, or reference images."
    )
    audio_urls: Annotated[Sequence[Source], Addresses(Kind.AUDIO, 0, _MOST_AUDIO)] = Field(
        default=(), description="Reference audio files, 30 seconds in all."
    )
    output_resolution: Literal["480p", "720p", "1080p"] = Field(
        default="720p", description="Size of the video; it sets the price."
    )
    generate_audio: Annotated[bool, Flag()] = Field(
        default=True, alias="generate_audio", description="Whether the video has sound."
    )
    bitrate_mode: Literal["high"] | None = Field(
        default=None, alias="bitrate_mode", description="high doubles the size of the file."
    )
    output_format: Literal["mp4", "mov"] = Field(
        default="mp4", alias="output_format", description="Format of the file."
    )
    seed: Annotated[int | None, Whole(-1, 4294967295)] = Field(
        default=None, description="-1 is random; a result cannot be had twice."
    )


class Seedance25(_Seedance25):
    """A video of 4 to 30 seconds from text, from one or two frames, or after references.

    One or two images are frames, three and more are references, and a video or audio
    file makes everything a reference; `mode` says it explicitly.
    """

    model: Literal["seedance2-5"] = Field(default="seedance2-5", description="seedance2-5.")
    video_urls: Annotated[Sequence[Source], Addresses(Kind.VIDEO, 0, _MOST_VIDEOS)] = Field(
        default=(), description="Reference videos of 2 to 30 seconds, 30 seconds in all."
    )
    mode: Literal["keyframe", "reference"] | None = Field(
        default=None, description="Whether images are frames or references."
    )
    duration: Annotated[int, Whole(4, 30)] = Field(
        default=5, description="Length of the video in seconds; it sets the price."
    )
    aspect_ratio: VideoAspectRatio = Field(
        default="16:9", description="Shape of the video; frames keep their own."
    )

    @model_validator(mode="after")
    def _audio_accompanies(self) -> Self:
        if self.audio_urls and not self.image_urls and not self.video_urls:
            # The API accepts it, and the task fails.
            allowed = "only together with imageUrls or videoUrls: audio cannot be alone"
            raise InvalidRequestError.of([Problem("inputs.audioUrls", "", allowed)])
        return self


class _FromVideo(_Seedance25):
    """What is made from a video."""

    video_urls: Annotated[Sequence[Source], Addresses(Kind.VIDEO, 1, _MOST_VIDEOS)] = Field(
        description="The source video first, then reference videos; 30 seconds in all."
    )


class Seedance25Edit(_FromVideo):
    """A video changed as the prompt says; as long as its source, which has 4 to 30 seconds."""

    model: Literal["seedance2-5-edit"] = Field(
        default="seedance2-5-edit", description="seedance2-5-edit."
    )


class Seedance25Extend(_FromVideo):
    """New footage, of 4 to 30 seconds, that continues a video of 2 to 30 seconds."""

    model: Literal["seedance2-5-extend"] = Field(
        default="seedance2-5-extend", description="seedance2-5-extend."
    )
    duration: Annotated[int, Whole(4, 30)] = Field(
        description="Length of the new footage in seconds."
    )


_FAILURES = (
    fail.REVIEW,
    fail.BAD_REFERENCES,
    fail.NOT_FETCHED_1001,
    fail.SENSITIVE_MEDIA,
    fail.NOT_PASSED,
    fail.COPYRIGHT_1001,
    fail.BUSY_1001,
)
_FROM_TEXT = amounts(_480p="26", _720p="59", _1080p="143.4")
_FROM_VIDEO = amounts(_480p="16", _720p="35", _1080p="85.68")


def _seedance25(
    model_id: str,
    title: str,
    cls: type[Request],
    price: PerSecond,
    seconds: tuple[float, float],
    *failures: fail.Failure,
) -> ModelDescription:
    return ModelDescription(
        id=model_id,
        title=title,
        kind="video",
        requests=(cls,),
        outputs=1,
        media_types=("video/mp4", "video/quicktime"),
        terms={
            LATER: Terms(
                price=price,
                seconds=seconds,
                sizes=SEEDANCE_25,
                output_fields=("url", "width", "height", "mediaType", "seed", "lastFrameImage"),
            )
        },
        failures=(*_FAILURES, *failures),
    )


# Prices and times: the API's later page of each model (at 720p).
DESCRIPTIONS = (
    _seedance25(
        "seedance2-5",
        "Seedance 2.5",
        Seedance25,
        PerSecond(_FROM_TEXT, _FROM_VIDEO, default="720p", billed=Billed.WITH_REFERENCE),
        (180.0, 360.0),
    ),
    _seedance25(
        "seedance2-5-edit",
        "Seedance 2.5 Video Edit",
        Seedance25Edit,
        PerSecond(_FROM_VIDEO, default="720p", billed=Billed.TWICE_SOURCE),
        (240.0, 360.0),
        fail.UNSUITED_EDIT,
    ),
    _seedance25(
        "seedance2-5-extend",
        "Seedance 2.5 Video Extend",
        Seedance25Extend,
        PerSecond(_FROM_VIDEO, default="720p", billed=Billed.WITH_REFERENCE),
        (240.0, 360.0),
        fail.UNSUITED_EXTENSION,
    ),
)
