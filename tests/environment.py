"""What a child process of a test is given."""

from __future__ import annotations

import os


def plain_environment() -> dict[str, str]:
    """That of this process, without what makes its children measure coverage.

    It makes them three times slower, imports modules, and writes a file of its own.
    """
    private = ("COVERAGE_", "COV_CORE_")
    return {name: value for name, value in os.environ.items() if not name.startswith(private)}
