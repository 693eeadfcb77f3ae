"""replicate: `async_run`, which creates a prediction and waits for it."""
# mypy: disable-error-code="import-not-found,unused-ignore"

from __future__ import annotations

import math

from replicate.client import Client

from _money.work import Work

PACKAGES = ("replicate", "httpx")


async def wish(work: Work, prompt: str) -> str:
    """One picture."""
    client = Client(api_token="money", base_url=f"{work.origin}/peer/replicate")  # noqa: S106
    # `wait` is its documented way to say for how long a submission is waited for.
    output = await client.async_run(
        "black-forest-labs/flux-schnell", input={"prompt": prompt}, wait=math.ceil(work.patience)
    )
    # A result is a file with a `url` where that is https, else the address itself.
    return str([getattr(each, "url", each) for each in output])
