"""fal-client: `subscribe`, which submits, polls and fetches the result."""
# mypy: disable-error-code="import-not-found,unused-ignore"

from __future__ import annotations

import fal_client
import fal_client.client

from _money.work import Work

PACKAGES = ("fal-client", "httpx")


async def wish(work: Work, prompt: str) -> str:
    """One picture."""
    # The client knows the host of its queue alone, and only by https; the rest is its own.
    fal_client.client.QUEUE_URL_FORMAT = f"{work.origin}/peer/fal/"
    client = fal_client.AsyncClient(key="money", default_timeout=work.patience)
    result = await client.subscribe("fal-ai/fast-sdxl", arguments={"prompt": prompt})
    return str(result["images"][0]["url"])
