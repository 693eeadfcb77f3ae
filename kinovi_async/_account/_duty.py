"""What one look into a shared ledger has to read, decided from what was read before.

Others write in the ledger at any time: they enter jobs, resolve and rerun them, cancel
them, and the one that holds the lease ends them. The two orders of a ledger tell it all:
whatever is to be driven gets a new `number`, whatever ended a new `ended_number`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .._ledger import Position

__all__ = ["Duty", "Look"]


@dataclass(frozen=True, slots=True)
class Look:
    """What to read now; None: nothing of that kind."""

    entered_after: int | None = None
    """Unfinished rows with a larger number, for the runner to drive."""
    ended_after: int | None = None
    """Ended rows with a larger ending number, to be told here."""
    accepted: bool = False
    """Whether followed jobs may have been accepted."""
    hinted_after: int | None = None
    """Hints with a larger number, for the runner to settle."""


class Duty:
    """How far one process has read its ledger."""

    def __init__(self) -> None:
        self.ended = 0
        """Endings up to this one were read, and told where somebody waits."""
        self.entered = 0
        """Rows up to this one were looked at, and are driven here or left alone."""
        self.hinted = 0
        """Hints up to this one were read by this process as the runner."""
        self.floor = 0
        """Rows up to this one are leftovers that nobody asked to take up."""
        self.rescan = False
        """Whether rows that were looked at may be nobody's again."""

    def begin(self, position: Position, *, floor: int) -> None:
        """This process starts to work with the ledger; what came before concerns nobody here."""
        self.ended = position.ended
        self.entered = position.entered
        self.floor = floor
        self.rescan = False

    def take_over(self, *, floor: int) -> None:
        """This process runs the ledger from now on: everything above the floor is its concern."""
        self.floor = floor
        self.rescan = True

    def plan(self, position: Position, *, runs: bool, hosts: bool, unsent: bool) -> Look:
        """What to read.

        Args:
            position: How far the ledger has come.
            runs: Whether this process holds the lease.
            hosts: Whether it may drive what others enter.
            unsent: Whether a job that is followed here has not been accepted yet.
        """
        entered_after = None
        if runs and hosts:
            if self.rescan:
                entered_after = self.floor
            elif position.entered > self.entered:
                entered_after = self.entered
        return Look(
            entered_after=entered_after,
            ended_after=self.ended if position.ended > self.ended else None,
            accepted=unsent and not runs,
            hinted_after=self.hinted if runs and position.hinted > self.hinted else None,
        )

    def looked(self, position: Position) -> None:
        """Everything unfinished up to there was looked at.

        Not further, although more may have been read: a row of a smaller number may have
        become readable between the two reads.
        """
        self.entered = max(self.entered, position.entered)
