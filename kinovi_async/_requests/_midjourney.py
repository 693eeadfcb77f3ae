"""Midjourney: four images from text, with an optional reference image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from ._addresses import Address
from ._base import Request
from ._references import Kind
from ._rules import Number, Text, Whole

MidjourneyModel: TypeAlias = Literal["midjourney-v7", "midjourney-v8", "midjourney-v7-niji"]
MidjourneyAspectRatio: TypeAlias = Literal["1:1", "16:9", "9:16", "3:4", "4:3", "21:9"]


class Midjourney(Request):
    """Four images from text: photorealistic (V7, V8) or anime (Niji).

    Flags such as `--ar` in the prompt are honoured by the API and win over the fields.
    """

    # All limits: the API's page on Midjourney.
    HINTS: ClassVar[Mapping[str, str]] = {
        "negativePrompt": "no such field here; did you mean no?",
        "imageUrls": "no such field here; sourceImageUrl takes one address",
        "urls": "no such field here; sourceImageUrl takes one address",
        "uploadedUrls": "no such field here; sourceImageUrl takes one address",
    }

    model: MidjourneyModel = Field(
        default="midjourney-v7",
        description="midjourney-v7 or -v8 (photorealistic), midjourney-v7-niji (anime).",
    )
    prompt: Annotated[str, Text(required=True)] = Field(description="What the images show.")
    aspect_ratio: MidjourneyAspectRatio = Field(default="1:1", description="Shape of the images.")
    source_image_url: Annotated[str | None, Address(Kind.IMAGE)] = Field(
        default=None, description="A reference image that influences the result."
    )
    stylize: Annotated[int | None, Whole(0, 1000)] = Field(
        default=None, description="From literal to artistic."
    )
    chaos: Annotated[int | None, Whole(0, 100)] = Field(
        default=None, description="How much the four images differ."
    )
    weird: Annotated[int | None, Whole(0, 3000)] = Field(
        default=None, description="How unconventional the images are."
    )
    quality: Annotated[float | None, Number(0.25, 0.5, 1)] = Field(
        default=None, description="Rendering quality: lower is faster with less detail."
    )
    style: Literal["raw"] | None = Field(
        default=None, description="raw reduces Midjourney's own aesthetic."
    )
    no: Annotated[str | None, Text()] = Field(
        default=None, description="What to keep out of the images."
    )
    seed: Annotated[int | None, Whole(0, 4294967295)] = Field(
        default=None, description="The same seed and prompt give a similar result."
    )
