"""This project with a poll every 2 s, like the vendor's own loop; told nothing else either."""

from __future__ import annotations

from . import ours
from .work import Work


def run(work: Work) -> int:
    """The number of jobs that succeeded."""
    return ours.run(work, 2, 2)
