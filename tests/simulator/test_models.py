"""Every model in every generation that knows it: output shape, price, files, and traps."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import pytest
from PIL import Image

from kinovi_async import Output
from kinovi_async._record_parsing import parse_record
from kinovi_async._requests import MODELS, ApiGeneration, as_request, parse_request, settle_delay
from kinovi_async.simulator import Dialect, Simulator
from kinovi_async.simulator._shapes import SOURCE_SECONDS
from tests.requests.bodies import CASES, CLIP, IMAGE, SOUND, Case
from tests.simulator.calls import KEY, Clock, caller
from tests.simulator.test_media import described as movie_of

EDITED = "seedance2-5-edit"
LATER: ApiGeneration = "2026-09"
every = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def final_price(case: Case) -> Decimal:
    """By the documents' formula: reference videos have five seconds each here."""
    values = parse_request(case.body).values()
    price = case.model.terms[case.generation].price.settled(values, SOURCE_SECONDS)
    assert price is not None
    return price


@every
@pytest.mark.parametrize("chosen", [False, True])
async def test_a_request_with_every_field_gets_the_documented_output_and_price(
    case: Case, clock: Clock, *, chosen: bool
) -> None:
    simulator = Simulator(clock=clock, api_generation=case.generation if chosen else None)
    request = as_request(case.body, api_generation=case.generation)
    body = request.to_wire(api_generation=case.generation)
    terms = case.model.terms[case.generation]
    async with caller(simulator) as client:
        task_id = await client.created(body)
        waiting = parse_record(await client.record(task_id))
        assert waiting.credits_used == terms.price.reserved(request.values())
        clock.advance(terms.seconds[1] + 60)
        record = parse_record(await client.record(task_id))
    assert (record.status, record.model) == ("success", case.model.id)
    assert record.credits_used == final_price(case)
    cost = request.cost(api_generation=case.generation)
    if cost is not None and settle_delay(request) is None:
        assert record.credits_used == cost
    assert len(record.outputs) == case.model.outputs
    raw = record.raw["output"]
    assert isinstance(raw, list)
    for output in raw:
        assert list(output) == list(terms.output_fields)
    assert_size(case, record.outputs[0])
    assert simulator.books.spent == final_price(case)
    balance = simulator.books.accounts[simulator.fingerprint(KEY)].credits
    assert balance == 1_000_000 - final_price(case)


def assert_size(case: Case, output: Output) -> None:
    inputs = case.body["inputs"]
    if case.generation == LATER:
        assert output.media_type in case.model.media_types
        wanted = inputs.get("outputFormat", inputs.get("output_format", ""))
        assert {"mov": "quicktime", "jpeg": "jpeg"}.get(wanted, "") in (output.media_type or "")
    assert output.width
    assert output.height
    ratio = inputs.get("aspectRatio", "16:9")
    if ":" in ratio:
        wide, high = map(int, ratio.split(":"))
        assert output.width / output.height == pytest.approx(wide / high, rel=0.05)


@pytest.mark.parametrize(
    ("model", "inputs", "size", "kind"),
    [
        ("seedance-20", {"outputResolution": "480p"}, (864, 496), "mp4"),
        ("seedance-20", {"outputResolution": "1080p", "aspectRatio": "21:9"}, (2206, 946), "mp4"),
        ("seedance2-5", {"outputResolution": "480p", "output_format": "mov"}, (854, 480), "mov"),
        ("seedance2-5", {"outputResolution": "1080p", "aspectRatio": "3:4"}, (1248, 1664), "mp4"),
        ("wan3.0-text-to-video", {"duration": 30, "aspectRatio": "9:16"}, (720, 1280), "mp4"),
        ("gpt-image-2", {"outputFormat": "jpeg"}, (1024, 1024), "jpg"),
        ("gpt-image-2.5-flare", {"aspectRatio": "16:9"}, (1376, 768), "png"),
        ("seedream-5.0-pro", {"aspectRatio": "4:3", "resolution": "2k"}, (2368, 1792), "png"),
        ("midjourney-v8", {"aspectRatio": "5:4", "autoFix": True}, (1200, 960), "png"),
    ],
)
async def test_files_are_what_the_record_says(
    model: str, inputs: dict[str, Any], size: tuple[int, int], kind: str, clock: Clock
) -> None:
    simulator = Simulator(clock=clock)
    async with caller(simulator) as client:
        task_id = await client.created({"model": model, "inputs": {"prompt": "x", **inputs}})
        clock.advance(900)
        output = (await client.record(task_id))["output"][0]
    assert (output["width"], output["height"]) == size
    assert output["url"].endswith(f".{kind}")
    async with caller(simulator, key=None) as client:
        answer = await client.get(output["url"])
        assert answer.headers["content-type"] == output["mediaType"]
        if kind in {"mp4", "mov"}:
            movie = movie_of(answer.content)
            assert movie["size"] == size
            assert movie["movie_seconds"] == inputs.get("duration", 5)
            assert answer.content[8:12] == (b"qt  " if kind == "mov" else b"isom")
        else:
            with Image.open(io.BytesIO(answer.content)) as image:
                assert (image.size, image.format) == (size, "JPEG" if kind == "jpg" else "PNG")
        if "lastFrameImage" in output:
            frame = await client.get(output["lastFrameImage"])
            with Image.open(io.BytesIO(frame.content)) as image:
                assert (image.size, image.format) == (size, "PNG")


async def test_an_asked_seed_comes_back_and_another_is_made_up(clock: Clock) -> None:
    simulator = Simulator(clock=clock)
    async with caller(simulator) as client:
        body = {"model": "seedance2.0-mini", "inputs": {"prompt": "x", "seed": 77}}
        asked = await client.created(body)
        random = await client.created({**body, "inputs": {"prompt": "x", "seed": -1}})
        clock.advance(900)
        assert (await client.record(asked))["output"][0]["seed"] == 77
        assert (await client.record(random))["output"][0]["seed"] >= 0


async def test_a_price_settles_some_seconds_after_success(clock: Clock) -> None:
    """The documents' sample is a clip of ten seconds extended by five: 175, then 525."""
    simulator = Simulator(clock=clock, durations={"seedance2-5-extend": (60, 60)}, credits=600)
    inputs = {"prompt": "x", "videoUrls": [CLIP, CLIP], "duration": 5}
    async with caller(simulator) as client:
        task_id = await client.created({"model": "seedance2-5-extend", "inputs": inputs})
        clock.advance(60)
        assert (await client.record(task_id))["status"] == "success"
        assert (await client.record(task_id))["creditsUsed"] == 175
        assert simulator.books.spent == 175
        clock.advance(5)
        assert (await client.record(task_id))["creditsUsed"] == 525
    assert simulator.books.spent == 525
    assert simulator.books.accounts[simulator.fingerprint(KEY)].credits == 75


async def created(body: dict[str, Any], clock: Clock, **options: Any) -> dict[str, Any]:
    """The record of a task once it has ended; `{"status_code": ...}` of a refusal."""
    simulator = Simulator(clock=clock, **options)
    async with caller(simulator) as client:
        answer = await client.create(body)
        if answer.status_code != 200:
            return {"status_code": answer.status_code, **answer.json()}
        clock.advance(2000)
        return await client.record(answer.json()["taskId"])


async def test_the_later_api_ignores_old_names_and_charges_for_the_text_alone(clock: Clock) -> None:
    old = {"prompt": "x", "urls": [IMAGE, CLIP], "mode": "reference", "duration": 5}
    for mode in ("keyframe", "reference"):
        inputs = {**old, "mode": mode, "prompt": "@image1 dances"}
        ignored = await created(
            {"model": "seedance-20", "inputs": inputs}, clock, api_generation=LATER
        )
        assert (ignored["status"], ignored["creditsUsed"]) == ("success", 200)
    new = {"prompt": "x", "imageUrls": [IMAGE], "videoUrls": [CLIP], "duration": 5}
    taken = await created({"model": "seedance-20", "inputs": new}, clock, api_generation=LATER)
    assert taken["creditsUsed"] == 240
    for model, name in (("nanobanana2", "imageUrls"), ("midjourney-v8", "sourceImageUrl")):
        body = {"model": model, "inputs": {"prompt": "x", name: IMAGE, "zzz": 1}, "autoFix": True}
        assert (await created(body, clock, api_generation=LATER))["status"] == "success"
        refused = await created(body, clock, api_generation=LATER, ignore_unknown_inputs=False)
        assert refused["status_code"] == 400


@pytest.mark.parametrize(
    ("model", "inputs", "field"),
    [
        ("seedance-20", {"duration": "5"}, "duration"),
        ("seedance-20", {"prompt": None, "imageUrls": [IMAGE]}, "prompt"),
        ("seedance-20", {"generate_audio": "false"}, "generate_audio"),
        ("seedance-20", {"aspectRatio": "5:4"}, "aspectRatio"),
        ("seedance2-fast", {"outputResolution": "1080p"}, "outputResolution"),
        ("seedance-20", {"prompt": "x" * 10_001}, "prompt"),
        ("seedance2-5-extend", {"videoUrls": [CLIP]}, "duration"),
        ("wan3.0-text-to-video", {"imageUrls": [IMAGE]}, "imageUrls"),
        ("wan3.0-image-to-video", {"imageUrls": [IMAGE], "videoUrls": [CLIP]}, "videoUrls"),
        ("nanobanana2", {"resolution": "1k"}, "resolution"),
        ("gpt-image-2", {"outputFormat": "webp"}, "outputFormat"),
    ],
)
async def test_the_later_api_refuses_wrong_types_and_values(
    model: str, inputs: dict[str, Any], field: str, clock: Clock
) -> None:
    body = {"model": model, "inputs": {"prompt": "x", **inputs}}
    told = await created(body, clock, api_generation=LATER)
    assert (told["status_code"], told["message"]) == (400, "Invalid inputs for model")
    assert [field] in [each["path"] for each in told["errors"]]


@pytest.mark.parametrize(
    ("inputs", "spent"),
    [
        ({"imageUrls": [IMAGE] * 5}, 200),  # the third and later ones are left out
        ({"videoUrls": [CLIP]}, 240),  # a reference, whatever the mode
        ({"videoUrls": [CLIP], "mode": "keyframe"}, 240),
        ({"imageUrls": [IMAGE], "audioUrls": [SOUND]}, 200),
        ({"imageUrls": [], "outputResolution": "480p"}, 75),
    ],
)
async def test_the_later_api_reads_references_its_own_way(
    inputs: dict[str, Any], spent: int, clock: Clock
) -> None:
    body = {"model": "seedance-20", "inputs": {"prompt": "x", **inputs}}
    assert (await created(body, clock))["creditsUsed"] == spent


@pytest.mark.parametrize("model", ["seedance-20", "seedance2-5"])
async def test_audio_alone_is_taken_and_fails(model: str, clock: Clock) -> None:
    body = {"model": model, "inputs": {"prompt": "x", "audioUrls": [SOUND]}}
    record = await created(body, clock, api_generation=LATER)
    assert (record["status"], record["error"]["code"]) == ("fail", "InvalidParameter")


async def test_midjourney_degrades_without_a_word(clock: Clock) -> None:
    inputs = {"prompt": "x" * 7000, "aspectRatio": "7:1"}
    body = {"model": "midjourney-v8", "inputs": inputs}
    record = await created(body, clock, api_generation=LATER)
    assert (record["status"], record["output"][0]["width"]) == ("success", 1024)


async def test_the_generation_is_read_off_the_body_when_none_is_chosen(clock: Clock) -> None:
    plain = {"model": "seedance-20", "inputs": {"prompt": "x"}}
    assert list((await created(plain, clock))["output"][0]) == ["url", "width", "height"]
    later = {"model": "seedance-20", "inputs": {"prompt": "x", "outputResolution": "720p"}}
    assert "mediaType" in (await created(later, clock))["output"][0]
    mixed = {"model": "seedance-20", "inputs": {"prompt": "x", "zzz": 1}}
    assert (await created(mixed, clock))["status_code"] == 400
    typed = await created(plain, clock, dialect=Dialect(media_type=True))
    assert typed["output"][0]["mediaType"] == "video/mp4"


async def test_a_model_of_one_generation_is_known_whatever_is_chosen(clock: Clock) -> None:
    old = {"model": "midjourney-v7", "inputs": {"prompt": "x", "sourceImageUrl": IMAGE}}
    assert (await created(old, clock, api_generation=LATER))["status"] == "success"
    new = {"model": EDITED, "inputs": {"prompt": "x", "videoUrls": [CLIP]}}
    record = await created(new, clock, api_generation="seed")
    assert record["creditsUsed"] == 2 * SOURCE_SECONDS * 35
    assert MODELS[EDITED].generations == (LATER,)
