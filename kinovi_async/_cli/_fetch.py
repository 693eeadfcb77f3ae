"""Result files of a run: fetched as jobs end, a few at a time, named by the template.

Fetching has its own bound and runs beside the generation. A file that cannot be fetched
costs nothing but itself: its job stays succeeded, and the next run tries again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .._errors import DownloadError, KinoviError
from ._books import MEDIA_NAME

if TYPE_CHECKING:
    from .._client import AsyncKinovi
    from .._ledger import JobRow
    from .._records import TaskRecord
    from ._lines import Batch, InputLine
    from ._options import RunOptions

AT_ONCE = 4
"""Jobs whose files are fetched at the same time: a line is full with a few streams."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of fetching one job's files."""

    files: tuple[str, ...]
    """Relative to the output directory, with forward slashes."""
    error: str | None = None


class Fetcher:
    """Fetches files into the `media` folder of an output directory."""

    def __init__(
        self, client: AsyncKinovi, out: Path, *, template: str, tags: Collection[str] = ()
    ) -> None:
        self._client = client
        self._out = out
        self._template = template
        # A job without one of the tags has an empty text in its place.
        self._blank = dict.fromkeys(tags, "")
        self._suffixes: dict[str, str] = {}

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
        """Saves what is missing of a succeeded job's files; never raises for a file."""
        from .._record_parsing import parse_record

        if row.record is None:
            return Fetched(())
        record = parse_record(row.record, task_id=row.task_id)
        fetched = await self._save(row, record, line)
        if fetched.error is None:
            return fetched
        # Addresses end; the task's record may name fresh ones.
        fresh = await self._fresh(row, record)
        return fetched if fresh is None else await self._save(row, fresh, line)

    async def _fresh(self, row: JobRow, record: TaskRecord) -> TaskRecord | None:
        if row.task_id is None:
            return None
        try:
            fresh = await self._client.get_task(row.task_id)
        except KinoviError:
            return None
        return fresh if fresh.urls and fresh.urls != record.urls else None

    async def _save(self, row: JobRow, record: TaskRecord, line: InputLine | None) -> Fetched:
        from .._downloads import save_output

        files: list[str] = []
        first: DownloadError | None = None
        for number in range(1, len(record.outputs) + 1):
            try:
                saved = await save_output(
                    self._client._transport,  # noqa: SLF001 - one package
                    record,
                    number,
                    self._out / MEDIA_NAME,
                    allow_private=self._client._is_loopback,  # noqa: SLF001 - as above
                    template=self._template,
                    fields={**self._blank, **job_fields(row, line)},
                    suffix=self._suffixes.get(row.key, ""),
                )
            except DownloadError as error:
                first = first or error
            else:
                files.append(saved.path.relative_to(self._out).as_posix())
        return Fetched(tuple(files), first.message if first else None)


def run_fetcher(
    client: AsyncKinovi, options: RunOptions, batch: Batch, rows: Mapping[str, JobRow]
) -> Fetcher | None:
    """The fetcher of a run, which knows all jobs of its directory; None for --no-download."""
    if not options.download:
        return None
    tags = batch.tag_names | set(options.tags)
    fetcher = Fetcher(client, options.out, template=options.name_template, tags=tags)
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
