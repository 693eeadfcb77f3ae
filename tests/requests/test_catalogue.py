"""Every fact of the API's catalogue that the descriptions hold is the catalogue's."""

from __future__ import annotations

import json
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from kinovi_async._requests import (
    GENERATIONS,
    MODELS,
    ApiGeneration,
    FieldDescription,
    ModelDescription,
    credit_usd,
    describe,
)
from kinovi_async._requests._kinds import Kind
from kinovi_async._requests._prices import Billed, Metered, PerImage, PerRun, PerSecond

Json: TypeAlias = dict[str, Any]

CATALOGUE: Json = json.loads(
    (Path(__file__).parents[1] / "data" / "catalog.json").read_text("utf-8"), parse_float=Decimal
)
BY_ID: dict[str, Json] = {each["id"]: each for each in CATALOGUE["models"]}
VARIANTS: dict[ApiGeneration, str] = {"seed": "seed", "2026-09": "later_docs_b"}
PAIRS = [
    (model, generation)
    for model in MODELS.values()
    for generation in GENERATIONS
    if VARIANTS[generation] in BY_ID[model.id]["variants"]
]
IDS = [f"{model.id}-{generation}" for model, generation in PAIRS]
every = pytest.mark.parametrize(("model", "generation"), PAIRS, ids=IDS)


def inputs_of(model: ModelDescription, generation: ApiGeneration) -> dict[str, Json]:
    """The catalogue's inputs of a model in a generation, each with its own variant applied."""
    variant = VARIANTS[generation]
    return {
        each["name"]: {**each, **each.get("by_variant", {}).get(variant, {})}
        for each in BY_ID[model.id]["inputs"]
        if variant in each["variants"]
    }


def price_of(model: ModelDescription, generation: ApiGeneration) -> Json:
    (price,) = (
        each for each in BY_ID[model.id]["pricing"] if each["variant"] == VARIANTS[generation]
    )
    return dict(price)


def test_every_model_of_the_catalogue_is_described_and_no_other() -> None:
    assert set(MODELS) == set(BY_ID)
    for model in MODELS.values():
        known = {VARIANTS[each] for each in model.generations}
        assert known == {*BY_ID[model.id]["variants"]} & {*VARIANTS.values()}
        for cls in model.requests:
            assert set(model.generations) <= set(cls.GENERATIONS)


@every
def test_the_names_on_the_wire(model: ModelDescription, generation: ApiGeneration) -> None:
    assert {each.wire_name for each in model.fields_in(generation)} == set(
        inputs_of(model, generation)
    )


TYPES = {
    "text": {"string"},
    "choice": {"string"},
    "whole number": {"integer", "string", "string|integer"},
    "number": {"number"},
    "true or false": {"boolean"},
    "address": {"string"},
    "list of addresses": {"string[]"},
}


def bounds(field: FieldDescription) -> tuple[object, object]:
    """The least and greatest value of a number."""
    numeric = field.type == "whole number"
    return (field.minimum, field.maximum) if numeric else (None, None)


@every
def test_types_ranges_and_choices(model: ModelDescription, generation: ApiGeneration) -> None:
    said = inputs_of(model, generation)
    for field in model.fields_in(generation):
        fact = said[field.wire_name]
        assert fact["type"] in TYPES[field.type], field.wire_name
        if fact["type"] == "string" and field.type == "whole number":
            digits = [str(n) for n in range(int(field.minimum or 0), int(field.maximum or 0) + 1)]
            assert fact["enum"] == digits
            continue
        assert bounds(field) == (fact.get("min"), fact.get("max")), field.wire_name
        assert set(field.choices) == set(fact.get("enum", ())), field.wire_name
        # The seeds know no limit; the catalogue's one is the length at which the later API cuts.
        if field.type == "text" and not (model.kind == "image" and generation == "seed"):
            assert field.maximum == fact.get("max_length"), field.wire_name
        if field.type == "list of addresses" and field.wire_name != "urls":
            assert field.maximum == fact.get("max_items"), field.wire_name
            if len(model.requests) == 1:
                assert (field.minimum or 0) == fact.get("min_items", 0), field.wire_name


def test_the_mixed_list_of_the_seeds_holds_as_many_as_its_kinds_together() -> None:
    for name in ("seedance-20", "seedance2-fast"):
        model = MODELS[name]
        later = {each.wire_name: each.maximum for each in model.fields_in("2026-09")}
        together = inputs_of(model, "seed")["urls"]["max_items"]
        assert together == (later["imageUrls"] or 0) + (later["videoUrls"] or 0)


@every
def test_what_is_required(model: ModelDescription, generation: ApiGeneration) -> None:
    said = {name for name, fact in inputs_of(model, generation).items() if fact["required"]}
    required = {each.wire_name for each in model.fields_in(generation) if each.required}
    if len(model.requests) > 1 and generation == "seed":
        said.discard("prompt")  # optional from an image alone, as the catalogue notes
    assert required == said


@every
def test_defaults(model: ModelDescription, generation: ApiGeneration) -> None:
    for field in model.fields_in(generation):
        fact = inputs_of(model, generation)[field.wire_name]
        if "default" in fact and fact["default"] is not None:
            assert field.default == fact["default"], field.wire_name


def listed(rate: Decimal) -> Decimal:
    """A rate or an amount as the pages list it: to a hundredth of a credit."""
    return rate.quantize(Decimal("0.01"), ROUND_HALF_UP)


@every
def test_prices(model: ModelDescription, generation: ApiGeneration) -> None:
    price, said = model.terms[generation].price, price_of(model, generation)
    assert bool(said.get("settled_after_success")) == price.settles({"video_urls": ("x",)})
    match price:
        case PerSecond():
            single = {"": said["rates_per_second"].get("*")}
            rates = single if not price.default else said["rates_per_second"]
            assert {name: listed(rate) for name, rate in price.rates.items()} == rates
            assert price.default == said["default_tier"].strip("*")
            referenced = said.get("rates_per_second_with_reference_video")
            assert (None if price.with_video is None else dict(price.with_video)) == referenced
            addons = {each["credits_per_second"] for each in said.get("addons", ())} or {0}
            assert addons == {price.upscale}
        case PerRun():
            assert price.amount == said["credits"]
        case PerImage():
            table = {name: dict(row) for name, row in price.table.items()}
            assert table == (said["credits"] if price.default_quality else {"": said["credits"]})
            default = said["default_key"]
            keys = (
                [price.default_quality, price.default] if price.default_quality else price.default
            )
            assert keys == default
        case Metered():
            assert dict(price.per_thousand_tokens) == said["credits_per_1k_tokens"]
            assert price.precharge == said["precharge_example"]["credits"]
            assert price.sample == said["sample_final_credits"]
        case _:
            pytest.fail(f"no test knows the price of {model.id}")


@pytest.mark.parametrize("take", ["text", "image", "ref"])
def test_five_seconds_of_wan_cost_what_its_page_says_and_not_five_rounded_rates(take: str) -> None:
    price = MODELS[f"wan3.0-{take}-to-video"].price
    assert price.credits({"duration": 5, "output_resolution": "720p"}) == Decimal("142.57")


BILLED = {
    "duration": Billed.DURATION,
    "min(sum of source video seconds, 30) rounded to whole seconds + duration": (
        Billed.WITH_REFERENCE
    ),
    "min(sum of reference video seconds, 30) rounded to whole seconds + duration": (
        Billed.WITH_REFERENCE
    ),
    "2 x source video seconds (source capped at 30)": Billed.TWICE_SOURCE,
}
RESERVED = {"billed seconds x rate": 7, "duration x rate": 7, "15 s x rate (flat estimate)": 15}


@every
def test_the_seconds_that_are_billed_and_reserved(
    model: ModelDescription, generation: ApiGeneration
) -> None:
    price, said = model.terms[generation].price, price_of(model, generation)
    if not isinstance(price, PerSecond):
        assert "billed_seconds" not in said
        return
    referenced = said.get("billed_seconds_with_reference_video") or said["billed_seconds"]
    assert price.billed == BILLED[str(referenced)]
    assert BILLED[said["billed_seconds"]] in {price.billed, Billed.DURATION}
    values = {"duration": 7, "video_urls": ("x",), "output_resolution": price.default}
    rate = (price.with_video or price.rates)[price.default]
    assert price.reserved(values) == listed(RESERVED[said["reserved_at_submit"]] * rate)
    longest = {Billed.DURATION: 7, Billed.WITH_REFERENCE: 37, Billed.TWICE_SOURCE: 60}
    assert price.credits(values) == listed(longest[price.billed] * rate)


@every
def test_formats_of_files(model: ModelDescription, generation: ApiGeneration) -> None:
    said = inputs_of(model, generation)
    for field in model.fields_in(generation):
        found = [name for names in field.formats.values() for name in names]
        assert bool(found) == ("address" in field.type), field.wire_name
        if "formats" in said[field.wire_name]:
            assert found == said[field.wire_name]["formats"], field.wire_name
    if "urls" in said:  # the pages of the seeds: "videos (MP4)"
        (urls,) = (each for each in model.fields_in(generation) if each.wire_name == "urls")
        assert urls.formats[Kind.VIDEO] == ("mp4",)


@every
def test_dollars_are_near_what_the_pages_quote(
    model: ModelDescription, generation: ApiGeneration
) -> None:
    said = price_of(model, generation)
    per_credit = credit_usd(generation)

    def compare(amounts: object, dollars: object) -> None:
        if isinstance(dollars, dict) and isinstance(amounts, dict):
            for name, each in dollars.items():
                compare(amounts[name], each)
        elif dollars is not None:
            # The quotes are rounded, to the cent for the cheapest.
            expected = Decimal(str(amounts)) * per_credit
            assert abs(expected - Decimal(str(dollars))) <= Decimal("0.03") * expected + Decimal(
                "0.005"
            )

    compare(said.get("rates_per_second", said.get("credits")), said.get("usd_per_second"))
    compare(said.get("credits"), said.get("usd"))


@every
def test_outputs(model: ModelDescription, generation: ApiGeneration) -> None:
    said = BY_ID[model.id]["output"]
    assert model.outputs == said["count"]
    assert set(model.media_types) == set(said["media_type"])
    assert list(model.terms[generation].output_fields) == said["fields"][VARIANTS[generation]]
    assert model.kind == BY_ID[model.id]["kind"]


def test_sizes() -> None:
    checked = 0
    for model in MODELS.values():
        sizes = model.terms_in("2026-09").sizes
        for tier, row in BY_ID[model.id].get("output_sizes", {}).items():
            if isinstance(row, dict):
                for ratio, size in row.items():
                    assert list(sizes.size(tier, ratio)) == size
                    checked += 1
            else:
                assert list(sizes.size(None, tier)) == row
                checked += 1
    assert checked > 60


@every
def test_typical_seconds(model: ModelDescription, generation: ApiGeneration) -> None:
    low, high = model.terms[generation].seconds
    said = BY_ID[model.id]["typical_seconds"].get(VARIANTS[generation])
    observed = [float(each) for each in BY_ID[model.id]["observed_seconds"]]
    ranges: list[Any] = (
        [each for each in said.values() if isinstance(each, list)]
        if isinstance(said, dict)
        else [said]
        if isinstance(said, list)
        else []
    )
    if isinstance(said, dict) and "720p" in said:
        ranges = [said["720p"]]
    if ranges and ranges[0][0] != ranges[0][1]:
        assert [low, high] == ranges[0]
    elif ranges:  # "about 180 s": between that and the sample answer
        assert low <= ranges[0][0] <= high
        assert abs(observed[0] - low) < 2
    elif observed and generation == "2026-09":
        assert low <= observed[0] <= high
    assert 0 < low < high <= model.give_up_seconds
    assert model.give_up_seconds >= BY_ID[model.id].get("stuck_after_seconds", 0)


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.id)
def test_failures(model: ModelDescription) -> None:
    left = list(model.failures)
    for said in BY_ID[model.id]["fail_codes"]:
        worth = said["retry"].startswith(("yes", "once"))
        found = next(
            each
            for each in left
            if each.code == said["code"]
            and ("match" not in said or each.match == said["match"])
            and each.advice.retryable == worth
        )
        left.remove(found)
    assert not left


def test_an_unknown_model_has_no_description() -> None:
    assert describe("suno-music") is None
    assert describe("seedance2-mini") is None  # the page's name, which the API refuses
