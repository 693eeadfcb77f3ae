"""The scheduler's decisions: which jobs to submit and which tasks to poll, and when.

Pure state machines without I/O, sleeping or clocks; `AccountState` is the one that
the outside drives.
"""

from __future__ import annotations

from ._durations import Durations
from ._entry import Decisions, Entry, Refusal, State, Statistics
from ._heap import LazyHeap
from ._state import AccountState

__all__ = [
    "AccountState",
    "Decisions",
    "Durations",
    "Entry",
    "LazyHeap",
    "Refusal",
    "State",
    "Statistics",
]
