"""What the receiver answers, whatever is posted to it (catalogue 73 to 83)."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Iterable
from random import Random

import anyio
import pytest

from kinovi_async import ConfigurationError, LedgerError
from kinovi_async.webhooks import WebhookReceiver
from kinovi_async.webhooks._address import Signer
from kinovi_async.webhooks._hint import Hint
from kinovi_async.webhooks._receiver import LARGEST_BODY

from .fuzz import MAC_LENGTH, bodies, requests
from .post import PUBLIC_URL, call

SIGNER = Signer("run", [b"a secret of sixteen"])
GOOD = f"/kinovi/{SIGNER.path('job', 1)}"


class FakeMailbox:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.taken: list[Hint] = []
        self.foreign = 0
        self.error: Exception | None = None

    async def signer(self, run: str) -> Signer | None:
        return SIGNER if run == SIGNER.run else None

    async def take(self, hint: Hint) -> None:
        await anyio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        self.taken.append(hint)


@pytest.fixture
def mailbox() -> FakeMailbox:
    return FakeMailbox()


@pytest.fixture
def app(receiver: WebhookReceiver, mailbox: FakeMailbox) -> WebhookReceiver:
    receiver.attach(mailbox)
    return receiver


async def test_a_genuine_webhook_is_handed_on(app: WebhookReceiver, mailbox: FakeMailbox) -> None:
    answer = await call(app, GOOD, b'{"taskId": "t1", "status": "success"}')
    assert (answer.status, answer.body) == (200, b"ok\n")
    assert mailbox.taken == [Hint("job", 1, "t1")]


@pytest.mark.parametrize("mount", ["", "/", "/a", "/a/b/v1/c", "/kinovi/v1"])
async def test_wherever_it_is_mounted(
    app: WebhookReceiver, mailbox: FakeMailbox, mount: str
) -> None:
    """Frameworks differ in what they leave of the path."""
    assert (await call(app, f"{mount.rstrip('/')}/{SIGNER.path('job', 1)}")).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/kinovi",
        GOOD[:-1] + ("A" if GOOD[-1] != "A" else "B"),
        GOOD.replace("/1/", "/2/"),
        GOOD.replace("/run/", "/another/"),
        GOOD + "/..",
        "/../../etc/passwd",
        GOOD.upper(),
        f"/kinovi/{Signer('run', [b'somebody elses secret']).path('job', 1)}",
    ],
)
async def test_forged_addresses_are_a_404_and_leave_no_trace(
    app: WebhookReceiver, mailbox: FakeMailbox, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Catalogue 73: their body is not even read, and nothing of them is echoed or logged."""
    caplog.set_level(logging.DEBUG)

    async def receive() -> dict[str, object]:
        raise AssertionError("the body was read")

    answer = await call(app, path, receive=receive)
    assert (answer.status, answer.body) == (404, b"not found\n")
    assert mailbox.taken == []
    assert caplog.text == ""
    assert app.statistics().forged == 1


async def test_a_genuine_token_is_not_logged_either(
    app: WebhookReceiver, mailbox: FakeMailbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    mailbox.error = LedgerError("disk full")
    assert (await call(app, GOOD)).status == 503
    assert "job job cannot be handed on: disk full" in caplog.text
    assert GOOD[-MAC_LENGTH:] not in caplog.text


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "post"])
async def test_other_methods_are_a_405(app: WebhookReceiver, method: str) -> None:
    """Catalogue 82."""
    for path in (GOOD, "/"):
        answer = await call(app, path, method=method)
        assert answer.status == 405
        assert answer.headers[b"allow"] == b"POST"


async def test_no_header_is_trusted_or_echoed(app: WebhookReceiver, mailbox: FakeMailbox) -> None:
    headers = [
        (b"host", b"evil.example.com"),
        (b"x-forwarded-for", b"127.0.0.1"),
        (b"x-forwarded-prefix", b"/elsewhere"),
        (b"x-original-url", b"/admin"),
        (b"x-http-method-override", b"DELETE"),
    ]
    answer = await call(app, GOOD, headers=headers)
    assert answer.status == 200
    assert b"evil" not in b"".join([*answer.headers.values(), answer.body])


# -- bodies ------------------------------------------------------------------------------


def endless() -> Iterable[bytes]:
    return (b"x" * 1000 for _ in range(10_000))


async def test_a_body_up_to_the_bound_is_read(app: WebhookReceiver) -> None:
    start, end = b'{"taskId": "t", "x": "', b'"}'
    body = start + b"x" * (LARGEST_BODY - len(start) - len(end)) + end
    assert (await call(app, GOOD, body)).status == 200
    assert (await call(app, GOOD, body[:-2] + b'x"}')).status == 413


@pytest.mark.parametrize("length", [b"262145", b"1000000000", b"9" * 5000])
async def test_a_length_beyond_the_bound_is_refused_unread(
    app: WebhookReceiver, length: bytes
) -> None:
    """Catalogue 79."""

    async def receive() -> dict[str, object]:
        raise AssertionError("the body was read")

    answer = await call(app, GOOD, headers=[(b"content-length", length)], receive=receive)
    assert answer.status == 413


async def test_an_endless_body_is_cut_off(app: WebhookReceiver) -> None:
    read = 0

    async def receive() -> dict[str, object]:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b"x" * 1024, "more_body": True}

    assert (await call(app, GOOD, receive=receive)).status == 413
    assert read == 257


async def test_a_body_in_crumbs_is_read(app: WebhookReceiver, mailbox: FakeMailbox) -> None:
    body = b'{"taskId": "t1"}'
    assert (await call(app, GOOD, [body[n : n + 1] for n in range(len(body))])).status == 200
    assert mailbox.taken[0].task_id == "t1"


@pytest.mark.parametrize("coding", [b"gzip", b"br", b"GZIP, gzip", b"deflate"])
async def test_a_compressed_body_is_refused_and_never_unpacked(
    app: WebhookReceiver, coding: bytes
) -> None:
    bomb = gzip.compress(b"0" * 1_000_000)
    assert (await call(app, GOOD, bomb, headers=[(b"content-encoding", coding)])).status == 415
    assert (await call(app, GOOD, bomb)).status == 400
    assert (await call(app, GOOD, headers=[(b"content-encoding", b"identity")])).status == 200


@pytest.mark.parametrize("body", [b"", b"not JSON", b"[]", b"[" * 100_000, b"\x00" * 10, b"NaN"])
async def test_what_is_no_json_object_is_a_400(
    app: WebhookReceiver, mailbox: FakeMailbox, body: bytes
) -> None:
    assert (await call(app, GOOD, body)).status == 400
    assert mailbox.taken == []


async def test_ten_thousand_headers_are_no_trouble(app: WebhookReceiver) -> None:
    headers = [(b"x-%d" % n, b"y" * 100) for n in range(10_000)]
    assert (await call(app, GOOD, headers=headers)).status == 200


async def test_a_sender_that_dribbles_is_cut_off_after_ten_seconds(app: WebhookReceiver) -> None:
    """Catalogue 80; also one that stops altogether."""

    async def dribble() -> dict[str, object]:
        await anyio.sleep(1)
        return {"type": "http.request", "body": b"x", "more_body": True}

    for receive in (dribble, anyio.sleep_forever):
        began = anyio.current_time()
        assert (await call(app, GOOD, receive=receive)).status == 408
        assert anyio.current_time() - began == pytest.approx(10, abs=0.01)


async def test_many_dribblers_do_not_keep_others_out(
    app: WebhookReceiver, mailbox: FakeMailbox
) -> None:
    """Each has ten seconds in all, its turn included."""
    statuses: list[int] = []

    async def dribble() -> None:
        answer = await call(app, GOOD, receive=anyio.sleep_forever)
        statuses.append(answer.status)

    async with anyio.create_task_group() as group:
        for _ in range(200):
            group.start_soon(dribble)
        await anyio.sleep(9)
        assert (await call(app, GOOD, b'{"taskId": "t"}')).status == 200
    assert statuses == [408] * 200


async def test_a_body_that_is_whole_waits_for_no_dribblers(app: WebhookReceiver) -> None:
    """However many there are, at an address that is genuine, and however they take turns."""

    async def dribble(began: float) -> None:
        async def receive() -> dict[str, object]:
            await anyio.sleep(1)
            return {"type": "http.request", "body": b"x", "more_body": True}

        await anyio.sleep(began)
        await call(app, GOOD, receive=receive)

    async with anyio.create_task_group() as group:
        for n in range(400):
            group.start_soon(dribble, n * 0.1)
        for _ in range(8):
            await anyio.sleep(5.05)
            before = anyio.current_time()
            assert (await call(app, GOOD, b'{"taskId": "t"}')).status == 200
            assert anyio.current_time() == before
        group.cancel_scope.cancel()


async def test_a_sender_that_goes_gets_no_answer(
    app: WebhookReceiver, mailbox: FakeMailbox
) -> None:
    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    assert (await call(app, GOOD, receive=receive)).status == 0
    assert mailbox.taken == []


# -- handing on --------------------------------------------------------------------------


@pytest.mark.parametrize("error", [LedgerError("locked"), RuntimeError("a bug")])
async def test_what_cannot_be_handed_on_is_to_come_again(
    app: WebhookReceiver, mailbox: FakeMailbox, error: Exception
) -> None:
    mailbox.error = error
    answer = await call(app, GOOD)
    assert answer.status == 503
    assert answer.headers[b"retry-after"] == b"5"
    assert app.statistics() == (0, 0, 0, 1, 0)


async def test_with_too_many_on_their_way_the_sender_is_to_come_again(
    app: WebhookReceiver, mailbox: FakeMailbox
) -> None:
    statuses: list[int] = []

    class Stuck(FakeMailbox):
        async def take(self, hint: Hint) -> None:
            await anyio.sleep(4)

    app.detach(mailbox)
    app.attach(Stuck())

    async def one() -> None:
        statuses.append((await call(app, GOOD)).status)

    async with anyio.create_task_group() as group:
        for _ in range(1010):
            group.start_soon(one)
    assert (statuses.count(503), statuses.count(200)) == (10, 1000)


async def test_without_a_client_everything_is_a_404(receiver: WebhookReceiver) -> None:
    assert (await call(receiver, GOOD)).status == 404


async def test_a_mailbox_that_cannot_tell_is_passed_over(
    receiver: WebhookReceiver, mailbox: FakeMailbox
) -> None:
    class Broken(FakeMailbox):
        async def signer(self, run: str) -> Signer | None:
            raise LedgerError("disk failure")

    receiver.attach(Broken())
    receiver.attach(mailbox)
    assert (await call(receiver, GOOD)).status == 200


# -- a server by itself --------------------------------------------------------------------


async def test_it_serves_the_lifespan_of_a_server_that_runs_nothing_else(
    app: WebhookReceiver,
) -> None:
    sent: list[object] = []
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive() -> dict[str, object]:
        return dict(messages.pop(0))

    async def send(message: object) -> None:
        sent.append(message)

    await app({"type": "lifespan"}, receive, send)
    assert sent == [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]


async def test_a_websocket_is_closed(app: WebhookReceiver) -> None:
    sent: list[object] = []

    async def receive() -> dict[str, object]:
        return {"type": "websocket.connect"}

    async def send(message: object) -> None:
        sent.append(message)

    await app({"type": "websocket", "path": GOOD}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1000}]


# -- options -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "", "app.example.com", "ftp://x/y", "https://", "https://x/y?z", "https://x/y#z",
        "https://user:password@x/", "https://x:99999/", "https://x/ y", "https://\u0445/", None,
    ],
)  # fmt: skip
async def test_a_public_url_is_one(url: str) -> None:
    with pytest.raises(ConfigurationError, match="public_url is the address") as caught:
        WebhookReceiver(public_url=url)
    assert "password" not in str(caught.value)


@pytest.mark.parametrize("secret", ["short", b"short", [], "", ["long enough, I think", "short"]])
async def test_a_secret_is_long_enough_and_never_quoted(secret: str) -> None:
    with pytest.raises(ConfigurationError, match="at least 16 characters") as caught:
        WebhookReceiver(public_url=PUBLIC_URL, secret=secret)
    assert "short" not in str(caught.value)


async def test_a_secret_is_not_shown() -> None:
    made = WebhookReceiver(public_url=f"{PUBLIC_URL}/", secret="a very secret text")
    assert repr(made) == f"<WebhookReceiver at {PUBLIC_URL}>"


# -- fuzz --------------------------------------------------------------------------------


async def test_no_body_and_no_request_is_a_server_error(
    app: WebhookReceiver, mailbox: FakeMailbox
) -> None:
    """2,000 of the 100,000 that `python -m tests.webhooks.fuzz` posts."""
    rng = Random(7)
    for body in bodies(rng, 1000):
        assert (await call(app, GOOD, body)).status in {200, 400, 413}
    for method, path, headers, body in requests(rng, 1000, GOOD):
        answer = await call(app, path, body, method=method, headers=headers)
        assert answer.status in {200, 400, 404, 405, 413, 415}
    assert app.statistics().failed == 0
