"""`Progress` around a real client and the simulator, in virtual time, on both backends."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from kinovi_async import (
    AsyncKinovi,
    ConfigurationError,
    JobScheduler,
    NanoBanana2,
    TextToVideo,
)
from kinovi_async.progress import Progress, Snapshot
from kinovi_async.progress._progress import choose_style
from tests.client.conftest import Api, anyio_backend  # noqa: F401 - a fixture

from .test_tally import ended

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    api = Api()
    yield api
    await api.http.aclose()


@pytest.fixture
async def client(api: Api) -> AsyncIterator[AsyncKinovi]:
    async with api.client() as client:
        yield client


def pictures(count: int) -> list[NanoBanana2]:
    return [NanoBanana2(prompt=f"picture {number}") for number in range(count)]


async def test_a_batch_is_shown_in_lines(client: AsyncKinovi) -> None:
    stream = io.StringIO()
    async with Progress(style="lines", stream=stream, interval=0) as progress:
        await client.run_batch(pictures(5), on_event=progress)
    lines = stream.getvalue().splitlines()
    assert lines[-1].startswith("5 of 5 jobs done, 75 credits ($0.375)")
    assert any(line.startswith("0 of 5 jobs done, 3 running in 3 slots") for line in lines)


async def test_a_resumed_batch_counts_what_was_done_before(
    client: AsyncKinovi, tmp_path: Path
) -> None:
    ledger = tmp_path / "jobs.sqlite3"
    batch = [(f"k{number}", request) for number, request in enumerate(pictures(5))]
    await client.run_batch(batch[:3], ledger=ledger)
    stream = io.StringIO()
    async with Progress(style="lines", stream=stream, interval=0) as progress:
        await client.run_batch(batch, ledger=ledger, on_event=progress)
    lines = stream.getvalue().splitlines()
    assert any(line.startswith("3 of ") for line in lines)
    assert lines[-1].startswith("5 of 5 jobs done, 75 credits ($0.375)")
    assert "left" not in lines[-1]


async def test_dollars_are_those_of_the_generation(api: Api) -> None:
    stream = io.StringIO()
    async with (
        api.client(api_generation="2026-09") as client,
        Progress(style="lines", stream=stream, interval=0) as progress,
        JobScheduler(client, on_event=progress) as scheduler,
    ):
        progress.follow(scheduler)
        await (await scheduler.submit(NanoBanana2(prompt="a cat"))).outcome()
        await anyio.sleep(2)
    assert "15 credits ($0.0705)" in stream.getvalue()


async def test_a_scheduler_tells_what_only_it_knows(client: AsyncKinovi, tmp_path: Path) -> None:
    ledger = tmp_path / "jobs.sqlite3"
    await client.run_batch([("old", NanoBanana2(prompt="before"))], ledger=ledger)
    stream = io.StringIO()
    async with (
        Progress(style="lines", stream=stream, interval=0, budget=500) as progress,
        JobScheduler(client, ledger=ledger, on_event=progress) as scheduler,
    ):
        progress.follow(scheduler)
        job = await scheduler.submit(TextToVideo(prompt="a wave", duration=4))
        await job.outcome()
        await anyio.sleep(2)
    film = TextToVideo(prompt="a wave", duration=4).cost()
    assert film is not None
    assert f"1 of 1 jobs done, {film + 15:f} of 500 credits" in stream.getvalue()
    first = next(line for line in stream.getvalue().splitlines() if "1 running" in line)
    assert "left" in first  # from what the documents say of films


async def test_failures_are_told_once_and_not_without_bound() -> None:
    stream = io.StringIO()
    async with Progress(style="lines", stream=stream, interval=0) as progress:
        for number in range(30):
            event = ended(f"k{number}", error=ConfigurationError(f"no \x1b {number}"))
            progress(event)
    assert stream.getvalue().splitlines()[:5] == [
        "26 more did not end well",
        *(f"k{number}: succeeded: no \\x1b {number}" for number in range(26, 30)),
    ]


async def test_what_the_block_raises_stays_what_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        async with Progress(style="lines", stream=io.StringIO()):
            raise ZeroDivisionError


async def test_a_cancelled_block_ends_with_its_scope() -> None:
    stream = io.StringIO()
    with anyio.move_on_after(1) as scope:
        async with Progress(style="lines", stream=stream):
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert stream.getvalue() == "0 of 0 jobs done, 0 credits ($0.00), 0 s\n"


async def test_a_block_in_a_cancelled_group_lets_the_reason_through() -> None:
    with pytest.RaisesGroup(ZeroDivisionError):
        async with anyio.create_task_group() as group:

            async def shown() -> None:
                async with Progress(style="none"):
                    await anyio.sleep_forever()

            group.start_soon(shown)
            await anyio.sleep(1)
            raise ZeroDivisionError


async def test_it_is_entered_once() -> None:
    async with Progress(style="none") as progress:
        pass
    with pytest.raises(ConfigurationError, match="entered only once"):
        async with progress:
            pass


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise RuntimeError(text)


async def test_a_display_that_breaks_ends_nothing(
    client: AsyncKinovi, caplog: pytest.LogCaptureFixture
) -> None:
    async with Progress(style="lines", stream=Broken(), interval=0) as progress:
        outcomes = await client.run_batch(pictures(3), on_event=progress)
    assert [outcome.ok for outcome in outcomes] == [True] * 3
    assert caplog.text.count("cannot be shown any more") == 1


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


async def test_a_terminal_keeps_one_line_and_the_last_failures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Tty()
    before = sys.stdout, sys.stderr
    async with Progress(style="terminal", stream=stream) as progress:
        progress(ended("cat", error=ConfigurationError("no")))
        await anyio.sleep(1)
        assert "1 of 1 jobs done" in stream.getvalue()
    assert (sys.stdout, sys.stderr) == before
    left = stream.getvalue().rpartition("\x1b[2K")[2].splitlines()
    assert left[0] == "cat: succeeded: no"
    assert left[1].startswith("1 of 1 jobs done, 15 credits")


def test_the_style_is_chosen_by_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    closed = io.StringIO()
    closed.close()
    assert choose_style(io.StringIO()) == "lines"
    assert choose_style(closed) == "lines"
    assert choose_style(Tty()) == "terminal"
    monkeypatch.setenv("TERM", "dumb")
    assert choose_style(Tty()) == "lines"


def test_a_style_that_cannot_be_had_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="needs an IPython notebook"):
        Progress(style="notebook")
    with pytest.raises(ConfigurationError, match="unknown style 'film'"):
        Progress(style="film")  # type: ignore[arg-type]


def test_the_total_may_become_known_later() -> None:
    progress = Progress(style="none")
    assert progress.total is None
    progress.total = 12
    assert progress.total == 12


NOTEBOOK = '''
"""A kernel's IPython, as far as it is asked."""
import types

class Shell:
    kernel = object() if {kernel} else None

def get_ipython():
    return Shell()
'''
DISPLAY = """
class Handle:
    def update(self, obj):
        print("update", "text/html" if hasattr(obj, "_repr_html_") else "", repr(obj))

def display(obj, *, display_id):
    assert display_id is True
    print("display", obj._repr_html_()[:4], repr(obj))
    return Handle()
"""
PROGRAM = """
import anyio
import {first}
from kinovi_async import JobQueued
from kinovi_async.progress import Progress

async def main():
    async with Progress() as progress:
        await anyio.sleep(0)
        progress(JobQueued(at=0.0, key="a", model="m"))
    import sys
    print("rich" in sys.modules)

anyio.run(main)
"""


def notebook(tmp_path: Path, *, kernel: bool = True, first: str = "IPython") -> list[str]:
    package = tmp_path / "IPython"
    package.mkdir()
    (package / "__init__.py").write_text(NOTEBOOK.format(kernel=kernel))
    (package / "display.py").write_text(DISPLAY)
    ran = subprocess.run(  # noqa: S603
        [sys.executable, "-c", PROGRAM.format(first=first)],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [*ran.stdout.splitlines(), *ran.stderr.splitlines()]


def test_a_notebook_gets_one_output_that_is_updated_without_rich(tmp_path: Path) -> None:
    assert notebook(tmp_path) == [
        "display <div 0 of 0 jobs done, 0 credits ($0.00), 0 s",
        "update text/html 0 of 1 jobs done, 0 running, 1 waiting, 0 credits ($0.00), 0 s",
        "False",
    ]


@pytest.mark.parametrize(("kernel", "first"), [(False, "IPython"), (True, "json")])
def test_an_ipython_without_a_notebook_gets_lines(
    tmp_path: Path,
    kernel: bool,  # noqa: FBT001 - a parameter of the test
    first: str,
) -> None:
    """The IPython of a terminal; and one that is installed and not in use."""
    assert notebook(tmp_path, kernel=kernel, first=first) == [
        "False",
        "0 of 1 jobs done, 0 running, 1 waiting, 0 credits ($0.00), 0 s",
    ]


def test_a_snapshot_is_a_value() -> None:
    assert Snapshot(total=0, ended={}) == Snapshot(total=0, ended={})
