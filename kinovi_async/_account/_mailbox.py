"""The hints about one ledger's jobs: which addresses its submissions carry, and who is told.

A hint about a task that runs here ends its wait at once. Every other one goes into the
ledger before the sender is answered, if others can write there: the runner reads it within
half a second, and the next one after a crash.
"""

from __future__ import annotations

import binascii
import logging
import math
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

import anyio
from anyio.lowlevel import current_token

from .._errors import ConfigurationError, LedgerError
from .._ledger import JobState
from .._outcomes import OutcomeStatus
from .._scheduling import State
from ._book import Book

if TYPE_CHECKING:
    from .._ledger import JobRow, JsonValue, Ledger
    from ..webhooks import WebhookReceiver
    from ..webhooks._address import Signer
    from ..webhooks._hint import Hint
    from ._account import Account
    from ._job import Job
    from ._lane import Lane

__all__ = ["Mailbox", "Note", "new_book"]

_log = logging.getLogger("kinovi_async")

NAME, URL_NAME = "webhooks", "webhooks url"
"""The ledger's names for the run and its secret, which only its runner makes, and for where
the receiver is, which every process tells that has one."""
SECRET_BYTES: Final = 32
RUN_BYTES: Final = 9
LOOK_UP_GAP: Final = 1.0
"""Seconds between two looks for a run that another process has begun meanwhile."""
REFRESH_GAP: Final = 5.0
"""Seconds after which a runner without a receiver looks whether another process has one."""
MOST_NOTES: Final = 10_000
"""Hints that wait to be settled, and as many that were; the oldest give way. 3 MB each."""
MOST_IDS: Final = 4
"""Task ids that are believed to come of one submission: one is the rule, two are a double
charge, more are somebody's who knows the address."""
SILENCE: Final = 5
"""Tasks in a row whose end only a poll showed, after which no webhook is waited for any
more: one may be lost, but five mean that the public URL leads nowhere."""


class Note(NamedTuple):
    """What is to be settled: a submission of ours may have become this task."""

    key: str
    attempt: int
    task_id: str


class Mailbox:
    """Of one ledger in this process; see `kinovi_async.webhooks`."""

    def __init__(
        self, account: Account, book: Book, receiver: WebhookReceiver | None = None
    ) -> None:
        self.notes: OrderedDict[Note, int] = OrderedDict()
        """Not settled yet, and how often the API was asked in vain."""
        self.again = False
        """Whether something changed since the last look at the notes."""
        self.foreign = 0
        """Hints that named a task which is not the job's."""
        self._ids: OrderedDict[tuple[str, int], set[str]] = OrderedDict()
        """What was ever believed of a submission, as long as there is room."""
        self._settled: OrderedDict[Note, None] = OrderedDict()
        self._settler: Lane | None = None
        self._account = account
        self._book = book
        self._receiver = receiver
        self._public_url = "" if receiver is None else receiver.public_url
        self._signer: Signer | None = None
        self._knows_ledgers = False
        """Whether the signer has the ledger's own secret."""
        self._looked_at = -math.inf
        self._lock: anyio.Lock | None = None
        self._silent = 0
        if receiver is not None:
            receiver.attach(self)

    def close(self) -> None:
        """The ledger is closed: its addresses are nobody's here."""
        if self._receiver is not None:
            self._receiver.detach(self)

    # -- addresses ---------------------------------------------------------------------

    async def begin(self) -> None:
        """Tells all who work with the ledger where the receiver is; the runner begins a run."""
        if self._receiver is None:
            return
        ledger = self._book.ledger
        if await ledger.recall(URL_NAME) != self._public_url:
            await ledger.remember(URL_NAME, self._public_url)
        if self._book.runs:
            await self._begin_run()
        else:
            self._use(await ledger.recall(NAME))

    async def refresh(self) -> None:
        """A runner without a receiver signs for the process that has one."""
        if self._receiver is None and anyio.current_time() >= self._looked_at + REFRESH_GAP:
            self._looked_at = anyio.current_time()
            url = await self._book.ledger.recall(URL_NAME)
            if isinstance(url, str):
                self._public_url = url
                await self._begin_run()

    async def _begin_run(self) -> None:
        ledger = self._book.ledger
        known = await ledger.recall(NAME)
        kept: dict[str, JsonValue] = dict(known) if isinstance(known, Mapping) else {}
        run, secret = _run_and_secret(kept)
        if run is None:
            kept["run"] = _random(RUN_BYTES)
        if secret is None and (self._receiver is None or not self._receiver.secrets):
            kept["secret"] = _random(SECRET_BYTES)
        if kept != known:
            await ledger.remember(NAME, kept)
        self._use(kept)

    def address(self, job: Job, attempt: int) -> str | None:
        """The callback address of a submission, None for one that carries none of ours."""
        if self._signer is None or not self._public_url or job.request.callback_url is not None:
            return None
        path = self._signer.path(job.key, attempt)
        return None if path is None else f"{self._public_url}/{path}"

    async def signer(self, run: str) -> Signer | None:
        """Who made the addresses of that run, if it is this ledger's."""
        if not self._knows_ledgers and self._book.durable:
            try:
                await self._look_up()
            except LedgerError:
                if self._signer is None:
                    raise
        return self._signer if self._signer is not None and self._signer.run == run else None

    async def _look_up(self) -> None:
        self._check_loop()
        if self._lock is None:
            self._lock = anyio.Lock()
        async with self._lock:
            if anyio.current_time() >= self._looked_at + LOOK_UP_GAP:
                self._looked_at = anyio.current_time()
                await self._book.ledger.open()
                self._use(await self._book.ledger.recall(NAME))

    def _use(self, known: JsonValue) -> None:
        from ..webhooks._address import Signer

        if not isinstance(known, Mapping):
            return
        run, secret = _run_and_secret(known)
        found = () if self._receiver is None else self._receiver.secrets
        if secret is not None:  # with which a runner without a receiver signs
            found, self._knows_ledgers = (*found, secret), True
        if run is not None and found:
            self._signer = Signer(run, found)

    def _check_loop(self) -> None:
        if not self._account.is_at_home(current_token()):
            msg = "the receiver and its client belong to one event loop"
            raise ConfigurationError(msg)

    # -- hints -------------------------------------------------------------------------

    async def take(self, hint: Hint) -> None:
        """Hands a hint on; returns when the end of this process would not lose it.

        Raises:
            LedgerError: it cannot be kept.
            ConfigurationError: this is not the client's event loop.
        """
        self._check_loop()
        job = self._book.live.get(hint.key)
        here = job is not None and self._book.runs
        if job is not None and here and self.announce(job, hint.task_id, ended=hint.ended):
            return
        if hint.task_id is None:
            return  # of a job that is not known to be a task, it says nothing
        note = Note(hint.key, hint.attempt, hint.task_id)
        if self._book.durable:
            ledger = self._book.ledger
            await ledger.open()
            row = await ledger.get(hint.key)
            if row is None:
                return  # the address is ours, the job is gone
            if row.task_id == hint.task_id and not (hint.ended and _is_open(row)):
                return  # a replay, or nothing new
            if self._book.runs and not self._is_news(note):
                return
            await ledger.hint(*note)
        if self._book.runs:
            self.put(note)

    def announce(self, job: Job, task_id: str | None, *, ended: bool) -> bool:
        """Tells the queue of a task that runs here; False when there is more to settle."""
        entry = job.entry
        if entry is None or job.key in self._book.followed:
            return False
        if entry.state is State.SUBMITTING:
            if ended:
                self._hear(job)
                self._account.state.notified(entry, anyio.current_time())
            return False  # should its answer be unclear, the id is worth money
        if job.task_id is None or task_id not in {None, job.task_id}:
            return False
        self._hear(job)
        if ended and entry.state is State.RUNNING:
            self._account.state.notified(entry, anyio.current_time())
            self._account.pump()
        return True

    def put(self, note: Note) -> None:
        """Settles a hint as soon as a lane is at work; what was settled is so for good."""
        if not self._is_news(note):
            return
        self._ids.setdefault((note.key, note.attempt), set()).add(note.task_id)
        self.notes.setdefault(note, 0)
        while len(self._ids) > MOST_NOTES:
            self._ids.popitem(last=False)
        while len(self.notes) > MOST_NOTES:
            self.notes.popitem(last=False)
        self.nudge()

    def _is_news(self, note: Note) -> bool:
        ids = self._ids.get((note.key, note.attempt), set())
        if note.task_id not in ids and len(ids) >= MOST_IDS:
            self.foreign += 1
            return False
        return note not in self._settled

    def settled(self, note: Note) -> None:
        """Nothing more follows from it, however often it is told."""
        self.notes.pop(note, None)
        self._settled[note] = None
        while len(self._settled) > MOST_NOTES:
            self._settled.popitem(last=False)

    def nudge(self) -> None:
        """What waits to be settled may be so now."""
        from ._hints import settle

        if not self.notes:
            return
        self.again = True
        if self._settler is not None and not self._settler.closing:
            return
        lane = next((each for each in self._book.lanes if not each.closing), None)
        if lane is not None:
            self._settler = lane
            lane.begin(lambda: settle(self, lane))

    def leave(self, lane: Lane) -> None:
        """A lane settles no more of them."""
        if self._settler is lane:
            self._settler = None

    def expects(self, job: Job) -> bool:
        """Whether a hint about the job waits for the end of its submission."""
        return any(note.key == job.key for note in self.notes)

    # -- silence -----------------------------------------------------------------------

    @property
    def speaks(self) -> bool:
        """Whether webhooks are worth waiting for."""
        return self._silent < SILENCE

    def _hear(self, job: Job) -> None:
        job.hinted = True
        self._silent = 0

    def ended(self, job: Job) -> None:
        """A poll showed the end of a task."""
        if not job.hooked or job.hinted:
            return
        self._silent += 1
        if self._silent == SILENCE:
            forged = 0 if self._receiver is None else self._receiver.statistics().forged
            _log.warning(
                "%s tasks ended and no webhook came: does %s lead to the receiver?%s"
                " Until one comes, tasks are polled as without it",
                SILENCE,
                self._public_url,
                f" It answered 404 to {forged}, whose address was not genuine." if forged else "",
            )


def new_book(
    account: Account,
    ledger: Ledger,
    receiver: WebhookReceiver | None,
    *,
    durable: bool,
    owned: bool = True,
) -> Book:
    """A ledger in use by an account, with a mailbox wherever a receiver may send hints to it."""
    book = Book(ledger, durable=durable, wall=account.wall, owned=owned)
    if durable or receiver is not None:
        book.mailbox = Mailbox(account, book, receiver)
    return book


def _is_open(row: JobRow) -> bool:
    """Whether how its task ended is not in the ledger yet."""
    return row.state is not JobState.ENDED or row.status is OutcomeStatus.EXPIRED


def _random(size: int) -> str:
    from ..webhooks._address import encoded

    return encoded(secrets.token_bytes(size))


def _run_and_secret(known: Mapping[str, JsonValue]) -> tuple[str | None, bytes | None]:
    from ..webhooks._address import decoded

    run, secret = known.get("run"), known.get("secret")
    try:
        found = decoded(secret) if isinstance(secret, str) else None
    except binascii.Error:
        found = None
    return run if isinstance(run, str) and run else None, found
