"""The simulator behind a real port: hangups as clients see them, start, stop and signals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import httpx
import pytest

import kinovi_async
from kinovi_async.simulator import (
    Faults,
    PollRule,
    RunningSimulator,
    Simulator,
    SubmitRule,
    serve,
)
from tests.simulator.calls import KEY, Caller, Clock, banana, books_over_http, headers_of

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

HERE = {**os.environ, "PYTHONPATH": str(Path(kinovi_async.__file__).parents[1])}
HANGUPS = [
    ("before-acceptance-drop", httpx.RemoteProtocolError, 0),
    ("lost-answer", httpx.RemoteProtocolError, 1),
    ("reset", httpx.ReadError, 1),
    ("truncated", httpx.RemoteProtocolError, 1),
]


def client_of(running: RunningSimulator) -> Caller:
    return Caller(base_url=running.base_url, headers=headers_of(KEY))


@pytest.mark.parametrize(("name", "error", "accepted"), HANGUPS)
async def test_a_hangup_reaches_the_client_and_the_next_call_is_fine(
    name: str, error: type[Exception], accepted: int, caplog: pytest.LogCaptureFixture
) -> None:
    simulator = Simulator()
    simulator.script(SubmitRule(answer=name))
    async with serve(simulator) as running, client_of(running) as client:
        with pytest.raises(error):
            await client.create(banana())
        assert len(simulator.books.accepted) == accepted
        await client.created(banana())
    assert caplog.records == []


async def test_a_truncated_answer_ends_in_the_middle_of_its_json() -> None:
    simulator = Simulator(faults=Faults(truncated=1))
    async with serve(simulator) as running, client_of(running) as client:
        received = b""
        async with client.stream("POST", "/jobs/createTask", json=banana()) as answer:
            chunks = answer.aiter_raw()
            received += await anext(chunks)
            with pytest.raises(httpx.RemoteProtocolError):
                await anext(chunks)
    (task,) = simulator.books.accepted
    assert f'{{"taskId":"{task.task_id}"}}'.encode().startswith(received)
    assert received


async def test_a_dropped_poll_and_a_truncated_file(clock: Clock) -> None:
    simulator = Simulator(clock=clock, faults=Faults(media_truncated=1))
    simulator.script(PollRule(answer="poll-drop"))
    async with serve(simulator) as running, client_of(running) as client:
        task_id = await client.created(banana())
        with pytest.raises(httpx.RemoteProtocolError):
            await client.info(task_id)
        clock.advance(100)
        url = (await client.record(task_id))["output"][0]["url"]
        assert url.startswith(running.origin)
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(url)
    assert simulator.books.faults == {"poll-drop": 1, "media-truncated": 1}


async def test_a_body_that_breaks_off_orders_nothing(caplog: pytest.LogCaptureFixture) -> None:
    simulator = Simulator()
    head = "POST /api/v1/jobs/createTask HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{"
    async with serve(simulator) as running:
        async with await anyio.connect_tcp("127.0.0.1", running.port) as stream:
            await stream.send(head.encode())
        async with client_of(running) as client:
            await client.created(banana())
    assert simulator.books.submissions == 1
    assert caplog.records == []


async def test_leaving_the_block_hangs_up_on_answers_that_are_late_on_purpose(
    caplog: pytest.LogCaptureFixture,
) -> None:
    simulator = Simulator(faults=Faults(slow=1, slow_seconds=3600))
    failed: list[str] = []

    async def create(running: RunningSimulator) -> None:
        async with client_of(running) as client:
            with pytest.raises(httpx.RemoteProtocolError) as raised:
                await client.create(banana(), timeout=None)
            failed.append(str(raised.value))

    async def leave_early(group: TaskGroup) -> None:
        async with serve(simulator) as running:
            group.start_soon(create, running)
            await books_over_http(running.origin, lambda books: bool(books["accepted"]))

    async with anyio.create_task_group() as group:
        await leave_early(group)
    assert len(failed) == 1
    assert caplog.records == []


async def test_after_the_block_the_port_is_free_and_the_thread_gone() -> None:
    before = threading.active_count()
    async with serve() as running, client_of(running) as client:
        await client.created(banana())
        names = [thread.name for thread in threading.enumerate()]
        assert "kinovi-simulator" in names
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", running.port), timeout=5)
    assert "kinovi-simulator" not in [thread.name for thread in threading.enumerate()]
    assert threading.active_count() <= before + 1  # the worker thread that waited for the end
    async with serve(port=running.port) as again:
        assert again.port == running.port


async def test_cancelling_the_block_stops_the_server() -> None:
    with anyio.CancelScope() as scope:
        async with serve() as running:
            scope.cancel()
            await anyio.sleep_forever()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", running.port), timeout=5)


@pytest.mark.parametrize("moment", range(20))
async def test_a_block_cancelled_at_an_awkward_moment_leaves_no_thread(moment: int) -> None:
    """After so many turns of the loop, while calls go in and one waits for a late answer."""
    simulator = Simulator(faults=Faults(slow=1, slow_seconds=3600))

    async def call(running: RunningSimulator) -> None:
        with contextlib.suppress(httpx.TransportError):
            async with client_of(running) as client:
                await client.create(banana(), timeout=None)

    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            async with serve(simulator) as running:
                for _ in range(3):
                    group.start_soon(call, running)  # noqa: ASYNC111 - outliving it is the point
                for _ in range(moment):
                    await anyio.lowlevel.checkpoint()
                scope.cancel()
                await anyio.lowlevel.checkpoint()
    assert "kinovi-simulator" not in [thread.name for thread in threading.enumerate()]


def test_a_native_cancellation_at_any_moment_leaves_no_thread() -> None:
    """Ctrl-C on asyncio cancels the main task, which no shield of anyio keeps away."""

    async def use(moment: int) -> None:
        async with serve():
            for _ in range(moment):
                await asyncio.sleep(0)

    async def cancel(moment: int, after: int) -> None:
        task = asyncio.create_task(use(moment))  # noqa: TID251 - a native cancellation is the point
        for _ in range(after):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    for moment in range(20):
        asyncio.run(cancel(moment, after=moment % 7 + 1))
    left = [thread for thread in threading.enumerate() if thread.name == "kinovi-simulator"]
    for thread in left:  # nobody waited, but each was told
        thread.join(timeout=5)
    assert not any(thread.is_alive() for thread in left)


async def test_a_taken_port_is_an_os_error() -> None:
    async with serve() as running:
        with pytest.raises(OSError, match="in use"):
            async with serve(port=running.port):
                pytest.fail("two servers on one port")


async def test_one_simulator_may_listen_on_two_ports_at_once() -> None:
    simulator = Simulator()
    async with serve(simulator) as one, serve(simulator) as two:
        for running in (one, two):
            async with client_of(running) as client:
                await client.created(banana())
    assert len(simulator.books.accepted) == 2


def test_the_caller_may_be_on_trio() -> None:
    async def use() -> int:
        async with serve() as running, client_of(running) as client:
            await client.created(banana())
            return len(running.simulator.books.accepted)

    async def in_process() -> str:
        clock = Clock()
        simulator = Simulator(clock=clock)
        transport = httpx.ASGITransport(simulator.app)
        async with Caller(
            transport=transport, base_url="http://x/api/v1", headers=headers_of(KEY)
        ) as client:
            task_id = await client.created(banana())
            clock.advance(100)
            url = (await client.record(task_id))["output"][0]["url"]
            return str((await client.get(url)).headers["content-type"])

    assert anyio.run(use, backend="trio") == 1
    assert anyio.run(in_process, backend="trio") == "image/png"


@pytest.mark.parametrize(
    ("host", "base_url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80/api/v1"),
        ("localhost", "http://localhost:80/api/v1"),
        ("0.0.0.0", "http://127.0.0.1:80/api/v1"),  # noqa: S104
        ("::1", "http://[::1]:80/api/v1"),
        ("::", "http://[::1]:80/api/v1"),
    ],
)
def test_the_base_url_can_be_connected_to(host: str, base_url: str) -> None:
    assert RunningSimulator(Simulator(), host, 80).base_url == base_url


RUN = """
from kinovi_async.simulator import Simulator, run_simulator
run_simulator(Simulator(), on_ready=lambda running: print(running.base_url, flush=True))
print("ended")
"""


@pytest.mark.skipif(os.name != "posix", reason="signals are sent by number")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, -15)])
def test_run_simulator_serves_until_a_signal_and_says_nothing_else(
    number: signal.Signals, code: int
) -> None:
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-X", "dev", "-c", RUN],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=HERE,
    ) as process:
        assert process.stdout is not None
        base_url = process.stdout.readline().strip()
        answer = httpx.post(f"{base_url}/jobs/createTask", json=banana(), headers=headers_of(KEY))
        assert answer.status_code == 200
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert process.returncode == code
    # On a busy machine the debug mode of asyncio counts slow turns of the loop.
    said = [line for line in err.splitlines() if not line.startswith("Executing <")]
    assert (out, said) == ("ended\n" if code == 0 else "", [])


def test_without_its_extra_the_simulator_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['starlette'] = None\n"
        "try:\n    import kinovi_async.simulator\n"
        "except ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=HERE
    )
    assert "pip install 'kinovi-async[simulator]'" in done.stdout
