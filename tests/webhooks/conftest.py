"""The client tests' API in virtual time, with a receiver."""

from __future__ import annotations

import pytest

from kinovi_async.webhooks import WebhookReceiver
from tests.client.conftest import Api, anyio_backend, api

from .post import PUBLIC_URL, Post

__all__ = ["anyio_backend", "api"]


@pytest.fixture
def receiver() -> WebhookReceiver:
    return WebhookReceiver(public_url=PUBLIC_URL)


@pytest.fixture
def post(api: Api, receiver: WebhookReceiver) -> Post:
    return Post(api.simulator, receiver)
