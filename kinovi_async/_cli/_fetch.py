"""Result files of a run: fetched as jobs end, a few at a time, named by the template.

Fetching has its own bound and runs beside the generation. A file that cannot be fetched
costs nothing but itself: its job stays succeeded, and the next run tries again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from .._errors import DownloadError
from ._books import MEDIA_NAME

if TYPE_CHECKING:
    from .._client import AsyncKinovi
    from .._downloads import SaveOptions
    from .._ledger import JobRow
    from ._lines import Batch, InputLine
    from ._options import RunOptions

AT_ONCE = 4
"""Files fetched at the same time: a line is full with a few streams."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of fetching one job's files."""

    files: tuple[str, ...]
    """Relative to the output directory, with forward slashes."""
    error: str | None = None
    disk_full: bool = False
    """Whether the error is that the disk has no room."""


class Fetcher:
    """Fetches files into the `media` folder of an output directory."""

    def __init__(
        self,
        client: AsyncKinovi,
        out: Path,
        *,
        template: str,
        tags: Collection[str] = (),
        saving: SaveOptions,
    ) -> None:
        self._client = client
        self._saving = saving
        self._gate = anyio.Semaphore(AT_ONCE)
        self._cleaned = False
        self._out = out
        self._template = template
        # A job without one of the tags has an empty text in its place.
        self._blank = dict.fromkeys(tags, "")
        self._suffixes: dict[str, str] = {}

    @property
    def in_progress(self) -> int:
        """Files that are being fetched."""
        return AT_ONCE - self._gate.value

    @property
    def fetched_bytes(self) -> int:
        """Bytes that came so far, those of unfinished files included."""
        return 0 if self._saving.quota is None else self._saving.quota.taken

    def name_jobs(self, jobs: Mapping[str, Mapping[str, str]]) -> None:
        """Finds the jobs whose names would meet, from their keys and fields."""
        from .._downloads import collision_suffixes, file_name

        names = {
            key: file_name(
                self._template,
                fields={**self._blank, "task_id": key, **fields, "n": "1", "ext": ""},
            )
            for key, fields in jobs.items()
        }
        suffixes = collision_suffixes(names)
        self._suffixes = {key: suffix for key, suffix in suffixes.items() if suffix}

    async def fetch(self, row: JobRow, line: InputLine | None) -> Fetched:
        """Saves what is missing of a succeeded job's files; never raises for a file.

        An address that has ended is asked for once more in the task's record.
        """
        from .._downloads import fetch_outputs
        from .._record_parsing import parse_record

        if row.record is None:
            return Fetched(())
        media = self._out / MEDIA_NAME
        if media.is_symlink():
            return Fetched(row.files, f"{MEDIA_NAME} is a link, and nothing is saved through one")
        await self._clean()
        client = self._client
        found = await fetch_outputs(
            client._transport,  # noqa: SLF001 - one package
            parse_record(row.record, task_id=row.task_id),
            media,
            allow_private=client._is_loopback,  # noqa: SLF001 - as above
            template=self._template,
            fields={**self._blank, **job_fields(row, line)},
            suffix=self._suffixes.get(row.key, ""),
            options=self._saving,
            ask_again=client.get_task if row.task_id is not None else None,
            gate=self._gate,
        )
        errors = [each for each in found if isinstance(each, DownloadError)]
        files = [
            each.path.relative_to(self._out).as_posix()
            for each in found
            if not isinstance(each, DownloadError)
        ]
        if errors:
            # Those of an earlier run are there, whatever became of their addresses.
            files = [*(name for name in row.files if (self._out / name).is_file()), *files]
        return Fetched(
            tuple(dict.fromkeys(files)),
            errors[0].message if errors else None,
            disk_full=any(error.disk_full for error in errors),
        )

    async def _clean(self) -> None:
        """Removes, once, what nobody will finish any more."""
        from .._downloads import remove_old_leftovers

        if not self._cleaned:
            self._cleaned = True
            await anyio.to_thread.run_sync(remove_old_leftovers, self._out / MEDIA_NAME)


async def fetch_rows(
    fetcher: Fetcher,
    rows: Iterable[JobRow],
    done: Callable[[JobRow, Fetched], Awaitable[None]],
) -> bool:
    """Fetches what is missing of many jobs, a few at a time.

    Returns:
        False when the disk is full: the rest was not tried.
    """
    left = iter(rows)
    room = True

    async def work() -> None:
        nonlocal room
        for row in left:
            fetched = await fetcher.fetch(row, None)
            await done(row, fetched)
            room = room and not fetched.disk_full
            if not room:
                return

    async with anyio.create_task_group() as group:
        for _ in range(AT_ONCE):
            group.start_soon(work)
    return room


def saving_of(options: RunOptions, base: SaveOptions | None = None) -> SaveOptions:
    """How the files of a run are saved."""
    from .._downloads import Quota, SaveOptions

    saving = replace(base or SaveOptions(), quota=Quota(options.max_total_size))
    return replace(saving, max_bytes=options.max_file_size) if options.max_file_size else saving


def run_fetcher(
    client: AsyncKinovi,
    options: RunOptions,
    batch: Batch,
    rows: Mapping[str, JobRow],
    saving: SaveOptions | None = None,
) -> Fetcher | None:
    """The fetcher of a run, which knows all jobs of its directory; None for --no-download."""
    if not options.download:
        return None
    tags = batch.tag_names | set(options.tags)
    fetcher = Fetcher(
        client,
        options.out,
        template=options.name_template,
        tags=tags,
        saving=saving_of(options, saving),
    )
    jobs = {key: job_fields(row, None) for key, row in rows.items()}
    for line in batch.lines:
        model = str(line.body["model"])
        jobs[line.key] = template_fields(line.key, model, line.number, line.tags)
    fetcher.name_jobs(jobs)
    return fetcher


def job_fields(row: JobRow, line: InputLine | None) -> dict[str, str]:
    """The template's fields of a job, beside `n` and `ext`; its tags come first."""
    known = row.meta.get("tags")
    tags: Mapping[str, object] = line.tags if line else known if isinstance(known, Mapping) else {}
    number = line.number if line else row.meta.get("line")
    fields = template_fields(row.key, str(row.body.get("model", "")), number, tags)
    return {**fields, "task_id": row.task_id} if row.task_id else fields


def template_fields(
    key: str, model: str, number: object, tags: Mapping[str, object]
) -> dict[str, str]:
    """The fields of a job that are known before it is submitted."""
    return {
        **{str(name): str(value) for name, value in tags.items()},
        "id": key,
        "model": model,
        "line": "" if number is None else str(number),
    }
