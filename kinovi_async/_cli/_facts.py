"""The events of `--json`: what there is, and those of the scheduler as JSON facts.

Names and fields stay; later versions may add some. docs/json-events.md is the list for
people.
"""

from __future__ import annotations

from .._events import (
    Event,
    JobAccepted,
    JobEnded,
    JobPolled,
    JobQueued,
    JobRefused,
    JobSubmitted,
    SchedulerPaused,
)
from ._results import iso_time


def facts_of(event: Event) -> tuple[str, dict[str, object]] | None:  # noqa: PLR0911 - one for each event
    """An event's name and facts; None for what is told in another way."""
    at = {"at": iso_time(event.at)}
    match event:
        case JobQueued(key=key, model=model):
            return "queued", {**at, "id": key, "model": model}
        case JobSubmitted(key=key, attempt=attempt):
            return "submitted", {**at, "id": key, "attempt": attempt}
        case JobRefused(key=key, limit=limit):
            return "refused", {**at, "id": key, "limit": limit}
        case JobAccepted(key=key, task_id=task_id):
            return "accepted", {**at, "id": key, "task_id": task_id}
        case JobPolled(key=key, task_id=task_id, status=status):
            return "polled", {**at, "id": key, "task_id": task_id, "status": status}
        case SchedulerPaused(reason=reason):
            error = {"type": type(reason).__name__, "message": reason.message}
            return "stopped", {**at, "error": error}
        case JobEnded(outcome=outcome) if outcome.seq is not None:
            return "ended", {
                **at,
                "id": outcome.key,
                "status": outcome.status,
                "task_id": outcome.task_id,
                "credits": None if outcome.credits is None else float(outcome.credits),
            }
        case _:
            return None
