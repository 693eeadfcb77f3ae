"""From the arguments to the exit code: whatever happens, one sentence and a number."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence

from .._errors import KinoviError
from ._arguments._ends import discard
from ._exits import ExitCode, exit_code_of_error
from ._reporters import write_line
from ._text import visible


def run_app(arguments: Sequence[str]) -> int:
    """Runs the command line and answers the exit code."""
    code = _run(arguments)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # the terminal is gone; the code is still worth telling
            discard(stream)
    return code


def _run(arguments: Sequence[str]) -> int:
    from ._app import app
    from ._resolve_options import RESOLVE

    words = RESOLVE.split()
    if list(arguments[: len(words)]) == words:
        # An output directory of that name is still there as ./resolve.
        arguments = [RESOLVE, *arguments[len(words) :]]

    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets an escape, never a traceback.
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        app(args=list(arguments), prog_name="kinovi")
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else ExitCode.USAGE
    except (KinoviError, OSError) as error:
        return _told(error)
    except KeyboardInterrupt:
        write_line("kinovi: interrupted", sys.stderr)
        return ExitCode.INTERRUPTED
    except BaseExceptionGroup as group:
        errors = [each for each in _leaves(group) if isinstance(each, KinoviError)]
        if len(errors) != len(_leaves(group)):
            raise
        return _told(errors[0])
    return ExitCode.OK


def _told(error: Exception) -> int:
    lines = str(error).splitlines() or [type(error).__name__]
    for line in lines:
        write_line(f"kinovi: {visible(line)}", sys.stderr)
    return exit_code_of_error(error) if isinstance(error, KinoviError) else ExitCode.FAILED


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for each in group.exceptions:
        found += _leaves(each) if isinstance(each, BaseExceptionGroup) else [each]
    return found
