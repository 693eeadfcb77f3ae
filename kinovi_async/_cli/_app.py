"""The commands and their options. What they do stands in the modules they call.

Imports of the library wait until a command needs them, so that `--help` is there at once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from ._options import DEFAULT_TEMPLATE
from ._parameters import (
    AsJson,
    AssumeCost,
    Budget,
    File,
    FilesOut,
    First,
    Generation,
    IdColumn,
    MaxFileSize,
    MaxInFlight,
    MaxTotalSize,
    MaxWait,
    Model,
    NoDownload,
    Out,
    OutArgument,
    PollInterval,
    Quiet,
    Rerun,
    Simulate,
    StopAfter,
    Tags,
    Template,
)
from ._resolve_options import RESOLVE, resolve

app = typer.Typer(
    name="kinovi",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)


@app.command()
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
    stop_after_failures: StopAfter = None,
    model: Model = None,
    id_column: IdColumn = None,
    tags: Tags = None,
    name_template: Template = DEFAULT_TEMPLATE,
    no_download: NoDownload = False,
    max_file_size: MaxFileSize = None,
    max_total_size: MaxTotalSize = None,
    hold_on_500: Annotated[
        bool,
        typer.Option(
            "--hold-on-500", help="Never send again after a 500; the job becomes ambiguous."
        ),
    ] = False,
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
    from ._commands import run_command
    from ._options import (
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
    _end(run_command(options))


@app.command()
def check(  # noqa: PLR0917 - as above
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
    from ._commands import check_command
    from ._options import (
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
    _end(check_command(options, compare=out is not None))


@app.command()
def generate(  # noqa: PLR0917 - as above
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="For example nanobanana2; see `kinovi models`.")
    ],
    prompt: Annotated[str | None, typer.Option("-p", "--prompt", help="What to generate.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="Another field, e.g. --set duration=8. Lists are separated by |. Repeatable.",
        ),
    ] = None,
    out: FilesOut = None,
    max_wait: MaxWait = None,
    no_download: NoDownload = False,
    api_generation: Generation = "seed",
    simulate: Simulate = False,
    quiet: Quiet = False,
) -> None:
    """Generate one thing and save its files."""
    from ._commands import generate_command
    from ._options import RunOptions, parse_generation, positive

    positive(max_wait, "--max-wait")
    options = RunOptions(
        file="",
        out=out or Path(),
        has_out=out is not None,
        max_wait=max_wait,
        download=not no_download,
        api_generation=parse_generation(api_generation),
        simulate=simulate,
        quiet=quiet,
    )
    _end(generate_command(model, prompt, settings or [], options))


@app.command()
def task(
    task_id: Annotated[str, typer.Argument(metavar="TASK_ID")],
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it has ended.")] = False,
    max_wait: MaxWait = None,
    out: FilesOut = None,
) -> None:
    """Print a task's record as JSON; with -o, save its files too."""
    from ._commands import task_command
    from ._options import RunOptions, positive

    positive(max_wait, "--max-wait")
    options = RunOptions(file="", out=out or Path(), has_out=out is not None, max_wait=max_wait)
    _end(task_command(task_id, options, wait=wait))


@app.command()
def jobs(
    out: OutArgument,
    status: Annotated[
        str | None, typer.Option(metavar="STATUSES", help="Only these, e.g. failed,ambiguous.")
    ] = None,
    format_name: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="table|csv|jsonl",
            help="csv is a batch file again, with status and error: mend it and run it.",
        ),
    ] = "table",
) -> None:
    """List the jobs of an output directory, also while a run works in it.

    Ambiguous ones may have been paid for: `kinovi jobs resolve` settles them.
    """
    from ._jobs import hints, job_lines, job_rows
    from ._vocabulary import kinovi_vocabulary

    rows = job_rows(out, status=status)
    _print(job_lines(rows, format_name=format_name, vocabulary=kinovi_vocabulary()))
    for line in hints(rows, out, format_name=format_name):
        sys.stderr.write(line + "\n")


app.command(RESOLVE)(resolve)


@app.command()
def download(
    out: OutArgument,
    name_template: Annotated[
        str | None, typer.Option(metavar="TEMPLATE", help="File names. Default: as the run had it.")
    ] = None,
    max_file_size: MaxFileSize = None,
    max_total_size: MaxTotalSize = None,
    quiet: Quiet = False,
) -> None:
    """Fetch the files that are missing in an output directory.

    Generates nothing and pays for nothing. What was half fetched is gone on with.
    """
    from ._commands import download_command
    from ._options import RunOptions, parse_size

    options = RunOptions(
        file="",
        out=out,
        max_file_size=parse_size(max_file_size, "--max-file-size"),
        max_total_size=parse_size(max_total_size, "--max-total-size"),
        quiet=quiet,
    )
    _end(download_command(options, template=name_template))


@app.command()
def report(out: OutArgument) -> None:
    """Write OUT/report.html, also while a run works in it."""
    import anyio

    from ._report import report_on
    from ._text import visible

    _print([visible(str(anyio.run(report_on, out)))])


@app.command()
def export(  # noqa: PLR0917 - as above
    out: OutArgument,
    dest: Annotated[
        Path, typer.Argument(metavar="DEST", help="Where the copies go; made when it is missing.")
    ],
    picks: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Only the picks saved by the report, picks.json."),
    ] = None,
    name_template: Annotated[
        str | None,
        typer.Option(
            metavar="TEMPLATE",
            help="File names, as in `kinovi run`. Default: the names they have.",
        ),
    ] = None,
    costs: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a CSV of what each job cost, all jobs of OUT."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Copy files for delivery. Overwrites nothing; names that collide are refused first."""
    from ._export import export_command

    _end(
        export_command(
            out, dest, picks=picks, name_template=name_template, costs=costs, quiet=quiet
        )
    )


@app.command()
def models(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]")] = None,
    api_generation: Generation = "seed",
) -> None:
    """List the described models, or the fields, ranges and price of one."""
    from ._models import model_lines
    from ._options import parse_generation

    _print(model_lines(model, parse_generation(api_generation)))


@app.command()
def schema(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]")] = None,
    api_generation: Annotated[
        str | None,
        typer.Option(
            "--api-generation",
            metavar="seed|2026-09",
            help="Take the names and ranges of this one alone. Default: of both.",
        ),
    ] = None,
) -> None:
    """Print JSON Schema of a line of a batch file, with which an editor completes and checks it."""
    from ._models import schema_text
    from ._options import parse_generation

    chosen = None if api_generation is None else parse_generation(api_generation)
    _print([schema_text(model, chosen)])


@app.command()
def simulator(  # noqa: PLR0917 - as above
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8765,
    limit: Annotated[int, typer.Option(min=0, help="Tasks an account may run at a time.")] = 5,
    speed: Annotated[float, typer.Option(help="Times real time.")] = 1.0,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=RATE", help="A fault and how often, e.g. lost-answer=0.05. Repeatable."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed, the same luck.")] = 0,
    api_generation: Annotated[
        str | None,
        typer.Option(
            "--api-generation",
            metavar="seed|2026-09",
            help="Whose names and prices it has. Default: those of each request.",
        ),
    ] = None,
) -> None:
    """Run the simulated API on this machine until Ctrl-C."""
    from ._options import parse_generation
    from ._simulate import serve_command

    chosen = None if api_generation is None else parse_generation(api_generation)
    _end(
        serve_command(
            port=port,
            limit=limit,
            speed=speed,
            faults=fault or [],
            seed=seed,
            api_generation=chosen,
        )
    )


@app.command()
def worker(  # noqa: PLR0917 - as above
    ledger: Annotated[
        Path,
        typer.Argument(metavar="LEDGER", help="The ledger's file; made when it is missing."),
    ],
    max_in_flight: MaxInFlight = None,
    poll_interval: PollInterval = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="CREDITS", help="Stop before the jobs of LEDGER cost more than this together."
        ),
    ] = None,
    assume_cost: AssumeCost = None,
    hold_on_500: Annotated[
        bool,
        typer.Option(
            "--hold-on-500", help="Never send again after a 500; the job becomes ambiguous."
        ),
    ] = False,
    api_generation: Generation = "seed",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run the jobs that other processes enter into LEDGER, until Ctrl-C or SIGTERM.

    Takes up everything unfinished and waits for more. Several may be started: one runs, the
    others stand by. What runs when it ends is left to the next one, and paid once.
    """
    from ._options import parse_credits, parse_generation, parse_interval
    from ._worker import WorkerOptions, worker_command

    options = WorkerOptions(
        ledger=ledger,
        max_in_flight=max_in_flight,
        poll_interval=parse_interval(poll_interval),
        budget=parse_credits(budget, "--budget"),
        assume_cost=parse_credits(assume_cost, "--assume-cost"),
        hold_on_500=hold_on_500,
        api_generation=parse_generation(api_generation),
        as_json=as_json,
        quiet=quiet,
    )
    _end(worker_command(options))


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True)
    ] = False,
) -> None:
    """Generate images and videos with the Kinovi API.

    Whole batches, every slot in use, nothing paid twice, resumable after anything.
    The API key comes from the environment variable KINOVI_API_KEY.
    """
    if show:
        from .._version import __version__

        _print([f"kinovi {__version__}"])
        raise typer.Exit


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _end(code: int) -> None:
    raise typer.Exit(int(code))
