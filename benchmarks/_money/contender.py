"""A contender's own process: `python -m _money.contender MODULE`, work in, report out."""

from __future__ import annotations

import asyncio
import importlib
import sys
import warnings
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import cast

from _money.work import Report, Wish, Work, read_work

Wisher = Callable[[Work, str], Awaitable["Wish | str"]]


def main(module: str) -> None:
    """Has all wishes granted at once, each on its own, and prints what became of them."""
    # One of them calls its own method deprecated at each use.
    warnings.simplefilter("ignore", DeprecationWarning)
    contender = importlib.import_module(f"_money.{module}")
    work = read_work(sys.stdin.read())
    wishes = asyncio.run(_all(cast("Wisher", contender.wish), work))
    versions = {name: version(name) for name in contender.PACKAGES}
    print(Report(versions=versions, wishes=wishes).to_json())


async def _all(wisher: Wisher, work: Work) -> list[Wish]:
    return list(await asyncio.gather(*(_one(wisher, work, prompt) for prompt in work.prompts)))


async def _one(wisher: Wisher, work: Work, prompt: str) -> Wish:
    try:
        found = await wisher(work, prompt)
    except Exception as error:  # noqa: BLE001 - whatever a user of the package would meet
        return Wish(prompt=prompt, told=_told(error))
    return found if isinstance(found, Wish) else Wish(prompt=prompt, result=found)


def _told(error: BaseException) -> str:
    """Its text, and its attributes as far as they are text: ids, keys, codes.

    Not the request in it: the address of a failed poll holds the task's id, for those who
    dig for it.
    """
    names = [name for name in dir(error) if not name.startswith("_")]
    values = [getattr(error, name, None) for name in names]
    texts = [
        f"{name}={value}"
        for name, value in zip(names, values, strict=True)
        if value and isinstance(value, str)
    ]
    return " ".join([type(error).__name__, str(error), *texts])


if __name__ == "__main__":
    main(sys.argv[1])
