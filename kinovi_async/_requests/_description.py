"""What is known about a model of the API: the shape of its one description.

A description stands in its family's module, below the class that holds the fields; all
of them together are `MODELS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from ._base import Request
from ._failures import Failure
from ._fields import FieldDescription, wire_fields
from ._generations import GENERATIONS, SEED, ApiGeneration
from ._prices import Price
from ._rules import OneOf
from ._sizes import Sizes

# No task is given up before 15 minutes (the documents call one stuck after 10 or 15), nor
# before ten times what the documents call its usual time.
_LEAST_WAIT = 900.0
_TIMES_USUAL = 10

MediaKind: TypeAlias = Literal["video", "image"]


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What one generation of the API says about a model, its fields aside."""

    price: Price
    seconds: tuple[float, float]
    """From acceptance to success, low and high, as the documents and their samples say."""
    sizes: Sizes
    """Pixels of the outputs."""
    output_fields: tuple[str, ...] = ("url", "width", "height")
    """Of each output in a record."""


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """What is known about one model of the API."""

    id: str
    title: str
    kind: MediaKind
    requests: tuple[type[Request], ...]
    """The request classes that the model understands, one a mode."""
    outputs: int
    """Files per run."""
    media_types: tuple[str, ...]
    """MIME types that its outputs may have, the usual one first."""
    terms: Mapping[ApiGeneration, Terms]
    """By the generations of the API that know the model, the seeds first."""
    failures: tuple[Failure, ...] = ()
    """How its tasks fail, as its page says."""
    choose: Callable[[Mapping[str, object]], type[Request]] | None = None
    """Picks the class for the `inputs` of a body; None when there is only one."""

    @property
    def generations(self) -> tuple[ApiGeneration, ...]:
        """The generations of the API that know the model."""
        return tuple(each for each in GENERATIONS if each in self.terms)

    def generation(self, chosen: ApiGeneration) -> ApiGeneration:
        """The chosen generation, or the only one that knows the model."""
        return chosen if chosen in self.terms else self.generations[0]

    def terms_in(self, api_generation: ApiGeneration = SEED) -> Terms:
        """Its price, time and sizes in a generation, or in the only one that knows it."""
        return self.terms[self.generation(api_generation)]

    @property
    def media_type(self) -> str:
        """The usual MIME type of the outputs."""
        return self.media_types[0]

    @property
    def price(self) -> Price:
        """The price, the seeds' when they know the model."""
        return self.terms_in().price

    @property
    def price_text(self) -> str:
        """The price for people: `12 credits per run`."""
        return self.price.text

    @property
    def typical_seconds(self) -> tuple[float, float]:
        """From acceptance to success, low and high: the seeds' when they know the model."""
        return self.terms_in().seconds

    @property
    def settles(self) -> bool:
        """Whether `creditsUsed` of some of its requests changes after success."""
        probe = {"video_urls": ("x",)}
        return any(terms.price.settles(probe) for terms in self.terms.values())

    @property
    def give_up_seconds(self) -> float:
        """How long an accepted task is waited for unless told otherwise."""
        longest = max(terms.seconds[1] for terms in self.terms.values())
        return max(_LEAST_WAIT, _TIMES_USUAL * longest)

    def fields_in(self, api_generation: ApiGeneration = SEED) -> tuple[FieldDescription, ...]:
        """The fields of `inputs` in a generation, each wire name once, narrowed to the model.

        Required are those that every mode requires.
        """
        generation = self.generation(api_generation)
        merged: dict[str, FieldDescription] = {}
        for cls in self.requests:
            for name, field in wire_fields(cls, generation).items():
                known = merged.setdefault(name, field)
                merged[name] = wider(known, field)
        return tuple(
            replace(
                self.narrowed(field, generation),
                required=all(_requires(cls, name, generation) for cls in self.requests),
            )
            for name, field in merged.items()
        )

    @property
    def fields(self) -> tuple[FieldDescription, ...]:
        """The fields of `inputs` by every name that a generation has for them."""
        found: dict[str, FieldDescription] = {}
        for generation in self.generations:
            for field in self.fields_in(generation):
                found.setdefault(field.wire_name, field)
        return tuple(found.values())

    def narrowed(self, field: FieldDescription, api_generation: ApiGeneration) -> FieldDescription:
        """A field with only those choices that the model has a price for."""
        price = self.terms[api_generation].price
        tiers = price.tiers.get(field.name)
        default = price.defaults.get(field.name, field.default)
        if tiers is not None:
            field = replace(field, rule=OneOf(*tiers), phrase=None)
        return replace(field, default=default)

    def request_class(self, inputs: Mapping[str, object]) -> type[Request]:
        """The class that the `inputs` of a body become."""
        return self.choose(inputs) if self.choose else self.requests[0]


def _requires(cls: type[Request], name: str, generation: ApiGeneration) -> bool:
    field = wire_fields(cls, generation).get(name)
    return field is not None and field.required


def wider(one: FieldDescription, other: FieldDescription) -> FieldDescription:
    """Of two modes' fields of one name, the one that takes more."""
    choices = {*one.choices, *other.choices}
    if choices and choices != set(one.choices):
        together = tuple(dict.fromkeys([*one.choices, *other.choices]))
        return replace(one, rule=OneOf(*(str(each) for each in together)), phrase=None)
    if one.maximum is not None and (other.maximum is None or other.maximum > one.maximum):
        return other
    return one


__all__ = ["MediaKind", "ModelDescription", "Terms", "wider"]
