"""Uploads a file: asks the API for a place, then PUTs the bytes there without the key.

Both steps cost nothing and may be repeated, as a GET may. The place is a signed address
on a storage host: it is used once, and each repeat asks for a new one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel

from .._errors import (
    APIConnectionError,
    ConfigurationError,
    InvalidResponseError,
    KinoviError,
    UploadError,
)
from ._addresses import is_loopback, origin_of
from ._answer import Answer, error_for, read, retry_after
from ._exchange import Call, Lane, Progress, Timeouts, Wire
from ._failures import Failure, FailureKind, error_of
from ._headers import upload_headers
from ._retry import RetryPlan

__all__ = ["FileContent", "OnProgress", "UploadTransport", "Uploaded", "upload"]

OnProgress = Callable[[int, int], None]
"""Told how many bytes were handed over, and how many there are."""

_UPLOADS = "/uploads"
_OK, _MULTIPLE_CHOICES = 200, 300
# The documents' 24 hours, in seconds, when the answer does not say how long a file lives.
_LIFETIME = 86_400.0
# A signature that has run out, a request that came in too slowly, too many, and the storage
# host's own trouble: a new place may do.
_WORTH_ANOTHER = frozenset({403, 408, 429, 500, 502, 503, 504})


class FileContent(Protocol):
    """A file on its way to the server."""

    @property
    def name(self) -> str:
        """For the server, with an extension that fits the type."""

    @property
    def media_type(self) -> str:
        """As its content shows it."""

    @property
    def size(self) -> int:
        """Bytes."""

    def chunks(self) -> Iterator[bytes]:
        """The bytes from the start, each time it is called.

        Raises:
            KinoviError: they are not what they were; the exchange is broken off.
        """


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A file that the server has."""

    url: str
    """For references."""
    lives: float
    """Seconds from now until the server drops it."""


class UploadTransport(Protocol):
    """What uploads files."""

    async def upload(
        self, content: FileContent, *, on_progress: OnProgress | None = None
    ) -> Uploaded:
        """Uploads a file; a failure is repeated as that of a GET is.

        Raises:
            UploadError: the storage host refused it.
            APIError: what the last try came to.
            Exception: what `content` or `on_progress` raised.
        """


class Body:
    """A request's body in pieces; its own iterator, which leaves no generator behind."""

    def __init__(self, content: FileContent, on_progress: OnProgress | None) -> None:
        self._content = content
        self._tell = on_progress
        self._chunks: Iterator[bytes] = iter(())
        self._sent = 0
        self.error: Exception | None = None
        """What the file's own reading raised, or who is told of the progress."""

    def __aiter__(self) -> Body:
        self._chunks = self._content.chunks()
        self._sent = 0
        return self

    async def __anext__(self) -> bytes:
        await anyio.lowlevel.checkpoint()
        try:
            chunk = next(self._chunks, None)
            if chunk is not None:
                self._sent += len(chunk)
                if self._tell is not None:
                    self._tell(self._sent, self._content.size)
        except Exception as error:  # noqa: BLE001 - raised again once the exchange is over
            told = error.__traceback__
            self.error = error.with_traceback(told.tb_next if told else None)
            raise OSError("the file cannot be sent") from None
        if chunk is None:
            raise StopAsyncIteration
        return chunk


@dataclass(frozen=True, slots=True)
class _Miss:
    error: KinoviError
    retry_after: float | None = None
    worth_another: bool = False
    """Though the kind of its error does not say so."""


@dataclass(frozen=True, slots=True)
class _Place:
    put_to: str
    content_type: str
    url: str
    lives: float


async def upload(
    content: FileContent,
    *,
    wire: Wire,
    ask: Call,
    timeouts: Timeouts,
    plan: RetryPlan,
    now: Callable[[], float],
    on_progress: OnProgress | None = None,
) -> Uploaded:
    """See `UploadTransport.upload`. `ask` is a call to the API, without its path and body."""
    body = json.dumps({"fileName": content.name, "contentType": content.media_type}).encode()
    call = replace(ask, url=ask.url + _UPLOADS, method="POST", content=body)
    while True:
        place = await _ask(content, call, wire, now)
        result: Uploaded | _Miss
        if isinstance(place, _Miss):
            result = place
        else:
            result = await _put(content, place, wire, timeouts, on_progress)
        if isinstance(result, Uploaded):
            plan.succeeded()
            return result
        judged = APIConnectionError("") if result.worth_another else result.error
        wait = plan.next_wait(judged, now=anyio.current_time(), retry_after=result.retry_after)
        if wait is None:
            raise result.error
        await anyio.sleep(wait)


async def _ask(
    content: FileContent, call: Call, wire: Wire, now: Callable[[], float]
) -> _Place | _Miss:
    progress = Progress(speaks=wire.speaks)
    await wire.run(call, progress)
    return _understood(progress, content, now(), secure=call.url.startswith("https:"))


async def _put(
    content: FileContent,
    place: _Place,
    wire: Wire,
    timeouts: Timeouts,
    on_progress: OnProgress | None,
) -> Uploaded | _Miss:
    body = Body(content, on_progress)
    put = Call(
        method="PUT",
        url=place.put_to,
        headers=upload_headers(place.content_type, content.size),
        content=None,
        body=body,
        # The size of the file decides how long it takes: each step is bounded, not the whole.
        timeouts=replace(timeouts, total=None),
        lane=Lane.DOWNLOAD,
        fresh=True,
    )
    progress = Progress(speaks=wire.speaks)
    await wire.run(put, progress)
    if body.error is not None:
        raise body.error
    missed = _put_missed(progress, place.put_to)
    return missed or Uploaded(place.url, place.lives)


def _understood(
    progress: Progress, content: FileContent, now: float, *, secure: bool
) -> _Place | _Miss:
    answer = progress.answer()
    if answer is None or (answer.is_success and progress.failure is not None):
        return _Miss(_failed(progress, f"POST {_UPLOADS}"))
    reading = read(answer)
    if not _OK <= reading.status < _MULTIPLE_CHOICES:
        error = error_for(answer, submission=False, now=now)
        return _Miss(error, retry_after(answer.headers, now=now))
    data = reading.data
    if isinstance(data, Mapping) and isinstance(data.get("data"), Mapping):
        data = data["data"]
    place = _place(data, content, secure=secure)
    return place or _Miss(InvalidResponseError(f"POST {_UPLOADS}: no usable upload address"))


def _place(data: object, content: FileContent, *, secure: bool) -> _Place | None:
    if not isinstance(data, Mapping):
        return None
    put_to, url, kind = data.get("uploadUrl"), data.get("url"), data.get("contentType")
    method, lives = data.get("method", "PUT"), data.get("assetTtlSeconds")
    if not (_is_address(put_to, secure=secure) and _is_address(url, secure=False)):
        return None
    if not isinstance(method, str) or method.upper() != "PUT":
        return None
    if isinstance(lives, bool) or not isinstance(lives, int | float) or not lives > 0:
        lives = _LIFETIME
    if not isinstance(kind, str) or not kind.isascii() or not kind.isprintable():
        kind = content.media_type
    return _Place(str(put_to), kind, str(url), min(float(lives), _LIFETIME))


def _is_address(value: object, *, secure: bool) -> bool:
    """Whether a file may go there: over https, or to this machine when the API is on it."""
    if not isinstance(value, str):
        return False
    try:
        origin_of(value)
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme == "https" or (not secure and is_loopback(parts.hostname or ""))


def _put_missed(progress: Progress, address: str) -> _Miss | None:
    # Without the query, which signs the address.
    what = f"PUT {urlsplit(address).hostname}"
    answer: Answer | None = progress.answer()
    if answer is None:
        return _Miss(_failed(progress, what))
    if answer.is_success:  # the storage host has it, whatever became of its words
        return None
    error = UploadError(f"{what}: the file was refused with HTTP {answer.status}")
    error.status_code = answer.status
    error.retryable = answer.status in _WORTH_ANOTHER
    return _Miss(error, worth_another=error.retryable)


def _failed(progress: Progress, what: str) -> KinoviError:
    error = error_of(progress.failure or Failure(FailureKind.OTHER, "no answer"), what=what)
    if isinstance(error, ConfigurationError):  # an address that the library cannot use
        return InvalidResponseError(error.message)
    return error
