"""The report: what came of a run, as one page that people look at.

`_view` (with `_reasons`, `_totals`, `_timeline`) decides what it says, `_page` how it is
written down, `_writer` when. The page itself stands in `page/`.
"""

from __future__ import annotations

from ._command import report_on
from ._view import is_inside
from ._writer import REPORT_NAME, RunReport, write_report

__all__ = ["REPORT_NAME", "RunReport", "is_inside", "report_on", "write_report"]
