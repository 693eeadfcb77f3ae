"""Short hands for driving the core by hand: one account, a clock that is a number."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from random import Random

from kinovi_async._scheduling import AccountState, Entry, Refusal

FULL = Refusal()
"""A 429 that says nothing else."""


def account(
    *lanes: Hashable,
    seed: int = 1,
    poll_interval: tuple[float, float] = (3.0, 5.0),
    max_in_flight: int | None = None,
    remembered_limit: int | None = None,
    expected_seconds: Callable[[str], tuple[float, float] | None] = lambda _: None,
) -> AccountState:
    """An account with these lanes, or one called `lane`."""
    state = AccountState(
        rng=Random(seed),
        poll_interval=poll_interval,
        max_in_flight=max_in_flight,
        remembered_limit=remembered_limit,
        expected_seconds=expected_seconds,
    )
    for lane in lanes or ("lane",):
        state.add_lane(lane)
    return state


def entry(
    key: str,
    *,
    group: Hashable = "group",
    lane: Hashable = "lane",
    priority: int = 0,
    model: str = "model",
    batch: bool = False,
) -> Entry:
    return Entry(key=key, model=model, group=group, lane=lane, priority=priority, batch=batch)


def enqueue(state: AccountState, *entries: Entry, now: float = 0.0) -> None:
    for each in entries:
        state.enqueue(each, now)


def jobs(state: AccountState, count: int) -> list[Entry]:
    """Queue that many entries, named by their number."""
    made = [entry(str(number)) for number in range(count)]
    enqueue(state, *made)
    return made


def submitted(state: AccountState, now: float = 0.0) -> list[Entry]:
    return list(state.decide(now).submit)


def run_one(state: AccountState, now: float = 0.0) -> Entry:
    """Submit what goes next, have it accepted and ended at once."""
    (only,) = submitted(state, now)
    state.accepted(only, now)
    state.ended(only, now)
    return only


def order_of_service(state: AccountState, now: float = 0.0) -> list[str]:
    """Keys in the order in which an account with one slot serves its queue."""
    keys: list[str] = []
    while state.statistics().queued:
        keys.append(run_one(state, now).key)
    return keys


def leftovers(state: AccountState) -> list[str]:
    """What the account still holds inside, by name; nothing once all entries are gone."""
    queue, lanes, polls, learner = state._queue, state._lanes, state._polls, state._learner
    held: dict[str, int] = {
        "queue levels": len(queue._levels),
        "queue ready": len(queue._ready) + len(queue._ready._heap),
        "queued": len(queue),
        "running": len(state._running),
        "polls": len(polls) + len(polls._due._heap),
        "unclear": len(state._unclear) + len(state._unclear._heap),
        "groups": len(state._census._groups),
        "census": state._census.busy + state._census.queued,
        "knocks": learner._knocking,
        "lines": sum(len(lane.lines) for lane in lanes),
        "parked": sum(lane.parked is not None for lane in lanes),
        "active": sum(len(lane.active) for lane in lanes),
    }
    return [name for name, count in held.items() if count]
