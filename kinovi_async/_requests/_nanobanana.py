"""NanoBanana 2: one image from text, with optional reference images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from ._addresses import Addresses
from ._base import Request
from ._references import Kind
from ._rules import Number, Text

NanoBananaAspectRatio: TypeAlias = Literal["1:1", "3:4", "4:3", "16:9", "9:16"]
NanoBananaResolution: TypeAlias = Literal["1k", "2k", "4k"]


class NanoBanana2(Request):
    """One image from text, at 1k, 2k or 4k."""

    # All limits: the API's page on NanoBanana 2.
    HINTS: ClassVar[Mapping[str, str]] = {
        "no": "no such field here; did you mean negativePrompt?",
        "urls": "no such field here; did you mean imageUrls?",
        "uploadedUrls": "no such field here; did you mean imageUrls?",
        "sourceImageUrl": "no such field here; did you mean imageUrls?",
    }

    model: Literal["nanobanana2"] = Field(default="nanobanana2", description="nanobanana2.")
    prompt: Annotated[str, Text(required=True)] = Field(description="What the image shows.")
    image_urls: Annotated[Sequence[str], Addresses(Kind.IMAGE)] = Field(
        default=(), description="Reference images for style or content."
    )
    negative_prompt: Annotated[str | None, Text()] = Field(
        default=None, description="What to keep out of the image."
    )
    aspect_ratio: NanoBananaAspectRatio = Field(default="3:4", description="Shape of the image.")
    resolution: NanoBananaResolution = Field(
        default="2k", description="Size of the image; it sets the price."
    )
    seed: Annotated[float | None, Number()] = Field(
        default=None, description="The same seed makes a result reproducible."
    )
