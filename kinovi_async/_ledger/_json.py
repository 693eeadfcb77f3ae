"""What a ledger makes of the JSON and the text it is given to keep, and what names a request."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from .._errors import LedgerError

if TYPE_CHECKING:
    from ._protocol import JsonObject, JsonValue


def body_hash(body: JsonObject) -> str:
    """Identifies a request: SHA-256, in hex, of its model and inputs as canonical JSON.

    The same as `kinovi_async._requests.body_hash` for every body that one takes. The
    address for webhooks is left out: it changes nothing that is generated.

    Raises:
        LedgerError: the body is not JSON.
    """
    request = {name: body.get(name) for name in ("model", "inputs")}
    try:
        text = json.dumps(
            request, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_builtin
        )
    except (TypeError, ValueError, RecursionError) as error:
        raise LedgerError(f"a request cannot be kept in a ledger: {error}") from None
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _builtin(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return list(value)
    msg = f"{type(value).__name__} is not JSON"
    raise TypeError(msg)


def plain(value: JsonValue, what: str) -> JsonValue:
    """A copy that shares nothing with the caller and is what JSON would give back.

    Raises:
        LedgerError: the value is not JSON.
    """
    try:
        return cast("JsonValue", json.loads(json.dumps(value, default=_builtin)))
    except (TypeError, ValueError, RecursionError) as error:
        raise LedgerError(f"{what} cannot be kept in a ledger: {error}") from None


def json_object(value: JsonObject, what: str) -> JsonObject:
    """`plain` for an object."""
    return cast("JsonObject", plain(value, what))


def optional_object(value: JsonObject | None, what: str) -> JsonObject | None:
    """`plain` for an object or None."""
    return None if value is None else json_object(value, what)


def clean_text(value: str) -> str:
    """The text without lone surrogates: a server may send them, no database can hold them."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8")
