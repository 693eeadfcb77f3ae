"""The options of `kinovi jobs resolve`; what it does stands in `_resolve`."""

from __future__ import annotations

from typing import Annotated

import typer

from ._arguments._ends import show
from ._parameters import OutArgument

RESOLVE = "jobs resolve"
"""One name of two words: `jobs` itself takes a directory, so it cannot be a group."""


def resolve(  # noqa: PLR0917 - typer reads options off positional parameters
    out: OutArgument,
    key: Annotated[
        str | None, typer.Argument(metavar="ID", help="The job, as `kinovi jobs OUT` names it.")
    ] = None,
    all_ambiguous: Annotated[
        bool, typer.Option("--all-ambiguous", help="Every ambiguous job, in place of an ID.")
    ] = False,
    task_id: Annotated[
        str | None,
        typer.Option(
            "--task-id",
            metavar="TASK_ID",
            help="The submission became this task: the next run waits for it, nothing is sent.",
        ),
    ] = None,
    not_created: Annotated[
        bool,
        typer.Option(
            "--not-created",
            help="The server made nothing of it, so nothing was paid: its credits are free "
            "again, and the next run sends it.",
        ),
    ] = False,
    resubmit: Annotated[
        bool,
        typer.Option(
            "--resubmit",
            help="Nobody knows: the next run sends it all the same. Should the first "
            "submission have been accepted, this one is paid a second time.",
        ),
    ] = False,
) -> None:
    """Settle a job that is ambiguous: say what became of it.

    Exactly one of --task-id, --not-created and --resubmit. It is kept in the ledger; the
    next `kinovi run` goes on from there.
    """
    from ._resolve import parse_settlement, resolve_lines

    settlement = parse_settlement(
        key,
        all_ambiguous=all_ambiguous,
        task_id=task_id,
        not_created=not_created,
        resubmit=resubmit,
    )
    show(resolve_lines(out, settlement))
