"""The `kinovi` command. It needs the extra `cli`; everything else works without it."""

from __future__ import annotations

import sys

__all__ = ["main"]

MISSING_EXTRA = "kinovi: the command needs two more packages: pip install 'kinovi-async[cli]'"
_USAGE = 2


def main() -> None:
    """The entry point of the `kinovi` script; ends the process with the exit code."""
    try:
        import rich
        import typer
    except ModuleNotFoundError as error:
        if error.name not in {"rich", "typer", "click"}:
            raise
        sys.stderr.write(MISSING_EXTRA + "\n")
        raise SystemExit(_USAGE) from None
    del rich, typer
    from ._entry import run_app

    raise SystemExit(run_app(sys.argv[1:]))
