"""One job: a request on its way through the queue, and the handle a user waits on."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import anyio

from .._errors import (
    AmbiguousSubmissionError,
    JobCancelledError,
    KinoviError,
    WaitTimeoutError,
)
from .._ledger import JobRow, JsonObject, NewJob, is_unsent
from .._outcomes import AttemptResult, Outcome, OutcomeStatus
from .._record_parsing import parse_record
from .._records import TaskRecord
from .._requests import LATER, SEED, ApiGeneration, encode_body, restore_request
from .._scheduling import Entry
from ._error_json import error_from_json
from ._terms import NAME, Terms, split_meta

if TYPE_CHECKING:
    from .._requests import Request
    from ._arrival import Arrival
    from ._lane import Lane

__all__ = ["Job", "outcome_of"]


def new_key() -> str:
    """A key for a job whose user gave none."""
    return uuid.uuid4().hex


@dataclass(slots=True)
class FileUpload:
    """How far the upload of a job's local files is."""

    scope: anyio.CancelScope | None = None
    """Around it, between the job's slot and its submission."""
    addresses: dict[str, str] = field(default_factory=dict)
    """Of what is uploaded, by the hash of its content."""
    rounds: int = 0
    """Times the job went back into the queue because a file could not be uploaded."""


class Job:
    """A job of the scheduler. It goes on whether anybody awaits it or not."""

    __slots__ = (
        "_done",
        "_outcome",
        "accepted_at",
        "api_generation",
        "arrival",
        "batch",
        "body",
        "body_hash",
        "cost",
        "entry",
        "group",
        "held",
        "hinted",
        "hooked",
        "index",
        "key",
        "lane",
        "leader",
        "leaving",
        "max_queue_wait",
        "max_wait",
        "meta",
        "priority",
        "request",
        "reruns",
        "sending",
        "stamp",
        "taken_up",
        "task_id",
        "terms",
        "unclear",
        "unheard_polls",
        "upload",
    )

    def __init__(  # noqa: PLR0915 - one for each field
        self,
        request: Request,
        *,
        key: str | None = None,
        group: str | None = None,
        priority: int = 0,
        tags: Mapping[str, str] | None = None,
        meta: JsonObject | None = None,
        index: int | None = None,
        batch: bool = False,
        max_wait: float | None = None,
        max_queue_wait: float | None = None,
    ) -> None:
        self.request = request
        self.key: str = new_key() if key is None else key
        """Names the job in its ledger."""
        self.group: str = "" if group is None else group
        self.priority = priority
        self.index = index
        self.batch = batch
        """One of a list that is known as a whole: the longest may go first."""
        self.max_wait = max_wait
        self.max_queue_wait = max_queue_wait
        self.meta: JsonObject = {**(meta or {}), "tags": dict(tags)} if tags else dict(meta or {})
        self.api_generation: ApiGeneration = SEED
        """In whose form it goes out; see `speak`."""
        self.body: JsonObject = request.to_stored()
        """As the ledger keeps it: one form, in whatever generation of the API it goes out."""
        self.body_hash: str | None = None
        """Of the body as the ledger has it."""
        self.cost: Decimal | None = request.cost()
        self.task_id: str | None = None
        """Set once the server made a task of it."""
        self.accepted_at: float | None = None
        """anyio's clock."""
        self.lane: Lane | None = None
        self.arrival: Arrival | None = None
        """While it is on its way through the ledger."""
        self.leader: Job | None = None
        """The handle under which the same key is driven; this one only tells."""
        self.leaving = False
        """Its end is being told."""
        self.taken_up = False
        """It was found in the ledger, not wished for here and now."""
        self.terms: Terms | None = None
        """What its owner asked for, as the ledger has it; None: it was never in one."""
        self.sending = False
        """Its submission is on the wire."""
        self.hooked = self.hinted = False
        """Its submission carried an address of ours; a webhook came there."""
        self.held: anyio.Event | None = None
        """Its submission was unclear, and waits for a webhook; set when one came."""
        self.unclear: AmbiguousSubmissionError | None = None
        """Its last submission may have been accepted: without another one it ends so."""
        self.stamp: str | None = None
        """What the client's observer said when it was submitted."""
        self.reruns = 0
        """Times it was run again after a failure."""
        self.unheard_polls = 0
        """Polls in a row that the server refused to answer."""
        self.upload = FileUpload()
        self.entry: Entry | None = None
        self._outcome: Outcome | None = None
        self._done: anyio.Event | None = None

    def __repr__(self) -> str:
        status = self._outcome.status if self._outcome else "unfinished"
        return f"<Job {self.key} {self.request.model} {status}>"

    @classmethod
    def of_row(cls, row: JobRow) -> Job:
        """The job of a ledger's row, to be taken up again."""
        meta, terms = split_meta(row.meta)
        job = cls(
            restore_request(row.body),
            key=row.key,
            group=row.group,
            priority=row.priority,
            meta=meta,
            max_wait=terms.max_wait,
            max_queue_wait=terms.max_queue_wait,
        )
        job.terms = terms
        job.stamp = terms.stamp
        job.taken_up = True
        return job

    @property
    def done(self) -> bool:
        """Whether the job has ended, or is given up by the process that drove it."""
        return self._outcome is not None

    @property
    def lane_group(self) -> str:
        """Whose turn it was where it was entered, unless that is here."""
        return self.terms.group if self.taken_up and self.terms is not None else ""

    @property
    def encoded(self) -> bytes:
        """The body of the submission: the ledger's request in the form of `api_generation`.

        Raises:
            InvalidRequestError: that generation does not take it.
        """
        return self.encode(None)

    def encode(self, callback_url: str | None) -> bytes:
        """The same with the callback address of this one submission.

        Raises:
            InvalidRequestError: that generation does not take it.
        """
        generation, addresses = self.api_generation, self.upload.addresses
        body = self.request.to_wire(api_generation=generation, uploaded=addresses)
        return encode_body(body if callback_url is None else {**body, "callBackUrl": callback_url})

    def speak(self, generation: ApiGeneration) -> None:
        """Goes out in the form of a generation of the API, and costs what it does there.

        It is the one of the process that sends it; but what was entered for the later one
        never goes back to names that it does not know.
        """
        entered = self.terms.api_generation if self.taken_up and self.terms is not None else ""
        self.api_generation = LATER if entered == LATER else generation
        known = self.request.cost(api_generation=self.api_generation)
        self.cost = self.cost if known is None else known

    def to_ledger(self, at: float) -> NewJob:
        """The job as it is entered into a ledger."""
        terms = self.terms.to_json() if self.terms is not None else {}
        return NewJob(
            key=self.key,
            body=self.body,
            at=at,
            group=self.group,
            priority=self.priority,
            meta={**self.meta, NAME: terms} if terms else self.meta,
        )

    def take_over(self, row: JobRow) -> None:
        """The ledger's request stands: it was replaced while this job waited."""
        self.request = restore_request(row.body)
        self.body = row.body
        self.body_hash = row.body_hash
        self.speak(self.api_generation)

    def settle(self, outcome: Outcome) -> None:
        """Ends the job for everybody who waits on it. Only the first call counts."""
        if self._outcome is None:
            self._outcome = outcome
            if self._done is not None:
                self._done.set()

    async def outcome(self) -> Outcome:
        """Waits for the end. Never raises for what happened to the job.

        A job whose scheduler was left before it ended is answered as `expired` (its task
        runs on and `task_id` is kept) or `cancelled` (it was never submitted); with a
        ledger, the next process takes it up.

        Cancellation: only the waiting ends, never the job.
        """
        if self._outcome is None:
            if self._done is None:
                self._done = anyio.Event()
            await self._done.wait()
        assert self._outcome is not None  # noqa: S101 - settle() sets it before the event
        return self._outcome

    async def result(self) -> TaskRecord:
        """Waits for the end and answers the record.

        Raises:
            TaskFailedError: the task ended in `fail`.
            AmbiguousSubmissionError: it may or may not have been accepted.
            WaitTimeoutError: we stopped waiting; `task_id` is kept.
            JobCancelledError: it was never submitted.
            KinoviError: whatever else stopped it, e.g. AuthenticationError.
        """
        return (await self.outcome()).result()

    async def cancel(self) -> bool:
        """Cancels the job if it is still queued: True, nothing is paid.

        A submission on the wire and a running task cannot be cancelled: False. Nor can
        a job be that waits to be sent again after an unclear answer, but it is not sent
        any more: it ends as `ambiguous`.
        """
        from ._following import cancel_followed
        from ._stopping import cancel_job

        if self.arrival is not None:
            await self.arrival.done.wait()
        if self.leader is not None:
            return await self.leader.cancel()
        if self.lane is None or self.done:
            return False
        if self.key in self.lane.book.followed:
            return await cancel_followed(self.lane, self)
        return await cancel_job(self.lane, self)

    def abandoned(self) -> Outcome:
        """How the job looks to those who wait when nobody drives it any more."""
        error: KinoviError
        if self.task_id is None and self.unclear is not None:
            status, error = OutcomeStatus.AMBIGUOUS, self.unclear
        elif self.task_id is None:
            status = OutcomeStatus.CANCELLED
            error = JobCancelledError(f"job {self.key} was not submitted before its wait was left")
        else:
            status = OutcomeStatus.EXPIRED
            error = WaitTimeoutError(
                f"job {self.key}: the wait was left while task {self.task_id} was running",
                task_id=self.task_id,
            )
        return self.ended_as(status, error)

    def recall_unclear(self, row: JobRow) -> None:
        """Takes up from the ledger that an earlier submission may have been accepted."""
        if not is_unsent(row):
            last = next(a for a in reversed(row.attempts) if a.result is not AttemptResult.NOT_SENT)
            detail = last.detail or "no answer"
            self.unclear = AmbiguousSubmissionError(
                f"job {self.key}: an earlier submission may have been accepted: {detail}"
            )

    def unsent(self, error: KinoviError) -> tuple[OutcomeStatus, KinoviError]:
        """How it ends when it is not sent (again): cancelled, unless it may have been accepted."""
        if self.unclear is not None:
            return OutcomeStatus.AMBIGUOUS, self.unclear
        return OutcomeStatus.CANCELLED, error

    def refused(self, error: KinoviError) -> tuple[OutcomeStatus, KinoviError]:
        """How it ends when it was refused: that says nothing of an earlier, unclear submission."""
        if self.unclear is None:
            return OutcomeStatus.REJECTED, error
        told = AmbiguousSubmissionError(
            f"{self.unclear.message}; sent again, it was refused: {error}"
        )
        told.evidence = self.unclear.evidence
        return OutcomeStatus.AMBIGUOUS, told

    def ended_as(self, status: OutcomeStatus, error: KinoviError) -> Outcome:
        """An outcome that is told but not written: the ledger keeps the job unfinished."""
        return Outcome(
            key=self.key,
            status=status,
            request=self.request,
            index=self.index,
            error=error,
            task_id=self.task_id,
            tags=tags_of(self.meta),
        )


def tags_of(meta: JsonObject) -> dict[str, str]:
    """The tags in a row's meta."""
    tags = meta.get("tags")
    return {str(k): str(v) for k, v in tags.items()} if isinstance(tags, Mapping) else {}


def outcome_of(
    row: JobRow,
    request: Request,
    *,
    index: int | None = None,
    error: KinoviError | None = None,
) -> Outcome:
    """The outcome of an ended row; `error` when the live error is still at hand."""
    assert row.status is not None  # noqa: S101 - an ended row has a status
    record = parse_record(row.record, task_id=row.task_id) if row.record is not None else None
    if error is None and row.error is not None:
        error = error_from_json(row.error, task_id=row.task_id, record=record)
    return Outcome(
        key=row.key,
        status=row.status,
        request=request,
        index=index,
        record=record,
        error=error,
        task_id=row.task_id,
        credits=row.credits,
        attempts=row.attempts,
        tags=tags_of(row.meta),
        created_at=_utc(row.created_at),
        accepted_at=_utc(row.accepted_at),
        completed_at=_utc(row.ended_at),
        seq=row.ended_number,
        download_error=row.download_error,
    )


def _utc(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
