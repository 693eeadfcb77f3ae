"""The application's tests: no key, no network, no waiting. Run `pytest` in this directory."""

from __future__ import annotations

from collections.abc import Iterator

import anyio
import pytest
from postcards import create_app, make_postcard
from starlette.testclient import TestClient

from kinovi_async import (
    AmbiguousSubmissionError,
    AsyncKinovi,
    InsufficientCreditsError,
    NanoBanana2,
    WaitTimeoutError,
)
from kinovi_async.simulator import RunningSimulator
from kinovi_async.testing import InstantSimulator


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


# Functions that take a client: the simulator in process.


async def test_a_greeting_becomes_a_postcard(
    kinovi_client: AsyncKinovi, kinovi_simulator: InstantSimulator
) -> None:
    assert (await make_postcard(kinovi_client, "hello")).endswith(".png")
    assert [task.prompt for task in kinovi_simulator.books.accepted] == ["a postcard saying hello"]
    assert kinovi_simulator.books.spent == 15


async def test_a_refused_greeting_becomes_a_plain_postcard_that_is_paid_once(
    kinovi_client: AsyncKinovi, kinovi_simulator: InstantSimulator
) -> None:
    kinovi_simulator.fail(prompt="rude", code=2038)
    await make_postcard(kinovi_client, "something rude")
    assert kinovi_simulator.books.accepted[-1].prompt == "a plain postcard"
    assert kinovi_simulator.books.spent == 15


async def test_a_full_account_is_waited_for(
    kinovi_client: AsyncKinovi, kinovi_simulator: InstantSimulator
) -> None:
    kinovi_simulator.refuse(429, times=2)
    await make_postcard(kinovi_client, "hello")
    assert kinovi_simulator.books.submissions == 3


async def test_a_lost_answer_is_not_paid_twice(
    kinovi_client: AsyncKinovi, kinovi_simulator: InstantSimulator
) -> None:
    kinovi_simulator.lose_answer()
    with pytest.raises(AmbiguousSubmissionError):
        await make_postcard(kinovi_client, "hello")
    assert len(kinovi_simulator.books.accepted) == 1


async def test_an_empty_account_says_what_is_missing(
    kinovi_client: AsyncKinovi, kinovi_simulator: InstantSimulator
) -> None:
    kinovi_simulator.credits = 10
    with pytest.raises(InsufficientCreditsError) as caught:
        await make_postcard(kinovi_client, "hello")
    assert caught.value.required == 15


async def test_a_task_that_never_ends_is_given_up(
    kinovi_client: AsyncKinovi, kinovi_simulator: InstantSimulator
) -> None:
    kinovi_simulator.stall()
    with pytest.raises(WaitTimeoutError):
        await kinovi_client.generate(NanoBanana2(prompt="a postcard"), max_wait=0.05)


async def test_the_failure_of_one_hurts_no_other(
    kinovi_client: AsyncKinovi, kinovi_simulator: InstantSimulator
) -> None:
    kinovi_simulator.fail(nth=3)
    outcomes = await kinovi_client.run_batch(NanoBanana2(prompt=f"card {n}") for n in range(5))
    assert [outcome.ok for outcome in outcomes].count(False) == 1


async def test_a_hundred_postcards_are_a_matter_of_a_second(
    kinovi_client: AsyncKinovi, kinovi_simulator: InstantSimulator
) -> None:
    async with anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(make_postcard, kinovi_client, f"hello {number}")
    books = kinovi_simulator.books
    assert books.spent == 100 * 15
    assert set(books.accepted_per_prompt().values()) == {1}
    assert books.peak_running == kinovi_simulator.limit


async def test_a_webhook_reaches_the_application(
    kinovi_client: AsyncKinovi, kinovi_simulator: InstantSimulator
) -> None:
    app = create_app()
    task_id = await kinovi_client.create_task(
        NanoBanana2(prompt="a postcard"), callback_url="https://postcards.example/arrived"
    )
    assert await kinovi_simulator.deliver_webhooks(app) == [204]
    assert app.state.arrived == [task_id]


# The whole application, which makes its own client: the simulator on a loopback port.


@pytest.fixture
def web(kinovi_server: RunningSimulator) -> Iterator[TestClient]:
    with TestClient(create_app()) as web:
        yield web


def ordered(web: TestClient, greeting: str) -> str:
    answer = web.post("/postcards", json={"greeting": greeting})
    assert answer.status_code == 202
    return f"/postcards/{answer.json()['id']}"


def test_an_order_is_shown_in_progress_and_then_with_its_picture(
    web: TestClient, kinovi_simulator: InstantSimulator
) -> None:
    with kinovi_simulator.hold():
        path = ordered(web, "hello")
        assert web.get(path).json() == {"status": "in progress"}
    while (shown := web.get(path).json())["status"] == "in progress":
        pass
    assert shown["status"] == "succeeded"
    assert shown["url"].endswith(".png")


def test_too_many_orders_are_refused(web: TestClient, kinovi_simulator: InstantSimulator) -> None:
    kinovi_simulator.limit = 0
    for number in range(3):
        ordered(web, f"hello {number}")
    assert web.post("/postcards", json={"greeting": "one more"}).status_code == 503
    kinovi_simulator.limit = 5
