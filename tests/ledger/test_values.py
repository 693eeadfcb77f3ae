"""What names a request, and what is made of the JSON that is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinovi_async._errors import LedgerError
from kinovi_async._ledger import JsonObject, JsonValue, MemoryLedger, SQLiteLedger, open_ledger
from kinovi_async._ledger._json import body_hash, plain
from kinovi_async._requests import body_hash as request_hash

json_values: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(inputs=st.dictionaries(st.text(), json_values, max_size=4))
def test_a_request_has_one_name_everywhere(inputs: dict[str, JsonValue]) -> None:
    body: JsonObject = {"model": "m", "inputs": inputs}
    assert body_hash(body) == request_hash(body)


def test_the_order_of_fields_and_the_webhook_do_not_make_another_request() -> None:
    one: JsonObject = {"model": "m", "inputs": {"a": 1, "b": 2}, "callBackUrl": "https://x.test"}
    other: JsonObject = {"inputs": {"b": 2, "a": 1}, "model": "m"}
    assert body_hash(one) == body_hash(other)
    assert body_hash(other) != body_hash({"inputs": {"b": 2, "a": 2}, "model": "m"})


@given(value=json_values)
def test_plain_json_stays_as_it_is(value: JsonValue) -> None:
    assert plain(value, "it") == value


def test_what_is_no_json_is_named() -> None:
    with pytest.raises(LedgerError, match="the meta data cannot be kept in a ledger: set is not"):
        plain({1}, "the meta data")  # type: ignore[arg-type]


def test_a_ledger_option_is_a_path_a_ledger_or_nothing() -> None:
    assert isinstance(open_ledger(None), MemoryLedger)
    by_path = open_ledger("some.sqlite3")
    assert isinstance(by_path, SQLiteLedger)
    assert open_ledger(by_path) is by_path
