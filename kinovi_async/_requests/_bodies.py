"""API bodies as bytes, and the hash by which two requests are told apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .._errors import InvalidRequestError, Problem

if TYPE_CHECKING:
    from ._base import Request


def encode_body(body: Mapping[str, object]) -> bytes:
    """An API body as it goes over the wire."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def body_hash(request: Request | Mapping[str, object]) -> str:
    """SHA-256, in hex, of what a request generates: its model and inputs.

    Canonical JSON of `{"inputs", "model"}` of the stored form (sorted keys, no spaces,
    ASCII), which is the same in whatever generation of the API the request is sent;
    `callBackUrl` is left out, since it changes nothing that is generated. A mapping is
    taken as the stored form it is, unchecked.

    Raises:
        InvalidRequestError: the mapping lacks `model` or `inputs`, or is no JSON.
    """
    body = request if isinstance(request, Mapping) else request.to_stored()
    try:
        content = {"model": body["model"], "inputs": body["inputs"]}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (KeyError, TypeError, ValueError, RecursionError):
        problem = Problem("request", type(body).__name__, "a JSON object with model and inputs")
        raise InvalidRequestError.of([problem]) from None
    return hashlib.sha256(text.encode("ascii")).hexdigest()
