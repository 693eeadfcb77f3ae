"""`kinovi run` and `kinovi check`: a file of requests in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .._options import DEFAULT_TEMPLATE
from .._parameters import (
    AsJson,
    AssumeCost,
    Budget,
    File,
    First,
    Generation,
    HoldOn500,
    IdColumn,
    MaxFileSize,
    MaxInFlight,
    MaxTotalSize,
    MaxWait,
    Model,
    NoDownload,
    Out,
    PollInterval,
    Quiet,
    Rerun,
    RetryFailed,
    Simulate,
    StopAfter,
    Tags,
    Template,
)
from ._ends import end


def run(  # noqa: PLR0917 - typer reads options off positional parameters
    file: File,
    out: Out,
    max_in_flight: MaxInFlight = None,
    poll_interval: PollInterval = None,
    budget: Budget = None,
    assume_cost: AssumeCost = None,
    max_wait: MaxWait = None,
    first: First = None,
    rerun: Rerun = None,
    retry_failed: RetryFailed = 0,
    stop_after_failures: StopAfter = None,
    model: Model = None,
    id_column: IdColumn = None,
    tags: Tags = None,
    name_template: Template = DEFAULT_TEMPLATE,
    no_download: NoDownload = False,
    max_file_size: MaxFileSize = None,
    max_total_size: MaxTotalSize = None,
    hold_on_500: HoldOn500 = False,
    api_generation: Generation = "seed",
    simulate: Simulate = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check, plan and price; send nothing.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Generate everything in FILE. The same command again resumes.

    Exit code: 0 all succeeded, 1 some failed or lack a file, 2 bad usage or input, 3 some
    are ambiguous, 4 stopped by account, budget or failures, 130 interrupted.
    """
    from .._commands import run_command
    from .._options import (
        RunOptions,
        parse_credits,
        parse_generation,
        parse_interval,
        parse_size,
        parse_statuses,
        positive,
        split_list,
        with_extension,
    )

    positive(max_wait, "--max-wait")
    options = RunOptions(
        file=file,
        out=out,
        max_in_flight=max_in_flight,
        poll_interval=parse_interval(poll_interval),
        budget=parse_credits(budget, "--budget"),
        assume_cost=parse_credits(assume_cost, "--assume-cost"),
        max_wait=max_wait,
        first=first,
        rerun=parse_statuses(rerun),
        retry_failed=retry_failed,
        stop_after_failures=stop_after_failures,
        model=model,
        id_column=id_column,
        tags=split_list(tags),
        name_template=with_extension(name_template),
        download=not no_download,
        max_file_size=parse_size(max_file_size, "--max-file-size"),
        max_total_size=parse_size(max_total_size, "--max-total-size"),
        hold_on_500=hold_on_500,
        api_generation=parse_generation(api_generation),
        simulate=simulate,
        dry_run=dry_run,
        as_json=as_json,
        quiet=quiet,
    )
    end(run_command(options))


def check(  # noqa: PLR0917 - typer reads options off positional parameters
    file: File,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="OUT",
            help="Compare with this output directory: new, done, changed, gone.",
        ),
    ] = None,
    model: Model = None,
    id_column: IdColumn = None,
    tags: Tags = None,
    first: First = None,
    budget: Budget = None,
    assume_cost: AssumeCost = None,
    rerun: Rerun = None,
    api_generation: Generation = "seed",
    as_json: AsJson = False,
) -> None:
    """Check FILE, count and price it. Sends nothing, needs no key."""
    from .._commands import check_command
    from .._options import (
        RunOptions,
        parse_credits,
        parse_generation,
        parse_statuses,
        split_list,
    )

    options = RunOptions(
        file=file,
        out=out if out is not None else Path(),
        model=model,
        id_column=id_column,
        tags=split_list(tags),
        first=first,
        budget=parse_credits(budget, "--budget"),
        assume_cost=parse_credits(assume_cost, "--assume-cost"),
        rerun=parse_statuses(rerun),
        api_generation=parse_generation(api_generation),
        as_json=as_json,
    )
    end(check_command(options, compare=out is not None))
