"""A client speaks one generation of the API; its jobs are the same jobs in the other."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from kinovi_async import (
    AsyncKinovi,
    ConfigurationError,
    Generation,
    GptImage25,
    InvalidRequestError,
    JobScheduler,
    NanoBanana2,
    OmniReference,
    OutcomeStatus,
    Request,
    Seedance25Extend,
    TextToVideo,
    Video,
)
from kinovi_async._requests import ApiGeneration
from kinovi_async.simulator import Simulator
from tests.client.conftest import Api
from tests.client.members import InlineLedger

pytestmark = pytest.mark.anyio

IMAGE = "https://example.com/a.png"
CLIP = "https://example.com/a.mp4"
UNKNOWN = "https://example.com/asset"
LATER: ApiGeneration = "2026-09"


@pytest.fixture
async def later_api(api: Api) -> Api:
    """An API that knows the later names alone."""
    await api.http.aclose()
    api.simulator = Simulator(limit=3, clock=anyio.current_time, api_generation=LATER)
    api.http = httpx.AsyncClient(transport=httpx.ASGITransport(api.simulator.app))
    return api


def sent(api: Api) -> list[Any]:
    return [task.body["inputs"] for task in api.simulator.books.accepted]


REFERENCE = OmniReference(prompt="x", urls=[IMAGE, Video(UNKNOWN)], duration=6)
SEEDS = {"prompt": "x", "urls": [IMAGE, UNKNOWN], "duration": "6", "mode": "reference"}
NOW = {
    "prompt": "x",
    "imageUrls": [IMAGE],
    "videoUrls": [UNKNOWN],
    "duration": 6,
    "mode": "reference",
}


async def test_the_same_request_goes_out_in_the_names_of_the_clients_generation(
    api: Api, later_api: Api
) -> None:
    async with later_api.client(api_generation=LATER) as client:
        record = await client.generate(REFERENCE)
        assert record.credits_used == 6 * 48
        await client.create_task(REFERENCE)
        (outcome,) = await client.run_batch([{"model": "seedance-20", "inputs": NOW}])
        assert outcome.ok
        async with JobScheduler(client) as scheduler:
            assert (await (await scheduler.submit(REFERENCE)).outcome()).ok
    assert sent(later_api) == [NOW] * 4


async def test_the_default_follows_the_seeds(api: Api, client: AsyncKinovi) -> None:
    record = await client.generate(REFERENCE)
    assert record.credits_used == 6 * 40
    assert sent(api) == [SEEDS]


def test_an_unknown_generation_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="seed or 2026-09"):
        AsyncKinovi(api_key="x", api_generation="2027")  # type: ignore[arg-type] # what is tested


@pytest.mark.parametrize(
    "refused",
    [
        NanoBanana2(prompt="x", negative_prompt="y"),
        {"model": "nanobanana2", "inputs": {"prompt": "x", "negativePrompt": "y"}},
        OmniReference(prompt="x", urls=[UNKNOWN]),
    ],
)
async def test_what_the_generation_lacks_is_an_error_before_anything_is_sent(
    later_api: Api, refused: Request | dict[str, object]
) -> None:
    async with later_api.client(api_generation=LATER) as client:
        for call in (client.generate, client.create_task):
            with pytest.raises(InvalidRequestError, match="API generation 2026-09"):
                await call(refused)
        outcomes = await client.run_batch([refused, NanoBanana2(prompt="y")])
        async with JobScheduler(client) as scheduler:
            with pytest.raises(InvalidRequestError, match="2026-09"):
                await scheduler.submit(refused)
    assert [each.status for each in outcomes] == [
        OutcomeStatus.REJECTED,
        OutcomeStatus.SUCCEEDED,
    ]
    assert sent(later_api) == [{"prompt": "y"}]


async def test_a_key_names_the_same_job_in_the_other_generation(api: Api, tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite3"
    async with api.client(ledger=path) as client:
        first = await client.generate(REFERENCE, key="one")
    async with api.client(ledger=path, api_generation=LATER) as client:
        again = await client.generate(REFERENCE, key="one")
        assert again.task_id == first.task_id
        new = await client.generate({"model": "seedance-20", "inputs": NOW}, key="one")
        assert new.task_id == first.task_id
    assert sent(api) == [SEEDS]


async def enter_unsent(api: Api, path: Path, request: Request, **options: Any) -> None:
    """Leaves a job in a ledger that was never submitted."""
    api.simulator.set_limit(0)
    ledger = InlineLedger(path)
    async with api.client(ledger=ledger, **options) as client:
        with anyio.move_on_after(5):
            async with JobScheduler(client) as scheduler:
                await scheduler.submit(request, key="one")
                await anyio.sleep_forever()
    await ledger.aclose()
    api.simulator.set_limit(3)


async def finish(api: Api, path: Path, **options: Any) -> Any:
    ledger = InlineLedger(path)
    async with api.client(ledger=ledger, **options) as client, JobScheduler(client) as scheduler:
        job = await scheduler.get("one")
        assert job is not None
        outcome = await job.outcome()
    await ledger.aclose()
    return outcome


async def test_an_unsent_job_goes_out_in_the_generation_of_who_sends_it(
    later_api: Api, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.sqlite3"
    request = OmniReference(prompt="x", urls=[IMAGE, Video(UNKNOWN)])
    await enter_unsent(later_api, path, request)
    outcome = await finish(later_api, path, api_generation=LATER)
    assert outcome.credits == 5 * 48
    # The kind of the address that does not show it came through the ledger.
    assert sent(later_api) == [{name: NOW[name] for name in NOW if name != "duration"}]
    assert outcome.request == request


async def test_what_was_entered_for_the_later_generation_never_goes_back_to_old_names(
    later_api: Api, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.sqlite3"
    await enter_unsent(later_api, path, REFERENCE, api_generation=LATER)
    outcome = await finish(later_api, path)
    assert (outcome.ok, sent(later_api)) == (True, [NOW])


async def test_an_unsent_job_that_the_generation_does_not_take_is_rejected(
    later_api: Api, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.sqlite3"
    await enter_unsent(later_api, path, NanoBanana2(prompt="x", negative_prompt="y"))
    outcome = await finish(later_api, path, api_generation=LATER)
    assert outcome.status is OutcomeStatus.REJECTED
    assert "inputs.negativePrompt: not in API generation 2026-09" in str(outcome.error)
    assert sent(later_api) == []


async def test_an_unchecked_generation_is_sent_as_it_is_also_by_the_next_process(
    later_api: Api, tmp_path: Path
) -> None:
    inputs = {"prompt": "x", "duration": 6, "later": {"a": [1]}}
    request = Generation(model="seedance-20", inputs=inputs, check=False)
    path = tmp_path / "jobs.sqlite3"
    await enter_unsent(later_api, path, request)
    assert (await finish(later_api, path)).ok
    assert sent(later_api) == [inputs]


async def test_a_settled_price_is_read_once_more_before_the_books_are_closed(
    later_api: Api,
) -> None:
    requests = [
        Seedance25Extend(prompt="x", video_urls=[CLIP, CLIP], duration=5),
        GptImage25(prompt="x"),
        TextToVideo(prompt="x", duration=4),
    ]
    async with later_api.client(api_generation=LATER) as client:
        outcomes = await client.run_batch(requests)
    assert [each.credits for each in outcomes] == [525, Decimal("1.79"), 160]
    assert sum(each.credits or 0 for each in outcomes) == later_api.simulator.books.spent
    records = [each.record for each in outcomes if each.record is not None]
    assert [record.credits_used for record in records] == [525, Decimal("1.79"), 160]


async def test_a_slot_is_free_while_a_price_settles(later_api: Api) -> None:
    simulator = later_api.simulator
    simulator.set_limit(1)
    async with later_api.client(api_generation=LATER) as client:
        await client.run_batch([GptImage25(prompt="one"), GptImage25(prompt="two")])
    first, second = simulator.books.accepted
    assert first.ends_at is not None
    # Sent after one poll, and not after the ten seconds in which a price settles.
    assert second.accepted_at - first.ends_at < 6


@pytest.mark.parametrize(("budget", "ended"), [(799, "cancelled"), (800, "succeeded")])
async def test_a_budget_counts_the_prices_of_the_generation(
    later_api: Api, budget: int, ended: str
) -> None:
    dear = TextToVideo(prompt="x", duration=4, output_resolution="4k")
    async with later_api.client(api_generation=LATER) as client:
        (outcome,) = await client.run_batch([dear], budget=budget)
    assert outcome.status == ended
    assert later_api.simulator.books.spent == (800 if ended == "succeeded" else 0)
