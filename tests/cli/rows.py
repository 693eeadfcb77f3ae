"""Rows of a ledger, made up."""

from __future__ import annotations

from decimal import Decimal

from kinovi_async._cli._lines import InputLine
from kinovi_async._ledger import JobRow, JobState
from kinovi_async._outcomes import Attempt, AttemptResult, OutcomeStatus
from kinovi_async._requests import body_hash, parse_request


def line(key: str = "cat", prompt: str = "a cat", *, number: int = 1) -> InputLine:
    """A line that asks for a picture."""
    request = parse_request({"model": "nanobanana2", "inputs": {"prompt": prompt}})
    return InputLine(number=number, key=key, request=request, body=request.to_wire())


def row(
    key: str = "cat",
    prompt: str = "a cat",
    *,
    state: JobState = JobState.ENDED,
    status: OutcomeStatus | None = None,
    results: tuple[AttemptResult | None, ...] = (),
    credits: Decimal | None = None,  # noqa: A002 - the row's own word
    error: dict[str, str | None] | None = None,
    files: tuple[str, ...] = (),
    download_error: str | None = None,
    meta: dict[str, object] | None = None,
    body: dict[str, object] | None = None,
    number: int = 1,
) -> JobRow:
    """A job of the ledger."""
    wire = body or {"model": "nanobanana2", "inputs": {"prompt": prompt}}
    ended = status is not None
    return JobRow(
        key=key,
        number=number,
        body=wire,  # type: ignore[arg-type]
        body_hash=body_hash(wire),
        group="",
        priority=0,
        meta=meta or {},  # type: ignore[arg-type]
        state=JobState.ENDED if ended else state,
        status=status,
        task_id="task_1" if results else None,
        attempts=tuple(
            Attempt(number=index, at=1.0, result=result)
            for index, result in enumerate(results, start=1)
        ),
        error=error,
        credits=credits,
        files=files,
        download_error=download_error,
        created_at=1_795_247_280.123,
        ended_at=1_795_247_285.5 if ended else None,
        ended_number=number if ended else None,
    )
