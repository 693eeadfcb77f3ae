"""Receives the API's webhooks, so that nobody has to poll: a plain ASGI application.

    from kinovi_async.webhooks import WebhookReceiver

    receiver = WebhookReceiver(public_url="https://app.example.com/kinovi")
    client = AsyncKinovi(webhooks=receiver)
    app.mount("/kinovi", receiver)

Every submission then carries an address of its own that only this receiver can have made.
What is posted there is only a hint: the truth is asked of the API, with the key. See
docs/webhooks.md.
"""

from __future__ import annotations

from .._events import StrayTask
from ._receiver import ReceiverStatistics, WebhookReceiver

__all__ = ["ReceiverStatistics", "StrayTask", "WebhookReceiver"]
