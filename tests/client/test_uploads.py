"""Local files: uploaded just before the submission, each content once, without the key."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from kinovi_async import (
    AsyncKinovi,
    AuthenticationError,
    Image,
    InvalidRequestError,
    JobCancelledError,
    JobScheduler,
    NanoBanana2,
    OmniReference,
    Outcome,
    OutcomeStatus,
    Upload,
    UploadError,
    Video,
)
from kinovi_async.simulator import Faults, Simulator
from tests.client.conftest import Api
from tests.media_files import HTML, MP4, png, write

pytestmark = pytest.mark.anyio

Handler = Callable[[httpx.Request], Awaitable[httpx.Response]]


class Wire(httpx.AsyncBaseTransport):
    """The simulator, with everything that went over the wire, and a step before each call."""

    def __init__(self, simulator: Simulator) -> None:
        self._inner = httpx.ASGITransport(simulator.app)
        self.requests: list[httpx.Request] = []
        self.before: Callable[[httpx.Request], Awaitable[None]] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.before is not None:
            await self.before(request)
        return await self._inner.handle_async_request(request)

    def of(self, method: str, part: str = "") -> list[httpx.Request]:
        return [r for r in self.requests if r.method == method and part in r.url.path]


@pytest.fixture
def wire(api: Api) -> Wire:
    return Wire(api.simulator)


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    return write(tmp_path / "My secret cat.png", png())


def over(api: Api, wire: Wire, **options: Any) -> AsyncKinovi:
    return api.client(http_client=httpx.AsyncClient(transport=wire), **options)


def sent_urls(api: Api) -> Iterator[Any]:
    for task in api.simulator.books.accepted:
        inputs: Any = task.body["inputs"]
        yield inputs.get("imageUrls") or inputs.get("urls")


async def test_upload_answers_the_address_where_the_file_is(
    api: Api, client: AsyncKinovi, cat: Path
) -> None:
    upload = await client.upload(cat)
    answer = await api.http.get(upload.url)
    assert answer.content == png()
    assert answer.headers["content-type"] == upload.media_type == "image/png"
    assert upload.size == len(answer.content)
    left = (upload.expires_at - datetime.now(UTC)).total_seconds()
    assert 86_000 < left <= 86_400


async def test_the_put_carries_neither_the_key_nor_the_files_name(
    api: Api, wire: Wire, cat: Path
) -> None:
    async with over(api, wire, default_headers={"X-Team": "alpha"}) as client:
        await client.upload(cat)
    (put,) = wire.of("PUT")
    (post,) = wire.of("POST")
    assert "authorization" in post.headers
    assert "authorization" not in put.headers
    assert "x-team" not in put.headers
    assert put.headers["content-length"] == str(len(png()))
    assert put.headers["content-type"] == "image/png"
    assert "transfer-encoding" not in put.headers
    assert b"secret" not in await post.aread()
    assert "secret" not in str(put.url)
    assert api.simulator.books.keys_leaked == 0


async def test_progress_counts_the_bytes_of_a_large_file(
    api: Api, client: AsyncKinovi, tmp_path: Path
) -> None:
    path = write(tmp_path / "large.png", png(size=300_000))
    told: list[tuple[int, int]] = []
    await client.upload(path, on_progress=lambda done, size: told.append((done, size)))
    size = path.stat().st_size
    assert told[-1] == (size, size)
    assert len(told) > 3
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert api.simulator.books.uploads == 1


async def test_what_the_callback_raises_ends_the_upload_and_comes_out(
    api: Api, client: AsyncKinovi, cat: Path
) -> None:
    def refuse(done: int, size: int) -> None:
        raise LookupError(f"{done} of {size}")

    with pytest.raises(LookupError, match=f"{len(png())} of {len(png())}"):
        await client.upload(cat, on_progress=refuse)
    assert api.simulator.books.uploads == 0


async def test_the_same_content_is_uploaded_once_whatever_it_is_called(
    api: Api, client: AsyncKinovi, cat: Path, tmp_path: Path
) -> None:
    copy = write(tmp_path / "copy.png", png())
    with cat.open("rb") as stream:
        uploads = [
            await client.upload(cat),
            await client.upload(str(copy)),
            await client.upload(stream),
            await client.upload(io.BytesIO(png())),
        ]
    assert len(set(uploads)) == 1
    assert api.simulator.books.uploads == 1


async def test_uploads_at_the_same_time_share_one_put(
    api: Api, client: AsyncKinovi, cat: Path
) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(client.upload, cat)
    assert api.simulator.books.uploads == 1


async def test_generate_takes_a_path_and_submits_its_address(
    api: Api, client: AsyncKinovi, cat: Path
) -> None:
    record = await client.generate(NanoBanana2(prompt="a cat", image_urls=[cat]))
    assert record.outputs
    ((url,),) = sent_urls(api)
    assert (await api.http.get(url)).content == png()


async def test_an_upload_is_taken_wherever_a_reference_is(
    api: Api, client: AsyncKinovi, cat: Path
) -> None:
    upload = await client.upload(cat)
    await client.generate(NanoBanana2(prompt="a cat", image_urls=[upload]))
    await client.generate(OmniReference(prompt="@image1 runs", urls=[upload]))
    assert list(sent_urls(api)) == [[upload.url], [upload.url]]


async def test_mixed_references_go_out_by_kind(api: Api, cat: Path, tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.mp4", MP4)
    async with api.client(api_generation="2026-09") as client:
        await client.generate(
            OmniReference(prompt="@video1 like @image1", urls=[Video(clip), Image(cat)])
        )
    (task,) = api.simulator.books.accepted
    inputs: Any = task.body["inputs"]
    assert inputs["imageUrls"][0].endswith(".png")
    assert inputs["videoUrls"][0].endswith(".mp4")


async def test_create_task_uploads_as_well(api: Api, client: AsyncKinovi, cat: Path) -> None:
    await client.create_task(NanoBanana2(prompt="a cat", image_urls=[cat]))
    ((url,),) = sent_urls(api)
    assert url.startswith("http://localhost/temp-uploads/")


async def test_a_batch_uploads_each_file_once(
    api: Api, client: AsyncKinovi, tmp_path: Path
) -> None:
    paths = [write(tmp_path / f"{n}.png", png(n)) for n in range(3)]
    requests = [NanoBanana2(prompt=f"p{n}", image_urls=[paths[n % 3]]) for n in range(9)]
    outcomes = await client.run_batch(requests)
    assert {outcome.status for outcome in outcomes} == {OutcomeStatus.SUCCEEDED}
    assert api.simulator.books.uploads == 3


async def test_a_ledger_remembers_uploads_for_the_next_client(
    api: Api, cat: Path, tmp_path: Path
) -> None:
    for number in range(2):
        async with api.client(ledger=tmp_path / "jobs.sqlite3") as client:
            await client.generate(NanoBanana2(prompt=f"cat {number}", image_urls=[cat]))
    assert api.simulator.books.uploads == 1
    assert len(api.simulator.books.accepted) == 2


class LaterClient(AsyncKinovi):
    """A client whose clock can be put forward."""

    ahead = 0.0

    def _wall(self) -> float:
        return super()._wall() + self.ahead


async def test_an_upload_near_the_end_of_its_day_is_made_again(api: Api, cat: Path) -> None:
    async with LaterClient(
        api_key="k", base_url="http://localhost/api/v1", http_client=api.http
    ) as client:
        await client.upload(cat)
        client.ahead = 22 * 3600.0
        await client.upload(cat)
        assert api.simulator.books.uploads == 1
        client.ahead = 23.5 * 3600.0
        await client.upload(cat)
    assert api.simulator.books.uploads == 2


async def test_a_file_that_changed_since_it_was_checked_is_rejected_and_nothing_sent(
    api: Api, wire: Wire, cat: Path
) -> None:
    request = NanoBanana2(prompt="a cat", image_urls=[cat])
    write(cat, png(7))
    async with over(api, wire) as client:
        with pytest.raises(InvalidRequestError, match="changed") as info:
            await client.generate(request)
    assert info.value.problems[0].field == "inputs.imageUrls"
    assert wire.requests == []


async def test_a_file_that_changes_while_it_is_sent_never_arrives(
    api: Api, wire: Wire, tmp_path: Path
) -> None:
    path = write(tmp_path / "large.png", png(size=300_000))

    async def edit(request: httpx.Request) -> None:
        await anyio.lowlevel.checkpoint()
        if request.method == "POST" and request.url.path.endswith("/uploads"):
            write(path, png(size=300_001))

    wire.before = edit
    async with over(api, wire) as client:
        with pytest.raises(InvalidRequestError, match="changed"):
            await client.generate(NanoBanana2(prompt="a cat", image_urls=[path]))
    assert api.simulator.books.uploads == 0
    assert api.simulator.books.submissions == 0


async def test_a_missing_file_is_found_before_anything_is_sent(
    api: Api, client: AsyncKinovi, tmp_path: Path
) -> None:
    body = {
        "model": "nanobanana2",
        "inputs": {"prompt": "a cat", "imageUrls": [tmp_path / "none.png"]},
    }
    with pytest.raises(InvalidRequestError, match="no such file") as info:
        await client.generate(body)
    (problem,) = info.value.problems
    assert problem.field == "inputs.imageUrls[0]"
    assert "JPEG, PNG or WebP" in problem.allowed
    with pytest.raises(InvalidRequestError, match="no such file"):
        await client.upload(tmp_path / "none.png")
    assert api.simulator.books.submissions == 0


async def test_a_page_that_calls_itself_a_picture_is_refused(
    client: AsyncKinovi, tmp_path: Path
) -> None:
    page = write(tmp_path / "cat.png", HTML)
    with pytest.raises(InvalidRequestError, match="of no known type"):
        await client.upload(page)


@pytest.mark.parametrize("fault", ["upload_error", "upload_refused"])
async def test_a_failed_put_is_repeated_and_then_the_job_rejected(
    api: Api, cat: Path, fault: str
) -> None:
    broken = Simulator(clock=anyio.current_time, faults=Faults(**{fault: 1.0}))
    http = httpx.AsyncClient(transport=httpx.ASGITransport(broken.app))
    async with http, api.client(http_client=http, max_retries=1) as client:
        (outcome,) = await client.run_batch([NanoBanana2(prompt="a cat", image_urls=[cat])])
    assert outcome.status is OutcomeStatus.REJECTED
    assert isinstance(outcome.error, UploadError)
    assert "PUT localhost" in outcome.error.message
    assert "signature" not in outcome.error.message
    assert outcome.attempts == ()
    assert broken.books.submissions == 0
    assert sum(broken.books.faults.values()) == 10  # five rounds, each with one repeat


async def test_a_put_that_fails_now_and_then_comes_through(api: Api, tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}.png", png(n)) for n in range(12)]
    shaky = Simulator(
        clock=anyio.current_time, seed=3, faults=Faults(upload_error=0.3, upload_refused=0.2)
    )
    http = httpx.AsyncClient(transport=httpx.ASGITransport(shaky.app))
    async with http, api.client(http_client=http) as client:
        outcomes = await client.run_batch(
            [NanoBanana2(prompt=p.name, image_urls=[p]) for p in paths]
        )
    assert {outcome.status for outcome in outcomes} == {OutcomeStatus.SUCCEEDED}
    assert shaky.books.uploads == 12
    assert sum(shaky.books.faults.values()) > 3


async def test_a_refused_key_stops_everything_as_a_submission_would(cat: Path, api: Api) -> None:
    strict = Simulator(clock=anyio.current_time, keys=["another"])
    http = httpx.AsyncClient(transport=httpx.ASGITransport(strict.app))
    async with http, api.client(http_client=http) as client:
        requests = [NanoBanana2(prompt=str(n), image_urls=[cat]) for n in range(3)]
        outcomes = await client.run_batch(requests)
    assert {outcome.status for outcome in outcomes} == {OutcomeStatus.CANCELLED}
    assert all(isinstance(outcome.error, AuthenticationError) for outcome in outcomes)


class Stuck:
    """Holds a PUT until the test lets it go."""

    def __init__(self) -> None:
        self.reached = anyio.Event()

    async def __call__(self, request: httpx.Request) -> None:
        if request.method == "PUT":
            self.reached.set()
            await anyio.sleep_forever()
        await anyio.lowlevel.checkpoint()


async def test_cancelling_a_job_while_it_uploads_sends_nothing(
    api: Api, wire: Wire, cat: Path
) -> None:
    wire.before = stuck = Stuck()
    async with over(api, wire, timeout=None) as client, JobScheduler(client) as scheduler:
        job = await scheduler.submit(NanoBanana2(prompt="a cat", image_urls=[cat]))
        await stuck.reached.wait()
        assert await job.cancel()
        outcome: Outcome = await job.outcome()
        assert outcome.status is OutcomeStatus.CANCELLED
        assert isinstance(outcome.error, JobCancelledError)
        wire.before = None
        other = await scheduler.submit(NanoBanana2(prompt="no cat"))
        assert (await other.outcome()).status is OutcomeStatus.SUCCEEDED
    assert [task.prompt for task in api.simulator.books.accepted] == ["no cat"]


async def test_cancelling_generate_while_it_uploads_sends_nothing(
    api: Api, wire: Wire, cat: Path
) -> None:
    wire.before = stuck = Stuck()
    async with over(api, wire, timeout=None) as client, anyio.create_task_group() as group:
        group.start_soon(client.generate, NanoBanana2(prompt="a cat", image_urls=[cat]))
        await stuck.reached.wait()
        began = anyio.current_time()
        group.cancel_scope.cancel()
    assert anyio.current_time() - began < 5
    assert wire.of("POST", "createTask") == []


async def test_a_job_left_while_it_uploads_is_sent_by_the_next_process(
    api: Api, wire: Wire, cat: Path, tmp_path: Path
) -> None:
    ledger = tmp_path / "jobs.sqlite3"
    wire.before = stuck = Stuck()
    async with over(api, wire, timeout=None) as client:
        with anyio.CancelScope() as scope:
            async with JobScheduler(client, ledger=ledger) as scheduler:
                await scheduler.submit(NanoBanana2(prompt="a cat", image_urls=[cat]), key="cat")
                await stuck.reached.wait()
                scope.cancel()
    async with api.client() as client, JobScheduler(client, ledger=ledger) as scheduler:
        job = await scheduler.get("cat")
        assert job is not None
        assert (await job.outcome()).status is OutcomeStatus.SUCCEEDED
    ((url,),) = sent_urls(api)
    assert url.endswith(".png")


async def test_an_open_file_without_a_name_lives_in_memory(api: Api, client: AsyncKinovi) -> None:
    await client.generate(NanoBanana2(prompt="a cat", image_urls=[io.BytesIO(png(9))]))
    ((url,),) = sent_urls(api)
    assert (await api.http.get(url)).content == png(9)


async def test_an_upload_that_is_gone_fails_the_task_as_the_api_says(
    api: Api, client: AsyncKinovi, cat: Path
) -> None:
    upload = await client.upload(cat)
    lost = Upload(upload.url + "x", upload.expires_at, upload.size, upload.media_type)
    (outcome,) = await client.run_batch([NanoBanana2(prompt="a cat", image_urls=[lost])])
    assert outcome.status is OutcomeStatus.FAILED
