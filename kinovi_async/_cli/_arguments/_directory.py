"""`kinovi jobs`, `download`, `report` and `export`: what an output directory holds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .._parameters import MaxFileSize, MaxTotalSize, OutArgument, Quiet
from ._ends import end, show


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
    """List the jobs of OUT, also while a run works in it.

    Ambiguous ones may have been paid for: `kinovi jobs resolve` settles them.
    """
    from .._jobs import hints, job_lines, job_rows
    from .._vocabulary import kinovi_vocabulary

    rows = job_rows(out, status=status)
    show(job_lines(rows, format_name=format_name, vocabulary=kinovi_vocabulary()))
    for line in hints(rows, out, format_name=format_name):
        sys.stderr.write(line + "\n")


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
    from .._commands import download_command
    from .._options import RunOptions, parse_size

    options = RunOptions(
        file="",
        out=out,
        max_file_size=parse_size(max_file_size, "--max-file-size"),
        max_total_size=parse_size(max_total_size, "--max-total-size"),
        quiet=quiet,
    )
    end(download_command(options, template=name_template))


def report(out: OutArgument) -> None:
    """Write OUT/report.html, also while a run works in it."""
    import anyio

    from .._report import report_on
    from .._text import visible

    show([visible(str(anyio.run(report_on, out)))])


def export(  # noqa: PLR0917 - typer reads options off positional parameters
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
    from .._export import export_command

    end(
        export_command(
            out, dest, picks=picks, name_template=name_template, costs=costs, quiet=quiet
        )
    )
