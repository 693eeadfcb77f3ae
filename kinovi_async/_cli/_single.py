"""`kinovi generate`, `kinovi task` and `kinovi download`: one thing at a time."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from .._errors import (
    APIConnectionError,
    BadRequestError,
    ConfigurationError,
    DownloadError,
    KinoviError,
    LedgerInUseError,
    NotFoundError,
    WaitTimeoutError,
)
from .._records import TaskStatus
from ._books import MEDIA_NAME, all_rows, lacks_files, open_book, results
from ._csv import INPUT_PREFIX, typed
from ._exits import ExitCode
from ._fetch import Fetched, Fetcher, fetch_rows, job_fields, saving_of
from ._full_disk import DISK_FULL
from ._options import with_extension
from ._results import ResultsFile
from ._session import check_account, client_for, is_simulated, open_account, remembered_template
from ._summary import address_hint
from ._text import counted, in_money, visible
from ._unclear import quoted

if TYPE_CHECKING:
    from .._ledger import JobRow
    from ._options import RunOptions
    from ._reporters import Reporter
    from ._vocabulary import Vocabulary


def request_body(
    model: str, prompt: str | None, settings: Iterable[str], vocabulary: Vocabulary
) -> dict[str, object]:
    """The API body that `generate`'s options mean.

    Raises:
        ConfigurationError: a setting without `=`, or given twice.
        InvalidRequestError: the model has no such field.
    """
    inputs: dict[str, object] = {} if prompt is None else {"prompt": prompt}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name.strip():
            raise ConfigurationError(f"--set is FIELD=VALUE, not '{visible(setting)}'")
        wire = vocabulary.wire_name(name.removeprefix(INPUT_PREFIX)) or name.strip()
        if wire in inputs:
            raise ConfigurationError(f"the field {visible(wire)} is given twice")
        inputs[wire] = typed(text, vocabulary.kind(model, wire))
    return dict(vocabulary.local({"model": model, "inputs": inputs}, Path()))


async def generate(
    body: Mapping[str, object], options: RunOptions, vocabulary: Vocabulary, reporter: Reporter
) -> ExitCode:
    """Generates one thing, prints its addresses, saves its files.

    Raises:
        KinoviError: whatever kept it from succeeding.
    """
    request = vocabulary.check(body)
    cost = vocabulary.cost(request)
    price = "price unknown" if cost is None else in_money(cost)
    reporter.tell(f"{request.model}: {price}; Ctrl-C before it is accepted costs nothing")
    async with (
        open_account(
            simulate=options.simulate, out=options.out if options.has_out else None
        ) as account,
        client_for(options, account) as client,
    ):
        try:
            record = await client.generate(request, max_wait=options.max_wait)
        except WaitTimeoutError as error:
            if error.task_id is not None:
                reporter.warn(left_sentence(error.task_id, options))
            raise
        except (APIConnectionError, NotFoundError) as error:
            if error.task_id is None:  # else it was there once, and took the task
                reporter.warn(address_hint(error, client._base_url))  # noqa: SLF001 - one package
            raise
        for url in record.urls:
            reporter.summary(url)
        if options.download:
            try:
                for path in await client.download(record, options.out):
                    reporter.summary(str(path))
            except DownloadError:
                if not options.simulate:
                    reporter.warn(f"to fetch the files again: {fetching(record.task_id, options)}")
                raise
    return ExitCode.OK


def fetching(task_id: str, options: RunOptions) -> str:
    """The command that fetches the files of a task."""
    out = options.out if options.has_out else "."
    return f"kinovi task {visible(task_id)} -o {quoted(out)}"


def left_sentence(task_id: str, options: RunOptions) -> str:
    """What to do about a task that `generate` no longer waits for."""
    if options.simulate:
        return f"task {task_id} is left; it was only simulated"
    out = f" -o {shlex.quote(str(options.out))}" if options.has_out else ""
    return (
        f"task {task_id} runs on and is paid for; to go on waiting: "
        f"kinovi task {task_id} --wait{out}"
    )


async def show_task(
    task_id: str, options: RunOptions, reporter: Reporter, *, wait: bool
) -> ExitCode:
    """Prints a task's record as JSON; with `wait`, once it has ended.

    With an output directory, the files of a task that succeeded are saved there.

    Raises:
        KinoviError: it could not be fetched, or `max_wait` passed.
    """
    async with (
        open_account(simulate=False, out=options.out) as account,
        client_for(options, account) as client,
    ):
        try:
            if wait:
                record = await client.wait(task_id, max_wait=options.max_wait)
            else:
                record = await client.get_task(task_id)
        except (NotFoundError, BadRequestError) as error:
            raise KinoviError(f"task {task_id}: {error.message}", task_id=task_id) from error
        except APIConnectionError as error:
            reporter.warn(address_hint(error, client._base_url))  # noqa: SLF001 - one package
            raise
        reporter.summary(json.dumps(record.raw, ensure_ascii=True, indent=2, default=str))
        if options.has_out and record.status is TaskStatus.SUCCESS:
            for path in await client.download(record, options.out):
                reporter.tell(f"saved {path}")
        elif options.has_out and record.status is not TaskStatus.FAIL:
            reporter.warn(f"task {task_id} has not ended: nothing to save yet (--wait waits)")
    return ExitCode.FAILED if record.status is TaskStatus.FAIL else ExitCode.OK


async def download(options: RunOptions, reporter: Reporter, *, template: str | None) -> ExitCode:
    """Fetches what is missing of the files of an output directory's succeeded jobs.

    Raises:
        ConfigurationError: no output directory there, no key, or a wrong template.
    """
    from .._downloads import check_template

    out = options.out
    failed = saved = 0
    async with open_book(out) as ledger:
        rows = await all_rows(ledger)
        missing = [row for row in rows.values() if lacks_files(row, out)]
        simulated = await is_simulated(ledger)
        if not simulated:
            check_account(may_simulate=False)
        template = with_extension(template) if template else await remembered_template(ledger)
        template = template or options.name_template
        fields = {key: job_fields(row, None) for key, row in rows.items()}
        tags = {name for each in fields.values() for name in each}
        check_template(template, tags)
        async with (
            open_account(simulate=simulated, out=out) as account,
            client_for(options, account) as client,
        ):
            fetcher = Fetcher(client, out, template=template, tags=tags, saving=saving_of(options))
            fetcher.name_jobs(fields)

            async def fetched_one(row: JobRow, fetched: Fetched) -> None:
                nonlocal failed, saved
                await ledger.set_files(row.key, fetched.files, download_error=fetched.error)
                saved += len(fetched.files)
                if fetched.error is not None:
                    failed += 1
                    reporter.warn(f"{row.key}: {fetched.error}")

            if not await fetch_rows(fetcher, missing, fetched_one):
                reporter.warn(f"stopped: {DISK_FULL}; make room, then run the same command again")
        with contextlib.suppress(LedgerInUseError):  # who runs it writes the file at its end
            await ledger.acquire_lease("download", f"kinovi download, pid {os.getpid()}")
            ResultsFile(out).rewrite(results(await all_rows(ledger), {}))
    reporter.summary(f"{counted(saved, 'file')} saved in {visible(str(out / MEDIA_NAME))}")
    return ExitCode.FAILED if failed else ExitCode.OK
