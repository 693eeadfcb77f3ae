"""Batch files that name local files: found, checked and told before anything is sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from kinovi_async.simulator import Simulator
from tests.media_files import HTML, MP4, png, write

from .conftest import ReadFile
from .runs import SPEED, Kinovi, Serve, accepted, results_of, run

if TYPE_CHECKING:
    import pytest


def lines(path: Path, *images: object, first: int = 1) -> Path:
    """A batch file with a line for each list of images."""
    with path.open("w") as stream:
        for number, image in enumerate(images, start=first):
            inputs = {"prompt": f"picture {number}", "imageUrls": image}
            line = {"id": f"job-{number}", "model": "nanobanana2", "inputs": inputs}
            stream.write(json.dumps(line) + "\n")
    return path


def test_a_batch_with_local_images_runs_twice_and_uploads_each_file_once(
    start: Serve, kinovi: Kinovi, tmp_path: Path
) -> None:
    running = start(Simulator(speed=SPEED))
    write(tmp_path / "cat.png", png(1))
    write(tmp_path / "art" / "dog.png", png(2))
    images = [["./cat.png"], ["art/dog.png"], ["cat.png", "art/../art/dog.png"]]
    file, out = lines(tmp_path / "b.jsonl", *images), tmp_path / "out"
    first = run(kinovi, file, out)
    assert first.code == 0, first.err
    assert running.simulator.books.uploads == 2
    assert accepted(running) == 3
    again = run(kinovi, file, out)
    assert again.code == 0, again.err
    assert "3 done already" in again.err
    lines(file, *images, ["cat.png"])
    more = run(kinovi, file, out)
    assert more.code == 0, more.err
    books = running.simulator.books
    assert (books.uploads, len(books.accepted), books.keys_leaked) == (2, 4, 0)
    assert len(results_of(out)) == 4
    for task in books.accepted:
        assert str(tmp_path) not in json.dumps(task.body)


def test_problems_are_named_with_their_line_and_nothing_is_sent(
    start: Serve, kinovi: Kinovi, tmp_path: Path
) -> None:
    running = start(Simulator(speed=SPEED))
    write(tmp_path / "cat.png", png())
    write(tmp_path / "page.png", HTML)
    write(tmp_path / "clip.mp4", MP4)
    write(tmp_path / "empty.png", b"")
    file = lines(
        tmp_path / "b.jsonl",
        ["cat.png"],
        ["none.png"],
        ["cat.png", "page.png"],
        ["clip.mp4"],
        ["empty.png"],
        ["example.com/cat.png"],
        ["ftp://example.com/cat.png"],
    )
    for ran in (run(kinovi, file, tmp_path / "out"), kinovi("check", file)):
        assert ran.code == 2
        assert f"{file}:1" not in ran.err
        assert f"{file}:2: inputs.imageUrls[0]: an image file (JPEG, PNG or WebP)" in ran.err
        assert "none.png' (no such file)" in ran.err
        assert f"{file}:3: inputs.imageUrls[1]: " in ran.err
        assert "page.png' (of no known type)" in ran.err
        assert "clip.mp4' (video/mp4)" in ran.err
        assert "empty.png' (an empty file)" in ran.err
        assert f"{file}:6: " in ran.err
        assert f"{file}:7: " in ran.err
    books = running.simulator.books
    assert (books.uploads, books.submissions) == (0, 0)


def test_a_file_of_a_format_that_the_model_does_not_take_is_named_before_anything_is_paid(
    start: Serve, kinovi: Kinovi, tmp_path: Path
) -> None:
    running = start(Simulator(speed=SPEED))
    webm = b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm" + bytes(40)
    write(tmp_path / "clip.webm", webm)
    body = {"model": "wan3.0-ref-to-video", "inputs": {"prompt": "x", "videoUrls": ["clip.webm"]}}
    file = tmp_path / "b.jsonl"
    file.write_text(json.dumps(body), "utf-8")
    ran = run(kinovi, file, tmp_path / "out")
    assert ran.code == 2
    assert f"{file}:1: inputs.videoUrls[0]: a video file (MP4 or MOV), not " in ran.err
    assert "(video/webm); model wan3.0-ref-to-video" in ran.err
    assert running.simulator.books.uploads == 0


def test_white_space_before_an_address_makes_it_no_file(kinovi: Kinovi, tmp_path: Path) -> None:
    file = lines(tmp_path / "b.jsonl", [" https://x.test/a.png"])
    done = kinovi("check", str(file))
    assert done.code == 2
    assert "an http or https address of an image, not ' https://x.test/a.png'" in done.err


def test_cells_of_a_table_name_files_relative_to_it(
    start: Serve, kinovi: Kinovi, tmp_path: Path
) -> None:
    running = start(Simulator(speed=SPEED))
    write(tmp_path / "in" / "cat.png", png(1))
    write(tmp_path / "in" / "clip.mp4", MP4)
    file = tmp_path / "in" / "b.csv"
    file.write_text(
        "id,model,prompt,urls,source_image_url,mode\n"
        "a,seedance-20,@video1 after @image1,cat.png|clip.mp4,,reference\n"
        "b,midjourney-v7,a cat,,./cat.png,\n"
    )
    ran = run(kinovi, file, tmp_path / "out")
    assert ran.code == 0, ran.err
    assert running.simulator.books.uploads == 2
    listed = kinovi("jobs", tmp_path / "out", "--format", "csv")
    assert str(tmp_path / "in" / "cat.png") in listed.out
    assert "sha256" not in listed.out
    back = tmp_path / "back.csv"
    back.write_text(listed.out)
    checked = kinovi("check", back, "-o", tmp_path / "out")
    assert checked.code == 0, checked.err
    assert "2 done" in checked.out


def test_a_file_edited_under_an_accepted_job_is_another_request(
    start: Serve, kinovi: Kinovi, tmp_path: Path
) -> None:
    running = start(Simulator(speed=SPEED))
    write(tmp_path / "cat.png", png(1))
    file, out = lines(tmp_path / "b.jsonl", ["cat.png"]), tmp_path / "out"
    assert run(kinovi, file, out).code == 0
    write(tmp_path / "cat.png", png(2))
    ran = run(kinovi, file, out)
    assert ran.code == 2
    assert f"{file}:1" in ran.err
    assert accepted(running) == 1


def test_the_line_without_an_id_keeps_its_key_while_the_file_is_the_same(
    read: ReadFile, tmp_path: Path
) -> None:
    write(tmp_path / "cat.png", png(1))
    line = b'{"model": "nanobanana2", "inputs": {"prompt": "p", "imageUrls": ["cat.png"]}}\n'
    first = read(line).lines[0].key
    write(tmp_path / "cat.png", png(1))
    assert read(line).lines[0].key == first
    write(tmp_path / "cat.png", png(2))
    assert read(line).lines[0].key != first


def test_a_model_without_a_description_names_a_file_by_an_object(
    read: ReadFile, tmp_path: Path
) -> None:
    write(tmp_path / "cat.png", png(1))
    found = read(
        b'{"model": "new-model", "inputs": {"pic": {"file": "cat.png"}, "b": "cat.png"}}\n'
    )
    assert found.problems == []
    (line,) = found.lines
    (file,) = line.request.files
    assert file.path == str(tmp_path / "cat.png")
    assert json.dumps(line.body).count("sha256") == 1


def test_generate_takes_a_local_file(
    start: Serve, kinovi: Kinovi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KINOVI_POLL_INTERVAL", "0.02,0.03")
    running = start(Simulator(speed=SPEED))
    cat = write(tmp_path / "cat.png", png(1))
    ran = kinovi(
        "generate", "nanobanana2", "--prompt", "a cat", "--set", f"imageUrls={cat}",
        "-o", tmp_path / "out",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert running.simulator.books.uploads == 1
