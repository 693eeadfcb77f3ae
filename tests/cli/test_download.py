"""`kinovi download`: what is missing, gone on with where it broke off."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import anyio
import anyio.to_thread
import httpx

from kinovi_async._downloads import PartFile
from kinovi_async._downloads._resume import note_of
from kinovi_async._ledger import SQLiteLedger
from kinovi_async.simulator import Simulator

from .runs import SPEED, Kinovi, Serve, batch, results_of, run


def one_url(out: Path, key: str) -> str:
    (url,) = cast("list[str]", results_of(out)[key]["urls"])
    return url


def test_a_file_that_a_killed_process_left_is_gone_on_with(
    start: Serve, kinovi: Kinovi, tmp_path: Path
) -> None:
    """Judged by the file itself: what was there has become the result, nothing was written anew."""
    running = start(Simulator(speed=SPEED, limit=5))
    file, out = batch(tmp_path / "b.jsonl", 2), tmp_path / "out"
    assert run(kinovi, file, out, "--no-download").code == 0
    url = one_url(out, "job-1")
    whole = httpx.get(url)
    note = note_of(url, whole.headers, total=len(whole.content))
    assert len(whole.content) > 30_000
    left = PartFile(out / "media", "job-1_1")
    left.open(note)
    left.write(whole.content[:-2000])
    left.discard(keep=True)
    number = (out / "media" / "job-1_1.part").stat().st_ino
    ran = kinovi("download", out)
    assert ran.code == 0, ran.err
    (name,) = cast("list[str]", results_of(out)["job-1"]["files"])
    assert (out / name).read_bytes() == whole.content
    assert (out / name).stat().st_ino == number
    assert len(list((out / "media").iterdir())) == 2
    assert len(running.simulator.books.accepted) == 2


def test_a_template_with_its_own_extension_names_files_once(
    start: Serve, kinovi: Kinovi, tmp_path: Path
) -> None:
    start(Simulator(speed=SPEED, limit=5))
    file, out = batch(tmp_path / "b.jsonl", 2), tmp_path / "out"
    assert run(kinovi, file, out, "--name-template", "{id}.png").code == 0
    names = sorted(path.name for path in (out / "media").iterdir())
    assert [name.partition(".")[0] for name in names] == ["job-1", "job-2"]
    assert all(name.count(".") == 1 for name in names)


def test_nothing_is_saved_through_a_link_in_place_of_the_folder(
    start: Serve, kinovi: Kinovi, tmp_path: Path
) -> None:
    running = start(Simulator(speed=SPEED, limit=5))
    file, out, elsewhere = batch(tmp_path / "b.jsonl", 2), tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir()
    elsewhere.mkdir()
    (out / "media").symlink_to(elsewhere)
    for ran in (run(kinovi, file, out), kinovi("download", out)):
        assert ran.code == 1
        assert "media is a link" in ran.err
    assert list(elsewhere.iterdir()) == []
    (out / "media").unlink()
    assert kinovi("download", out).code == 0
    assert len(list((out / "media").iterdir())) == 2
    assert len(running.simulator.books.accepted) == 2


def test_files_that_are_there_stay_known_when_others_cannot_be_had_again(
    start: Serve, kinovi: Kinovi, tmp_path: Path
) -> None:
    """One of four pictures was deleted, and the addresses of all have ended since."""
    running = start(Simulator(speed=SPEED, limit=5))
    file, out = tmp_path / "b.jsonl", tmp_path / "out"
    file.write_text('{"id": "four", "model": "midjourney-v7", "inputs": {"prompt": "x"}}\n')
    assert run(kinovi, file, out).code == 0
    names = cast("list[str]", results_of(out)["four"]["files"])
    assert len(names) == 4
    (out / names[2]).unlink()
    running.simulator.reset()
    ran = kinovi("download", out)
    assert ran.code == 1
    assert "the host answers 404" in ran.err
    assert results_of(out)["four"]["files"] == [names[0], names[1], names[3]]


def test_beside_a_run_the_results_are_left_to_the_run(
    start: Serve, kinovi: Kinovi, tmp_path: Path
) -> None:
    start(Simulator(speed=SPEED, limit=5))
    file, out = batch(tmp_path / "b.jsonl", 2), tmp_path / "out"
    assert run(kinovi, file, out, "--no-download").code == 0
    before = (out / "results.jsonl").read_bytes()

    async def beside() -> None:
        ledger = SQLiteLedger(out / "ledger.sqlite3")
        await ledger.open()
        await ledger.acquire_lease("a run", "somebody")
        ran = await anyio.to_thread.run_sync(kinovi, "download", out)
        assert ran.code == 0, ran.err
        await ledger.aclose()

    anyio.run(beside)
    assert (out / "results.jsonl").read_bytes() == before
    assert run(kinovi, file, out).code == 0
    assert all(row["files"] for row in results_of(out).values())


def test_an_address_that_ended_is_asked_for_once_more_and_costs_nothing_but_the_file(
    start: Serve, kinovi: Kinovi, tmp_path: Path
) -> None:
    running = start(Simulator(speed=SPEED, limit=5))
    file, out = batch(tmp_path / "b.jsonl", 1), tmp_path / "out"
    assert run(kinovi, file, out, "--no-download").code == 0
    task_id = results_of(out)["job-1"]["task_id"]
    polls = running.simulator.books.polls
    running.simulator.reset()  # knows neither the task nor its files any more
    polls = running.simulator.books.polls
    ran = kinovi("download", out)
    assert ran.code == 1
    assert "the host answers 404" in ran.err
    assert running.simulator.books.polls == polls + 1
    row = results_of(out)["job-1"]
    assert (row["status"], row["task_id"]) == ("succeeded", task_id)
    assert "the host answers 404" in str(row["error"])
