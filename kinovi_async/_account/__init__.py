"""One account: its queue for slots, and the lanes that drive jobs through it."""

from ._account import Account
from ._book import Book
from ._job import Job, outcome_of
from ._lane import Lane
from ._lane_options import LaneOptions, default_max_wait
from ._mailbox import new_book
from ._poll import failure_of
from ._standing import ask_to_resume
from ._statistics import Statistics, estimated_wait, statistics_of
from ._stopping import cancel_unsent, resume
from ._uploads import Uploads

__all__ = [
    "Account",
    "Book",
    "Job",
    "Lane",
    "LaneOptions",
    "Statistics",
    "Uploads",
    "ask_to_resume",
    "cancel_unsent",
    "default_max_wait",
    "estimated_wait",
    "failure_of",
    "new_book",
    "outcome_of",
    "resume",
    "statistics_of",
]
