"""What a ledger is: the durable book of jobs, and the rules that keep money safe.

A job moves `queued -> sending -> accepted -> ended`. The move to `sending` is the
*intent*: it is durable before the POST leaves, and only the execution that wrote it
may send it. A job found in `sending` under another execution, whose runner is dead, may
have been paid for: it ends as `ambiguous` and is never sent by itself.

Every method is atomic and may be called from any number of processes. Nothing here
knows HTTP, clocks or schedulers: times come in as seconds since the epoch. The API key
is never given to a ledger.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from .._outcomes import Attempt, AttemptResult, OutcomeStatus

JsonValue: TypeAlias = (
    "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
)
JsonObject: TypeAlias = Mapping[str, JsonValue]


class JobState(StrEnum):
    """Where a job stands in the ledger."""

    QUEUED = "queued"
    SENDING = "sending"
    ACCEPTED = "accepted"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be entered."""

    key: str
    body: JsonObject
    """The request in the API's own form: `{"model": ..., "inputs": {...}}`."""
    at: float
    """Seconds since the epoch."""
    group: str = ""
    priority: int = 0
    meta: JsonObject = field(default_factory=dict)
    """What travels with the job and is not sent: tags, the line in a batch file."""


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as the ledger has it."""

    key: str
    number: int
    """Order of entry, from 1. A job that is taken up again (rerun, replaced, adopted,
    resolved) gets a new one, so that whoever pages on by number meets it."""
    body: JsonObject
    body_hash: str
    group: str
    priority: int
    meta: JsonObject
    state: JobState
    execution: str | None = None
    """Who wrote the last intent."""
    status: OutcomeStatus | None = None
    """Set when ended."""
    task_id: str | None = None
    attempts: tuple[Attempt, ...] = ()
    record: JsonObject | None = None
    """The last record, as the server sent it."""
    error: JsonObject | None = None
    """Why it did not succeed: `{"type": ..., "message": ..., ...}`."""
    reserved: Decimal = Decimal(0)
    """Credits reserved for the submission on the wire or the running task; kept when
    it ended expired, ambiguous, or succeeded without telling what it cost."""
    exposed: Decimal = Decimal(0)
    """Credits that earlier unclear attempts may have cost on top."""
    credits: Decimal | None = None
    """Credits charged, once known."""
    files: tuple[str, ...] = ()
    download_error: str | None = None
    created_at: float = 0.0
    accepted_at: float | None = None
    ended_at: float | None = None
    ended_number: int | None = None
    """Order of ending, from 1; a job that is run again gets a new one."""


class Resolution(StrEnum):
    """What turned out to be true of an ambiguous job, or what is to be done with it."""

    ACCEPTED = "accepted"
    """It became a task, whose id is known now."""
    NOT_CREATED = "not_created"
    """The server made nothing of it; nothing was paid."""
    RESUBMIT = "resubmit"
    """Nobody knows; it is sent again at the owner's risk."""


class Permission(StrEnum):
    """The answer to `intent`."""

    GRANTED = "granted"
    NOT_QUEUED = "not_queued"
    """Somebody else sends it, or it is accepted, ended or cancelled."""
    OVER_BUDGET = "over_budget"


@dataclass(frozen=True, slots=True)
class Intent:
    """The answer to `intent`, with the attempt that was opened when it was granted."""

    permission: Permission
    attempt: int = 0
    task_id: str | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a job ended, for the book."""

    status: OutcomeStatus
    at: float
    record: JsonObject | None = None
    error: JsonObject | None = None
    credits: Decimal | None = None
    """Credits charged. None for `ambiguous` and `expired`: the reservation stays."""
    attempt_result: AttemptResult | None = None
    """For a job that ends while sending: what became of the attempt."""
    attempt_detail: str | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """How far the book has come: whoever knows an earlier one knows what to read."""

    entered: int = 0
    """The largest `number` ever given to a job."""
    ended: int = 0
    """The largest `ended_number` ever given to a job."""
    hinted: int = 0
    """The largest number ever given to a hint."""


@dataclass(frozen=True, slots=True)
class Hinted:
    """What a webhook told: a submission of the job has probably become this task."""

    number: int
    """Order of arrival, from 1; the same told again gets a new one."""
    key: str
    attempt: int
    task_id: str


@dataclass(frozen=True, slots=True)
class Totals:
    """The money side of the book, in credits."""

    spent: Decimal = Decimal(0)
    """Charged by succeeded jobs."""
    reserved: Decimal = Decimal(0)
    """Reserved by submissions on the wire, running tasks, expired and ambiguous jobs."""
    exposed: Decimal = Decimal(0)
    """What earlier unclear attempts may have cost on top."""

    @property
    def committed(self) -> Decimal:
        """The worst case: what a budget is compared with."""
        return self.spent + self.reserved + self.exposed


@runtime_checkable
class Ledger(Protocol):
    """The durable book of jobs. `LedgerError` from any method means: nothing was written."""

    async def open(self) -> None:
        """Opens the book, creating it when it is new. Idempotent."""

    async def aclose(self) -> None:
        """Closes the book; a lease held by this object is given back. Idempotent."""

    async def acquire_lease(self, execution: str, holder: str) -> None:
        """Becomes the one that runs the jobs.

        The lease ends with the process, however it dies, and at no other time: one
        that is merely stopped keeps it.

        Raises:
            LedgerInUseError: another live process holds it, by an object of its own; the
                message names that holder. It may be asked again and again.
            LedgerError: another user of this very object holds it, or it cannot be had.
        """

    async def release_lease(self) -> None:
        """Gives the lease back. Idempotent."""

    async def add(
        self,
        jobs: Sequence[NewJob],
        *,
        rerun: Collection[OutcomeStatus] = (),
        replace_unsent: bool = False,
    ) -> list[JobRow]:
        """Enters jobs, durably, all or none; answers one row a job, in order.

        A key that is there already is the same job: the row is answered as it stands.
        When it ended with a status in `rerun` (only failed, rejected and cancelled are
        taken), it is queued again, keeping its attempts; its request may then be a new
        one. With `replace_unsent`, a job that was never sent takes the new request, and
        a cancelled one is queued again.

        Raises:
            KeyConflictError: the key belongs to another request.
        """

    async def get(self, key: str) -> JobRow | None:
        """The job with this key, or None."""

    async def intent(
        self,
        key: str,
        execution: str,
        *,
        at: float,
        reserve: Decimal = Decimal(0),
        budget: Decimal | None = None,
        body_hash: str | None = None,
    ) -> Intent:
        """May this execution send this job now? Durable before it answers GRANTED.

        Moves `queued -> sending`, opens an attempt and reserves credits. With a budget,
        answers OVER_BUDGET when totals().committed + reserve would exceed it. With the
        hash of the request about to be sent, answers NOT_QUEUED when the job has got
        another request meanwhile (`add` with `rerun` or `replace_unsent`).

        Raises:
            LedgerError: also for a reservation that is no amount of credits.
        """

    async def refused(self, key: str, execution: str) -> None:
        """A 429: `sending -> queued`; the attempt is erased, the reservation released.

        Raises:
            LedgerError: also when this execution is not sending the job; so do
                `send_again` and `accepted`.
        """

    async def send_again(
        self, key: str, execution: str, *, result: AttemptResult, detail: str
    ) -> None:
        """`sending -> queued` after NOT_SENT, SERVER_ERROR or AMBIGUOUS; the attempt is kept.

        NOT_SENT releases the reservation; the others move it to `exposed`, because
        nothing says that the failed attempt was not charged. AMBIGUOUS only where the
        user's policy sends again after an unclear answer; the kept attempts count how
        often that was done.
        """

    async def accepted(self, key: str, execution: str, task_id: str, *, at: float) -> None:
        """`sending -> accepted`, durable: from here on the task is polled, never re-sent.

        Telling the same task twice is harmless. The `LedgerError` of a refusal carries
        the `task_id`, so that it is not lost.
        """

    async def adopt(self, key: str, *, at: float) -> JobRow:
        """An expired job is waited for again: `ended -> accepted`, accepted `at`.

        A job that is accepted already is answered as it stands.

        Raises:
            LedgerError: also for a job in any other state.
        """

    async def resolve(
        self, key: str, resolution: Resolution, *, at: float, task_id: str | None = None
    ) -> JobRow:
        """Settles an ambiguous job by what a person, or a webhook, knows.

        ACCEPTED (needs `task_id`): `ended -> accepted`, the reservation stays.
        NOT_CREATED: it becomes `cancelled`, which releases the reservation.
        RESUBMIT: `ended -> queued`; the reservation moves to `exposed`.

        Raises:
            LedgerError: also when the job is not ambiguous.
        """

    async def end(self, key: str, ending: Ending) -> JobRow | None:
        """`queued | sending | accepted -> ended`, durable.

        Settles the money: `credits` replaces the reservation; failed, rejected and
        cancelled release it; ambiguous and expired keep it. Ending as cancelled takes
        only a queued job, any other state answers None and writes nothing; so does a job
        that has ended already or is not known. Any execution may end a job, so that
        a new runner can settle what a dead one left in `sending`.

        Raises:
            LedgerError: also when the status cannot follow the state: an accepted job
                ends succeeded, failed or expired, a sending one rejected or ambiguous,
                a queued one cancelled, rejected or ambiguous.
        """

    async def set_files(
        self, key: str, files: Sequence[str], *, download_error: str | None = None
    ) -> None:
        """The files of an ended job, relative to where they are kept.

        For a job that is not ended (it may be run again meanwhile) nothing is written.
        """

    async def rows(
        self,
        *,
        states: Collection[JobState] = (),
        statuses: Collection[OutcomeStatus] = (),
        after: int = 0,
        limit: int = 1000,
    ) -> list[JobRow]:
        """Jobs in order of entry, with `number > after`. Empty filters let all through."""

    async def ended_rows(self, *, after: int = 0, limit: int = 1000) -> list[JobRow]:
        """Ended jobs in order of ending, with `ended_number > after`."""

    async def position(self) -> Position | None:
        """How far the book has come, in one consistent reading; None: only this object writes.

        Asked a few times a second by everyone who works with the ledger, so it must cost
        next to nothing. A number is seen here only when its row can be read too, and
        no smaller number can turn up later.
        """

    async def hint(self, key: str, attempt: int, task_id: str) -> None:
        """Keeps what a webhook told, durably, for whoever runs the jobs: it proves nothing.

        The same told again is one hint, with a new number. Bounded: one submission has
        the latest 4 task ids, the ledger the latest 10,000 hints.
        """

    async def hints(self, *, after: int = 0, limit: int = 1000) -> list[Hinted]:
        """Hints in order of arrival, with `number > after`.

        Only those that may still tell something: not of jobs that are unknown, nor of jobs
        that ended with that very task.
        """

    async def totals(self) -> Totals:
        """The money side of the book."""

    async def remember(self, name: str, value: JsonValue) -> None:
        """Keeps a small value for the next run: the learned limit, durations."""

    async def recall(self, name: str) -> JsonValue:
        """A value kept by `remember`, or None."""
