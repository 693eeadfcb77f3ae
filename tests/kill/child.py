"""The `kinovi` command in a process that ends, stops or waits at a chosen moment.

    child.py ACTION POINT PASSAGE TRACE ARGUMENTS...

At the PASSAGE-th time that POINT is passed (`*`: any point, counted together), it does
ACTION: `kill` sends itself SIGKILL, `stop` SIGSTOP, `wait` says so on standard output and
goes on when a line comes; `none` never does anything. Every point passed is written to
TRACE first, which therefore ends with the moment that was met.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import Counter

from kinovi_async import _crash_points


class Moment:
    """The hook: counts passages, and acts at one of them."""

    def __init__(self, action: str, name: str, passage: int, trace: str) -> None:
        self._action = action
        self._name = name
        self._passage = passage
        self._trace = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._counts: Counter[str] = Counter()
        # Points are passed in the ledger's thread and in those that write files too.
        self._lock = threading.Lock()

    def __call__(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1
            self._counts["*"] += 1
            os.write(self._trace, f"{name}\n".encode())
            if self._name in {name, "*"} and self._counts[self._name] == self._passage:
                self._act()

    def _act(self) -> None:
        if self._action == "wait":
            sys.stdout.write("waiting\n")
            sys.stdout.flush()
            sys.stdin.readline()
        elif self._action in {"kill", "stop"}:
            os.kill(os.getpid(), signal.SIGKILL if self._action == "kill" else signal.SIGSTOP)


def main() -> None:
    """Sets the hook, then becomes the command."""
    action, name, passage, trace, *arguments = sys.argv[1:]
    _crash_points.install(Moment(action, name, int(passage), trace))
    sys.argv[1:] = arguments
    from kinovi_async._cli import main as kinovi

    kinovi()


if __name__ == "__main__":
    main()
