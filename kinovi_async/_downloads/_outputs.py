"""Which files a record has and what each is called: its outputs, numbered from 1."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import anyio
import anyio.lowlevel

from .._errors import ConfigurationError, DownloadError, KinoviError
from ._fetch import DEFAULT_OPTIONS, SavedFile, SaveOptions, save
from ._names import CLIENT_TEMPLATE, file_name, template_fields

if TYPE_CHECKING:
    from .._records import TaskRecord
    from ._guard import Opener

__all__ = ["Addresses", "fetch_outputs", "output_name", "save_output", "save_outputs"]

AskAgain: TypeAlias = Callable[[str], Awaitable["TaskRecord"]]
"""From a task id to its record as it is now."""

_log = logging.getLogger("kinovi_async")


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
    addresses: Addresses | None = None,
    progress: Callable[[int], None] | None = None,
) -> SavedFile:
    """Save one output of a record; see `save` and `output_name`."""
    output = record.outputs[number - 1]
    addresses = addresses or Addresses(record, None)

    def name(extension: str) -> str:
        return output_name(
            record, number, extension, template=template, fields=fields, suffix=suffix
        )

    name("")  # a wrong template is told before anything is fetched
    return await save(
        opener,
        addresses.current(number),
        directory,
        name,
        allow_private=allow_private,
        options=options,
        expect=output.media_type,
        task_id=record.task_id,
        refresh=partial(addresses.renewed, number),
        progress=progress,
    )


class Addresses:
    """The addresses of a record's outputs, asked for anew once when they have ended.

    Args:
        record: The answer with the outputs.
        ask: Asks for the task's record again; what it raises of ours leaves the old
            addresses standing.
    """

    def __init__(self, record: TaskRecord, ask: AskAgain | None) -> None:
        self._record = record
        self._ask = ask
        self._lock = anyio.Lock()

    def current(self, number: int) -> str:
        """The address of an output, as the last record has it."""
        outputs = self._record.outputs
        return outputs[number - 1].url if number <= len(outputs) else ""

    async def renewed(self, number: int) -> str | None:
        """The address in a new record, for which the task is asked at the first call only."""
        async with self._lock:
            if self._ask is not None:
                ask, self._ask = self._ask, None
                try:
                    fresh = await ask(self._record.task_id)
                except KinoviError as error:
                    _log.info("task %s: no new addresses: %s", self._record.task_id, error)
                else:
                    # Fewer outputs than before are no answer to what became of the others.
                    if len(fresh.outputs) >= len(self._record.outputs):
                        self._record = fresh
        return self.current(number) or None


async def fetch_outputs(
    opener: Opener,
    record: TaskRecord,
    directory: Path,
    *,
    allow_private: bool,
    template: str = CLIENT_TEMPLATE,
    fields: Mapping[str, str] | None = None,
    suffix: str = "",
    options: SaveOptions = DEFAULT_OPTIONS,
    ask_again: AskAgain | None = None,
    gate: anyio.Semaphore | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[SavedFile | DownloadError]:
    """Save all outputs of a record and tell of each what came of it, in their order.

    A file that cannot be fetched does not keep the others from being saved, unless the
    trouble is on this machine: then what has not begun shares the error. Called again, it
    finds what is there already.

    Args:
        opener: What sends the GETs.
        record: The answer with the outputs.
        directory: The folder, created when missing.
        allow_private: See `save`.
        template: See `output_name`.
        fields: See `output_name`.
        suffix: See `output_name`.
        options: How.
        ask_again: Asks for a task's record; called at most once, for its outputs' new
            addresses, when the old ones have ended or lead nowhere.
        gate: Bounds the files fetched at a time, also with other calls; None: one by one.
        progress: Called with the bytes of a file so far.

    Raises:
        ConfigurationError: the template is malformed or names a field without a value.

    Cancellation:
        Files that are complete stay; an unfinished one is removed, or kept where the next
        call can go on with it.
    """
    await anyio.lowlevel.checkpoint()
    addresses = Addresses(record, ask_again)
    found: dict[int, SavedFile | DownloadError] = {}
    trouble: list[DownloadError] = []
    wrong: list[ConfigurationError] = []
    numbers = range(1, len(record.outputs) + 1)

    async def fetch(number: int) -> None:
        async with gate or nullcontext():
            if trouble:
                found[number] = trouble[0]
                return
            try:
                found[number] = await save_output(
                    opener,
                    record,
                    number,
                    directory,
                    allow_private=allow_private,
                    template=template,
                    fields=fields,
                    suffix=suffix,
                    options=options,
                    addresses=addresses,
                    progress=progress,
                )
            except DownloadError as error:
                found[number] = error
                if error.local:
                    trouble.append(error)
            except ConfigurationError as error:
                wrong.append(error)

    if gate is None:
        for number in numbers:
            await fetch(number)
    else:
        async with anyio.create_task_group() as group:
            for number in numbers:
                group.start_soon(fetch, number)
    if wrong:
        raise wrong[0]
    return [found[number] for number in sorted(found)]


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
    ask_again: AskAgain | None = None,
    gate: anyio.Semaphore | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[SavedFile]:
    """Save all outputs of a record; the same as `fetch_outputs`, for all or an error.

    Raises:
        DownloadError: at least one output is not on disk; the first of them.
        ConfigurationError: the template is malformed or names a field without a value.
    """
    found = await fetch_outputs(
        opener,
        record,
        directory,
        allow_private=allow_private,
        template=template,
        fields=fields,
        suffix=suffix,
        options=options,
        ask_again=ask_again,
        gate=gate,
        progress=progress,
    )
    saved: list[SavedFile] = []
    for each in found:
        if isinstance(each, DownloadError):
            raise each
        saved.append(each)
    return saved
