"""A user's tests: the receiver with the simulator whose tasks take no time."""

from __future__ import annotations

from kinovi_async import NanoBanana2
from kinovi_async.testing import InstantSimulator
from kinovi_async.webhooks import WebhookReceiver


async def test_webhooks_are_delivered_while_jobs_wait() -> None:
    simulator = InstantSimulator()
    receiver = WebhookReceiver(public_url="https://test.example/kinovi")
    client = simulator.client(webhooks=receiver)
    async with simulator.delivering_webhooks(receiver):
        record = await client.generate(NanoBanana2(prompt="a red cat"))
    assert record.urls


async def test_a_task_is_waited_for_by_its_webhook_alone() -> None:
    """Polls would be a minute away: it is the webhook that ends the wait."""
    simulator = InstantSimulator()
    receiver = WebhookReceiver(public_url="https://test.example/kinovi")
    client = simulator.client(webhooks=receiver, poll_interval=(60.0, 60.0))
    async with simulator.delivering_webhooks(receiver):
        outcomes = await client.run_batch([NanoBanana2(prompt=f"cat {n}") for n in range(5)])
    assert all(outcome.ok for outcome in outcomes)
    assert receiver.statistics().handed_on == 5
    assert simulator.books.polls == 5
