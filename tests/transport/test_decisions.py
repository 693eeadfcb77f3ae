"""The pure decisions: base URLs, proxies, headers, repeats, idle connections, limits."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from kinovi_async._errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    InvalidResponseError,
    KinoviError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
)
from kinovi_async._transport import check_base_url
from kinovi_async._transport._addresses import proxy_for
from kinovi_async._transport._exchange import timeouts_from
from kinovi_async._transport._free_list import FreeList
from kinovi_async._transport._headers import api_headers, check_headers, download_headers
from kinovi_async._transport._retry import RetryPlan, RetryQuota, is_retryable


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("https://kinovi.ai/api/v1", "https://kinovi.ai/api/v1"),
        ("https://kinovi.ai/api/v1///", "https://kinovi.ai/api/v1"),
        ("HTTPS://Kinovi.AI:443/api", "https://kinovi.ai/api"),
        ("https://kinovi.ai:8443", "https://kinovi.ai:8443"),
        ("http://localhost:8000/", "http://localhost:8000"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://127.8.9.10", "http://127.8.9.10"),
        ("http://[::1]:8000/x", "http://[::1]:8000/x"),
    ],
)
def test_base_urls(given: str, expected: str) -> None:
    assert check_base_url(given) == expected


@pytest.mark.parametrize(
    "given",
    [
        "", "kinovi.ai/api", "ftp://kinovi.ai", "file:///etc/passwd", "https://", "https:///x",
        "http://kinovi.ai", "http://localhost.evil.com", "http://127.0.0.1.evil.com",
        "http://128.0.0.1", "http://0.0.0.0", "http://[::2]", "http://127.1", "http://localhost.",
        "https://user:pa55word@kinovi.ai", "https://user@kinovi.ai", "http://localhost\\@evil.com",
        "https://kinovi.ai/?x=1", "https://kinovi.ai/#x", "https://kinovi.ai?", "https://kinovi.ai#",
        "https://kin ovi.ai", "https://kinovi.ai\n", "https://kinovi.ai:port", "https://[::1",
        "https://kinovi.ai:99999", None, b"https://kinovi.ai",
    ],
)  # fmt: skip
def test_base_urls_the_key_is_not_sent_to(given: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_base_url(given)
    assert "pa55word" not in str(caught.value)


PROXY, OTHER = "http://proxy:3128", "http://other:3128"


@pytest.mark.parametrize(
    "url",
    ["https://kinovi.ai/x", "http://kinovi.ai/x", "https://www.kinovi.ai", "https://notkinovi.ai",
     "http://127.0.0.1:8000/x", "http://localhost:8000", "http://[::1]:8000",
     "https://kinovi.ai:8443/"],
)  # fmt: skip
@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"https": PROXY},
        {"http": PROXY, "https": OTHER},
        {"all": PROXY},
        {"all": "proxy:3128"},
        {"all": PROXY, "no": "*"},
        {"all": PROXY, "no": "kinovi.ai"},
        {"all": PROXY, "no": ".kinovi.ai"},
        {"all": PROXY, "no": "other.com, localhost ,127.0.0.1,::1"},
        {"all": PROXY, "no": "https://kinovi.ai"},
    ],
)
def test_proxies_are_chosen_as_httpx_does(
    url: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        if name in environment:
            monkeypatch.setenv(f"{name}_proxy", environment[name])
    client = httpx.Client(verify=False)  # noqa: S501 - nothing is sent
    chosen = client._transport_for_url(httpx.URL(url))
    proxy = getattr(getattr(chosen, "_pool", None), "_proxy_url", None)
    expected = proxy.host.decode() if proxy is not None else None
    ours = proxy_for(url, environment)
    assert (httpx.URL(ours).host if ours else None) == expected


def test_networks_in_no_proxy() -> None:
    environment = {"all": PROXY, "no": "10.0.0.0/8"}
    assert proxy_for("https://10.1.2.3/x", environment) is None
    assert proxy_for("https://11.1.2.3/x", environment) == PROXY


def test_default_headers_are_sent_but_not_the_ones_a_request_is_made_of() -> None:
    defaults = check_headers({"X-Team": "red", "User-Agent": "mine/1"})
    headers = api_headers(defaults, authorization="Bearer k", post=True)
    assert headers["x-team"] == "red"
    assert headers["user-agent"] == "mine/1"
    assert headers["authorization"] == "Bearer k"
    assert headers["accept-encoding"] == "identity"
    for bad in ({"Authorization": "Bearer secret"}, {"Host": "x"}, {"X\n": "1"}, {"X": "se\ncret"},
                {"X": "secrét"}, {"X": 5}, {"": "x"}):  # fmt: skip
        with pytest.raises(ConfigurationError) as caught:
            check_headers(bad)  # type: ignore[arg-type]
        assert "secret" not in str(caught.value)


def test_a_download_takes_no_credentials() -> None:
    assert download_headers({"Range": "bytes=5-"})["range"] == "bytes=5-"
    with pytest.raises(ConfigurationError):
        download_headers({"Authorization": "Bearer x"})


def status(kind: type[KinoviError], code: int) -> KinoviError:
    return kind("x", status_code=code)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (APIConnectionError("x"), True), (APITimeoutError("x"), True),
        (InvalidResponseError("x"), True), (status(ServerError, 500), True),
        (status(ServerError, 524), True), (status(RateLimitError, 429), True),
        (status(BadRequestError, 408), True), (status(BadRequestError, 400), False),
        (status(AuthenticationError, 401), False), (status(PermissionDeniedError, 403), False),
        (status(NotFoundError, 404), False), (ConfigurationError("x"), False),
    ],
)  # fmt: skip
def test_what_is_repeated(error: KinoviError, *, expected: bool) -> None:
    assert is_retryable(error) is expected


def longest(wait: float) -> float:
    return wait


def plan(
    retries: int, quota: RetryQuota | None = None, jitter: Callable[[float], float] = longest
) -> RetryPlan:
    return RetryPlan(retries, quota=quota or RetryQuota(), jitter=jitter, started=0.0)


def test_waits_double_and_end_with_the_retries() -> None:
    errors = plan(3)
    waits = [errors.next_wait(APIConnectionError("x"), now=0, retry_after=None) for _ in range(4)]
    assert waits == [0.5, 1.0, 2.0, None]


def test_retry_after_is_a_floor() -> None:
    error = status(RateLimitError, 429)
    assert plan(1).next_wait(error, now=0, retry_after=30.0) == 30.0
    assert plan(1).next_wait(error, now=0, retry_after=0.0) == 1.0


def test_no_repeat_would_start_after_two_minutes() -> None:
    error = status(RateLimitError, 429)
    assert plan(9).next_wait(error, now=100.0, retry_after=30.0) is None


def test_repeats_share_a_quota_that_successes_refill() -> None:
    quota = RetryQuota()
    granted = 0
    while plan(1, quota).next_wait(APIConnectionError("x"), now=0, retry_after=None) is not None:
        granted += 1
    assert granted == 500 // 14
    for _ in range(14):
        plan(0, quota).succeeded()
    repeated = plan(1, quota)
    assert repeated.next_wait(APIConnectionError("x"), now=0, retry_after=None) == 0.5
    before = quota.tokens
    repeated.succeeded()
    assert quota.tokens == before + 14


def test_free_list_reuses_the_last_and_forgets_the_old() -> None:
    free: FreeList[str] = FreeList(max_idle=30)
    free.put("a", "old", 0)
    free.put("a", "new", 20)
    free.put("b", "other", 20)
    assert free.take("a", 25) == "new"
    assert free.take("c", 25) is None
    assert free.take("a", 40) is None
    assert free.expired(40) == ["old"]
    assert free.drain() == ["other"]
    assert len(free) == 0


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf"), True, "5", object()])
def test_timeouts_are_positive_seconds(bad: float) -> None:
    with pytest.raises(ConfigurationError):
        timeouts_from(bad)


def test_timeouts() -> None:
    assert timeouts_from(30.0).connect == 10.0
    assert timeouts_from(3).as_extension() == {"connect": 3, "read": 3, "write": 3, "pool": 3}
    assert timeouts_from(None).total is None
    assert timeouts_from(httpx.Timeout(5, read=9)).total == 19
    assert timeouts_from(httpx.Timeout(5, read=None)).total is None
