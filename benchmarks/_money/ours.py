"""This project: a batch of one in a ledger of its own, with the defaults.

Each wish has its own client, for one client stops submitting after three unclear answers
in a row. What is kept is read from the ledger's file, as the next process would.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from _money.work import Wish, Work
from kinovi_async import AsyncKinovi, NanoBanana2, SQLiteLedger, SubmitPolicy
from kinovi_async._connection import DEFAULT_POLL_INTERVAL

PACKAGES = ("kinovi-async", "httpx")
POLICY = SubmitPolicy()


async def wish(work: Work, prompt: str, policy: SubmitPolicy = POLICY) -> Wish:
    """One picture."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "ledger.sqlite3"
        async with AsyncKinovi(
            api_key="sk-money",
            base_url=f"{work.origin}/api/v1",
            ledger=path,
            submit_policy=policy,
            poll_interval=work.poll or DEFAULT_POLL_INTERVAL,
        ) as client:
            if work.hurried:
                _hurry(client, work.patience)
            (outcome,) = await client.run_batch([("wish", NanoBanana2(prompt=prompt))])
        return Wish(
            prompt=prompt,
            result=outcome.record.urls[0] if outcome.ok and outcome.record else None,
            told="" if outcome.error is None else f"{outcome.status}: {outcome.error}",
            kept=await _kept(path, prompt),
        )


async def _kept(path: Path, prompt: str) -> int:
    """Submissions that the ledger counts as perhaps paid for, beside the one that succeeded."""
    price = NanoBanana2(prompt=prompt).cost()
    ledger = SQLiteLedger(path)
    await ledger.open()
    try:
        totals = await ledger.totals()
    finally:
        await ledger.aclose()
    return int((totals.reserved + totals.exposed) / price) if price else 0


def _hurry(client: AsyncKinovi, patience: float) -> None:
    transport = client._transport  # noqa: SLF001 - there is no option, and for good reason
    transport._post_timeouts = replace(transport._post_timeouts, read=patience)  # noqa: SLF001
