"""Batches: a stream of requests in, a stream of outcomes out, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Iterable,
    Mapping,
    Sized,
)
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Self, TypeAlias

import anyio
import anyio.abc

from ._account import Account, Book, Job, Lane, LaneOptions
from ._errors import InvalidRequestError, JobCancelledError, KinoviError
from ._outcomes import Outcome, OutcomeStatus
from ._requests import Request, as_request

__all__ = ["BatchItem", "BatchSource", "OutcomeStream", "run_stream"]

BatchItem: TypeAlias = "Request | Mapping[str, object] | tuple[str, Request | Mapping[str, object]]"
"""A request, a mapping in the API's own form, or a `(key, request)` pair."""
BatchSource: TypeAlias = "Iterable[BatchItem] | AsyncIterable[BatchItem]"

# Outcomes that nobody has taken yet, after which nothing more is submitted: the
# consumer's speed sets the pace, and its memory stays bounded.
MAX_UNTAKEN = 100


class OutcomeStream:
    """The outcomes of a batch as jobs end; `async for` over it."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._ready: deque[Outcome] = deque()
        self._arrived = anyio.Event()
        self._exhausted = False
        self._error: BaseException | None = None
        self._held = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        while not self._ready:
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            if self._exhausted:
                raise StopAsyncIteration
            await self._arrived.wait()
        outcome = self._ready.popleft()
        if self._held and len(self._ready) < MAX_UNTAKEN // 2:
            self._held = False
            self._lane.release()
        self._lane.changed()
        return outcome

    @property
    def untaken(self) -> int:
        """Outcomes that wait for the consumer."""
        return len(self._ready)

    def put(self, outcome: Outcome) -> None:
        """A job ended."""
        self._ready.append(outcome)
        if not self._held and len(self._ready) >= MAX_UNTAKEN:
            self._held = True
            self._lane.hold()
        self._notify()

    def finish(self, error: BaseException | None = None) -> None:
        """Nothing more will come; `error` is raised once everything is taken."""
        self._exhausted = True
        self._error = self._error or error
        self._notify()

    def _notify(self) -> None:
        self._arrived.set()
        self._arrived = anyio.Event()


class _Feeder:
    """Pulls requests from the source as the queue has room."""

    def __init__(
        self,
        lane: Lane,
        stream: OutcomeStream,
        group: anyio.abc.TaskGroup,
        max_wait: float | None,
    ) -> None:
        self._lane = lane
        self._group = group
        self._stream = stream
        self._max_wait = max_wait
        self._index = 0
        self._echoes = 0
        self._fed = False

    @property
    def done(self) -> bool:
        """Whether every item is a job of the lane, or has its outcome."""
        return self._fed and not self._echoes

    async def feed(self, source: BatchSource) -> None:
        """Runs until the source ends, or the lane is stopped and the source is lazy."""
        try:
            if isinstance(source, AsyncIterable):
                async for item in source:
                    if not await self._enter(item, known=False):
                        break
            else:
                known = isinstance(source, Sized)
                for item in source:
                    if not await self._enter(item, known=known):
                        break
        finally:
            self._fed = True
            self._lane.changed()

    async def _enter(self, item: BatchItem, *, known: bool) -> bool:
        if self._lane.stopped is not None and not known:
            return False
        index, self._index = self._index, self._index + 1
        key, given = item if isinstance(item, tuple) else (None, item)
        try:
            request = as_request(given)
        except InvalidRequestError as error:
            self._stream.put(_refused(key, index, None, error))
            return True
        job = Job(request, key=key, index=index, max_wait=self._max_wait)
        await self._room()
        try:
            (found,) = await self._lane.add([job])
        except KinoviError as error:
            self._stream.put(_refused(job.key, index, request, error))
            return True
        if found is not job:  # the key is live already: one job, an outcome for each item
            self._echoes += 1
            self._group.start_soon(self._echo, found, index)
        elif job.done:
            self._stream.put(await job.outcome())
        return True

    async def _echo(self, job: Job, index: int) -> None:
        outcome = await job.outcome()
        self._stream.put(replace(outcome, index=index))
        self._echoes -= 1
        self._lane.changed()

    async def _room(self) -> None:
        lane = self._lane
        await lane.wait_for_room()
        while self._stream.untaken >= MAX_UNTAKEN and lane.stopped is None:
            await lane.next_change()


def _refused(key: str | None, index: int, request: Request | None, error: KinoviError) -> Outcome:
    return Outcome(
        key=key or str(index),
        status=OutcomeStatus.REJECTED,
        request=request,
        index=index,
        error=error,
    )


@asynccontextmanager
async def run_stream(
    account: Account,
    book: Book,
    options: LaneOptions,
    source: BatchSource,
    *,
    max_wait: float | None,
) -> AsyncIterator[OutcomeStream]:
    """Runs a batch. Leaving early cancels what is unsent and leaves what runs."""
    lane = Lane(account, book, options)
    stream = OutcomeStream(lane)
    lane.deliver = stream.put
    body_error: BaseException | None = None

    async def feed() -> None:
        try:
            await feeder.feed(source)
        except Exception as error:  # noqa: BLE001 - the source's; raised by the stream
            source_errors.append(error)

    async def drive() -> None:
        try:
            await lane.run(lambda: feeder.done and not lane.jobs)
        except Exception as error:  # noqa: BLE001 - raised by the stream
            stream.finish(error)
            group.cancel_scope.cancel()
        else:
            stream.finish(source_errors[0] if source_errors else None)

    source_errors: list[Exception] = []
    await lane.open()
    async with anyio.create_task_group() as group:
        feeder = _Feeder(lane, stream, group, max_wait)
        group.start_soon(drive)
        group.start_soon(feed)
        try:
            yield stream
        except Exception as error:  # noqa: BLE001 - raised below, outside the group
            body_error = error
        if lane.stopped is None:
            lane.stopped = JobCancelledError("the batch was left before this job was submitted")
        group.cancel_scope.cancel()
    if body_error is not None:
        raise body_error
