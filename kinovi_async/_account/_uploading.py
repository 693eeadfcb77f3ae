"""What happens between a job's slot and its submission: its local files are uploaded.

The slot is reserved meanwhile, so there are never more uploads than submissions would be,
and what is uploaded is used at once. Nothing is in the ledger yet: whoever cancels the
job, or leaves, breaks the upload off and nothing was sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from .._errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    InsufficientCreditsError,
    KinoviError,
    NotFoundError,
    PermissionDeniedError,
    UploadError,
)
from ._ending import end_refused
from ._stopping import gone_if_stopped, stop_at

if TYPE_CHECKING:
    from ._job import Job
    from ._lane import Lane

__all__ = ["uploaded"]

# Times a job whose upload failed goes back into the queue, each after the repeats that a
# GET has; then it is rejected. A network that is down has come back by then, or nobody knows.
MAX_ROUNDS = 5
# Seconds, for polls every 3 s, between two of these rounds at most.
MAX_WAIT = 30.0


async def uploaded(lane: Lane, job: Job) -> bool:
    """Uploads the job's files; False: it is not to be sent now, and that was seen to."""
    assert job.entry is not None  # noqa: S101 - it was in the queue
    error = await _upload_files(lane, job)
    if not isinstance(error, KinoviError):
        return error
    wait = _wait_after(error, job)
    if _is_for_account(error):
        await stop_at(lane, job, error)
    elif wait is not None:
        lane.account.state.returned(job.entry, anyio.current_time(), wait * lane.account.second)
        await gone_if_stopped(lane, job)
    else:
        lane.account.state.dropped(job.entry, anyio.current_time())
        await end_refused(lane, job, error)
    return False


async def _upload_files(lane: Lane, job: Job) -> KinoviError | bool:
    """Uploads the files of a job that has a slot.

    True: all are there. False: the job is no longer to be sent by this lane, and who saw
    to that has told so. Else: what went wrong; nothing was submitted.
    """
    uploads = lane.account.uploads
    if uploads is None:
        return ConfigurationError("local files cannot be uploaded here")
    ledger = lane.book.ledger if lane.book.durable else None
    failed: KinoviError | None = None
    scope = job.upload.scope = anyio.CancelScope()
    with scope:
        for file in job.request.files:
            try:
                field = job.request.place_of(file)
                upload = await uploads.ensure(file, ledger, field=field)
            except KinoviError as error:
                failed = error
                break
            job.upload.addresses[file.sha256] = upload.url
    if job.upload.scope is not scope:
        return False
    job.upload.scope = None
    # Broken off by a lane that closes: the job looks like one that was never tried.
    return failed or True


def _is_for_account(error: KinoviError) -> bool:
    """Whether it stops every job, not this one alone."""
    kinds = AuthenticationError | InsufficientCreditsError | PermissionDeniedError
    return isinstance(error, kinds | ConfigurationError)


def _wait_after(error: KinoviError, job: Job) -> float | None:
    """Seconds, for polls every 3 s, until a failed upload is tried again; None: it is not."""
    job.upload.rounds += 1
    if isinstance(error, UploadError):
        passing = error.retryable
    else:
        passing = isinstance(error, APIError) and not isinstance(
            error, BadRequestError | NotFoundError
        )
    if not passing or job.upload.rounds >= MAX_ROUNDS:
        return None
    return min(MAX_WAIT, 2.0**job.upload.rounds)
