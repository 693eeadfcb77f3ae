from __future__ import annotations

from pathlib import Path

import pytest

from kinovi_async._downloads import DEFAULT_TEMPLATE, output_name, save_output, save_outputs
from kinovi_async._errors import ConfigurationError, DownloadError
from kinovi_async._records import Output, TaskRecord, TaskStatus
from tests.downloads.fakes import MP4, PNG, Answer, ScriptedOpener, files_in, is_empty, options, png


def record(*outputs: Output, task_id: str = "task-1") -> TaskRecord:
    return TaskRecord(task_id, TaskStatus.SUCCESS, model="midjourney-v7", outputs=outputs)


def picture(number: int) -> Output:
    return Output(f"https://cdn.example/{number}.png?sig=SECRET", media_type="image/png")


async def test_all_outputs_are_saved_in_order_and_numbered_from_one(tmp_path: Path) -> None:
    opener = ScriptedOpener(png(PNG + b"1"), png(PNG + b"2"), Answer(chunks=[MP4]))
    outputs = (picture(1), picture(2), Output("https://cdn.example/v"))
    saved = await save_outputs(
        opener, record(*outputs), tmp_path, allow_private=False, options=options()
    )
    assert [file.path.name for file in saved] == ["task-1_1.png", "task-1_2.png", "task-1_3.mp4"]
    assert files_in(tmp_path)["task-1_2.png"] == PNG + b"2"


async def test_again_finds_what_is_there(tmp_path: Path) -> None:
    for _ in range(2):
        saved = await save_outputs(
            ScriptedOpener(png(), png()),
            record(picture(1), picture(2)),
            tmp_path,
            allow_private=False,
            options=options(),
        )
        assert [file.path.name for file in saved] == ["task-1_1.png", "task-1_2.png"]
    assert len(files_in(tmp_path)) == 2


async def test_fields_and_suffix_make_the_names(tmp_path: Path) -> None:
    saved = await save_output(
        ScriptedOpener(png()),
        record(picture(1)),
        1,
        tmp_path,
        allow_private=False,
        template="{colour} {model} {id}_{n}{ext}",
        fields={"id": "cat", "colour": "../red"},
        suffix="-7",
        options=options(),
    )
    assert saved.path.parent == tmp_path
    assert saved.path.name.endswith(" midjourney-v7 cat_1-7.png")


async def test_a_wrong_template_is_told_before_anything_is_fetched(tmp_path: Path) -> None:
    opener = ScriptedOpener(png())
    with pytest.raises(ConfigurationError, match="id"):
        await save_outputs(
            opener,
            record(picture(1)),
            tmp_path,
            allow_private=False,
            template=DEFAULT_TEMPLATE,
            options=options(),
        )
    assert opener.asked == []


def test_a_template_without_number_keeps_outputs_apart() -> None:
    given = record(picture(1), picture(2))
    names = [output_name(given, n, ".png", template="{task_id}{ext}") for n in (1, 2)]
    assert names == ["task-1.png", "task-1-2.png"]


def test_a_hostile_task_id_is_only_a_name() -> None:
    name = output_name(record(picture(1), task_id="../../x\n"), 1, ".png")
    assert "/" not in name
    assert name.isprintable()


async def test_one_missing_file_does_not_keep_the_others_from_being_saved(tmp_path: Path) -> None:
    opener = ScriptedOpener(Answer(404), png(), Answer(410))
    with pytest.raises(DownloadError) as caught:
        await save_outputs(
            opener,
            record(picture(1), picture(2), picture(3)),
            tmp_path,
            allow_private=False,
            options=options(),
        )
    assert (caught.value.status_code, caught.value.task_id) == (404, "task-1")
    assert files_in(tmp_path).keys() == {"task-1_2.png"}


async def test_a_full_disk_ends_it_at_once(tmp_path: Path) -> None:
    opener = ScriptedOpener(png(), png())
    with pytest.raises(DownloadError) as caught:
        await save_outputs(
            opener,
            record(picture(1), picture(2)),
            tmp_path,
            allow_private=False,
            options=options(free_bytes=lambda _: 0),
        )
    assert caught.value.local
    assert len(opener.asked) == 1


async def test_an_output_without_an_address_is_told(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="not absolute"):
        await save_outputs(
            ScriptedOpener(), record(Output("")), tmp_path, allow_private=False, options=options()
        )


async def test_a_record_without_outputs_has_no_files(tmp_path: Path) -> None:
    assert await save_outputs(ScriptedOpener(), record(), tmp_path, allow_private=False) == []
    assert is_empty(tmp_path)
