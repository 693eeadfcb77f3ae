"""Which files a record has and what each is called: its outputs, numbered from 1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import anyio.lowlevel

from .._errors import DownloadError
from ._fetch import DEFAULT_OPTIONS, SavedFile, SaveOptions, save
from ._names import CLIENT_TEMPLATE, file_name, template_fields

if TYPE_CHECKING:
    from .._records import TaskRecord
    from ._guard import Opener

__all__ = ["output_name", "save_output", "save_outputs"]


def output_name(
    record: TaskRecord,
    number: int,
    extension: str,
    *,
    template: str = CLIENT_TEMPLATE,
    fields: Mapping[str, str] | None = None,
    suffix: str = "",
) -> str:
    """The name of a record's output.

    Args:
        record: The answer with the outputs; it gives `task_id` and `model`.
        number: From 1.
        extension: With its dot.
        template: See `file_name`. One without `{n}` gets `-2`, `-3` for further outputs.
        fields: `id`, `line` and the tags, where there are any; they win over the record's.
        suffix: What keeps the job's files apart from another job's.

    Raises:
        ConfigurationError: the template is malformed or names a field without a value.
    """
    values = {
        "task_id": record.task_id,
        "model": record.model or "",
        **(fields or {}),
        "n": str(number),
        "ext": extension,
    }
    if number > 1 and "n" not in template_fields(template, allowed=values):
        suffix = f"{suffix}-{number}"
    return file_name(template, fields=values, suffix=suffix)


async def save_output(
    opener: Opener,
    record: TaskRecord,
    number: int,
    directory: Path,
    *,
    allow_private: bool,
    template: str = CLIENT_TEMPLATE,
    fields: Mapping[str, str] | None = None,
    suffix: str = "",
    options: SaveOptions = DEFAULT_OPTIONS,
    progress: Callable[[int], None] | None = None,
) -> SavedFile:
    """Save one output of a record; see `save` and `output_name`."""
    output = record.outputs[number - 1]

    def name(extension: str) -> str:
        return output_name(
            record, number, extension, template=template, fields=fields, suffix=suffix
        )

    name("")  # a wrong template is told before anything is fetched
    return await save(
        opener,
        output.url,
        directory,
        name,
        allow_private=allow_private,
        options=options,
        expect=output.media_type,
        task_id=record.task_id,
        progress=progress,
    )


async def save_outputs(
    opener: Opener,
    record: TaskRecord,
    directory: Path,
    *,
    allow_private: bool,
    template: str = CLIENT_TEMPLATE,
    fields: Mapping[str, str] | None = None,
    suffix: str = "",
    options: SaveOptions = DEFAULT_OPTIONS,
    progress: Callable[[int], None] | None = None,
) -> list[SavedFile]:
    """Save all outputs of a record, one after the other, in their order.

    A file that cannot be fetched does not keep the others from being saved, unless the
    trouble is on this machine; the first error is raised at the end. Called again, it
    finds what is there already.

    Raises:
        DownloadError: at least one output is not on disk.
        ConfigurationError: the template is malformed or names a field without a value.

    Cancellation:
        Files that are complete stay, the unfinished one is removed.
    """
    await anyio.lowlevel.checkpoint()
    saved: list[SavedFile] = []
    first: DownloadError | None = None
    for number in range(1, len(record.outputs) + 1):
        try:
            file = await save_output(
                opener,
                record,
                number,
                directory,
                allow_private=allow_private,
                template=template,
                fields=fields,
                suffix=suffix,
                options=options,
                progress=progress,
            )
        except DownloadError as error:
            first = first or error
            if error.local:
                break
        else:
            saved.append(file)
    if first is not None:
        raise first
    return saved
