"""OpenTelemetry for a client: one span tree for each job, and the account's metrics.

    from kinovi_async.otel import instrument

    client = AsyncKinovi()
    instrument(client)

Spans and metrics go to the providers of your application; without any, nothing happens.
Names and attributes are listed in docs/telemetry.md and do not change. No prompt and no
text of the server is told, and the key never. Only OpenTelemetry's API is needed: `pip
install 'kinovi-async[otel]'`.

A job's spans are made when it ends, with the times at which things happened: so a job that
was taken up from a ledger by another process has its whole tree, once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias, cast
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

try:
    from opentelemetry import metrics, trace
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, SpanContext, Status, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError as error:
    raise ImportError(
        "telemetry needs opentelemetry-api: pip install 'kinovi-async[otel]'", name=error.name
    ) from None

from ._errors import ConfigurationError, KinoviError
from ._events import Event, JobAccepted, JobEnded, JobRefused, SchedulerPaused
from ._outcomes import AttemptResult, Outcome, OutcomeStatus
from ._version import __version__

if TYPE_CHECKING:
    from ._account import Account
    from ._client import AsyncKinovi
    from ._secrets import ApiKey

__all__ = ["Attribute", "instrument"]

Attribute: TypeAlias = str | bool | int | float
"""The value of an attribute."""

_NAME = "kinovi_async"
# Seconds: queues and generations last from seconds to some minutes.
_BUCKETS = (0.5, 1, 2, 5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1200, 3600)
# Attempts that came to nothing, and another one followed.
_REPEATED = frozenset({AttemptResult.NOT_SENT, AttemptResult.SERVER_ERROR, AttemptResult.AMBIGUOUS})
_WELL = frozenset({OutcomeStatus.SUCCEEDED, OutcomeStatus.CANCELLED})


def instrument(
    client: AsyncKinovi,
    *,
    tracer_provider: trace.TracerProvider | None = None,
    meter_provider: metrics.MeterProvider | None = None,
    attributes: Callable[[Outcome], Mapping[str, Attribute]] | None = None,
    new_trace: bool = False,
) -> None:
    """Tells OpenTelemetry of everything that this client does from now on.

    Of `generate`, batches and schedulers alike, of the clients that `with_options` makes
    with the same key, and of other processes' jobs that it drives. Where several processes
    share a ledger, instrument each: whoever writes the end of a job tells of it.

    Args:
        client: Made just now.
        tracer_provider: None: the global one.
        meter_provider: None: the global one.
        attributes: More attributes for the span of a job, made from its outcome: the
            prompt, if you want it there, or a tag. What it raises is logged.
        new_trace: Whether each job begins a trace of its own, with a link to the span in
            which it was submitted, instead of being that span's child.

    Raises:
        ConfigurationError: the client is instrumented already.
    """
    account = client._account  # noqa: SLF001 - one package
    if account.observer is not None:
        raise ConfigurationError("this client is instrumented already")
    key = cast("ApiKey", client._options["api_key"])  # noqa: SLF001
    host = urlsplit(client._base_url).hostname or ""  # noqa: SLF001
    common: dict[str, Attribute] = {"kinovi.account": key.account, "server.address": host}
    instruments = _instruments_of(meter_provider)
    instruments.watch(account, common)
    tracer = trace.get_tracer(_NAME, __version__, tracer_provider)
    account.observer = _Telemetry(
        tracer, instruments, common, attributes=attributes, new_trace=new_trace
    )


class _Telemetry:
    """The observer of one client."""

    def __init__(
        self,
        tracer: trace.Tracer,
        instruments: _Instruments,
        common: Mapping[str, Attribute],
        *,
        attributes: Callable[[Outcome], Mapping[str, Attribute]] | None,
        new_trace: bool,
    ) -> None:
        self._tracer = tracer
        self._instruments = instruments
        self._common = common
        self._attributes = attributes
        self._new_trace = new_trace
        self._propagator = TraceContextTextMapPropagator()

    def stamp(self) -> str | None:
        """The caller's span, as W3C writes it: `traceparent`."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier.get("traceparent")

    def __call__(self, event: Event) -> None:
        if event.echo:
            return
        if isinstance(event, JobEnded):
            # Without a number it is not in the ledger: the next run goes on with the job.
            if event.outcome.seq is not None:
                self._count(event.outcome)
                self._trace(event)
        elif isinstance(event, JobAccepted):
            if event.queue_time is not None:
                self._instruments.queue_time.record(event.queue_time, self._of(event.model))
        elif isinstance(event, JobRefused):
            self._instruments.refusals.add(1, self._of(event.model))
        elif isinstance(event, SchedulerPaused):
            reason = {"error.type": type(event.reason).__name__}
            self._instruments.pauses.add(1, {**self._common, **reason})

    def _of(self, model: str) -> dict[str, Attribute]:
        return {**self._common, "kinovi.model": model}

    def _count(self, outcome: Outcome) -> None:
        instruments = self._instruments
        found = self._of(_model(outcome))
        if outcome.credits:
            instruments.credits.add(float(outcome.credits), found)
        found["kinovi.status"] = outcome.status.value
        if outcome.accepted_at is not None and outcome.completed_at is not None:
            seconds = (outcome.completed_at - outcome.accepted_at).total_seconds()
            instruments.generation_time.record(max(0.0, seconds), found)
        instruments.jobs.add(1, {**found, **_error_type(outcome.error)})

    def _trace(self, event: JobEnded) -> None:
        outcome = event.outcome
        phases = phases_of(outcome, ended_at=event.at)
        context, links = self._caller(event.stamp)
        job = self._tracer.start_span(
            "kinovi.job",
            context=context,
            links=links,
            start_time=phases[0].start,
            attributes={**self._common, **_describe(outcome, event.refusals)},
        )
        if job.is_recording() and self._attributes is not None:
            job.set_attributes(self._attributes(outcome))
        within = trace.set_span_in_context(job, Context())
        for phase in phases[1:]:
            span = self._tracer.start_span(
                f"kinovi.{phase.name}", context=within, start_time=phase.start
            )
            span.end(phase.end)
        for attempt in outcome.attempts[:-1]:
            at = _ns(attempt.at)
            if attempt.result in _REPEATED and at >= phases[0].start:
                found = {"kinovi.attempt": attempt.number, "kinovi.result": attempt.result.value}
                job.add_event("kinovi.submission_failed", found, at)
        if outcome.status not in _WELL:
            job.set_status(Status(StatusCode.ERROR, outcome.status.value))
        job.end(phases[0].end)

    def _caller(self, stamp: str | None) -> tuple[Context, list[Link]]:
        """Never the current span: the job ends in the task of whoever drives it."""
        if stamp is None:
            return Context(), []
        context = self._propagator.extract({"traceparent": stamp}, Context())
        if not self._new_trace:
            return context, []
        caller: SpanContext = trace.get_current_span(context).get_span_context()
        return Context(), [Link(caller)] if caller.is_valid else []


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a job's life; times in nanoseconds since the epoch."""

    name: str
    start: int
    end: int


def phases_of(outcome: Outcome, *, ended_at: float) -> list[Phase]:
    """The job as a whole, then what of these there was: queue, submit, generate.

    The queue is left with the last submission; those before it came to nothing.
    """
    end = _ns(ended_at) if outcome.completed_at is None else _ns_of(outcome.completed_at)
    start = min(end, end if outcome.created_at is None else _ns_of(outcome.created_at))
    accepted = None if outcome.accepted_at is None else _between(start, outcome.accepted_at, end)
    attempts = [attempt for attempt in outcome.attempts if _ns(attempt.at) >= start]
    until = end if accepted is None else accepted
    submitted = min(until, _ns(attempts[-1].at)) if attempts else None
    left = submitted if submitted is not None else until
    phases = [Phase("job", start, end), Phase("queue", start, left)]
    if submitted is not None:
        phases.append(Phase("submit", submitted, until))
    if accepted is not None:
        phases.append(Phase("generate", accepted, end))
    return phases


def _between(start: int, moment: datetime, end: int) -> int:
    return max(start, min(_ns_of(moment), end))


def _ns(seconds: float) -> int:
    # Whole microseconds, like a datetime: the same moment is the same number.
    return round(seconds * 1e6) * 1000


def _ns_of(moment: datetime) -> int:
    return _ns(moment.timestamp())


def _model(outcome: Outcome) -> str:
    return "" if outcome.request is None else outcome.request.model


def _error_type(error: KinoviError | None) -> dict[str, Attribute]:
    return {} if error is None else {"error.type": type(error).__name__}


def _describe(outcome: Outcome, refusals: int) -> dict[str, Attribute]:
    found: dict[str, Attribute] = {
        "kinovi.job.key": outcome.key,
        "kinovi.model": _model(outcome),
        "kinovi.status": outcome.status.value,
        "kinovi.attempts": len(outcome.attempts),
        "kinovi.refusals": refusals,
        **_error_type(outcome.error),
    }
    if outcome.task_id is not None:
        found["kinovi.task_id"] = outcome.task_id
    if outcome.credits is not None:
        found["kinovi.credits"] = float(outcome.credits)
    failure = outcome.record.error if outcome.record is not None else None
    if failure is not None and failure.code is not None:
        found["kinovi.failure.code"] = failure.code
    return found


class _Instruments:
    """The instruments of one meter provider; all its clients share them."""

    def __init__(self, provider: metrics.MeterProvider | None) -> None:
        self._accounts: WeakKeyDictionary[Account, Mapping[str, Attribute]] = WeakKeyDictionary()
        self._lock = Lock()
        if provider is None:
            meter = metrics.get_meter(_NAME, __version__)
        else:
            meter = provider.get_meter(_NAME, __version__)
        self.jobs = meter.create_counter("kinovi.jobs", "{job}", "Jobs that ended")
        self.refusals = meter.create_counter(
            "kinovi.refusals", "{refusal}", "Submissions answered with 429, which cost nothing"
        )
        self.credits = meter.create_counter("kinovi.credits", "{credit}", "Credits charged")
        self.pauses = meter.create_counter(
            "kinovi.pauses", "{pause}", "Times that submissions were paused: 401, 402, 403"
        )
        self.queue_time = meter.create_histogram(
            "kinovi.queue.duration",
            "s",
            "From queued to the submission that was accepted",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self.generation_time = meter.create_histogram(
            "kinovi.generation.duration",
            "s",
            "From acceptance to the end of the task as it was seen",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        meter.create_observable_counter(
            "kinovi.polls", [self._polls], "{poll}", "Polls of running tasks"
        )
        meter.create_observable_gauge(
            "kinovi.queue.length", [self._queued], "{job}", "Jobs that wait for a slot"
        )
        meter.create_observable_gauge("kinovi.slots.used", [self._used], "{slot}", "Running tasks")
        meter.create_observable_gauge(
            "kinovi.slots.limit", [self._limit], "{slot}", "The account's limit, once learned"
        )
        meter.create_observable_gauge(
            "kinovi.slots.use", [self._use], "1", "Share of the slots in use while jobs waited"
        )

    def watch(self, account: Account, attributes: Mapping[str, Attribute]) -> None:
        """Shows an account in the gauges, for as long as its client lives."""
        with self._lock:
            self._accounts[account] = attributes

    def _polls(self, _: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
        return [_seen(account.state.gauges().polls, found) for account, found in self._all()]

    def _queued(self, _: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
        return [_seen(account.state.gauges().queued, found) for account, found in self._all()]

    def _used(self, _: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
        return [_seen(account.state.gauges().in_flight, found) for account, found in self._all()]

    def _limit(self, _: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
        known = ((account.state.gauges().limit, found) for account, found in self._all())
        return [_seen(limit, found) for limit, found in known if limit is not None]

    def _use(self, _: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
        known = ((account.state.gauges().slot_use, found) for account, found in self._all())
        return [_seen(use, found) for use, found in known if use is not None]

    def _all(self) -> list[tuple[Account, Mapping[str, Attribute]]]:
        with self._lock:  # exporters ask from threads of their own
            return list(self._accounts.items())


def _seen(value: float, attributes: Mapping[str, Attribute]) -> metrics.Observation:
    return metrics.Observation(value, attributes)


_lock = Lock()
_instruments: dict[metrics.MeterProvider | None, _Instruments] = {}


def _instruments_of(provider: metrics.MeterProvider | None) -> _Instruments:
    """Made once: an instrument that is made again loses its callbacks.

    None is the global provider, which may be set later: the API hands everything over then.
    """
    with _lock:
        if provider not in _instruments:
            _instruments[provider] = _Instruments(provider)
        return _instruments[provider]
