"""A bulk script: prompts in, pictures on disk, resumable after anything.

    python examples/bulk.py --simulate

Run it again and it continues where it stopped: the ledger knows what is paid for.
Without --simulate it uses KINOVI_API_KEY and the real API.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import anyio

from kinovi_async import AsyncKinovi, DownloadError, Midjourney, NanoBanana2, Request

SUBJECTS = ["a lighthouse", "a night market", "an old observatory", "a tram in the rain"]
STYLES = ["watercolor", "35 mm film", "isometric, soft light"]


def requests() -> list[tuple[str, Request]]:
    """One (key, request) pair a picture: the key is what a second run knows it by."""
    wishes: list[tuple[str, Request]] = []
    for subject in SUBJECTS:
        for style in STYLES:
            prompt = f"{subject}, {style}"
            key = prompt.replace(", ", "-").replace(" ", "_")
            wishes.append((key, NanoBanana2(prompt=prompt, aspect_ratio="4:3")))
    wishes.append(("cover", Midjourney(prompt="a city waking up", stylize=300, seed=7)))
    return wishes


async def run(client: AsyncKinovi, out: Path) -> None:
    """Streams the outcomes and saves each picture as soon as it is there."""
    saved = {path.name async for path in anyio.Path(out).iterdir()}
    async with client.stream_batch(requests(), budget=500) as outcomes:
        async for outcome in outcomes:
            if not outcome.ok:
                print(f"{outcome.key}: {outcome.status} - {outcome.error}")
                continue
            if any(name.startswith(f"{outcome.task_id}_") for name in saved):
                continue  # by an earlier run
            try:
                paths = await client.download(outcome, out)
            except DownloadError as error:
                print(f"{outcome.key}: paid for, but not saved yet - {error}")
            else:
                print(f"{outcome.key}: {', '.join(path.name for path in paths)}")


async def main(*, simulate: bool, out: Path) -> None:
    """Against the bundled simulator, 30 times faster than life, or the real API."""
    ledger = out / "jobs.sqlite3"
    if simulate:
        from kinovi_async.simulator import Simulator, serve

        async with (
            serve(Simulator(speed=30)) as api,
            AsyncKinovi(
                api_key="simulated",
                base_url=api.base_url,
                poll_interval=(0.1, 0.17),
                ledger=ledger,
            ) as client,
        ):
            await run(client, out)
    else:
        async with AsyncKinovi(ledger=ledger) as client:
            await run(client, out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulate", action="store_true")
    parser.add_argument("-o", "--out", type=Path, default=Path("bulk-pictures"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    anyio.run(lambda: main(simulate=given.simulate, out=given.out))
    print(f"pictures are in {given.out}")
