"""The server's answer about a task, read tolerantly.

The API changed its shapes at least four times (bare or in an envelope, `status` or
`state`, errors as text or object, numbers as text); every variant is understood, and
what is not understood is kept in `raw`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

__all__ = ["MEDIA_KEPT", "Output", "TaskError", "TaskRecord", "TaskStatus"]

MEDIA_KEPT = timedelta(days=14)
"""How long the API keeps generated files. Source: the documents' page on authentication;
another one promises longer, so this is the time to count on."""


class TaskStatus(StrEnum):
    """The four states of a task. An unknown one is read as `generating`, with one warning."""

    WAITING = "waiting"
    GENERATING = "generating"
    SUCCESS = "success"
    FAIL = "fail"

    @property
    def is_terminal(self) -> bool:
        """Whether the task has ended."""
        return self in {TaskStatus.SUCCESS, TaskStatus.FAIL}


@dataclass(frozen=True, slots=True)
class Output:
    """One result file of a task, as the server describes it."""

    url: str
    width: int | None = None
    """Pixels, None when the server does not say."""
    height: int | None = None
    media_type: str | None = None
    """MIME type, None when the server does not say."""
    extra: Mapping[str, object] = field(default_factory=dict)
    """Fields beyond these, under their names on the wire (`seed`, `lastFrameImage`, ...)."""


@dataclass(frozen=True, slots=True)
class TaskError:
    """Why a task failed."""

    code: str | None
    """The server's code as text, None when it gave only a message."""
    message: str


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """One answer of recordInfo."""

    task_id: str
    status: TaskStatus
    model: str | None = None
    outputs: tuple[Output, ...] = ()
    credits_used: Decimal | None = None
    """Credits; on `fail` some generations of the API still show the reserved amount."""
    error: TaskError | None = None
    created_at: datetime | None = None
    """UTC."""
    completed_at: datetime | None = None
    raw: Mapping[str, object] = field(default_factory=dict)
    """The record as the server sent it, out of its envelope."""

    @property
    def is_terminal(self) -> bool:
        """Whether the task has ended."""
        return self.status.is_terminal

    @property
    def urls(self) -> tuple[str, ...]:
        """The outputs' addresses, in the server's order."""
        return tuple(output.url for output in self.outputs)

    @property
    def media_expires_at(self) -> datetime | None:
        """When the server may have deleted the files, UTC; None without files or times.

        14 days after the task's end, or after its creation when the end is not told.
        """
        since = self.completed_at or self.created_at
        return since + MEDIA_KEPT if self.outputs and since is not None else None

    def _repr_html_(self) -> str:
        """The record in a notebook, with its pictures."""
        from ._notebook import record_html

        return record_html(self)
