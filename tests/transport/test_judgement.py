"""The policy's decisions, as tables: what an unclear result counts as, and who sends again."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinovi_async._errors import (
    APIConnectionError,
    APIStatusError,
    ConfigurationError,
    ServerError,
)
from kinovi_async._outcomes import AttemptResult
from kinovi_async._policy import Phase, SubmitEvidence, SubmitPolicy, Verdict
from kinovi_async._transport import (
    Accepted,
    Ambiguous,
    NotSent,
    Rejected,
    ServerFailed,
    SubmitResult,
)
from kinovi_async._transport._answer import Answer
from kinovi_async._transport._failures import Failure, FailureKind
from kinovi_async._transport._judgement import held, judged, resubmission
from kinovi_async._transport._verdict import classify_submission

A = AttemptResult
CLOUDFLARE = {"server": "cloudflare", "cf-ray": "8f2b6c1d9-FRA", "content-type": "text/html"}
PAGE = b"<!DOCTYPE html>\n<html><title>521: Web server is down</title></html>"
VENDOR_500 = Answer(500, {}, b'{"message":"internal error"}')


def result_of(answer: Answer | None, *, phase: Phase = Phase.SENT) -> SubmitResult:
    failure = None if answer is not None else Failure(FailureKind.BROKEN, "ReadError: reset")
    return classify_submission(answer, phase=phase, failure=failure, elapsed=1.0, now=0.0)


def page(status: int, headers: Mapping[str, str] = CLOUDFLARE, body: bytes = PAGE) -> Answer:
    return Answer(status, headers, body)


def saying(word: object) -> SubmitPolicy:
    def classify(_evidence: SubmitEvidence) -> Any:
        return word

    return SubmitPolicy(classify=classify)


# --- the options


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"ambiguous": "retry"}, 'ambiguous must be "hold" or "resubmit", not \'retry\''),
        ({"ambiguous": None}, "ambiguous must be"),
        ({"server_error": "resubmit"}, 'server_error must be "retry" or "hold"'),
        ({"cdn_not_reached": True}, 'cdn_not_reached must be "hold" or "retry"'),
        ({"max_resubmits": -1}, "max_resubmits must be a whole number of at least 0, not -1"),
        ({"max_resubmits": 1.5}, "max_resubmits must be"),
        ({"max_resubmits": True}, "max_resubmits must be"),
        ({"max_server_error_resubmits": -1}, "max_server_error_resubmits must be"),
        ({"max_server_error_resubmits": None}, "max_server_error_resubmits must be"),
        ({"ambiguous": "resubmit"}, "needs max_resubmits"),
        ({"classify": "hold"}, "classify must be a function or None, not str"),
    ],
)
def test_what_is_no_policy_is_refused_in_words(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SubmitPolicy(**options)
    assert says in str(caught.value)


def test_the_defaults_send_nothing_again_but_the_documented_500() -> None:
    policy = SubmitPolicy()
    assert (policy.ambiguous, policy.max_resubmits, policy.cdn_not_reached) == ("hold", 0, "hold")
    assert (policy.server_error, policy.max_server_error_resubmits) == ("retry", 2)
    assert policy.classify is None
    assert pickle.loads(pickle.dumps(policy)) == policy  # noqa: S301


# --- the documented 500


def test_hold_makes_the_documented_500_wait_for_a_person() -> None:
    result = judged(result_of(VENDOR_500), SubmitPolicy(server_error="hold"))
    assert isinstance(result, Ambiguous)
    assert result.error.evidence is not None
    assert result.error.evidence.status == 500
    resubmits = SubmitPolicy(server_error="hold", ambiguous="resubmit", max_resubmits=9)
    result = judged(result_of(VENDOR_500), resubmits)
    assert isinstance(result, Ambiguous)
    assert resubmission(result, [], resubmits) is None


# --- the CDN's pages


@pytest.mark.parametrize("status", [521, 523, 525, 526, 530])
def test_the_cdns_own_page_may_be_taken_for_not_sent(status: int) -> None:
    assert isinstance(judged(result_of(page(status)), SubmitPolicy()), Ambiguous)
    result = judged(result_of(page(status)), SubmitPolicy(cdn_not_reached="retry"))
    assert isinstance(result, NotSent)
    assert result.retryable
    assert result.answered
    assert f"HTTP {status}" in str(result.error)


@pytest.mark.parametrize(
    "answer",
    [
        *(page(status) for status in (500, 502, 503, 504, 520, 522, 524, 527, 200)),
        page(521, {**CLOUDFLARE, "server": "nginx"}),
        page(521, {"server": "cloudflare"}),
        page(521, {"server": "cloudflare", "cf-ray": " "}),
        page(521, {"cf-ray": "abc"}),
        page(521, body=b'{"message":"web server is down"}'),
        page(521, body=b""),
        page(521, body=b"error code: 521"),
        None,
    ],
    ids=lambda answer: str(answer and (answer.status, answer.body[:20])),
)
def test_without_the_whole_proof_it_is_held(answer: Answer | None) -> None:
    result = judged(result_of(answer), SubmitPolicy(cdn_not_reached="retry"))
    assert isinstance(result, Ambiguous)


def test_a_task_id_on_a_cdns_page_is_a_task() -> None:
    answer = page(521, body=b'{"taskId":"task_1"}')
    assert judged(result_of(answer), SubmitPolicy(cdn_not_reached="retry")) == Accepted("task_1")


# --- the user's word


@pytest.mark.parametrize(
    "answer",
    [None, page(502), Answer(200, {}, b"<html>hello</html>"), Answer(408, {}, b""), VENDOR_500],
    ids=["no answer", "502", "200 page", "408", "500"],
)
def test_the_user_has_the_last_word_on_what_is_unclear(answer: Answer | None) -> None:
    before = result_of(answer)
    assert judged(before, saying(None)) == before
    status = answer.status if answer is not None else None

    rejected = judged(before, saying(Verdict.REJECTED))
    assert isinstance(rejected, Rejected)
    assert "says classify" in str(rejected.error)
    if status is None:
        assert type(rejected.error) is APIConnectionError
    else:
        assert isinstance(rejected.error, APIStatusError)
        assert rejected.error.status_code == status

    not_sent = judged(before, saying(Verdict.NOT_SENT))
    assert isinstance(not_sent, NotSent)
    assert not_sent.retryable
    assert not_sent.answered is (answer is not None)

    unclear = judged(before, saying(Verdict.AMBIGUOUS))
    assert isinstance(unclear, Ambiguous)
    assert unclear.final
    assert unclear.error.evidence is not None
    assert unclear.error.evidence.status == status


def test_plain_words_are_verdicts_too() -> None:
    assert isinstance(judged(result_of(None), saying("rejected")), Rejected)


@pytest.mark.parametrize(
    ("answer", "phase"),
    [
        (Answer(200, {}, b'{"taskId":"task_1"}'), Phase.SENT),
        (Answer(429, {}, b'{"message":"Concurrency limit reached (5)"}'), Phase.SENT),
        (Answer(400, {}, b'{"message":"no"}'), Phase.SENT),
        (Answer(403, {}, b"<html>WAF</html>"), Phase.SENT),
        (Answer(425, {}, b""), Phase.SENT),
        (None, Phase.NOT_SENT),
    ],
)
def test_nobody_is_asked_about_what_is_clear(answer: Answer | None, phase: Phase) -> None:
    asked: list[SubmitEvidence] = []

    def classify(evidence: SubmitEvidence) -> Verdict:
        asked.append(evidence)
        return Verdict.REJECTED

    result = result_of(answer, phase=phase)
    assert judged(result, SubmitPolicy(classify=classify)) is result
    assert asked == []


def test_the_users_word_comes_before_the_other_fields() -> None:
    policy = SubmitPolicy(
        cdn_not_reached="retry", ambiguous="resubmit", max_resubmits=5,
        classify=lambda _: Verdict.AMBIGUOUS,
    )  # fmt: skip
    result = judged(result_of(page(521)), policy)
    assert isinstance(result, Ambiguous)
    assert resubmission(result, [], policy) is None


def fails(_evidence: SubmitEvidence) -> Verdict:
    raise ValueError("a mistake of the user's")


async def asynchronous(_evidence: SubmitEvidence) -> Verdict:
    return Verdict.NOT_SENT


@pytest.mark.parametrize(
    ("classify", "told"),
    [
        (fails, "raised"),
        (asynchronous, "not coroutine"),
        (lambda _: "accepted", "not str"),
        (lambda _: True, "not bool"),
        (lambda _: ["rejected"], "not list"),
    ],
    ids=["raises", "async", "unknown word", "bool", "list"],
)
@pytest.mark.parametrize("answer", [None, VENDOR_500], ids=["no answer", "500"])
def test_a_function_that_fails_holds_the_job_and_is_told(
    classify: Callable[[SubmitEvidence], Any],
    told: str,
    answer: Answer | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    policy = SubmitPolicy(classify=classify, ambiguous="resubmit", max_resubmits=9)
    with caplog.at_level(logging.ERROR, logger="kinovi_async"):
        result = judged(result_of(answer), policy)
    assert isinstance(result, Ambiguous)
    assert resubmission(result, [], policy) is None
    assert told in caplog.text
    assert "held" in caplog.text


# --- sending again

AMBIGUOUS = Ambiguous(held(result_of(None)).error)  # type: ignore[arg-type]
FAILED = ServerFailed(ServerError("internal", status_code=500))


@pytest.mark.parametrize(
    ("earlier", "again"),
    [
        ([], True),
        ([None], True),
        ([A.NOT_SENT, A.SERVER_ERROR, A.REJECTED], True),
        ([A.AMBIGUOUS], True),
        ([A.AMBIGUOUS, A.AMBIGUOUS], False),
        ([A.AMBIGUOUS, A.ACCEPTED, A.AMBIGUOUS, A.NOT_SENT], False),  # over all runs
        ([A.AMBIGUOUS] * 5, False),
    ],
)
def test_unclear_answers_are_counted_over_all_attempts(
    earlier: list[AttemptResult | None], *, again: bool
) -> None:
    policy = SubmitPolicy(ambiguous="resubmit", max_resubmits=2)
    assert resubmission(AMBIGUOUS, earlier, policy) is (A.AMBIGUOUS if again else None)
    assert resubmission(AMBIGUOUS, earlier, SubmitPolicy(max_resubmits=2)) is None
    assert resubmission(AMBIGUOUS, earlier, SubmitPolicy()) is None


@pytest.mark.parametrize(
    ("earlier", "again"),
    [
        ([], True),
        ([A.SERVER_ERROR, A.AMBIGUOUS, None], True),
        ([A.SERVER_ERROR, A.SERVER_ERROR], False),
        ([A.SERVER_ERROR, A.SERVER_ERROR, A.ACCEPTED], True),  # settled by a task since
        ([A.SERVER_ERROR, A.ACCEPTED, A.SERVER_ERROR, A.SERVER_ERROR], False),
    ],
)
def test_documented_500s_are_counted_since_the_last_acceptance(
    earlier: list[AttemptResult | None], *, again: bool
) -> None:
    resubmits = SubmitPolicy(ambiguous="resubmit", max_resubmits=9)
    for policy in (SubmitPolicy(), resubmits):  # a 500 never draws on the other count
        assert resubmission(FAILED, earlier, policy) is (A.SERVER_ERROR if again else None)
    assert resubmission(FAILED, earlier, SubmitPolicy(max_server_error_resubmits=0)) is None


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([AMBIGUOUS, FAILED]), max_size=30),
    st.integers(1, 5),
    st.integers(0, 5),
)
def test_no_run_of_unclear_answers_exceeds_the_caps(
    results: list[Ambiguous | ServerFailed], max_resubmits: int, max_server: int
) -> None:
    policy = SubmitPolicy(
        ambiguous="resubmit", max_resubmits=max_resubmits, max_server_error_resubmits=max_server
    )
    posts, earlier = 0, list[AttemptResult | None]()
    for result in results:
        posts += 1
        booked = resubmission(result, earlier, policy)
        if booked is None:
            break
        earlier.append(booked)
    assert posts <= 1 + max_resubmits + max_server
