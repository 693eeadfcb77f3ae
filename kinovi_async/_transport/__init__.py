"""The API over HTTP. The parts that need an HTTP library are in `_http`, imported late."""

from __future__ import annotations

from ._addresses import check_base_url
from ._api import HttpTransport
from ._judgement import held, resubmission
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
from ._upload import FileContent, OnProgress, Uploaded, UploadTransport

__all__ = [
    "Accepted",
    "Ambiguous",
    "Download",
    "FileContent",
    "HttpTransport",
    "NotSent",
    "OnProgress",
    "Refused",
    "Rejected",
    "ServerFailed",
    "SubmitResult",
    "Transport",
    "UploadTransport",
    "Uploaded",
    "check_base_url",
    "held",
    "resubmission",
]
