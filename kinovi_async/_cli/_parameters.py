"""The parameters that several commands share, with their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

File = Annotated[
    str,
    typer.Argument(
        metavar="FILE", help="A .jsonl or .csv file, or - for JSON lines on standard input."
    ),
]
OutArgument = Annotated[Path, typer.Argument(metavar="OUT", help="The output directory of a run.")]
Out = Annotated[
    Path,
    typer.Option("-o", "--out", metavar="OUT", help="The output directory; the same one resumes."),
]
FilesOut = Annotated[
    Path | None, typer.Option("-o", "--out", metavar="DIR", help="Where the files go.")
]
MaxInFlight = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Run at most so many tasks at a time. Default: all slots the account has, learned.",
    ),
]
PollInterval = Annotated[
    str | None,
    typer.Option(
        metavar="LOW,HIGH",
        help="Seconds between two looks at a task. Default: 3,5, as the API asks.",
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(
        metavar="CREDITS", help="Stop before OUT costs more than this, over all its runs."
    ),
]
AssumeCost = Annotated[
    str | None,
    typer.Option(metavar="CREDITS", help="What to count for a request of unknown price."),
]
MaxWait = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="Wait so long for an accepted task. Default: by model, at least 15 minutes.",
    ),
]
First = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Only the first N requests of FILE.")
]
Rerun = Annotated[
    str | None, typer.Option(metavar="STATUSES", help="Run these again: failed,rejected.")
]
RetryFailed = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=0,
        help="Run a failed task again, up to N times, when the same request may well succeed "
        "(the service was busy, say). Failed tasks are refunded.",
    ),
]
StopAfter = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Stop after so many failed or rejected jobs.")
]
Model = Annotated[
    str | None, typer.Option(metavar="MODEL", help="The model of lines that name none.")
]
IdColumn = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="The CSV column that holds the ids. Default: id."),
]
Tags = Annotated[
    str | None,
    typer.Option(metavar="A,B", help="CSV columns to carry along into results and file names."),
]
Template = Annotated[
    str,
    typer.Option(
        metavar="TEMPLATE", help="File names; {id} {n} {ext} {model} {task_id} {line} and the tags."
    ),
]
Generation = Annotated[
    str,
    typer.Option(
        "--api-generation",
        metavar="seed|2026-09",
        help="Which names, types, ranges and prices the API has: those of its first published "
        "documents, or of September 2026.",
    ),
]
HoldOn500 = Annotated[
    bool,
    typer.Option("--hold-on-500", help="Never send again after a 500; the job becomes ambiguous."),
]
NoDownload = Annotated[bool, typer.Option("--no-download", help="Do not fetch the files.")]
MaxFileSize = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="Give up a file larger than that. Default: 2G."),
]
MaxTotalSize = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE", help="Fetch no more than that in this run, e.g. 50G. Default: no bound."
    ),
]
Simulate = Annotated[
    bool,
    typer.Option(
        "--simulate", help="Work with the bundled simulator: no key, no network, nothing paid."
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print events as JSON lines on standard output.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only what went wrong.")]
