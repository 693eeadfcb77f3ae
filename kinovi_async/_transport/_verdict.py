"""Decides what one submission came to, from the phase it reached and what came back.

An error type alone proves nothing: a dropped connection looks the same before and after
the server read the request. `not sent` needs the phase as proof, `accepted` a task id,
and whatever is left is ambiguous, since a second try could pay twice. What the user's
policy makes of that is decided in `_judgement`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace

from .._errors import (
    AmbiguousSubmissionError,
    APIConnectionError,
    APITimeoutError,
    ConfigurationError,
    KinoviError,
    RateLimitError,
    ServerError,
)
from .._policy import Phase, SubmitEvidence
from ._answer import Answer, Reading, error_for, read
from ._decoding import unpack
from ._failures import TLS_HINT, Failure, FailureKind
from ._results import (
    Accepted,
    Ambiguous,
    NotSent,
    Refused,
    Rejected,
    ServerFailed,
    SubmitResult,
)

__all__ = ["ambiguous_error", "classify_submission"]

_EVIDENCE_BODY = 4_096
# Names of headers that are no evidence but may be secrets.
_PRIVATE_HEADERS = {"set-cookie", "authorization", "proxy-authenticate", "www-authenticate"}
_BAD_REQUEST, _PROXY_LOGIN, _TIMEOUT, _TOO_EARLY, _TOO_MANY, _SERVER_ERROR = (
    400, 407, 408, 425, 429, 500,
)  # fmt: skip
_UNSENT_KINDS = {FailureKind.CONNECT, FailureKind.TLS, FailureKind.POOL}
# What a new try cannot mend.
_HOPELESS_KINDS = {
    FailureKind.TLS,
    FailureKind.PROXY_LOGIN,
    FailureKind.INVALID,
    FailureKind.OTHER,
}
# A complete JSON string (or number) after "taskId", in a body that is cut off or damaged.
_SALVAGE = re.compile(r'"task_?[iI]d"\s*:\s*(?:("(?:[^"\\\x00-\x1f]|\\.)+")|([0-9]+)\s*[,}\]])')


def classify_submission(
    answer: Answer | None,
    *,
    phase: Phase,
    failure: Failure | None,
    elapsed: float,
    now: float,
    reused: bool | None = None,
    sends: int = 1,
    attempt: int = 1,
) -> SubmitResult:
    """What one POST of createTask came to.

    Args:
        answer: What came back, as far as it came; None when not even a status did.
        phase: How far the request got.
        failure: What went wrong below, None when the exchange ended well.
        elapsed: Seconds since its start.
        now: Wall clock, seconds since the epoch.
        reused: Whether its connection was used before, None when unknown.
        sends: Times the transport sent it: one that repeats by itself shows us the last
            answer only, which says nothing of the others.
        attempt: Which submission of its job it was, from 1.
    """
    seen = SubmitEvidence(
        phase=phase,
        exception=failure.text if failure is not None else None,
        elapsed=elapsed,
        connection_reused=reused,
        attempt=attempt,
    )
    if answer is not None:
        result = _from_answer(answer, seen, failure=failure, now=now)
        if sends > 1 and not isinstance(result, Accepted | Ambiguous):
            what = f"http_client sent it {sends} times; the last answer was HTTP {answer.status}"
            return Ambiguous(ambiguous_error(what, _with_answer(seen, answer)))
        return result
    if failure is None:
        failure = Failure(FailureKind.OTHER, "no answer")
    unsent = phase is Phase.NOT_SENT or (phase is Phase.UNKNOWN and failure.kind in _UNSENT_KINDS)
    if unsent:
        return NotSent(_unsent_error(failure), retryable=failure.kind not in _HOPELESS_KINDS)
    seen = replace(seen, exception=failure.text)
    return Ambiguous(ambiguous_error(_where(phase, failure), seen))


def _from_answer(
    answer: Answer, seen: SubmitEvidence, *, failure: Failure | None, now: float
) -> SubmitResult:
    reading = read(answer)
    task_id = _task_id(answer, reading)
    if task_id is not None:
        return Accepted(task_id)
    status = reading.status
    error = error_for(answer, submission=True, now=now)
    if status == _TOO_EARLY:
        return NotSent(error, retryable=True, answered=True)
    if answer.status == _PROXY_LOGIN:
        return NotSent(APIConnectionError("the proxy wants a login (407)"), retryable=False)
    if _BAD_REQUEST <= status < _SERVER_ERROR and status != _TIMEOUT:
        return Refused(error) if isinstance(error, RateLimitError) else Rejected(error)
    evidence = _with_answer(seen, answer)
    if status == _SERVER_ERROR and reading.vendor and isinstance(error, ServerError):
        return ServerFailed(error, evidence)
    return Ambiguous(ambiguous_error(_what(answer, reading, failure), evidence))


def _with_answer(seen: SubmitEvidence, answer: Answer) -> SubmitEvidence:
    return replace(
        seen,
        status=answer.status,
        headers={k: v for k, v in answer.headers.items() if k not in _PRIVATE_HEADERS},
        body=answer.body[:_EVIDENCE_BODY],
    )


def _task_id(answer: Answer, reading: Reading) -> str | None:
    """The task's id, when the answer proves that there is a task.

    A readable id wins over every code beside it, except an HTTP status that refuses the
    request: taking a paid task for a refusal would pay twice, the reverse only polls in vain.
    """
    if not answer.is_success and answer.status < _SERVER_ERROR:
        return None
    if isinstance(reading.data, Mapping):
        inner = reading.data.get("data")
        for place in (reading.data, inner):
            if isinstance(place, Mapping):
                found = _id_text(place.get("taskId")) or _id_text(place.get("task_id"))
                if found is not None:
                    return found
    if answer.is_success and (not reading.readable or reading.status < _BAD_REQUEST):
        plain = unpack(answer.body, answer.headers)
        return _salvaged(plain) or (_salvaged(answer.body) if plain != answer.body else None)
    return None


def _id_text(value: object) -> str | None:
    """The id as text, kept as it came; None when it is no id at all."""
    if isinstance(value, str):
        return value if value.strip() else None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def _salvaged(body: bytes) -> str | None:
    """A complete task id in a body that is no JSON (any more)."""
    text = body.decode(json.detect_encoding(body), "replace") if body else ""
    for match in _SALVAGE.finditer(text):
        try:
            found = _id_text(json.loads(match[1] or match[2]))
        except ValueError:
            continue
        if found is not None:
            return found.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return None


def _unsent_error(failure: Failure) -> KinoviError:
    text = f"the submission was not sent: {failure.text}"
    if failure.kind is FailureKind.INVALID:
        return ConfigurationError(text)
    if failure.kind is FailureKind.TLS:
        text += TLS_HINT
    return APITimeoutError(text) if failure.timed_out else APIConnectionError(text)


def ambiguous_error(what: str, evidence: SubmitEvidence | None) -> AmbiguousSubmissionError:
    """The error of a submission that may have been accepted."""
    error = AmbiguousSubmissionError(f"the submission may or may not have been accepted: {what}")
    error.evidence = evidence
    return error


def _where(phase: Phase, failure: Failure) -> str:
    stage = {
        Phase.SENDING: "it broke off while the request was being sent",
        Phase.SENT: "no answer came after the request was sent",
    }.get(phase, "no answer came and the transport does not show what was sent")
    return f"{stage} ({failure.text})"


def _what(answer: Answer, reading: Reading, failure: Failure | None) -> str:
    shown = f"HTTP {answer.status}"
    if reading.status != answer.status:
        shown += f" with code {reading.status}"
    if failure is not None:
        return f"the answer broke off after {shown} ({failure.text})"
    if not answer.is_success or reading.status >= _BAD_REQUEST:
        return f"the answer was {shown}"
    return f"the answer was {shown} without a task id"
