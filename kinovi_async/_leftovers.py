"""Temporary files of processes that died: told from those of living ones by their number.

A file that is written under another name and renamed when it is whole stays behind when
its process is killed in between. Its name holds the number of the process, so that
whoever comes next can tell that nobody will finish it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

__all__ = ["remove_leftovers"]


def remove_leftovers(beside: Path, prefix: str) -> None:
    """Removes the files called `prefix`, a process's number, and anything after a dot.

    Files of living processes stay, and all of them where nobody can ask (Windows). What
    cannot be removed stays too: such a file is in nobody's way.
    """
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):
        for path in beside.parent.iterdir():
            number = path.name.removeprefix(prefix).partition(".")[0]
            if path.name.startswith(prefix) and number.isdecimal() and not _lives(int(number)):
                path.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True
