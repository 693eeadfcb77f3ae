"""How many tasks the account may have running, learned from what the server accepts and refuses.

A 429 is exact: at that instant nothing was free. So the limit K is what we had in
flight then, and no more is submitted until a task is seen ended. Two things are
unknown in between: slots already free whose task's end no poll has shown yet, and a
limit that was raised. A *knock* finds both: a submission beyond K. When it is
accepted the bound rises at once by a *loan*: it is settled when a task is seen
ended that may have ended before (then the knock took that task's slot, and it is
not filled twice), and becomes part of K when no such end shows up in time.

Knocks go when some slots have probably become free: nothing was free at the last
429, and each task in flight has ended since with a probability that its age and its
model's durations tell; beside that, others come and go. How sure is sure enough, the
*tokens* tell: every accepted job earns about half of one and every refusal costs one,
so that refusals stay below that share of the jobs whatever the limit does. With many
saved up half a slot is worth a knock, with few one and a half. Without tokens, one
knock every half minute still tells at a standstill whether things have changed.

Seconds are for polls every 3 to 5 s and are scaled with them. Figures marked (m) were
chosen with benchmarks/scheduling.py; around each of the others its results hardly change.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from enum import Enum
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._entry import Entry, Refusal

RAMP = 16
"""Most submissions on the wire while K is unknown: 1, 2, 4, 8, 16."""

BUDGET = 0.55
"""Tokens earned by an accepted submission (m: keeps 429 per job below 0.6)."""
TOKENS = 10.0
"""Most tokens that can be saved up."""

SURE = (0.5, 1.5)
"""Slots that must be expected free for a knock, with all tokens and with none (m: less
costs more 429, more finds fewer slots)."""
VOLLEY = 0.6
"""Knocks sent for each slot expected free (m: 1 costs more 429 in mixes of short jobs)."""
OTHERS = 200.0
"""Seconds in which each slot of the account becomes free or new by what others do, or by a
raise (m: 400 finds the slots others left too late, with long tasks; 100 costs more 429)."""
ALONE = 10.0
"""What that is multiplied by while we hold all that a 429's body allows: only a raise is left."""
ESTIMATE_GAP = 0.25
"""Seconds between two estimates of few tasks: each looks at every task in flight."""
MANY = 200
"""Tasks in flight that make the gap twice as long, and so on: about a thousandth of one core."""

KNOCK_GAP = 0.5
"""Seconds from a refusal to the next knock."""
PACE, BURST = 0.55, 15
"""Seconds that each refusal takes in the long run, and refusals saved up for waves of ends: never
more than two a second over two minutes (m: ten-second jobs in 50 slots need that many)."""
KNOCK_GROWTH = 1.5
"""What that gap is multiplied by for each volley refused in a row."""
KNOCK_MAX = 30.0
"""Longest silence: at a standstill a knock goes then even without tokens."""
STANDSTILL = 90.0
"""Seconds without an accepted submission until it is one (m: few slots, long tasks); until
then tokens are on their way."""

LUCKY_STREAK = 6
"""Knocks accepted in a row from where on each adds one more at once (m): the limit was raised."""
KNOCKS = 8
"""Most knocks on the wire (m): finds 30 more slots within about two seconds."""

ZERO_FIRST = 2.0
"""Seconds until the single attempt after a 429 with nothing of ours running; then x1.5 ... 15."""
ZERO_MAX = 15.0
"""(m: 30 leaves all slots empty for a quarter of a minute once there are some again.)"""
RATE_MAX = 30.0
"""Longest wait after a rate limit that came without a Retry-After."""

RETRY_AFTER_MAX = 60.0
"""Most real seconds that a Retry-After header is believed."""


class Kind(Enum):
    """What a submission is: into a slot known to be free, or beyond the known limit."""

    SLOT = "slot"
    KNOCK = "knock"


class LimitLearner:
    """Decides whether one more submission may go, given what is in flight and on the wire.

    Args:
        remembered: K of an earlier run; the ramp is skipped. A wrong one corrects itself.
        scale: `poll_interval[0] / 3`.
        patience: Seconds within which every task in flight is seen running or ended.
        ends: How many tasks in flight are expected to have ended unseen between two times, when
            so many had at the first of them.
        rng: Jitter of the attempts while the limit is zero.
    """

    def __init__(
        self,
        *,
        remembered: int | None,
        scale: float,
        patience: float,
        ends: Callable[[float, float, int], float],
        rng: Random,
    ) -> None:
        self.patience = patience
        self._ends = ends
        self._scale = scale
        self._rng = rng
        self._limit = remembered
        self._lowered_at = float("-inf")
        """When K was last found to be lower, or first known."""
        self._loans: list[float] = []
        """When each submission beyond K was accepted, ascending, while it is not explained."""
        self._ramp = 0
        """Accepted since K was unknown."""
        self._tokens = 0.0
        self._knocking = 0
        self._volley = 1
        """Knocks of the latest volley that was sent upon an estimate."""
        self._streak = 0
        """Knocks accepted in a row."""
        self._misses = 0
        """Volleys refused in a row."""
        self._missed_at = float("-inf")
        self._refused_at = float("-inf")
        """When there certainly was nothing free."""
        self._accepted_at = float("-inf")
        self._free = 0.0
        """Slots expected to have become free, unseen, since the last refusal."""
        self._estimate_at = float("-inf")
        """No estimate before this."""
        self._alone = False
        """Whether we held all slots of the account at the last refusal."""
        self._knock_at = float("-inf")
        """No knock before this."""
        self._paced_until = float("-inf")
        """When all refused knocks are paid for in time, a KNOCK_GAP each."""
        self._blocked_until = float("-inf")
        """No submission at all before this: a rate limit, or a limit of zero."""
        self._zero_wait = ZERO_FIRST
        self._rate_wait = ZERO_FIRST

    def remember(self, limit: int) -> None:
        """Start from K of an earlier run, unless something has been learned already."""
        if not self.has_learned:
            self._limit = limit

    @property
    def has_learned(self) -> bool:
        """Whether the server has said anything about the limit."""
        return self._ramp > 0 or self._refused_at > float("-inf")

    @property
    def limit(self) -> int | None:
        """K: tasks of ours that the account certainly runs; None while unknown."""
        return self._limit

    @property
    def bound(self) -> int | None:
        """K and the slots on loan."""
        return None if self._limit is None else self._limit + len(self._loans)

    def next_kind(self, in_flight: int, on_wire: int, now: float) -> Kind | None:
        """What the next submission would be, or None when nothing may be submitted now."""
        if now < self._blocked_until:
            return None
        bound = self.bound
        if bound is None:
            return Kind.SLOT if on_wire < min(max(1, self._ramp), RAMP) else None
        if in_flight + on_wire < bound:
            return Kind.SLOT
        if not self._streak:
            self._estimate(in_flight, now)
        if now < self._due(now) or self._knocking >= self._knocks_allowed():
            return None
        return Kind.KNOCK

    def wake_at(self, now: float) -> float | None:
        """When `next_kind` may change its mind by time alone, later than now; None: never."""
        if now < self._blocked_until:
            return self._blocked_until
        if self._limit is None or self._knocking:
            return None
        due = self._due(now)
        return due if due > now else None

    def sent(self, kind: Kind) -> None:
        """A submission was handed out."""
        if kind is Kind.KNOCK:
            if not self._streak:
                self._volley = self._knocks_allowed()
            self._knocking += 1

    def back(self, entry: Entry) -> None:
        """A submission is off the wire, however it went; called before anything else about it."""
        self._knocking -= entry.knock

    def accepted(self, entry: Entry, in_flight: int, now: float) -> None:
        """A submission was accepted; in_flight counts it."""
        self._ramp += 1
        self._accepted_at = now
        if self._limit is not None:
            self._tokens = min(TOKENS, self._tokens + BUDGET)
        self._zero_wait = self._rate_wait = ZERO_FIRST
        if entry.knock:
            self._streak += 1
            self._misses = 0
        bound = self.bound
        if self._limit is None or bound is None or in_flight <= bound:
            return
        if entry.sent_at <= self._lowered_at:  # on the wire when K was fixed: K was too low
            self._limit += 1
        else:
            self._loans.append(now)

    def adopted(self) -> None:
        """A task of an earlier process runs: as good as a submission accepted."""
        self._ramp += 1

    def refused(
        self, entry: Entry, refusal: Refusal, in_flight: int, on_wire: int, now: float
    ) -> None:
        """A submission was refused; on_wire no longer counts it."""
        retry_after = min(max(0.0, refusal.retry_after or 0.0), RETRY_AFTER_MAX)
        if refusal.is_rate:
            self._wait_for_rate(retry_after, now)
            return
        self._refused_at = now
        self._free = 0.0
        self._estimate_at = now + ESTIMATE_GAP * self._scale
        self._streak = 0
        self._tokens = max(0.0, self._tokens - 1)
        if entry.knock and entry.sent_at >= self._missed_at:  # not of the last one's volley
            self._misses += 1
            self._missed_at = now
        self._paced_until = max(self._paced_until, now) + PACE * self._scale
        paced = self._paced_until - BURST * PACE * self._scale
        self._knock_at = max(self._knock_at, paced, now + self._gap(), now + retry_after)
        if in_flight == 0 and on_wire == 0:
            self._wait_for_any(retry_after, now)
            return
        ours = max(entry.held_at_send, in_flight)
        self._lower(_slots_left(refusal, ours), ours, now)
        self._alone = refusal.limit is not None and (self._limit or 0) >= refusal.limit

    def ended(self, ended_at: float) -> None:
        """A task was seen ended that ended at ended_at or later."""
        # The first loan after that moment is the one that may have used its slot.
        loan = bisect_right(self._loans, ended_at)
        del self._loans[loan : loan + 1]

    def settle(self, now: float) -> None:
        """Make loans that no end has explained in time part of K."""
        if self._limit is None:
            return
        due = bisect_right(self._loans, now - self.patience)
        if due:
            del self._loans[:due]
            self._limit += due

    def _estimate(self, in_flight: int, now: float) -> None:
        if now < self._estimate_at or self._tokens < 1:
            return
        self._estimate_at = now + ESTIMATE_GAP * self._scale * (1 + in_flight / MANY)
        self._free = self._ends(self._refused_at, now, len(self._loans))
        if self._refused_at > float("-inf"):
            turnover = OTHERS * self._scale * (ALONE if self._alone else 1.0)
            self._free += (now - self._refused_at) * (self.bound or 0) / turnover

    def _knocks_allowed(self) -> int:
        if self._streak:
            return min(self._volley + max(0, self._streak - LUCKY_STREAK), KNOCKS)
        return max(1, int(min(self._free * VOLLEY, self._tokens, KNOCKS)))

    def _due(self, now: float) -> float:
        """When the next knock is due, or is to be thought about again."""
        if self._streak:
            return self._knock_at
        due = max(
            self._refused_at + KNOCK_MAX * self._scale, self._accepted_at + STANDSTILL * self._scale
        )
        if self._tokens >= 1:
            eager, wary = SURE
            enough = wary - (wary - eager) * self._tokens / TOKENS
            due = min(due, now if self._free >= enough else self._estimate_at)
        return max(self._knock_at, due)

    def _gap(self) -> float:
        grown = KNOCK_GAP * KNOCK_GROWTH ** min(max(0, self._misses - 1), 12)
        return min(grown, KNOCK_MAX) * self._scale

    def _lower(self, slots: int, ours: int, now: float) -> None:
        if self._limit is None:
            self._limit = slots
        elif slots < self._limit or ours < self._limit + len(self._loans):
            self._limit = min(self._limit, slots)
            # The youngest loans are the likeliest to have been explained by ends unseen.
            del self._loans[max(0, ours - self._limit) :]
        else:
            return
        self._lowered_at = now

    def _wait_for_any(self, retry_after: float, now: float) -> None:
        # Nothing of ours runs and still there is no slot: everything is taken by others, or
        # the limit is zero. What was known is void; start again with one.
        wait = self._zero_wait * self._scale * self._rng.uniform(0.8, 1.0)
        self._zero_wait = min(ZERO_MAX, self._zero_wait * KNOCK_GROWTH)
        self._blocked_until = max(self._blocked_until, now + max(wait, retry_after))
        self._limit = None
        self._loans.clear()
        self._ramp = 0

    def _wait_for_rate(self, retry_after: float, now: float) -> None:
        wait = retry_after
        if wait <= 0 and now >= self._blocked_until:  # the first of its volley
            wait = self._rate_wait * self._scale
            self._rate_wait = min(RATE_MAX, self._rate_wait * KNOCK_GROWTH)
        self._blocked_until = max(self._blocked_until, now + wait)


def _slots_left(refusal: Refusal, ours: int) -> int:
    """K at the moment of a refusal, at least 1, when we had `ours` in flight.

    Running == limit then, so K is `limit` less what others run. Others run at
    least `current - ours`, which is `limit - ours` unless the limit was lowered
    under running tasks; only tasks of ours that ended unseen make it more.
    """
    slots = ours
    if refusal.limit is not None:
        if refusal.current is not None:
            slots -= max(0, refusal.current - refusal.limit)
        slots = min(slots, refusal.limit)
    return max(1, slots)
