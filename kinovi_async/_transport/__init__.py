"""The API over HTTP. The parts that need an HTTP library are in `_http`, imported late."""

from __future__ import annotations

from ._addresses import check_base_url
from ._api import HttpTransport
from ._protocol import Download, Transport
from ._results import (
    Accepted,
    Ambiguous,
    NotSent,
    Refused,
    Rejected,
    ServerFailed,
    SubmitResult,
)

__all__ = [
    "Accepted",
    "Ambiguous",
    "Download",
    "HttpTransport",
    "NotSent",
    "Refused",
    "Rejected",
    "ServerFailed",
    "SubmitResult",
    "Transport",
    "check_base_url",
]
