"""What the report says, made from the ledger's rows: pure values, no page and no file.

Nothing in it can act: addresses on the web are told without their query (it may be a
signature) and never linked; files are named only when they lie in the output directory's
`media`; texts are cut to what a page of thousands of jobs can carry.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING
from urllib.parse import quote

from ..._errors import InvalidResponseError
from ..._ledger import JobState
from ..._outcomes import OutcomeStatus
from ..._record_parsing import parse_record
from ..._records import TaskStatus
from .._books import MEDIA_NAME
from .._rates import usd_per_credit
from .._results import submissions
from .._text import visible
from ._readable import readable, unsigned, without_query
from ._reasons import ReasonGroup, grouped, message_of, reason_of
from ._timeline import Span, Timeline, span_of, timeline
from ._totals import Line, Priced, Table, overall, tables

if TYPE_CHECKING:
    from ..._ledger import JobRow
    from ..._records import Output, TaskRecord

UNPAID = frozenset({OutcomeStatus.FAILED, OutcomeStatus.REJECTED, OutcomeStatus.CANCELLED})
STATE_WORDS = {
    JobState.QUEUED: "queued",
    JobState.SENDING: "submitting",
    JobState.ACCEPTED: "running",
}
STATUS_ORDER = (*OutcomeStatus, *STATE_WORDS.values())

TEXT_LIMITS = (20_000, 4_000, 1_000, 300)
"""Characters of a prompt that a report may carry: the largest that keeps it light."""
LIGHT = 6_000_000
"""Characters of all prompts together: a page of which a phone still opens the file."""
LONGEST_VALUE = 500
"""Characters of a parameter or a tag."""
MOST_PARAMETERS = 40

_KINDS = {
    "image": (".png", ".jpg", ".jpeg", ".webp", ".gif", ".avif"),
    "video": (".mp4", ".m4v", ".mov", ".webm"),
    "audio": (".mp3", ".wav", ".ogg", ".m4a", ".flac"),
}
# What a person wants to see of the parameters at a glance, in this order; the shape of a
# picture shows itself.
_GLANCE = ("duration", "resolution", "outputResolution", "upscaleResolution")


@dataclass(frozen=True, slots=True)
class Media:
    """One result file of a job."""

    file: str | None
    """Relative to the output directory, None when it is not there."""
    kind: str
    """`image`, `video`, `audio` or `file`."""
    width: int | None
    height: int | None

    @property
    def address(self) -> str | None:
        """The file as an address relative to the page."""
        return None if self.file is None else quote(self.file)


@dataclass(frozen=True, slots=True)
class Item:
    """One job, as the page shows it."""

    id: str
    status: str
    model: str
    prompt: str
    cut: int
    """Characters of the prompt that are left out."""
    glance: str
    parameters: tuple[tuple[str, str], ...]
    tags: Mapping[str, str]
    line: int | None
    task_id: str | None
    credits: Decimal | None
    at_most: Decimal
    usd: Decimal
    """Dollars for one of its credits."""
    media: tuple[Media, ...]
    expires: float | None
    """Seconds since the epoch; told while a file is missing."""
    reason: int | None
    """Position of its group in the report's reasons."""
    message: str
    attempts: int
    created: float | None
    waited: float | None
    generating: float | None
    unseen: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything on the page."""

    name: str
    book: str
    """Tells this output directory's picks from those of another one."""
    at: datetime
    live: bool
    simulated: bool
    items: tuple[Item, ...]
    counts: Mapping[str, int]
    total: Line
    tables: tuple[Table, ...]
    reasons: tuple[ReasonGroup, ...]
    timeline: Timeline
    lacking: int
    """Succeeded jobs of which a file is missing."""


def report(
    rows: Sequence[JobRow],
    *,
    name: str,
    at: datetime,
    exists: Callable[[str], bool],
    live: bool = False,
    simulated: bool = False,
    tags: Mapping[str, Mapping[str, object]] | None = None,
) -> Report:
    """The report on an output directory.

    Args:
        rows: All its jobs.
        name: The directory's.
        at: When it is written, with a timezone.
        exists: Whether a file, relative to the directory, is there.
        live: A run works in it.
        simulated: Its account is the simulator's.
        tags: By id, where the batch file at hand knows them better than the ledger.
    """
    now = at.timestamp()
    # In the order of the batch file: a job that ran again stands where it stood.
    rows = sorted(rows, key=lambda row: (_line(row) is None, _line(row) or 0, row.number))
    records = [_record(row) for row in rows]
    reasons = [reason_of(row) for row in rows]
    groups = grouped(rows, reasons)
    group_of = {position: index for index, group in enumerate(groups) for position in group.jobs}
    spans = [
        span_of(position, row, record, now=now)
        for position, (row, record) in enumerate(zip(rows, records, strict=True))
    ]
    limit = text_limit(len(_prompt(row)) for row in rows)
    items = tuple(
        _item(
            row,
            record,
            span,
            group_of.get(position),
            tags=(tags or {}).get(row.key),
            exists=exists,
            limit=limit,
        )
        for position, (row, record, span) in enumerate(zip(rows, records, spans, strict=True))
    )
    priced = [
        Priced(
            item.model,
            item.tags,
            item.status == "succeeded",
            _charged(item),
            item.at_most,
            item.usd,
        )
        for item in items
    ]
    found: dict[str, int] = {}
    for item in items:
        found[item.status] = found.get(item.status, 0) + 1
    return Report(
        name=visible(name),
        book=_book(rows),
        at=at,
        live=live,
        simulated=simulated,
        items=items,
        counts={status: found[status] for status in STATUS_ORDER if status in found},
        total=overall(priced),
        tables=tables(priced),
        reasons=groups,
        timeline=timeline(
            [span for span in spans if span is not None],
            waiting_since=[row.created_at for row in rows if row.state is JobState.QUEUED],
            now=now,
        ),
        lacking=sum(1 for item in items if _lacks(item)),
    )


def text_limit(lengths: Iterable[int]) -> int:
    """How many characters of each prompt a report of prompts of these lengths carries."""
    lengths = list(lengths)
    for limit in TEXT_LIMITS:
        if sum(min(length, limit) for length in lengths) <= LIGHT:
            return limit
    return TEXT_LIMITS[-1]


def glance(inputs: Mapping[str, object]) -> str:
    """The parameters that matter most, on one line: `5 s · 4k`."""
    parts = []
    for field in _GLANCE:
        value = inputs.get(field)
        if isinstance(value, str | int | float) and not isinstance(value, bool) and value != "":
            text = _value(value)[:20]
            parts.append(f"{text} s" if field == "duration" else text)
    return " · ".join(parts)


def kind_of(name: str) -> str:
    """What a browser can do with a file of this name."""
    lower = name.lower()
    return next((kind for kind, ends in _KINDS.items() if lower.endswith(ends)), "file")


def is_inside(file: str) -> bool:
    """Whether a file's name keeps it in the `media` directory; the ledger may be edited."""
    parts = file.split("/")
    plain = all(part not in {"", ".", ".."} and "\\" not in part for part in parts)
    return len(parts) > 1 and parts[0] == MEDIA_NAME and plain


def _line(row: JobRow) -> int | None:
    line = row.meta.get("line")
    return line if isinstance(line, int) else None


def _record(row: JobRow) -> TaskRecord | None:
    if row.record is None:
        return None
    try:
        return parse_record(row.record, task_id=row.task_id)
    except InvalidResponseError:
        return None


def _inputs(row: JobRow) -> Mapping[str, object]:
    inputs = row.body.get("inputs")
    return inputs if isinstance(inputs, Mapping) else {}


def _prompt(row: JobRow) -> str:
    prompt = _inputs(row).get("prompt")
    return prompt if isinstance(prompt, str) else ""


def _item(
    row: JobRow,
    record: TaskRecord | None,
    span: Span | None,
    reason: int | None,
    *,
    tags: Mapping[str, object] | None,
    exists: Callable[[str], bool],
    limit: int,
) -> Item:
    prompt = unsigned(_prompt(row))
    media = _media(row, record, exists)
    missing = any(each.file is None for each in media)
    expires = record.media_expires_at if record is not None and missing else None
    unpaid = row.status in UNPAID
    return Item(
        id=visible(row.key),
        status=STATE_WORDS[row.state] if row.status is None else str(row.status),
        model=visible(str(row.body.get("model", "")))[:80],
        prompt=readable(prompt[:limit]),
        cut=max(0, len(prompt) - limit),
        glance=glance(_inputs(row)),
        parameters=_parameters(_inputs(row)),
        tags=_tags(row) if tags is None else _texts(tags),
        line=_line(row),
        task_id=None if row.task_id is None else visible(row.task_id),
        credits=Decimal(0) if unpaid else row.credits,
        at_most=row.reserved + row.exposed,
        usd=usd_per_credit(row),
        media=media,
        expires=None if expires is None else expires.timestamp(),
        reason=reason,
        message=message_of(row),
        attempts=submissions(row),
        created=row.created_at or None,
        waited=None if span is None else span.waited,
        generating=None if span is None else span.generating,
        unseen=None if span is None else span.unseen,
    )


def _charged(item: Item) -> Decimal:
    return Decimal(0) if item.credits is None else item.credits


def _lacks(item: Item) -> bool:
    return item.status == "succeeded" and (
        not item.media or any(each.file is None for each in item.media)
    )


def _media(
    row: JobRow, record: TaskRecord | None, exists: Callable[[str], bool]
) -> tuple[Media, ...]:
    """The files that are there, and a place for each that is not."""
    if row.status is not OutcomeStatus.SUCCEEDED:
        return ()
    outputs: Sequence[Output] = ()
    if record is not None and record.status is TaskStatus.SUCCESS:
        outputs = record.outputs
    files = [file for file in row.files if is_inside(file) and exists(file)]
    count = max(len(files), len(outputs))
    return tuple(
        _one(
            files[index] if index < len(files) else None,
            outputs[min(index, len(outputs) - 1)] if outputs else None,
        )
        for index in range(count)
    )


def _one(file: str | None, output: Output | None) -> Media:
    width = output.width if output is not None else None
    height = output.height if output is not None else None
    if file is not None:
        return Media(file, kind_of(file), width, height)
    path = "" if output is None else without_query(output.url).removesuffix("?…")
    return Media(None, kind_of(path), width, height)


def _parameters(inputs: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    found = [
        (visible(str(name))[:80], _value(value))
        for name, value in inputs.items()
        if name != "prompt" and value is not None
    ]
    return tuple(found[:MOST_PARAMETERS])


def _value(value: object) -> str:
    if isinstance(value, str):
        text = without_query(value) if "://" in value[:12] else unsigned(value)
    elif isinstance(value, bool):
        text = "yes" if value else "no"
    elif isinstance(value, list | tuple):
        text = "\n".join(map(_value, value))
    elif isinstance(value, Mapping):
        text = unsigned(json.dumps(value, ensure_ascii=False, default=str))
    else:
        text = str(value)
    return readable(text[:LONGEST_VALUE] + ("…" if len(text) > LONGEST_VALUE else ""))


def _tags(row: JobRow) -> dict[str, str]:
    tags = row.meta.get("tags")
    return _texts(tags) if isinstance(tags, Mapping) else {}


def _texts(tags: Mapping[str, object]) -> dict[str, str]:
    return {
        visible(str(name))[:80]: readable(unsigned(str(value)))[:LONGEST_VALUE]
        for name, value in tags.items()
        if value is not None and value != ""
    }


def _book(rows: Sequence[JobRow]) -> str:
    first = min(rows, key=lambda row: (row.created_at, row.key), default=None)
    told = "" if first is None else f"{first.created_at:.6f} {first.key}"
    return hashlib.sha256(told.encode("utf-8", "replace")).hexdigest()[:16]
