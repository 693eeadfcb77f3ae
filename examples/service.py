"""An asyncio application: a bulk import and paying customers share one account.

    python examples/service.py --simulate

A background import fills the account's slots; a customer's request goes first, because
groups take turns and its priority is higher. A progress line shows what the account does.
"""

from __future__ import annotations

import argparse
import asyncio
from contextlib import AsyncExitStack

from kinovi_async import (
    AsyncKinovi,
    Event,
    JobEnded,
    JobScheduler,
    NanoBanana2,
    QueueFullError,
    TaskFailedError,
)


def tell(event: Event) -> None:
    """Called with every event, after the fact is recorded."""
    if isinstance(event, JobEnded):
        outcome = event.outcome
        print(f"  {outcome.key:<12} {outcome.status:<10} {outcome.credits} credits")


async def import_catalogue(scheduler: JobScheduler) -> None:
    """Many jobs of low priority; `submit` waits while the queue is full."""
    jobs = []
    for number in range(12):
        request = NanoBanana2(prompt=f"product {number} on white", aspect_ratio="1:1")
        jobs.append(await scheduler.submit(request, key=f"product-{number}", group="import"))
    for job in jobs:
        await job.outcome()


async def serve_customer(scheduler: JobScheduler) -> None:
    """One job that somebody waits for; `submit_nowait` would be a 503 when overloaded."""
    await asyncio.sleep(0.5)
    request = NanoBanana2(prompt="a birthday card with a fox", resolution="4k")
    try:
        job = scheduler.submit_nowait(request, key="customer-1", group="web", priority=10)
        record = await job.result()
    except QueueFullError as error:
        print(f"busy, try again in {error.estimated_wait or 60:.0f} s")
    except TaskFailedError as error:
        print(f"the picture could not be made: {error}")
    else:
        print(f"customer's picture: {record.urls[0]}")


async def watch(scheduler: JobScheduler) -> None:
    """What a dashboard would show."""
    while True:
        now = scheduler.statistics()
        limit = now.limit if now.limit is not None else "?"
        print(f"{now.queued} queued, {now.in_flight} of {limit} slots, {now.credits} credits")
        await asyncio.sleep(1)


async def main(*, simulate: bool) -> None:
    """Runs both against the bundled simulator, 30 times faster than life, or the real API."""
    async with AsyncExitStack() as stack:
        if simulate:
            from kinovi_async.simulator import Simulator, serve

            api = await stack.enter_async_context(serve(Simulator(speed=30, limit=4)))
            client = AsyncKinovi(
                api_key="simulated", base_url=api.base_url, poll_interval=(0.1, 0.17)
            )
        else:
            client = AsyncKinovi()
        await stack.enter_async_context(client)
        scheduler = await stack.enter_async_context(JobScheduler(client, on_event=tell))
        async with asyncio.TaskGroup() as group:
            display = group.create_task(watch(scheduler))
            await asyncio.gather(import_catalogue(scheduler), serve_customer(scheduler))
            display.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulate", action="store_true")
    asyncio.run(main(simulate=parser.parse_args().simulate))
