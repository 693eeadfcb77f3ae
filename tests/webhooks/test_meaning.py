"""What a hint says about a job as the ledger has it: the whole table."""

from __future__ import annotations

import pytest

from kinovi_async._account._hints import Meaning, meaning_of
from kinovi_async._account._mailbox import Note
from kinovi_async._ledger import JobRow, JobState
from kinovi_async._outcomes import Attempt, AttemptResult, OutcomeStatus

A, S, E, M = AttemptResult, JobState, OutcomeStatus, Meaning


def row(
    state: JobState,
    *results: AttemptResult | None,
    task_id: str | None = None,
    status: OutcomeStatus | None = None,
) -> JobRow:
    attempts = tuple(Attempt(n, 0.0, result) for n, result in enumerate(results, 1))
    return JobRow(
        key="job", number=1, body={}, body_hash="", group="", priority=0, meta={}, state=state,
        attempts=attempts, task_id=task_id, status=status,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "attempt", "meaning"),
    [
        (None, 1, M.NOTHING),
        (row(S.SENDING, None), 1, M.ON_THE_WIRE),
        (row(S.SENDING, A.SERVER_ERROR, None), 1, M.ON_THE_WIRE),
        (row(S.ACCEPTED, A.ACCEPTED, task_id="told"), 1, M.NOTHING),
        (row(S.ENDED, A.ACCEPTED, task_id="told", status=E.SUCCEEDED), 1, M.NOTHING),
        # Nobody waits for it any more, and it is paid for.
        (row(S.ENDED, A.ACCEPTED, task_id="told", status=E.EXPIRED), 1, M.EXPIRED),
        (row(S.ENDED, A.ACCEPTED, task_id="other", status=E.EXPIRED), 1, M.STRAY),
        # One POST, two tasks; or two POSTs, as the policy allowed.
        (row(S.ACCEPTED, A.ACCEPTED, task_id="other"), 1, M.STRAY),
        (row(S.ACCEPTED, A.SERVER_ERROR, A.ACCEPTED, task_id="other"), 1, M.STRAY),
        (row(S.ENDED, A.AMBIGUOUS, A.ACCEPTED, task_id="other", status=E.FAILED), 1, M.STRAY),
        (row(S.ENDED, A.NOT_SENT, status=E.CANCELLED), 1, M.STRAY),
        (row(S.ENDED, status=E.REJECTED), 1, M.STRAY),
        # A run that failed, and was run again.
        (row(S.ACCEPTED, A.ACCEPTED, A.ACCEPTED, task_id="other"), 1, M.NOTHING),
        (row(S.QUEUED, A.ACCEPTED), 1, M.NOTHING),
        (row(S.ENDED, A.ACCEPTED, A.AMBIGUOUS, status=E.AMBIGUOUS), 1, M.NOTHING),
        # What may have been accepted was.
        (row(S.QUEUED, A.SERVER_ERROR), 1, M.QUEUED),
        (row(S.QUEUED), 1, M.QUEUED),
        (row(S.ENDED, A.AMBIGUOUS, status=E.AMBIGUOUS), 1, M.AMBIGUOUS),
        (row(S.ENDED, A.SERVER_ERROR, A.AMBIGUOUS, status=E.AMBIGUOUS), 1, M.AMBIGUOUS),
        (row(S.ENDED, None, status=E.AMBIGUOUS), 1, M.AMBIGUOUS),
    ],
)
def test_the_meaning_of_a_hint(found: JobRow | None, attempt: int, meaning: Meaning) -> None:
    assert meaning_of(found, Note("job", attempt, "told")) is meaning
