"""What is not cut off when a wait is left: it gets a few seconds more, and then ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import anyio

__all__ = ["GRACE", "Grace"]

# A wait of this many seconds after a cancellation for a submission on the wire: its
# answer carries the id of a paid task.
GRACE = 10.0


class Grace:
    """The shielded scopes of one wait."""

    def __init__(self) -> None:
        self._scopes: set[anyio.CancelScope] = set()
        self._begun = False

    def begin(self) -> None:
        """The wait is left: `GRACE` seconds from here on."""
        self._begun = True
        for scope in self._scopes:
            _bound(scope)

    @contextmanager
    def bound(self, scope: anyio.CancelScope) -> Iterator[anyio.CancelScope]:
        """Enters a scope that gets `GRACE` seconds when the wait is left."""
        with self.bounding(scope), scope:
            yield scope

    @contextmanager
    def bounding(self, scope: anyio.CancelScope) -> Iterator[None]:
        """The same for a scope that somebody else enters."""
        if self._begun:
            _bound(scope)
        self._scopes.add(scope)
        try:
            yield
        finally:
            self._scopes.discard(scope)


def _bound(scope: anyio.CancelScope) -> None:
    scope.deadline = min(scope.deadline, anyio.current_time() + GRACE)
