"""This project with `server_error="hold"`: not even the documented 500 is sent again."""

from __future__ import annotations

from _money import ours
from _money.work import Wish, Work
from kinovi_async import SubmitPolicy

PACKAGES = ours.PACKAGES


async def wish(work: Work, prompt: str) -> Wish:
    """One picture."""
    return await ours.wish(work, prompt, SubmitPolicy(server_error="hold"))
