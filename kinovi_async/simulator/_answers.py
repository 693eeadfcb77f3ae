"""Answers of the API: what each documented refusal and each undocumented page looks like."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, auto
from typing import Final

from .._errors import Problem


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer: for a script, any the tests of an application need.

    Example: `Answer.json(429, {"message": "Too many requests"}, {"Retry-After": "2"})`.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, status: int, payload: object, headers: Mapping[str, str] | None = None) -> Answer:
        """An answer in JSON."""
        kind = {"Content-Type": "application/json; charset=utf-8"}
        return cls(status, render(payload), {**kind, **(headers or {})})

    @classmethod
    def html(cls, status: int, page: str) -> Answer:
        """An HTML page, as gateways send them."""
        return cls(status, page.encode(), {"Content-Type": "text/html; charset=utf-8"})


class Way(Enum):
    """How an answer goes out."""

    PLAIN = auto()
    DROP = auto()
    """Not at all: the connection is closed."""
    RESET = auto()
    """Not at all: the connection is reset."""
    TRUNCATE = auto()
    """The first half, then the connection is closed."""
    SLOW = auto()
    """Late."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An answer and the way it goes out."""

    answer: Answer
    way: Way = Way.PLAIN


def render(payload: object) -> bytes:
    """JSON in ASCII, which holds any text a client may have sent."""
    return json.dumps(payload, separators=(",", ":"), default=_number).encode("ascii")


def _number(value: object) -> object:
    if isinstance(value, Decimal):
        return number(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def number(value: Decimal) -> int | float:
    """A number of credits as the API writes it."""
    return int(value) if value == value.to_integral_value() else float(value)


def refusal(status: int, message: str, **more: object) -> Answer:
    """A refusal in the API's form: `message` and what belongs to it."""
    return Answer.json(status, {"message": message, **more})


NO_AUTHORIZATION: Final = refusal(401, "Missing Authorization header")
INVALID_KEY: Final = refusal(401, "Invalid API Key")
NOT_ENABLED: Final = refusal(403, "API access not enabled for this account")
ACCESS_DENIED: Final = refusal(403, "Access denied")
TASK_NOT_FOUND: Final = refusal(404, "Task not found")
MISSING_TASK_ID: Final = refusal(400, "Missing taskId parameter")
INVALID_TASK_ID: Final = refusal(400, "Invalid taskId")
TOO_LARGE: Final = refusal(413, "Request body too large")
INTERNAL_ERROR: Final = refusal(500, "Internal server error, please retry")
UNAVAILABLE: Final = refusal(503, "Service temporarily unavailable")
BAD_GATEWAY: Final = Answer.html(
    502,
    "<html>\n<head><title>502 Bad Gateway</title></head>\n<body>\n"
    "<center><h1>502 Bad Gateway</h1></center>\n<hr><center>nginx</center>\n"
    "</body>\n</html>\n",
)


def insufficient(required: Decimal, available: Decimal) -> Answer:
    """402, in credits."""
    return refusal(
        402, "Insufficient credits", required=number(required), available=number(available)
    )


def limit_reached(limit: int, current: int) -> Answer:
    """The 429 of createTask."""
    message = f"Concurrency limit reached ({limit}). Wait for a running task to finish."
    return refusal(429, message, limit=limit, current=current)


def bad_request(message: str, problems: Sequence[Problem]) -> Answer:
    """400 with an entry per problem, each with the path of its field."""
    errors = [
        {"code": "custom", "message": _sentence(problem), "path": _path(problem.field)}
        for problem in problems
    ]
    return refusal(400, message, errors=errors)


def _sentence(problem: Problem) -> str:
    return f"{problem.allowed}, not {problem.given}" if problem.given else problem.allowed


def _path(field_name: str) -> list[str]:
    # The documents give paths from within `inputs`.
    return field_name.removeprefix("inputs.").split(".")


def documented(status: int) -> Answer:
    """What the documents say of a status, in the API's form, for scripts that name it alone."""
    known = {
        400: refusal(400, "Invalid request parameters"),
        401: INVALID_KEY,
        402: insufficient(Decimal(200), Decimal(0)),
        403: NOT_ENABLED,
        404: TASK_NOT_FOUND,
        500: INTERNAL_ERROR,
        503: UNAVAILABLE,
    }
    return known.get(status) or refusal(status, f"Status {status}")
