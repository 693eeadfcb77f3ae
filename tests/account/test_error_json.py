"""Every error comes back from a ledger as what it was."""

from __future__ import annotations

import pytest

from kinovi_async import _errors
from kinovi_async._account._error_json import error_from_json, error_to_json
from kinovi_async._errors import APIStatusError, KinoviError, TaskFailedError

KINDS = [
    kind
    for name in _errors.__all__
    if isinstance(kind := getattr(_errors, name), type)
    and issubclass(kind, KinoviError)
    and not issubclass(kind, TaskFailedError)  # it comes back with its record
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_comes_back_as_it_was(kind: type[KinoviError]) -> None:
    data: dict[str, object] = {"type": kind.__name__, "message": "what happened"}
    if issubclass(kind, APIStatusError):
        data["status_code"] = 429
    error = error_from_json(data, task_id="task_1", record=None)  # type: ignore[arg-type]
    assert type(error) is kind
    assert (error.message, str(error), error.task_id) == ("what happened", str(error), "task_1")
    assert error_to_json(error)["type"] == kind.__name__
