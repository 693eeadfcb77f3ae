"""What becomes of a task, settled when it is accepted: its id, its time, its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .._requests import FailureGroup, describe
from ._checks import Failure, Order
from ._faults import TASK_FAULTS, Faults
from ._luck import Luck
from ._script import TaskRule
from ._tasks import NEVER

_ID_LENGTH: Final = 24
"""Characters after `task_`, as the API's later documents show them."""
_WAITING_SHARE: Final = (0.05, 0.15)
"""The part of its time that a task is `waiting` before it is `generating`."""

# What a task of a model may say whose page names no failures.
_ANY_MODEL: Final = (
    Failure("2038", "The prompt does not comply with the platform's rules"),
    Failure("500", "The service is temporarily unavailable, please try again later"),
)
# Where the pages print a code and no words.
_WORDS: Final[Mapping[FailureGroup, str]] = {
    FailureGroup.PROMPT: "The prompt does not comply with the platform's rules",
    FailureGroup.REFERENCE: "Reference 1 failed the review or could not be fetched",
    FailureGroup.LIMITS: "The references are too long together",
}
_OF_REFERENCES: Final = frozenset({FailureGroup.MEDIA, FailureGroup.REFERENCE, FailureGroup.LIMITS})


@dataclass(frozen=True, slots=True)
class Fate:
    """What is settled about a task."""

    task_id: str
    seconds: float
    """From acceptance to the end; `NEVER` for a task that is stuck."""
    waiting: float
    """Seconds of it until it is `generating`."""
    failure: Failure | None
    unlucky: bool
    """The failure came from the rate of `Faults`, not from a script."""


def fate(  # noqa: PLR0917 - each is one of the things that decide
    luck: Luck,
    what: str,
    copy: int,
    order: Order,
    rule: TaskRule | None,
    faults: Faults,
    usual: tuple[float, float],
) -> Fate:
    """The fate of the `copy`-th task of the body hashed to `what`; `usual` in seconds."""
    seconds = luck.between(*usual, "seconds", what, copy)
    unlucky = faults.pick(TASK_FAULTS, luck.roll("fail", what, copy)) is not None
    failure = luck.choice(failures(order), "failure", what, copy) if unlucky else None
    if rule is not None:
        seconds = seconds if rule.seconds is None else rule.seconds
        seconds = NEVER if rule.stuck else seconds
        failure = None if rule.code is None else Failure(rule.code, rule.message)
        unlucky = False
    if failure is None:
        failure = order.doom
    share = luck.between(*_WAITING_SHARE, "waiting", what, copy)
    return Fate(
        task_id=f"task_{luck.token(_ID_LENGTH, 'id', what, copy)}",
        seconds=seconds,
        waiting=0.0 if seconds == NEVER else share * seconds,
        failure=failure,
        unlucky=unlucky,
    )


def failures(order: Order) -> Sequence[Failure]:
    """How the task may fail: as the model's page says, of references only where it has some."""
    described = describe(order.model)
    known = [
        Failure(each.code, _words(each.group, each.match))
        for each in (described.failures if described else ())
        if order.referring or each.group not in _OF_REFERENCES
    ]
    return known or _ANY_MODEL


def _words(group: FailureGroup, match: str | None) -> str:
    if match is None:
        return _WORDS.get(group, "The task failed")
    return f"Generation failed: {match}"
