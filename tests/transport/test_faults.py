"""Interrupted submissions, and what each one puts on the wire; `test_matrix` has the faults."""

from __future__ import annotations

import json

import anyio
import pytest
from anyio.lowlevel import checkpoint

from kinovi_async._policy import Phase, SubmitPolicy
from kinovi_async._transport import (
    Ambiguous,
    NotSent,
    SubmitResult,
)
from kinovi_async._transport._exchange import POST_TIMEOUTS

from .clients import BODY, KINDS, transport_for
from .faultd import Connection, answer, faultd, once


async def close_at_once(_connection: Connection) -> None:
    await checkpoint()


@pytest.mark.parametrize("kind", KINDS)
async def test_scope_deadline_makes_the_submission_ambiguous(kind: str) -> None:
    """A submission interrupted after it left is ambiguous, not cancelled."""
    heard = anyio.Event()
    results: list[SubmitResult] = []
    scope = anyio.CancelScope(shield=True)

    async def script(connection: Connection) -> None:
        await connection.request()
        heard.set()
        await anyio.sleep_forever()

    async with (
        faultd(script) as server,
        transport_for(kind, server.url, post_timeouts=POST_TIMEOUTS) as transport,
        anyio.create_task_group() as group,
    ):

        async def submit() -> None:
            results.append(await transport.submit(BODY, scope=scope))

        group.start_soon(submit)
        await heard.wait()
        scope.deadline = anyio.current_time()
    assert isinstance(results[0], Ambiguous)
    assert results[0].error.evidence is not None
    assert results[0].error.evidence.phase is Phase.SENT


@pytest.mark.parametrize("kind", KINDS)
async def test_scope_cancelled_before_anything_left_is_not_sent(kind: str) -> None:
    scope = anyio.CancelScope(shield=True)
    scope.cancel()
    async with faultd(close_at_once) as server, transport_for(kind, server.url) as transport:
        result = await transport.submit(BODY, scope=scope)
        assert server.received == b""
    assert isinstance(result, NotSent)
    assert result.retryable


@pytest.mark.parametrize("kind", KINDS)
async def test_hold_makes_a_vendor_500_ambiguous(kind: str) -> None:
    script = once(answer(500, b'{"message":"internal"}'))
    hold = SubmitPolicy(server_error="hold")
    async with (
        faultd(script) as server,
        transport_for(kind, server.url, policy=hold) as transport,
    ):
        assert isinstance(await transport.submit(BODY), Ambiguous)


@pytest.mark.parametrize("kind", KINDS)
async def test_each_submission_is_one_post_with_the_body_as_given(kind: str) -> None:
    async with (
        faultd(once(b"")) as server,
        transport_for(kind, server.url + "/api/v1", max_retries=5) as transport,
    ):
        await transport.submit(BODY)
    [request] = server.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /api/v1/jobs/createTask HTTP/1.1\r\n")
    assert b"accept-encoding: identity" in head.lower()
    assert b"content-type: application/json" in head.lower()
    assert json.loads(body) == json.loads(BODY)
