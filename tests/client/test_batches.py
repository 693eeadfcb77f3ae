"""Batches: many requests in, outcomes out, in virtual time."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal

import anyio
import anyio.lowlevel
import pytest

from kinovi_async import (
    AsyncKinovi,
    BudgetExceededError,
    ConfigurationError,
    Event,
    InsufficientCreditsError,
    InvalidRequestError,
    JobAccepted,
    KeyConflictError,
    NanoBanana2,
    NotFoundError,
    OutcomeStatus,
    TaskFailedError,
)
from kinovi_async._batch import BatchItem
from kinovi_async.simulator import SubmitRule, TaskRule

from .conftest import Api


def cats(count: int) -> list[NanoBanana2]:
    return [NanoBanana2(prompt=f"cat {n}") for n in range(count)]


async def test_outcomes_come_in_input_order_whatever_happens(client: AsyncKinovi, api: Api) -> None:
    api.simulator.script(TaskRule(prompt="cat 1", code="2038"))
    items: list[BatchItem] = [
        *cats(3),
        {"model": "nanobanana2"},
        ("mine", NanoBanana2(prompt="keyed")),
    ]
    outcomes = await client.run_batch(items)
    assert [o.index for o in outcomes] == [0, 1, 2, 3, 4]
    assert [o.status.value for o in outcomes] == [
        "succeeded",
        "failed",
        "succeeded",
        "rejected",
        "succeeded",
    ]
    assert isinstance(outcomes[1].error, TaskFailedError)
    assert isinstance(outcomes[3].error, InvalidRequestError)
    assert outcomes[3].request is None
    assert outcomes[4].key == "mine"
    with pytest.raises(InvalidRequestError):
        outcomes[3].result()
    assert api.simulator.books.spent == Decimal(45)


async def test_the_limit_is_learned_and_never_exceeded(client: AsyncKinovi, api: Api) -> None:
    outcomes = await client.run_batch(cats(30))
    assert all(o.ok for o in outcomes)
    books = api.simulator.books
    assert books.peak_running == 3
    assert set(books.accepted_per_prompt().values()) == {1}


async def test_a_bound_of_the_user_holds(client: AsyncKinovi, api: Api) -> None:
    await client.run_batch(cats(6), max_in_flight=2)
    assert api.simulator.books.peak_running == 2
    assert api.simulator.books.refused_count == 0


async def test_two_batches_share_the_slots_and_take_turns(client: AsyncKinovi, api: Api) -> None:
    ended: list[str] = []

    async def run(name: str, count: int) -> None:
        await client.run_batch([NanoBanana2(prompt=f"{name} {n}") for n in range(count)])
        ended.append(name)

    async with anyio.create_task_group() as group:
        group.start_soon(run, "large", 30)
        await anyio.sleep(1)
        group.start_soon(run, "small", 3)
    assert ended == ["small", "large"]
    assert api.simulator.books.peak_running == 3


async def test_single_calls_and_batches_share_the_slots(client: AsyncKinovi, api: Api) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(client.run_batch, cats(10))
        for n in range(5):
            group.start_soon(client.generate, NanoBanana2(prompt=f"call {n}"))
    books = api.simulator.books
    assert len(books.accepted) == 15
    assert books.peak_running == 3


async def test_a_lazy_source_is_pulled_as_the_queue_has_room(client: AsyncKinovi) -> None:
    pulled = 0

    def source() -> Iterator[NanoBanana2]:
        nonlocal pulled
        for n in range(1000):
            pulled += 1
            yield NanoBanana2(prompt=f"cat {n}")

    async with client.stream_batch(source(), max_queue=5) as stream:
        async for outcome in stream:
            assert outcome.ok
            break
    assert pulled <= 5 + 3 + 2


async def test_an_async_source_is_taken(client: AsyncKinovi) -> None:
    async def source() -> AsyncIterator[NanoBanana2]:
        for request in cats(4):
            await anyio.sleep(1)
            yield request

    outcomes = await client.run_batch(source())
    assert len(outcomes) == 4


async def test_leaving_a_stream_early_cancels_what_is_unsent(client: AsyncKinovi, api: Api) -> None:
    async with client.stream_batch(cats(20)) as stream:
        async for _ in stream:
            break
    taken = len(api.simulator.books.accepted)
    assert taken < 8
    await anyio.sleep(600)
    assert len(api.simulator.books.accepted) == taken
    assert (await client.generate(NanoBanana2(prompt="after"))).urls


async def test_an_error_in_the_body_comes_out_bare(client: AsyncKinovi) -> None:
    with pytest.raises(ZeroDivisionError):
        async with client.stream_batch(cats(5)) as stream:
            async for _ in stream:
                raise ZeroDivisionError


async def test_an_error_of_the_source_comes_after_the_outcomes(client: AsyncKinovi) -> None:
    def source() -> Iterator[NanoBanana2]:
        yield from cats(2)
        raise ZeroDivisionError

    seen = []
    with pytest.raises(ZeroDivisionError):
        async with client.stream_batch(source()) as stream:
            async for outcome in stream:
                seen.append(outcome.status)
    assert seen == [OutcomeStatus.SUCCEEDED] * 2


async def test_a_slow_consumer_sets_the_pace(client: AsyncKinovi, api: Api) -> None:
    async with client.stream_batch(cats(1000), max_queue=50) as stream:
        await anyio.sleep(80_000)
        assert len(api.simulator.books.accepted) <= 110
        count = 0
        async for _ in stream:
            count += 1
            if count == 300:
                break
    assert len(api.simulator.books.accepted) >= 300


async def test_402_ends_a_batch_and_cancels_the_rest(client: AsyncKinovi, api: Api) -> None:
    api.simulator.set_credits(40, key="sk-CANARY-0123456789")
    outcomes = await client.run_batch(cats(10))
    statuses = Counter(o.status.value for o in outcomes)
    assert statuses == {"succeeded": 2, "cancelled": 8}
    errors = [o.error for o in outcomes if not o.ok]
    assert all(isinstance(error, InsufficientCreditsError) for error in errors)
    assert api.simulator.books.spent == 30


async def test_a_cheaper_call_is_not_refused_because_a_dear_one_was(
    client: AsyncKinovi, api: Api
) -> None:
    api.simulator.set_credits(20, key="sk-CANARY-0123456789")
    with pytest.raises(InsufficientCreditsError):
        await client.generate({"model": "seedance-20", "inputs": {"prompt": "a wave"}})
    assert (await client.generate(NanoBanana2(prompt="cheap"))).urls


async def test_a_budget_is_never_exceeded(client: AsyncKinovi, api: Api) -> None:
    outcomes = await client.run_batch(cats(5), budget=50)
    assert sum(o.ok for o in outcomes) == 3
    assert {type(o.error) for o in outcomes if not o.ok} == {BudgetExceededError}
    assert api.simulator.books.spent == 45


async def test_a_budget_refuses_a_request_of_unknown_price(client: AsyncKinovi, api: Api) -> None:
    unknown = {"model": "gpt-image-2.5-flare", "inputs": {"prompt": "x"}}
    (refused,) = await client.run_batch([unknown], budget=100)
    assert refused.status is OutcomeStatus.REJECTED
    (allowed,) = await client.run_batch([unknown], budget=200, assume_cost=150)
    assert allowed.ok
    assert len(api.simulator.books.accepted) == 1


async def test_one_key_twice_is_one_job_with_two_outcomes(client: AsyncKinovi, api: Api) -> None:
    same = NanoBanana2(prompt="twin")
    outcomes = await client.run_batch([("a", same), ("a", same)])
    assert [o.index for o in outcomes] == [0, 1]
    assert outcomes[0].task_id == outcomes[1].task_id
    assert len(api.simulator.books.accepted) == 1


async def test_one_key_with_two_requests_is_a_conflict(client: AsyncKinovi) -> None:
    outcomes = await client.run_batch([("a", cats(1)[0]), ("a", NanoBanana2(prompt="other"))])
    assert outcomes[0].ok
    assert isinstance(outcomes[1].error, KeyConflictError)


async def test_a_lost_answer_is_never_paid_for_twice(client: AsyncKinovi, api: Api) -> None:
    api.simulator.script(SubmitRule(answer="html-502-accepted", prompt="cat 1"))
    outcomes = await client.run_batch(cats(4))
    assert [o.status.value for o in outcomes] == [
        "succeeded",
        "ambiguous",
        "succeeded",
        "succeeded",
    ]
    assert set(api.simulator.books.accepted_per_prompt().values()) == {1}


async def test_cancelling_generate_in_the_queue_costs_nothing(
    client: AsyncKinovi, api: Api
) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(client.run_batch, cats(6))
        await anyio.sleep(1)
        with anyio.move_on_after(2) as scope:
            await client.generate(NanoBanana2(prompt="late"), priority=-1)
        assert scope.cancelled_caught
    assert "late" not in api.simulator.books.accepted_per_prompt()


async def test_cancelling_generate_names_a_running_task(
    client: AsyncKinovi, caplog: pytest.LogCaptureFixture
) -> None:
    with anyio.move_on_after(2):
        await client.generate(NanoBanana2(prompt="running"))
    assert "runs on and is paid for" in caplog.text


async def test_two_calls_with_one_key_are_one_job(client: AsyncKinovi, api: Api) -> None:
    urls = []

    async def call() -> None:
        record = await client.generate(NanoBanana2(prompt="twin"), key="twin")
        urls.append(record.urls)

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        group.start_soon(call)
    assert urls[0] == urls[1]
    assert len(api.simulator.books.accepted) == 1


async def test_a_call_takes_over_a_job_that_another_gave_up(client: AsyncKinovi, api: Api) -> None:
    async def give_up() -> None:
        with anyio.move_on_after(1):
            await client.generate(NanoBanana2(prompt="twin"), key="twin")

    async with anyio.create_task_group() as group:
        group.start_soon(client.run_batch, cats(3))
        await anyio.sleep(0.5)
        group.start_soon(give_up)
        await anyio.sleep(0.1)
        record = await client.generate(NanoBanana2(prompt="twin"), key="twin")
    assert record.urls
    assert api.simulator.books.accepted_per_prompt()["twin"] == 1


async def test_events_of_a_batch_are_told(client: AsyncKinovi) -> None:
    events: list[Event] = []

    async def note(event: Event) -> None:
        await anyio.lowlevel.checkpoint()
        events.append(event)

    await client.run_batch(cats(2), on_event=note)
    assert sum(isinstance(event, JobAccepted) for event in events) == 2


async def test_one_request_is_no_batch(client: AsyncKinovi) -> None:
    for mistake in (cats(1)[0], {"model": "nanobanana2", "inputs": {"prompt": "x"}}):
        with pytest.raises(ConfigurationError, match="a list"):
            await client.run_batch(mistake)  # type: ignore[arg-type]


async def test_a_budget_is_used_as_far_as_it_goes(client: AsyncKinovi, api: Api) -> None:
    """A refused submission frees what it had reserved; the budget is not spent by it."""
    outcomes = await client.run_batch(cats(20), budget=100)
    assert sum(o.ok for o in outcomes) == 6
    assert api.simulator.books.spent == 90


async def test_a_wrong_address_rejects_nothing(api: Api) -> None:
    async with api.client(base_url="http://localhost/wrong") as client:
        outcomes = await client.run_batch(cats(5))
    assert {o.status for o in outcomes} == {OutcomeStatus.CANCELLED}
    assert all(isinstance(o.error, NotFoundError) for o in outcomes)
