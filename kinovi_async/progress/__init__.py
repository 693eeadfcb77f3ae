"""What a run is doing, to look at: on a terminal, in a notebook, or in plain lines.

`Progress` shows a batch or a scheduler of one's own; the `kinovi` command draws the same.
On a terminal it needs the extra `cli` (rich), everywhere else nothing.
"""

from __future__ import annotations

from ._progress import Progress, Style
from ._remaining import Remaining
from ._snapshot import Snapshot

__all__ = ["Progress", "Remaining", "Snapshot", "Style"]
