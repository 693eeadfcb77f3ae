"""What an answer of the API means: its status, its error, its payload.

The status that counts is the HTTP one, or the code inside the envelope when HTTP says
success. Error texts come from the answer's own JSON where there is some.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime

from .._errors import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ConcurrencyLimitError,
    InsufficientCreditsError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
)
from ._decoding import decode_json, unpack

__all__ = ["MAX_RETRY_AFTER", "Answer", "Reading", "error_for", "read", "retry_after"]

MAX_RETRY_AFTER = 60.0
"""Seconds a Retry-After header is obeyed at most: a server cannot stop a client for a day."""
OK, MULTIPLE_CHOICES = 200, 300
BAD_REQUEST, SERVER_ERROR, LAST_STATUS = 400, 500, 599
_MAX_MESSAGE = 1_000
_MAX_TEXT_BODY = 2_000
# "rate limit", "request rate", "5 requests per minute"; a text that speaks of concurrency
# as well is about concurrency (one of the API's pages says "rate limit / concurrency").
_RATE = re.compile(r"\brates?\b|rate[-_ ]?limit|requests? per ", re.IGNORECASE)
_CONCURRENCY = re.compile(r"concurren", re.IGNORECASE)

_CLASSES: Mapping[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: InsufficientCreditsError,
    403: PermissionDeniedError,
    404: NotFoundError,
    422: BadRequestError,
    429: RateLimitError,
}
_HINTS: Mapping[int, str] = {
    301: "redirects are never followed; check base_url",
    302: "redirects are never followed; check base_url",
    303: "redirects are never followed; check base_url",
    307: "redirects are never followed; check base_url",
    308: "redirects are never followed; check base_url",
    413: "the request is too large",
    414: "the address is too long",
    431: "the request's headers are too large",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """The bytes of one HTTP answer, as far as they came."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case."""
    body: bytes = b""
    """At most 4 MiB, as they came over the wire."""
    complete: bool = True
    """False when the connection broke, time ran out or the cap was met before the end."""

    @property
    def is_success(self) -> bool:
        """Whether HTTP says success."""
        return OK <= self.status < MULTIPLE_CHOICES


@dataclass(frozen=True, slots=True)
class Reading:
    """An answer, understood."""

    status: int
    """What counts: the HTTP status, or the envelope's code when HTTP says success."""
    data: object
    """The JSON value, None when there is none."""
    vendor: bool
    """Whether the JSON has a form of the API: an envelope, or an object with a message."""
    readable: bool
    """Whether the body is JSON at all."""


def read(answer: Answer) -> Reading:
    """Understands an answer; never raises."""
    try:
        data = decode_json(unpack(answer.body, answer.headers))
    except InvalidResponseError:
        return Reading(answer.status, None, vendor=False, readable=False)
    status, vendor = answer.status, False
    if isinstance(data, Mapping):
        code = _envelope_code(data)
        vendor = code is not None or isinstance(data.get("message"), str)
        if code is not None and answer.is_success and BAD_REQUEST <= code <= LAST_STATUS:
            status = code
    return Reading(status, data, vendor=vendor, readable=True)


def _envelope_code(data: Mapping[str, object]) -> int | None:
    """The code of `{code, message, data}`; a bare record or error has none."""
    if "code" not in data or not ({"data", "message", "msg"} & data.keys()):
        return None
    return _integer(data["code"])


def error_for(
    answer: Answer, *, submission: bool, now: float, task_id: str | None = None
) -> APIStatusError:
    """The error that an answer with an error status stands for.

    Args:
        answer: Its status, or the code in its envelope, is no success.
        submission: Whether it answers createTask, whose 429 is the concurrency limit
            unless the body is not the API's own or speaks of a rate.
        now: Wall clock, seconds since the epoch, for a Retry-After that is a date.
        task_id: The task asked for, if any.
    """
    reading = read(answer)
    message, fields = _message(reading, answer), _fields(reading.data)
    kind = _CLASSES.get(reading.status)
    if kind is None:
        kind = ServerError if reading.status >= SERVER_ERROR else APIStatusError
    if kind is RateLimitError and submission and reading.vendor and not _about_rate(message):
        kind = ConcurrencyLimitError
    body = reading.data if reading.readable else _text(answer)
    error = kind(message, status_code=reading.status, body=body, task_id=task_id)
    if isinstance(error, InsufficientCreditsError):
        error.required = _credits(fields.get("required"))
        error.available = _credits(fields.get("available"))
    if isinstance(error, RateLimitError):
        error.retry_after = retry_after(answer.headers, now=now)
    if isinstance(error, ConcurrencyLimitError):
        error.limit = _integer(fields.get("limit"))
        error.current = _integer(fields.get("current"))
    return error


def retry_after(headers: Mapping[str, str], *, now: float) -> float | None:
    """Seconds to wait by the Retry-After header: 0 to 60, None when it says nothing usable."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
    if math.isnan(seconds):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _about_rate(message: str) -> bool:
    return bool(_RATE.search(message)) and not _CONCURRENCY.search(message)


def _message(reading: Reading, answer: Answer) -> str:
    """One line for people: the server's text with its field errors, or the status with a hint."""
    data = reading.data
    text: object = None
    if isinstance(data, Mapping):
        text = data.get("message") or data.get("msg") or data.get("error") or data.get("detail")
        if isinstance(text, Mapping):
            text = text.get("message")
    if isinstance(text, str) and text.strip():
        return _shortened(text.strip() + _field_errors(data))
    hint = _HINTS.get(reading.status)
    if hint is None and not reading.vendor and BAD_REQUEST <= reading.status < SERVER_ERROR:
        hint = "no answer of the API itself: blocked by a proxy or a firewall?"
    if hint is None and answer.complete is False:
        hint = "the answer was cut off"
    return f"HTTP {reading.status}" + (f": {hint}" if hint else "")


def _field_errors(data: object) -> str:
    """`errors: [{path: [...], message}]` of a 400, as `; inputs.duration: ...`."""
    errors = data.get("errors") if isinstance(data, Mapping) else None
    if not isinstance(errors, list):
        return ""
    lines = []
    for error in errors[:20]:
        if isinstance(error, str):
            lines.append(error)
        elif isinstance(error, Mapping) and isinstance(error.get("message"), str):
            path = error.get("path")
            steps = path if isinstance(path, list) else [] if path is None else [path]
            where = ".".join(str(step) for step in steps)
            lines.append(f"{where}: {error['message']}" if where else error["message"])
    return "".join(f"; {line}" for line in lines)


def _fields(data: object) -> Mapping[str, object]:
    """The figures beside the message, which an envelope keeps in its data."""
    if not isinstance(data, Mapping):
        return {}
    inner = data.get("data")
    return {**inner, **data} if isinstance(inner, Mapping) else data


def _text(answer: Answer) -> str:
    return unpack(answer.body, answer.headers)[:_MAX_TEXT_BODY].decode("utf-8", "replace")


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_MESSAGE else text[: _MAX_MESSAGE - 1] + "…"


def _integer(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,18}\s*", value):
        return int(value)
    return None


def _credits(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
