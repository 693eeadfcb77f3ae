"""The `kinovi` command as a whole: its name, its version and the list of its commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from ._arguments._batch import check, run
from ._arguments._catalog import models, schema
from ._arguments._directory import download, export, jobs, report
from ._arguments._ends import show
from ._arguments._servers import simulator, worker
from ._arguments._single import generate, task
from ._resolve_options import RESOLVE, resolve

app = typer.Typer(
    name="kinovi",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)
COMMANDS: dict[str, Callable[..., None]] = {
    "run": run,
    "check": check,
    "generate": generate,
    "task": task,
    "jobs": jobs,
    RESOLVE: resolve,
    "download": download,
    "report": report,
    "export": export,
    "models": models,
    "schema": schema,
    "simulator": simulator,
    "worker": worker,
}
"""In the order in which `--help` lists them."""
for _name, _command in COMMANDS.items():
    app.command(_name)(_command)


@app.callback(invoke_without_command=True)
def version(
    asked: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True)
    ] = False,
) -> None:
    """Generate images and videos with the Kinovi API.

    Whole batches, every slot in use, nothing paid twice, resumable after anything.
    The API key comes from the environment variable KINOVI_API_KEY.
    """
    if asked:
        from .._version import __version__

        show([f"kinovi {__version__}"])
        raise typer.Exit
