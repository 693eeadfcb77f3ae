"""What the rest of the package may ask of the HTTP layer, and nothing else of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import anyio

    from .._records import TaskRecord
    from ._results import SubmitResult

__all__ = ["Download", "HostRules", "Transport"]


class Download(Protocol):
    """A GET whose head has come and whose body has not been read yet."""

    @property
    def status(self) -> int:
        """The HTTP status, any: redirects and errors are the caller's to judge."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case."""

    @property
    def url(self) -> str:
        """What was asked for."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The same as `aiter_raw`."""

    def aiter_raw(self) -> AsyncIterator[bytes]:
        """The body as it comes over the wire, in chunks of up to 64 KiB, once.

        Raises:
            APIConnectionError: The connection broke before the body's end.
            APITimeoutError: No byte came for the read timeout.
        """


class HostRules(Protocol):
    """What a download may connect to; whoever connects asks one of these first.

    Raises:
        DownloadError: each of them, when the host is refused.
    """

    async def addresses(self, host: str, port: int) -> tuple[str, ...]:
        """For who connects itself: the IP addresses to connect to, no others."""

    def by_name(self, host: str) -> None:
        """For who connects through a proxy, which resolves names itself."""

    async def as_far_as_known(self, host: str, port: int) -> None:
        """For who hands over to a client it cannot look into."""


class Transport(Protocol):
    """The API over HTTP, for one key and base URL."""

    async def submit(
        self, body: bytes, *, scope: anyio.CancelScope | None = None, attempt: int = 1
    ) -> SubmitResult:
        """Sends ONE createTask and says what came of it; nothing is raised for an answer.

        The caller shields it. Cancelling it without a shield leaves open whether the task
        was made.

        Args:
            body: The request as JSON.
            scope: Entered around the exchange. When it is cancelled, or its deadline
                passes, the result is what is known by then: `Ambiguous`, or `NotSent`
                where that is proven.
            attempt: Which submission of its job this is, from 1: part of the evidence.
        """

    async def fetch(self, task_id: str, *, retries: int | None = None) -> TaskRecord:
        """Asks once for a task's record; a failed GET is repeated.

        Args:
            task_id: Any text.
            retries: Times a failed GET is repeated, None for the client's `max_retries`.

        Raises:
            APIError: What the last try came to.
            ConfigurationError: The key callable or the address is unusable.
        """

    def open(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        hosts: HostRules | None = None,
    ) -> AbstractAsyncContextManager[Download]:
        """GETs a result file without credentials, cookies or default headers.

        Redirects are not followed and nothing is repeated. Leaving the block early, or
        cancelling inside it, closes the connection.

        Args:
            url: Where the file is.
            headers: Further ones.
            hosts: Asked before anything is connected. A connection of our own is made to
                the addresses it gives, with the host's name in TLS and in the request.

        Raises:
            DownloadError: The address is no absolute http or https URL, or `hosts`
                refuses it.
            APIConnectionError: No answer came.
        """

    async def aclose(self) -> None:
        """Closes our connections; a client given by the user stays open."""
