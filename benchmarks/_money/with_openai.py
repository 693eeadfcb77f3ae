"""openai: `videos.create_and_poll`."""
# mypy: disable-error-code="import-not-found,unused-ignore"

from __future__ import annotations

from openai import AsyncOpenAI

from _money.work import Work

PACKAGES = ("openai", "httpx2")


async def wish(work: Work, prompt: str) -> str:
    """One film."""
    async with AsyncOpenAI(
        api_key="money", base_url=f"{work.origin}/peer/openai", timeout=work.patience
    ) as client:
        video = await client.videos.create_and_poll(model="sora-2", prompt=prompt)
        if video.status != "completed":
            raise RuntimeError(video.status)
        return str(video.id)
