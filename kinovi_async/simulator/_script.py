"""Scripts: what a test wants to happen at a named call, prompt or task.

A rule says where it applies (the n-th call, a piece of the prompt, how many times) and
what happens there. Rules are tried in the order they were given; the first that
applies wins over the rates of `Faults`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from .._errors import ConfigurationError
from ._answers import Answer
from ._faults import POLL_FAULTS, SUBMIT_FAULTS, Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitRule:
    """What a createTask meets.

    `answer` is the name of a fault (`"lost-answer"`, see `Fault`), a status (`429`,
    with the documented body), or an `Answer`. A status and an `Answer` are given
    instead of any other, and nothing is accepted; a fault that includes an acceptance
    strikes only a call that would have been accepted.
    """

    answer: str | int | Answer
    nth: int | None = None
    """The number of the call among all of createTask, from 1; None: any."""
    prompt: str | None = None
    """A piece of the prompt; None: any."""
    times: int | None = 1
    """How often the rule applies; None: always."""

    def __post_init__(self) -> None:
        _check(self.answer, SUBMIT_FAULTS, self.nth, self.times)


@dataclass(frozen=True, slots=True, kw_only=True)
class PollRule:
    """What a recordInfo meets: `answer` as in `SubmitRule`, with the faults of polls."""

    answer: str | int | Answer
    nth: int | None = None
    """The number of the poll among those of its task, from 1; None: any."""
    prompt: str | None = None
    """A piece of the task's prompt; None: any."""
    times: int | None = 1
    """How often the rule applies; None: always."""

    def __post_init__(self) -> None:
        _check(self.answer, POLL_FAULTS, self.nth, self.times)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRule:
    """What becomes of an accepted task: it fails with a code, takes a time, never ends."""

    nth: int | None = None
    """The number of the task in the order of acceptance, from 1; None: any."""
    prompt: str | None = None
    """A piece of its prompt; None: any."""
    code: str | None = None
    """The task fails with this code, e.g. `2038` (moderation); None: it succeeds."""
    message: str = "The prompt does not comply with the platform's rules"
    """What the failure says."""
    seconds: float | None = None
    """How long it takes in seconds, before `speed`; None: as usual."""
    stuck: bool = False
    """It never ends."""
    times: int | None = None
    """How often the rule applies; None: always."""

    def __post_init__(self) -> None:
        _check(500, (), self.nth, self.times)
        if self.seconds is not None and not 0 <= self.seconds < float("inf"):
            raise ConfigurationError(f"a task takes a number of seconds, not {self.seconds}")


Rule: TypeAlias = SubmitRule | PollRule | TaskRule
R = TypeVar("R", SubmitRule, PollRule, TaskRule)


def _check(
    answer: str | int | Answer, faults: tuple[Fault, ...], nth: int | None, times: int | None
) -> None:
    if isinstance(answer, str) and answer not in faults:
        raise ConfigurationError(f"unknown fault {answer!r}; known here are {', '.join(faults)}")
    if isinstance(answer, int) and not 200 <= answer <= 599:  # noqa: PLR2004 - HTTP's range
        raise ConfigurationError(f"a status is a number from 200 to 599, not {answer}")
    if nth is not None and nth < 1:
        raise ConfigurationError(f"calls are counted from 1, not {nth}")
    if times is not None and times < 1:
        raise ConfigurationError(f"a rule applies at least once, not {times} times")


@dataclass(slots=True)
class LiveRule(Generic[R]):
    """A rule in force, and how often it still applies (None: always)."""

    rule: R
    left: int | None

    def applies(self, number: int, prompt: str) -> bool:
        """Whether the rule is for the call or task with this number and prompt."""
        rule = self.rule
        return (
            self.left != 0
            and (rule.nth is None or rule.nth == number)
            and (rule.prompt is None or rule.prompt in prompt)
        )

    def applied(self) -> R:
        """Counts one application."""
        if self.left is not None:
            self.left -= 1
        return self.rule


class Script:
    """The rules in force, by what they are for, in the order they were given."""

    def __init__(self) -> None:
        self._submits: list[LiveRule[SubmitRule]] = []
        self._polls: list[LiveRule[PollRule]] = []
        self._tasks: list[LiveRule[TaskRule]] = []

    def add(self, rules: Iterable[Rule]) -> None:
        """Adds rules behind those in force."""
        for rule in rules:
            if isinstance(rule, SubmitRule):
                self._submits.append(LiveRule(rule, rule.times))
            elif isinstance(rule, PollRule):
                self._polls.append(LiveRule(rule, rule.times))
            else:
                self._tasks.append(LiveRule(rule, rule.times))

    def submit_rule(self, call: int, prompt: str) -> LiveRule[SubmitRule] | None:
        """The rule for the createTask with this number; not counted as applied yet."""
        return next((live for live in self._submits if live.applies(call, prompt)), None)

    def poll_rule(self, poll: int, prompt: str) -> PollRule | None:
        """The rule for the recordInfo with this number of one task; counted as applied."""
        found = next((live for live in self._polls if live.applies(poll, prompt)), None)
        return found.applied() if found else None

    def task_rule(self, order: int, prompt: str) -> TaskRule | None:
        """The rule for the task with this number; counted as applied."""
        found = next((live for live in self._tasks if live.applies(order, prompt)), None)
        return found.applied() if found else None
