"""What a lane is doing, as a snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

import anyio

from .._errors import KinoviError
from .._outcomes import OutcomeStatus

if TYPE_CHECKING:
    from ._lane import Lane

__all__ = ["Statistics", "estimated_wait", "statistics_of"]


class Statistics(NamedTuple):
    """What a scheduler is doing, and what its account has shown so far."""

    queued: int
    """Jobs of this scheduler that wait for a slot."""
    submitting: int
    """Submissions on the wire, of the whole account."""
    in_flight: int
    """Running tasks, of the whole account as far as this client runs them."""
    done: int
    """Jobs of this scheduler that ended."""
    outcomes: Mapping[OutcomeStatus, int]
    """The same by status."""
    limit: int | None
    """The account's limit as learned by whoever runs the ledger, None while it is not known."""
    rejected: int
    """Submissions that the account refused with 429; they cost nothing."""
    polls: int
    credits: Decimal
    """Charged by succeeded jobs, over the whole life of the ledger."""
    reserved: Decimal
    """Worst case on top: running tasks, and what is unclear."""
    groups: Mapping[str, tuple[int, int]]
    """Queued and running jobs of the account by group."""
    paused: KinoviError | None
    """Why nothing is submitted, here or by whoever runs the ledger; None while all is well."""
    slot_use: float | None
    """Share of the learned slots that were in use while jobs were queued, 0 to 1."""
    queue_age: float | None
    """Seconds that the oldest queued job of the account has waited."""
    runner: bool
    """Whether this process runs the ledger. If not, another one does, and `submitting`,
    `in_flight`, `rejected`, `polls`, `groups`, `slot_use` and `queue_age` are told there."""


def statistics_of(lane: Lane) -> Statistics:
    """The snapshot of one lane and of the account it belongs to."""
    state = lane.account.state.statistics(anyio.current_time())
    totals = lane.book.totals
    return Statistics(
        queued=lane.unsent,
        submitting=state.submitting,
        in_flight=state.in_flight,
        done=sum(lane.counts.values()),
        outcomes=dict(lane.counts),
        limit=state.limit if lane.book.runs else lane.book.standing.limit,
        rejected=state.refused,
        polls=state.polls,
        credits=totals.spent,
        reserved=totals.reserved + totals.exposed,
        groups={str(group): counts for group, counts in state.groups.items()},
        paused=lane.paused or lane.stopped or lane.book.standing.paused,
        slot_use=state.slot_use,
        queue_age=state.oldest_queue_age,
        runner=lane.book.runs,
    )


def estimated_wait(lane: Lane) -> float | None:
    """Seconds until a job that is queued now would start, None while nothing is known."""
    state = lane.account.state.statistics(anyio.current_time())
    if not state.limit:
        return None
    seconds = [
        lane.account.state.durations.expected(job.request.model) or 0 for job in lane.jobs.values()
    ]
    return sum(seconds) / state.limit if seconds else 0.0
