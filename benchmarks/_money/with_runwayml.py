"""runwayml: `create`, then `wait_for_task_output` of what it answered."""
# mypy: disable-error-code="import-not-found,unused-ignore"

from __future__ import annotations

from runwayml import AsyncRunwayML

from _money.work import Work

PACKAGES = ("runwayml", "httpx")


async def wish(work: Work, prompt: str) -> str:
    """One picture."""
    async with AsyncRunwayML(
        api_key="money", base_url=f"{work.origin}/peer/runwayml", timeout=work.patience
    ) as client:
        created = await client.text_to_image.create(
            model="gen4_image", prompt_text=prompt, ratio="1024:1024"
        )
        task = await created.wait_for_task_output()
        return str(task.output[0])
