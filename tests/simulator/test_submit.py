"""createTask: what is accepted, what is refused and with which words."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import httpx
import pytest

from kinovi_async import ConfigurationError
from kinovi_async.simulator import DEMO_KEY, AccountSettings, Simulator, TaskRule
from tests.simulator.calls import BASE, KEY, Clock, banana, caller, seedance


@pytest.mark.parametrize(
    ("authorization", "message"),
    [
        (None, "Missing Authorization header"),
        ("", "Missing Authorization header"),
        ("Basic abc", "Invalid API Key"),
        ("Bearer", "Invalid API Key"),
        ("Bearer   ", "Invalid API Key"),
    ],
)
@pytest.mark.parametrize("path", ["createTask", "recordInfo"])
async def test_a_call_without_a_proper_key_is_a_401(
    authorization: str | None, message: str, path: str
) -> None:
    simulator = Simulator()
    headers = {} if authorization is None else {"Authorization": authorization}
    async with caller(simulator, key=None) as client:
        method = "POST" if path == "createTask" else "GET"
        answer = await client.request(method, f"/jobs/{path}", headers=headers)
    assert (answer.status_code, answer.json()) == (401, {"message": message})


async def test_with_a_list_of_keys_every_other_key_is_a_401() -> None:
    simulator = Simulator(keys=["one", "two"])
    async with caller(simulator, "two") as client:
        assert (await client.create(banana())).status_code == 200
    async with caller(simulator, "three") as client:
        answer = await client.create(banana())
        assert (answer.status_code, answer.json()) == (401, {"message": "Invalid API Key"})


async def test_keys_may_have_settings_of_their_own() -> None:
    poor = AccountSettings(credits=Decimal(14))
    closed = AccountSettings(api_enabled=False)
    simulator = Simulator(keys={"poor": poor, "closed": closed})
    async with caller(simulator, "poor") as client:
        assert (await client.create(banana())).status_code == 402
    async with caller(simulator, "closed") as client:
        answer = await client.create(banana())
        assert answer.status_code == 403
        assert answer.json()["message"].startswith("API access not enabled")


async def test_an_accepted_task_has_an_id_of_the_documented_form() -> None:
    async with caller(Simulator()) as client:
        assert re.fullmatch(r"task_[a-z0-9]{24}", await client.created(banana()))


@pytest.mark.parametrize(
    ("body", "message", "path"),
    [
        ([], "Invalid request parameters", None),
        ("text", "Invalid request parameters", None),
        ({}, "Invalid request parameters", ["model"]),
        ({"model": "nanobanana2"}, "Invalid request parameters", ["inputs"]),
        ({"model": 3, "inputs": {}}, "Invalid request parameters", ["model"]),
        ({"model": "nanobanana2", "inputs": []}, "Invalid request parameters", ["inputs"]),
        ({"model": "no-such-model", "inputs": {}}, "Unknown model", None),
        ({"model": "NanoBanana2", "inputs": {"prompt": "x"}}, "Unknown model", None),
        ({"model": "nanobanana2", "inputs": {}}, "Invalid inputs for model", ["prompt"]),
        (banana(aspectRatio="7:5"), "Invalid inputs for model", ["aspectRatio"]),
        (banana(size="2k"), "Invalid inputs for model", ["size"]),
        (banana(aspect_ratio="1:1"), "Invalid inputs for model", ["aspect_ratio"]),
        (seedance(duration="3"), "Invalid inputs for model", ["duration"]),
        (seedance("x" * 4001), "Invalid inputs for model", ["prompt"]),
        ({**banana(), "callBackUrl": "no url"}, "Invalid request parameters", ["callBackUrl"]),
        ({**banana(), "callbackUrl": "http://a.b"}, "Invalid request parameters", ["callbackUrl"]),
    ],
)
async def test_a_wrong_body_is_a_400_that_names_the_field_and_costs_nothing(
    body: object, message: str, path: list[str] | None
) -> None:
    simulator = Simulator()
    async with caller(simulator) as client:
        answer = await client.create(body)
    told = answer.json()
    assert (answer.status_code, told["message"]) == (400, message)
    if path is not None:
        assert path in [error["path"] for error in told["errors"]]
        assert all(set(error) == {"code", "message", "path"} for error in told["errors"])
    assert simulator.books.accepted == ()
    assert simulator.books.refused == {400: 1}


@pytest.mark.parametrize(
    "raw", [b"", b"{", b'{"model": NaN}', b"[1e999]", b"\xff\xfe", b"[" * 9999]
)
async def test_what_is_no_json_is_a_400(raw: bytes) -> None:
    async with caller(Simulator()) as client:
        answer = await client.post("/jobs/createTask", content=raw)
    assert (answer.status_code, answer.json()) == (400, {"message": "Invalid request parameters"})


async def test_a_body_of_more_than_a_megabyte_is_a_413() -> None:
    async with caller(Simulator()) as client:
        assert (await client.create(banana("x" * 1_100_000))).status_code == 413


async def test_unknown_keys_can_be_ignored_as_the_later_documents_describe() -> None:
    simulator = Simulator(ignore_unknown_inputs=True)
    async with caller(simulator) as client:
        await client.created({**banana(aspect_ratio="1:1", size=3), "autoFix": True})
        assert (await client.create(banana(aspectRatio="7:5"))).status_code == 400


PRICES: list[tuple[dict[str, Any], int]] = [
    (banana(), 15),
    (banana(resolution="4k"), 25),
    ({"model": "midjourney-v7", "inputs": {"prompt": "x"}}, 12),
    (seedance(), 200),
    (seedance(duration="15", upscaleResolution="4k"), 1020),
    ({"model": "seedance2-fast", "inputs": {"prompt": "x", "duration": "8"}}, 224),
]


@pytest.mark.parametrize(("body", "price"), PRICES)
async def test_the_documented_price_is_reserved_at_acceptance(
    body: dict[str, Any], price: int
) -> None:
    simulator = Simulator(credits=2000)
    async with caller(simulator) as client:
        record = await client.record(await client.created(body))
    assert record["creditsUsed"] == price
    books = simulator.books
    assert books.charged == books.spent == price
    assert books.accounts[simulator.fingerprint(KEY)].credits == 2000 - price


async def test_too_few_credits_are_a_402_with_both_numbers_and_a_cheaper_request_passes() -> None:
    simulator = Simulator(credits=20)
    async with caller(simulator) as client:
        answer = await client.create(seedance())
        assert answer.status_code == 402
        assert answer.json() == {
            "message": "Insufficient credits",
            "required": 200,
            "available": 20,
        }
        await client.created(banana())
        simulator.set_credits(300)
        await client.created(seedance())


async def test_the_limit_answers_429_until_a_task_ends(clock: Clock) -> None:
    simulator = Simulator(limit=2, clock=clock, durations={"nanobanana2": (10, 10)})
    async with caller(simulator) as client:
        await client.created(banana("one"))
        await client.created(banana("two"))
        answer = await client.create(banana("three"))
        assert answer.status_code == 429
        assert answer.json()["message"].startswith("Concurrency limit reached (2)")
        assert (answer.json()["limit"], answer.json()["current"]) == (2, 2)
        clock.advance(9.99)
        assert (await client.create(banana("three"))).status_code == 429
        clock.advance(0.01)
        await client.created(banana("three"))
    assert simulator.books.peak_running == 2
    assert simulator.books.refused == {429: 2}


async def test_a_limit_can_be_raised_lowered_and_taken_away_while_tasks_run(clock: Clock) -> None:
    simulator = Simulator(limit=1, clock=clock, durations={"nanobanana2": (10, 10)})
    async with caller(simulator) as client:
        await client.created(banana())
        simulator.set_limit(3)
        await client.created(banana())
        simulator.set_limit(0, key=KEY)
        answer = await client.create(banana())
        assert (answer.json()["limit"], answer.json()["current"]) == (0, 2)
        clock.advance(10)
        assert (await client.create(banana())).json()["current"] == 0


async def test_each_key_is_an_account_of_its_own() -> None:
    simulator = Simulator(limit=1)
    async with caller(simulator, "a") as one, caller(simulator, "b") as two:
        task_id = await one.created(banana())
        await two.created(banana())
        answer = await two.info(task_id)
        assert (answer.status_code, answer.json()) == (403, {"message": "Access denied"})


async def test_a_failed_task_is_refunded_when_it_ends_and_not_before(clock: Clock) -> None:
    simulator = Simulator(credits=100, clock=clock, durations={"nanobanana2": (10, 10)})
    simulator.script(TaskRule(prompt="bad", code="2038"))
    account = simulator.fingerprint(KEY)
    async with caller(simulator) as client:
        await client.created(banana("bad idea"))
        await client.created(banana("good idea"))
        assert simulator.books.accounts[account].credits == 70
        clock.advance(10)
        books = simulator.books
    assert books.accounts[account].credits == 85
    assert [books.charged, books.refunded, books.spent] == [Decimal(30), Decimal(15), Decimal(15)]
    assert [task.refunded for task in books.accepted] == [True, False]


@pytest.mark.parametrize(
    ("task_id", "status", "message"),
    [
        (None, 400, "Missing taskId parameter"),
        ("", 400, "Missing taskId parameter"),
        ("a b", 400, "Invalid taskId"),
        ("x" * 256, 400, "Invalid taskId"),
        ("task_unknown", 404, "Task not found"),
    ],
)
async def test_record_info_refuses_ids_it_does_not_know(
    task_id: str | None, status: int, message: str
) -> None:
    async with caller(Simulator()) as client:
        params = {} if task_id is None else {"taskId": task_id}
        answer = await client.get("/jobs/recordInfo", params=params)
    assert (answer.status_code, answer.json()) == (status, {"message": message})


async def test_the_demo_key_reads_its_tasks_and_creates_nothing() -> None:
    simulator = Simulator(keys=["other"])
    async with caller(simulator, DEMO_KEY) as client:
        answer = await client.create(banana())
        assert answer.status_code == 403
        for name in ("t2v", "i2v"):
            record = await client.record(f"demo_task_{name}_success")
            assert (record["status"], record["error"]) == ("success", None)
            file = await client.get(record["output"][0]["url"])
            assert file.headers["content-type"] == "video/mp4"
        codes = [
            (await client.record(f"demo_task_fail_{name}"))["error"]["code"]
            for name in ("text_moderation", "face_detected", "server_error")
        ]
        assert codes == ["2038", "4011", "500"]
    async with caller(simulator, "other") as client:
        assert (await client.info("demo_task_t2v_success")).status_code == 403
    assert simulator.books.accepted == ()


def test_a_key_that_is_not_listed_has_nothing_to_change() -> None:
    simulator = Simulator(keys=["one"])
    simulator.set_limit(3, key="one")
    for change in (simulator.set_limit, simulator.set_credits):
        with pytest.raises(ConfigurationError, match="not among"):
            change(3, key="two")
        with pytest.raises(ConfigurationError, match="0 or more"):
            change(-1)


async def test_the_front_page_tells_where_everything_is() -> None:
    async with caller(Simulator(), key=None) as client:
        told = (await client.get("http://simulator/")).json()
    assert told["base_url"] == BASE
    assert told["books"] == "http://simulator/simulator/books"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/jobs/createTask", 405),
        ("POST", "/jobs/recordInfo", 405),
        ("GET", "/jobs/listTasks", 404),
    ],
)
async def test_other_paths_and_methods_are_refused_in_the_same_form(
    method: str, path: str, status: int
) -> None:
    async with caller(Simulator()) as client:
        answer = await client.request(method, path)
    assert answer.status_code == status
    assert set(answer.json()) == {"message"}


async def test_no_key_stands_in_the_books_or_the_repr() -> None:
    simulator = Simulator(keys=["sk-CANARY"])
    async with caller(simulator, "sk-CANARY") as client:
        await client.created(banana())
        await client.create({})
        books = (await client.get(BASE.replace("/api/v1", "/simulator/books"))).text
    assert "CANARY" not in books + repr(simulator) + repr(simulator.books)
    assert isinstance(httpx.Response(200, text=books).json()["accepted"], list)
