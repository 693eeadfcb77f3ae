"""What each job adds to a ledger's totals, in exact decimals.

The totals follow from the rows alone: a row's share before a move is taken off, its share
after the move is put on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow

from .._outcomes import OutcomeStatus
from ._protocol import JobRow, JobState, Totals

UNSETTLED = frozenset({OutcomeStatus.EXPIRED, OutcomeStatus.AMBIGUOUS})
"""What these jobs cost is not known yet: their reservation stays."""

_LARGEST_EXPONENT = 14
_SMALLEST_EXPONENT = -12
# Amounts have at most 15 digits before and 12 after the point, so 60 digits add up any
# number of them; the trap on Inexact proves that no sum was ever rounded.
EXACT = Context(prec=60, traps=[InvalidOperation, Inexact, Overflow, DivisionByZero])


@dataclass(frozen=True, slots=True)
class Book:
    """What a ledger knows beside its rows."""

    totals: Totals = field(default_factory=Totals)
    last_number: int = 0
    last_ended: int = 0

    def settle(self, before: JobRow | None, after: JobRow) -> Book:
        """The book after a row has changed from `before` to `after`."""
        old, new = share(before), share(after)
        return Book(
            totals=Totals(
                spent=_moved(self.totals.spent, old.spent, new.spent),
                reserved=_moved(self.totals.reserved, old.reserved, new.reserved),
                exposed=_moved(self.totals.exposed, old.exposed, new.exposed),
            ),
            last_number=max(self.last_number, after.number),
            last_ended=max(self.last_ended, after.ended_number or 0),
        )


def _moved(total: Decimal, old: Decimal, new: Decimal) -> Decimal:
    return total if old == new else EXACT.add(EXACT.subtract(total, old), new)


def share(row: JobRow | None) -> Totals:
    """What one row adds to the totals."""
    if row is None:
        return Totals()
    spent = reserved = Decimal(0)
    if row.status is OutcomeStatus.SUCCEEDED:
        spent = row.reserved if row.credits is None else row.credits
    elif row.state in {JobState.SENDING, JobState.ACCEPTED} or row.status in UNSETTLED:
        reserved = row.reserved
    return Totals(spent=spent, reserved=reserved, exposed=row.exposed)


def committed(totals: Totals) -> Decimal:
    """`totals.committed`, independent of the caller's decimal context."""
    return EXACT.add(EXACT.add(totals.spent, totals.reserved), totals.exposed)


def is_amount(value: Decimal) -> bool:
    """Whether this can be an amount of credits: finite, not negative, of sane precision."""
    if not value.is_finite() or value < 0:
        return False
    exponent = value.as_tuple().exponent
    return (
        isinstance(exponent, int)
        and exponent >= _SMALLEST_EXPONENT
        and (value == 0 or value.adjusted() <= _LARGEST_EXPONENT)
        and exponent <= _LARGEST_EXPONENT
    )
