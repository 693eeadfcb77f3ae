"""`kinovi simulator` and `kinovi worker`: processes that run until they are stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .._parameters import (
    AsJson,
    AssumeCost,
    Generation,
    HoldOn500,
    MaxInFlight,
    PollInterval,
    Quiet,
)
from ._ends import end


def simulator(  # noqa: PLR0917 - typer reads options off positional parameters
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
    from .._options import parse_generation
    from .._simulate import serve_command

    chosen = None if api_generation is None else parse_generation(api_generation)
    end(
        serve_command(
            port=port,
            limit=limit,
            speed=speed,
            faults=fault or [],
            seed=seed,
            api_generation=chosen,
        )
    )


def worker(  # noqa: PLR0917 - typer reads options off positional parameters
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
    hold_on_500: HoldOn500 = False,
    api_generation: Generation = "seed",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run the jobs that other processes enter into LEDGER.

    Until Ctrl-C or SIGTERM, it takes up everything unfinished and waits for more. Several may be started: one runs, the
    others stand by. What runs when it ends is left to the next one, and paid once.
    """
    from .._options import parse_credits, parse_generation, parse_interval
    from .._worker import WorkerOptions, worker_command

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
    end(worker_command(options))
