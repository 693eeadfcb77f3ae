"""Why jobs did not end well, in groups that a person can act on.

The message decides, as everywhere with this API: its catch-all codes cover moderation,
bad references and a lack of capacity alike. Whoever has forty failures wants to know the
three things to do.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..._outcomes import OutcomeStatus
from ..._requests import FailureGroup, advice
from .._text import visible
from ._readable import readable, unsigned

if TYPE_CHECKING:
    from ..._ledger import JobRow

MOST_MESSAGES = 3
"""Different messages shown of one group."""
LONGEST_MESSAGE = 400
"""Characters of a message; a server may send a page."""

_PERHAPS = "perhaps paid"
# What differs between two messages about the same thing: ids, numbers, quoted parts.
_PARTICULAR = re.compile(r"\b(?:task_\w+|[0-9a-f-]{12,}|\d[\d.,:]*)\b|https?://\S+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a job is not well, and what to do. Equal ones are one group."""

    title: str
    advice: str
    status: str
    paid: str
    """What it means for the money: `refunded`, `not paid`, `perhaps paid`, `paid`."""
    code: str | None = None


@dataclass(frozen=True, slots=True)
class ReasonGroup:
    """The jobs that share a reason."""

    reason: Reason
    jobs: tuple[int, ...]
    """Positions of the jobs in the report."""
    messages: tuple[tuple[str, int], ...]
    """What was said and how often, most often first."""
    more_messages: int
    """Different messages beyond those."""

    @property
    def title(self) -> str:
        """The reason; word for word when all of its jobs were told the same."""
        title = self.reason.title
        told_once = len(self.messages) == 1 and not self.more_messages
        return self.messages[0][0] if told_once and "…" in title else title

    @property
    def told(self) -> tuple[tuple[str, int], ...]:
        """The messages that say more than the title."""
        return tuple(each for each in self.messages if each[0] not in self.title)


# What stands above the jobs of a group; what to do comes from the table of all failures.
_TITLES = {
    FailureGroup.CAPACITY: "The service was busy",
    FailureGroup.CHANCE: "Refused, but another attempt may pass",
    FailureGroup.PROMPT: "The prompt was refused",
    FailureGroup.MEDIA: "The references were refused",
    FailureGroup.RESULT: "The result was blocked",
    FailureGroup.REFERENCE: "A reference could not be fetched or read",
    FailureGroup.LIMITS: "A reference does not fit the model",
}
_LACKS_FILE = Reason(
    "The job succeeded, but a file could not be fetched",
    "`kinovi download OUT` fetches what is missing, as long as the server keeps it",
    "file missing",
    "paid",
)
_STATUS_TITLES = {
    401: ("The API key was refused", "Look at KINOVI_API_KEY, then run the same command again"),
    402: ("Not enough credits", "Top the account up, then run the same command again"),
    403: ("The account may not do this", "Ask the provider about the account's rights"),
}


def reason_of(row: JobRow) -> Reason | None:  # noqa: PLR0911 - one for each way to end
    """Why a job is not well; None when it is, or has not ended."""
    match row.status:
        case OutcomeStatus.SUCCEEDED:
            return _LACKS_FILE if row.download_error is not None else None
        case OutcomeStatus.AMBIGUOUS:
            return Reason(
                "It may or may not have been accepted",
                "Nothing is sent again by itself. Look for the task in the account, then say "
                "what is true: `kinovi jobs resolve OUT ID --task-id T` or `--not-created`",
                "ambiguous",
                _PERHAPS,
            )
        case OutcomeStatus.EXPIRED:
            return Reason(
                "Still running when we stopped waiting",
                "The task runs on and is paid for: the same command waits for it again",
                "expired",
                "paid",
            )
        case OutcomeStatus.FAILED:
            return _failed(row)
        case OutcomeStatus.REJECTED:
            return _rejected(row)
        case OutcomeStatus.CANCELLED if row.attempts:
            return Reason(
                "Submitted, but no task came of it",
                "The same command runs it",
                "cancelled",
                "not paid",
            )
        case _:
            return None


def message_of(row: JobRow) -> str:
    """What was said about a job, one text; empty when nothing was."""
    said = (row.error or {}).get("message") if row.error is not None else row.download_error
    text = "" if said is None else str(said)
    # The group has no use for the id that the message of a failed task begins with.
    text = unsigned(text.removeprefix(f"task {row.task_id} failed: "))
    return readable(text[:LONGEST_MESSAGE])


def _failed(row: JobRow) -> Reason:
    error = row.error or {}
    code = None if error.get("code") is None else str(error["code"])
    said = message_of(row)
    found = advice(code, said)
    return Reason(
        _TITLES.get(found.group) or _general(said) or "The task failed without a reason",
        found.text[:1].upper() + found.text[1:],
        "failed",
        "refunded",
        # Where the documents say nothing, the code is the only name it has.
        visible(code[:60]) if code and found.group is FailureGroup.UNKNOWN else None,
    )


def _rejected(row: JobRow) -> Reason:
    error = row.error or {}
    known = _STATUS_TITLES.get(_whole(error.get("status_code")))
    if known is not None:
        return Reason(*known, "rejected", "not paid")
    who = "Our own check" if error.get("type") == "InvalidRequestError" else "The server"
    said = _general(message_of(row))
    return Reason(
        f"{who} refused the request{f': {said}' if said else ''}",
        "Mend the line",
        "rejected",
        "not paid",
    )


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _general(message: str) -> str:
    """The message without what is particular to one job, so that like meets like."""
    text = _PARTICULAR.sub("…", " ".join(message.split()))
    return text if len(text) <= 160 else text[:159] + "…"  # noqa: PLR2004 - a heading, not a page


def grouped(rows: Sequence[JobRow], reasons: Sequence[Reason | None]) -> tuple[ReasonGroup, ...]:
    """The reasons of all jobs as groups; `reasons` in the jobs' order.

    What may be paid for without anything to show comes first, then the largest.
    """
    members: dict[Reason, list[int]] = {}
    for position, reason in enumerate(reasons):
        if reason is not None:
            members.setdefault(reason, []).append(position)
    groups = []
    for reason, jobs in members.items():
        said = Counter(message_of(rows[position]) for position in jobs)
        said.pop("", None)
        messages = said.most_common(MOST_MESSAGES)
        groups.append(ReasonGroup(reason, tuple(jobs), tuple(messages), len(said) - len(messages)))
    return tuple(
        sorted(groups, key=lambda group: (group.reason.paid != _PERHAPS, -len(group.jobs)))
    )
