"""Faults the simulator can be asked for: which there are, and how often each strikes.

A rate is a share of the calls it can strike: 0.05 is one in twenty. Which calls those
are follows from the seed (see `_luck`), so a run can be had again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final

from .._errors import ConfigurationError


class Fault(StrEnum):
    """One kind of fault, by the name it has on the command line."""

    # createTask; nothing is accepted
    BEFORE_ACCEPTANCE_DROP = "before-acceptance-drop"
    """The connection is closed without an answer; nothing was accepted."""
    ERROR_500 = "error-500"
    """500 in the API's own JSON form; nothing was accepted."""
    HTML_502 = "html-502"
    """A gateway's HTML page with 502; nothing was accepted."""
    # createTask; the task is accepted, and paid for
    LOST_ANSWER = "lost-answer"
    """The task is accepted, then the connection is closed without an answer."""
    RESET = "reset"
    """The task is accepted, then the connection is reset (RST)."""
    TRUNCATED = "truncated"
    """The task is accepted; the answer breaks off in the middle of its JSON."""
    ERROR_500_ACCEPTED = "error-500-accepted"
    """The task is accepted, yet the answer is a 500 in the API's own JSON form."""
    HTML_502_ACCEPTED = "html-502-accepted"
    """The task is accepted, yet the answer is a gateway's HTML page with 502."""
    SLOW = "slow"
    """The task is accepted and answered properly, `slow_seconds` late."""
    # recordInfo
    POLL_ERROR = "poll-error"
    """503 in the API's own JSON form."""
    POLL_HTML = "poll-html"
    """A gateway's HTML page with 502."""
    POLL_DROP = "poll-drop"
    """The connection is closed without an answer."""
    POLL_MISSING = "poll-missing"
    """404, as right after an acceptance that has not reached every server yet."""
    SLOW_POLL = "slow-poll"
    """The right answer, `slow_seconds` late."""
    # tasks
    FAIL = "fail"
    """The task ends in `fail`, with one of the documented codes; refunded."""
    # downloads
    MEDIA_ERROR = "media-error"
    """503 instead of the file."""
    MEDIA_TRUNCATED = "media-truncated"
    """The file breaks off in the middle."""
    # uploads
    UPLOAD_ERROR = "upload-error"
    """503 from the storage host; nothing was stored."""
    UPLOAD_REFUSED = "upload-refused"
    """403 from the storage host, as for a signature that has run out; nothing was stored."""
    UPLOAD_DROP = "upload-drop"
    """The file is stored, then the connection is closed without an answer."""
    # webhooks
    WEBHOOK_LOST = "webhook-lost"
    """The webhook is never sent."""
    WEBHOOK_TWICE = "webhook-twice"
    """The webhook is sent two times."""


F = Fault
SUBMIT_FAULTS: Final = (
    F.BEFORE_ACCEPTANCE_DROP,
    F.ERROR_500,
    F.HTML_502,
    F.LOST_ANSWER,
    F.RESET,
    F.TRUNCATED,
    F.ERROR_500_ACCEPTED,
    F.HTML_502_ACCEPTED,
    F.SLOW,
)
NOTHING_ACCEPTED: Final = frozenset({F.BEFORE_ACCEPTANCE_DROP, F.ERROR_500, F.HTML_502})
POLL_FAULTS: Final = (F.POLL_ERROR, F.POLL_HTML, F.POLL_DROP, F.POLL_MISSING, F.SLOW_POLL)
TASK_FAULTS: Final = (F.FAIL,)
MEDIA_FAULTS: Final = (F.MEDIA_ERROR, F.MEDIA_TRUNCATED)
UPLOAD_FAULTS: Final = (F.UPLOAD_ERROR, F.UPLOAD_REFUSED, F.UPLOAD_DROP)
WEBHOOK_FAULTS: Final = (F.WEBHOOK_LOST, F.WEBHOOK_TWICE)
_GROUPS: Final = (
    SUBMIT_FAULTS,
    POLL_FAULTS,
    TASK_FAULTS,
    MEDIA_FAULTS,
    UPLOAD_FAULTS,
    WEBHOOK_FAULTS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How often each fault strikes, from 0 (never, the default) to 1 (always).

    The faults of one kind of call exclude each other, so their rates may add up to 1 at
    most. Each field is described at the member of `Fault` with its name. Rates of
    createTask count the calls that would have been accepted: a refused one (400, 402,
    429 ...) is always refused properly.

    Raises:
        ConfigurationError: a rate outside 0 to 1, rates of one kind of call that add up
            to more than 1, or a negative `slow_seconds`.
    """

    before_acceptance_drop: float = 0.0
    error_500: float = 0.0
    html_502: float = 0.0
    lost_answer: float = 0.0
    reset: float = 0.0
    truncated: float = 0.0
    error_500_accepted: float = 0.0
    html_502_accepted: float = 0.0
    slow: float = 0.0
    poll_error: float = 0.0
    poll_html: float = 0.0
    poll_drop: float = 0.0
    poll_missing: float = 0.0
    slow_poll: float = 0.0
    fail: float = 0.0
    media_error: float = 0.0
    media_truncated: float = 0.0
    upload_error: float = 0.0
    upload_refused: float = 0.0
    upload_drop: float = 0.0
    webhook_lost: float = 0.0
    webhook_twice: float = 0.0
    slow_seconds: float = 5.0
    """How late a slow answer comes, in real seconds (`speed` does not change it)."""

    def __post_init__(self) -> None:
        if not 0 <= self.slow_seconds < float("inf"):
            raise ConfigurationError(
                f"slow-seconds is a number of seconds, not {self.slow_seconds}"
            )
        for fault in Fault:
            if not 0 <= self.rate(fault) <= 1:
                raise ConfigurationError(f"{fault} is a share from 0 to 1, not {self.rate(fault)}")
        for group in _GROUPS:
            total = sum(map(self.rate, group))
            # Ten rates of 0.1 may add up to a little over 1.
            if total > 1 + 1e-9:
                raise ConfigurationError(
                    f"the shares of {', '.join(group)} add up to {total:g}, at most 1 is possible"
                )

    def rate(self, fault: Fault) -> float:
        """How often this fault strikes."""
        return float(getattr(self, fault.replace("-", "_")))

    def pick(self, group: Sequence[Fault], roll: float) -> Fault | None:
        """The fault of the group that a number in [0, 1) stands for, or None."""
        for fault in group:
            roll -= self.rate(fault)
            if roll < 0:
                return fault
        return None


_NAMES: Final = tuple(field.name.replace("_", "-") for field in fields(Faults))


def parse_faults(text: str) -> Faults:
    """Faults from `name=rate` pairs separated by commas: `lost-answer=0.05,error-500=0.1`.

    Names are those of `Fault`, and `slow-seconds`; a rate may be written `5%`. An empty
    text means no faults.

    Raises:
        ConfigurationError: an unknown or repeated name, or a value that is no number or
            out of range; the message names what is known.
    """
    given: dict[str, float] = {}
    for part in text.split(","):
        if not part.strip():
            continue
        name, equals, value = (piece.strip() for piece in part.partition("="))
        name = name.lower().replace("_", "-")
        if name not in _NAMES:
            raise ConfigurationError(f"unknown fault {name!r}; known are {', '.join(_NAMES)}")
        if name.replace("-", "_") in given:
            raise ConfigurationError(f"{name} is given two times")
        if not equals or not value:
            raise ConfigurationError(f"{name} needs a number: {name}=0.05")
        given[name.replace("-", "_")] = _number(name, value)
    return Faults(**given)


def _number(name: str, value: str) -> float:
    percent = value.endswith("%")
    try:
        number = float(value.removesuffix("%"))
    except ValueError:
        raise ConfigurationError(f"{name} needs a number, not {value!r}") from None
    if number != number:  # noqa: PLR0124 - how NaN is told
        raise ConfigurationError(f"{name} needs a number, not {value!r}")
    return number / 100 if percent else number
