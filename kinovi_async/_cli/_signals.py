"""Ctrl-C and its kin: the first signal stops a run in order, the second leaves at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import anyio

from ._exits import ExitCode
from ._reporters import Reporter


def stop_signals() -> tuple[signal.Signals, ...]:
    """The signals that stop a run."""
    hangup = getattr(signal, "SIGHUP", None)
    # Under `nohup` a closed terminal is to be ignored, and so it stays.
    if hangup is None or signal.getsignal(hangup) is signal.SIG_IGN:
        return signal.SIGINT, signal.SIGTERM
    return signal.SIGINT, signal.SIGTERM, hangup


async def watch_signals(
    interrupted: Callable[[], None], reporter: Reporter, scope: anyio.CancelScope
) -> None:
    """Waits for SIGINT, SIGTERM and, where there is one, SIGHUP until cancelled.

    The first calls `interrupted` and cancels the scope; the second ends the process
    here. Where signals cannot be received (Windows), Ctrl-C raises KeyboardInterrupt in
    the event loop as ever.
    """
    try:
        with anyio.open_signal_receiver(*stop_signals()) as signals:
            async for _ in signals:
                if scope.cancel_called:
                    reporter.stop()
                    # No clean-up can be waited for: the ledger is made for this.
                    os._exit(ExitCode.INTERRUPTED)
                interrupted()
                reporter.warn(
                    "stopping; a submission on the wire is waited for, at most 10 s "
                    "(once more: leave at once)"
                )
                scope.cancel()
    except NotImplementedError:
        return
