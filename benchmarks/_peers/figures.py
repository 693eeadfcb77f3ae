"""What a run was worth: the server's books and the client's clock become ratios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from heapq import heapreplace
from statistics import fmean, median


@dataclass(frozen=True, kw_only=True)
class Run:
    """One contender's run as it saw itself: monotonic clock and CPU, in seconds."""

    started: float
    ended: float
    cpu: float
    succeeded: int


@dataclass(frozen=True, kw_only=True)
class Task:
    """One accepted task of the books, in seconds of the same clock."""

    prompt: str
    accepted_at: float
    ends_at: float
    seen_at: float
    polls: int


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One run in ratios; seconds are those of the API, not of this machine."""

    makespan: float
    """From the call to its return, over the least possible (LB)."""
    by_oracle: float
    """The same over that of the same order of acceptance without any delay."""
    slot_use: float
    """Busy share of the account's slots until the last job was accepted."""
    refusals: float
    """429 per job."""
    polls: float
    """Polls per job."""
    cpu: float
    """The client's CPU milliseconds per job, on this machine."""
    unseen: float
    """Mean seconds from a task's end to the poll that shows it."""
    filled: float
    """Seconds from the start until every slot was busy for the first time; 0 for never."""


def read_tasks(books: Mapping[str, object], prompts: set[str]) -> list[Task]:
    """The tasks of these prompts; anything else in the books is the warm-up.

    Raises:
        ValueError: a prompt was not accepted exactly once, or its end was never seen.
    """
    accepted = books["accepted"]
    if not isinstance(accepted, list):
        raise TypeError("the books hold no list of accepted tasks")
    names = [field.name for field in fields(Task)]
    tasks = [Task(**{name: row[name] for name in names}) for row in accepted]
    tasks = [task for task in tasks if task.prompt in prompts]
    if len(tasks) != len(prompts) or {task.prompt for task in tasks} != prompts:
        raise ValueError(f"{len(tasks)} tasks were accepted for {len(prompts)} jobs")
    return tasks


def figures(tasks: Sequence[Task], refusals: int, run: Run, *, limit: int, speed: float) -> Figures:
    """The ratios of one run."""
    seconds = [task.ends_at - task.accepted_at for task in tasks]
    least = max(sum(seconds) / limit, *seconds)
    return Figures(
        makespan=(run.ended - run.started) / least,
        by_oracle=(run.ended - run.started) / oracle(tasks, limit),
        slot_use=slot_use(tasks, run.started, limit),
        refusals=refusals / len(tasks),
        polls=sum(task.polls for task in tasks) / len(tasks),
        cpu=1000 * run.cpu / len(tasks),
        unseen=speed * fmean(task.seen_at - task.ends_at for task in tasks),
        filled=speed * filled(tasks, run.started, limit),
    )


def oracle(tasks: Sequence[Task], limit: int) -> float:
    """Seconds for all tasks in their order, each as soon as one of `limit` slots is free."""
    slots = [0.0] * limit
    for task in sorted(tasks, key=lambda task: task.accepted_at):
        heapreplace(slots, slots[0] + task.ends_at - task.accepted_at)
    return max(slots)


def slot_use(tasks: Sequence[Task], started: float, limit: int) -> float:
    """Busy slot-seconds over all slot-seconds while jobs were waiting."""
    until = max(task.accepted_at for task in tasks)
    busy = sum(min(task.ends_at, until) - task.accepted_at for task in tasks)
    # All jobs at once, within the limit: nothing ever waited.
    return busy / (limit * (until - started)) if until > started else 1.0


def filled(tasks: Sequence[Task], started: float, limit: int) -> float:
    """Seconds until `limit` tasks ran for the first time."""
    events = sorted(
        [(task.accepted_at, 1) for task in tasks] + [(task.ends_at, -1) for task in tasks]
    )
    running = 0
    for moment, change in events:
        running += change
        if running >= limit:
            return moment - started
    return 0.0


def middle(rounds: Sequence[Figures]) -> Figures:
    """The median of each figure."""
    return Figures(
        **{
            field.name: median(getattr(each, field.name) for each in rounds)
            for field in fields(Figures)
        }
    )
