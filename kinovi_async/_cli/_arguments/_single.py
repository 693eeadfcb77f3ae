"""`kinovi generate` and `kinovi task`: one thing at a time, without a ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .._parameters import FilesOut, Generation, MaxWait, NoDownload, Quiet, Simulate
from ._ends import end


def generate(  # noqa: PLR0917 - typer reads options off positional parameters
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
    from .._commands import generate_command
    from .._options import RunOptions, parse_generation, positive

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
    end(generate_command(model, prompt, settings or [], options))


def task(
    task_id: Annotated[str, typer.Argument(metavar="TASK_ID")],
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it has ended.")] = False,
    max_wait: MaxWait = None,
    out: FilesOut = None,
) -> None:
    """Print a task's record as JSON; with -o, save its files too."""
    from .._commands import task_command
    from .._options import RunOptions, positive

    positive(max_wait, "--max-wait")
    options = RunOptions(file="", out=out or Path(), has_out=out is not None, max_wait=max_wait)
    end(task_command(task_id, options, wait=wait))
