"""Which moments are tried: every named point of the code, at several of its passages.

The names are read from the source, so that a point that is added is tried too.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import kinovi_async

PACKAGE = Path(kinovi_async.__file__).parent

WINDOW = frozenset(
    {
        "submission: after the intent",
        "submission: before the POST",
        "http: request leaves",
        "http: head has left",
        "http: request has left",
        "submission: answered, not recorded",
        "submission: before the acceptance",
        "submission: 429, not recorded",
        "submission: failed, not recorded",
        "ending: before the ledger",
    }
)
"""Points at which an intent may be durable and its result not yet: a job killed there ends
`ambiguous`. The last one, because a rejected or ambiguous job ends while it is sent."""

VARYING = ("poll: ", "http: ", "submission: 429, ")
"""Points of which no two runs pass the same number: the last one may not come."""

Kind = Literal["serial", "crowded", "impatient"]
OPTIONS: dict[Kind, tuple[str, ...]] = {
    "serial": ("--max-in-flight", "1"),
    "crowded": (),
    "impatient": ("--max-in-flight", "1", "--max-wait", "0.001"),
}
"""One submission or task at a time; or as many as the account takes, with its 429s; or
tasks that are given up at once, and waited for again by the next run."""
RECORDED: tuple[Kind, ...] = ("serial", "crowded")
"""Kinds of which every point is tried."""
SERVER = {
    "seed": 186,
    "speed": 100.0,
    "limit": 1,
    "faults": {"error_500": 0.12, "fail": 0.15, "poll_error": 0.1},
}
"""Failed tasks, failed polls, refusals and documented 500s, the same in every run."""


LOSSY_SERVER = {
    "seed": 5,
    "speed": 80.0,
    "limit": 8,
    "faults": {"lost_answer": 0.05, "poll_drop": 0.02},
}
"""One answer to a submission in twenty is lost after the task was accepted."""


@dataclass(frozen=True, order=True)
class Moment:
    """The n-th passage of a point."""

    point: str
    passage: int = 1

    def __str__(self) -> str:
        return f"{self.point} #{self.passage}"


@dataclass(frozen=True)
class Case:
    """A run that is killed once or more, each time in the run that goes on."""

    kind: Kind
    kills: tuple[Moment, ...]

    def __str__(self) -> str:
        return f"{self.kind}: {', then '.join(map(str, self.kills))}"


@dataclass
class Recording:
    """How often each point was passed in runs of a kind."""

    counts: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, trace: Iterable[str]) -> Recording:
        return cls(Counter(trace))

    def moments(
        self, names: Iterable[str], *, every: Sequence[str] = (), first: bool = False
    ) -> list[Moment]:
        """The first passage of each, one in the middle and the last; all of those in `every`.

        With `first`, the first of each alone.
        """
        found: list[Moment] = []
        for name in names:
            count = self.counts[name]
            passages = {1} if first else {1, (count + 1) // 2, count}
            if name in every:
                passages |= set(range(1, count + 1))
            if name.startswith(VARYING) and count > 1:
                passages.discard(count)
            found += [Moment(name, passage) for passage in sorted(passages) if passage <= count]
        return [moment for moment in found if moment.passage > 0]


def points_in_source() -> list[tuple[str, str]]:
    """Every named point and the module it stands in, in the order of the source."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "point":
                (name,) = node.args
                assert isinstance(name, ast.Constant)
                found.append((str(name.value), path.relative_to(PACKAGE).as_posix()))
    return found


AFTER_A_POST = Moment("submission: answered, not recorded", 2)
"""Where a run is killed before its resume is killed too: a paid task nobody wrote down."""
RUNNING = Moment("poll: before", 2)
"""The same, with a task that is known and runs."""
GIVEN_UP = Moment("run: over")
"""The same, with jobs that have expired."""
SETTLED = Moment("book: dangling intent settled")
ADOPTED = Moment("arrival: adopted")
EVERY = ("ledger: before commit", "ledger: after commit")
NEVER_BY_THE_COMMAND = frozenset({"poll: failed job queued again"})
"""Points that only a program of one's own passes, here one that sets `retry_failed`."""


def all_cases(first: Mapping[Kind, Recording], resumed: Recording) -> list[Case]:
    """Everything that `--all` tries, given how often the points are passed."""
    cases: list[Case] = []
    names = [name for name, _ in points_in_source()]
    for kind, recording in first.items():
        moments = recording.moments(names, first=True)
        if kind == "serial":
            moments = recording.moments(names, every=EVERY)
        cases += [Case(kind, (moment,)) for moment in moments]
    cases += [Case("serial", (AFTER_A_POST, moment)) for moment in resumed.moments(names)]
    again = ("lease: locked", "book: lease held", "run: planned", "poll: before", "poll: answered")
    cases += [Case("serial", (RUNNING, Moment(name))) for name in again]
    cases += [
        Case("impatient", (GIVEN_UP, ADOPTED)),
        Case("impatient", (GIVEN_UP, Moment("lane: left"))),
    ]
    # Killed in the settling of what an earlier kill left, again and again.
    cases.append(Case("crowded", (AFTER_A_POST, SETTLED, AFTER_A_POST)))
    return cases


SAMPLE = [
    Case("serial", (Moment("submission: before the intent", 2),)),
    Case("serial", (Moment("submission: after the intent", 2),)),
    Case("serial", (Moment("http: head has left"),)),
    Case("serial", (AFTER_A_POST, SETTLED)),
    Case("serial", (Moment("submission: after the acceptance", 2),)),
    Case("crowded", (Moment("submission: 429, not recorded"),)),
    Case("impatient", (GIVEN_UP, ADOPTED)),
    Case("serial", (Moment("file: part on disk"),)),
    Case("serial", (Moment("ledger: new one built"), Moment("results: new file written"))),
]
"""What every test run tries."""
