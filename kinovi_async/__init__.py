"""An asyncio-first SDK for the Kinovi media-generation API.

Fills the account's slots without being told how many there are, never pays twice for
one picture, and resumes after anything. Start with `AsyncKinovi`; names are imported
when they are first used, so importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ._version import __version__

if TYPE_CHECKING:
    from ._account import Job, Statistics
    from ._batch import OutcomeStream
    from ._client import AsyncKinovi
    from ._errors import (
        AmbiguousSubmissionError,
        APIConnectionError,
        APIError,
        APIStatusError,
        APITimeoutError,
        AuthenticationError,
        BadRequestError,
        BudgetExceededError,
        ConcurrencyLimitError,
        ConfigurationError,
        DownloadError,
        InsufficientCreditsError,
        InvalidRequestError,
        InvalidResponseError,
        JobCancelledError,
        KeyConflictError,
        KinoviError,
        LedgerError,
        LedgerInUseError,
        NotFoundError,
        PermissionDeniedError,
        Problem,
        QueueFullError,
        RateLimitError,
        ServerError,
        TaskFailedError,
        UploadError,
        WaitTimeoutError,
    )
    from ._events import (
        Event,
        JobAccepted,
        JobEnded,
        JobPolled,
        JobQueued,
        JobRefused,
        JobSubmitted,
        SchedulerPaused,
        SchedulerResumed,
    )
    from ._ledger import Ledger, MemoryLedger, SQLiteLedger
    from ._outcomes import Attempt, AttemptResult, Outcome, OutcomeStatus
    from ._policy import Phase, SubmitEvidence, SubmitPolicy, Verdict
    from ._records import Output, TaskError, TaskRecord, TaskStatus
    from ._requests import (
        Generation,
        GptImage2,
        GptImage25,
        Image,
        ImageToVideo,
        LocalFile,
        Midjourney,
        NanoBanana2,
        NanoBananaPro,
        OmniReference,
        Request,
        Seedance25,
        Seedance25Edit,
        Seedance25Extend,
        Seedream5Pro,
        TextToVideo,
        Upload,
        Video,
        Wan3ImageToVideo,
        Wan3RefToVideo,
        Wan3TextToVideo,
        parse_request,
    )
    from ._scheduler import JobScheduler

_HOMES = {
    "_account": ["Job", "Statistics"],
    "_batch": ["OutcomeStream"],
    "_client": ["AsyncKinovi"],
    "_errors": [
        "APIConnectionError",
        "APIError",
        "APIStatusError",
        "APITimeoutError",
        "AmbiguousSubmissionError",
        "AuthenticationError",
        "BadRequestError",
        "BudgetExceededError",
        "ConcurrencyLimitError",
        "ConfigurationError",
        "DownloadError",
        "InsufficientCreditsError",
        "InvalidRequestError",
        "InvalidResponseError",
        "JobCancelledError",
        "KeyConflictError",
        "KinoviError",
        "LedgerError",
        "LedgerInUseError",
        "NotFoundError",
        "PermissionDeniedError",
        "Problem",
        "QueueFullError",
        "RateLimitError",
        "ServerError",
        "TaskFailedError",
        "UploadError",
        "WaitTimeoutError",
    ],
    "_events": [
        "Event",
        "JobAccepted",
        "JobEnded",
        "JobPolled",
        "JobQueued",
        "JobRefused",
        "JobSubmitted",
        "SchedulerPaused",
        "SchedulerResumed",
    ],
    "_ledger": ["Ledger", "MemoryLedger", "SQLiteLedger"],
    "_outcomes": ["Attempt", "AttemptResult", "Outcome", "OutcomeStatus"],
    "_policy": ["Phase", "SubmitEvidence", "SubmitPolicy", "Verdict"],
    "_records": ["Output", "TaskError", "TaskRecord", "TaskStatus"],
    "_requests": [
        "Generation",
        "GptImage2",
        "GptImage25",
        "Image",
        "ImageToVideo",
        "LocalFile",
        "Midjourney",
        "NanoBanana2",
        "NanoBananaPro",
        "OmniReference",
        "Request",
        "Seedance25",
        "Seedance25Edit",
        "Seedance25Extend",
        "Seedream5Pro",
        "TextToVideo",
        "Upload",
        "Video",
        "Wan3ImageToVideo",
        "Wan3RefToVideo",
        "Wan3TextToVideo",
        "parse_request",
    ],
    "_scheduler": ["JobScheduler"],
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "APIConnectionError",
    "APIError",
    "APIStatusError",
    "APITimeoutError",
    "AmbiguousSubmissionError",
    "AsyncKinovi",
    "Attempt",
    "AttemptResult",
    "AuthenticationError",
    "BadRequestError",
    "BudgetExceededError",
    "ConcurrencyLimitError",
    "ConfigurationError",
    "DownloadError",
    "Event",
    "Generation",
    "GptImage2",
    "GptImage25",
    "Image",
    "ImageToVideo",
    "InsufficientCreditsError",
    "InvalidRequestError",
    "InvalidResponseError",
    "Job",
    "JobAccepted",
    "JobCancelledError",
    "JobEnded",
    "JobPolled",
    "JobQueued",
    "JobRefused",
    "JobScheduler",
    "JobSubmitted",
    "KeyConflictError",
    "KinoviError",
    "Ledger",
    "LedgerError",
    "LedgerInUseError",
    "LocalFile",
    "MemoryLedger",
    "Midjourney",
    "NanoBanana2",
    "NanoBananaPro",
    "NotFoundError",
    "OmniReference",
    "Outcome",
    "OutcomeStatus",
    "OutcomeStream",
    "Output",
    "PermissionDeniedError",
    "Phase",
    "Problem",
    "QueueFullError",
    "RateLimitError",
    "Request",
    "SQLiteLedger",
    "SchedulerPaused",
    "SchedulerResumed",
    "Seedance25",
    "Seedance25Edit",
    "Seedance25Extend",
    "Seedream5Pro",
    "ServerError",
    "Statistics",
    "SubmitEvidence",
    "SubmitPolicy",
    "TaskError",
    "TaskFailedError",
    "TaskRecord",
    "TaskStatus",
    "TextToVideo",
    "Upload",
    "UploadError",
    "Verdict",
    "Video",
    "WaitTimeoutError",
    "Wan3ImageToVideo",
    "Wan3RefToVideo",
    "Wan3TextToVideo",
    "__version__",
    "parse_request",
]


def __getattr__(name: str) -> object:
    module = _HOME_OF.get(name)
    if module is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value: object = getattr(import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF])
