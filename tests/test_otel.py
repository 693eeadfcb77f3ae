"""Telemetry, with OpenTelemetry's real SDK: one span tree for each job, and every metric."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode, Tracer

from kinovi_async import (
    AmbiguousSubmissionError,
    AsyncKinovi,
    Attempt,
    AttemptResult,
    ConfigurationError,
    Event,
    InsufficientCreditsError,
    JobAccepted,
    JobCancelledError,
    JobRefused,
    JobScheduler,
    NanoBanana2,
    Outcome,
    OutcomeStatus,
    SchedulerPaused,
    SQLiteLedger,
    TextToVideo,
)
from kinovi_async._ledger import NewJob
from kinovi_async.otel import instrument, phases_of
from kinovi_async.testing import KEY, InstantSimulator, environment, serving

SECRET = "a prompt that nobody may read"
CAT = NanoBanana2(prompt=SECRET)


class Seen:
    """What arrived at the exporters."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self._reader = InMemoryMetricReader()
        self.meters = MeterProvider([self._reader])

    @property
    def tracer(self) -> Tracer:
        """The application's own."""
        return self.tracers.get_tracer("application")

    def instrument(self, client: AsyncKinovi, **options: Any) -> AsyncKinovi:
        instrument(client, tracer_provider=self.tracers, meter_provider=self.meters, **options)
        return client

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self._spans.get_finished_spans() if span.name == name]

    def jobs(self) -> list[ReadableSpan]:
        return self.named("kinovi.job")

    def children(self, parent: ReadableSpan) -> list[ReadableSpan]:
        return [
            span
            for span in self._spans.get_finished_spans()
            if span.parent is not None and span.parent.span_id == context_of(parent).span_id
        ]

    def tree(self, job: ReadableSpan) -> list[str]:
        """The names of a job's parts, in order; each lies within it and begins where one ended."""
        children = sorted(self.children(job), key=times)
        at = times(job)[0]
        for span in children:
            assert times(span)[0] == at
            at = times(span)[1]
            assert not self.children(span)
        assert at == times(job)[1]
        return [span.name.removeprefix("kinovi.") for span in children]

    def metrics(self) -> dict[str, list[tuple[dict[str, Any], Any]]]:
        """Attributes and values (counts, of histograms) by the metric's name."""
        data = self._reader.get_metrics_data()
        found: dict[str, list[tuple[dict[str, Any], Any]]] = {}
        for resource in data.resource_metrics if data else []:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    found[metric.name] = [
                        (dict(point.attributes or {}), getattr(point, "value", point))
                        for point in metric.data.data_points
                    ]
        return found

    def value(self, name: str, **attributes: str) -> Any:
        """The sum over the points with these attributes, in the short form of their names."""
        return sum(
            value
            for found, value in self.metrics()[name]
            if all(found[f"kinovi.{key}"] == wanted for key, wanted in attributes.items())
        )

    def everything(self) -> str:
        spans = "".join(span.to_json() for span in self._spans.get_finished_spans())
        return f"{spans}{self.metrics()}"


class Until:
    """A handler of events that waits until each of these has been told."""

    def __init__(self, *kinds: type[Event]) -> None:
        self._left = list(kinds)
        self._told = anyio.Event()

    def __call__(self, event: Event) -> None:
        if type(event) in self._left:
            self._left.remove(type(event))
        if not self._left:
            self._told.set()

    async def wait(self) -> None:
        await self._told.wait()


def context_of(span: ReadableSpan) -> Any:
    assert span.context is not None
    return span.context


def times(span: ReadableSpan) -> tuple[int, int]:
    assert span.start_time is not None
    assert span.end_time is not None
    return span.start_time, span.end_time


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def simulator() -> InstantSimulator:
    return InstantSimulator()


@pytest.fixture
def client(simulator: InstantSimulator, seen: Seen) -> AsyncKinovi:
    return seen.instrument(simulator.client())


# Spans


async def test_a_generation_is_one_tree_below_the_span_of_its_caller(
    client: AsyncKinovi, seen: Seen
) -> None:
    with seen.tracer.start_as_current_span("request") as request:
        record = await client.generate(CAT, key="cat-1")
    [job] = seen.jobs()
    assert seen.tree(job) == ["queue", "submit", "generate"]
    assert job.parent is not None
    assert job.parent.span_id == request.get_span_context().span_id
    assert context_of(job).trace_id == request.get_span_context().trace_id
    found = dict(job.attributes or {})
    assert len(str(found.pop("kinovi.account"))) == 16
    assert found == {
        "server.address": "localhost",
        "kinovi.job.key": "cat-1",
        "kinovi.model": "nanobanana2",
        "kinovi.status": "succeeded",
        "kinovi.attempts": 1,
        "kinovi.refusals": 0,
        "kinovi.task_id": record.task_id,
        "kinovi.credits": 15.0,
    }
    assert job.status.status_code is StatusCode.UNSET


async def test_every_job_of_a_batch_has_one_tree(
    client: AsyncKinovi, seen: Seen, simulator: InstantSimulator
) -> None:
    simulator.fail(nth=3)
    simulator.refuse(400, nth=1)
    with seen.tracer.start_as_current_span("import") as caller:
        outcomes = await client.run_batch([(f"cat-{n}", CAT) for n in range(20)])
    trees = {str((job.attributes or {})["kinovi.job.key"]): job for job in seen.jobs()}
    assert len(seen.jobs()) == len(trees) == 20
    for outcome in outcomes:
        job = trees[outcome.key]
        assert (job.attributes or {})["kinovi.status"] == outcome.status
        assert job.parent is not None
        assert job.parent.span_id == caller.get_span_context().span_id
        parts = ["queue", "submit", "generate"]
        wanted = parts[:2] if outcome.status is OutcomeStatus.REJECTED else parts
        assert seen.tree(job) == wanted
    statuses = Counter(outcome.status for outcome in outcomes)
    assert statuses == {"succeeded": 18, "failed": 1, "rejected": 1}


async def test_each_job_has_the_parent_of_where_it_was_submitted(
    client: AsyncKinovi, seen: Seen
) -> None:
    async with JobScheduler(client) as scheduler:
        for name in ("first", "second"):
            with seen.tracer.start_as_current_span(name):
                scheduler.submit_nowait(CAT, key=name)
        await scheduler.submit(CAT, key="none")
    for job in seen.jobs():
        key = (job.attributes or {})["kinovi.job.key"]
        if key == "none":
            assert job.parent is None
        else:
            [caller] = seen.named(str(key))
            assert job.parent is not None
            assert job.parent.span_id == context_of(caller).span_id


async def test_a_job_may_begin_a_trace_of_its_own_with_a_link(
    simulator: InstantSimulator, seen: Seen
) -> None:
    client = seen.instrument(simulator.client(), new_trace=True)
    with seen.tracer.start_as_current_span("request") as request:
        await client.generate(CAT)
    await client.generate(CAT)
    linked, alone = seen.jobs()
    assert linked.parent is None
    assert [link.context.span_id for link in linked.links] == [request.get_span_context().span_id]
    assert (alone.parent, list(alone.links)) == (None, [])


async def test_a_failed_task_says_which_code_and_nothing_else_of_the_server(
    client: AsyncKinovi, seen: Seen, simulator: InstantSimulator
) -> None:
    simulator.fail(2038, message=SECRET)
    await client.run_batch([CAT])
    [job] = seen.jobs()
    assert (job.attributes or {})["kinovi.failure.code"] == "2038"
    assert (job.attributes or {})["error.type"] == "TaskFailedError"
    assert (job.status.status_code, job.status.description) == (StatusCode.ERROR, "failed")


async def test_a_submission_that_had_to_be_repeated_is_an_event(
    client: AsyncKinovi, seen: Seen, simulator: InstantSimulator
) -> None:
    simulator.refuse(500)
    await client.generate(CAT)
    [job] = seen.jobs()
    assert seen.tree(job) == ["queue", "submit", "generate"]
    assert [(event.name, dict(event.attributes or {})) for event in job.events] == [
        ("kinovi.submission_failed", {"kinovi.attempt": 1, "kinovi.result": "server_error"})
    ]
    assert (job.attributes or {})["kinovi.attempts"] == 2


async def test_a_lost_answer_is_an_error(
    client: AsyncKinovi, seen: Seen, simulator: InstantSimulator
) -> None:
    simulator.lose_answer()
    with pytest.raises(AmbiguousSubmissionError):
        await client.generate(CAT)
    [job] = seen.jobs()
    assert seen.tree(job) == ["queue", "submit"]
    assert job.status.description == "ambiguous"


async def test_a_cancelled_job_was_in_the_queue_and_nowhere_else(
    client: AsyncKinovi, seen: Seen, simulator: InstantSimulator
) -> None:
    accepted = Until(JobAccepted)
    async with JobScheduler(client, max_in_flight=1, on_event=accepted) as scheduler:
        with simulator.hold():
            await scheduler.submit(CAT)
            await accepted.wait()
            job = await scheduler.submit(CAT)
            assert await job.cancel()
            with pytest.raises(JobCancelledError):
                await job.result()
            [span] = seen.jobs()
    assert seen.tree(span) == ["queue"]
    assert span.status.status_code is StatusCode.UNSET
    assert (span.attributes or {})["kinovi.status"] == "cancelled"


async def test_a_generation_that_is_cancelled_while_it_waits_has_its_tree(
    client: AsyncKinovi, seen: Seen, simulator: InstantSimulator
) -> None:
    simulator.limit = 0
    with anyio.move_on_after(0.05):
        await client.generate(CAT)
    [job] = seen.jobs()
    assert seen.tree(job) == ["queue"]
    assert (job.attributes or {})["kinovi.status"] == "cancelled"


async def test_a_key_under_two_handles_is_one_job(client: AsyncKinovi, seen: Seen) -> None:
    async with JobScheduler(client) as scheduler:
        first = await scheduler.submit(CAT, key="cat-1")
        second = await scheduler.submit(CAT, key="cat-1")
        assert (await first.outcome()).task_id == (await second.outcome()).task_id
        third = await scheduler.submit(CAT, key="cat-1")
        assert (await third.outcome()).ok
    assert len(seen.jobs()) == 1
    assert seen.value("kinovi.jobs") == 1


async def test_a_job_resumed_from_a_ledger_has_one_tree_with_its_first_caller(
    simulator: InstantSimulator, seen: Seen, tmp_path: Path
) -> None:
    ledger = tmp_path / "jobs.sqlite3"
    with simulator.hold():
        async with seen.instrument(simulator.client(ledger=ledger)) as client:
            accepted = Until(*[JobAccepted] * simulator.limit)
            with seen.tracer.start_as_current_span("request") as request:
                async with JobScheduler(client, on_event=accepted) as scheduler:
                    for n in range(8):
                        await scheduler.submit(CAT, key=f"cat-{n}")
                    await accepted.wait()
                    await scheduler.drain(deadline=0)
    assert seen.jobs() == []
    async with (
        seen.instrument(simulator.client(ledger=ledger)) as client,
        JobScheduler(client),
    ):
        pass
    assert len(seen.jobs()) == 8
    for job in seen.jobs():
        assert seen.tree(job) == ["queue", "submit", "generate"]
        assert job.parent is not None
        assert job.parent.span_id == request.get_span_context().span_id
    assert seen.value("kinovi.credits") == 8 * 15


async def test_a_job_that_another_client_of_the_ledger_runs_is_told_once(
    simulator: InstantSimulator, seen: Seen, tmp_path: Path
) -> None:
    ledger = tmp_path / "jobs.sqlite3"
    async with (
        seen.instrument(simulator.client(ledger=ledger)) as runner,
        seen.instrument(simulator.client(ledger=ledger)) as worker,
        JobScheduler(runner),
        JobScheduler(worker) as scheduler,
    ):
        with seen.tracer.start_as_current_span("request") as request:
            job = await scheduler.submit(CAT, key="cat-1")
        assert (await job.outcome()).ok
    [span] = seen.jobs()
    assert seen.tree(span) == ["queue", "submit", "generate"]
    assert span.parent is not None
    assert span.parent.span_id == request.get_span_context().span_id
    assert seen.value("kinovi.jobs") == 1


async def test_a_submission_that_its_process_did_not_survive_is_told_by_the_next_one(
    simulator: InstantSimulator, seen: Seen, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.sqlite3"
    with seen.tracer.start_as_current_span("request") as request:
        async with (
            seen.instrument(simulator.client(ledger=path)) as client,
            JobScheduler(client) as scheduler,
        ):
            simulator.limit = 0
            await scheduler.submit(CAT, key="cat-1")
            await scheduler.drain(deadline=0)
    await killed_while_sending(path, "cat-1")
    async with seen.instrument(simulator.client(ledger=path)) as client, JobScheduler(client):
        pass
    [job] = seen.jobs()
    assert seen.tree(job) == ["queue", "submit"]
    assert (job.attributes or {})["kinovi.status"] == "ambiguous"
    assert (job.attributes or {})["error.type"] == "AmbiguousSubmissionError"
    assert job.parent is not None
    assert job.parent.span_id == request.get_span_context().span_id
    assert seen.value("kinovi.jobs", status="ambiguous") == 1


async def killed_while_sending(path: Path, key: str) -> None:
    """Leaves a ledger as a process does that dies with this submission on the wire."""
    ledger = SQLiteLedger(path)
    await ledger.open()
    await ledger.intent(key, "the dead process", at=time.time())
    await ledger.aclose()


async def test_a_call_that_is_left_while_another_process_has_its_job_queued_is_told(
    simulator: InstantSimulator, seen: Seen, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.sqlite3"
    accepted = Until(JobAccepted)
    with simulator.hold():
        async with (
            simulator.client(ledger=path) as runner,
            seen.instrument(simulator.client(ledger=path)) as other,
            JobScheduler(runner, max_in_flight=1, on_event=accepted) as scheduler,
        ):
            await scheduler.submit(CAT)
            await accepted.wait()
            async with anyio.create_task_group() as group:
                group.start_soon(partial(other.generate, CAT, key="cat-1"))
                await until_known(path, "cat-1")
                group.cancel_scope.cancel()
            await scheduler.drain(deadline=0)
    [job] = seen.jobs()
    assert seen.tree(job) == ["queue"]
    assert (job.attributes or {})["kinovi.status"] == "cancelled"


async def until_known(path: Path, key: str) -> None:
    """Waits until a job is in the ledger, and its call has had the time to notice."""
    ledger = SQLiteLedger(path)
    await ledger.open()
    row = None
    while row is None:
        row = await ledger.get(key)
    await ledger.aclose()


async def test_more_attributes_come_from_the_outcome(
    simulator: InstantSimulator, seen: Seen
) -> None:
    def more(outcome: Outcome) -> dict[str, str | bool | int | float]:
        return {"app.customer": outcome.tags["customer"]}

    client = seen.instrument(simulator.client(), attributes=more)
    await client.generate(CAT, tags={"customer": "acme"})
    [job] = seen.jobs()
    assert (job.attributes or {})["app.customer"] == "acme"


async def test_what_they_raise_hurts_no_job(
    simulator: InstantSimulator, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: Outcome) -> dict[str, str | bool | int | float]:
        raise ZeroDivisionError

    client = seen.instrument(simulator.client(), attributes=broken)
    with caplog.at_level(logging.ERROR, "kinovi_async"):
        await client.generate(CAT)
    assert "the observer raised for JobEnded" in caplog.text


async def test_neither_prompt_nor_key_is_told(
    client: AsyncKinovi, seen: Seen, simulator: InstantSimulator
) -> None:
    simulator.fail(nth=2, message=SECRET)
    await client.run_batch([CAT] * 3)
    assert SECRET not in seen.everything()
    assert KEY not in seen.everything()


WORKER = """
import sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

tracers = TracerProvider()
exporter = ConsoleSpanExporter(formatter=lambda span: span.to_json(indent=None) + "\\n")
tracers.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(tracers)

from kinovi_async._cli import main

sys.argv[1:] = ["worker", sys.argv[1], "--quiet"]
main()
"""
"""What `opentelemetry-instrument kinovi worker LEDGER` comes to."""


def test_a_worker_that_opentelemetry_has_begun_tells_of_its_jobs(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite3"
    simulator = InstantSimulator()
    anyio.run(enter, path)
    with serving(simulator) as running:
        found = environment(running)
        with subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-c", WORKER, str(path)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **found},
        ) as worker:
            assert worker.stdout is not None
            spans = [json.loads(worker.stdout.readline()) for _ in range(4)]
            worker.terminate()
            assert worker.stdout.read() == ""
    assert Counter(span["name"] for span in spans) == dict.fromkeys(
        ["kinovi.job", "kinovi.queue", "kinovi.submit", "kinovi.generate"], 1
    )
    [job] = [span for span in spans if span["name"] == "kinovi.job"]
    assert job["attributes"]["kinovi.job.key"] == "cat-1"
    assert job["attributes"]["kinovi.status"] == "succeeded"


async def enter(path: Path) -> None:
    """Enters a job as a process does that does not run it."""
    ledger = SQLiteLedger(path)
    await ledger.open()
    await ledger.add([NewJob(key="cat-1", body=CAT.to_stored(), at=time.time())])
    await ledger.aclose()


# Metrics


async def test_every_metric_arrives(
    client: AsyncKinovi, seen: Seen, simulator: InstantSimulator
) -> None:
    simulator.fail(prompt="rude")
    simulator.refuse(429, times=2)
    film = TextToVideo(prompt="a wave", duration=4)
    outcomes = await client.run_batch([*[CAT] * 14, NanoBanana2(prompt="rude"), film])
    books = simulator.books
    assert seen.value("kinovi.jobs", model="nanobanana2", status="succeeded") == 14
    assert seen.value("kinovi.jobs", model="nanobanana2", status="failed") == 1
    assert seen.value("kinovi.jobs") == len(outcomes)
    assert seen.value("kinovi.credits") == float(books.spent)
    refused = books.refused.get(429, 0) + books.faults["429"]
    assert seen.value("kinovi.refusals") == refused
    assert seen.value("kinovi.polls") == books.polls
    assert seen.value("kinovi.slots.used") == 0
    assert seen.value("kinovi.queue.length") == 0
    # Both are told once they are known, which two refusals and no time need not make them.
    assert all(0 < value <= 1 for _, value in seen.metrics().get("kinovi.slots.use", []))
    assert all(value >= 1 for _, value in seen.metrics().get("kinovi.slots.limit", []))
    for name in ("kinovi.queue.duration", "kinovi.generation.duration"):
        points = seen.metrics()[name]
        assert sum(point.count for _, point in points) == len(outcomes)
        assert {found["kinovi.model"] for found, _ in points} == {"nanobanana2", film.model}
        assert all(point.sum >= 0 and 60 in point.explicit_bounds for _, point in points)
    accounts = {
        found["kinovi.account"] for points in seen.metrics().values() for found, _ in points
    }
    assert len(accounts) == 1


async def test_gauges_show_what_runs_and_waits(
    client: AsyncKinovi, seen: Seen, simulator: InstantSimulator
) -> None:
    simulator.limit = 2
    full = Until(JobAccepted, JobAccepted, JobRefused)
    async with JobScheduler(client, on_event=full) as scheduler:
        with simulator.hold():
            for _ in range(5):
                await scheduler.submit(CAT)
            await full.wait()
            read = await anyio.to_thread.run_sync(seen.metrics)  # as exporters do
            # One more may be on the wire, about to be refused.
            [(_, waiting)] = read["kinovi.queue.length"]
            assert waiting in {2, 3}
            assert [value for _, value in read["kinovi.slots.used"]] == [2]
            assert [value for _, value in read["kinovi.slots.limit"]] == [2]


async def test_a_pause_is_counted_with_its_reason(
    client: AsyncKinovi, seen: Seen, simulator: InstantSimulator
) -> None:
    simulator.credits = 0
    paused = Until(SchedulerPaused)
    async with JobScheduler(client, on_event=paused) as scheduler:
        await scheduler.submit(CAT)
        await paused.wait()
        assert isinstance(scheduler.statistics().paused, InsufficientCreditsError)
    [(found, count)] = seen.metrics()["kinovi.pauses"]
    assert (found["error.type"], count) == ("InsufficientCreditsError", 1)


async def test_clients_share_the_instruments_and_are_told_apart(
    simulator: InstantSimulator, seen: Seen
) -> None:
    clients = [seen.instrument(simulator.client(api_key=f"test-key-{n}")) for n in range(2)]
    for client in clients:
        await client.generate(CAT)
    assert len({found["kinovi.account"] for found, _ in seen.metrics()["kinovi.polls"]}) == 2
    assert seen.value("kinovi.jobs") == 2


# With and without


async def test_without_an_sdk_nothing_happens(simulator: InstantSimulator) -> None:
    client = simulator.client()
    instrument(client)
    assert (await client.generate(CAT)).urls


def test_a_client_is_instrumented_once(client: AsyncKinovi, seen: Seen) -> None:
    with pytest.raises(ConfigurationError, match="instrumented already"):
        seen.instrument(client)


def run_python(code: str) -> str:
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_the_package_does_not_import_opentelemetry() -> None:
    code = (
        "import sys, kinovi_async.testing, kinovi_async._cli\n"
        "from kinovi_async import AsyncKinovi, JobScheduler\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    assert run_python(code) == "[]"


def test_without_the_extra_the_error_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "try: import kinovi_async.otel\n"
        "except ImportError as error: print(error)"
    )
    wanted = "telemetry needs opentelemetry-api: pip install 'kinovi-async[otel]'"
    assert run_python(code) == wanted


# The phases of an outcome


def outcome_with(
    *, accepted: float | None, attempts: Sequence[float] = (), created: float = 100.0
) -> Outcome:
    last = AttemptResult.AMBIGUOUS if accepted is None else AttemptResult.ACCEPTED
    return Outcome(
        key="cat-1",
        status=OutcomeStatus.SUCCEEDED if accepted else OutcomeStatus.AMBIGUOUS,
        request=CAT,
        credits=Decimal(15),
        attempts=tuple(Attempt(n, at, last) for n, at in enumerate(attempts, 1)),
        created_at=datetime.fromtimestamp(created, UTC),
        accepted_at=None if accepted is None else datetime.fromtimestamp(accepted, UTC),
        completed_at=datetime.fromtimestamp(160.0, UTC),
    )


def phases(outcome: Outcome) -> Iterator[tuple[str, float, float]]:
    for phase in phases_of(outcome, ended_at=170.0):
        yield phase.name, phase.start / 1e9, phase.end / 1e9


def test_a_job_is_queued_submitted_and_generated() -> None:
    assert list(phases(outcome_with(accepted=131.0, attempts=[110.0, 130.0]))) == [
        ("job", 100.0, 160.0),
        ("queue", 100.0, 130.0),
        ("submit", 130.0, 131.0),
        ("generate", 131.0, 160.0),
    ]


def test_attempts_before_a_rerun_are_of_no_concern() -> None:
    outcome = outcome_with(accepted=None, attempts=[50.0])
    assert list(phases(outcome)) == [("job", 100.0, 160.0), ("queue", 100.0, 160.0)]


@pytest.mark.parametrize("accepted", [90.0, 120.0, 170.0])
@pytest.mark.parametrize("attempt", [105.0, 125.0, 175.0])
def test_clocks_that_were_set_in_between_leave_no_phase_outside(
    accepted: float, attempt: float
) -> None:
    found = list(phases(outcome_with(accepted=accepted, attempts=[attempt])))
    ends = [end for _, _, end in found[1:]]
    assert [start for _, start, _ in found[1:]] == [100.0, *ends[:-1]]
    assert ends[-1] == 160.0


def test_an_outcome_without_times_is_a_moment() -> None:
    outcome = Outcome(key="cat-1", status=OutcomeStatus.CANCELLED, request=None)
    assert list(phases(outcome)) == [("job", 170.0, 170.0), ("queue", 170.0, 170.0)]
