"""The key appears nowhere: not in errors, reprs, tracebacks, logs, or at another server."""

from __future__ import annotations

import copy
import logging
import pickle
import traceback

import anyio
import pytest

from kinovi_async._errors import ConfigurationError, KinoviError
from kinovi_async._policy import SubmitPolicy
from kinovi_async._secrets import ApiKey, redact
from kinovi_async._transport import (
    Accepted,
    Ambiguous,
    HttpTransport,
    NotSent,
    Refused,
    Rejected,
    ServerFailed,
)
from kinovi_async._transport._exchange import POST_TIMEOUTS
from tests.canary import CANARY

from .clients import BODY, KINDS, QUICK, transport_for
from .faultd import Connection, Script, answer, faultd, once


def shown(error: BaseException) -> str:
    """All that any tool could print about an error."""
    texts = [str(error), repr(error), repr(error.args)]
    seen: set[int] = set()
    links: list[BaseException | None] = [error]
    while links:
        link = links.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        links += [link.__cause__, link.__context__]
        report = traceback.TracebackException.from_exception(link, capture_locals=True)
        texts += ["".join(_library_frames(report)), repr(vars(link)) if vars(link) else ""]
    return "\n".join(texts)


def _library_frames(report: traceback.TracebackException) -> list[str]:
    # The test's own frames hold the canary on purpose.
    return [
        f"{frame.name} {frame.locals}" for frame in report.stack if "/tests/" not in frame.filename
    ]


@pytest.mark.parametrize("given", [f'"{CANARY}"', f"'{CANARY}'", f"KINOVI_API_KEY={CANARY}"])
def test_what_an_env_file_leaves_around_a_key_is_told(given: str) -> None:
    with pytest.raises(ConfigurationError, match="give the bare key") as caught:
        ApiKey(given).header()
    assert CANARY not in shown(caught.value)


def test_the_key_is_masked() -> None:
    key = ApiKey(f"  {CANARY}\n")
    assert key.header() == f"Bearer {CANARY}"
    assert CANARY not in f"{key} {key!r} {[key]}"
    for refused in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            refused(key)


@pytest.mark.parametrize(
    "bad", ["", "  \n", f"{CANARY} x", f"{CANARY}\nx", f"{CANARY}\x00", f"{CANARY}é", 5, None]
)
def test_unusable_keys_are_refused_without_showing_them(bad: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ApiKey(bad)
    assert CANARY not in shown(caught.value)
    rotated = ApiKey(lambda: bad)
    with pytest.raises(ConfigurationError) as caught:
        rotated.header()
    assert CANARY not in shown(caught.value)


def test_a_callable_that_raises_is_reported_by_its_type_alone() -> None:
    def source() -> str:
        raise RuntimeError(f"vault said {CANARY}")

    with pytest.raises(ConfigurationError, match="RuntimeError") as caught:
        ApiKey(source).header()
    assert CANARY not in shown(caught.value)
    assert caught.value.__context__ is None


def test_accounts_are_told_apart() -> None:
    keys = iter([CANARY, "another-key-1234"])
    rotating = ApiKey(lambda: next(keys))
    assert rotating.fingerprint() == ApiKey(CANARY).fingerprint()
    assert rotating.fingerprint() == ApiKey("another-key-1234").fingerprint()
    assert ApiKey(CANARY).fingerprint() != ApiKey("another-key-1234").fingerprint()
    assert len(ApiKey(CANARY).fingerprint()) == 16


def test_redaction_covers_keys_handed_out_earlier() -> None:
    keys = iter([CANARY, "another-key-1234"])
    key = ApiKey(lambda: next(keys))
    key.header()
    key.header()
    assert redact(f"{CANARY} and another-key-1234", key) == "*** and ***"
    assert key.redact_bytes(CANARY.encode("utf-16-le")) == "***".encode("utf-16-le")
    assert key.redact_json({"a": [CANARY, 1]}) == {"a": ["***", 1]}
    assert redact("key", ApiKey("key")) == "key"  # too short to be told from words


ECHO = f'{{"message":"Invalid API Key {CANARY}","errors":[{{"message":"{CANARY}"}}]}}'.encode()


async def reset(connection: Connection) -> None:
    await connection.some(1)
    await connection.reset()


LEAKS: list[tuple[str, Script]] = [
    ("echo 400", once(answer(400, ECHO, f"X-Echo: {CANARY}"))),
    ("echo 401", once(answer(401, ECHO))),
    ("echo 429", once(answer(429, ECHO))),
    ("echo 500", once(answer(500, ECHO))),
    ("echo 502", once(answer(502, ECHO, f"X-Echo: Bearer {CANARY}"))),
    ("echo page", once(answer(502, b"<html>" + ECHO))),
    ("echo utf-16", once(answer(502, ECHO.decode().encode("utf-16")))),
    ("echo 200", once(answer(200, ECHO))),
    ("echo garbage", once(CANARY.encode() + b"\r\n\r\n")),
    ("echo cut", once(answer(200, ECHO, length=9_999))),
    ("closed", once(b"")),
    ("reset", reset),
    ("stall", once(b"", then="stall")),
]


@pytest.mark.filterwarnings(
    "ignore:.*ByteStream.__aiter__:pytest.PytestUnraisableExceptionWarning",
    "ignore:.*ByteStream.__aiter__:ResourceWarning",
)
@pytest.mark.parametrize(("name", "script"), LEAKS, ids=[name for name, _ in LEAKS])
@pytest.mark.parametrize("kind", KINDS)
async def test_no_error_shows_the_key(
    kind: str, name: str, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even when the server echoes it, and not at DEBUG level."""
    caplog.set_level(logging.DEBUG)
    stalls = name == "stall"
    errors: list[KinoviError] = []
    async with (
        faultd(script) as server,
        transport_for(
            kind,
            server.url,
            timeout=0.2 if stalls else 5,
            policy=SubmitPolicy(server_error="hold"),
            post_timeouts=QUICK if stalls else POST_TIMEOUTS,
        ) as transport,
    ):
        result = await transport.submit(BODY)
        assert isinstance(result, NotSent | Refused | Rejected | ServerFailed | Ambiguous)
        errors.append(result.error)
        if isinstance(result, Ambiguous):
            assert CANARY not in repr(result.error.evidence)
            assert CANARY.encode() not in pickle.dumps(result.error)
        with pytest.raises(KinoviError) as caught:
            await transport.fetch("task_1")
        errors.append(caught.value)
        assert CANARY not in repr(transport)
    for error in errors:
        assert CANARY not in shown(error)
        assert error.__cause__ is None
        assert error.__context__ is None
    ours = [record for record in caplog.records if record.name == "kinovi_async"]
    assert ours
    assert CANARY not in "".join(record.getMessage() for record in ours)
    if not name.startswith("echo"):  # an echo is logged by httpcore as the server's words
        assert CANARY not in caplog.text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("call", ["submit", "fetch"])
async def test_a_cancellation_does_not_show_the_key(kind: str, call: str) -> None:
    """Its traceback would run through frames of the HTTP library."""
    seen: list[BaseException] = []
    heard = anyio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        heard.set()
        await anyio.sleep_forever()

    async with (
        faultd(script) as server,
        transport_for(kind, server.url, timeout=30) as transport,
        anyio.create_task_group() as group,
    ):

        async def run() -> None:
            try:
                await (transport.submit(BODY) if call == "submit" else transport.fetch("task_1"))
            except BaseException as exc:
                seen.append(exc)
                raise

        group.start_soon(run)
        await heard.wait()
        group.cancel_scope.cancel()
    [cancelled] = seen
    assert CANARY not in shown(cancelled)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(kind: str, status: int) -> None:
    async with (
        faultd(once(answer(200, b'{"taskId":"stolen"}'))) as elsewhere,
        faultd(once(answer(status, b"", f"Location: {elsewhere.url}/x"))) as server,
        transport_for(kind, server.url, follow_redirects=True) as transport,
    ):
        assert isinstance(await transport.submit(BODY), Ambiguous)
        with pytest.raises(KinoviError, match="redirect"):
            await transport.fetch("task_1")
        async with transport.open(f"{server.url}/a.png") as download:
            assert download.status == status
            assert download.headers["location"] == f"{elsewhere.url}/x"
        assert elsewhere.received == b""


@pytest.mark.parametrize("kind", ["httpx", "httpx2"])
async def test_a_clients_own_secrets_stay_out_of_our_requests(kind: str) -> None:
    async with (
        faultd(once(answer(200, b'{"taskId":"task_1"}', "Set-Cookie: s=SECRET-S"))) as server,
        transport_for(
            kind,
            server.url,
            auth=("user", "SECRET-A"),
            cookies={"session": "SECRET-C"},
            headers={"X-Internal": "SECRET-H"},
        ) as transport,
    ):
        assert isinstance(await transport.submit(BODY), Accepted)
        async with transport.open(f"{server.url}/a.png"):
            pass
        posted, fetched = server.requests
    assert b"SECRET" not in posted + fetched
    assert f"authorization: Bearer {CANARY}".encode() in posted
    assert CANARY.encode() not in fetched


@pytest.mark.parametrize("kind", KINDS)
async def test_a_download_carries_nothing_of_the_account(kind: str) -> None:
    """Not even to the API's own origin."""
    async with (
        faultd(once(answer(200, b"x"))) as server,
        transport_for(kind, server.url, default_headers={"X-Team": "red"}) as transport,
        transport.open(f"{server.url}/a.png?sig=1", headers={"Range": "bytes=0-"}) as download,
    ):
        assert [chunk async for chunk in download.aiter_raw()] == [b"x"]
        [request] = server.requests
    assert CANARY.encode() not in request
    assert b"authorization" not in request.lower()
    assert b"x-team" not in request.lower()
    assert b"range: bytes=0-" in request.lower()


async def test_a_rotated_key_is_used_at_each_call() -> None:
    keys = iter(["first-key-1", "second-key-2"])
    async with faultd(once(answer(200, b'{"taskId":"task_1"}'))) as server:
        transport = HttpTransport(ApiKey(lambda: next(keys)), server.url, trust_env=False)
        await transport.submit(BODY)
        await transport.submit(BODY)
        third = await transport.submit(BODY)  # the callable raises StopIteration
        await transport.aclose()
    assert [b"first-key-1" in request for request in server.requests] == [True, False]
    assert isinstance(third, NotSent)
    assert not third.retryable
    assert isinstance(third.error, ConfigurationError)


def test_signatures_in_urls_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with (
            faultd(once(answer(200, b"x"))) as server,
            transport_for("own", server.url) as transport,
            transport.open(f"{server.url}/a.png?sig=SIGNATURE"),
        ):
            pass

    caplog.set_level(logging.DEBUG, "kinovi_async")
    anyio.run(run)
    lines = [r.getMessage() for r in caplog.records if r.name == "kinovi_async"]
    assert any("/a.png 200 in" in line for line in lines)
    assert "SIGNATURE" not in "".join(lines)
