"""What may be submitted again, and what is known about a submission that went wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Literal, TypeAlias, cast

from ._errors import ConfigurationError

__all__ = ["Phase", "SubmitEvidence", "SubmitPolicy", "Verdict"]


class Phase(StrEnum):
    """How far a submission got, as shown by events of the transport, not by exception types."""

    NOT_SENT = "not_sent"
    """Proven: no byte of the request left."""
    SENDING = "sending"
    """Some of the request may have left."""
    SENT = "sent"
    """The whole request left."""
    UNKNOWN = "unknown"
    """The transport shows no events; only a failed connect proves that nothing left."""


@dataclass(frozen=True, slots=True)
class SubmitEvidence:
    """Everything known about one submission, without the key."""

    phase: Phase
    exception: str | None = None
    """Type and text of what went wrong below, None when an answer came."""
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """The answer's headers, names in lower case."""
    body: bytes = b""
    """The first 4,096 bytes of the answer."""
    elapsed: float = 0.0
    """Seconds from the start of the exchange."""
    connection_reused: bool | None = None
    """Whether the connection had carried another request before: then the server may have
    closed it just as the submission left. None when the transport does not show it. Over
    connections of our own every submission has a new one: False."""
    attempt: int = 1
    """Which submission of its job this was, from 1, as in `Attempt.number`."""


class Verdict(StrEnum):
    """What `SubmitPolicy.classify` may say of an unclear submission.

    There is no word for "accepted": a task is proven by its id alone, and where an id can
    be read in an answer, it is read.
    """

    NOT_SENT = "not_sent"
    """The server surely made nothing of it: it is sent again, as often as this is said,
    with growing waits, and its reservation of credits is released."""
    REJECTED = "rejected"
    """The server surely made nothing of it, and would not another time: the job ends as
    `rejected`, which costs nothing."""
    AMBIGUOUS = "ambiguous"
    """It may have been accepted: it is held, whatever else the policy allows."""


Classify: TypeAlias = Callable[[SubmitEvidence], Verdict | None]


@dataclass(frozen=True, slots=True)
class SubmitPolicy:
    """Whether an unclear submission may be sent again. The defaults never pay twice.

    A submission that provably never left, and one refused with 429, are always
    sent again: neither can have been paid. Everything unclear is held as
    `ambiguous`, unless a field below says otherwise; what is sent again after an unclear
    answer keeps its credits counted against the budget, once for each such answer.

    At the very worst one job is paid `1 + max_server_error_resubmits + max_resubmits`
    times; with `ambiguous="hold"` and `server_error="hold"`, once.

    Raises:
        ConfigurationError: A value that is none of the named ones, a count that is no
            whole number of at least 0, a time that is none, or `ambiguous="resubmit"`
            without `max_resubmits`.
    """

    server_error: Literal["retry", "hold"] = "retry"
    """A 500 in the API's own JSON form, documented as "internal error, retry":
    `retry` sends the request again at most twice, `hold` makes the job ambiguous."""
    max_server_error_resubmits: int = 2
    """Times one job is sent again after such a 500; then it is held."""
    ambiguous: Literal["hold", "resubmit"] = "hold"
    """What is done after any other unclear answer, or none: `hold` ends the job as
    `ambiguous`, `resubmit` sends it again, at most `max_resubmits` times. Each time the
    same request may be paid once more. A submission that was on the wire when its process
    died is held in any case."""
    max_resubmits: int = 0
    """Times one job is sent again after an unclear answer, over all its runs: the ledger
    counts them. Read only with `ambiguous="resubmit"`."""
    cdn_not_reached: Literal["hold", "retry"] = "hold"
    """The statuses 521, 523, 525, 526 and 530, with which Cloudflare says that it did not
    reach the API's server: `retry` takes them for not sent, provided that the page is
    Cloudflare's own: `server: cloudflare`, a `cf-ray` header and an HTML body."""
    hold_for_webhook: float | timedelta = 0.0
    """Seconds that an unclear submission waits for its webhook before the fields above
    decide: one that comes proves, by a GET of its task, that it was accepted. Needs a
    client with `webhooks=`. Its credits stay reserved meanwhile, and its slot for as long as
    such a task typically runs. That none came proves nothing. A 500 that may be retried is
    not held. 0: it is settled at once; a webhook that comes later still resolves it."""
    classify: Classify | None = None
    """The last word on an unclear submission: a function, not a coroutine, called once for
    each one with its `SubmitEvidence`. None as its answer leaves the decision to the other
    fields. It is not asked where nothing is unclear: about an answer with a task id, a 429,
    a refusal, and what provably never left. When it raises, or answers anything else, that
    is logged and the job is held."""

    def __post_init__(self) -> None:
        """Checks what the types cannot."""
        _check_word("server_error", self.server_error, ("retry", "hold"))
        _check_word("ambiguous", self.ambiguous, ("hold", "resubmit"))
        _check_word("cdn_not_reached", self.cdn_not_reached, ("hold", "retry"))
        _check_count("max_server_error_resubmits", self.max_server_error_resubmits)
        _check_count("max_resubmits", self.max_resubmits)
        _check_seconds("hold_for_webhook", self.hold_for_webhook)
        if self.ambiguous == "resubmit" and self.max_resubmits == 0:
            raise ConfigurationError(
                'ambiguous="resubmit" needs max_resubmits, the number of times one job may be '
                "sent again after an unclear answer: at least 1"
            )
        if self.classify is not None and not callable(self.classify):
            raise ConfigurationError(
                f"classify must be a function or None, not {type(self.classify).__name__}"
            )


def _check_word(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        words = " or ".join(f'"{word}"' for word in known)
        raise ConfigurationError(f"{name} must be {words}, not {value!r}")


def _check_seconds(name: str, value: object) -> None:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not (number and 0 <= cast("float", seconds) < math.inf):
        msg = f"{name} must be seconds or a timedelta, at least 0, not {value!r}"
        raise ConfigurationError(msg)


def _check_count(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConfigurationError(f"{name} must be a whole number of at least 0, not {value!r}")
