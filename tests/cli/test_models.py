"""Models, generations of the API and their prices, as the command shows and uses them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kinovi_async._cli._entry import run_app
from kinovi_async._requests import MODELS, parse_request
from kinovi_async.simulator import Simulator
from tests.requests.test_wrong import WRONG

from .conftest import ReadFile
from .runs import POLL, SPEED, Kinovi, Ran, Serve, accepted, results_of

IMAGE = "https://example.com/a.png"
LATER = ("--api-generation", "2026-09")


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> Ran:
    code = run_app([str(each) for each in arguments])
    captured = capsys.readouterr()
    return Ran(code, captured.out, captured.err)


def lines_file(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def line(model: str, **inputs: object) -> dict[str, Any]:
    return {"model": model, "inputs": {"prompt": "x", **inputs}}


def test_every_model_is_listed_with_the_price_of_a_generation(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seeds = command(capsys, "models").out.splitlines()
    later = command(capsys, "models", *LATER).out.splitlines()
    assert [each.split()[0] for each in seeds] == [each.split()[0] for each in later] == [*MODELS]
    assert "40 credits per second, 28 more with 4K upscale" in seeds[0]
    assert "by outputResolution: 480p 15, 720p 40, 1080p 90, 4k 200" in later[0]


@pytest.mark.parametrize("model", MODELS)
def test_a_model_is_shown_with_an_example_line_ready_to_paste(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options in ((), LATER):
        shown = command(capsys, "models", model, *options)
        assert shown.code == 0
        assert "prompt" in shown.out
        example = shown.out.splitlines()[-1].removeprefix("example line: ")
        path = lines_file(tmp_path / "batch.jsonl", json.loads(example))
        assert command(capsys, "check", path, *options).code == 0


def test_a_models_fields_are_those_of_the_generation(capsys: pytest.CaptureFixture[str]) -> None:
    seeds = command(capsys, "models", "seedance-20").out
    later = command(capsys, "models", "seedance-20", *LATER).out
    assert "upscaleResolution" in seeds
    assert "outputResolution" not in seeds
    assert "outputResolution  480p, 720p, 1080p or 4k, default 720p" in later
    assert "imageUrls" in later
    assert "upscale" not in later
    assert "text of 1 to 10,000 characters" in later


def test_a_misspelt_model_is_told_what_it_may_be(capsys: pytest.CaptureFixture[str]) -> None:
    told = command(capsys, "models", "nano-banana-pro")
    assert told.code == 2
    assert "no description of 'nano-banana-pro'; did you mean nanobanana-pro?" in told.err


def test_the_schema_is_json_of_all_models_or_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    whole = json.loads(command(capsys, "schema").out)
    assert whole["$schema"].endswith("2020-12/schema")
    assert len(whole["allOf"]) == len(MODELS)
    one = json.loads(command(capsys, "schema", "nanobanana2", *LATER).out)
    (clause,) = one["allOf"]
    names = clause["then"]["properties"]["inputs"]["properties"]
    wire = {"prompt", "uploadedUrls", "aspectRatio", "resolution"}
    assert set(names) == wire | {"image_urls", "aspect_ratio"}
    refused = command(capsys, "schema", "nano")
    assert refused.code == 2
    assert "no description of 'nano'" in refused.err


def test_a_check_prices_each_model_in_the_chosen_generation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = lines_file(
        tmp_path / "batch.jsonl",
        line("seedance-20", urls=[IMAGE, "https://example.com/a.mp4"], mode="reference"),
        line("seedance2-5-edit", videoUrls=["https://example.com/a.mp4"]),
        line("gpt-image-2"),
        line("gpt-image-2.5-flare"),
    )
    seeds, later = command(capsys, "check", path), command(capsys, "check", path, *LATER)
    assert "seedance-20: 1 job, 200 credits" in seeds.out
    assert "seedance-20: 1 job, 240 credits" in later.out
    for checked in (seeds, later):
        assert "seedance2-5-edit: 1 job, at most 2,100 credits" in checked.out
        assert "gpt-image-2: 1 job, 2.17 credits" in checked.out
        assert "gpt-image-2.5-flare: 1 job, price unknown" in checked.out
    assert "2,302.17 credits ($11.51)" in seeds.out
    assert "2,342.17 credits ($11.01)" in later.out


def test_a_line_that_the_chosen_generation_does_not_take_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = lines_file(
        tmp_path / "batch.jsonl",
        line("nanobanana2"),
        line("nanobanana2", negativePrompt="y"),
        line("seedance-20", urls=["https://example.com/asset"], mode="reference"),
    )
    assert command(capsys, "check", path).code == 0
    refused = command(capsys, "check", path, *LATER)
    assert refused.code == 2
    assert "batch.jsonl:2: inputs.negativePrompt: not in API generation 2026-09" in refused.err
    assert "batch.jsonl:3: inputs.urls: a reference of known kind" in refused.err
    wrong = command(capsys, "check", path, "--api-generation", "2027")
    assert (wrong.code, wrong.err) == (
        2,
        "kinovi: --api-generation is seed or 2026-09, not '2027'\n",
    )


def test_every_wrong_value_of_a_file_is_named_with_its_line_model_field_and_what_is_allowed(
    read: ReadFile,
) -> None:
    # Of models that one generation knows: another may take what is wrong in the first.
    wrong = [each for each in WRONG if each[0].model.generations == (each[0].generation,)]
    bodies = [
        {**case.body, "inputs": {**case.body["inputs"], name: value}} for case, name, value in wrong
    ]
    file = read("".join(json.dumps(body) + "\n" for body in bodies).encode())
    told: dict[int, list[str]] = {}
    for problem in file.problems:
        told.setdefault(problem.line, []).append(problem.show("b.jsonl"))
    missed = []
    for number, (case, name, value) in enumerate(wrong, start=1):
        found = [each for each in told.get(number, ()) if f": inputs.{name}" in each]
        of_model = found and all(each.endswith(f"; model {case.model.id}") for each in found)
        if not of_model:
            missed.append((case.model.id, name, value, told.get(number)))
    assert len(wrong) > 400
    assert not [each for each in missed if each[1] != "mode"]


def test_a_table_types_the_fields_of_every_model(read: ReadFile) -> None:
    table = (
        "model,prompt,duration,generateAudio,outputFormat,imageUrls,output_compression\n"
        "seedance2-5,a,6,yes,mov,https://e.com/a.png|https://e.com/b.png,\n"
        "gpt-image-2.5-flare,b,,,jpeg,,80\n"
    )
    batch = read(table.encode(), ".csv")
    assert [problem.show("b") for problem in batch.problems] == []
    assert [each.body["inputs"] for each in batch.lines] == [
        {
            "prompt": "a",
            "duration": 6,
            "generate_audio": True,
            "output_format": "mov",
            "imageUrls": ["https://e.com/a.png", "https://e.com/b.png"],
        },
        {"prompt": "b", "outputFormat": "jpeg", "outputCompression": 80},
    ]


def test_marked_references_stand_in_a_table_as_json(read: ReadFile) -> None:
    urls = '[{"video": "https://e.com/asset"}, "https://e.com/a.png"]'
    cell = urls.replace('"', '""')
    batch = read(f'model,prompt,mode,urls\nseedance-20,x,reference,"{cell}"\n'.encode(), ".csv")
    (found,) = batch.lines
    assert found.body["inputs"]["urls"] == json.loads(urls)  # type: ignore[index, call-overload]


def test_the_keys_of_lines_without_an_id_are_the_same_in_every_generation(
    tmp_path: Path, kinovi: Kinovi, start: Serve
) -> None:
    """So the same file, run again in the other generation, pays for nothing twice."""
    running = start(Simulator(speed=SPEED))
    path = lines_file(
        tmp_path / "batch.jsonl",
        line("seedance-20", duration=4),
        line("nanobanana2", imageUrls=[IMAGE]),
        {"id": "named", **line("midjourney-v8", sourceImageUrl=IMAGE)},
    )
    out = tmp_path / "out"
    first = kinovi("run", path, "-o", out, "--poll-interval", POLL)
    assert first.code == 0, first.err
    before = results_of(out)
    assert kinovi("run", path, "-o", out, "--poll-interval", POLL, *LATER).code == 0
    assert results_of(out).keys() == before.keys()
    assert accepted(running) == 3


def test_a_run_in_the_later_generation_sends_its_names_types_and_pays_its_prices(
    tmp_path: Path, kinovi: Kinovi, start: Serve
) -> None:
    running = start(Simulator(speed=SPEED, api_generation="2026-09"))
    path = lines_file(
        tmp_path / "batch.jsonl",
        {
            "id": "film",
            **line("seedance-20", urls=[{"video": "https://e.com/v"}, IMAGE], mode="reference"),
        },
        {"id": "cut", **line("seedance2-5-edit", videoUrls=["https://example.com/a.mp4"])},
    )
    out = tmp_path / "out"
    ran = kinovi("run", path, "-o", out, "--poll-interval", POLL, "--budget", 2500, *LATER)
    assert ran.code == 0, ran.err
    assert "references" not in ran.err
    bodies = {task.model: task.body for task in running.simulator.books.accepted}
    assert bodies["seedance-20"]["inputs"] == {
        "prompt": "x",
        "imageUrls": [IMAGE],
        "videoUrls": ["https://e.com/v"],
        "mode": "reference",
    }
    # The edit settles after its success: 2 x 5 s at 35, and not the 525 reserved.
    paid = {key: each["credits"] for key, each in results_of(out).items()}
    assert paid == {"film": 240, "cut": 350}
    assert running.simulator.books.spent == 590


def test_references_under_old_names_are_warned_of_once_before_anything_is_paid(
    tmp_path: Path, kinovi: Kinovi, start: Serve
) -> None:
    running = start(Simulator(speed=SPEED))
    references = [line("nanobanana2", imageUrls=[IMAGE]), line("nanobanana2", prompt="y")]
    path = lines_file(tmp_path / "batch.jsonl", *references)
    out = tmp_path / "out"
    dry = kinovi("run", path, "-o", out, "--dry-run")
    assert dry.err.count("1 line sends references under the names of the API's first") == 1
    assert accepted(running) == 0
    ran = kinovi("run", path, "-o", out, "--poll-interval", POLL)
    assert ran.err.count("--api-generation 2026-09") == 1
    assert ran.code == 0
    plain = lines_file(tmp_path / "plain.jsonl", line("nanobanana2"), line("seedance-20"))
    assert "references" not in kinovi("run", plain, "-o", tmp_path / "o2", "--dry-run").err


def test_the_example_of_a_body_in_either_form_is_one_line_with_one_hash(read: ReadFile) -> None:
    old = line("nanobanana2", imageUrls=[IMAGE])
    new = line("nanobanana2", uploadedUrls=[IMAGE])
    batch = read("".join(json.dumps(each) + "\n" for each in (old, new)).encode())
    assert [each.key.partition("-")[0] for each in batch.lines] == [batch.lines[0].key] * 2
    assert parse_request(old) == parse_request(new)
