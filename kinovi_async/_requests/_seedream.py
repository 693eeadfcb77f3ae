"""Seedream 5.0 Pro: one image from text, with optional reference images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ._addresses import Addresses, Source
from ._base import Request
from ._description import ModelDescription, Terms
from ._generations import LATER
from ._kinds import Kind
from ._prices import PerImage, amounts
from ._rules import Text
from ._sizes import SEEDREAM


class Seedream5Pro(Request):
    """One image from text, at 1k or 2k."""

    # All limits: the API's later page on Seedream 5.0 Pro.
    GENERATIONS = (LATER,)
    HINTS: ClassVar[Mapping[str, str]] = {
        "imageUrls": "no such field here; did you mean uploadedUrls?",
        "urls": "no such field here; did you mean uploadedUrls?",
    }

    model: Literal["seedream-5.0-pro"] = Field(
        default="seedream-5.0-pro", description="seedream-5.0-pro."
    )
    prompt: Annotated[str, Text(10_000, required=True)] = Field(description="What the image shows.")
    uploaded_urls: Annotated[Sequence[Source], Addresses(Kind.IMAGE, 0, 10)] = Field(
        default=(), description="Reference images for style or content."
    )
    aspect_ratio: Literal["auto", "1:1", "4:3", "3:4", "16:9", "9:16", "3:2", "2:3", "21:9"] = (
        Field(default="auto", description="Shape of the image.")
    )
    resolution: Literal["1k", "2k"] = Field(
        default="2k", description="Size of the image; it sets the price."
    )
    output_format: Literal["png", "jpeg"] = Field(default="png", description="Format of the file.")


DESCRIPTIONS = (
    ModelDescription(
        id="seedream-5.0-pro",
        title="Seedream 5.0 Pro",
        kind="image",
        requests=(Seedream5Pro,),
        outputs=1,
        media_types=("image/png", "image/jpeg"),
        terms={
            LATER: Terms(
                price=PerImage({"": amounts(_1k="14", _2k="24")}, "2k"),
                seconds=(30.0, 90.0),
                sizes=SEEDREAM,
                output_fields=("url", "width", "height", "mediaType"),
            )
        },
    ),
)
