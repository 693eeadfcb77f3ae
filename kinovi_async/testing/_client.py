"""The client's side: how a client reaches a simulator in its own process."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Final, TypedDict, Unpack

import httpx

from .._client import AsyncKinovi

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from .._ledger import Ledger
    from .._policy import SubmitPolicy
    from ..webhooks import WebhookReceiver

KEY: Final = "kinovi-test-key"
"""The API key of the fixtures; the simulator takes any."""
BASE_URL: Final = "http://localhost/api/v1"
POLL_INTERVAL: Final = (0.001, 0.002)
"""Seconds between two polls of one task: short, since nothing is waited for, and long enough
for a job that never ends to leave the event loop most of its time."""


class ClientOptions(TypedDict, total=False):
    """Options of `AsyncKinovi` that make sense with a simulator in process."""

    api_key: str
    timeout: float | None
    max_retries: int
    default_headers: Mapping[str, str]
    poll_interval: tuple[float, float]
    max_in_flight: int | None
    ledger: str | PathLike[str] | Ledger | None
    submit_policy: SubmitPolicy
    webhooks: WebhookReceiver | None


def connect(app: ASGIApp, **options: Unpack[ClientOptions]) -> AsyncKinovi:
    """A client of an application in this process; nothing of it needs to be closed."""
    given: ClientOptions = {"api_key": KEY, "poll_interval": POLL_INTERVAL, **options}
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app))
    return AsyncKinovi(base_url=BASE_URL, http_client=http, **given)
