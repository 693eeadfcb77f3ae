"""A lane for other processes' jobs: when one lane hosts it, and when it lets it go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from ._book import LOOK, look_scale
from ._lane_options import guest_options

if TYPE_CHECKING:
    from ._lane import Lane

__all__ = ["hand_over", "has_let_go", "host_guests"]


def host_guests(host: Lane) -> Lane:
    """The lane for other processes' jobs that runs in this one's tasks and ends with it."""
    from ._lane import Lane

    if host.guests is None:
        guests = host.guests = Lane(
            host.account, host.book, guest_options(host.options), host.transport, host=host
        )
        host.account.join(guests, within=host)
        if host.paused is not None:
            guests.paused = host.paused
            host.account.state.pause_lane(guests)
        host.begin(lambda: guests.run(lambda: False))
    return host.guests


def has_let_go(host: Lane) -> bool:
    """Whether a lane whose own jobs are done has no submission of others on the wire.

    From the first time it is asked on none is begun, and another lane of this process may
    keep the watch and drive what comes. One that is on the wire is somebody's as much as the
    lane's own were: it is waited for as long as its answer may take.
    """
    if not host.leaving:
        host.leaving = True
        host.book.step_back(host)
        host.watching.cancel()
        if host.guests is not None:
            host.account.state.pause_lane(host.guests)
    return host.guests is None or not any(job.sending for job in host.guests.jobs.values())


def hand_over(lane: Lane) -> None:
    """Before a lane for others leaves: what it has running goes on in another lane here.

    That one finds it in the ledger, within two looks. Until then nobody counts it, so nothing
    is submitted: it would be beyond the bound of running tasks.
    """
    if lane.host is not None and lane.running and lane.book.runs and lane.book.has_watch:
        wait = 2 * LOOK[1] * look_scale(lane.account.second)
        lane.account.state.hold(anyio.current_time() + wait)
