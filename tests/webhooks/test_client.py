"""Webhooks end waits, spare polls and resolve what is unclear: the real client in virtual time."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import anyio
import httpx
import pytest

from kinovi_async import (
    AmbiguousSubmissionError,
    AsyncKinovi,
    AttemptResult,
    ConfigurationError,
    Event,
    JobScheduler,
    KinoviError,
    LedgerError,
    NanoBanana2,
    Outcome,
    OutcomeStatus,
    SubmitPolicy,
    TextToVideo,
)
from kinovi_async.simulator import (
    Dialect,
    Faults,
    Simulator,
    SubmitRule,
    TaskRule,
    Webhook,
)
from kinovi_async.webhooks import StrayTask, WebhookReceiver
from tests.client.conftest import Api
from tests.client.members import InlineLedger, process

from .post import PUBLIC_URL, Post, call, none, path_of

A = AttemptResult


def cats(count: int) -> list[NanoBanana2]:
    return [NanoBanana2(prompt=f"cat {n}") for n in range(count)]


def films(count: int) -> list[TextToVideo]:
    return [TextToVideo(prompt=f"film {n}") for n in range(count)]


def use(api: Api, **options: Any) -> None:
    """Another simulator behind the same API."""
    durations = {"nanobanana2": (8.0, 12.0)}  # so that no fallback poll comes before the end
    options = {"durations": durations, **options}
    api.simulator = Simulator(limit=3, clock=anyio.current_time, **options)
    api.http = httpx.AsyncClient(transport=httpx.ASGITransport(api.simulator.app))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.sqlite3"


# -- addresses -------------------------------------------------------------------------


async def test_every_submission_carries_an_address_of_its_own(
    api: Api, receiver: WebhookReceiver, post: Post
) -> None:
    async with api.client(webhooks=receiver) as client, post.running():
        await client.run_batch(cats(5))
        await client.generate(NanoBanana2(prompt="one more"))
        async with JobScheduler(client) as scheduler:
            await scheduler.submit(NanoBanana2(prompt="of a scheduler"))
        await anyio.sleep(1)  # a poll may have been faster
    urls = {webhook.url for webhook in post.seen}
    assert len(urls) == 7
    assert all(url.startswith(f"{PUBLIC_URL}/v1/") for url in urls)
    assert post.statuses == [200] * 7
    assert receiver.statistics() == (7, 0, 0, 0, 0)


async def test_a_requests_own_callback_address_wins(
    api: Api, receiver: WebhookReceiver, post: Post
) -> None:
    own = "https://elsewhere.example.com/hook"
    post.carry = none
    async with api.client(webhooks=receiver) as client, post.running():
        await client.generate(NanoBanana2(prompt="cat", callback_url=own))
        await anyio.sleep(1)  # a poll may have been faster
    assert [webhook.url for webhook in post.seen] == [own]


async def test_without_a_receiver_nothing_is_added(api: Api, post: Post) -> None:
    async with api.client() as client, post.running():
        await client.generate(NanoBanana2(prompt="cat"))
    assert post.seen == []


async def test_a_key_too_long_for_an_address_is_polled(
    api: Api, receiver: WebhookReceiver, post: Post
) -> None:
    async with api.client(webhooks=receiver) as client, post.running():
        await client.generate(NanoBanana2(prompt="cat"), key="k" * 1001)
        await client.generate(NanoBanana2(prompt="cat"), key="ключ/\\\n?" * 30)
    assert len(post.seen) == 1
    assert post.statuses == [200]


async def test_the_address_does_not_hold_the_key_of_the_api(
    api: Api, receiver: WebhookReceiver, post: Post
) -> None:
    """It may stand in anybody's log."""
    async with api.client(webhooks=receiver) as client, post.running():
        await client.generate(NanoBanana2(prompt="cat"), key="job")
    assert "CANARY" not in post.seen[0].url
    assert repr(receiver) == f"<WebhookReceiver at {PUBLIC_URL}>"


# -- waiting ---------------------------------------------------------------------------


async def test_a_webhook_ends_the_wait_at_once_and_the_slot_is_filled(
    api: Api, receiver: WebhookReceiver, post: Post
) -> None:
    use(api)
    post.simulator = api.simulator
    async with api.client(webhooks=receiver) as client, post.running():
        outcomes = await client.run_batch(cats(9))
        books = api.simulator.books
    assert all(outcome.ok for outcome in outcomes)
    assert books.accepted_per_prompt() == {f"cat {n}": 1 for n in range(9)}
    assert books.polls == 9
    seen = [task.seen_at - task.ends_at for task in books.accepted]  # type: ignore[operator]
    assert max(seen) < 0.1


async def test_webhooks_spare_polls(api: Api, receiver: WebhookReceiver, post: Post) -> None:
    async with api.client(webhooks=receiver) as client, post.running():
        await client.run_batch(films(9))
    hooked = api.simulator.books.polls
    use(api)
    async with api.client() as client:
        await client.run_batch(films(9))
    assert hooked < api.simulator.books.polls / 4


@pytest.mark.parametrize("envelope", [True, False])
@pytest.mark.parametrize("field", ["status", "state"])
async def test_every_form_of_the_payload_is_understood(
    api: Api, receiver: WebhookReceiver, *, envelope: bool, field: Literal["status", "state"]
) -> None:
    dialect = Dialect(webhook_envelope=envelope, status_field=field, error="string")
    use(api, dialect=dialect)
    post = Post(api.simulator, receiver)
    async with api.client(webhooks=receiver) as client, post.running():
        outcomes = await client.run_batch(films(3))
    assert all(outcome.ok for outcome in outcomes)
    assert post.statuses == [200] * 3
    assert api.simulator.books.polls <= 3 * 8


async def test_a_silent_receiver_costs_time_and_no_job(
    api: Api, receiver: WebhookReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Catalogue 76: polls go on slowly; after five such tasks as if there were no webhooks."""
    use(api)
    post = Post(api.simulator, receiver)
    post.carry = none
    async with api.client(webhooks=receiver) as client, post.running():
        outcomes = await client.run_batch(cats(15))
    assert all(outcome.ok for outcome in outcomes)
    assert caplog.text.count(f"does {PUBLIC_URL} lead to the receiver?") == 1
    tasks = api.simulator.books.accepted
    late = [task.seen_at - task.ends_at for task in tasks]  # type: ignore[operator]
    assert max(late[:3]) > 10.0
    assert max(late[-3:]) < 6.0


async def test_a_receiver_that_is_met_at_wrong_addresses_says_so(
    api: Api, receiver: WebhookReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Of another secret or ledger, or changed on the way."""
    use(api)
    post = Post(api.simulator, receiver)
    post.carry = lambda webhook: [replace(webhook, url=webhook.url.replace("/v1/", "/v2/"))]
    async with api.client(webhooks=receiver) as client, post.running():
        await client.run_batch(cats(6))
    assert "It answered 404 to " in caplog.text
    assert "whose address was not genuine. Until one comes" in caplog.text


async def test_a_webhook_that_comes_after_all_is_believed_again(
    api: Api, receiver: WebhookReceiver, post: Post
) -> None:
    post.carry = none
    async with api.client(webhooks=receiver) as client, post.running():
        await client.run_batch(cats(8))
        post.carry = lambda webhook: [webhook]
        await client.run_batch(cats(3))
        before = api.simulator.books.polls
        await client.run_batch(films(3))
    assert api.simulator.books.polls - before <= 3 * 8


async def test_half_of_the_webhooks_lost_is_no_jobs_loss(
    api: Api, receiver: WebhookReceiver
) -> None:
    use(api, faults=Faults(webhook_lost=0.5, webhook_twice=0.3))
    post = Post(api.simulator, receiver)
    async with api.client(webhooks=receiver) as client, post.running():
        outcomes = await client.run_batch(cats(12))
    assert all(outcome.ok for outcome in outcomes)
    assert set(api.simulator.books.accepted_per_prompt().values()) == {1}


async def test_duplicates_replays_and_disorder_change_nothing(
    api: Api, receiver: WebhookReceiver, post: Post
) -> None:
    """Catalogue 75: 100 times, the end before the start, and long after the job ended."""

    def storm(webhook: Webhook) -> list[Webhook]:
        running = webhook.body.replace(b'"success"', b'"generating"')
        assert running != webhook.body
        return [webhook] * 100 + [Webhook(webhook.task_id, webhook.url, running)] * 3

    post.carry = storm
    async with api.client(webhooks=receiver) as client, post.running():
        outcomes = await client.run_batch(cats(4))
        polls = api.simulator.books.polls
        for webhook in post.seen:
            assert await post.bring(webhook) == 200
        assert api.simulator.books.polls == polls
    assert all(outcome.ok for outcome in outcomes)
    assert set(post.statuses) == {200}
    assert polls <= 8


async def test_a_state_that_is_not_the_end_asks_for_no_poll(
    api: Api, receiver: WebhookReceiver, post: Post
) -> None:
    async with api.client(webhooks=receiver) as client, anyio.create_task_group() as group:
        group.start_soon(client.generate, films(1)[0])
        await anyio.sleep(5)
        (task,) = api.simulator.books.accepted
        url = api.simulator._state._accepted[0].request.callback_url
        for state in ("waiting", "generating", "GENERATING"):
            body = f'{{"taskId": "{task.task_id}", "status": "{state}"}}'.encode()
            assert (await call(receiver, path_of(url or ""), body)).status == 200
        await anyio.sleep(1)
        assert api.simulator.books.polls == 0
        async with post.running():
            await anyio.sleep(400)


# -- what is unclear ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [("lost-answer", 600), ("html-502-accepted", timedelta(minutes=10)), ("truncated", 600.0)],
)
async def test_an_unclear_submission_waits_for_its_webhook(
    api: Api, receiver: WebhookReceiver, post: Post, fault: str, seconds: float | timedelta
) -> None:
    api.simulator.script(SubmitRule(answer=fault, prompt="film 1"))
    policy = SubmitPolicy(hold_for_webhook=seconds)
    async with (
        api.client(webhooks=receiver, submit_policy=policy) as client,
        post.running(),
    ):
        outcomes = await client.run_batch(films(4))
    assert [outcome.status for outcome in outcomes] == [OutcomeStatus.SUCCEEDED] * 4
    assert outcomes[1].task_id == post_task(api, "film 1")
    assert [attempt.result for attempt in outcomes[1].attempts] == [A.ACCEPTED]
    assert set(api.simulator.books.accepted_per_prompt().values()) == {1}


def post_task(api: Api, prompt: str) -> str:
    (task,) = [task for task in api.simulator.books.accepted if task.prompt == prompt]
    return task.task_id


async def test_what_was_held_in_vain_is_ambiguous_and_keeps_its_credits(
    api: Api, receiver: WebhookReceiver, post: Post
) -> None:
    """Silence proves nothing: it is not sent again."""
    api.simulator.script(SubmitRule(answer="before-acceptance-drop"))
    policy = SubmitPolicy(hold_for_webhook=120)
    async with api.client(webhooks=receiver, submit_policy=policy) as client, post.running():
        began = anyio.current_time()
        (outcome,) = await client.run_batch(cats(1))
        assert outcome.status is OutcomeStatus.AMBIGUOUS
        assert 120 <= anyio.current_time() - began < 125
        assert [attempt.result for attempt in outcome.attempts] == [A.AMBIGUOUS]
        totals = await client._shared.book.ledger.totals()
    assert totals.reserved == Decimal(15)
    assert len(api.simulator.books.accepted) == 0


async def test_a_policy_that_sends_again_waits_first(
    api: Api, receiver: WebhookReceiver, post: Post
) -> None:
    api.simulator.script(SubmitRule(answer="before-acceptance-drop"))
    policy = SubmitPolicy(ambiguous="resubmit", max_resubmits=1, hold_for_webhook=60)
    async with api.client(webhooks=receiver, submit_policy=policy) as client, post.running():
        began = anyio.current_time()
        (outcome,) = await client.run_batch(cats(1))
        assert outcome.ok
        assert anyio.current_time() - began > 60
    assert [attempt.result for attempt in outcome.attempts] == [A.AMBIGUOUS, A.ACCEPTED]


async def test_a_wait_that_is_left_settles_what_it_held(
    api: Api, receiver: WebhookReceiver, path: Path
) -> None:
    api.simulator.script(SubmitRule(answer="lost-answer"))
    policy = SubmitPolicy(hold_for_webhook=600)
    async with process(api, path, webhooks=receiver, submit_policy=policy) as member:
        with anyio.move_on_after(30):
            await member.client.generate(cats(1)[0], key="cat")
        row = await member.ledger.get("cat")
        assert row is not None
        assert row.status is OutcomeStatus.AMBIGUOUS


async def test_a_webhook_before_the_answer_resolves_it(
    api: Api, receiver: WebhookReceiver, post: Post
) -> None:
    """Catalogue 77: the task has ended before its submission is answered, or is not."""
    api.simulator.slow_seconds = 60.0
    api.simulator.script(SubmitRule(answer="slow", prompt="cat 0"))
    api.simulator.script(SubmitRule(answer="slow", prompt="cat 1"))
    async with api.client(webhooks=receiver) as client, post.running():
        outcomes = await client.run_batch(cats(2))
    assert all(outcome.ok for outcome in outcomes)
    assert api.simulator.books.polls <= 4


async def test_a_webhook_before_a_lost_answer_resolves_it_without_any_option(
    api: Api, receiver: WebhookReceiver, post: Post
) -> None:
    class LateLoss(httpx.AsyncBaseTransport):
        inner = httpx.ASGITransport(api.simulator.app)

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            response = await self.inner.handle_async_request(request)
            if request.method == "POST":
                await anyio.sleep(60)
                raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
            return response

    async with (
        httpx.AsyncClient(transport=LateLoss()) as http,
        api.client(webhooks=receiver, http_client=http) as client,
        post.running(),
    ):
        (outcome,) = await client.run_batch(cats(1))
    assert outcome.ok
    assert [attempt.result for attempt in outcome.attempts] == [A.ACCEPTED]
    assert len(api.simulator.books.accepted) == 1


async def test_a_late_webhook_resolves_what_was_told_as_ambiguous(
    api: Api, receiver: WebhookReceiver, post: Post
) -> None:
    api.simulator.script(SubmitRule(answer="lost-answer"))
    async with api.client(webhooks=receiver) as client, JobScheduler(client) as scheduler:
        job = await scheduler.submit(films(1)[0], key="film")
        with pytest.raises(AmbiguousSubmissionError):
            await job.result()
        async with post.running():
            await anyio.sleep(400)
        again = await scheduler.get("film")
        assert again is not None
        outcome = await again.outcome()
        assert outcome.ok
        assert outcome.task_id == post_task(api, "film 0")
        assert outcome.attempts[0].result is A.ACCEPTED


@pytest.mark.parametrize("durable", [True, False])
async def test_the_paid_result_of_an_expired_job_is_recorded_when_its_webhook_comes(
    api: Api, receiver: WebhookReceiver, post: Post, path: Path, *, durable: bool
) -> None:
    ledger = InlineLedger(path) if durable else None
    async with (
        api.client(webhooks=receiver, ledger=ledger) as client,
        JobScheduler(client) as scheduler,
    ):
        job = await scheduler.submit(films(1)[0], key="film", max_wait=20)
        outcome = await job.outcome()
        assert (outcome.status, outcome.seq) == (OutcomeStatus.EXPIRED, 1)
        async with post.running():
            with anyio.fail_after(400):
                told = await _next_ending(scheduler, after=1)
        # As any hint, it is acted on at once: the record is not fetched a poll later.
        (task,) = api.simulator.books.accepted
        assert task.ends_at is not None
        assert anyio.current_time() - task.ends_at < 1
        assert (told.status, told.seq) == (OutcomeStatus.SUCCEEDED, 2)
        assert post.statuses == [200]
        again = await scheduler.get("film")
        assert again is not None
        found = await again.outcome()
        assert found.ok
        assert found.task_id == outcome.task_id == post_task(api, "film 0")
    if ledger is not None:
        await ledger.aclose()


async def _next_ending(scheduler: JobScheduler, after: int) -> Outcome:
    while True:
        if found := [outcome async for outcome in scheduler.outcomes(after=after)]:
            return found[0]
        await anyio.sleep(0.1)


async def test_an_expired_job_stays_so_while_its_task_runs_whatever_is_posted(
    api: Api, receiver: WebhookReceiver
) -> None:
    """A lie leads to a few looks at it, and not to waiting for it once more."""
    async with api.client(webhooks=receiver) as client, JobScheduler(client) as scheduler:
        job = await scheduler.submit(films(1)[0], key="film", max_wait=1)
        assert (await job.outcome()).status is OutcomeStatus.EXPIRED
        (task,) = api.simulator._state._accepted
        before = api.simulator.books.polls
        body = f'{{"taskId": "{task.id}", "status": "success"}}'.encode()
        for _ in range(50):
            answer = await call(receiver, path_of(task.request.callback_url or ""), body)
            assert answer.status == 200
        await anyio.sleep(30)
        assert api.simulator.books.polls - before <= 5
        row = await scheduler._book.ledger.get("film")
        assert row is not None
        assert row.status is OutcomeStatus.EXPIRED
        assert receiver.statistics().foreign == 0
        await anyio.sleep(400)  # and the truth, once it is told
        answer = await call(receiver, path_of(task.request.callback_url or ""), body)
        assert answer.status == 200
        assert (await _next_ending(scheduler, after=1)).ok


async def test_a_member_tells_of_an_expired_job(api: Api, post: Post, path: Path) -> None:
    runners, members = (WebhookReceiver(public_url=PUBLIC_URL) for _ in range(2))
    post.app = members
    async with (
        process(api, path, webhooks=runners) as runner,
        JobScheduler(runner.client) as scheduler,
        process(api, path, webhooks=members) as member,
        JobScheduler(member.client) as other,
    ):
        job = await other.submit(films(1)[0], key="film", max_wait=20)
        assert (await job.outcome()).status is OutcomeStatus.EXPIRED
        async with post.running():
            await anyio.sleep(400)
        assert post.statuses == [200]
        for each in (scheduler, other):
            again = await each.get("film")
            assert again is not None
            assert (await again.outcome()).ok
    assert len(api.simulator.books.accepted) == 1


async def test_a_task_that_may_have_been_made_is_not_made_again_once_a_webhook_tells(
    api: Api, receiver: WebhookReceiver, post: Post
) -> None:
    """A documented 500 is sent again; the first one's webhook comes while it waits to be."""
    api.simulator.script(SubmitRule(answer="error-500-accepted", prompt="cat 0"))
    async with api.client(webhooks=receiver) as client, JobScheduler(client) as scheduler:
        # Nothing more is admitted until the task has ended.
        api.simulator.set_limit(1)
        job = await scheduler.submit(cats(1)[0], key="cat")
        async with post.running():
            outcome = await job.outcome()
    assert outcome.ok
    assert [attempt.result for attempt in outcome.attempts] == [A.ACCEPTED]
    assert len(api.simulator.books.accepted) == 1


# -- forgeries with a genuine address ------------------------------------------------------


async def test_another_jobs_task_is_ignored_and_counted(
    api: Api, receiver: WebhookReceiver, post: Post
) -> None:
    """Catalogue 74: a right address, a task of another job, or of nobody."""
    told: list[Event] = []
    post.carry = none
    async with (
        api.client(webhooks=receiver) as client,
        JobScheduler(client, on_event=told.append) as scheduler,
    ):
        for n, film in enumerate(films(2)):
            await scheduler.submit(film, key=f"{n}")
        await anyio.sleep(5)
        first, second = api.simulator._state._accepted
        for task_id in (second.id, "task_of_nobody"):
            body = f'{{"taskId": "{task_id}", "status": "success"}}'.encode()
            path = path_of(first.request.callback_url or "")
            assert (await call(receiver, path, body)).status == 200
        await anyio.sleep(60)
        assert receiver.statistics().foreign == 2
        row = await scheduler._book.ledger.get("0")
        assert row is not None
        assert row.task_id == first.id
    assert not [event for event in told if isinstance(event, StrayTask)]


async def test_made_up_tasks_at_one_address_are_asked_for_a_few_times_at_most(
    api: Api, receiver: WebhookReceiver
) -> None:
    async with api.client(webhooks=receiver) as client, JobScheduler(client) as scheduler:
        await scheduler.submit(films(1)[0])
        await anyio.sleep(5)
        path = path_of(api.simulator._state._accepted[0].request.callback_url or "")
        for n in range(1000):
            body = f'{{"taskId": "made-up-{n}"}}'.encode()
            assert (await call(receiver, path, body)).status == 200
        await anyio.sleep(100)
        assert receiver.statistics().foreign == 1000
        assert api.simulator.books.polls <= 4 * 5 * 2 + 5


async def test_an_address_of_the_results_is_never_taken_from_a_webhook(
    api: Api, receiver: WebhookReceiver, post: Post
) -> None:
    """Catalogue 83."""

    def attack(webhook: Webhook) -> list[Webhook]:
        body = webhook.body.replace(b"http://localhost", b"http://evil.example.com")
        assert body != webhook.body
        return [Webhook(webhook.task_id, webhook.url, body)]

    post.carry = attack
    async with api.client(webhooks=receiver) as client, post.running():
        record = await client.generate(films(1)[0])
    assert record.urls
    assert all("evil" not in url for url in record.urls)


async def test_a_lie_about_the_end_costs_one_poll(api: Api, receiver: WebhookReceiver) -> None:
    async with api.client(webhooks=receiver) as client, anyio.create_task_group() as group:
        group.start_soon(client.generate, films(1)[0])
        await anyio.sleep(5)
        (task,) = api.simulator._state._accepted
        body = f'{{"taskId": "{task.id}", "status": "success"}}'.encode()
        for _ in range(50):
            answer = await call(receiver, path_of(task.request.callback_url or ""), body)
            assert answer.status == 200
        await anyio.sleep(2)
        assert api.simulator.books.polls == 1


# -- paid twice --------------------------------------------------------------------------


async def test_a_second_task_of_one_job_is_told_as_paid_twice(
    api: Api, receiver: WebhookReceiver, post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Event] = []
    api.simulator.script(SubmitRule(answer="lost-answer"))
    policy = SubmitPolicy(ambiguous="resubmit", max_resubmits=1)
    async with (
        api.client(webhooks=receiver, submit_policy=policy) as client,
        JobScheduler(client, on_event=told.append) as scheduler,
        post.running(),
    ):
        post.carry = lambda webhook: [webhook, webhook]
        job = await scheduler.submit(films(1)[0], key="film")
        outcome = await job.outcome()
        await anyio.sleep(400)
    assert outcome.ok
    first, second = api.simulator.books.accepted
    (stray,) = [event for event in told if isinstance(event, StrayTask)]
    assert {stray.task_id, stray.job_task_id} == {first.task_id, second.task_id}
    assert (stray.key, outcome.task_id) == ("film", stray.job_task_id)
    assert caplog.text.count("it is paid for, too") == 1


async def test_a_job_that_failed_and_was_run_again_was_not_paid_twice(
    api: Api, receiver: WebhookReceiver, post: Post
) -> None:
    """The first run's webhook comes again while the second one runs."""
    api.simulator.script(TaskRule(nth=1, code="2038"))
    told: list[Event] = []
    async with (
        api.client(webhooks=receiver) as client,
        JobScheduler(client, on_event=told.append) as scheduler,
        post.running(),
    ):
        first = await scheduler.submit(films(1)[0], key="film")
        assert (await first.outcome()).status is OutcomeStatus.FAILED
        again = await scheduler.submit(films(1)[0], key="film", rerun=True)
        assert await post.bring(post.seen[0]) == 200  # while it is queued
        await anyio.sleep(5)
        assert await post.bring(post.seen[0]) == 200  # while it runs
        assert (await again.outcome()).ok
        assert await post.bring(post.seen[0]) == 200
        await anyio.sleep(5)
    assert not [event for event in told if isinstance(event, StrayTask)]
    assert receiver.statistics().foreign == 0


# -- options -----------------------------------------------------------------------------


async def test_holding_needs_a_receiver(api: Api) -> None:
    with pytest.raises(ConfigurationError, match="needs a client with webhooks="):
        api.client(submit_policy=SubmitPolicy(hold_for_webhook=1))


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), timedelta(seconds=-1), "60"])
async def test_a_time_to_hold_is_a_time(seconds: float) -> None:
    with pytest.raises(ConfigurationError, match="hold_for_webhook must be seconds"):
        SubmitPolicy(hold_for_webhook=seconds)


async def test_what_is_no_receiver_is_refused(api: Api) -> None:
    with pytest.raises(ConfigurationError, match="webhooks is a WebhookReceiver, not str"):
        api.client(webhooks=PUBLIC_URL)


async def test_a_closed_clients_addresses_are_nobodys(
    api: Api, receiver: WebhookReceiver, post: Post
) -> None:
    async with api.client(webhooks=receiver) as client, post.running():
        await client.generate(cats(1)[0])
    assert await post.bring(post.seen[0]) == 404


async def test_one_receiver_serves_several_clients(
    api: Api, receiver: WebhookReceiver, post: Post
) -> None:
    async with (
        api.client(webhooks=receiver) as one,
        api.client(webhooks=receiver, api_key="another-key-of-another-account") as two,
        post.running(),
        anyio.create_task_group() as group,
    ):
        group.start_soon(one.run_batch, cats(3))
        group.start_soon(two.run_batch, films(3))
    assert post.statuses == [200] * 6


async def test_with_options_shares_the_receiver(
    api: Api, receiver: WebhookReceiver, post: Post
) -> None:
    async with api.client(webhooks=receiver) as client, post.running():
        await client.with_options(timeout=5).generate(cats(1)[0])
        other: AsyncKinovi = client.with_options(api_key="another-key-of-another-account")
        async with other:
            await other.generate(cats(1)[0])
    assert post.statuses == [200, 200]


# -- a ledger ----------------------------------------------------------------------------


async def test_addresses_outlive_the_process(
    api: Api, receiver: WebhookReceiver, post: Post, path: Path
) -> None:
    """Kill -9 between the submission and its answer: the next process is told by the webhook."""
    api.simulator.slow_seconds = 3600.0
    api.simulator.script(SubmitRule(answer="slow"))
    async with process(api, path, webhooks=receiver) as member:
        with member.scope:
            async with anyio.create_task_group() as group:
                group.start_soon(_submit, member.client)
                await anyio.sleep(5)
                member.kill()
    fresh = WebhookReceiver(public_url=PUBLIC_URL)
    post.app = fresh
    async with (
        process(api, path, webhooks=fresh) as member,
        JobScheduler(member.client) as scheduler,
    ):
        row = await member.ledger.get("film")
        assert row is not None
        assert row.status is OutcomeStatus.AMBIGUOUS
        async with post.running():
            await anyio.sleep(400)
        job = await scheduler.get("film")
        assert job is not None
        outcome = await job.outcome()
    assert post.statuses == [200]
    assert outcome.ok
    assert len(api.simulator.books.accepted) == 1


async def _submit(client: AsyncKinovi) -> None:
    with suppress(KinoviError):
        await client.generate(films(1)[0], key="film")


async def test_a_webhook_that_comes_between_two_processes_is_kept_for_the_next(
    api: Api, receiver: WebhookReceiver, post: Post, path: Path
) -> None:
    """A client that does nothing yet takes it into the ledger; whoever runs it next acts."""
    api.simulator.script(SubmitRule(answer="lost-answer"))
    async with process(api, path, webhooks=receiver) as member:
        (outcome,) = await member.client.run_batch([("film", films(1)[0])])
        assert outcome.status is OutcomeStatus.AMBIGUOUS
    idle = WebhookReceiver(public_url=PUBLIC_URL)
    post.app = idle
    async with process(api, path, webhooks=idle) as member, post.running():
        await anyio.sleep(400)
        assert post.statuses == [200]
        row = await member.ledger.get("film")
        assert row is not None
        assert row.status is OutcomeStatus.AMBIGUOUS
    async with process(api, path) as member, JobScheduler(member.client) as scheduler:
        await anyio.sleep(20)
        job = await scheduler.get("film")
        assert job is not None
        assert (await job.outcome()).ok


async def test_a_member_hands_a_webhook_on_to_the_runner_within_a_second(
    api: Api, path: Path
) -> None:
    runners, members = (WebhookReceiver(public_url=PUBLIC_URL) for _ in range(2))
    use(api)
    post = Post(api.simulator, members)
    async with (
        process(api, path, webhooks=runners) as runner,
        JobScheduler(runner.client) as scheduler,
        process(api, path, webhooks=members) as member,
        JobScheduler(member.client) as other,
        post.running(),
    ):
        jobs = [await scheduler.submit(cat) for cat in cats(3)]
        jobs += [await other.submit(NanoBanana2(prompt="a member's"))]
        assert (runner.runs, member.runs) == (True, False)
        outcomes = [await job.outcome() for job in jobs]
    assert all(outcome.ok for outcome in outcomes)
    assert members.statistics().handed_on == 4
    assert runners.statistics().handed_on == 0
    books = api.simulator.books
    late = [task.seen_at - task.ends_at for task in books.accepted]  # type: ignore[operator]
    assert max(late) < 1.0
    assert books.polls == 4


async def test_a_member_resolves_what_the_runner_holds(api: Api, post: Post, path: Path) -> None:
    runners, members = (WebhookReceiver(public_url=PUBLIC_URL) for _ in range(2))
    post.app = members
    api.simulator.script(SubmitRule(answer="lost-answer"))
    policy = SubmitPolicy(hold_for_webhook=600)
    async with (
        process(api, path, webhooks=runners, submit_policy=policy) as runner,
        JobScheduler(runner.client) as scheduler,
        process(api, path, webhooks=members) as member,
        JobScheduler(member.client),
        post.running(),
    ):
        job = await scheduler.submit(films(1)[0])
        assert (await job.outcome()).ok
    assert len(api.simulator.books.accepted) == 1


@pytest.mark.parametrize("secret", [None, "a secret of its own, of course"])
async def test_a_runner_without_a_receiver_signs_for_the_member_that_has_one(
    api: Api, post: Post, path: Path, secret: str | None
) -> None:
    receiver = post.app = WebhookReceiver(public_url=PUBLIC_URL, secret=secret)
    async with (
        process(api, path) as runner,
        JobScheduler(runner.client),
        process(api, path, webhooks=receiver) as member,
        JobScheduler(member.client) as scheduler,
        post.running(),
    ):
        await anyio.sleep(6)  # until it has looked
        assert (runner.runs, member.runs) == (True, False)
        job = await scheduler.submit(films(1)[0])
        assert (await job.outcome()).ok
    assert post.statuses == [200]
    assert api.simulator.books.polls <= 8


async def test_a_secret_of_ones_own_is_not_in_the_ledger_and_outlives_a_rotation(
    api: Api, post: Post, path: Path
) -> None:
    old, new = "the old secret, long enough", "the new secret, long enough"
    post.app = WebhookReceiver(public_url=PUBLIC_URL, secret=old)
    api.simulator.script(SubmitRule(answer="lost-answer"))
    async with process(api, path, webhooks=post.app) as member:
        await member.client.run_batch([("film", films(1)[0])])
        assert old.encode() not in path.read_bytes()  # noqa: ASYNC240 - a small file
        known = await member.ledger.recall("webhooks")
        assert isinstance(known, dict)
        assert set(known) == {"run"}
    post.app = WebhookReceiver(public_url=PUBLIC_URL, secret=[new, old])
    async with (
        process(api, path, webhooks=post.app) as member,
        JobScheduler(member.client) as scheduler,
        post.running(),
    ):
        await scheduler.submit(films(2)[1])
        await anyio.sleep(400)
        job = await scheduler.get("film")
        assert job is not None
        assert (await job.outcome()).ok
    assert post.statuses == [200, 200]


async def test_an_unknown_job_of_ours_is_a_200_without_consequence(
    api: Api, receiver: WebhookReceiver, path: Path
) -> None:
    """Catalogue 78: its ledger forgot it; a sender need not come again."""
    for ledger in (None, InlineLedger(path)):
        async with api.client(webhooks=receiver, ledger=ledger) as client:
            await client.generate(cats(1)[0])
            polls = api.simulator.books.polls
            mailbox = client._shared.book.mailbox
            assert mailbox is not None
            assert mailbox._signer is not None
            signed = f"/{mailbox._signer.path('nobody', 1)}"
            assert (await call(receiver, signed, b'{"taskId": "t1"}')).status == 200
            await anyio.sleep(60)
            assert api.simulator.books.polls == polls
            assert not mailbox.notes
        if ledger is not None:
            await ledger.aclose()


async def test_hints_of_jobs_that_ended_are_not_read_again(
    api: Api, receiver: WebhookReceiver, post: Post, path: Path
) -> None:
    async with process(api, path, webhooks=receiver) as member, post.running():
        async with JobScheduler(member.client) as scheduler:
            await scheduler.submit(films(1)[0])
        assert await member.ledger.hints() == []


async def test_a_ledger_that_cannot_be_written_is_a_503(
    api: Api, receiver: WebhookReceiver, path: Path
) -> None:
    """Catalogue 81: nothing is promised that was not written."""

    class Broken(InlineLedger):
        async def hint(self, key: str, attempt: int, task_id: str) -> None:
            raise LedgerError("disk full")

    ledger = Broken(path)
    api.simulator.script(SubmitRule(answer="lost-answer"))
    async with api.client(ledger=ledger, webhooks=receiver) as client:
        await client.run_batch(films(1))
        (task,) = api.simulator._state._accepted
        body = f'{{"taskId": "{task.id}"}}'.encode()
        answer = await call(receiver, path_of(task.request.callback_url or ""), body)
        assert answer.status == 503
        assert answer.headers[b"retry-after"] == b"5"
    await ledger.aclose()


async def test_a_ledger_that_takes_its_time_is_answered_for_in_five_seconds(
    api: Api, receiver: WebhookReceiver, path: Path
) -> None:
    class Slow(InlineLedger):
        async def hint(self, key: str, attempt: int, task_id: str) -> None:
            with anyio.CancelScope(shield=True):  # as a call that has begun
                await anyio.sleep(30)
            await super().hint(key, attempt, task_id)

    ledger = Slow(path)
    answered: list[float] = []

    api.simulator.script(SubmitRule(answer="lost-answer"))
    async with api.client(ledger=ledger, webhooks=receiver) as client:
        await client.run_batch([("film", films(1)[0])])
        (task,) = api.simulator._state._accepted
        began = anyio.current_time()

        async def send(message: object) -> None:
            answered.append(anyio.current_time() - began)

        async def receive() -> dict[str, object]:
            body = f'{{"taskId": "{task.id}"}}'.encode()
            return {"type": "http.request", "body": body}

        path_ = path_of(task.request.callback_url or "")
        scope: dict[str, object]
        scope = {"type": "http", "method": "POST", "path": path_, "headers": []}
        await receiver(scope, receive, send)
        assert 5.0 <= answered[0] < 5.1
        assert receiver.statistics().failed == 1
        assert len(await ledger.hints()) == 1  # what was begun is finished all the same
    await ledger.aclose()
