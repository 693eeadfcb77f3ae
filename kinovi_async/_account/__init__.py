"""One account: its queue for slots, and the lanes that drive jobs through it."""

from ._account import Account
from ._book import Book
from ._ending import cancel_unsent, resume
from ._job import Job, outcome_of
from ._lane import Lane, LaneOptions, default_max_wait
from ._poll import failure_of
from ._statistics import Statistics, estimated_wait, statistics_of

__all__ = [
    "Account",
    "Book",
    "Job",
    "Lane",
    "LaneOptions",
    "Statistics",
    "cancel_unsent",
    "default_max_wait",
    "estimated_wait",
    "failure_of",
    "outcome_of",
    "resume",
    "statistics_of",
]
