"""NanoBanana: one image from text, with optional reference images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from ._addresses import Addresses, Source
from ._base import Request
from ._description import ModelDescription, Terms
from ._fields import In, Only
from ._generations import LATER, SEED
from ._kinds import Kind
from ._prices import PerImage, amounts
from ._rules import Number, Text
from ._sizes import NANOBANANA

NanoBananaAspectRatio: TypeAlias = Literal["1:1", "3:4", "4:3", "16:9", "9:16"]
ImageResolution: TypeAlias = Literal["1k", "2k", "4k"]


class NanoBanana2(Request):
    """One image from text, at 1k, 2k or 4k."""

    # All limits: the API's page on NanoBanana 2, and the later one.
    HINTS: ClassVar[Mapping[str, str]] = {
        "no": "no such field here; did you mean negativePrompt?",
        "urls": "no such field here; did you mean imageUrls?",
        "sourceImageUrl": "no such field here; did you mean imageUrls?",
    }

    model: Literal["nanobanana2"] = Field(default="nanobanana2", description="nanobanana2.")
    prompt: Annotated[str, Text(required=True)] = Field(description="What the image shows.")
    image_urls: Annotated[
        Sequence[Source],
        Addresses(Kind.IMAGE),
        In(LATER, Addresses(Kind.IMAGE, 0, 9), name="uploadedUrls"),
    ] = Field(default=(), description="Reference images for style or content.")
    negative_prompt: Annotated[
        str | None, Text(), Only(SEED, "say in the prompt what to leave out")
    ] = Field(default=None, description="What to keep out of the image.")
    aspect_ratio: NanoBananaAspectRatio = Field(default="3:4", description="Shape of the image.")
    resolution: ImageResolution = Field(
        default="2k", description="Size of the image; it sets the price."
    )
    seed: Annotated[float | None, Number(), Only(SEED)] = Field(
        default=None, description="The same seed makes a result reproducible."
    )


class NanoBananaPro(Request):
    """One image from text, at 1k, 2k or 4k, of a better quality."""

    GENERATIONS = (LATER,)
    HINTS: ClassVar[Mapping[str, str]] = {
        "imageUrls": "no such field here; did you mean uploadedUrls?",
        "urls": "no such field here; did you mean uploadedUrls?",
        "negativePrompt": "no such field here; say in the prompt what to leave out",
    }

    model: Literal["nanobanana-pro"] = Field(
        default="nanobanana-pro", description="nanobanana-pro."
    )
    prompt: Annotated[str, Text(required=True)] = Field(description="What the image shows.")
    uploaded_urls: Annotated[Sequence[Source], Addresses(Kind.IMAGE, 0, 9)] = Field(
        default=(), description="Reference images for style or content."
    )
    aspect_ratio: NanoBananaAspectRatio = Field(default="3:4", description="Shape of the image.")
    resolution: ImageResolution = Field(
        default="2k", description="Size of the image; it sets the price."
    )


_IMAGE = ("url", "width", "height", "mediaType")

# The documents state no time; the seconds are near their sample answers.
DESCRIPTIONS = (
    ModelDescription(
        id="nanobanana2",
        title="NanoBanana 2",
        kind="image",
        requests=(NanoBanana2,),
        outputs=1,
        media_types=("image/png", "image/jpeg"),
        terms={
            SEED: Terms(
                price=PerImage({"": amounts(_1k="15", _2k="15", _4k="25")}, "2k"),
                seconds=(10.0, 31.0),
                sizes=NANOBANANA,
            ),
            LATER: Terms(
                price=PerImage({"": amounts(_2k="15", _4k="25")}, "2k"),
                seconds=(10.0, 31.0),
                sizes=NANOBANANA,
                output_fields=_IMAGE,
            ),
        },
    ),
    ModelDescription(
        id="nanobanana-pro",
        title="Nano Banana Pro",
        kind="image",
        requests=(NanoBananaPro,),
        outputs=1,
        media_types=("image/png", "image/jpeg"),
        terms={
            LATER: Terms(
                price=PerImage({"": amounts(_1k="14.41", _2k="14.41", _4k="25.8")}, "2k"),
                seconds=(20.0, 60.0),
                sizes=NANOBANANA,
                output_fields=_IMAGE,
            )
        },
    ),
)
