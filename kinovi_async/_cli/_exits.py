"""The exit codes of the command: one number that says what to do next."""

from __future__ import annotations

from collections.abc import Collection
from enum import IntEnum

from .._errors import (
    AmbiguousSubmissionError,
    AuthenticationError,
    BudgetExceededError,
    ConfigurationError,
    InsufficientCreditsError,
    InvalidRequestError,
    KinoviError,
    LedgerError,
    PermissionDeniedError,
)
from .._outcomes import OutcomeStatus


class ExitCode(IntEnum):
    """Where several apply, the highest is told."""

    OK = 0
    """All succeeded."""
    FAILED = 1
    """Some failed, were rejected, expired, or lack a file."""
    USAGE = 2
    """Bad usage or input, or no API key; nothing was sent."""
    AMBIGUOUS = 3
    """Some may or may not have been accepted, and paid."""
    STOPPED = 4
    """The account, the budget or a limit of failures stopped the run; it can be resumed."""
    INTERRUPTED = 130
    """A signal stopped the run; it can be resumed."""


def exit_code(
    statuses: Collection[OutcomeStatus | None],
    *,
    lacks_files: bool = False,
    stopped: bool = False,
    interrupted: bool = False,
) -> ExitCode:
    """The code for a run whose lines came to these statuses; None: never submitted."""
    code = ExitCode.OK
    if lacks_files or any(status is not OutcomeStatus.SUCCEEDED for status in statuses):
        code = ExitCode.FAILED
    if OutcomeStatus.AMBIGUOUS in statuses:
        code = ExitCode.AMBIGUOUS
    if stopped:
        code = ExitCode.STOPPED
    return ExitCode.INTERRUPTED if interrupted else code


def exit_code_of_error(error: KinoviError) -> ExitCode:
    """The code for a command that ended with an error."""
    if isinstance(error, ConfigurationError | InvalidRequestError | LedgerError):
        return ExitCode.USAGE
    if isinstance(error, AmbiguousSubmissionError):
        return ExitCode.AMBIGUOUS
    account = (
        AuthenticationError | InsufficientCreditsError | PermissionDeniedError | BudgetExceededError
    )
    return ExitCode.STOPPED if isinstance(error, account) else ExitCode.FAILED
