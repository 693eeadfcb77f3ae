"""What the tests of several processes run in another one: `child.py COMMAND PATH ...`.

Each command prints a line when something has been acknowledged, so that the parent, which
may kill it at any moment, knows what must be in the ledger.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from decimal import Decimal

import anyio
import anyio.lowlevel

from kinovi_async._errors import LedgerError
from kinovi_async._ledger import Ending, NewJob, Permission, SQLiteLedger
from kinovi_async._outcomes import OutcomeStatus


def say(*words: object) -> None:
    print(*words, flush=True)  # noqa: T201 - how it talks to its parent


def job(key: str) -> NewJob:
    return NewJob(key, {"model": "m", "inputs": {"prompt": key, "pad": "x" * 500}}, 1.0)


async def work(ledger: SQLiteLedger) -> None:
    """Brings job after job to its end, for ever."""
    n = 0
    while True:
        n += 1
        key = f"k{n}"
        await ledger.add([job(key)])
        say("queued", key)
        await ledger.intent(key, "run", at=2.0, reserve=Decimal(4))
        say("sending", key)
        await ledger.accepted(key, "run", f"task-{n}", at=3.0)
        say("accepted", key)
        if n % 2:
            await ledger.end(key, Ending(OutcomeStatus.SUCCEEDED, at=4.0, credits=Decimal(3)))
            say("ended", key)


async def race(ledger: SQLiteLedger, count: str) -> None:
    """Tries to get every job; the parent starts all racers at once."""
    say("ready")
    await anyio.to_thread.run_sync(sys.stdin.readline)
    for n in range(int(count)):
        key = f"k{n}"
        intent = await ledger.intent(
            key, f"run-{os.getpid()}", at=2.0, reserve=Decimal(1), budget=Decimal(150)
        )
        if intent.permission is Permission.GRANTED:
            say("granted", key)
    say("done")


async def enter(ledger: SQLiteLedger, count: str) -> None:
    """Enters the same jobs as everybody else, in pieces."""
    say("ready")
    await anyio.to_thread.run_sync(sys.stdin.readline)
    for n in range(0, int(count), 10):
        await ledger.add([job(f"k{m}") for m in range(n, n + 10)])
    say("done")


async def hold(ledger: SQLiteLedger) -> None:
    """Takes the lease and keeps it."""
    await ledger.acquire_lease(f"run-{os.getpid()}", "kinovi run cats.jsonl")
    say("held")
    await anyio.sleep_forever()


async def hold_and_fork(ledger: SQLiteLedger) -> None:
    """Takes the lease, and leaves behind a child of its own that lives until told."""
    await ledger.acquire_lease("run", "kinovi run")
    if os.fork() == 0:
        say("forked", os.getpid())
        sys.stdin.readline()
        os._exit(0)
    await anyio.sleep_forever()


async def fill(ledger: SQLiteLedger, limit: str) -> None:
    """Enters jobs until the disk, here a limit on the size of files, is full."""
    import resource

    await anyio.lowlevel.checkpoint()
    size = int(limit)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    n = 0
    try:
        while True:
            n += 1
            await ledger.add([job(f"k{n}")])
            say("queued", f"k{n}")
    except LedgerError as error:
        say("failed", str(error).replace("\n", " "))


async def main(*arguments: str) -> None:
    command, path, *more = arguments
    commands: dict[str, Callable[..., Awaitable[None]]] = {
        "work": work,
        "race": race,
        "enter": enter,
        "hold": hold,
        "hold_and_fork": hold_and_fork,
        "fill": fill,
    }
    ledger = SQLiteLedger(path)
    await ledger.open()
    await commands[command](ledger, *more)


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
