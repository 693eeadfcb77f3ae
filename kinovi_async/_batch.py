"""Batches: a stream of requests in, a stream of outcomes out, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Iterable,
    Mapping,
    Sized,
)
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self, TypeAlias

import anyio

from ._account import Job, Lane
from ._errors import InvalidRequestError, JobCancelledError, KinoviError, LedgerError
from ._outcomes import Outcome, OutcomeStatus
from ._requests import as_request

if TYPE_CHECKING:
    from ._requests import Request

__all__ = ["BatchItem", "BatchSource", "OutcomeStream", "run_stream"]

BatchItem: TypeAlias = "Request | Mapping[str, object] | tuple[str, Request | Mapping[str, object]]"
"""A request, a mapping in the API's own form, or a `(key, request)` pair."""
BatchSource: TypeAlias = "Iterable[BatchItem] | AsyncIterable[BatchItem]"

# Outcomes that nobody has taken yet, after which nothing more is submitted: the
# consumer's speed sets the pace, and its memory stays bounded.
MAX_UNTAKEN = 100
# Seconds that an async generator gets to clean up when a batch is left early.
SOURCE_GRACE = 10.0


class OutcomeStream:
    """The outcomes of a batch as jobs end; `async for` over it."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._ready: deque[Outcome] = deque()
        self._arrived = anyio.Event()
        self._exhausted = False
        self.error: BaseException | None = None
        """What is still to be raised."""
        self._held = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        while not self._ready:
            if self.error is not None:
                error, self.error = self.error, None
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
        self.error = self.error or error
        self._notify()

    def _notify(self) -> None:
        self._arrived.set()
        self._arrived = anyio.Event()


class _Feeder:
    """Pulls requests from the source as the queue has room."""

    def __init__(self, lane: Lane, stream: OutcomeStream, max_wait: float | None) -> None:
        self._lane = lane
        self._stream = stream
        self._max_wait = max_wait
        self._index = 0
        self.done = False
        """Whether every item is a job of the lane, or has its outcome."""

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
            if isinstance(source, AsyncGenerator):
                with anyio.move_on_after(SOURCE_GRACE, shield=True):
                    await source.aclose()
            self.done = True
            self._lane.changed()

    async def _enter(self, item: BatchItem, *, known: bool) -> bool:
        if self._lane.stopped is not None and not known:
            return False
        index, self._index = self._index, self._index + 1
        key, given = item if isinstance(item, tuple) else (None, item)
        try:
            request = as_request(given, api_generation=self._lane.account.api_generation)
        except InvalidRequestError as error:
            self._stream.put(_refused(key, index, None, error))
            return True
        job = Job(request, key=key, index=index, batch=known, max_wait=self._max_wait)
        await self._room()
        try:
            await self._lane.add([job])
        except LedgerError:
            raise
        except KinoviError as error:
            self._stream.put(_refused(job.key, index, request, error))
        return True

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
    lane: Lane, source: BatchSource, *, max_wait: float | None
) -> AsyncIterator[OutcomeStream]:
    """Runs a batch in a new lane. Leaving early cancels what is unsent and leaves what runs."""
    stream = OutcomeStream(lane)
    lane.deliver = stream.put
    feeder = _Feeder(lane, stream, max_wait)
    errors: list[BaseException] = []

    async def feed() -> None:
        try:
            await feeder.feed(source)
        except Exception as error:  # noqa: BLE001 - the source's; raised by the stream
            errors.append(error)

    async def drive() -> None:
        try:
            await lane.run(lambda: feeder.done and not lane.busy)
        except Exception as error:  # noqa: BLE001 - raised by the stream
            errors.insert(0, error)
        stream.finish(errors[0] if errors else None)

    body_error: BaseException | None = None
    await lane.open()
    async with anyio.create_task_group() as group:
        group.start_soon(drive)
        group.start_soon(feed)
        try:
            yield stream
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:  # noqa: BLE001 - raised below, outside the group
            body_error = error
        if lane.stopped is None:
            lane.stopped = JobCancelledError("the batch was left before this job was submitted")
        group.cancel_scope.cancel()
    body_error = body_error or stream.error
    if body_error is not None:
        raise body_error
