"""The words a run ends with."""

from __future__ import annotations

from kinovi_async import APIConnectionError, NotFoundError
from kinovi_async._cli._summary import stop_sentence
from kinovi_async.progress._tally import failure_text

BASE = "http://127.0.0.1:9/api/v1"


def test_no_connection_names_the_address_and_its_variable() -> None:
    told = stop_sentence(APIConnectionError("not sent: connection refused"), BASE)
    assert told == (
        f"not sent: connection refused; no answer from {BASE}: "
        "the variable KINOVI_BASE_URL names the address"
    )


def test_a_404_says_that_the_address_may_be_wrong() -> None:
    told = stop_sentence(NotFoundError("HTTP 404", status_code=404), BASE)
    assert f"{BASE} may be the wrong address" in told
    assert "KINOVI_BASE_URL" in told


def test_an_error_that_is_no_failed_task_is_told_as_it_is() -> None:
    assert failure_text(APIConnectionError("cut off")) == "cut off"
