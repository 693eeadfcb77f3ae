"""`kinovi run`: a batch file through the account, with everything it needs around it.

    read and check -> lease -> plan -> [ submit | poll | fetch | write ] -> view -> exit code

Each arrow can be the last one reached: what was done stands in the ledger, and the same
command goes on from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from itertools import groupby, islice
from typing import TYPE_CHECKING

import anyio

from .._account import Job
from .._crash_points import point
from .._errors import KeyConflictError, KinoviError
from .._events import Event, JobEnded, SchedulerPaused
from .._outcomes import Outcome, OutcomeStatus
from .._requests import credit_usd
from ..progress._tally import failure_line
from ._books import all_rows, lacks_files, open_book, results
from ._exits import ExitCode, exit_code
from ._facts import facts_of
from ._fetch import run_fetcher
from ._full_disk import DISK_FULL, Disk
from ._plan import SUBMITTED, Plan, PlannedLine, Step, plan, plan_problems
from ._progress import RunProgress
from ._recorder import Recorder
from ._report import RunReport
from ._results import ResultsFile
from ._session import check_same_account, client_for, open_account, remember_template
from ._signals import watch_signals
from ._summary import RunEnd, opening_line, stop_sentence, summary_facts, summary_text
from ._text import counted
from ._unclear import ambiguous, unclear_lines

if TYPE_CHECKING:
    from .._ledger import JobRow, JsonValue, Ledger
    from .._scheduler import JobScheduler
    from ._lines import Batch, InputLine
    from ._options import RunOptions
    from ._reporters import Reporter
    from ._vocabulary import Vocabulary

_CHUNK = 50
"""Lines entered in one write of the ledger: the first start at once, the rest cost little."""
_NOT_WELL = frozenset({OutcomeStatus.FAILED, OutcomeStatus.REJECTED})


async def run_batch(
    batch: Batch,
    options: RunOptions,
    vocabulary: Vocabulary,
    reporter: Reporter,
    disk: Disk | None = None,
) -> ExitCode:
    """Runs a checked batch file in its output directory.

    Raises:
        KinoviError: it cannot begin (lease, ledger, account), or the ledger failed.
    """
    run = Run(batch, options, vocabulary, reporter, disk or Disk())
    async with anyio.create_task_group() as group:
        scope = anyio.CancelScope()
        group.start_soon(watch_signals, run.interrupt, reporter, scope)
        await run.work(scope)
        group.cancel_scope.cancel()
    if run.refusal is not None:
        raise run.refusal
    return run.code


class Run:
    """One `kinovi run`, from the lease to the exit code."""

    def __init__(
        self,
        batch: Batch,
        options: RunOptions,
        vocabulary: Vocabulary,
        reporter: Reporter,
        disk: Disk,
    ) -> None:
        self._batch = batch
        self._disk = disk
        self._options = options
        self._vocabulary = vocabulary
        self._reporter = reporter
        self._lines: Mapping[str, InputLine] = {line.key: line for line in batch.lines}
        self._results = ResultsFile(options.out)
        self._progress = RunProgress(options)
        self._open: set[str] = set()
        """Keys handed to the scheduler and not ended."""
        self._all_handed = False
        self._failures = 0
        self._stop_reason: str | None = None
        self._over = anyio.Event()
        self._attention = anyio.CancelScope()
        """Around everything that waits for the scheduler."""
        self._interrupted = False
        self._refused = False
        self._recorder: Recorder | None = None
        self._report: RunReport | None = None
        self._began = False
        self._spent_before = Decimal(0)
        self._idle = False
        self._address = ""
        self.refusal: Exception | None = None
        """Why the run could not begin."""
        self.code = ExitCode.OK

    def interrupt(self) -> None:
        """A signal came."""
        self._interrupted = True
        self._progress.tally.stopping = "interrupted; the same command goes on"

    async def work(self, scope: anyio.CancelScope) -> None:
        """Everything; what `scope` covers ends early when it is cancelled."""
        options = self._options
        async with open_book(options.out, create=True) as ledger:
            await check_same_account(ledger, simulate=options.simulate)
            with scope:
                try:
                    await self._generate(ledger)
                except (KinoviError, OSError) as error:
                    self._fail(error)
            self._reporter.stop()
            if self._refused:
                self.code = ExitCode.USAGE
            if self._began:
                await self._conclude(ledger)
            elif self._interrupted and not self._refused:
                self._reporter.warn("interrupted: the same command goes on")
                self.code = ExitCode.INTERRUPTED

    # -- generating --------------------------------------------------------------------

    async def _generate(self, ledger: Ledger) -> None:
        from .._scheduler import JobScheduler

        options = self._options
        async with (
            open_account(simulate=options.simulate, out=options.out) as account,
            client_for(options, account) as client,
            JobScheduler(
                client,
                ledger=ledger,
                budget=options.budget,
                assume_cost=options.assume_cost,
                max_in_flight=options.max_in_flight,
                retry_failed=options.retry_failed,
                on_event=self._on_event,
                resume=False,
            ) as scheduler,
        ):
            # The lease is ours from here on: nobody changes these rows under the plan.
            rows = await all_rows(ledger)
            self._spent_before = (await ledger.totals()).spent
            self._address = client._base_url  # noqa: SLF001 - one package
            decided = self._plan(rows)
            if decided is None:
                return
            self._idle = not decided.of(*SUBMITTED, Step.FETCH)
            await remember_template(ledger, options.name_template)
            point("run: planned")
            self._results.rewrite(results(rows, self._lines))
            fetcher = run_fetcher(client, options, self._batch, rows, self._disk.saving)
            full_disk = self._disk.watch(
                scheduler,
                tell=self._reporter.warn,
                stopping=lambda: self._stop_reason is not None,
                give_up=self._disk_stays_full,
            )
            self._recorder = Recorder(
                ledger,
                self._results,
                lines=self._lines,
                fetcher=fetcher,
                tally=self._progress.tally,
                reporter=self._reporter,
                on_error=self._fail,
                full_disk=full_disk,
            )
            self._progress.follow(scheduler, fetcher, full_disk)
            self._report = RunReport(
                options.out,
                tags={line.key: line.tags for line in self._batch.lines},
                simulated=options.simulate,
                tell=self._reporter.tell,
                warn=self._reporter.warn,
            )
            self._began = True
            self._reporter.start()
            async with anyio.create_task_group() as group:
                group.start_soon(
                    self._progress.show_on, self._reporter, lambda: self._look(scheduler)
                )
                group.start_soon(self._report.keep, ledger)
                async with self._recorder.running():
                    await self._work_through(decided, scheduler)
                group.cancel_scope.cancel()
            self._reporter.show(self._progress.snapshot())

    def _plan(self, rows: Mapping[str, JobRow]) -> Plan | None:
        """What to do with each line; None when a line is refused, and told."""
        options = self._options
        decided = plan(
            self._batch.lines,
            rows,
            hash_of=self._vocabulary.hash_of,
            rerun=options.rerun,
            lacks_files=lambda row: options.download and lacks_files(row, options.out),
        )
        problems = plan_problems(
            decided,
            has_budget=options.budget is not None,
            assumed=options.assume_cost,
            cost=self._vocabulary.cost,
        )
        if problems:
            for problem in problems:
                self._reporter.warn(problem.show(self._batch.name))
            self._reporter.warn(f"nothing was sent: {counted(len(problems), 'problem')}")
            self._refused = True
            return None
        self._progress.plan(decided)
        self._reporter.tell(opening_line(decided))
        return decided

    async def _work_through(self, decided: Plan, scheduler: JobScheduler) -> None:
        assert self._recorder is not None  # noqa: S101 - made just before
        for planned in decided.of(Step.FETCH):
            self._recorder.take(planned.line.key)
        with self._attention:
            async with anyio.create_task_group() as group:
                group.start_soon(self._hand_over, decided.of(*SUBMITTED), scheduler)
                await self._over.wait()
                group.cancel_scope.cancel()
            if self._stop_reason is not None:
                try:
                    await scheduler.drain()
                except KinoviError as error:
                    self._fail(error)

    async def _hand_over(self, lines: list[PlannedLine], scheduler: JobScheduler) -> None:
        for rerun, run in groupby(lines, key=lambda planned: planned.step is Step.RERUN):
            while chunk := list(islice(run, _CHUNK)):
                try:
                    await self._hand_over_chunk(chunk, scheduler, rerun=rerun)
                except KinoviError as error:
                    self._fail(error)
                    return
        self._all_handed = True
        self._look_whether_over()

    async def _hand_over_chunk(
        self, chunk: list[PlannedLine], scheduler: JobScheduler, *, rerun: bool
    ) -> None:
        jobs = [self._job(planned.line) for planned in chunk]
        self._open.update(job.key for job in jobs)
        try:
            await scheduler._enter(jobs, rerun=rerun, replace_unsent=True)  # noqa: SLF001
            point("run: lines handed over")
        except KeyConflictError as error:
            # Somebody else entered a job of this key after the plan was made.
            if len(chunk) > 1:
                for planned in chunk:
                    await self._hand_over_chunk([planned], scheduler, rerun=rerun)
                return
            self._open.discard(chunk[0].line.key)
            self._reporter.warn(f"line {chunk[0].line.number}: {error.message}")
            return
        for job in jobs:
            if job.done and job.key in self._open:
                # Ended without an event of ours: by another process, or while we waited.
                self._ended(await job.outcome())

    def _job(self, line: InputLine) -> Job:
        meta: dict[str, JsonValue] = {"line": line.number}
        if line.tags:
            meta["tags"] = dict(line.tags)
        if line.headers:
            meta["headers"] = dict(line.headers)
        return Job(
            line.request,
            key=line.key,
            meta=meta,
            batch=True,
            max_wait=self._options.max_wait,
        )

    # -- what happens ------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        told = facts_of(event)
        if told is not None:
            self._reporter.event(*told)
        if isinstance(event, JobEnded):
            self._ended(event.outcome)
            return
        self._progress.tally.note(event)
        if isinstance(event, SchedulerPaused):
            self._stop(stop_sentence(event.reason, self._address))

    def _ended(self, outcome: Outcome) -> None:
        if outcome.key not in self._open:
            return
        self._open.discard(outcome.key)
        if outcome.seq is not None:
            self._count(outcome)
        self._look_whether_over()

    def _count(self, outcome: Outcome) -> None:
        assert self._recorder is not None  # noqa: S101 - jobs end only while it works
        self._progress.tally.note_end(outcome)
        if outcome.error is not None:
            self._reporter.failed(failure_line(outcome))
        self._recorder.take(outcome.key)
        if outcome.status in _NOT_WELL:
            self._failures += 1
            limit = self._options.stop_after_failures
            if limit is not None and self._failures >= limit:
                self._stop(f"{counted(self._failures, 'job')} failed (--stop-after-failures)")

    def _stop(self, reason: str) -> None:
        """Nothing more is submitted; what runs is waited for."""
        if self._stop_reason is None:
            self._stop_reason = self._progress.tally.stopping = reason
            self._reporter.warn(f"stopped: {reason}")
            self._over.set()

    def _fail(self, error: Exception) -> None:
        """Something beside the jobs broke: the run ends in order, or never begins."""
        if self._began:
            self._stop(str(error))
        else:
            self.refusal = error

    def _disk_stays_full(self) -> None:
        if self._open or not self._all_handed:
            self._stop(f"{DISK_FULL}; make room, then run the same command again")

    def _look_whether_over(self) -> None:
        if self._all_handed and not self._open:
            self._over.set()

    def _look(self, scheduler: JobScheduler) -> None:
        """A scheduler that broke says why when its block is left."""
        lane = scheduler._lane  # noqa: SLF001 - one package
        if lane is not None and lane.closing:
            self._attention.cancel()

    # -- the end -----------------------------------------------------------------------

    async def _conclude(self, ledger: Ledger) -> None:
        point("run: over")
        rows = await all_rows(ledger)
        try:
            self._results.rewrite(results(rows, self._lines))
        except OSError as error:
            problem = f"cannot write {self._results.path}: {error.strerror}"
            (self._reporter.warn if self._stop_reason else self._stop)(problem)
        page = None
        if self._report is not None:
            page = await self._report.finish(list(rows.values()))
        options = self._options
        mine = [rows.get(key) for key in self._lines]
        lacking = (
            sum(1 for row in mine if row is not None and lacks_files(row, options.out))
            if options.download
            else 0
        )
        end = RunEnd(
            out=options.out,
            rows=tuple(mine),
            totals=await ledger.totals(),
            spent_before=self._spent_before,
            idle=self._idle,
            lacking=lacking,
            stopped=self._stop_reason,
            interrupted=self._interrupted,
            usd=credit_usd(options.api_generation),
            report=page,
        )
        self.code = exit_code(
            [row.status if row is not None else None for row in mine],
            lacks_files=lacking > 0,
            stopped=self._stop_reason is not None,
            interrupted=self._interrupted,
        )
        for line in unclear_lines(ambiguous(mine), self._lines, options.out):
            self._reporter.warn(line)
        self._reporter.summary(summary_text(end))
        self._reporter.event("finished", summary_facts(end, self.code))
