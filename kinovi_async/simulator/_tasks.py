"""One task of the simulator: what is decided at acceptance, and its record at a moment.

Everything a task will do is settled when it is accepted; its state at any later moment
is read off the clock.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from .._records import TaskStatus
from ._checks import Failure, Order

NEVER: Final = float("inf")
SETTLING: Final = 5.0
"""Seconds from success to the final price, of models that settle; "a few", say the documents."""
_LAST_FRAME: Final = "last.png"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Which generation of the API the answers follow; the default is the seeds'.

    `Dialect(envelope=True, status_field="state", fail_credits="zero")` is the shape the
    later documents print for webhooks.
    """

    envelope: bool = False
    """recordInfo answers `{"code": 200, "message": "success", "data": {...}}`."""
    status_field: Literal["status", "state"] = "status"
    error: Literal["object", "string"] = "object"
    """`{"code", "message"}`, or the message alone as the oldest documents print it."""
    fail_credits: Literal["reserved", "zero"] = "reserved"
    """What `creditsUsed` says of a failed task, which is refunded either way."""
    media_type: bool = False
    """Outputs carry `mediaType` in the seeds' generation too, as they do in the later one."""
    webhook_envelope: bool = True
    """Webhooks come in an envelope as in both later generations, or bare."""


@dataclass(slots=True, kw_only=True)
class SimulatedTask:
    """An accepted task. Times are those of the simulator's clock, in seconds."""

    id: str
    order: int
    """Its place in the order of acceptance, from 1."""
    account: str
    """The fingerprint of the key that created it."""
    request: Order
    accepted_at: float
    starts_at: float
    ends_at: float
    """`NEVER` for a task that is stuck."""
    settles_at: float
    """When `creditsUsed` becomes final; `ends_at` for most models."""
    failure: Failure | None
    media_base: str
    """Where its files are served, without a slash at the end."""
    submission: str
    """`answered`, or the fault that its createTask met."""
    polls: int = 0
    seen_at: float | None = None
    """When a poll first told its end; None before."""

    def status(self, now: float) -> TaskStatus:
        """Its state at a moment."""
        if now >= self.ends_at:
            return TaskStatus.FAIL if self.failure else TaskStatus.SUCCESS
        return TaskStatus.WAITING if now < self.starts_at else TaskStatus.GENERATING

    def charged(self, now: float) -> Decimal:
        """Credits taken so far: what was reserved, or the final price of a success."""
        final = self.failure is None and now >= self.settles_at
        return self.request.final if final else self.request.price

    def names(self) -> list[str]:
        """The names of its files, that of a last frame among them."""
        shape = self.request.shape
        files = [f"{number}.{shape.extension}" for number in range(shape.count)]
        return [*files, _LAST_FRAME] if shape.has_last_frame else files

    def urls(self, media_base: str) -> list[str]:
        """The addresses of its files."""
        shape = self.request.shape
        return [
            f"{media_base}/{self.id}/{number}.{shape.extension}" for number in range(shape.count)
        ]


def record(
    task: SimulatedTask, now: float, origin: float, dialect: Dialect, media_base: str
) -> dict[str, object]:
    """The task's record at a moment; `origin` is the Unix time at the clock's zero."""
    status = task.status(now)
    failed = status is TaskStatus.FAIL
    credits_used = task.charged(now) if not failed or dialect.fail_credits == "reserved" else 0
    return {
        "taskId": task.id,
        "model": task.request.model,
        dialect.status_field: status.value,
        "creditsUsed": credits_used,
        "output": _outputs(task, dialect, media_base) if status is TaskStatus.SUCCESS else None,
        "error": _error(task.failure, dialect) if failed and task.failure else None,
        "createTime": round((origin + task.accepted_at) * 1000),
        "completeTime": round((origin + task.ends_at) * 1000) if status.is_terminal else None,
    }


def enveloped(payload: object) -> dict[str, object]:
    """The payload in the later documents' envelope, whose code is the delivery's own."""
    return {"code": 200, "message": "success", "data": payload}


def _outputs(task: SimulatedTask, dialect: Dialect, media_base: str) -> list[dict[str, object]]:
    shape = task.request.shape
    known: dict[str, object] = {
        "width": shape.width,
        "height": shape.height,
        "mediaType": shape.media_type,
        "seed": _seed(task),
        "lastFrameImage": f"{media_base}/{task.id}/{_LAST_FRAME}",
    }
    names = list(shape.fields)
    if dialect.media_type and "mediaType" not in names:
        names.append("mediaType")
    return [
        {name: url if name == "url" else known[name] for name in names}
        for url in task.urls(media_base)
    ]


def _seed(task: SimulatedTask) -> int:
    """The seed that was asked for, or a random one: as good as any, and always the same."""
    given = task.request.shape.seed
    return zlib.crc32(task.id.encode()) if given is None else given


def _error(failure: Failure, dialect: Dialect) -> object:
    if dialect.error == "string":
        return failure.message
    return {"code": failure.code, "message": failure.message}
