"""httpx and backoff, as its page shows it: `on_exception` with `httpx.HTTPError`, five tries.

Around each call, so that a failed poll does not start everything anew.
"""

from __future__ import annotations

import asyncio

import backoff
import httpx

from _money.work import Work

PACKAGES = ("httpx", "backoff")
_POLL_SECONDS = 1.0


@backoff.on_exception(backoff.expo, httpx.HTTPError, max_tries=5)
async def _call(client: httpx.AsyncClient, method: str, path: str, **more: object) -> object:
    response = await client.request(method, path, **more)  # type: ignore[arg-type]
    response.raise_for_status()
    return response.json()


async def wish(work: Work, prompt: str) -> str:
    """One picture."""
    async with httpx.AsyncClient(
        base_url=f"{work.origin}/api/v1",
        headers={"Authorization": "Bearer sk-money"},
        timeout=work.patience,
    ) as client:
        body = {"model": "nanobanana2", "inputs": {"prompt": prompt}}
        created: dict[str, str] = await _call(client, "POST", "/jobs/createTask", json=body)  # type: ignore[assignment]
        while True:
            record: dict[str, object] = await _call(  # type: ignore[assignment]
                client, "GET", "/jobs/recordInfo", params={"taskId": created["taskId"]}
            )
            if record["status"] == "success":
                return str(record["output"])
            if record["status"] == "fail":
                raise RuntimeError(record["error"])
            await asyncio.sleep(_POLL_SECONDS)
