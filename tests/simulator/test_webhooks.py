"""Webhooks: what is posted, when, where to, and what the books say of it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream, TaskGroup

from kinovi_async.simulator import (
    Dialect,
    Faults,
    RunningSimulator,
    Simulator,
    TaskRule,
    Webhook,
    serve,
)
from kinovi_async.simulator._webhooks import send
from tests.simulator.calls import (
    KEY,
    Caller,
    Clock,
    JsonObject,
    banana,
    books_over_http,
    caller,
    headers_of,
)

if TYPE_CHECKING:
    from anyio.streams.stapled import MultiListener


class Receiver:
    """What a webhook receiver has got: the request line and the JSON of each call."""

    def __init__(self, url: str, status: str) -> None:
        self.url = url
        self.got: list[tuple[str, Any]] = []
        self._status = status

    async def handle(self, stream: SocketStream) -> None:
        async with stream:
            data = await stream.receive()
            while b"\r\n\r\n" not in data:
                data += await stream.receive()
            head, _, body = data.partition(b"\r\n\r\n")
            lines = head.decode().lower().split("\r\n")
            length = next(
                int(line.partition(":")[2]) for line in lines if line.startswith("content-length")
            )
            while len(body) < length:
                body += await stream.receive()
            self.got.append((head.decode().partition("\r\n")[0], json.loads(body)))
            await stream.send(
                f"HTTP/1.1 {self._status}\r\nLocation: {self.url}\r\n"
                "Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
            )


async def receive(group: TaskGroup, status: str = "200 OK") -> Receiver:
    """A receiver that listens while the group runs."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - of anyio
    receiver = Receiver(f"http://127.0.0.1:{port}/hook?token=x", status)
    group.start_soon(answer, listener, receiver.handle)
    return receiver


async def answer(
    listener: MultiListener[SocketStream], handle: Callable[[SocketStream], Awaitable[None]]
) -> None:
    """Hands each connection to `handle`."""
    async with listener:
        await listener.serve(handle)


def ordered(url: str, prompt: str = "a cat") -> JsonObject:
    return {**banana(prompt), "callBackUrl": url}


def client_of(running: RunningSimulator) -> Caller:
    return Caller(base_url=running.base_url, headers=headers_of(KEY))


async def test_a_webhook_is_posted_once_when_its_task_ends(clock: Clock) -> None:
    async with anyio.create_task_group() as group, serve(Simulator(clock=clock)) as running:
        receiver = await receive(group)
        async with client_of(running) as client:
            task_id = await client.created(ordered(receiver.url))
            assert receiver.got == []
            clock.advance(1000)
            await books_over_http(running.origin, lambda books: books["webhooks"] == {"sent": 1})
            record = await client.record(task_id)
        group.cancel_scope.cancel()
    envelope = {"code": 200, "message": "success", "data": record}
    assert receiver.got == [("POST /hook?token=x HTTP/1.1", envelope)]


async def test_webhooks_of_real_time_come_by_themselves() -> None:
    async with anyio.create_task_group() as group, serve(Simulator(speed=1000)) as running:
        receiver = await receive(group)
        async with client_of(running) as client:
            ids = [await client.created(ordered(receiver.url, f"{n}")) for n in range(3)]
        await books_over_http(running.origin, lambda books: books["webhooks"] == {"sent": 3})
        group.cancel_scope.cancel()
    assert {payload["data"]["taskId"] for _, payload in receiver.got} == set(ids)


@pytest.mark.parametrize("status", ["500 Oops", "302 Found"])
async def test_a_receiver_that_refuses_is_not_asked_again(status: str, clock: Clock) -> None:
    async with anyio.create_task_group() as group, serve(Simulator(clock=clock)) as running:
        receiver = await receive(group, status)
        async with client_of(running) as client:
            await client.created(ordered(receiver.url))
        clock.advance(1000)
        await books_over_http(running.origin, lambda books: books["webhooks"] == {"failed": 1})
        group.cancel_scope.cancel()
    assert len(receiver.got) == 1


async def test_a_receiver_that_does_not_answer_does_not_hold_up_the_end(clock: Clock) -> None:
    called = anyio.Event()

    async def never_answer(stream: SocketStream) -> None:
        async with stream:
            called.set()
            await anyio.sleep_forever()

    simulator = Simulator(clock=clock)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
            port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - of anyio
            group.start_soon(answer, listener, never_answer)
            async with serve(simulator) as running, client_of(running) as client:
                await client.created(ordered(f"http://127.0.0.1:{port}/"))
                clock.advance(1000)
                await called.wait()
            assert simulator.books.webhooks == {}
            group.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("url", "anywhere", "result"),
    [
        ("http://192.0.2.1/hook", False, "blocked"),
        ("https://192.0.2.1/hook", False, "blocked"),
        ("http://[2001:db8::1]/hook", False, "blocked"),
        ("http://no-such-host.invalid/", False, "blocked"),
        ("http://no-such-host.invalid/", True, "failed"),
        ("http://127.0.0.1:1/hook", False, "failed"),
        ("http://[::1]:1/hook", False, "failed"),
        ("http://127.0.0.1:99999/", False, "failed"),
        ("http://127.0.0.1:1/a b", False, "failed"),
    ],
)
def test_a_webhook_goes_to_this_machine_alone_and_never_raises(
    url: str, result: str, *, anywhere: bool
) -> None:
    assert send(Webhook("task_x", url, b"{}"), anywhere=anywhere, timeout=5) == result


async def taken(simulator: Simulator, clock: Clock) -> list[Any]:
    async with caller(simulator) as client:
        await client.created(ordered("http://127.0.0.1:1/hook"))
    assert simulator.take_due_webhooks() == []
    clock.advance(1000)
    due = simulator.take_due_webhooks()
    assert simulator.take_due_webhooks() == []
    return [json.loads(webhook.body) for webhook in due]


async def test_in_process_due_webhooks_are_taken_once(clock: Clock) -> None:
    (payload,) = await taken(Simulator(clock=clock), clock)
    assert payload["data"]["status"] == "success"
    assert payload["data"]["output"][0]["url"].startswith("http://simulator/media/task_")


async def test_the_envelope_is_the_deliverys_and_not_the_tasks(clock: Clock) -> None:
    later = Dialect(status_field="state", fail_credits="zero")
    simulator = Simulator(clock=clock, dialect=later)
    simulator.script(TaskRule(code="2038"))
    (payload,) = await taken(simulator, clock)
    assert (payload["code"], payload["data"]["state"]) == (200, "fail")
    assert payload["data"]["creditsUsed"] == 0


async def test_a_webhook_may_come_bare(clock: Clock) -> None:
    (payload,) = await taken(Simulator(clock=clock, dialect=Dialect(webhook_envelope=False)), clock)
    assert payload["status"] == "success"


@pytest.mark.parametrize(
    ("faults", "count", "books"),
    [(Faults(webhook_lost=1), 0, {"lost": 1}), (Faults(webhook_twice=1), 2, {})],
)
async def test_a_webhook_may_be_lost_or_come_two_times(
    faults: Faults, count: int, books: JsonObject, clock: Clock
) -> None:
    simulator = Simulator(clock=clock, faults=faults)
    payloads = await taken(simulator, clock)
    assert len(payloads) == count
    assert simulator.books.webhooks == books
    assert sum(simulator.books.faults.values()) == 1


async def test_a_task_without_an_address_or_without_an_end_has_no_webhook(clock: Clock) -> None:
    simulator = Simulator(clock=clock)
    simulator.script(TaskRule(prompt="stuck", stuck=True))
    async with caller(simulator) as client:
        await client.created(banana())
        await client.created(ordered("http://127.0.0.1:1/", "stuck"))
    assert simulator.seconds_to_webhook() is None
