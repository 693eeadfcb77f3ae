"""What a fault makes of an answer: which one goes out instead, and how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from . import _answers as answers
from ._answers import Answer, Delivery, Way
from ._faults import Fault

_WAYS: Final[Mapping[Fault, Way]] = {
    Fault.BEFORE_ACCEPTANCE_DROP: Way.DROP,
    Fault.LOST_ANSWER: Way.DROP,
    Fault.RESET: Way.RESET,
    Fault.TRUNCATED: Way.TRUNCATE,
    Fault.SLOW: Way.SLOW,
    Fault.POLL_DROP: Way.DROP,
    Fault.SLOW_POLL: Way.SLOW,
    Fault.MEDIA_TRUNCATED: Way.TRUNCATE,
    Fault.UPLOAD_DROP: Way.DROP,
}
_INSTEAD: Final[Mapping[Fault, Answer]] = {
    Fault.ERROR_500: answers.INTERNAL_ERROR,
    Fault.ERROR_500_ACCEPTED: answers.INTERNAL_ERROR,
    Fault.HTML_502: answers.BAD_GATEWAY,
    Fault.HTML_502_ACCEPTED: answers.BAD_GATEWAY,
    Fault.POLL_ERROR: answers.UNAVAILABLE,
    Fault.POLL_HTML: answers.BAD_GATEWAY,
    Fault.POLL_MISSING: answers.TASK_NOT_FOUND,
    Fault.MEDIA_ERROR: answers.UNAVAILABLE,
    Fault.UPLOAD_ERROR: answers.UNAVAILABLE,
    Fault.UPLOAD_REFUSED: answers.ACCESS_DENIED,
}


def delivery(fault: Fault | None, answer: Answer) -> Delivery:
    """What goes out instead of an answer that a fault strikes, and how."""
    if fault is None:
        return Delivery(answer)
    return Delivery(_INSTEAD.get(fault, answer), _WAYS.get(fault, Way.PLAIN))


def scripted(answer: int | Answer, *, limit: int, running: int) -> Answer:
    """The answer a rule gives: its own, or what the documents say of its status."""
    if isinstance(answer, Answer):
        return answer
    if answer == 429:  # noqa: PLR2004 - HTTP
        return answers.limit_reached(limit, running)
    return answers.documented(answer)
