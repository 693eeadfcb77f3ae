"""`kinovi worker`: runs a ledger into which other processes enter jobs, without a web server.

It takes up everything unfinished and waits for more until a signal comes. Several may be
started on one ledger: one runs it, the others stand by, and the next takes over within a
second. What the account does not let through ends it, so that whoever watches over it sees.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from .._errors import (
    AuthenticationError,
    BudgetExceededError,
    ConfigurationError,
    InsufficientCreditsError,
    KinoviError,
    PermissionDeniedError,
)
from .._events import Event, JobEnded, SchedulerPaused, SchedulerResumed
from .._outcomes import OutcomeStatus
from .._policy import SubmitPolicy
from ..progress._tally import failure_line
from ._exits import ExitCode
from ._facts import facts_of
from ._logging import warnings_told
from ._reporters import choose_reporter
from ._session import check_account, is_simulated
from ._signals import watch_signals
from ._text import counted, in_credits, visible

if TYPE_CHECKING:
    from .._account import Statistics
    from .._client import AsyncKinovi
    from .._events import Observer
    from .._requests import ApiGeneration
    from ._reporters import Reporter

LOOK_SECONDS = 0.25
"""Between two looks at the scheduler, as often as the ledger itself is looked at."""
LINE_SECONDS = 10.0
"""Least seconds between two lines of progress, as in a run."""
_ACCOUNT = (
    AuthenticationError,
    InsufficientCreditsError,
    PermissionDeniedError,
    BudgetExceededError,
)
"""Reasons that do not pass by themselves; after any other one the scheduler goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """What `kinovi worker` is to do."""

    ledger: Path
    max_in_flight: int | None = None
    poll_interval: tuple[float, float] | None = None
    """Seconds, low and high; None: the client's."""
    budget: Decimal | None = None
    """Credits for the whole ledger."""
    assume_cost: Decimal | None = None
    hold_on_500: bool = False
    api_generation: ApiGeneration = "seed"
    as_json: bool = False
    quiet: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a worker stands, for a line of progress."""

    waiting: int
    submitting: int
    running: int
    limit: int | None
    """The account's slots as learned."""
    done: int
    not_well: int
    """Those of `done` that did not succeed."""
    credits: Decimal
    reserved: Decimal
    state: str
    """`running`, `standing_by` or `paused`."""
    reason: str | None = None
    """Why it is paused, or the one that runs the ledger."""

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.waiting or self.submitting or self.running)

    @property
    def line(self) -> str:
        """The standing for people."""
        slots = f"{self.running} running" if self.limit is None else (
            f"{self.running} of {counted(self.limit, 'slot')} in use"
        )  # fmt: skip
        done = f"{self.done} done"
        if self.not_well:
            done += f", {self.not_well} of them not well"
        text = f"{self.waiting} waiting, {slots}, {done}, {in_credits(self.credits)}"
        return text if self.reason is None else f"{text}; paused: {self.reason}"

    def facts(self) -> dict[str, object]:
        """The standing for programs, under the names that a run's `progress` has."""
        return {
            "waiting": self.waiting,
            "submitting": self.submitting,
            "running": self.running,
            "limit": self.limit,
            "done": self.done,
            "credits": float(self.credits),
            "credits_reserved": float(self.reserved),
            "state": self.state,
            "reason": self.reason,
        }


def standing_of(now: Statistics, ended: Counter[OutcomeStatus]) -> Standing:
    """The standing of a scheduler and of what ended in its hands."""
    state = "standing_by" if not now.runner else "running" if now.paused is None else "paused"
    return Standing(
        waiting=sum(queued for queued, _ in now.groups.values()),
        submitting=now.submitting,
        running=now.in_flight,
        limit=now.limit,
        done=ended.total(),
        not_well=ended.total() - ended[OutcomeStatus.SUCCEEDED],
        credits=now.credits,
        reserved=now.reserved,
        state=state,
        reason=None if now.paused is None else str(now.paused),
    )


class Narrator:
    """Says when the standing is worth a line: at once when work begins or ends, else seldom."""

    def __init__(self, clock: Callable[[], float], interval: float = LINE_SECONDS) -> None:
        self._clock = clock
        self._interval = interval
        self._told: Standing | None = None
        self._told_at = clock()

    def is_due(self, standing: Standing) -> bool:
        """Whether to tell it now; if so, it counts as told."""
        before, now = self._told, self._clock()
        if before is None:
            due = not standing.idle or standing.done > 0
        elif (before.idle, before.reason) != (standing.idle, standing.reason):
            due = True
        elif standing.idle and before.done != standing.done:
            due = True  # it began and ended between two looks
        else:
            due = standing != before and now - self._told_at >= self._interval
        if due:
            self._told, self._told_at = standing, now
        return due


def worker_command(options: WorkerOptions) -> ExitCode:
    """`kinovi worker`.

    Raises:
        ConfigurationError: a missing key, a wrong path or option; nothing was sent.
        LedgerError: the ledger cannot be opened, or broke.
    """
    check_account(may_simulate=False)
    check_place(options.ledger)
    reporter = choose_reporter(
        as_json=options.as_json, quiet=options.quiet, clock=time.monotonic, live=False
    )
    with warnings_told(reporter):
        return anyio.run(work, options, reporter)


def check_place(path: Path) -> None:
    """Refuses a path where no ledger can be.

    Raises:
        ConfigurationError: it is a directory, or in none.
    """
    if path.is_dir():
        raise ConfigurationError(
            f"{visible(str(path))} is a directory: name the ledger's file, "
            f"e.g. {visible(str(path / 'jobs.sqlite3'))}"
        )
    if not path.parent.is_dir():
        raise ConfigurationError(f"no such directory: {visible(str(path.parent))}")


async def work(options: WorkerOptions, reporter: Reporter) -> ExitCode:
    """Runs a ledger until a signal comes or the account stops it.

    Raises:
        KinoviError: it cannot begin, or the ledger failed.
    """
    worker = Worker(options, reporter)
    async with anyio.create_task_group() as group:
        scope = anyio.CancelScope()
        group.start_soon(watch_signals, worker.interrupt, reporter, scope)
        with scope:
            await worker.run()
        group.cancel_scope.cancel()
    if worker.failure is not None:
        raise worker.failure
    return worker.conclude()


class Worker:
    """One `kinovi worker`, from the ledger to the exit code."""

    def __init__(self, options: WorkerOptions, reporter: Reporter) -> None:
        self._options = options
        self._reporter = reporter
        self._narrator = Narrator(time.monotonic)
        self._ended: Counter[OutcomeStatus] = Counter()
        self._standing: Standing | None = None
        self._stopped: KinoviError | None = None
        self._interrupted = False
        self._telemetry: Observer | None = None
        self.failure: KinoviError | None = None
        """Why it could not begin or go on."""

    def interrupt(self) -> None:
        """A signal came."""
        self._interrupted = True

    # The client's observer: it hears of every job that this process drives.

    def __call__(self, event: Event) -> None:
        """Takes what happened to a job."""
        if self._telemetry is not None:
            self._telemetry(event)
        told = facts_of(event)
        if told is not None and not (isinstance(event, SchedulerPaused) and event.echo):
            self._reporter.event(*told)
        if isinstance(event, JobEnded) and event.outcome.seq is not None:
            self._ended[event.outcome.status] += 1
            if event.outcome.error is not None:
                self._reporter.failed(failure_line(event.outcome))
        elif isinstance(event, SchedulerPaused) and not event.echo:
            self._reporter.warn(f"paused: {event.reason}")
            if self._stopped is None and isinstance(event.reason, _ACCOUNT):
                self._stopped = event.reason
        elif isinstance(event, SchedulerResumed) and not event.echo:
            self._stopped = None  # `resume()`, here or in another process, or the API is back
            self._reporter.tell("goes on")

    def stamp(self) -> str | None:
        """Nothing is submitted here."""
        return None

    async def run(self) -> None:
        """Takes up what there is and waits for more, until cancelled or stopped."""
        try:
            await self._run()
        except KinoviError as error:
            self.failure = error

    async def _run(self) -> None:
        from .._ledger import SQLiteLedger
        from .._scheduler import JobScheduler

        options = self._options
        ledger = SQLiteLedger(options.ledger)
        await ledger.open()
        try:
            if await is_simulated(ledger):
                raise ConfigurationError(
                    f"{visible(str(options.ledger))} holds simulated jobs: their tasks mean "
                    "nothing to the real API"
                )
            async with _client(options) as client:
                self._telemetry = _telemetry_of(client)
                client._account.observer = self  # noqa: SLF001 - one package
                async with JobScheduler(
                    client,
                    ledger=ledger,
                    budget=options.budget,
                    assume_cost=options.assume_cost,
                    max_in_flight=options.max_in_flight,
                ) as scheduler:
                    await self._watch(scheduler.statistics)
                    await scheduler.drain(deadline=0)  # what waits and what runs is in the ledger
        finally:
            with anyio.CancelScope(shield=True):  # bounded by the ledger's own timeout
                await ledger.aclose()

    async def _watch(self, statistics: Callable[[], Statistics]) -> None:
        """Tells how things stand until the account has stopped it and its tasks have ended."""
        name = visible(str(self._options.ledger))
        state: bool | None = None
        while True:
            now = statistics()
            if now.runner is not state:
                state = now.runner
                self._reporter.event("worker", {"state": "running" if state else "standing_by"})
                self._reporter.tell(
                    f"runs {name}; Ctrl-C ends it"
                    if state
                    else f"another process runs {name}: standing by"
                )
            self._standing = standing = standing_of(now, self._ended)
            if self._narrator.is_due(standing):
                self._reporter.event("progress", standing.facts())
                self._reporter.tell(standing.line)
            # With a key that is refused, running tasks cannot be looked at either.
            if self._stopped is not None and (
                isinstance(self._stopped, AuthenticationError)
                or not (standing.running or standing.submitting)
            ):
                return
            await anyio.sleep(LOOK_SECONDS)

    def conclude(self) -> ExitCode:
        """The last words, and the exit code."""
        code = ExitCode.OK
        if self._stopped is not None:
            code = ExitCode.STOPPED
        if self._interrupted:
            code = ExitCode.INTERRUPTED
        standing = self._standing
        facts: dict[str, object] = {
            "jobs": {str(status): count for status, count in self._ended.items()},
            "credits": None if standing is None else float(standing.credits),
            "stopped": None if self._stopped is None else str(self._stopped),
            "interrupted": self._interrupted,
            "exit_code": int(code),
        }
        self._reporter.event("finished", facts)
        if standing is not None:
            left = standing.waiting + standing.submitting + standing.running
            self._reporter.tell(
                f"{counted(self._ended.total(), 'job')} done here"
                + (f", {left} left to the next worker" if left else "")
            )
        return code


def _telemetry_of(client: AsyncKinovi) -> Observer | None:
    """OpenTelemetry's, where `opentelemetry-instrument` has begun this process."""
    if "opentelemetry.trace" not in sys.modules:
        return None
    from ..otel import instrument

    instrument(client)
    return client._account.observer  # noqa: SLF001 - one package


def _client(options: WorkerOptions) -> AsyncKinovi:
    from .._client import AsyncKinovi
    from .._connection import DEFAULT_POLL_INTERVAL

    return AsyncKinovi(
        poll_interval=options.poll_interval or DEFAULT_POLL_INTERVAL,
        submit_policy=SubmitPolicy(server_error="hold" if options.hold_on_500 else "retry"),
        api_generation=options.api_generation,
    )
