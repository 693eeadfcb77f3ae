"""httpx and tenacity, as its page shows it: three attempts, exponential waits.

Around each call, so that a failed poll does not start everything anew.
"""
# mypy: disable-error-code="import-not-found,untyped-decorator,unused-ignore"

from __future__ import annotations

import asyncio

import httpx
from tenacity import retry, stop_after_attempt, wait_exponential

from _money.work import Work

PACKAGES = ("httpx", "tenacity")
_POLL_SECONDS = 1.0


@retry(stop=stop_after_attempt(3), wait=wait_exponential(multiplier=1, min=1, max=10), reraise=True)
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
        created: dict[str, str] = await _call(client, "POST", "/jobs/createTask", json=body)
        while True:
            record: dict[str, object] = await _call(
                client, "GET", "/jobs/recordInfo", params={"taskId": created["taskId"]}
            )
            if record["status"] == "success":
                return str(record["output"])
            if record["status"] == "fail":
                raise RuntimeError(record["error"])
            await asyncio.sleep(_POLL_SECONDS)
