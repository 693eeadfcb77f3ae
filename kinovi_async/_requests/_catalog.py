"""The models this package describes: one entry each, and nothing about them elsewhere.

Fields, ranges and defaults are not repeated here; they are read off the request classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from ._fields import FieldDescription, fields_of
from ._midjourney import Midjourney
from ._nanobanana import NanoBanana2
from ._prices import PerResolution, PerRun, PerSecond, Price
from ._seedance import ImageToVideo, OmniReference, TextToVideo, seedance_class

if TYPE_CHECKING:
    from ._base import Request

# No task is given up before 15 minutes (the documents call one stuck after 10), nor
# before ten times what the documents call its usual time.
_LEAST_WAIT = 900.0
_TIMES_USUAL = 10


@dataclass(frozen=True)
class ModelDescription:
    """What is known about one model of the API."""

    id: str
    title: str
    kind: Literal["video", "image"]
    requests: tuple[type[Request], ...]
    """The request classes that the model understands, one a mode."""
    outputs: int
    """Files per run."""
    media_type: str
    """MIME type of the outputs."""
    typical_seconds: tuple[float, float]
    """From acceptance to success, low and high, as the documents and their samples say."""
    price: Price
    choose: Callable[[Mapping[str, object]], type[Request]] | None = None
    """Picks the class for the `inputs` of a body; None when there is only one."""

    @property
    def price_text(self) -> str:
        """The price for people: `12 credits per run`."""
        return self.price.text

    @property
    def give_up_seconds(self) -> float:
        """How long an accepted task is waited for unless told otherwise."""
        return max(_LEAST_WAIT, _TIMES_USUAL * self.typical_seconds[1])

    @property
    def fields(self) -> tuple[FieldDescription, ...]:
        """The fields of every mode, each wire name once; required when every mode requires it."""
        merged: dict[str, FieldDescription] = {}
        for cls in self.requests:
            for name, field in fields_of(cls).items():
                merged.setdefault(name, field)
        return tuple(
            replace(field, required=all(_requires(cls, name) for cls in self.requests))
            for name, field in merged.items()
        )

    def request_class(self, inputs: Mapping[str, object]) -> type[Request]:
        """The class that the `inputs` of a body become."""
        return self.choose(inputs) if self.choose else self.requests[0]


def _requires(cls: type[Request], name: str) -> bool:
    field = fields_of(cls).get(name)
    return field is not None and field.required


def describe(model_id: str) -> ModelDescription | None:
    """The description of a model, None when there is none."""
    return MODELS.get(model_id)


_SEEDANCE = (TextToVideo, ImageToVideo, OmniReference)

# Prices, outputs and times: the API's overview and the page of each model.
_DESCRIPTIONS = (
    ModelDescription(
        id="seedance-20",
        title="Seedance 2.0 Pro",
        kind="video",
        requests=_SEEDANCE,
        choose=seedance_class,
        outputs=1,
        media_type="video/mp4",
        typical_seconds=(60.0, 180.0),
        price=PerSecond(40, upscale=28),
    ),
    ModelDescription(
        id="seedance2-fast",
        title="Seedance 2.0 Fast",
        kind="video",
        requests=_SEEDANCE,
        choose=seedance_class,
        outputs=1,
        media_type="video/mp4",
        typical_seconds=(30.0, 90.0),  # "about twice as fast"
        price=PerSecond(28, upscale=28),
    ),
    ModelDescription(
        id="midjourney-v7",
        title="Midjourney V7",
        kind="image",
        requests=(Midjourney,),
        outputs=4,
        media_type="image/png",
        typical_seconds=(30.0, 90.0),
        price=PerRun(12),
    ),
    ModelDescription(
        id="midjourney-v8",
        title="Midjourney V8",
        kind="image",
        requests=(Midjourney,),
        outputs=4,
        media_type="image/png",
        typical_seconds=(30.0, 90.0),
        price=PerRun(12),
    ),
    ModelDescription(
        id="midjourney-v7-niji",
        title="Midjourney Niji V7",
        kind="image",
        requests=(Midjourney,),
        outputs=4,
        media_type="image/png",
        typical_seconds=(30.0, 90.0),
        price=PerRun(12),
    ),
    ModelDescription(
        id="nanobanana2",
        title="NanoBanana 2",
        kind="image",
        requests=(NanoBanana2,),
        outputs=1,
        media_type="image/png",
        typical_seconds=(10.0, 31.0),  # two sample answers, no statement
        price=PerResolution({"1k": 15, "2k": 15, "4k": 25}),
    ),
)

MODELS: Mapping[str, ModelDescription] = MappingProxyType({each.id: each for each in _DESCRIPTIONS})
"""Every described model by its id, in the order of the API's overview."""
