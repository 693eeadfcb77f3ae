"""What the example application answers, in this process, against the instant simulator."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from kinovi_async.testing import InstantSimulator, environment, serving

from .processes import ROOT

Open = Callable[..., TestClient]


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[InstantSimulator]:
    found = InstantSimulator()
    with serving(found) as running:
        for name, value in environment(running).items():
            monkeypatch.setenv(name, value)
        yield found


@pytest.fixture
def shop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulator: InstantSimulator
) -> Iterator[Open]:
    """Opens the application with these settings; the data of one test are kept."""
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "fastapi_app"))
    clients: list[TestClient] = []

    def open_one(**settings: str) -> TestClient:
        monkeypatch.setenv("DATA_DIR", str(tmp_path))
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        application: Any = importlib.import_module("app")
        client = TestClient(application.create_app())
        client.__enter__()
        clients.append(client)
        return client

    yield open_one
    for client in clients:
        client.__exit__(None, None, None)


def placed(client: TestClient, prompt: str, **headers: str) -> dict[str, Any]:
    answer = client.post("/generations", json={"prompt": prompt}, headers=headers)
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/generations/{found['id']}"
    return found


def until_ended(client: TestClient, order: dict[str, Any]) -> dict[str, Any]:
    while True:
        found: dict[str, Any] = client.get(f"/generations/{order['id']}").json()
        if found["status"] not in {"queued", "generating"}:
            return found


def test_an_order_is_answered_at_once_and_its_picture_is_there_later(
    shop: Open, simulator: InstantSimulator
) -> None:
    web = shop()
    assert "frame-ancestors" in web.get("/").headers["content-security-policy"]
    with simulator.hold():
        order = placed(web, "a fox")
        assert order["status"] == "queued"
        assert web.get(f"/generations/{order['id']}/picture").status_code == 404
    ended = until_ended(web, order)
    assert ended["status"] == "succeeded"
    picture = web.get(f"/{ended['picture']}")
    assert picture.headers["content-type"] == "image/png"
    assert picture.content.startswith(b"\x89PNG")
    assert web.get("/health").json()["runner"] is True


def test_the_same_order_sent_twice_is_one_order(shop: Open, simulator: InstantSimulator) -> None:
    web = shop()
    web.get("/")
    headers = {"Idempotency-Key": "one"}
    first, second = placed(web, "a fox", **headers), placed(web, "a fox", **headers)
    assert first["id"] == second["id"]
    until_ended(web, first)
    assert simulator.books.spent == 15


def test_orders_are_their_customers_alone(shop: Open) -> None:
    web = shop()
    web.get("/")
    order = placed(web, "a fox")
    assert [each["id"] for each in web.get("/generations").json()] == [order["id"]]
    web.cookies.clear()
    assert web.get("/generations").json() == []
    assert web.get(f"/generations/{order['id']}").status_code == 404
    assert web.delete(f"/generations/{order['id']}").status_code == 404


def test_a_full_queue_is_503_with_a_time_and_leaves_nothing_behind(
    shop: Open, simulator: InstantSimulator
) -> None:
    web = shop(MAX_QUEUE="2")
    web.get("/")
    simulator.limit = 0
    orders = [placed(web, f"fox {n}") for n in range(2)]
    answer = web.post("/generations", json={"prompt": "fox 3"})
    assert answer.status_code == 503
    assert 1 <= int(answer.headers["retry-after"]) <= 600
    assert len(web.get("/generations").json()) == 2
    for order in orders:
        while web.delete(f"/generations/{order['id']}").status_code == 409:
            pass  # it is on the wire just now, and will be refused
        assert until_ended(web, order)["status"] == "cancelled"
    simulator.limit = 5
    assert until_ended(web, placed(web, "fox 4"))["status"] == "succeeded"
    assert web.delete(f"/generations/{web.get('/generations').json()[-1]['id']}").status_code == 409
    assert list(simulator.books.accepted_per_prompt()) == ["fox 4"]


def test_a_larger_plan_goes_first_and_what_fails_costs_nothing(
    shop: Open, simulator: InstantSimulator
) -> None:
    web = shop()
    web.get("/")
    simulator.limit = 0
    simulator.fail(prompt="rude", code=2038)
    cheap = [placed(web, f"free {n}") for n in range(3)] + [placed(web, "rude")]
    assert web.post("/generations", json={"prompt": "a fifth"}).status_code == 402
    token = web.cookies["customer"]
    web.cookies.clear()
    web.get("/")
    assert web.put("/plan", json={"plan": "studio"}).json()["budget"] == 600
    dear = placed(web, "studio")
    simulator.limit = 1
    assert until_ended(web, dear)["status"] == "succeeded"
    web.cookies.set("customer", token, domain="testserver.local", path="/")
    assert [until_ended(web, order)["status"] for order in cheap] == ["succeeded"] * 3 + ["failed"]
    assert placed(web, "now it is covered")["status"] == "queued"
    # The first of the cheap ones may have been on its way when the dear one came.
    prompts = [task.prompt for task in simulator.books.accepted]
    assert prompts.index("studio") <= 1


def test_what_was_placed_before_a_crash_is_made_after_it(
    shop: Open, simulator: InstantSimulator, tmp_path: Path
) -> None:
    """The order was written, its job was not durable yet."""
    orders: Any = importlib.import_module("orders")
    web = shop()
    web.get("/")
    customer = importlib.import_module("hashlib").sha256(web.cookies["customer"].encode())
    order = orders.Order(
        id="lost", customer=customer.hexdigest()[:16], prompt="a fox", aspect_ratio="1:1",
        priority=0, cost=15.0,
    )  # fmt: skip
    book = orders.Orders(tmp_path / "orders.sqlite3")
    assert web.portal is not None
    web.portal.call(lambda: book.place(order, budget=60))
    book.close()
    again = shop()
    again.cookies.set("customer", web.cookies["customer"])
    assert until_ended(again, {"id": "lost"})["status"] == "succeeded"
    assert simulator.books.spent == 15


def test_without_a_public_address_nothing_is_received(shop: Open) -> None:
    assert shop().post("/kinovi/any", json={}).json() == {"detail": "Not Found"}


@pytest.mark.parametrize("prompt", ["", "x" * 1001])
def test_a_wrong_order_is_422(shop: Open, prompt: str) -> None:
    assert shop().post("/generations", json={"prompt": prompt}).status_code == 422


def test_with_a_public_address_the_webhooks_are_received(
    shop: Open, simulator: InstantSimulator
) -> None:
    web = shop(PUBLIC_URL="https://shop.example", WEBHOOK_SECRET="0123456789abcdef0123456789abcdef")
    forged = web.post("/kinovi/forged", json={})
    assert forged.status_code == 404
    assert "detail" not in forged.text
    web.get("/")
    order = placed(web, "a fox")
    assert until_ended(web, order)["status"] == "succeeded"
    (task,) = simulator.books.accepted
    assert str(task.body["callBackUrl"]).startswith("https://shop.example/kinovi")
