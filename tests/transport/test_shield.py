"""A call that is finished although its caller is cancelled."""

from __future__ import annotations

import asyncio

import anyio
import pytest
from anyio.lowlevel import checkpoint

from kinovi_async._shield import finish


async def test_result_comes_back() -> None:
    async def call() -> int:
        await checkpoint()
        return 7

    assert await finish(call, grace=1) == 7


async def test_exception_comes_out_bare() -> None:
    async def call() -> int:
        await checkpoint()
        raise LookupError("bare")

    with pytest.raises(LookupError, match="bare"):
        await finish(call, grace=1)


async def test_cancelled_caller_lets_the_call_end_within_the_grace() -> None:
    started, go = anyio.Event(), anyio.Event()
    ended: list[str] = []

    async def call() -> None:
        started.set()
        await go.wait()
        ended.append("call")

    async with anyio.create_task_group() as group:

        async def caller() -> None:
            try:
                await finish(call, grace=30)
            finally:
                ended.append("caller")

        group.start_soon(caller)
        await started.wait()
        group.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await anyio.wait_all_tasks_blocked()
            assert ended == []
            go.set()
    assert ended == ["call", "caller"]


@pytest.mark.parametrize("grace", [0, 0.01])
async def test_after_the_grace_the_call_is_cancelled_and_awaited(grace: float) -> None:
    ended: list[str] = []
    with anyio.CancelScope() as scope:

        async def call() -> None:
            scope.cancel()
            try:
                await anyio.sleep_forever()
            finally:
                ended.append("call")

        await finish(call, grace=grace)
        ended.append("not reached")
    assert scope.cancelled_caught
    assert ended == ["call"]


async def test_cancelled_before_the_start_nothing_is_called() -> None:
    called: list[int] = []

    async def call() -> None:
        called.append(1)
        await checkpoint()

    with anyio.CancelScope() as scope:
        scope.cancel()
        await finish(call, grace=30)
    assert scope.cancelled_caught
    assert called == []


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("grace", [0, 30])
async def test_native_cancellation_waits_for_the_call_and_goes_on(grace: float) -> None:
    """By asyncio's own Task.cancel(), also when it comes twice."""
    started, go = anyio.Event(), anyio.Event()
    ended: list[str] = []

    async def call() -> None:
        started.set()
        try:
            await go.wait()
            ended.append("finished")
        except BaseException:
            ended.append("cancelled")
            raise

    async def run() -> None:
        await finish(call, grace=grace)

    task = asyncio.ensure_future(run())
    await started.wait()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    if grace:
        await anyio.wait_all_tasks_blocked()
        assert not task.done()
        go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["finished" if grace else "cancelled"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_asyncio_timeout_around_it_becomes_a_timeout_error() -> None:
    async def call() -> None:
        await anyio.sleep_forever()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await finish(call, grace=0)
