"""Reads a task's record from any shape the API has had, and refuses only what is none.

A record needs a state and an id (the one asked for will do); everything else may be
missing, of another type or malformed, and is then None. What was sent is kept in `raw`,
and reading `raw` again gives the same record.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, InvalidOperation

from ._errors import InvalidResponseError
from ._records import Output, TaskError, TaskRecord, TaskStatus

__all__ = ["parse_record", "record_from_json"]

_log = logging.getLogger("kinovi_async")
_STATUSES: Mapping[str, TaskStatus] = {status.value: status for status in TaskStatus}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Below this a time is in seconds, above in milliseconds: 1e11 ms is 1973, 1e11 s is 5138.
_SECONDS_BELOW = 1e11
_MAX_NUMBER_TEXT = 64
# Digits before or behind the point: credits beyond are nonsense, and costly to add up.
_MAX_MAGNITUDE = 30
_MILLIONTH = Decimal("0.000001")
_WIDE = Context(prec=80)
_MAX_WARNED = 100
_warned: set[str] = set()


def parse_record(data: object, *, task_id: str | None = None) -> TaskRecord:
    """The record in a JSON value, bare or in an envelope.

    An unknown status is read as `generating` and logged once per process as a warning.

    Args:
        data: The value of the whole answer, or of `TaskRecord.raw`.
        task_id: The task asked for, used when the answer does not name it.

    Raises:
        InvalidResponseError: It is no object, has no status, or names no task.
    """
    fields = _unwrapped(data)
    if fields is None:
        raise InvalidResponseError("the answer is no record of a task", task_id=task_id)
    state = _state(fields)
    if state is None:
        raise InvalidResponseError("the record has no status", task_id=task_id)
    own_id = _identifier(_first(fields, "taskId", "task_id"))
    raw: Mapping[str, object] = dict(fields)
    if own_id is None:
        if not task_id:
            raise InvalidResponseError("the record names no task")
        own_id = task_id
        raw = {**raw, "taskId": task_id}
    return TaskRecord(
        task_id=own_id,
        status=_status(state),
        model=_text(fields.get("model")),
        outputs=_outputs(_first(fields, "output", "outputs")),
        credits_used=_credits(_first(fields, "creditsUsed", "credits_used")),
        error=_error(fields.get("error")),
        created_at=_moment(_first(fields, "createTime", "create_time", "createdAt")),
        completed_at=_moment(_first(fields, "completeTime", "complete_time", "completedAt")),
        raw=raw,
    )


def record_from_json(text: str | bytes, *, task_id: str | None = None) -> TaskRecord:
    """The record in JSON text, such as a stored `raw`.

    Raises:
        InvalidResponseError: It is no JSON or no record.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    return parse_record(data, task_id=task_id)


def _unwrapped(data: object) -> Mapping[str, object] | None:
    """The record's own fields, out of `{code, message, data}`."""
    while isinstance(data, Mapping):
        inner = data.get("data")
        bare = _state(data) is not None and _identifier(_first(data, "taskId", "task_id"))
        if bare or not isinstance(inner, Mapping) or not ("code" in data or _state(inner)):
            return data
        data = inner
    return None


def _first(fields: Mapping[str, object], *names: str) -> object:
    for name in names:
        value = fields.get(name)
        if value is not None:
            return value
    return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _identifier(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < 10**_MAX_NUMBER_TEXT else None
    return value if isinstance(value, str) and value.strip() else None


def _state(fields: Mapping[str, object]) -> str | None:
    for name in ("status", "state"):
        value = fields.get(name)
        if isinstance(value, str) and value.strip():
            return value.strip()
        if isinstance(value, int | float) and not isinstance(value, bool):
            return repr(value) if isinstance(value, float) else hex(value)
    return None


def _status(state: str) -> TaskStatus:
    status = _STATUSES.get(state) or _STATUSES.get(state.lower())
    if status is not None:
        return status
    shown = state[:80]
    if shown not in _warned and len(_warned) < _MAX_WARNED:
        _warned.add(shown)
        _log.warning("unknown task status %r is taken for 'generating'", shown)
    return TaskStatus.GENERATING


def _number(value: object) -> Decimal | None:
    """A finite number of sane size, without the noise of binary fractions."""
    if isinstance(value, bool):
        return None
    try:
        if isinstance(value, int):
            number = Decimal(value)
        elif isinstance(value, float):
            number = Decimal(repr(value))
        elif isinstance(value, str) and len(value) <= _MAX_NUMBER_TEXT:
            number = Decimal(value.strip())
        else:
            return None
    except InvalidOperation:
        return None
    if not number.is_finite() or abs(number.adjusted()) > _MAX_MAGNITUDE:
        return None
    return number


def _credits(value: object) -> Decimal | None:
    """Credits, to a millionth: the API computes in binary and answers 99.80000000000001."""
    number = _number(value)
    if number is None or number == number.quantize(_MILLIONTH, context=_WIDE):
        return number
    return number.quantize(_MILLIONTH, context=_WIDE).normalize(_WIDE)


def _pixels(value: object) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number >= 1 else None


def _moment(value: object) -> datetime | None:
    number = _number(value)
    try:
        if number is not None:
            if number <= 0:
                return None
            scale = 1_000_000 if number < _SECONDS_BELOW else 1_000
            return _EPOCH + timedelta(microseconds=int(number * scale))
        if isinstance(value, str):
            moment = datetime.fromisoformat(value.strip())
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        pass
    return None


def _outputs(value: object) -> tuple[Output, ...]:
    if isinstance(value, str):
        value = _from_text(value)
    if isinstance(value, Mapping | str):
        value = [value]
    if not isinstance(value, list | tuple):
        return ()
    found = (_output(item) for item in value)
    return tuple(output for output in found if output is not None)


def _output(item: object) -> Output | None:
    if isinstance(item, str):
        return Output(item.strip()) if item.strip() else None
    if not isinstance(item, Mapping):
        return None
    url = item.get("url")
    if not isinstance(url, str) or not url.strip():
        return None
    return Output(
        url.strip(),
        width=_pixels(item.get("width")),
        height=_pixels(item.get("height")),
        media_type=_text(_first(item, "mediaType", "media_type")),
        extra={name: item[name] for name in item if name not in _OUTPUT_FIELDS},
    )


_OUTPUT_FIELDS = {"url", "width", "height", "mediaType", "media_type"}


def _error(value: object) -> TaskError | None:
    if isinstance(value, str):
        value = _from_text(value)
    if isinstance(value, list | tuple):
        value = next((item for item in value if item), None)
    if isinstance(value, Mapping):
        code = value.get("code")
        message = _first(value, "message", "msg", "error")
        shown = code if isinstance(code, str) else None if code is None else _shown(code)
        if not shown and not message:
            return None
        return TaskError(shown or None, message if isinstance(message, str) else _shown(message))
    if value is None or value is False or value == "":
        return None
    return TaskError(None, value if isinstance(value, str) else _shown(value))


def _shown(value: object) -> str:
    """Another JSON value as text."""
    if value is None:
        return ""
    try:
        return json.dumps(value, ensure_ascii=False)[:1_000]
    except (ValueError, TypeError, RecursionError):
        return type(value).__name__


def _from_text(text: str) -> object:
    """The value of a text that is itself JSON, else the text."""
    if text.lstrip()[:1] not in {"[", "{"}:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
