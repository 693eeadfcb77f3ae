"""The single calls of the client."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from decimal import Decimal

import anyio
import pytest

import kinovi_async
from kinovi_async import (
    AsyncKinovi,
    AuthenticationError,
    BadRequestError,
    ConcurrencyLimitError,
    ConfigurationError,
    InsufficientCreditsError,
    InvalidRequestError,
    KinoviError,
    NanoBanana2,
    NotFoundError,
    PermissionDeniedError,
    ServerError,
    TaskStatus,
    TextToVideo,
    WaitTimeoutError,
)
from kinovi_async.simulator import DEMO_KEY, AccountSettings, Simulator, SubmitRule

from .conftest import KEY, Api

CAT = NanoBanana2(prompt="a red cat")


async def test_a_task_is_created_looked_at_and_waited_for(client: AsyncKinovi) -> None:
    task_id = await client.create_task(CAT)
    record = await client.get_task(task_id)
    assert record.task_id == task_id
    assert not record.is_terminal
    record = await client.wait(task_id)
    assert record.status is TaskStatus.SUCCESS
    assert len(record.urls) == 1
    assert record.credits_used == Decimal(15)


async def test_a_mapping_in_the_apis_own_form_is_taken(client: AsyncKinovi, api: Api) -> None:
    body = {"model": "seedance-20", "inputs": {"prompt": "a wave", "duration": "5"}}
    await client.create_task(body)
    assert api.simulator.books.accepted[0].body == body


async def test_an_invalid_request_is_refused_before_anything_is_sent(
    client: AsyncKinovi, api: Api
) -> None:
    with pytest.raises(InvalidRequestError, match=r"inputs\.duration") as caught:
        await client.create_task(
            {"model": "seedance-20", "inputs": {"prompt": "x", "duration": 16}}
        )
    assert caught.value.problems[0].field == "inputs.duration"
    with pytest.raises(InvalidRequestError, match="callBackUrl"):
        await client.create_task(CAT, callback_url="not a url")
    assert api.simulator.books.submissions == 0


async def test_a_full_account_refuses_create_task_at_once(client: AsyncKinovi) -> None:
    for _ in range(3):
        await client.create_task(CAT)
    with pytest.raises(ConcurrencyLimitError) as caught:
        await client.create_task(CAT)
    assert (caught.value.limit, caught.value.current) == (3, 3)


async def test_wait_times_out_and_keeps_the_task_id(client: AsyncKinovi) -> None:
    task_id = await client.create_task(TextToVideo(prompt="a wave"))
    with pytest.raises(WaitTimeoutError, match="after 9 s") as caught:
        await client.wait(task_id, max_wait=9)
    assert caught.value.task_id == task_id
    assert anyio.current_time() == pytest.approx(9, abs=0.5)


async def test_an_unknown_task_is_not_waited_for(client: AsyncKinovi) -> None:
    with pytest.raises(NotFoundError) as caught:
        await client.wait("task_nonsense")
    assert caught.value.task_id == "task_nonsense"


async def test_the_documented_500_is_sent_again_and_then_told(
    client: AsyncKinovi, api: Api
) -> None:
    api.simulator.script(SubmitRule(answer="error-500", times=2))
    assert await client.create_task(CAT)
    api.simulator.script(SubmitRule(answer="error-500", times=3))
    with pytest.raises(ServerError):
        await client.create_task(CAT)
    assert api.simulator.books.accepted_per_prompt() == {"a red cat": 1}


async def test_statuses_become_errors() -> None:
    api = Api()
    api.simulator = Simulator(
        keys={"good": AccountSettings(credits=Decimal(10))}, clock=anyio.current_time
    )
    import httpx

    async with httpx.AsyncClient(transport=httpx.ASGITransport(api.simulator.app)) as http:
        api.http = http
        with pytest.raises(AuthenticationError, match="Invalid API Key"):
            await api.client(api_key="wrong").create_task(CAT)
        with pytest.raises(InsufficientCreditsError) as caught:
            await api.client(api_key="good").create_task(CAT)
        assert (caught.value.required, caught.value.available) == (Decimal(15), Decimal(10))
        with pytest.raises(PermissionDeniedError):
            await api.client(api_key=DEMO_KEY).create_task(CAT)
        with pytest.raises((BadRequestError, NotFoundError)):
            await api.client(api_key="good").get_task("../x")


async def test_a_demo_task_can_be_read_with_the_demo_key(api: Api) -> None:
    record = await api.client(api_key=DEMO_KEY).get_task("demo_task_fail_face_detected")
    assert record.status is TaskStatus.FAIL
    assert record.error is not None


@pytest.mark.parametrize(
    "options",
    [
        {"base_url": "http://kinovi.ai/api/v1"},
        {"base_url": "ftp://localhost"},
        {"max_retries": -1},
        {"max_in_flight": 0},
        {"poll_interval": (5, 3)},
        {"poll_interval": (0, 3)},
        {"poll_interval": 3},
        {"api_key": "sk with space"},
        {"api_key": ""},
    ],
)
def test_a_wrong_option_is_refused_at_construction(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        AsyncKinovi(**{"api_key": KEY, **options})  # type: ignore[arg-type]
    assert "CANARY" not in str(caught.value)


def test_an_argument_too_many_is_told_of_the_class_that_was_called() -> None:
    make: Callable[..., AsyncKinovi] = AsyncKinovi
    for arguments, options in ((("k",), {}), ((), {"apikey": "k"})):
        with pytest.raises(TypeError, match=r"^AsyncKinovi\.__init__\(\)"):
            make(*arguments, **options)


def test_a_missing_key_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KINOVI_API_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="KINOVI_API_KEY"):
        AsyncKinovi()
    monkeypatch.setenv("KINOVI_API_KEY", KEY)
    monkeypatch.setenv("KINOVI_BASE_URL", "http://localhost:1/api/v1")
    assert repr(AsyncKinovi()) == "<AsyncKinovi http://localhost:1/api/v1 open>"


async def test_the_key_is_in_nothing_a_client_shows(client: AsyncKinovi) -> None:
    assert "CANARY" not in repr(client)
    assert "CANARY" not in repr(vars(client))
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(client)


async def test_a_closed_client_refuses_and_closing_twice_is_harmless(api: Api) -> None:
    client = api.client()
    async with client:
        assert repr(client).endswith("open>")
    await client.close()
    assert client.is_closed
    assert repr(client).endswith("closed>")
    with pytest.raises(ConfigurationError, match="closed"):
        await client.get_task("x")
    assert not api.http.is_closed


async def test_options_share_the_slots_and_another_key_does_not(api: Api) -> None:
    async with api.client() as client:
        view = client.with_options(timeout=5.0, max_retries=0)
        await view.generate(CAT)
        async with view:
            pass
        assert not client.is_closed
        other = client.with_options(api_key="another")
        assert other._shared is not client._shared
        assert view._shared is client._shared
        await other.aclose()
        assert not client.is_closed
    assert view.is_closed


def test_another_event_loop_is_refused() -> None:
    client = AsyncKinovi(api_key=KEY, base_url="http://localhost:1/api/v1", max_retries=0)

    async def use() -> None:
        with pytest.raises(KinoviError):
            await client.get_task("x")

    async def use_elsewhere() -> None:
        with pytest.raises(ConfigurationError, match="another event loop"):
            await client.get_task("x")

    anyio.run(use)
    anyio.run(use_elsewhere)


def test_the_version_is_told() -> None:
    assert kinovi_async.__version__.count(".") == 2


async def test_kinovi_log_shows_what_happens_but_never_the_key(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KINOVI_LOG", "debug")
    logger = logging.getLogger("kinovi_async")
    try:
        async with api.client() as first, api.client():
            await first.generate(CAT)
        handlers = list(logger.handlers)
    finally:
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    shown = capsys.readouterr().err
    assert len(handlers) == 1
    assert "jobs/createTask" in shown
    assert "CANARY" not in shown
