"""The ASGI application: what it answers to whatever is posted to it, and within which bounds.

    405 another method than POST     404 no address of ours, whatever is wrong with it
    415 a compressed body            413 more than 256 kB
    408 not there within 10 s        400 no JSON object
    200 handed on durably            503 that took more than 5 s, or failed: send it again

Nothing of a request is echoed, logged or trusted: no forwarded header, no host, no URL of
the body. A body is read only where the address is genuine.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias
from urllib.parse import urlsplit

import anyio

from .._errors import ConfigurationError, KinoviError
from ._address import NOBODYS, Address, Signer, split_path
from ._hint import Hint, MalformedPayloadError, read_payload

__all__ = ["Mailbox", "ReceiverStatistics", "WebhookReceiver"]

_log = logging.getLogger("kinovi_async")

Scope: TypeAlias = MutableMapping[str, object]
Message: TypeAlias = MutableMapping[str, object]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

LARGEST_BODY: Final = 256 * 1024
"""Bytes; a record with many outputs has a few thousand."""
BODY_SECONDS: Final = 10.0
"""For the whole body, from the request on: a sender that dribbles is cut off."""
ANSWER_SECONDS: Final = 5.0
"""For the handing on: senders give a receiver 15 to 30 s, and a busy ledger needs some."""
BODIES_AT_ONCE: Final = 32
"""Bodies that come in pieces read at a time, so that these take 8 MB at most; the others wait
their turn with one piece each, of 64 kB at most as servers give them."""
HANDED_ON_AT_ONCE: Final = 1000
"""Hints on their way at a time; beyond, the sender is told to come again."""
SHORTEST_SECRET: Final = 16
"""Characters of a secret: 128 bits, if they are random bytes."""

_CONTINUE, _WHOLE = 100, 200
_BODIES: Final = {
    200: b"ok\n",
    400: b"bad request\n",
    404: b"not found\n",
    405: b"method not allowed\n",
    408: b"request timeout\n",
    413: b"content too large\n",
    415: b"unsupported media type\n",
    503: b"try again\n",
}


class ReceiverStatistics(NamedTuple):
    """What a receiver has met so far."""

    handed_on: int
    """Answered with 200."""
    forged: int
    """404: addresses that are none of ours."""
    refused: int
    """400, 405, 408, 413, 415."""
    failed: int
    """503."""
    foreign: int
    """Of those handed on: named a task that is not the job's."""


class Mailbox(Protocol):
    """Where the hints about one ledger's jobs go. A client brings its own."""

    @property
    def foreign(self) -> int:
        """How many hints named a task that is not the job's."""

    async def signer(self, run: str) -> Signer | None:
        """Who made the addresses of that run, if it is the ledger's."""

    async def take(self, hint: Hint) -> None:
        """Hands a hint on; returns when the end of this process would not lose it.

        Raises:
            KinoviError: it cannot.
        """


class WebhookReceiver:
    """Takes the API's webhooks for the clients that were made with it: an ASGI application.

    Mount it wherever `public_url` leads. It needs no framework, no lifespan and no
    database, and belongs to the event loop of its clients. Each client may have one, and
    one may have any number of clients.

    Args:
        public_url: Where the API reaches it from outside: the address of the mount, with
            its path, without a query. Use https.
        secret: Signs the addresses: at least 16 characters (or bytes), random, and never
            the API key. None: each ledger keeps a random one of its own. Several: the
            first signs, the others are accepted still (rotation).

    Raises:
        ConfigurationError: the address or a secret is none; no secret is quoted.
    """

    def __init__(
        self, *, public_url: str, secret: str | bytes | Sequence[str | bytes] | None = None
    ) -> None:
        self._public_url = _checked_url(public_url)
        self._secrets = _checked_secrets(secret)
        self._mailboxes: dict[Mailbox, None] = {}
        self._reading = anyio.Semaphore(BODIES_AT_ONCE)
        self._handing_on = 0
        self._counts = dict.fromkeys(_BODIES, 0)
        self._foreign = 0

    def __repr__(self) -> str:
        return f"<WebhookReceiver at {self._public_url}>"

    @property
    def public_url(self) -> str:
        """Where the API reaches it."""
        return self._public_url

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """What the addresses are signed with; empty: each ledger has its own."""
        return self._secrets

    def statistics(self) -> ReceiverStatistics:
        """What was met so far."""
        counts = self._counts
        return ReceiverStatistics(
            handed_on=counts[200],
            forged=counts[404],
            refused=sum(counts[status] for status in (400, 405, 408, 413, 415)),
            failed=counts[503],
            foreign=self._foreign + sum(each.foreign for each in self._mailboxes),
        )

    def attach(self, mailbox: Mailbox) -> None:
        """From here on hints about its jobs go there. A client does this."""
        self._mailboxes[mailbox] = None

    def detach(self, mailbox: Mailbox) -> None:
        """Its addresses are nobody's from here on. Idempotent."""
        if mailbox in self._mailboxes:
            del self._mailboxes[mailbox]
            self._foreign += mailbox.foreign

    # -- ASGI --------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request, or the lifespan of a server that runs nothing else."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            await self._answer(send, 405)
            return
        address = split_path(str(scope["path"]))
        mailbox = None if address is None else await self._addressee(address)
        key = None if address is None else address.key
        if mailbox is None or address is None or key is None:
            await self._answer(send, 404)
            return
        body = await self._body(scope, receive)
        if isinstance(body, int):
            await self._answer(send, body)
        elif body is not None:
            await self._deliver(mailbox, key, int(address.attempt), body, send)

    async def _addressee(self, address: Address) -> Mailbox | None:
        found: Mailbox | None = None
        proof = NOBODYS
        for mailbox in list(self._mailboxes):
            try:
                signer = await mailbox.signer(address.run)
            except KinoviError as error:
                _log.warning("whose webhook came cannot be told: %s", error)
                continue
            if signer is not None:
                found, proof = mailbox, signer
                break
        return found if proof.proves(address) else None

    # -- the body ----------------------------------------------------------------------

    async def _body(self, scope: Scope, receive: Receive) -> bytes | int | None:
        """The body, the status that refuses it, or None when the sender has gone."""
        status = _objection(scope)
        if status is not None:
            return status
        body = bytearray()  # not a list of chunks: they may be of one byte each
        with anyio.move_on_after(BODY_SECONDS):
            # Nearly every body is whole with its first message, and waits for nobody who dawdles.
            status = await _add_next(receive, body)
            if status == _CONTINUE:
                async with self._reading:
                    while status == _CONTINUE:
                        status = await _add_next(receive, body)
            return bytes(body) if status == _WHOLE else status
        return 408

    async def _deliver(
        self, mailbox: Mailbox, key: str, attempt: int, body: bytes, send: Send
    ) -> None:
        try:
            task_id, ended = read_payload(body)
        except MalformedPayloadError:
            await self._answer(send, 400)
            return
        if self._handing_on >= HANDED_ON_AT_ONCE:
            await self._answer(send, 503)
            return
        self._handing_on += 1
        try:
            await self._hand_on(mailbox, Hint(key, attempt, task_id, ended), send)
        finally:
            self._handing_on -= 1

    async def _hand_on(self, mailbox: Mailbox, hint: Hint, send: Send) -> None:
        """Answers in time, whatever the ledger does; what it has begun is then awaited."""
        status = 503
        done = anyio.Event()

        async def take() -> None:
            nonlocal status
            try:
                await mailbox.take(hint)
                status = 200
            except KinoviError as error:
                _log.error("a webhook for job %s cannot be handed on: %s", hint.key, error)
            except Exception:  # noqa: BLE001 - the sender is told to come again, not of our bug
                _log.exception("a webhook for job %s cannot be handed on", hint.key)
            finally:
                done.set()

        async with anyio.create_task_group() as group:
            group.start_soon(take)
            with anyio.move_on_after(ANSWER_SECONDS):
                await done.wait()
            await self._answer(send, status)

    async def _answer(self, send: Send, status: int) -> None:
        self._counts[status] += 1
        body = _BODIES[status]
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        if status == 405:  # noqa: PLR2004 - HTTP
            headers.append((b"allow", b"POST"))
        elif status == 503:  # noqa: PLR2004 - HTTP
            headers.append((b"retry-after", b"5"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _objection(scope: Scope) -> int | None:
    """What can be refused by the head alone."""
    headers = scope["headers"]
    assert isinstance(headers, Iterable)  # noqa: S101 - ASGI says so
    for name, value in headers:
        if name == b"content-encoding" and value.strip().lower() not in {b"", b"identity"}:
            return 415
        if name == b"content-length" and value.isdigit() and len(value) > len(str(LARGEST_BODY)):
            return 413
        if name == b"content-length" and value.isdigit() and int(value) > LARGEST_BODY:
            return 413
    return None


async def _add_next(receive: Receive, body: bytearray) -> int | None:
    """Adds what comes next: more follows, it is whole, it is too large, or its sender has gone."""
    message = await receive()
    if message["type"] != "http.request":
        return None
    chunk = message.get("body") or b""
    assert isinstance(chunk, bytes)  # noqa: S101 - ASGI says so
    if len(body) + len(chunk) > LARGEST_BODY:
        return 413
    body += chunk
    return _CONTINUE if message.get("more_body") else _WHOLE


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        else:
            await send({"type": "lifespan.shutdown.complete"})
            return


def _checked_url(url: str) -> str:
    url = str(url)
    try:
        parts = urlsplit(url)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_right = urlsplit(""), False
    plain = not (parts.query or parts.fragment or parts.username or parts.password)
    printable = port_is_right and url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in {"http", "https"} or not parts.hostname or not (plain and printable):
        raise ConfigurationError(
            "public_url is the address at which the API reaches the receiver, without user, "
            "query or fragment: https://app.example.com/kinovi"
        )
    return url.rstrip("/")


def _checked_secrets(secret: str | bytes | Sequence[str | bytes] | None) -> tuple[bytes, ...]:
    if secret is None:
        return ()
    several = [secret] if isinstance(secret, str | bytes) else list(secret)
    found = [each.encode() if isinstance(each, str) else bytes(each) for each in several]
    if not found or any(len(each) < SHORTEST_SECRET for each in found):
        raise ConfigurationError(
            f"a webhook secret has at least {SHORTEST_SECRET} characters; make one with "
            "secrets.token_urlsafe()"
        )
    return tuple(found)
