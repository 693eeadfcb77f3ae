"""The books: what really happened, from the inside, over HTTP and across threads."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import httpx
import pytest

from kinovi_async.simulator import Books, Simulator, TaskRule, serve
from tests.simulator.calls import KEY, Caller, Clock, banana, caller, headers_of, seedance

INSIDE = "http://simulator/simulator"


async def test_the_books_tell_every_accepted_task_in_order(clock: Clock) -> None:
    simulator = Simulator(clock=clock, durations={"nanobanana2": (10, 10)})
    simulator.script(TaskRule(prompt="stuck", stuck=True))
    async with caller(simulator) as client:
        first = await client.created(banana("one"))
        clock.advance(3)
        stuck = await client.created(banana("stuck"))
        await client.create({})
        for _ in range(3):
            await client.record(first)
        clock.advance(20)
        await client.record(first)
        await client.record(stuck)
    books = simulator.books
    one, two = books.accepted
    assert (one.order, one.task_id, one.account) == (1, first, simulator.fingerprint(KEY))
    assert (one.body, one.credits, one.prompt) == (banana("one"), Decimal(15), "one")
    assert (one.accepted_at, one.ends_at, one.seen_at) == (1000, 1010, 1023)
    assert (one.polls, one.status, one.submission) == (4, "success", "answered")
    assert (two.accepted_at, two.ends_at, two.seen_at) == (1003, None, None)
    assert (two.status, two.refunded) == ("generating", False)
    assert books.task(stuck) == two
    assert (books.submissions, books.refused_count, books.polls) == (3, 1, 5)
    assert books.now == 1023


async def test_running_tasks_can_be_counted_at_any_moment(clock: Clock) -> None:
    simulator = Simulator(clock=clock, durations={"nanobanana2": (10, 10)})
    async with caller(simulator) as client:
        for _ in range(3):
            await client.created(banana())
            clock.advance(4)
    books = simulator.books
    assert [books.running_at(t) for t in (999, 1000, 1004, 1008, 1010, 1014, 1018)] == [
        0,
        1,
        2,
        3,
        2,
        1,
        0,
    ]
    assert (books.running, books.peak_running) == (2, 3)


async def test_a_prompt_that_was_accepted_two_times_is_counted_two_times() -> None:
    simulator = Simulator()
    async with caller(simulator) as client:
        for prompt in ("a", "b", "a"):
            await client.created(banana(prompt))
    assert simulator.books.accepted_per_prompt() == {"a": 2, "b": 1}


def test_an_unknown_task_has_no_page_in_the_books() -> None:
    with pytest.raises(KeyError):
        Simulator().books.task("task_x")


async def test_another_process_reads_the_books_over_http_and_resets_them() -> None:
    simulator = Simulator()
    async with caller(simulator) as client:
        await client.created(seedance("walk"))
        told = (await client.get(f"{INSIDE}/books")).json()
        assert (await client.post(f"{INSIDE}/reset")).status_code == 204
        after = (await client.get(f"{INSIDE}/books")).json()
    assert told["accepted"][0]["body"] == seedance("walk")
    assert (told["spent"], told["peak_running"], told["submissions"]) == (200, 1, 1)
    assert told["accepted_per_prompt"] == {"walk": 1}
    assert (after["accepted"], after["submissions"]) == ([], 0)


def test_the_books_over_http_have_every_field_and_property() -> None:
    names = {*Books.__dataclass_fields__, "charged", "refunded", "spent", "running"}
    assert names | {"peak_running", "refused_count", "accepted_per_prompt"} == set(
        Simulator().books.to_json()
    )


@pytest.mark.parametrize(("method", "path"), [("GET", "books"), ("POST", "reset")])
async def test_the_books_are_for_this_machine_alone(method: str, path: str) -> None:
    simulator = Simulator()
    far = httpx.ASGITransport(simulator.app, client=("192.0.2.7", 4711))
    async with httpx.AsyncClient(transport=far) as client:
        assert (await client.request(method, f"{INSIDE}/{path}")).status_code == 403


async def test_a_snapshot_never_changes() -> None:
    simulator = Simulator()
    async with caller(simulator) as client:
        before = simulator.books
        await client.created(banana())
    assert before.accepted == ()
    assert replace(before) == before


async def test_books_are_read_from_the_callers_thread_while_the_server_runs() -> None:
    simulator = Simulator(limit=1000)
    async with (
        serve(simulator) as running,
        Caller(base_url=running.base_url, headers=headers_of(KEY)) as client,
    ):
        for number in range(1, 6):
            await client.created(banana())
            assert len(running.simulator.books.accepted) == number
