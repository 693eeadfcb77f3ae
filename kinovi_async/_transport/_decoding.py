"""Reads JSON by its content, whatever the headers say, and bounds what it may cost.

An answer is refused as unreadable (`InvalidResponseError`), never with another exception:
too deep, too large once unpacked, or no JSON at all. What JSON text cannot keep (NaN,
infinities, lone surrogates) is replaced, so that a record can be stored and read back.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Mapping

from .._errors import InvalidResponseError

__all__ = ["MAX_BODY", "decode_json", "unpack"]

MAX_BODY = 4 * 1024 * 1024
"""Bytes of an answer that are read at most; a record has about 1 kB."""
_MAX_UNPACKED = 16 * 1024 * 1024
# Levels; a record has 3. Far below Python's own limit, so that storing, comparing and
# pickling a record that was read cannot fail later.
_MAX_DEPTH = 64
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def decode_json(body: bytes) -> object:
    """The JSON value in `body`: UTF-8, UTF-16 or UTF-32, with or without a BOM.

    Raises:
        InvalidResponseError: It is no JSON, or nested more than 64 levels.
    """
    value: object = None
    problem: str | None = None
    try:
        text = body.decode(json.detect_encoding(body), "replace")
        value = json.loads(text, parse_constant=_nothing, parse_float=_finite)
        if text.count("[") + text.count("{") > _MAX_DEPTH and _depth(value) > _MAX_DEPTH:
            problem = "the answer is nested too deeply"
        elif _SURROGATE.search(text):
            value = _mended(value)
    except RecursionError:
        problem = "the answer is nested too deeply"
    except ValueError:  # also UnicodeError, and numbers with thousands of digits
        problem = "the answer is no JSON" if body.strip() else "the answer is empty"
    if problem is not None:
        raise InvalidResponseError(problem)
    return value


def unpack(body: bytes, headers: Mapping[str, str]) -> bytes:
    """The body without its content encoding, which we asked the server not to use.

    Unknown, stacked, damaged or exploding encodings give the bytes back as they came:
    they may be readable after all, and are evidence otherwise.
    """
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        return body
    for window in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):  # gzip or zlib; bare deflate
        decoder = zlib.decompressobj(window)
        try:
            plain = decoder.decompress(body, _MAX_UNPACKED)
        except zlib.error:
            continue
        return body if decoder.unconsumed_tail else plain
    return body


def _nothing(_name: str) -> None:
    return None


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _depth(value: object) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
    return depth - 1


def _mended(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_mended(item) for item in value]
    if isinstance(value, dict):
        return {_mended(name): _mended(item) for name, item in value.items()}
    return value
