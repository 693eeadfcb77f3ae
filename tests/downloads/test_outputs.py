from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from kinovi_async._downloads import (
    DEFAULT_TEMPLATE,
    fetch_outputs,
    output_name,
    save_output,
    save_outputs,
)
from kinovi_async._errors import (
    APIConnectionError,
    ConfigurationError,
    DownloadError,
    KinoviError,
    NotFoundError,
)
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


class Api:
    """What answers recordInfo."""

    def __init__(self, *answers: TaskRecord | KinoviError) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def get_task(self, task_id: str) -> TaskRecord:
        await anyio.lowlevel.checkpoint()
        self.asked.append(task_id)
        answer = self._answers.pop(0)
        if isinstance(answer, KinoviError):
            raise answer
        return answer


def renewed(number: int) -> Output:
    return Output(f"https://cdn.example/new/{number}.png", media_type="image/png")


@pytest.mark.parametrize("status", [403, 404, 410])
async def test_an_ended_address_is_asked_for_anew_once(tmp_path: Path, status: int) -> None:
    api = Api(record(renewed(1), renewed(2)))
    opener = ScriptedOpener(Answer(status), png(PNG + b"1"), png(PNG + b"2"))
    saved = await save_outputs(
        opener,
        record(picture(1), picture(2)),
        tmp_path,
        allow_private=False,
        options=options(),
        ask_again=api.get_task,
    )
    assert [file.path.name for file in saved] == ["task-1_1.png", "task-1_2.png"]
    assert api.asked == ["task-1"]
    # The second output's address is taken from the new record at once.
    assert opener.asked[1:] == [renewed(1).url, renewed(2).url]


@pytest.mark.parametrize(
    "answer",
    [
        record(renewed(1), renewed(2)),
        record(picture(1), picture(2)),
        record(renewed(1)),
        record(),
        NotFoundError("gone", status_code=404),
        APIConnectionError("away"),
    ],
    ids=["new ones end too", "the same", "fewer", "none", "task is gone", "no answer"],
)
async def test_an_address_that_stays_ended_is_a_download_error_with_the_task(
    tmp_path: Path, answer: TaskRecord | KinoviError
) -> None:
    api = Api(answer)
    opener = ScriptedOpener(*[Answer(403) for _ in range(4)])
    found = await fetch_outputs(
        opener,
        record(picture(1), picture(2)),
        tmp_path,
        allow_private=False,
        options=options(),
        ask_again=api.get_task,
    )
    errors = [each for each in found if isinstance(each, DownloadError)]
    assert [(each.status_code, each.task_id) for each in errors] == [(403, "task-1")] * 2
    assert api.asked == ["task-1"]
    assert is_empty(tmp_path)


async def test_an_address_nobody_answers_under_is_asked_for_anew_after_the_last_try(
    tmp_path: Path,
) -> None:
    api = Api(record(renewed(1)))
    opener = ScriptedOpener(*[APIConnectionError("refused") for _ in range(3)], png())
    await save_outputs(
        opener,
        record(picture(1)),
        tmp_path,
        allow_private=False,
        options=options(),
        ask_again=api.get_task,
    )
    assert opener.asked == [picture(1).url] * 3 + [renewed(1).url]
    assert files_in(tmp_path) == {"task-1_1.png": PNG}


async def test_another_status_asks_for_no_new_address(tmp_path: Path) -> None:
    api = Api()
    found = await fetch_outputs(
        ScriptedOpener(Answer(400)),
        record(picture(1)),
        tmp_path,
        allow_private=False,
        options=options(),
        ask_again=api.get_task,
    )
    assert isinstance(found[0], DownloadError)
    assert api.asked == []


async def test_a_gate_bounds_the_files_of_all_calls_together(tmp_path: Path) -> None:
    """Each answer waits until as many are open as may be, so more would be seen."""
    opener = ScriptedOpener()
    peak = 0

    class Counting(ScriptedOpener):
        def open(self, url: str, **how: object) -> AbstractAsyncContextManager[Answer]:
            nonlocal peak
            peak = max(peak, opener.open_count + 1)
            return super().open(url, **how)  # type: ignore[arg-type]

    opener = Counting(*[png() for _ in range(12)])
    gate = anyio.Semaphore(3)

    async def one(number: int) -> None:
        await save_outputs(
            opener,
            record(*[picture(at) for at in range(4)], task_id=f"t{number}"),
            tmp_path,
            allow_private=False,
            options=options(),
            gate=gate,
        )

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(one, number)
    assert len(files_in(tmp_path)) == 12
    assert 1 < peak <= 3


async def test_a_wrong_template_is_raised_plainly_from_beside_other_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        await save_outputs(
            ScriptedOpener(),
            record(picture(1), picture(2)),
            tmp_path,
            allow_private=False,
            template="{nothing}",
            options=options(),
            gate=anyio.Semaphore(4),
        )
