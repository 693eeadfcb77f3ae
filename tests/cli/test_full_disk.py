"""A disk that fills up during a run; row 105 of the catalogue."""

from __future__ import annotations

import errno
import io
import json
import math
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import cast

import anyio
import httpx
import pytest

from kinovi_async._cli._exits import ExitCode
from kinovi_async._cli._fetch import Fetched
from kinovi_async._cli._full_disk import Disk, FullDisk
from kinovi_async._cli._lines import Batch
from kinovi_async._cli._options import RunOptions
from kinovi_async._cli._reporters import PlainReporter
from kinovi_async._cli._run import run_batch
from kinovi_async._cli._vocabulary import Vocabulary
from kinovi_async._downloads import PartFile, SaveOptions
from kinovi_async._errors import ConfigurationError
from kinovi_async.simulator import Simulator

from .conftest import ReadFile
from .runs import Kinovi, Serve, results_of

SPEED = 200
FULL = Fetched((), "full", disk_full=True)


def lines(count: int) -> bytes:
    rows = (
        {"id": f"job-{number}", "model": "nanobanana2", "inputs": {"prompt": f"picture {number}"}}
        for number in range(count)
    )
    return "\n".join(json.dumps(row) for row in rows).encode()


def run(batch: Batch, out: Path, vocabulary: Vocabulary, disk: Disk) -> tuple[ExitCode, str]:
    told = io.StringIO()
    out.mkdir(exist_ok=True)
    reporter = PlainReporter(clock=time.monotonic, interval=math.inf, err=told, out=io.StringIO())
    options = RunOptions(file="b.jsonl", out=out, poll_interval=(0.02, 0.03))
    code = anyio.run(partial(run_batch, disk=disk), batch, options, vocabulary, reporter)
    return code, told.getvalue()


def test_submissions_wait_for_room_and_everything_else_goes_on(
    start: Serve, read: ReadFile, tmp_path: Path, vocabulary: Vocabulary
) -> None:
    """The disk is full until nothing has run for twenty tries, with most jobs still to submit."""
    running = start(Simulator(speed=SPEED, limit=2))
    idle: list[int] = []

    def write(fd: int, data: memoryview) -> int:
        if len(idle) < 20:
            books = running.simulator.books
            if books.running == 0:
                idle.append(len(books.accepted))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.write(fd, data)

    saving = SaveOptions(part_file=partial(PartFile, write=write))
    disk = Disk(saving, retry_seconds=0.02)
    code, told = run(read(lines(12)), tmp_path / "out", vocabulary, disk)
    assert code == ExitCode.OK, told
    assert told.count("the disk is full: nothing more is submitted") >= 1
    assert "there is room on the disk again" in told
    # Tasks that ran were polled to their end, or they would be running still.
    # The first few tries may have seen a submission that was on its way.
    assert idle[-10:] == [idle[-1]] * 10
    assert 0 < idle[-1] < 12
    done = results_of(tmp_path / "out")
    assert len(done) == 12
    assert {row["status"] for row in done.values()} == {"succeeded"}
    assert all(row["files"] and row["error"] is None for row in done.values())
    media = list((tmp_path / "out" / "media").iterdir())
    assert len(media) == 12
    assert not any(path.name.endswith(".part") for path in media)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """An output directory whose `media` is a disk of its own with room for three pictures."""
    media = tmp_path / "out" / "media"
    media.mkdir(parents=True)
    if not mount(media, "size=300k"):
        pytest.skip("only root may mount a disk")
    yield media
    subprocess.run(["umount", media], check=True)  # noqa: S603, S607 - ours


def mount(where: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(where)]
    try:
        ran = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - ours
    except OSError:
        return False
    return ran.returncode == 0


def test_a_disk_that_is_really_full_holds_submissions_until_it_has_grown(
    start: Serve, read: ReadFile, tmp_path: Path, vocabulary: Vocabulary, small_disk: Path
) -> None:
    """No error is made up: the system refuses the bytes, of which some fit and are kept."""
    running = start(Simulator(speed=SPEED, limit=2))
    idle: list[int] = []
    refused: set[int | None] = set()

    def write(fd: int, data: memoryview) -> int:
        try:
            return os.write(fd, data)
        except OSError as error:
            refused.add(error.errno)
            books = running.simulator.books
            if books.running == 0:
                idle.append(len(books.accepted))
            if len(idle) == 20:
                assert mount(small_disk, "remount,size=64m")
            raise

    saving = SaveOptions(part_file=partial(PartFile, write=write), free_bytes=lambda _: 1 << 40)
    code, told = run(
        read(lines(12)), tmp_path / "out", vocabulary, Disk(saving, retry_seconds=0.02)
    )
    assert code == ExitCode.OK, told
    assert refused == {errno.ENOSPC}
    assert "the disk is full: nothing more is submitted" in told
    assert "there is room on the disk again" in told
    assert idle[-10:] == [idle[-1]] * 10
    assert 0 < idle[-1] < 12
    assert len(running.simulator.books.accepted) == 12
    for row in results_of(tmp_path / "out").values():
        ((url,), (name,)) = cast("tuple[list[str], list[str]]", (row["urls"], row["files"]))
        assert (tmp_path / "out" / name).read_bytes() == httpx.get(url).content
    assert len(list(small_disk.iterdir())) == 12


def test_results_that_cannot_be_written_stop_no_run_and_are_there_at_its_end(
    start: Serve, read: ReadFile, tmp_path: Path, vocabulary: Vocabulary
) -> None:
    start(Simulator(speed=SPEED, limit=2))
    results = tmp_path / "out" / "results.jsonl"

    def write(fd: int, data: memoryview) -> int:
        if not results.is_symlink():
            results.unlink()
            results.symlink_to("elsewhere")
        return os.write(fd, data)

    saving = SaveOptions(part_file=partial(PartFile, write=write))
    code, told = run(read(lines(3)), tmp_path / "out", vocabulary, Disk(saving))
    assert code == ExitCode.OK, told
    assert told.count("cannot write results.jsonl") == 1
    assert len(results_of(tmp_path / "out")) == 3
    assert not results.is_symlink()
    assert not (tmp_path / "out" / "elsewhere").exists()


def test_a_disk_that_stays_full_ends_the_run_in_order_and_the_next_one_goes_on(
    start: Serve, read: ReadFile, tmp_path: Path, vocabulary: Vocabulary, kinovi: Kinovi
) -> None:
    running = start(Simulator(speed=SPEED, limit=2))
    out = tmp_path / "out"
    disk = Disk(SaveOptions(free_bytes=lambda _: 0), retry_seconds=0.02, patience=0.1)
    code, told = run(read(lines(12)), out, vocabulary, disk)
    assert code == ExitCode.STOPPED
    assert "stopped: the disk is full; make room, then run the same command again" in told
    paid = len(running.simulator.books.accepted)
    assert 0 < paid < 12
    done = results_of(out)
    assert {row["status"] for row in done.values()} == {"succeeded"}
    assert all("the disk is full" in str(row["error"]) for row in done.values())
    assert len(done) == paid
    code, told = run(read(lines(12)), out, vocabulary, Disk())
    assert code == ExitCode.OK, told
    assert len(running.simulator.books.accepted) == 12
    assert len(list((out / "media").iterdir())) == 12


def test_when_all_is_submitted_the_jobs_end_without_their_files_and_download_fetches_them(
    start: Serve, read: ReadFile, tmp_path: Path, vocabulary: Vocabulary, kinovi: Kinovi
) -> None:
    start(Simulator(speed=SPEED, limit=5))
    out = tmp_path / "out"
    disk = Disk(SaveOptions(free_bytes=lambda _: 0), retry_seconds=0.02, patience=0.05)
    code, told = run(read(lines(3)), out, vocabulary, disk)
    assert code == ExitCode.FAILED
    assert "stopped" not in told
    assert [row["status"] for row in results_of(out).values()] == ["succeeded"] * 3
    ran = kinovi("download", out)
    assert ran.code == 0
    assert "3 files saved" in ran.out
    assert all(row["files"] for row in results_of(out).values())


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--max-file-size", "10"), "larger than 10 bytes"),
        (("--max-total-size", "1k"), "all files together are larger than 1024 bytes"),
    ],
)
def test_caps_on_sizes_cost_only_the_files(
    start: Serve, kinovi: Kinovi, tmp_path: Path, flags: tuple[str, str], told: str
) -> None:
    start(Simulator(speed=SPEED, limit=5))
    file, out = tmp_path / "b.jsonl", tmp_path / "out"
    file.write_bytes(lines(2))
    ran = kinovi("run", file, "-o", out, "--poll-interval", "0.02,0.03", *flags)
    assert ran.code == 1
    assert told in ran.err
    assert list((out / "media").glob("*")) == []
    assert kinovi("download", out, *flags).code == 1
    assert kinovi("download", out).code == 0
    assert len(list((out / "media").iterdir())) == 2


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("500M", 500 << 20), ("2g", 2 << 30), ("1.5 KiB", 1536), ("3TB", 3 << 40)],
)
def test_a_size_is_a_number_with_a_unit(text: str, size: int) -> None:
    from kinovi_async._cli._options import parse_size

    assert parse_size(text, "--max-file-size") == size


@pytest.mark.parametrize("text", ["", "0", "-1", "2X", "much", "1e9", "inf", "0.0001K"])
def test_what_is_no_size_is_refused(text: str) -> None:
    from kinovi_async._cli._options import parse_size

    with pytest.raises(ConfigurationError, match="--max-file-size is a size"):
        parse_size(text, "--max-file-size")


# --- the decisions


class Script:
    """A full disk's surroundings: what it did, and a clock that runs by tries."""

    def __init__(self, *, busy: Callable[[int], bool] = lambda _: True) -> None:
        self.did: list[str] = []
        self.tries = 0
        self.disk = FullDisk(
            hold=lambda: self.did.append("hold"),
            release=lambda: self.did.append("release"),
            tell=lambda _: None,
            is_busy=lambda: busy(self.tries),
            give_up=lambda: self.did.append("give up"),
            retry_seconds=0,
            patience=10,
            clock=lambda: float(self.tries),
        )

    async def fetch(self, full_until: int) -> Fetched:
        await anyio.lowlevel.checkpoint()
        self.tries += 1
        return FULL if self.tries < full_until else Fetched(("a.png",))


async def test_it_holds_once_and_releases_when_the_last_file_has_room() -> None:
    script = Script()

    async def one(full_until: int) -> None:
        script.disk.begin()
        found = await script.disk.retried(FULL, lambda: script.fetch(full_until))
        assert found.files == ("a.png",)
        script.did.append("saved")

    async with anyio.create_task_group() as group:
        for full_until in (5, 9, 12):
            group.start_soon(one, full_until)
    assert script.did[0] == "hold"
    assert sorted(script.did) == ["hold", "release", "saved", "saved", "saved"]
    assert script.did.index("release") >= 3
    script.did.clear()
    script.disk.begin()
    await script.disk.retried(FULL, lambda: script.fetch(0))
    assert script.did == ["hold", "release"]


async def test_patience_counts_from_the_last_running_task() -> None:
    script = Script(busy=lambda tries: tries < 50 or tries == 55)
    script.disk.begin()
    found = await script.disk.retried(FULL, lambda: script.fetch(10_000))
    assert found.disk_full
    assert script.tries == 66
    assert script.did == ["hold", "give up"]
    assert script.disk.given_up
    script.disk.begin()
    assert await script.disk.retried(FULL, lambda: script.fetch(0)) == FULL
    assert script.did == ["hold", "give up"]
