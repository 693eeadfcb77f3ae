"""The verdict table: each row of what a submission may meet, as a case."""

from __future__ import annotations

import gzip
import pickle
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinovi_async._errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConcurrencyLimitError,
    ConfigurationError,
    InsufficientCreditsError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
)
from kinovi_async._policy import Phase
from kinovi_async._transport import (
    Accepted,
    Ambiguous,
    NotSent,
    Refused,
    Rejected,
    ServerFailed,
    SubmitResult,
)
from kinovi_async._transport._answer import Answer, error_for, retry_after
from kinovi_async._transport._failures import Failure, FailureKind
from kinovi_async._transport._trace import PhaseRecorder
from kinovi_async._transport._verdict import classify_submission

NOW = 1_763_710_400.0
K = FailureKind


def verdict(
    answer: Answer | None = None,
    *,
    phase: Phase = Phase.SENT,
    failure: Failure | None = None,
) -> SubmitResult:
    return classify_submission(
        answer, phase=phase, failure=failure, elapsed=1.5, now=NOW, reused=True, attempt=3
    )


UNSENT = [
    (K.CONNECT, True), (K.POOL, True), (K.PROXY, True), (K.BROKEN, True), (K.TIMEOUT, True),
    (K.DEADLINE, True), (K.TLS, False), (K.PROXY_LOGIN, False), (K.INVALID, False),
    (K.OTHER, False),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "retryable"), UNSENT)
def test_before_the_first_byte_nothing_was_sent(kind: FailureKind, *, retryable: bool) -> None:
    result = verdict(phase=Phase.NOT_SENT, failure=Failure(kind, "SomeError: why"))
    assert isinstance(result, NotSent)
    assert result.retryable is retryable
    assert "not sent" in str(result.error)
    expected = ConfigurationError if kind is K.INVALID else APIConnectionError
    assert type(result.error) is expected


def test_a_timeout_before_the_first_byte_is_a_timeout_error() -> None:
    failure = Failure(K.CONNECT, "ConnectTimeout", timed_out=True)
    result = verdict(phase=Phase.NOT_SENT, failure=failure)
    assert isinstance(result, NotSent)
    assert isinstance(result.error, APITimeoutError)


@pytest.mark.parametrize("kind", list(FailureKind))
@pytest.mark.parametrize("phase", [Phase.SENDING, Phase.SENT])
def test_once_a_byte_may_have_left_every_failure_is_ambiguous(
    kind: FailureKind, phase: Phase
) -> None:
    result = verdict(phase=phase, failure=Failure(kind, "ReadError: gone"))
    assert isinstance(result, Ambiguous)
    evidence = result.error.evidence
    assert evidence is not None
    assert (evidence.phase, evidence.exception) == (phase, "ReadError: gone")
    assert evidence.elapsed == 1.5
    assert (evidence.connection_reused, evidence.attempt) == (True, 3)
    assert "ReadError: gone" in str(result.error)
    assert pickle.loads(pickle.dumps(result.error)).evidence == evidence  # noqa: S301


@pytest.mark.parametrize("kind", list(FailureKind))
def test_without_events_only_a_failed_connect_proves_anything(kind: FailureKind) -> None:
    result = verdict(phase=Phase.UNKNOWN, failure=Failure(kind, "x"))
    proven = kind in {K.CONNECT, K.TLS, K.POOL}
    assert isinstance(result, NotSent if proven else Ambiguous)


ANSWERS: list[tuple[int, bytes, type[SubmitResult]]] = [
    (200, b'{"taskId":"task_1"}', Accepted),
    (201, b'{"taskId":"task_1"}', Accepted),
    (200, b'{"code":200,"message":"success","data":{"taskId":"task_1"}}', Accepted),
    (200, b'\xef\xbb\xbf{"taskId":"task_1"}', Accepted),
    (200, '{"taskId":"task_1"}'.encode("utf-16"), Accepted),
    (200, b'<pre>{"taskId":"task_1"}</pre>', Accepted),
    (200, b'{"data":{"task":{"taskId":"task_1"}}}', Accepted),
    (500, b'{"code":200,"data":{"taskId":"task_1"}}', Accepted),
    (502, b'{"taskId":"task_1"}', Accepted),
    (200, b'{"code":500,"message":"x","data":{"taskId":"task_1"}}', Accepted),
    (200, b"", Ambiguous),
    (200, rb'{"taskId":"\q","x', Ambiguous),
    (200, rb'{"taskId":"\q","x":{"taskId":"  "},"taskId":"task_1"', Accepted),
    (200, b"{}", Ambiguous),
    (200, b"<html>hello</html>", Ambiguous),
    (200, b'{"taskId":""}', Ambiguous),
    (200, b'{"taskId":"  "}', Ambiguous),
    (200, b'{"taskId":null}', Ambiguous),
    (200, b'{"taskId":true}', Ambiguous),
    (200, b'{"taskId":[]}', Ambiguous),
    (200, b'{"taskId":"task_', Ambiguous),
    (200, b'{"taskId":12', Ambiguous),
    (200, b'{"code":2038,"message":"?","data":null}', Ambiguous),
    (204, b"", Ambiguous),
    (200, b'{"code":400,"message":"bad"}', Rejected),
    (200, b'{"code":"401","message":"key","data":null}', Rejected),
    (200, b'{"code":402,"message":"credits","data":null}', Rejected),
    (200, b'{"code":422,"message":"field","data":null}', Rejected),
    (200, b'{"code":429,"message":"Concurrency limit reached (5)"}', Refused),
    (200, b'{"code":500,"message":"internal","data":null}', ServerFailed),
    (200, b'{"code":501,"message":"x","data":null}', Ambiguous),
    (200, b'{"code":505,"message":"x","data":null}', Ambiguous),
    (200, b'{"code":408,"message":"x","data":null}', Ambiguous),
    (429, b'{"message":"Concurrency limit reached (5)"}', Refused),
    (429, b"", Refused),
    *((code, b'{"message":"no"}', Rejected) for code in (400, 401, 402, 403, 404, 409, 422)),
    *((code, b"<html>WAF</html>", Rejected) for code in (400, 403, 405, 413, 414, 431, 451)),
    (400, b'{"message":"no","taskId":"task_1"}', Rejected),
    (408, b'{"message":"slow"}', Ambiguous),
    (425, b"", NotSent),
    (407, b"", NotSent),
    (500, b'{"message":"internal"}', ServerFailed),
    (500, b'{"code":500,"message":"internal","data":null}', ServerFailed),
    (500, b"<html>", Ambiguous),
    (500, b"{}", Ambiguous),
    (500, b'{"message":"cut', Ambiguous),
    (500, b'<html>"taskId":"task_1"', Ambiguous),
    *((code, b'{"message":"x"}', Ambiguous) for code in (501, 502, 503, 504)),
    *((code, b"<html>", Ambiguous) for code in (520, 521, 522, 523, 524, 525, 526, 530)),
    *((code, b"", Ambiguous) for code in (300, 301, 302, 303, 304, 307, 308)),
    (302, b'{"taskId":"task_1"}', Ambiguous),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "expected"), ANSWERS)
def test_answers(status: int, body: bytes, expected: type[SubmitResult]) -> None:
    result = verdict(Answer(status, {}, body))
    assert isinstance(result, expected)
    if isinstance(result, Accepted):
        assert result.task_id == "task_1"


@pytest.mark.parametrize(
    ("body", "task_id"),
    [
        (b'{"taskId":123}', "123"),
        (b'{"taskId":"../../x"}', "../../x"),
        (b'{"taskId":"a&b=c\\n"}', "a&b=c\n"),
        (b'{"taskId":" t "}', " t "),
        ('{"taskId":"ä😀"}'.encode(), "ä😀"),
        (b'{"taskId":"' + b"x" * 10_240 + b'"}', "x" * 10_240),
        (rb'{"taskId":"\ud800"}', "\ufffd"),
        (rb'{"taskId":"a\"b","x', 'a"b'),
        (b'{"taskId": 77, "x', "77"),
        (rb'{"taskId":"\ud800","x', "\ufffd"),
    ],
)
def test_ids_are_kept_as_they_came(body: bytes, task_id: str) -> None:
    assert verdict(Answer(200, {}, body)) == Accepted(task_id)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 60), st.integers(200, 299))
def test_an_id_is_salvaged_from_every_cut_behind_it(cut: int, status: int) -> None:
    body = b'{"code":200,"message":"success","data":{"taskId":"task_1"}}'
    result = verdict(
        Answer(status, {}, body[:cut], complete=False), failure=Failure(K.BROKEN, "ReadError")
    )
    if cut >= body.index(b"task_1") + len(b'task_1"'):
        assert result == Accepted("task_1")
    else:
        assert isinstance(result, Ambiguous)


def test_an_id_is_salvaged_from_a_packed_answer_that_was_cut() -> None:
    whole = gzip.compress(b'{"taskId":"task_1","x":"' + bytes(range(32, 127)) * 50 + b'"}')
    found = verdict(Answer(200, {"content-encoding": "gzip"}, whole[:-9], complete=False))
    assert found == Accepted("task_1")


@pytest.mark.parametrize(
    ("status", "body"),
    [(400, b'{"message":"no"}'), (429, b""), (425, b""), (500, b'{"message":"internal"}')],
)
def test_a_transport_that_sent_it_twice_proves_nothing_but_a_task(status: int, body: bytes) -> None:
    def twice(answer: Answer) -> SubmitResult:
        return classify_submission(
            answer, phase=Phase.SENT, failure=None, elapsed=1.5, now=NOW, sends=2
        )

    result = twice(Answer(status, {}, body))
    assert isinstance(result, Ambiguous)
    assert result.error.evidence is not None
    assert result.error.evidence.status == status
    assert twice(Answer(200, {}, b'{"taskId":"task_1"}')) == Accepted("task_1")


@settings(max_examples=300, deadline=None)
@given(st.integers(100, 599), st.binary(max_size=80), st.sampled_from(list(Phase)))
def test_any_answer_gets_a_verdict_and_only_4xx_is_a_refusal(
    status: int, body: bytes, phase: Phase
) -> None:
    result = verdict(Answer(status, {}, body), phase=phase)
    if isinstance(result, Rejected | Refused | NotSent):
        assert 400 <= status < 500


def test_a_documented_500_keeps_its_evidence() -> None:
    result = verdict(Answer(500, {"cf-ray": "abc"}, b'{"message":"internal"}'))
    assert isinstance(result, ServerFailed)
    assert result.evidence is not None
    assert (result.evidence.status, result.evidence.attempt) == (500, 3)
    assert dict(result.evidence.headers) == {"cf-ray": "abc"}


def test_an_exchange_of_which_nothing_is_known_is_ambiguous() -> None:
    assert isinstance(verdict(phase=Phase.SENT), Ambiguous)


def test_evidence_keeps_the_answer_but_no_cookies() -> None:
    result = verdict(Answer(502, {"cf-ray": "abc", "set-cookie": "s=1"}, b"x" * 9_000))
    assert isinstance(result, Ambiguous)
    evidence = result.error.evidence
    assert evidence is not None
    assert evidence.status == 502
    assert dict(evidence.headers) == {"cf-ray": "abc"}
    assert len(evidence.body) == 4_096


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequestError), (401, AuthenticationError), (402, InsufficientCreditsError),
        (403, PermissionDeniedError), (404, NotFoundError), (422, BadRequestError),
        (429, RateLimitError), (500, ServerError), (503, ServerError), (302, APIStatusError),
        (418, APIStatusError),
    ],
)  # fmt: skip
def test_statuses_have_their_errors(status: int, kind: type[APIStatusError]) -> None:
    for answer in (
        Answer(status, {}, b'{"message":"why"}'),
        Answer(200, {}, f'{{"code":{status},"message":"why","data":null}}'.encode()),
    ):
        if answer.status == 200 and status < 400:
            continue
        error = error_for(answer, submission=False, now=NOW, task_id="task_1")
        assert type(error) is kind
        assert (error.status_code, error.message, error.task_id) == (status, "why", "task_1")
        copied = pickle.loads(pickle.dumps(error))  # noqa: S301
        assert (copied.status_code, copied.body) == (status, error.body)


def test_a_402_carries_its_figures() -> None:
    body = b'{"message":"Insufficient credits","required":99.8,"available":"0.10"}'
    for wrapped in (body, b'{"code":402,"message":"Insufficient credits","data":' + body + b"}"):
        error = error_for(Answer(402, {}, wrapped), submission=True, now=NOW)
        assert isinstance(error, InsufficientCreditsError)
        assert (error.required, error.available) == (Decimal("99.8"), Decimal("0.10"))


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"message":"Concurrency limit reached (5)","limit":5,"current":4}', "concurrency"),
        (b'{"message":"Too many running tasks","limit":"5","current":4}', "concurrency"),
        (b'{"message":"Concurrency rate limit","limit":5,"current":4}', "concurrency"),
        (b'{"message":"Rate limit exceeded","limit":5,"current":4}', "rate"),
        (b'{"message":"60 requests per minute"}', "rate"),
        (b"<html>429</html>", "rate"),
        (b'{"error":"slow down"}', "rate"),
        (b"", "rate"),
    ],
)
def test_the_two_kinds_of_429(body: bytes, kind: str) -> None:
    error = error_for(Answer(429, {"retry-after": "7"}, body), submission=True, now=NOW)
    assert isinstance(error, RateLimitError)
    assert error.retry_after == 7.0
    assert isinstance(error, ConcurrencyLimitError) is (kind == "concurrency")
    if isinstance(error, ConcurrencyLimitError):
        assert (error.limit, error.current) == (5, 4)
    poll = error_for(Answer(429, {}, body), submission=False, now=NOW)
    assert type(poll) is RateLimitError


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("5", 5.0), ("0", 0.0), ("-3", 0.0), ("1.5", 1.5), ("1e9", 60.0), ("inf", 60.0),
        ("nan", None), ("", None), ("soon", None), ("Fri, 21 Nov 2025 07:33:30 GMT", 10.0),
        ("Fri, 21 Nov 2025 07:33:30", 10.0), ("Fri, 21 Nov 2008 07:33:30 GMT", 0.0),
        ("Fri, 21 Nov 2099 07:33:30 GMT", 60.0), ("Fri, 99 Nov 2025 07:33:30 GMT", None),
    ],
)  # fmt: skip
def test_retry_after(header: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": header}, now=NOW) == seconds


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_any_retry_after_is_bounded(header: str) -> None:
    seconds = retry_after({"retry-after": header}, now=NOW)
    assert seconds is None or 0 <= seconds <= 60


def test_field_errors_are_folded_into_the_message() -> None:
    body = (
        b'{"message":"Invalid inputs for model","errors":[{"code":"custom","message":"too long",'
        b'"path":["inputs","urls",0]},{"message":"required","path":[]},"plain",7]}'
    )
    error = error_for(Answer(400, {}, body), submission=True, now=NOW)
    assert error.message == "Invalid inputs for model; inputs.urls.0: too long; required; plain"


@pytest.mark.parametrize(
    ("status", "hint"),
    [(403, "firewall"), (413, "too large"), (302, "redirects"), (502, "HTTP 502")],
)
def test_an_answer_without_text_says_what_it_was(status: int, hint: str) -> None:
    error = error_for(Answer(status, {}, b"<html>secret page</html>"), submission=True, now=NOW)
    assert hint in error.message
    assert error.body == "<html>secret page</html>"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":{"message":"nested"}}', "nested"),
        (b'{"msg":"short"}', "short"),
        (b'{"message":"' + b"x" * 5_000 + b'"}', "x" * 999 + "…"),
        (b'{"message":"m","errors":[{"message":"no path"},{"path":"inputs","message":"odd"}]}',
         "m; no path; inputs: odd"),
    ],
)  # fmt: skip
def test_texts_of_other_shapes(body: bytes, message: str) -> None:
    assert error_for(Answer(400, {}, body), submission=True, now=NOW).message == message


def test_figures_that_are_none_are_left_out() -> None:
    body = b'{"message":"x","required":"many","available":true}'
    error = error_for(Answer(402, {}, body), submission=True, now=NOW)
    assert isinstance(error, InsufficientCreditsError)
    assert error.required is error.available is None
    body = b'{"message":"limit","limit":5.0,"current":true}'
    error = error_for(Answer(429, {}, body), submission=True, now=NOW)
    assert isinstance(error, ConcurrencyLimitError)
    assert (error.limit, error.current) == (5, None)


class FakeRequest:
    def __init__(self, method: bytes) -> None:
        self.method = method


class LocalProtocolError(Exception):
    pass


def phase_after(*events: str, speaks: bool = True) -> Phase:
    return recorder_after(*events, speaks=speaks).phase


def recorder_after(*events: str, speaks: bool = True) -> PhaseRecorder:
    recorder = PhaseRecorder(speaks=speaks)
    recorder.begin()
    for event in events:
        name, _, marker = event.partition("!")
        info: dict[str, object] = {}
        if name.endswith("started"):
            info["request"] = FakeRequest(b"CONNECT" if marker == "connect" else b"POST")
        if name.endswith("failed"):
            info["exception"] = LocalProtocolError() if marker == "local" else OSError()
        recorder.note(name, info)
    return recorder


HEADERS, BODY = "http11.send_request_headers", "http11.send_request_body"
CONNECT = [f"{HEADERS}.started!connect", f"{HEADERS}.complete", f"{BODY}.started!connect",
           f"{BODY}.complete"]  # fmt: skip


@pytest.mark.parametrize(
    ("events", "phase"),
    [
        ([], Phase.NOT_SENT),
        (["connection.connect_tcp.started", "connection.connect_tcp.failed"], Phase.NOT_SENT),
        ([f"{HEADERS}.started"], Phase.SENDING),
        ([f"{HEADERS}.started", f"{HEADERS}.failed"], Phase.SENDING),
        ([f"{HEADERS}.started", f"{HEADERS}.failed!local"], Phase.NOT_SENT),
        ([f"{HEADERS}.started", f"{HEADERS}.complete", f"{BODY}.started"], Phase.SENDING),
        ([f"{HEADERS}.started", f"{BODY}.started", f"{BODY}.complete"], Phase.SENT),
        (["http2.send_request_headers.started"], Phase.SENDING),
        (CONNECT, Phase.NOT_SENT),
        ([*CONNECT, "http11.receive_response_headers.failed"], Phase.NOT_SENT),
        ([*CONNECT, f"{HEADERS}.started"], Phase.SENDING),
        # A user's retrying transport: a second try that never left proves nothing.
        ([f"{HEADERS}.started", f"{BODY}.complete", f"{HEADERS}.started",
          f"{HEADERS}.failed!local"], Phase.SENT),
    ],
)  # fmt: skip
def test_the_phase_follows_the_events(events: list[str], phase: Phase) -> None:
    assert phase_after(*events) is phase


TCP = "connection.connect_tcp"
SOCKET = "connection.connect_unix_socket"


@pytest.mark.parametrize(
    ("events", "reused"),
    [
        ([], None),
        ([f"{TCP}.started", f"{TCP}.complete"], None),
        ([f"{TCP}.started", f"{TCP}.complete", f"{HEADERS}.started"], False),
        ([f"{SOCKET}.complete", f"{HEADERS}.started"], False),
        ([f"socks.{TCP.partition('.')[2]}.complete", f"{HEADERS}.started"], False),
        ([f"{TCP}.complete", *CONNECT, f"{HEADERS}.started"], False),
        ([f"{HEADERS}.started"], True),
        # A retrying transport: the last connection is the one that counts.
        ([f"{TCP}.complete", f"{HEADERS}.started", f"{HEADERS}.started"], True),
    ],
)
def test_a_connection_was_reused_unless_it_was_made_for_the_request(
    events: list[str], *, reused: bool | None
) -> None:
    assert recorder_after(*events).reused is reused


def test_silence_proves_nothing_over_a_transport_that_may_be_mute() -> None:
    assert phase_after(speaks=False) is Phase.UNKNOWN
    assert phase_after("connection.connect_tcp.started", speaks=False) is Phase.NOT_SENT
    assert PhaseRecorder(speaks=False).phase is Phase.NOT_SENT  # not begun
