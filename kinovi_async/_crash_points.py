"""Named moments at which a test may end the process, to see that nothing is lost there.

A point does nothing: it looks at one variable, which is None in every program but the
test's. No setting, no environment variable and no argument of the command reaches it;
only Python code that calls `install` in the same process does. The names stand in the
calls, and `python -m tests.kill --all` tries them one after the other.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["install", "point"]

_hook: Callable[[str], None] | None = None


def point(name: str) -> None:
    """The process is at this moment; it may be in any thread."""
    if _hook is not None:
        _hook(name)


def install(hook: Callable[[str], None] | None) -> None:
    """Calls `hook` with the name at every moment from here on; None: no more."""
    global _hook  # noqa: PLW0603 - one variable, so that a point costs one look
    _hook = hook
