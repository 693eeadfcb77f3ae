"""The transports under test: over our own connections and over two libraries' clients."""

from __future__ import annotations

import functools
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import httpx2

from kinovi_async._policy import SubmitPolicy
from kinovi_async._secrets import ApiKey
from kinovi_async._transport import HttpTransport
from kinovi_async._transport._exchange import POST_TIMEOUTS, Timeouts

CANARY = "sk-CANARY-8f2b6c1d90"
KINDS = ["own", "httpx", "httpx2"]
BODY = json.dumps({"model": "nanobanana2", "inputs": {"prompt": "a red cat"}}).encode()
# For servers that stall on purpose; everything else gets the real limits.
QUICK = Timeouts(connect=5, write=5, read=0.2, total=0.4)
RECORD = {"taskId": "task_1", "model": "nanobanana2", "status": "waiting"}


@functools.cache
def plain_context() -> ssl.SSLContext:
    """Shared, since each client would load the certificates again."""
    return ssl.create_default_context()


def no_wait(_longest: float) -> float:
    return 0.0


@asynccontextmanager
async def transport_for(
    kind: str,
    base_url: str,
    *,
    post_timeouts: Timeouts = POST_TIMEOUTS,
    timeout: float = 5.0,  # noqa: ASYNC109 - the option under test
    max_retries: int = 0,
    policy: SubmitPolicy | None = None,
    default_headers: Mapping[str, str] | None = None,
    trust_env: bool = False,
    **client_options: Any,
) -> AsyncIterator[HttpTransport]:
    """A transport of one kind, closed at the end together with its client."""
    client: Any = None
    if kind == "httpx":
        client = httpx.AsyncClient(verify=plain_context(), trust_env=trust_env, **client_options)
    elif kind == "httpx2":
        client = httpx2.AsyncClient(verify=plain_context(), trust_env=trust_env, **client_options)
    transport = HttpTransport(
        ApiKey(CANARY),
        base_url,
        timeout=timeout,
        max_retries=max_retries,
        default_headers=default_headers,
        http_client=client,
        post_timeouts=post_timeouts,
        policy=policy,
        trust_env=trust_env,
        jitter=no_wait,
    )
    try:
        yield transport
    finally:
        await transport.aclose()
        if client is not None:
            await client.aclose()
