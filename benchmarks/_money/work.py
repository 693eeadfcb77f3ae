"""What a contender is given to do, and what it says became of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, kw_only=True)
class Work:
    """Wishes, and where to take them."""

    origin: str
    """`http://127.0.0.1:40123`, without a path."""
    prompts: list[str]
    patience: float
    """Seconds to wait for an answer, where a client lets its users say so."""
    poll: tuple[float, float] | None = None
    """Seconds between polls for this project; None: its own."""
    hurried: bool = False
    """This project waits no longer than `patience` for the answer to a submission either,
    for which it has no option: a run of a few seconds instead of the real one."""

    def to_json(self) -> str:
        """The work on its way into a contender's process."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, kw_only=True)
class Wish:
    """One wish and what its user holds in the end."""

    prompt: str
    result: str | None = None
    """What was generated; None: an error came instead."""
    told: str = ""
    """All that the error says: its text and its attributes."""
    kept: int = 0
    """Submissions that a durable record counts as perhaps paid for, whatever the error says."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """A contender's process, in its own words."""

    versions: dict[str, str] = field(default_factory=dict)
    wishes: list[Wish] = field(default_factory=list)

    def to_json(self) -> str:
        """The report on its way back."""
        return json.dumps(asdict(self))


def read_work(text: str) -> Work:
    """The way back from `Work.to_json`."""
    return Work(**json.loads(text))


def read_report(text: str) -> Report:
    """The way back from `Report.to_json`."""
    found = json.loads(text)
    wishes = [Wish(**each) for each in found["wishes"]]
    return Report(versions=found["versions"], wishes=wishes)
