"""GPT Image: one image from text, with optional reference images, by quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from ._addresses import Addresses, Source
from ._base import Request
from ._description import ModelDescription, Terms
from ._generations import LATER
from ._kinds import Kind
from ._prices import Metered, PerImage, amounts
from ._rules import Text, Whole
from ._sizes import GPT_IMAGE

GptAspectRatio: TypeAlias = Literal["auto", "1:1", "4:3", "3:4", "16:9", "9:16"]
GptResolution: TypeAlias = Literal["1k", "2k", "4k"]
GptImage25Model: TypeAlias = Literal["gpt-image-2.5-flare", "gpt-image-2.5-sunburst"]


class _GptImage(Request):
    """The fields that both versions share."""

    # All limits: the API's later pages on GPT Image.
    GENERATIONS = (LATER,)
    HINTS: ClassVar[Mapping[str, str]] = {
        "imageUrls": "no such field here; did you mean uploadedUrls?",
        "urls": "no such field here; did you mean uploadedUrls?",
        "seed": "no such field here; results cannot be reproduced",
    }

    prompt: Annotated[str, Text(required=True)] = Field(description="What the image shows.")
    aspect_ratio: GptAspectRatio = Field(default="auto", description="Shape of the image.")
    resolution: GptResolution = Field(
        default="1k", description="Size of the image; it sets the price."
    )
    output_format: Literal["png", "jpeg"] = Field(default="png", description="Format of the file.")


class GptImage2(_GptImage):
    """One image from text: `quality` and `resolution` set the price."""

    model: Literal["gpt-image-2"] = Field(default="gpt-image-2", description="gpt-image-2.")
    uploaded_urls: Annotated[Sequence[Source], Addresses(Kind.IMAGE, 0, 10)] = Field(
        default=(), description="Reference images for style or content."
    )
    quality: Literal["low", "medium", "high"] = Field(
        default="low", description="Rendering quality; it sets the price."
    )
    background: Literal["auto", "opaque"] = Field(
        default="auto", description="What is behind the subject."
    )


class GptImage25(_GptImage):
    """One image from text, paid by tokens: the price is known when it is done."""

    model: GptImage25Model = Field(
        default="gpt-image-2.5-flare",
        description="gpt-image-2.5-flare (faster) or gpt-image-2.5-sunburst.",
    )
    uploaded_urls: Annotated[Sequence[Source], Addresses(Kind.IMAGE, 0, 16)] = Field(
        default=(), description="Reference images for style or content."
    )
    quality: Literal["low", "medium", "high", "xhigh", "max", "auto"] = Field(
        default="low", description="Rendering quality; it sets the price."
    )
    background: Literal["auto", "transparent", "opaque"] = Field(
        default="auto", description="What is behind the subject."
    )
    output_compression: Annotated[int | None, Whole(0, 100)] = Field(
        default=None, description="How strongly a jpeg is packed."
    )


_IMAGE = ("url", "width", "height", "mediaType")


def _metered(
    model_id: str, title: str, sample: str, seconds: tuple[float, float]
) -> ModelDescription:
    return ModelDescription(
        id=model_id,
        title=title,
        kind="image",
        requests=(GptImage25,),
        outputs=1,
        media_types=("image/png", "image/jpeg"),
        terms={
            LATER: Terms(
                price=Metered(
                    per_thousand_tokens=amounts(
                        text_input="1.3",
                        cached_text_input="0.33",
                        image_input="2.08",
                        cached_image_input="0.52",
                        image_output="7.82",
                    ),
                    precharge=Decimal("1.75"),
                    sample=Decimal(sample),
                ),
                seconds=seconds,
                sizes=GPT_IMAGE,
                output_fields=_IMAGE,
            )
        },
    )


DESCRIPTIONS = (
    ModelDescription(
        id="gpt-image-2",
        title="GPT Image 2",
        kind="image",
        requests=(GptImage2,),
        outputs=1,
        media_types=("image/png", "image/jpeg"),
        terms={
            LATER: Terms(
                price=PerImage(
                    {
                        "low": amounts(_1k="2.17", _2k="4.34", _4k="6.52"),
                        "medium": amounts(_1k="13.03", _2k="21.72", _4k="39.09"),
                        "high": amounts(_1k="47.78", _2k="86.87", _4k="156.36"),
                    },
                    default="1k",
                    default_quality="low",
                ),
                seconds=(20.0, 40.0),
                sizes=GPT_IMAGE,
                output_fields=_IMAGE,
            )
        },
    ),
    # The seconds of Flare are near the documents' sample, which is all they state.
    _metered("gpt-image-2.5-flare", "GPT Image 2.5 Flare", "1.79", (20.0, 60.0)),
    _metered("gpt-image-2.5-sunburst", "GPT Image 2.5 Sunburst", "1.82", (30.0, 90.0)),
)
