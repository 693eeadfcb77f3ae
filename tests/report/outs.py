"""Output directories, made up: rows of a ledger, files of `media`, and the report on them."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from kinovi_async._cli._report import write_report
from kinovi_async._ledger import JobRow, JobState
from kinovi_async._outcomes import Attempt, AttemptResult, OutcomeStatus

START = 1_795_000_000.0
NOW = datetime.fromtimestamp(START + 3600, UTC)
HOSTILE = (
    "<script>window.hacked = 1</script>",
    "</script><script>window.hacked = 2</script>",
    '"><img src=x onerror="window.hacked = 3">',
    "<!--<script>",
    '=HYPERLINK("http://example.com/?" & A1, "look")',
    "\u202egnp.exe\u202c and \u2066on",
    "line\u2028separator\u2029 and \x1b]8;;http://example.com\x07link\x00",
    "{{ 7 * 7 }} {% raw %}",
    "javascript:alert(1)",
    '--></title></textarea></script><svg onload="window.hacked = 4">',
    "&lt;img src=x onerror=window.hacked=5&gt; &#60;script&#62; &amp;lt;",
    "data:text/html,<script>window.hacked=6</script>",
    "${window.hacked = 7} `${window.hacked = 8}` \\u003cscript\\u003e",
    "\ud800 half a character",
    "long " * 2_000,
)


def row(
    key: str = "cat",
    *,
    number: int = 1,
    status: OutcomeStatus | None = OutcomeStatus.SUCCEEDED,
    state: JobState = JobState.ENDED,
    model: str = "nanobanana2",
    prompt: Any = "a cat",
    inputs: dict[str, Any] | None = None,
    tags: dict[str, Any] | None = None,
    files: Iterable[str] = (),
    outputs: Iterable[dict[str, Any]] | None = None,
    credits: Decimal | None = None,  # noqa: A002 - the row's own word
    reserved: int = 0,
    error: dict[str, Any] | None = None,
    download_error: str | None = None,
    queued: float = 0.0,
    accepted: float | None = 5.0,
    took: float = 20.0,
    unseen: float = 1.0,
    record: dict[str, Any] | None = None,
) -> JobRow:
    """A job of the ledger; times in seconds from `START`."""
    ended = status is not None
    if status in {OutcomeStatus.REJECTED, OutcomeStatus.AMBIGUOUS} or state is JobState.QUEUED:
        accepted = None
    if status is OutcomeStatus.SUCCEEDED and outputs is None:
        outputs = [
            {"url": f"https://cdn.example.com/{name}?sig=SECRET", "width": 64, "height": 48}
            for name in files
        ] or [{"url": "https://cdn.example.com/1.png?sig=SECRET", "width": 64, "height": 48}]
    if record is None and ended and accepted is not None:
        created = int((START + accepted) * 1000)
        record = {
            "taskId": f"task_{key[:40]}",
            "status": "success" if status is OutcomeStatus.SUCCEEDED else "fail",
            "output": list(outputs or ()),
            "createTime": created,
            "completeTime": created + int(took * 1000),
        }
        if status is OutcomeStatus.EXPIRED:
            record = {"taskId": f"task_{key[:40]}", "status": "generating"}
    sent = (
        {
            OutcomeStatus.REJECTED: AttemptResult.REJECTED,
            OutcomeStatus.AMBIGUOUS: AttemptResult.AMBIGUOUS,
        }.get(status)
        if status is not None
        else None
    )
    attempts: tuple[Attempt, ...] = ()
    if accepted is not None or sent is not None:
        attempts = (Attempt(1, START + (accepted or 1.0), sent or AttemptResult.ACCEPTED),)
    meta: dict[str, Any] = {"line": number}
    if tags:
        meta["tags"] = tags
    if credits is None and status is OutcomeStatus.SUCCEEDED:
        credits = Decimal(15)  # noqa: A001 - as above
    return JobRow(
        key=key,
        number=number,
        body={"model": model, "inputs": {"prompt": prompt, **(inputs or {})}},
        body_hash="",
        group="",
        priority=0,
        meta=meta,
        state=JobState.ENDED if ended else state,
        status=status,
        task_id=None if accepted is None else f"task_{key[:40]}",
        attempts=attempts,
        record=record,
        error=error,
        reserved=Decimal(reserved),
        credits=credits,
        files=tuple(files),
        download_error=download_error,
        created_at=START + queued,
        accepted_at=None if accepted is None else START + accepted,
        ended_at=START + (accepted or 1.0) + took + unseen if ended else None,
        ended_number=number if ended else None,
    )


FAILURES: tuple[dict[str, Any], ...] = (
    {"code": "2038", "message": "The prompt does not comply with the platform's rules"},
    {"code": "500", "message": "The service is temporarily unavailable, please try again later"},
    {"code": "500", "message": "The generated image was blocked by moderation"},
    {"code": "7001", "message": "Reference 2 of task_abc123 is too odd: 0.93"},
)


def failed(key: str, number: int, failure: dict[str, Any] = FAILURES[0], **more: Any) -> JobRow:
    """A job whose task failed."""
    error = {"type": "TaskFailedError", "retryable": False, **failure}
    return row(key, number=number, status=OutcomeStatus.FAILED, error=error, **more)


def rejected(key: str, number: int, **more: Any) -> JobRow:
    """A job that the server refused."""
    error = {"type": "BadRequestError", "status_code": 400, "message": "Invalid inputs for model"}
    return row(key, number=number, status=OutcomeStatus.REJECTED, error=error, **more)


def ambiguous(key: str, number: int, **more: Any) -> JobRow:
    """A job that may have been accepted."""
    error = {"type": "AmbiguousSubmissionError", "message": "the answer was lost"}
    return row(key, number=number, status=OutcomeStatus.AMBIGUOUS, error=error, reserved=15, **more)


def expired(key: str, number: int, **more: Any) -> JobRow:
    """A job that we stopped waiting for."""
    error = {"type": "WaitTimeoutError", "message": f"task task_{key} was still running"}
    return row(key, number=number, status=OutcomeStatus.EXPIRED, error=error, reserved=200, **more)


def write_pictures(
    out: Path, names: Iterable[str], size: tuple[int, int] = (64, 48), *, first: int = 0
) -> None:
    """Small PNGs, each of another colour."""
    from PIL import Image

    (out / "media").mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names, start=first):
        shade = (number * 67 % 200 + 30, number * 31 % 200 + 30, number * 113 % 200 + 30)
        Image.new("RGB", size, shade).save(out / name)


def write_out(out: Path, rows: list[JobRow], **more: Any) -> Path:
    """The report on made-up rows."""
    out.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {"live": False, "simulated": False, "at": NOW, **more}
    return write_report(out, rows, **options)


SHAPES = ((1280, 720), (720, 1280), (1024, 1024), (1200, 900), (1792, 768))


def many(out: Path, count: int, *, slots: int = 20) -> list[JobRow]:
    """A large run: jobs of many kinds that share sixty pictures."""
    luck = random.Random(7)
    names = [f"media/picture-{number}.png" for number in range(60)]
    for number, name in enumerate(names):
        width, height = SHAPES[number % len(SHAPES)]
        write_pictures(out, [name], (width // 8, height // 8), first=number)
    rows, free = [], [0.0] * slots
    for number in range(1, count + 1):
        slot = free.index(min(free))
        took = luck.uniform(8, 40)
        times: dict[str, Any] = {"accepted": free[slot], "took": took, "unseen": luck.uniform(0, 3)}
        free[slot] += took + times["unseen"] + 0.5
        key = f"job-{number:05}"
        tags = {"client": f"Client {number % 7}", "scene": f"scene {number % 300}"}
        roll = luck.random()
        if roll < 0.03:
            rows.append(failed(key, number, FAILURES[number % 4], tags=tags, **times))
        elif roll < 0.035:
            rows.append(rejected(key, number, tags=tags))
        elif roll < 0.037:
            rows.append(ambiguous(key, number, tags=tags))
        else:
            four = number % 9 == 0
            start = number % len(names)
            files = [names[(start + step * 5) % len(names)] for step in range(4 if four else 1)]
            width, height = SHAPES[start % len(SHAPES)]
            outputs = [
                {"url": "https://cdn.example.com/x.png", "width": width, "height": height}
            ] * len(files)
            rows.append(
                row(
                    key,
                    number=number,
                    model="midjourney-v8" if four else "nanobanana2",
                    prompt=f"Picture {number}: "
                    + "a quiet harbour at dawn, soft light " * (number % 4),
                    inputs={"aspectRatio": "16:9"},
                    tags=tags,
                    files=files,
                    outputs=outputs,
                    credits=Decimal(12 if four else 15),
                    **times,
                )
            )
    return rows
