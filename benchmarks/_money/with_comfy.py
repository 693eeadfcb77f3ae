"""comfy-sdk: `models.subscribe`, which queues a model request and waits for it."""
# mypy: disable-error-code="import-not-found,unused-ignore"

from __future__ import annotations

import os

from comfy_sdk import AsyncComfy

from _money.work import Work

PACKAGES = ("comfy-sdk", "httpx")


async def wish(work: Work, prompt: str) -> str:
    """One picture."""
    os.environ["COMFY_BASE_URL"] = f"{work.origin}/peer/comfy"
    os.environ["COMFY_ROUTER_BASE_URL"] = f"{work.origin}/peer/comfy"
    async with AsyncComfy(api_key="money", timeout=work.patience) as client:
        result = await client.models.subscribe("bfl/flux-2-pro", {"prompt": prompt})
        return str(result["images"][0]["url"])
