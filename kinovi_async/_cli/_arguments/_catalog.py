"""`kinovi models` and `kinovi schema`: what can be asked for, read and not sent."""

from __future__ import annotations

from typing import Annotated

import typer

from .._parameters import Generation
from ._ends import show


def models(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]")] = None,
    api_generation: Generation = "seed",
) -> None:
    """List the models, or the fields, ranges and price of one."""
    from .._models import model_lines
    from .._options import parse_generation

    show(model_lines(model, parse_generation(api_generation)))


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
    """Print JSON Schema of a line of a batch file.

    With it, an editor completes and checks the lines.
    """
    from .._models import schema_text
    from .._options import parse_generation

    chosen = None if api_generation is None else parse_generation(api_generation)
    show([schema_text(model, chosen)])
