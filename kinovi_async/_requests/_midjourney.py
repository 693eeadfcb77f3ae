"""Midjourney: four images from text, with an optional reference image."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from . import _failures as fail
from ._addresses import Address, Alone, Source
from ._base import Request
from ._description import ModelDescription, Terms
from ._fields import In, Only
from ._generations import LATER, SEED
from ._kinds import Kind
from ._prices import PerRun
from ._rules import Flag, Number, OneOf, Text, Whole
from ._sizes import MIDJOURNEY

MidjourneyModel: TypeAlias = Literal["midjourney-v7", "midjourney-v8", "midjourney-v7-niji"]
MidjourneyAspectRatio: TypeAlias = Literal[
    "1:1", "16:9", "9:16", "3:4", "4:3", "21:9", "3:2", "2:3", "4:5", "5:4"
]
_SEED_RATIOS = OneOf("1:1", "16:9", "9:16", "3:4", "4:3", "21:9")


class Midjourney(Request):
    """Four images from text: photorealistic (V7, V8) or anime (Niji).

    Flags such as `--ar` in the prompt are honoured by the API and win over the fields.
    """

    # All limits: the API's page on Midjourney, and the later pages of V8 and Niji.
    HINTS: ClassVar[Mapping[str, str]] = {
        "negativePrompt": "no such field here; did you mean no?",
        "imageUrls": "no such field here; sourceImageUrl takes one address",
        "urls": "no such field here; sourceImageUrl takes one address",
    }

    model: MidjourneyModel = Field(
        default="midjourney-v7",
        description="midjourney-v7 or -v8 (photorealistic), midjourney-v7-niji (anime).",
    )
    # The later API cuts a longer prompt off without a word.
    prompt: Annotated[str, Text(required=True), In(LATER, Text(6000, required=True))] = Field(
        description="What the images show."
    )
    aspect_ratio: Annotated[MidjourneyAspectRatio, In(SEED, _SEED_RATIOS)] = Field(
        default="1:1", description="Shape of the images."
    )
    source_image_url: Annotated[
        Source | None, Address(Kind.IMAGE), In(LATER, Alone(Kind.IMAGE), name="uploadedUrls")
    ] = Field(default=None, description="A reference image that influences the result.")
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
    auto_fix: Annotated[bool | None, Flag(), Only(LATER), In(LATER, default=True)] = Field(
        default=None, description="Replace words that Midjourney bans instead of failing."
    )


_SEED_TERMS = Terms(price=PerRun(Decimal(12)), seconds=(30.0, 90.0), sizes=MIDJOURNEY)
_LATER_TERMS = Terms(
    price=PerRun(Decimal(12)),
    seconds=(30.0, 60.0),
    sizes=MIDJOURNEY,
    output_fields=("url", "width", "height", "mediaType"),
)


def _midjourney(model_id: str, title: str, *, later: bool = True) -> ModelDescription:
    return ModelDescription(
        id=model_id,
        title=title,
        kind="image",
        requests=(Midjourney,),
        outputs=4,
        media_types=("image/png",),
        terms={SEED: _SEED_TERMS, LATER: _LATER_TERMS} if later else {SEED: _SEED_TERMS},
        failures=(
            fail.BANNED_WORD,
            fail.UPLOADED_IMAGE,
            fail.BLOCKED,
            fail.COMMUNITY,
            fail.BUSY_500,
        ),
    )


DESCRIPTIONS = (
    _midjourney("midjourney-v7", "Midjourney V7", later=False),
    _midjourney("midjourney-v8", "Midjourney V8"),
    _midjourney("midjourney-v7-niji", "Midjourney Niji V7"),
)
