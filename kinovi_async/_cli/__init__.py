"""The `kinovi` command. It needs the extra `cli`; everything else works without it."""

from __future__ import annotations

import os
import sys

__all__ = ["main"]

MISSING_EXTRA = "kinovi: the command needs two more packages: pip install 'kinovi-async[cli]'"
_USAGE = 2
_INTERRUPTED = 130


def main() -> None:
    """The entry point of the `kinovi` script; ends the process with the exit code."""
    _fill_closed_streams()
    try:
        import rich
        import typer

        del rich, typer
        from ._entry import run_app

        code = run_app(sys.argv[1:])
    except ModuleNotFoundError as error:
        if error.name not in {"rich", "typer", "click"}:
            raise
        sys.stderr.write(MISSING_EXTRA + "\n")
        raise SystemExit(_USAGE) from None
    except KeyboardInterrupt:  # while all this was being loaded
        sys.stderr.write("kinovi: interrupted\n")
        raise SystemExit(_INTERRUPTED) from None
    raise SystemExit(code)


def _fill_closed_streams() -> None:
    """Points the standard streams that the process was started without at nothing.

    What is written to them is lost then, and no file that is opened later, the ledger for
    one, gets the number of one of them.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # It stays open, as a standard stream does.
            nothing = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(nothing, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - as above
