"""`kinovi report`: writes the report on an output directory, also while a run works in it."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

from .._books import LEDGER_NAME, all_rows, open_book
from .._session import is_simulated
from ._page import check_extra
from ._writer import write_report


async def report_on(out: Path) -> Path:
    """Writes `report.html`; answers its path.

    Raises:
        ConfigurationError: no output directory there, or jinja2 is not installed.
        LedgerError: the ledger cannot be read.
        OSError: the page cannot be written.
    """
    check_extra()
    async with open_book(out) as ledger:
        rows = list((await all_rows(ledger)).values())
        simulated = await is_simulated(ledger)
    return write_report(out, rows, live=is_live(out), simulated=simulated)


def is_live(out: Path) -> bool:
    """Whether a run seems to work in a directory: by what the holder of its lease left.

    A hint for people: taking the lease to be sure would keep a starting run out.
    """
    try:
        text = (out / f"{LEDGER_NAME}.lock").read_text("utf-8")
        holder = json.loads(text)
        pid, host = int(holder["pid"]), str(holder["host"])
    except (OSError, ValueError, LookupError, TypeError, OverflowError):
        return False
    if host != socket.gethostname():
        return True
    return _is_alive(pid)


def _is_alive(pid: int) -> bool:
    if sys.platform == "win32":  # a signal there ends the process
        return True
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True
