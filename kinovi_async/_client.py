"""AsyncKinovi: the API's two endpoints, and the account's queue for its slots."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from decimal import Decimal
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from ._account import Job, Lane, LaneOptions, default_max_wait, failure_of
from ._batch import BatchSource, OutcomeStream, run_stream
from ._calls import create_task, wait_for_task
from ._client_uploads import ClientUploads
from ._errors import ConfigurationError
from ._ledger import Ledger
from ._options import (
    check_bound,
    check_task_id,
    to_credits,
)
from ._outcomes import RERUNNABLE, Outcome
from ._records import Output, TaskRecord, TaskStatus
from ._requests import (
    as_request,
    is_request,
)

if TYPE_CHECKING:
    from ._events import EventHandler
    from ._requests import Request

__all__ = ["AsyncKinovi"]


class AsyncKinovi(ClientUploads):
    """The client. It owns no background task: every waiting call drives its own jobs.

    Use it in `async with`, or call `aclose()`. One client belongs to one event loop.

    Args:
        api_key: The key, or a function that answers it (rotation). None reads
            `KINOVI_API_KEY`.
        base_url: None reads `KINOVI_BASE_URL`, else https://kinovi.ai/api/v1. Plain http
            is refused unless the host is loopback.
        timeout: Seconds for one HTTP exchange, an `httpx.Timeout`, or None for no limit.
            Submissions have their own long read timeout: an answer that is late still
            names a paid task.
        max_retries: Times a failed GET is repeated. A submission is repeated only when
            it provably never left.
        default_headers: Sent with every request to the API.
        http_client: An `httpx.AsyncClient`, or an `httpx2.AsyncClient`, to send through.
            It is not closed by us, and its transport must not repeat POSTs by itself.
        poll_interval: Seconds between two polls of one task, lowest and highest; when it is
            left out, `KINOVI_POLL_INTERVAL` (`LOW,HIGH`), else 3 to 5. The scheduler's
            other waits are multiples of the lowest.
        max_in_flight: Upper bound of running tasks; None learns the account's limit.
        ledger: A path (SQLite) or a Ledger that keeps the jobs of `generate`, batches
            and schedulers; None keeps them in memory.
        submit_policy: Whether an unclear submission may be sent again.
        webhooks: A `kinovi_async.webhooks.WebhookReceiver`: every job's webhook goes there
            and ends its wait at once, unless the request has a `callback_url` of its own.
        api_generation: In whose names, types and ranges requests go out, and by whose
            prices they are counted: "seed", the API's first published documents, or
            "2026-09". A model that only one of them knows uses that one.

    Raises:
        ConfigurationError: the key is missing or malformed, or an option is wrong.
    """

    # -- single calls ----------------------------------------------------------------

    async def create_task(
        self, request: Request | Mapping[str, object], *, callback_url: str | None = None
    ) -> str:
        """POST /jobs/createTask: one submission, outside the queue. Answers the task id.

        Cancellation: the answer is waited for up to 10 s, because it may name a paid
        task, which is then logged.

        Raises:
            InvalidRequestError: our own check refused it; nothing was sent.
            ConcurrencyLimitError: the account runs as many tasks as it may; nothing paid.
            AmbiguousSubmissionError: it may or may not have been accepted; repeated only
                as far as `submit_policy` says so.
            ServerError: the server failed three times; what it says may be retried.
            APIStatusError: the server refused it; nothing paid.
            APIConnectionError: it provably never left.
        """
        self._check_open()
        body = await self._body_of(request, callback_url)
        return await create_task(self._transport, body, policy=self._policy, rng=self._account.rng)

    async def get_task(self, task_id: str) -> TaskRecord:
        """GET /jobs/recordInfo: the task's record as it stands.

        Raises:
            NotFoundError: no such task.
            APIError: no usable answer, after `max_retries` repetitions.
        """
        self._check_open()
        return await self._transport.fetch(check_task_id(task_id))

    async def wait(self, task_id: str, *, max_wait: float | None = None) -> TaskRecord:
        """Polls every 3-5 s (`poll_interval`, jittered) until the task has ended.

        Answers the record of success and of failure alike. Failed polls never end the
        wait, except when the task is unknown or the key is refused.

        Args:
            task_id: What `create_task` answered.
            max_wait: Seconds; None waits at least 15 min.

        Raises:
            WaitTimeoutError: the task was still running; it runs on and is paid for.
            NotFoundError, PermissionDeniedError, AuthenticationError: as the server says.
        """
        self._check_open()
        return await wait_for_task(
            self._transport,
            check_task_id(task_id),
            poll_interval=self._poll_interval,
            max_wait=default_max_wait("") if max_wait is None else max_wait,
            rng=self._account.rng,
        )

    # -- jobs ------------------------------------------------------------------------

    async def generate(
        self,
        request: Request | Mapping[str, object],
        *,
        key: str | None = None,
        group: str | None = None,
        priority: int = 0,
        tags: Mapping[str, str] | None = None,
        max_wait: float | None = None,
        rerun: bool = False,
    ) -> TaskRecord:
        """Queues for a slot, submits, waits. Answers the record of a succeeded task.

        Cancellation: a queued job is cancelled and costs nothing; a submission on the
        wire is finished (at most 10 s) and recorded; a running task is left to the
        ledger, or named in a warning when there is none.

        Args:
            request: What is to be generated, or a mapping in the API's own form.
            key: Names the job in the ledger: the same key is the same job.
            group: Whose job it is: groups of one priority take turns.
            priority: Larger is sooner.
            tags: Travel with the job into its outcome.
            max_wait: Seconds from acceptance; None waits at least 15 min.
            rerun: Starts a job again that ended failed, rejected or cancelled.

        Raises:
            TaskFailedError: the task ended in `fail`; refunded.
            AmbiguousSubmissionError: it may or may not have been accepted.
            WaitTimeoutError: still running after `max_wait` seconds from acceptance.
            KinoviError: what else stopped it: InvalidRequestError, AuthenticationError, ...
        """
        self._check_open()
        job = Job(
            as_request(request, api_generation=self._account.api_generation),
            key=key,
            group=group,
            priority=priority,
            tags=tags,
            max_wait=max_wait,
        )
        lane = Lane(
            self._account,
            self._shared.book,
            LaneOptions(group="calls", cancel_on_leave=True),
            self._transport,
        )
        await lane.open()
        arrival = lane.arrive([job], rerun=RERUNNABLE if rerun else ())
        await lane.run(lambda: not lane.busy)
        if arrival.error is not None:
            raise arrival.error
        return await job.result()

    @asynccontextmanager
    async def stream_batch(
        self,
        requests: BatchSource,
        *,
        max_in_flight: int | None = None,
        max_queue: int = 1000,
        ledger: str | PathLike[str] | Ledger | None = None,
        budget: Decimal | float | None = None,
        assume_cost: Decimal | float | None = None,
        retry_failed: int = 0,
        on_event: EventHandler | None = None,
        max_wait: float | None = None,
    ) -> AsyncIterator[OutcomeStream]:
        """Runs a batch and streams its outcomes as jobs end.

        `requests` may be a lazy (async) iterable of any length; it is pulled as the
        queue has room, and the consumer's speed sets the pace. What the source raises
        is raised by the stream after the outcomes of what it gave.

        401, 402 and 403 end a batch: what is unsent is `cancelled` with that error.

        Cancellation, and leaving the block early: what is unsent is cancelled, and what
        runs is left to the ledger, or named in a warning. In a ledger the unsent stay
        queued as well: for the next run, or for another process that runs the ledger now.

        Args:
            requests: Requests, mappings in the API's own form, or `(key, request)` pairs.
            max_in_flight: Upper bound of running tasks; None learns the account's limit.
            max_queue: Requests that wait for a slot at most; 0: any number.
            ledger: A path (SQLite) or a Ledger; None takes the client's, or memory.
            budget: Credits that all jobs of the ledger together may cost; None: no bound.
            assume_cost: Credits to count for a request whose price is unknown.
            retry_failed: Times a failed task is run again when its failure is of the
                kind that passes (capacity); it was refunded.
            on_event: Called with every event, after the fact is in the ledger; sync or
                async. What it raises is logged.
            max_wait: Seconds from acceptance of a task; None waits at least 15 min.

        Raises:
            ConfigurationError: an option is wrong, or `requests` is a single request.
            LedgerError: the ledger cannot be opened, or broke.
        """
        self._check_open()
        if isinstance(requests, Mapping | str) or is_request(requests):
            msg = "a batch is a list (or any iterable) of requests, not one request"
            raise ConfigurationError(msg)
        if ledger is None:
            book, owned = self._shared.book, False
        else:
            book, owned = self._book_for(ledger)
        options = LaneOptions(
            max_in_flight=check_bound(max_in_flight),
            max_queue=max_queue if max_queue > 0 else math.inf,
            budget=to_credits(budget),
            assume_cost=to_credits(assume_cost),
            retry_failed=retry_failed,
            on_event=on_event,
            group=self._group_name("batch"),
        )
        try:
            async with run_stream(
                Lane(self._account, book, options, self._transport),
                requests,
                max_wait=max_wait,
            ) as stream:
                yield stream
        finally:
            if owned:
                with anyio.CancelScope(shield=True):
                    await book.aclose()

    async def run_batch(
        self,
        requests: BatchSource,
        *,
        max_in_flight: int | None = None,
        max_queue: int = 1000,
        ledger: str | PathLike[str] | Ledger | None = None,
        budget: Decimal | float | None = None,
        assume_cost: Decimal | float | None = None,
        retry_failed: int = 0,
        on_event: EventHandler | None = None,
        max_wait: float | None = None,
    ) -> list[Outcome]:
        """Runs a batch to its end; one Outcome a request, in input order.

        One failure hurts no other. Arguments, errors and cancellation are those of
        `stream_batch`; what the source of the requests raises is raised here when all that
        it gave has ended.
        """
        async with self.stream_batch(
            requests,
            max_in_flight=max_in_flight,
            max_queue=max_queue,
            ledger=ledger,
            budget=budget,
            assume_cost=assume_cost,
            retry_failed=retry_failed,
            on_event=on_event,
            max_wait=max_wait,
        ) as stream:
            outcomes = [outcome async for outcome in stream]
        return sorted(outcomes, key=lambda outcome: outcome.index or 0)

    # -- files -----------------------------------------------------------------------

    async def download(
        self,
        record: TaskRecord | Outcome,
        directory: str | PathLike[str],
        *,
        name_template: str = "{task_id}_{n}{ext}",
        max_file_size: int | None = None,
        max_total_size: int | None = None,
    ) -> list[Path]:
        """Saves every output of a record, or of an outcome's, below `directory`.

        Answers the paths, in the outputs' order. At most 8 files of one client are fetched
        at a time. A large file that broke off waits as `.part`: the same call goes on with
        it. Addresses that have ended or lead nowhere are asked for anew, once, with
        `get_task`.

        Never overwrites a file, never writes outside `directory`, never sends the key.

        Cancellation: complete files stay; an unfinished one is removed, or kept to be gone
        on with.

        Args:
            record: What succeeded.
            directory: Made when it is missing.
            name_template: File names; `{task_id}`, `{n}`, `{ext}` and `{model}`.
            max_file_size: Bytes at which one file is given up; None: 2 GiB.
            max_total_size: Bytes that this call fetches at most; None: any number.

        Raises:
            TaskFailedError: the task failed; there is nothing to fetch.
            DownloadError: a file could not be fetched or is not what it claims to be.
        """
        from ._downloads import MAX_FILE_BYTES, Quota, SaveOptions, save_outputs
        from ._notebook import saved as remember

        self._check_open()
        record = _record_of(record)
        if record.status is TaskStatus.FAIL:
            raise failure_of(record)
        saved = await save_outputs(
            self._transport,
            record,
            Path(directory),
            template=name_template,
            allow_private=self._is_loopback,
            options=SaveOptions(
                max_bytes=max_file_size or MAX_FILE_BYTES, quota=Quota(max_total_size)
            ),
            ask_again=self.get_task if record.task_id else None,
            gate=self._shared.downloads,
        )
        paths = [file.path for file in saved]
        remember(record.task_id, paths)
        return paths

    def open(
        self, output: Output | str, *, max_file_size: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Opens one output as a stream of bytes, under the guards of `download`.

        Args:
            output: An output of a record, or its address.
            max_file_size: Bytes after which it is an error; None: 2 GiB.

        Raises:
            DownloadError: on entering and while reading: it cannot be fetched, or is not
                what it claims to be.

        ```python
        async with client.open(record.outputs[0]) as stream:
            async for chunk in stream: ...
        ```
        """
        from ._downloads import MAX_FILE_BYTES, open_checked

        self._check_closed()
        expect = None if isinstance(output, str) else output.media_type
        url = output if isinstance(output, str) else output.url
        return open_checked(
            self._transport,
            url,
            allow_private=self._is_loopback,
            expect=expect,
            max_bytes=max_file_size or MAX_FILE_BYTES,
        )


def _record_of(given: object) -> TaskRecord:
    if isinstance(given, Outcome):
        return given.result()
    if not isinstance(given, TaskRecord):
        msg = f"download takes a TaskRecord or an Outcome, not {type(given).__name__}"
        raise TypeError(f"{msg}; open() takes an address")
    return given
