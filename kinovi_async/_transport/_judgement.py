"""Decides, by the user's policy, what is done about a submission whose result is unclear.

`judged` says what a result counts as, `resubmission` whether it is sent again. Both only
ever see what the facts left open: an answer with a task id, a 429, a refusal and what
provably never left are nobody's to judge.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence

from .._errors import APIConnectionError, KinoviError
from .._outcomes import AttemptResult
from .._policy import SubmitEvidence, SubmitPolicy, Verdict
from ._answer import Answer, error_for
from ._results import Ambiguous, NotSent, Rejected, ServerFailed, SubmitResult
from ._verdict import ambiguous_error

__all__ = ["held", "judged", "resubmission"]

_log = logging.getLogger("kinovi_async")

# "Web server is down", "origin unreachable", "TLS handshake failed", "invalid certificate",
# and the page that goes with Cloudflare's own 1xxx errors. Not 520, 522 and 524: there the
# origin may have had the request.
_NOT_REACHED = {521, 523, 525, 526, 530}


def judged(result: SubmitResult, policy: SubmitPolicy) -> SubmitResult:
    """The result as the policy sees it. The evidence has been cleared of the key."""
    evidence = evidence_of(result)
    if not isinstance(result, Ambiguous | ServerFailed) or evidence is None:
        return result
    if policy.classify is not None:
        try:
            word = _asked(policy, evidence)
        except _NoVerdictError:
            return held(result)
        if word is not None:
            return _said(word, result, evidence)
    if policy.cdn_not_reached == "retry" and _is_cdn_page(evidence):
        error = _error_of(evidence, f"HTTP {evidence.status}: the CDN did not reach the API")
        return NotSent(error, retryable=True, answered=True)
    if isinstance(result, ServerFailed) and policy.server_error == "hold":
        return held(result)
    return result


def resubmission(
    result: Ambiguous | ServerFailed,
    earlier: Sequence[AttemptResult | None],
    policy: SubmitPolicy,
) -> AttemptResult | None:
    """What the attempt is booked as when the request is to be sent again; None: it is held.

    Args:
        result: What `judged` made of it.
        earlier: The results of the job's attempts so far, over all its runs.
        policy: How often it may be sent again.
    """
    if isinstance(result, ServerFailed):
        # Of this run: before it, the job was accepted, and so settled.
        here = list(earlier)
        while AttemptResult.ACCEPTED in here:
            del here[: here.index(AttemptResult.ACCEPTED) + 1]
        count = here.count(AttemptResult.SERVER_ERROR)
        return AttemptResult.SERVER_ERROR if count < policy.max_server_error_resubmits else None
    if result.final or policy.ambiguous != "resubmit":
        return None
    # Of all runs: what was unclear once may be paid, whatever came later.
    count = sum(1 for one in earlier if one is AttemptResult.AMBIGUOUS)
    return AttemptResult.AMBIGUOUS if count < policy.max_resubmits else None


def held(result: Ambiguous | ServerFailed) -> Ambiguous:
    """The same as an unclear result that waits for a person, whatever the policy."""
    if isinstance(result, Ambiguous):
        return Ambiguous(result.error, final=True)
    what = f"the answer was HTTP {result.error.status_code} ({result.error.message})"
    return Ambiguous(ambiguous_error(what, result.evidence), final=True)


def evidence_of(result: SubmitResult) -> SubmitEvidence | None:
    """What is known about an unclear result."""
    if isinstance(result, Ambiguous):
        return result.error.evidence
    return result.evidence if isinstance(result, ServerFailed) else None


class _NoVerdictError(Exception):
    """The user's function failed."""


def _asked(policy: SubmitPolicy, evidence: SubmitEvidence) -> Verdict | None:
    """The word of the user's function.

    Raises:
        _NoVerdictError: It raised, or answered no verdict; logged.
    """
    assert policy.classify is not None  # noqa: S101 - the caller looked
    try:
        word: object = policy.classify(evidence)
    except Exception:  # noqa: BLE001 - the user's function
        _log.exception("SubmitPolicy.classify raised; the submission is held as ambiguous")
        raise _NoVerdictError from None
    if word is None:
        return None
    if inspect.iscoroutine(word):
        word.close()  # or it would warn that nobody awaited it
    try:
        return Verdict(word)  # type: ignore[arg-type]  # also its plain text
    except ValueError:
        _log.error(
            "SubmitPolicy.classify must answer a Verdict or None, not %s; "
            "the submission is held as ambiguous",
            type(word).__name__,
        )
        raise _NoVerdictError from None


def _said(
    word: Verdict, result: Ambiguous | ServerFailed, evidence: SubmitEvidence
) -> SubmitResult:
    """The result as the user's function has it."""
    if word is Verdict.AMBIGUOUS:
        return held(result)
    error = _error_of(evidence, f"{word.value.replace('_', ' ')}, says classify")
    if word is Verdict.REJECTED:
        return Rejected(error)
    return NotSent(error, retryable=True, answered=evidence.status is not None)


def _error_of(evidence: SubmitEvidence, why: str) -> KinoviError:
    """The error that an answer, or the lack of one, stands for."""
    if evidence.status is None:
        return APIConnectionError(f"{why}: {evidence.exception}")
    answer = Answer(evidence.status, evidence.headers, evidence.body, complete=False)
    error = error_for(answer, submission=True, now=0.0)
    error.message = f"{why}: {error.message}"
    error.args = (error.message,)
    return error


def _is_cdn_page(evidence: SubmitEvidence) -> bool:
    """Whether Cloudflare itself says that it did not reach the API's server."""
    headers = evidence.headers
    start = evidence.body.lstrip(b"\xef\xbb\xbf \t\r\n")[:15].lower()
    return (
        evidence.status in _NOT_REACHED
        and headers.get("server", "").strip().lower() == "cloudflare"
        and bool(headers.get("cf-ray", "").strip())
        and start.startswith((b"<!doctype html", b"<html"))
    )
