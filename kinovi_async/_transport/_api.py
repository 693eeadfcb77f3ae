"""The two calls of the API and the download of a result, over whatever wire there is.

One submission is one POST and never repeated here. A GET costs nothing and is repeated as
`_retry` decides. Errors are raised only from frames that hold neither the key nor an
object of the HTTP library.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, urlsplit

import anyio

from .._errors import (
    AmbiguousSubmissionError,
    APIStatusError,
    ConfigurationError,
    DownloadError,
    InvalidResponseError,
    KinoviError,
    RateLimitError,
)
from .._policy import SubmitEvidence, SubmitPolicy
from .._record_parsing import parse_record
from .._records import TaskRecord
from ._addresses import check_base_url, origin_of
from ._answer import error_for, read, retry_after
from ._borrowed import BorrowedWire
from ._exchange import (
    POST_TIMEOUTS,
    Call,
    Lane,
    Progress,
    Stream,
    Timeouts,
    TimeoutsLike,
    Wire,
    timeouts_from,
)
from ._failures import Failure, FailureKind, error_of
from ._headers import api_headers, check_headers, download_headers
from ._judgement import judged
from ._results import Accepted, NotSent, ServerFailed, SubmitResult
from ._retry import Jitter, RetryPlan, RetryQuota, full_jitter
from ._upload import FileContent, OnProgress, Uploaded, upload
from ._verdict import classify_submission

if TYPE_CHECKING:
    from .._secrets import ApiKey
    from ._protocol import Download, HostRules

__all__ = ["HttpTransport"]

_log = logging.getLogger("kinovi_async")
_CREATE, _RECORD = "/jobs/createTask", "/jobs/recordInfo"
_OK, _MULTIPLE_CHOICES = 200, 300


@dataclass(frozen=True, slots=True)
class _Miss:
    """A GET that brought no record."""

    error: KinoviError
    retry_after: float | None = None


class HttpTransport:
    """The API for one key and base URL.

    Args:
        key: Sent to the base URL's own origin and nowhere else.
        base_url: See `check_base_url`.
        timeout: Seconds of one GET as a whole and of each of its steps (connecting: at
            most 10), or an `httpx.Timeout`, or None for no limit. A submission has limits
            of its own: 10 s to connect, 120 s for the answer, 150 s in all.
        max_retries: Times a failed GET is repeated.
        default_headers: Sent with every request to the API.
        http_client: An `httpx.AsyncClient` or alike to send through; never closed.
        post_timeouts: The limits of a submission.
        policy: What an unclear submission counts as.
        trust_env: Whether our own connections use the environment's proxies.
        wall: Seconds since the epoch.
        jitter: Turns the longest wait before a repeat into the actual one.

    Raises:
        ConfigurationError: An argument it cannot work with.
    """

    def __init__(
        self,
        key: ApiKey,
        base_url: str,
        *,
        timeout: float | TimeoutsLike | None = 30.0,
        max_retries: int = 2,
        default_headers: Mapping[str, str] | None = None,
        http_client: object | None = None,
        post_timeouts: Timeouts = POST_TIMEOUTS,
        policy: SubmitPolicy | None = None,
        trust_env: bool = True,
        wall: Callable[[], float] = time.time,
        jitter: Jitter = full_jitter,
    ) -> None:
        self._key = key
        self._base_url = check_base_url(base_url)
        self._timeouts = timeouts_from(timeout)
        self._max_retries = max_retries
        self._default_headers = check_headers(default_headers)
        self._post_timeouts = post_timeouts
        self._policy = policy if policy is not None else SubmitPolicy()
        self._wall = wall
        self._jitter = jitter
        self._quota = RetryQuota()
        self._wire: Wire
        if http_client is not None:
            self._wire = BorrowedWire(http_client)
        else:
            from ._http import OwnWire  # with somebody else's client, httpx is not needed

            self._wire = OwnWire(trust_env=trust_env)

    @property
    def max_retries(self) -> int:
        """Times a failed GET is repeated."""
        return self._max_retries

    def with_options(
        self,
        *,
        timeout: float | TimeoutsLike | None = None,
        max_retries: int | None = None,
        default_headers: Mapping[str, str] | None = None,
    ) -> Self:
        """The same connections and retry quota with other options; None keeps one.

        Raises:
            ConfigurationError: An option it cannot work with.
        """
        view = copy.copy(self)
        changes: dict[str, object] = {}
        if timeout is not None:
            changes["_timeouts"] = timeouts_from(timeout)
        if max_retries is not None:
            changes["_max_retries"] = max_retries
        if default_headers is not None:
            changes["_default_headers"] = check_headers(default_headers)
        view.__dict__.update(changes)
        return view

    def __repr__(self) -> str:
        return f"<HttpTransport {self._base_url}>"

    async def submit(
        self, body: bytes, *, scope: anyio.CancelScope | None = None, attempt: int = 1
    ) -> SubmitResult:
        """Sends one createTask; see `Transport.submit`."""
        progress, started = Progress(speaks=self._wire.speaks), anyio.current_time()
        problem: ConfigurationError | None = None
        with scope if scope is not None else anyio.CancelScope():
            try:
                await self._wire.run(self._call(_CREATE, body), progress)
            except ConfigurationError as exc:
                problem = exc
        elapsed = anyio.current_time() - started
        if problem is not None:
            return NotSent(problem.with_traceback(None), retryable=False)
        if scope is not None and scope.cancelled_caught and not progress.complete:
            progress.failure = Failure(FailureKind.DEADLINE, "interrupted", timed_out=True)
        _note("POST", _CREATE, progress, elapsed)
        result = classify_submission(
            progress.answer(),
            phase=progress.phase,
            failure=progress.failure,
            elapsed=elapsed,
            now=self._wall(),
            reused=progress.recorder.reused,
            sends=progress.recorder.sends,
            attempt=attempt,
        )
        if not isinstance(result, Accepted):
            self._scrub(result.error)
        if isinstance(result, ServerFailed) and result.evidence is not None:
            result = ServerFailed(result.error, self._scrubbed(result.evidence))
        return judged(result, self._policy)

    async def fetch(self, task_id: str, *, retries: int | None = None) -> TaskRecord:
        """Asks for a task's record; see `Transport.fetch`."""
        plan = RetryPlan(
            self._max_retries if retries is None else retries,
            quota=self._quota,
            jitter=self._jitter,
            started=anyio.current_time(),
        )
        while True:
            result = await self._get(task_id)
            if isinstance(result, TaskRecord):
                plan.succeeded()
                return result
            wait = plan.next_wait(
                result.error, now=anyio.current_time(), retry_after=result.retry_after
            )
            if wait is None:
                raise result.error
            await anyio.sleep(wait)

    @asynccontextmanager
    async def open(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        hosts: HostRules | None = None,
    ) -> AsyncIterator[Download]:
        """GETs a result file; see `Transport.open`."""
        where = _place(url)
        if where is None:
            raise DownloadError("the result's address is no absolute http or https URL")
        call = Call(
            method="GET",
            url=url,
            headers=download_headers(headers),
            content=None,
            timeouts=self._timeouts,
            lane=Lane.DOWNLOAD,
            hosts=hosts,
        )
        progress, started = Progress(speaks=self._wire.speaks), anyio.current_time()
        stream = await self._wire.open(call, progress)
        _note("GET", where, progress, anyio.current_time() - started)
        if stream is None:
            raise _error_of(progress.failure, where)
        try:
            yield _Download(stream, url, where, progress)
        finally:
            await stream.aclose()

    async def upload(
        self, content: FileContent, *, on_progress: OnProgress | None = None
    ) -> Uploaded:
        """Uploads a file; see `UploadTransport.upload`."""
        plan = RetryPlan(
            self._max_retries,
            quota=self._quota,
            jitter=self._jitter,
            started=anyio.current_time(),
        )
        try:
            return await upload(
                content,
                wire=self._wire,
                ask=self._call("", fresh=True),
                timeouts=self._timeouts,
                plan=plan,
                now=self._wall,
                on_progress=on_progress,
            )
        except KinoviError as error:
            self._scrub(error)
            raise error.with_traceback(None) from None

    async def aclose(self) -> None:
        """Closes our connections; a client given by the user stays open."""
        await self._wire.aclose()

    async def _get(self, task_id: str) -> TaskRecord | _Miss:
        """One GET of a record; a connection that had gone stale is not held against it."""
        path = f"{_RECORD}?taskId={quote(task_id, safe='', errors='surrogatepass')}"
        for fresh in (False, True):
            progress, started = Progress(speaks=self._wire.speaks), anyio.current_time()
            await self._wire.run(self._call(path, fresh=fresh), progress)
            _note("GET", _RECORD, progress, anyio.current_time() - started)
            stale = progress.reused and progress.failure is not None and progress.status is None
            if not stale or progress.failure is None or progress.failure.timed_out:
                break
        result = self._understood(progress, task_id)
        if isinstance(result, _Miss):
            self._scrub(result.error)
        return result

    def _understood(self, progress: Progress, task_id: str) -> TaskRecord | _Miss:
        answer = progress.answer()
        if answer is None or (answer.is_success and progress.failure is not None):
            return _Miss(_error_of(progress.failure, _RECORD, task_id=task_id))
        reading, now = read(answer), self._wall()
        if not _OK <= reading.status < _MULTIPLE_CHOICES:
            error = error_for(answer, submission=False, now=now, task_id=task_id)
            wait = retry_after(answer.headers, now=now)
            if isinstance(error, RateLimitError):
                wait = error.retry_after
            return _Miss(error, wait)
        problem = "the answer is no JSON"
        if reading.readable:
            try:
                return parse_record(reading.data, task_id=task_id)
            except InvalidResponseError as exc:
                problem = exc.message
        return _Miss(InvalidResponseError(f"GET {_RECORD}: {problem}", task_id=task_id))

    def _call(self, path: str, body: bytes | None = None, *, fresh: bool = False) -> Call:
        post = body is not None
        return Call(
            method="POST" if post else "GET",
            url=self._base_url + path,
            headers=api_headers(self._default_headers, authorization=self._key.header(), post=post),
            content=body,
            timeouts=self._post_timeouts if post else self._timeouts,
            lane=Lane.SUBMISSION if post else Lane.POLL,
            fresh=post or fresh,
        )

    def _scrub(self, error: KinoviError) -> None:
        """Takes the key out of an error, should a server or proxy have echoed it."""
        error.message = self._key.redact(error.message)
        error.args = (error.message,)
        if isinstance(error, APIStatusError):
            error.body = self._key.redact_json(error.body)
        if isinstance(error, AmbiguousSubmissionError) and error.evidence is not None:
            error.evidence = self._scrubbed(error.evidence)

    def _scrubbed(self, seen: SubmitEvidence) -> SubmitEvidence:
        return replace(
            seen,
            exception=self._key.redact(seen.exception) if seen.exception else None,
            headers={k: self._key.redact(value) for k, value in seen.headers.items()},
            body=self._key.redact_bytes(seen.body),
        )


class _Download:
    """One result file on its way; also its own iterator, which leaves no generator behind."""

    def __init__(self, stream: Stream, url: str, where: str, progress: Progress) -> None:
        self._stream = stream
        self._where = where
        self.url = url
        self.status = progress.status if progress.status is not None else 0
        self.headers: Mapping[str, str] = progress.headers

    def aiter_raw(self) -> AsyncIterator[bytes]:
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self._stream.next()
        if chunk is None:
            raise StopAsyncIteration
        if isinstance(chunk, Failure):
            raise _error_of(chunk, self._where)
        return chunk


def _error_of(failure: Failure | None, where: str, *, task_id: str | None = None) -> KinoviError:
    if failure is None:
        failure = Failure(FailureKind.OTHER, "no answer")
    return error_of(failure, what=f"GET {where}", task_id=task_id)


def _place(url: str) -> str | None:
    """Host and path, without the query, which signs the URL; None when it is no URL."""
    try:
        origin_of(url)
        parts = urlsplit(url)
    except ValueError:
        return None
    return f"{parts.hostname}{parts.path}"


def _note(method: str, path: str, progress: Progress, elapsed: float) -> None:
    """One line per exchange, with nothing in it that is private or long."""
    if _log.isEnabledFor(logging.DEBUG):
        failed = f" {progress.failure.kind}" if progress.failure is not None else ""
        shown = progress.status if progress.status is not None else "-"
        _log.debug("%s %s %s%s in %.0f ms", method, path[:200], shown, failed, elapsed * 1e3)
