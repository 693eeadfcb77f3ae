"""InstantSimulator: what happens follows from the calls, and reads well in a test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import SocketAttribute, SocketStream

from kinovi_async import (
    AmbiguousSubmissionError,
    AsyncKinovi,
    ConcurrencyLimitError,
    ConfigurationError,
    InsufficientCreditsError,
    JobScheduler,
    Midjourney,
    NanoBanana2,
    TaskFailedError,
    TaskStatus,
    TextToVideo,
    WaitTimeoutError,
)
from kinovi_async.simulator import Faults, TaskRule
from kinovi_async.testing import KEY, InstantSimulator, environment, serving
from kinovi_async.testing._asgi import post

CAT = NanoBanana2(prompt="a red cat")
FILM = TextToVideo(prompt="a quiet harbour")


@pytest.fixture
def simulator() -> InstantSimulator:
    return InstantSimulator()


@pytest.fixture
def client(simulator: InstantSimulator) -> AsyncKinovi:
    return simulator.client()


# Time


async def test_a_task_has_ended_when_it_is_first_asked_about(
    client: AsyncKinovi, simulator: InstantSimulator
) -> None:
    task_id = await client.create_task(FILM)
    assert simulator.books.running == 1
    assert (await client.get_task(task_id)).status is TaskStatus.SUCCESS
    assert simulator.books.running == 0


async def test_tasks_end_in_the_order_of_their_durations(
    client: AsyncKinovi, simulator: InstantSimulator
) -> None:
    simulator.script(TaskRule(prompt="harbour", seconds=60.0), TaskRule(prompt="cat", seconds=10.0))
    film = await client.create_task(FILM)
    picture = await client.create_task(CAT)
    assert (await client.get_task(film)).status is TaskStatus.GENERATING
    assert simulator.books.task(picture).status is TaskStatus.SUCCESS
    assert (await client.get_task(film)).status is TaskStatus.SUCCESS


async def test_a_task_that_nobody_asks_about_keeps_its_slot(
    client: AsyncKinovi, simulator: InstantSimulator
) -> None:
    simulator.limit = 1
    await client.create_task(CAT)
    with pytest.raises(ConcurrencyLimitError) as caught:
        await client.create_task(CAT)
    assert (caught.value.limit, caught.value.current) == (1, 1)
    simulator.finish()
    await client.create_task(CAT)


async def test_asking_about_an_ended_task_moves_no_other(
    client: AsyncKinovi, simulator: InstantSimulator
) -> None:
    ended = await client.create_task(CAT)
    simulator.finish()
    running = await client.create_task(CAT)
    for _ in range(5):
        await client.get_task(ended)
    assert simulator.books.task(running).status is TaskStatus.WAITING


async def test_held_tasks_stay_as_they_are(
    client: AsyncKinovi, simulator: InstantSimulator
) -> None:
    task_id = await client.create_task(CAT)
    with simulator.hold():
        for _ in range(5):
            assert (await client.get_task(task_id)).status is TaskStatus.WAITING
    assert (await client.wait(task_id)).status is TaskStatus.SUCCESS


async def test_finish_ends_everything_but_what_never_ends(
    client: AsyncKinovi, simulator: InstantSimulator
) -> None:
    simulator.stall(prompt="harbour")
    tasks = [await client.create_task(request) for request in (CAT, FILM, Midjourney(prompt="owl"))]
    simulator.finish()
    assert [simulator.books.task(task).status for task in tasks] == [
        TaskStatus.SUCCESS,
        TaskStatus.GENERATING,
        TaskStatus.SUCCESS,
    ]


async def test_records_bear_the_date_of_today(client: AsyncKinovi) -> None:
    record = await client.generate(CAT)
    assert record.created_at is not None
    assert abs(datetime.now(UTC) - record.created_at) < timedelta(hours=1)


async def test_two_runs_of_the_same_calls_are_the_same() -> None:
    async def run() -> list[tuple[str, str, Decimal]]:
        simulator = InstantSimulator(seed=7, faults=Faults(fail=0.3))
        client = simulator.client()
        await client.run_batch([NanoBanana2(prompt=f"cat {n}") for n in range(20)])
        books = simulator.books
        return sorted((task.prompt, task.status, task.credits) for task in books.accepted)

    first = await run()
    assert first == await run()
    assert {status for _, status, _ in first} == {TaskStatus.SUCCESS, TaskStatus.FAIL}


async def test_a_batch_fills_the_slots_and_no_more(
    client: AsyncKinovi, simulator: InstantSimulator
) -> None:
    simulator.limit = 3
    outcomes = await client.run_batch([NanoBanana2(prompt=f"cat {n}") for n in range(30)])
    assert all(outcome.ok for outcome in outcomes)
    assert simulator.books.peak_running == 3
    assert simulator.books.spent == 30 * 15


# The script


async def test_the_third_task_fails_with_2038_and_is_refunded(
    client: AsyncKinovi, simulator: InstantSimulator
) -> None:
    simulator.fail(nth=3, code=2038)
    await client.generate(CAT)
    await client.generate(CAT)
    with pytest.raises(TaskFailedError) as caught:
        await client.generate(CAT)
    assert caught.value.code == "2038"
    await client.generate(CAT)
    assert simulator.books.spent == 45


async def test_a_failure_has_the_message_it_is_given(
    client: AsyncKinovi, simulator: InstantSimulator
) -> None:
    simulator.fail("500", prompt="cat", times=1, message="no capacity")
    with pytest.raises(TaskFailedError, match="no capacity"):
        await client.generate(CAT)
    await client.generate(CAT)


async def test_two_refusals_are_waited_out(
    client: AsyncKinovi, simulator: InstantSimulator
) -> None:
    simulator.refuse(times=2)
    await client.generate(CAT)
    assert (simulator.books.submissions, len(simulator.books.accepted)) == (3, 1)


async def test_a_lost_answer_hides_a_task_that_is_paid(
    client: AsyncKinovi, simulator: InstantSimulator
) -> None:
    simulator.lose_answer(nth=1)
    with pytest.raises(AmbiguousSubmissionError):
        await client.generate(CAT)
    assert simulator.books.charged == 15


async def test_an_answer_lost_before_acceptance_hides_nothing(
    client: AsyncKinovi, simulator: InstantSimulator
) -> None:
    simulator.lose_answer(accepted=False)
    with pytest.raises(AmbiguousSubmissionError):
        await client.generate(CAT)
    assert simulator.books.charged == 0


async def test_credits_run_out(client: AsyncKinovi, simulator: InstantSimulator) -> None:
    simulator.credits = 20
    await client.generate(CAT)
    assert simulator.credits == 5
    with pytest.raises(InsufficientCreditsError) as caught:
        await client.generate(CAT)
    assert (caught.value.required, caught.value.available) == (Decimal(15), Decimal(5))


async def test_a_stalled_task_outlasts_whoever_waits(
    client: AsyncKinovi, simulator: InstantSimulator
) -> None:
    simulator.stall(times=1)
    with pytest.raises(WaitTimeoutError):
        await client.generate(CAT, max_wait=0.02)
    await client.generate(CAT)


async def test_a_slow_answer_is_waited_for_and_accepted_once(
    client: AsyncKinovi, simulator: InstantSimulator
) -> None:
    simulator.slow(0.01)
    await client.generate(CAT)
    assert simulator.books.faults == {"slow": 1}
    assert len(simulator.books.accepted) == 1


async def test_failed_polls_end_no_wait(client: AsyncKinovi, simulator: InstantSimulator) -> None:
    simulator.fail_polls(times=3)
    await client.generate(CAT)
    assert simulator.books.faults == {"503": 3}


async def test_the_limit_may_change_while_jobs_run(simulator: InstantSimulator) -> None:
    assert simulator.limit == 5
    simulator.limit = 2
    async with JobScheduler(simulator.client()) as scheduler:
        jobs = [await scheduler.submit(CAT) for _ in range(10)]
        simulator.limit = 4
        for job in jobs:
            await job.result()
    assert (simulator.limit, len(simulator.books.accepted)) == (4, 10)


async def test_a_client_takes_options_and_two_clients_share_the_account(
    simulator: InstantSimulator, tmp_path: Any
) -> None:
    book = tmp_path / "jobs.sqlite3"
    async with simulator.client(ledger=book) as first:
        before = await first.generate(CAT, key="cat-1")
    async with simulator.client(ledger=book) as second:
        after = await second.generate(CAT, key="cat-1")
    assert before.task_id == after.task_id
    assert simulator.books.spent == 15


# Webhooks


class Receiver:
    """An ASGI application that keeps what it is sent."""

    def __init__(self, status: int = 204) -> None:
        self.got: list[tuple[str, str]] = []
        self._status = status

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        self.got.append((scope["path"], json.loads(body)["data"]["taskId"]))
        start = {"type": "http.response.start", "status": self._status, "headers": []}
        await send(start)
        await send({"type": "http.response.body", "body": b""})


async def test_webhooks_come_in_the_order_in_which_tasks_end(
    client: AsyncKinovi, simulator: InstantSimulator
) -> None:
    simulator.script(TaskRule(prompt="harbour", seconds=60.0), TaskRule(prompt="cat", seconds=10.0))
    film = await client.create_task(FILM, callback_url="https://example.com/film?x=1")
    picture = await client.create_task(CAT, callback_url="https://example.com/picture")
    receiver = Receiver()
    assert await simulator.deliver_webhooks(receiver) == [204, 204]
    assert receiver.got == [("/picture", picture), ("/film", film)]
    assert simulator.books.webhooks == {"sent": 2}
    assert await simulator.deliver_webhooks(receiver) == []


async def test_a_webhook_that_is_refused_stands_in_the_books(
    client: AsyncKinovi, simulator: InstantSimulator
) -> None:
    await client.create_task(CAT, callback_url="https://example.com/hook")
    assert await simulator.deliver_webhooks(Receiver(status=500)) == [500]
    assert simulator.books.webhooks == {"failed": 1}


async def test_a_receiver_may_answer_without_reading() -> None:
    async def hasty(scope: Any, receive: Any, send: Any) -> None:
        assert (scope["path"], scope["query_string"]) == ("/a hook", b"run=1")
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        assert (await receive())["body"] == b"{}"
        assert await receive() == {"type": "http.disconnect"}

    assert await post(hasty, "https://example.com/a%20hook?run=1", b"{}") == 401


async def test_a_receiver_that_says_nothing_is_an_error() -> None:
    async def silent(scope: Any, receive: Any, send: Any) -> None:
        await anyio.lowlevel.checkpoint()

    with pytest.raises(RuntimeError, match="without an answer"):
        await post(silent, "https://example.com/", b"{}")


async def test_what_a_receiver_raises_comes_out(
    client: AsyncKinovi, simulator: InstantSimulator
) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await anyio.lowlevel.checkpoint()
        raise ZeroDivisionError

    await client.create_task(CAT, callback_url="https://example.com/hook")
    with pytest.raises(ZeroDivisionError):
        await simulator.deliver_webhooks(broken)


async def test_held_tasks_send_no_webhook(client: AsyncKinovi, simulator: InstantSimulator) -> None:
    await client.create_task(CAT, callback_url="https://example.com/hook")
    with simulator.hold():
        assert await simulator.deliver_webhooks(Receiver()) == []
    assert await simulator.deliver_webhooks(Receiver()) == [204]


async def test_webhooks_are_delivered_while_a_block_runs(
    client: AsyncKinovi, simulator: InstantSimulator
) -> None:
    arrived = anyio.Event()

    async def receiver(scope: Any, receive: Any, send: Any) -> None:
        await Receiver()(scope, receive, send)
        arrived.set()

    async with simulator.delivering_webhooks(receiver):
        await client.create_task(CAT, callback_url="https://example.com/hook")
        await arrived.wait()


# Served


@pytest.fixture
def served(
    simulator: InstantSimulator, monkeypatch: pytest.MonkeyPatch
) -> Iterator[InstantSimulator]:
    with serving(simulator) as running:
        for name, value in environment(running).items():
            monkeypatch.setenv(name, value)
        yield simulator


async def test_a_client_of_the_environment_waits_for_nothing(served: InstantSimulator) -> None:
    async with AsyncKinovi() as client:
        outcomes = await client.run_batch([TextToVideo(prompt=f"wave {n}") for n in range(20)])
    assert all(outcome.ok for outcome in outcomes)
    assert set(served.books.accounts) == {served.fingerprint(KEY)}


async def test_a_served_simulator_sends_webhooks_by_itself(served: InstantSimulator) -> None:
    arrived = anyio.Event()

    async def receive(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            arrived.set()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - not Django's
    async with listener, AsyncKinovi() as client, anyio.create_task_group() as group:
        group.start_soon(listener.serve, receive)
        with served.hold():
            task_id = await client.create_task(CAT, callback_url=f"http://127.0.0.1:{port}/hook")
            assert (await client.get_task(task_id)).status is TaskStatus.WAITING
        await arrived.wait()
        assert (await client.get_task(task_id)).status is TaskStatus.SUCCESS
        group.cancel_scope.cancel()


@pytest.mark.parametrize("text", ["3", "3,2", "0,1", "a,b", "1,2,3", "nan,1", "1,inf"])
def test_a_poll_interval_of_the_environment_is_checked(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KINOVI_POLL_INTERVAL", text)
    with pytest.raises(ConfigurationError, match="KINOVI_POLL_INTERVAL is LOW,HIGH"):
        AsyncKinovi(api_key="any")
    AsyncKinovi(api_key="any", poll_interval=(3.0, 5.0))
