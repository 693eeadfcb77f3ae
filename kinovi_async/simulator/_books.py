"""The simulator's books: what really happened, whatever a client believes.

`Books` is a snapshot; reading it is safe from any thread and never changes anything.
No key stands in it, only fingerprints.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from .._records import TaskStatus
from ._answers import number


@dataclass(slots=True)
class Counts:
    """The books' plain numbers."""

    submissions: int = 0
    polls: int = 0
    downloads: int = 0
    keys_leaked: int = 0
    uploads: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    webhooks: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class AcceptedTask:
    """One accepted createTask. Times are those of the simulator's clock, in seconds."""

    order: int
    """Its place in the order of acceptance, from 1."""
    task_id: str
    account: str
    """The fingerprint of the key."""
    model: str
    prompt: str
    body: Mapping[str, object]
    credits: Decimal
    """Reserved at acceptance; the final price once a model that settles has settled it."""
    accepted_at: float
    ends_at: float | None
    """When it ends or ended; None when it never will."""
    status: TaskStatus
    """At the moment of the snapshot."""
    polls: int
    """recordInfo calls about it."""
    seen_at: float | None
    """When a poll first told its end; None before."""
    submission: str
    """`answered`, or the fault that its createTask met."""

    @property
    def refunded(self) -> bool:
        """Whether its credits went back: it ended in `fail`."""
        return self.status is TaskStatus.FAIL


@dataclass(frozen=True, slots=True)
class AccountBooks:
    """One account, by the fingerprint of its key."""

    credits: Decimal
    """The balance, reservations taken off."""
    limit: int
    running: int
    """Tasks that hold a slot at the moment of the snapshot."""
    peak_running: int
    """The most that ever held one at a time."""


@dataclass(frozen=True, slots=True)
class Books:
    """Everything that happened since the start or the last reset."""

    now: float
    """The clock at the snapshot."""
    accepted: tuple[AcceptedTask, ...]
    """In the order of acceptance."""
    submissions: int
    """createTask calls that arrived with a key or without."""
    refused: Mapping[int, int]
    """createTask calls that were refused, by HTTP status; faults are not among them."""
    polls: int
    """recordInfo calls."""
    faults: Mapping[str, int]
    """Faults and scripted answers that struck, by name; a scripted status as its number."""
    downloads: int
    """Requests for files."""
    keys_leaked: int
    """Requests for files, and PUTs of files, with an Authorization header, which none should."""
    webhooks: Mapping[str, int]
    """Webhooks by what became of them: `sent`, `failed`, `lost`, `blocked`."""
    accounts: Mapping[str, AccountBooks]
    uploads: int = 0
    """Files that were stored, each PUT counted."""

    @property
    def charged(self) -> Decimal:
        """Credits of all accepted tasks, refunds not taken off."""
        return sum((task.credits for task in self.accepted), Decimal(0))

    @property
    def refunded(self) -> Decimal:
        """Credits that went back because the task failed."""
        return sum((task.credits for task in self.accepted if task.refunded), Decimal(0))

    @property
    def spent(self) -> Decimal:
        """Credits charged and not refunded."""
        return self.charged - self.refunded

    @property
    def refused_count(self) -> int:
        """How many createTask calls were refused, whatever the status."""
        return sum(self.refused.values())

    @property
    def peak_running(self) -> int:
        """The most tasks that any one account ever ran at a time."""
        return max((account.peak_running for account in self.accounts.values()), default=0)

    @property
    def running(self) -> int:
        """Tasks that hold a slot at the moment of the snapshot."""
        return sum(account.running for account in self.accounts.values())

    def running_at(self, moment: float) -> int:
        """Tasks that held a slot at a moment of the clock."""
        return sum(
            task.accepted_at <= moment and (task.ends_at is None or moment < task.ends_at)
            for task in self.accepted
        )

    def accepted_per_prompt(self) -> Mapping[str, int]:
        """How often each prompt was accepted: more than the user asked for is paid twice."""
        return Counter(task.prompt for task in self.accepted)

    def task(self, task_id: str) -> AcceptedTask:
        """One task. Raises KeyError for an id that was never given."""
        for task in self.accepted:
            if task.task_id == task_id:
                return task
        raise KeyError(task_id)

    def to_json(self) -> dict[str, object]:
        """The books as a JSON object: the fields and properties under their own names."""
        return {
            "now": self.now,
            "submissions": self.submissions,
            "refused": {str(status): count for status, count in self.refused.items()},
            "refused_count": self.refused_count,
            "polls": self.polls,
            "downloads": self.downloads,
            "keys_leaked": self.keys_leaked,
            "uploads": self.uploads,
            "faults": dict(self.faults),
            "webhooks": dict(self.webhooks),
            "charged": number(self.charged),
            "refunded": number(self.refunded),
            "spent": number(self.spent),
            "running": self.running,
            "peak_running": self.peak_running,
            "accounts": {
                name: {
                    "credits": number(account.credits),
                    "limit": account.limit,
                    "running": account.running,
                    "peak_running": account.peak_running,
                }
                for name, account in self.accounts.items()
            },
            "accepted_per_prompt": dict(self.accepted_per_prompt()),
            "accepted": [_task_json(task) for task in self.accepted],
        }


def _task_json(task: AcceptedTask) -> dict[str, object]:
    return {
        "order": task.order,
        "task_id": task.task_id,
        "account": task.account,
        "model": task.model,
        "prompt": task.prompt,
        "body": task.body,
        "credits": number(task.credits),
        "accepted_at": task.accepted_at,
        "ends_at": task.ends_at,
        "status": task.status.value,
        "refunded": task.refunded,
        "polls": task.polls,
        "seen_at": task.seen_at,
        "submission": task.submission,
    }
