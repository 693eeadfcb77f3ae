"""The transports under test: over our own connections and over two libraries' clients."""

from __future__ import annotations

import functools
import json
import os
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
from tests.canary import CANARY

KINDS = ["own", "httpx", "httpx2"]
BODY = json.dumps({"model": "nanobanana2", "inputs": {"prompt": "a red cat"}}).encode()
# For servers that stall on purpose; everything else gets the real limits.
QUICK = Timeouts(connect=5, write=5, read=0.2, total=0.4)
RECORD = {"taskId": "task_1", "model": "nanobanana2", "status": "waiting"}


@functools.cache
def plain_context() -> ssl.SSLContext:
    """Shared, since each client would load the certificates again."""
    return ssl.create_default_context()


class MuteTransport(httpx.AsyncBaseTransport):
    """A user's own transport: real sockets, and not a word about what happens on them."""

    def __init__(self, verify: ssl.SSLContext, proxy: str | None) -> None:
        self._inner = httpx.AsyncHTTPTransport(verify=verify, proxy=proxy)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions.pop("trace", None)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


class MuteTransport2(httpx2.AsyncBaseTransport):
    """The same for httpx's successor."""

    def __init__(self, verify: ssl.SSLContext, proxy: str | None) -> None:
        self._inner = httpx2.AsyncHTTPTransport(verify=verify, proxy=proxy)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.extensions.pop("trace", None)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


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
    verify: ssl.SSLContext | None = None,
    **client_options: Any,
) -> AsyncIterator[HttpTransport]:
    """A transport of one kind, closed at the end together with its client."""
    client: Any = None
    verify = verify or plain_context()
    proxy = os.environ.get("HTTPS_PROXY") if trust_env else None
    if kind == "httpx":
        client = httpx.AsyncClient(verify=verify, trust_env=trust_env, **client_options)
    elif kind == "httpx2":
        client = httpx2.AsyncClient(verify=verify, trust_env=trust_env, **client_options)
    elif kind == "mute":
        client = httpx.AsyncClient(transport=MuteTransport(verify, proxy))
    elif kind == "mute2":
        client = httpx2.AsyncClient(transport=MuteTransport2(verify, proxy))
    elif kind == "aiohttp":
        import httpx_aiohttp

        client = httpx.AsyncClient(transport=httpx_aiohttp.AiohttpTransport(verify=verify))
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
