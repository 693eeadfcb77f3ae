"""One process of several on a ledger: `member.py LEDGER BASE_URL NAME`, told what to do by lines.

submit N        enters the jobs NAME-0 to NAME-(N-1), and tells each end
film            enters one long job
late            enters a job that waits a second for a slot, and tells its end
await KEY ...   tells how these jobs ended, whoever entered them
"""

from __future__ import annotations

import sys

import anyio
import anyio.abc

from kinovi_async import AsyncKinovi, JobScheduler, NanoBanana2, TextToVideo

FAST = (0.06, 0.1)
KEY = "sk-members"


def say(*words: object) -> None:
    print(*words, flush=True)  # noqa: T201 - how it talks to its parent


async def tell_end(scheduler: JobScheduler, word: str, key: str) -> None:
    job = await scheduler.get(key)
    outcome = None if job is None else await job.outcome()
    say(word, key, "none" if outcome is None else outcome.status)


async def submit(scheduler: JobScheduler, group: anyio.abc.TaskGroup, name: str, n: int) -> None:
    for number in range(n):
        key = f"{name}-{number}"
        await scheduler.submit(NanoBanana2(prompt=key), key=key)
        say("entered", key)
        group.start_soon(tell_end, scheduler, "ended", key)


async def obey(scheduler: JobScheduler, name: str, words: list[str]) -> None:
    match words:
        case ["submit", n]:
            async with anyio.create_task_group() as group:
                await submit(scheduler, group, name, int(n))
        case ["film"]:
            await scheduler.submit(TextToVideo(prompt=f"{name} film"), key=f"{name}-film")
            say("entered", f"{name}-film")
        case ["late"]:
            key = f"{name}-late"
            job = await scheduler.submit(NanoBanana2(prompt=key), key=key, max_queue_wait=1)
            say("ended", key, (await job.outcome()).status)
        case ["await", *keys]:
            for key in keys:
                await tell_end(scheduler, "found", key)


async def main(*arguments: str) -> None:
    path, base_url, name = arguments
    async with (
        AsyncKinovi(api_key=KEY, base_url=base_url, poll_interval=FAST, ledger=path) as client,
        JobScheduler(client) as scheduler,
        anyio.create_task_group() as group,
    ):
        say("runs" if scheduler.statistics().runner else "joined", name)
        while order := await anyio.to_thread.run_sync(sys.stdin.readline):
            group.start_soon(obey, scheduler, name, order.split())


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
