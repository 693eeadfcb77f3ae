from __future__ import annotations

import asyncio
import errno
import gzip
import os
import pickle
import socket
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.lowlevel
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from kinovi_async._connection import DOWNLOADS_AT_ONCE
from kinovi_async._downloads import (
    PartFile,
    Quota,
    SavedFile,
    SaveOptions,
    open_checked,
    save,
)
from kinovi_async._downloads._fetch import MAX_RETRY_SECONDS, full_jitter_waits
from kinovi_async._downloads._files import RESERVE_BYTES
from kinovi_async._downloads._stream import SLOW_AFTER_SECONDS, too_slow
from kinovi_async._errors import (
    APIConnectionError,
    APITimeoutError,
    ConfigurationError,
    DownloadError,
    InvalidResponseError,
)
from tests.downloads.fakes import (
    MP4,
    PNG,
    PUBLIC,
    Answer,
    RawOpener,
    ResolverFake,
    ScriptedOpener,
    drain,
    files_in,
    http_server,
    is_empty,
    options,
    png,
    raw_answer,
    resolver,
)
from tests.virtual import VirtualClockLoop

URL = "https://cdn.example/a/x.png?sig=SECRET"
Result = TypeVar("Result")


async def fetch(
    opener: ScriptedOpener | RawOpener,
    directory: Path,
    url: str = URL,
    *,
    allow_private: bool = False,
    expect: str | None = None,
    progress: Callable[[int], None] | None = None,
    saving: SaveOptions | None = None,
) -> SavedFile:
    return await save(
        opener,
        url,
        directory,
        lambda extension: f"pic{extension}",
        allow_private=allow_private,
        options=saving or options(),
        expect=expect,
        task_id="task-1",
        progress=progress,
    )


async def refusal(
    opener: ScriptedOpener | RawOpener,
    directory: Path,
    url: str = URL,
    *,
    allow_private: bool = False,
    **changes: object,
) -> DownloadError:
    """The error, after checking what holds for all: nothing on disk, nothing told, picklable."""
    with pytest.raises(DownloadError) as caught:
        await fetch(opener, directory, url, allow_private=allow_private, saving=options(**changes))
    error = caught.value
    assert "SECRET" not in str(error)
    assert error.task_id == "task-1"
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (str(again), again.status_code) == (str(error), error.status_code)
    assert not directory.is_dir() or not list(directory.glob("*.part"))  # noqa: ASYNC240
    if isinstance(opener, ScriptedOpener):
        assert opener.open_count == 0
    return error


async def test_a_file_is_saved_whole_with_what_is_known_of_it(tmp_path: Path) -> None:
    seen: list[int] = []
    body = PNG * 300
    chunks = [body[:10], b"", body[10:700], body[700:]]
    opener = ScriptedOpener(Answer(chunks=chunks, headers={"content-length": str(len(body))}))
    saved = await fetch(opener, tmp_path / "media", progress=seen.append)
    assert saved == SavedFile(tmp_path / "media" / "pic.png", len(body), "image/png", True)
    assert files_in(tmp_path / "media") == {"pic.png": body}
    assert seen[-1] == len(body)
    assert opener.asked == [URL]
    assert opener.open_count == 0


async def test_a_small_file_in_tiny_chunks_is_whole(tmp_path: Path) -> None:
    body = PNG[:8] + b"12"
    opener = ScriptedOpener(
        Answer(chunks=[bytes([byte]) for byte in body], headers={"content-length": "10"})
    )
    saved = await fetch(opener, tmp_path)
    assert saved.path.read_bytes() == body


async def test_the_request_carries_no_header_of_ours(tmp_path: Path) -> None:
    """No key, no cookie, no referrer, on any hop."""
    opener = ScriptedOpener(Answer(302, headers={"location": "https://b.example/"}), png())
    await fetch(opener, tmp_path)
    assert opener.headers == [{}, {}]


async def test_the_bytes_and_not_the_address_make_the_extension(tmp_path: Path) -> None:
    opener = ScriptedOpener(Answer(chunks=[MP4], headers={"content-type": "image/png"}))
    saved = await fetch(opener, tmp_path)
    assert (saved.path.name, saved.media_type) == ("pic.mp4", "video/mp4")


async def test_unknown_bytes_are_kept_under_the_declared_type(tmp_path: Path) -> None:
    opener = ScriptedOpener(Answer(chunks=[b"dummy"], headers={"content-length": "5"}))
    saved = await fetch(opener, tmp_path, "https://cdn.example/x", expect="image/webp")
    assert (saved.path.name, saved.media_type) == ("pic.webp", "image/webp")


async def test_redirects_are_followed_hop_by_hop(tmp_path: Path) -> None:
    opener = ScriptedOpener(
        Answer(301, headers={"location": "/b"}),
        Answer(307, headers={"location": "https://other.example:444/c.png"}),
        png(),
    )
    fake = resolver()
    await fetch(opener, tmp_path, saving=options(resolve=fake))
    assert opener.asked == [URL, "https://cdn.example/b", "https://other.example:444/c.png"]
    assert fake.asked == [("cdn.example", 443), ("cdn.example", 443), ("other.example", 444)]
    assert opener.open_count == 0


async def test_five_redirects_are_followed_and_no_more(tmp_path: Path) -> None:
    hops = [Answer(302, headers={"location": "/again"}) for _ in range(5)]
    await fetch(ScriptedOpener(*hops, png()), tmp_path)
    opener = ScriptedOpener(*hops, Answer(302, headers={"location": "/again"}))
    error = await refusal(opener, tmp_path / "b")
    assert "more than 5 times" in str(error)


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("http://cdn.example/x", "plain http"),
        ("http://127.0.0.1/x", "plain http"),
        ("https://127.0.0.1/x", "private"),
        ("https://metadata.example/x", "private"),
        ("file:///etc/passwd", "file:"),
        ("https://u:SECRET@h/x", "user name"),
        ("https://h/\r\nx: y", "unusable"),
        ("", "unusable"),
    ],
)
async def test_a_redirect_to_an_unsafe_place_is_never_asked(
    tmp_path: Path, location: str, told: str
) -> None:
    table = {"127.0.0.1": ["127.0.0.1"], "metadata.example": ["169.254.169.254"]}
    opener = ScriptedOpener(Answer(302, headers={"location": location}))
    error = await refusal(opener, tmp_path, resolve=resolver(table))
    assert told in str(error)
    assert opener.asked == [URL]
    assert not error.retryable


hostile_urls = st.one_of(
    st.builds(
        "{}://{}/x".format,
        st.sampled_from(["file", "ftp", "http", "gopher", "data", "HTTPS "]),
        st.sampled_from(["h", "127.0.0.1", "localhost", "", "u@h"]),
    ),
    st.builds(
        "https://{}{}".format,
        st.one_of(
            st.ip_addresses(v=4).filter(lambda ip: ip.is_private).map(str),
            st.sampled_from(["localhost", "127.1", "0x7f000001", "2130706433", "0", "0177.1"]),
            st.sampled_from(["[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::a00:1]"]),
            st.sampled_from(
                ["[fd00::1]", "[fe80::1]", "[::]", "u:p@h", "h\\@10.0.0.1", "\uff11\uff10.0.0.1"]
            ),
            st.sampled_from(["rebind.example", "10.0.0.1.", "LOCALHOST.", "169.254.169.254:80"]),
        ),
        st.sampled_from(["", "/", "/x.png", "?x", "#@cdn.example/", ":443/x"]),
    ),
    st.text(max_size=30),
)


class NumericResolver:
    """Reads addresses as the C library does; names, and what it cannot read, are internal."""

    async def __call__(self, host: str, _port: int) -> tuple[str, ...]:
        await anyio.lowlevel.checkpoint()
        try:
            if ":" in host:
                return (socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, host)),)
            return (socket.inet_ntoa(socket.inet_aton(host.rstrip("."))),)
        except OSError:
            return (PUBLIC, "10.1.2.3")


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(url=hostile_urls, redirected=st.booleans())
def test_no_hostile_address_is_ever_asked(tmp_path: Path, url: str, *, redirected: bool) -> None:
    async def attempt() -> None:
        opener = ScriptedOpener(Answer(302, headers={"location": url}), Answer(404))
        table = NumericResolver()

        async def resolve(host: str, port: int) -> tuple[str, ...]:
            addresses = await table(host, port)
            return (PUBLIC,) if host == "start.example" else addresses

        first = "https://start.example/" if redirected else url
        with pytest.raises(DownloadError):
            await fetch(opener, tmp_path, first, saving=options(resolve=resolve))
        # A relative Location stays on the host that sent it.
        assert all(asked.startswith("https://start.example/") for asked in opener.asked)
        assert redirected or not opener.asked

    anyio.run(attempt)
    assert is_empty(tmp_path)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=st.one_of(st.text(st.characters(codec=None)), st.text("./\\:C\x00", min_size=1)))
def test_no_name_leaves_the_folder(tmp_path: Path, name: str) -> None:
    """Whatever a caller passes as a name: refused, or directly in the folder."""
    directory = tmp_path / "media"

    async def attempt() -> SavedFile:
        return await save(
            ScriptedOpener(png()), URL, directory, name, allow_private=False, options=options()
        )

    with suppress(ConfigurationError):
        saved = anyio.run(attempt)
        assert saved.path.resolve().parent == directory.resolve()
        saved.path.unlink()
    assert {path.name for path in tmp_path.iterdir()} <= {"media"}
    assert not directory.exists() or not list(directory.iterdir())


@pytest.mark.parametrize(("status", "tries"), [(500, 3), (503, 3), (429, 3), (408, 3)])
async def test_a_status_that_may_pass_is_tried_again(
    tmp_path: Path, status: int, tries: int
) -> None:
    opener = ScriptedOpener(*[Answer(status) for _ in range(tries)])
    error = await refusal(opener, tmp_path)
    assert error.status_code == status
    assert error.retryable
    assert len(opener.asked) == tries
    assert str(error) == f"cdn.example: the host answers {status}"


@pytest.mark.parametrize("status", [403, 404, 410, 204, 206, 300, 304, 401])
async def test_a_status_that_will_not_pass_ends_it(tmp_path: Path, status: int) -> None:
    opener = ScriptedOpener(Answer(status))
    error = await refusal(opener, tmp_path)
    assert (error.status_code, error.retryable, len(opener.asked)) == (status, False, 1)


@pytest.mark.parametrize(
    "trouble",
    [
        Answer(502),
        APIConnectionError("reset SECRET"),
        APITimeoutError("slow"),
        InvalidResponseError("garbage"),
        OSError(errno.ECONNRESET, "reset"),
        Answer(chunks=[PNG[:2000], APIConnectionError("cut")]),
        Answer(chunks=[PNG[:100], APITimeoutError("slow")]),
        Answer(chunks=[PNG[:2000]], headers={"content-length": str(len(PNG))}),
        Answer(chunks=[PNG[:-100]]),
        Answer(chunks=[]),
        Answer(chunks=[], headers={"content-length": "0"}),
        Answer(chunks=[b"<html>Bad gateway"], headers={"content-type": "image/png"}),
        Answer(chunks=[b'{"error": "expired"}']),
    ],
)
async def test_trouble_that_may_pass_is_tried_again_from_the_start(
    tmp_path: Path, trouble: Answer | Exception
) -> None:
    opener = ScriptedOpener(trouble, png())
    saved = await fetch(opener, tmp_path)
    assert files_in(tmp_path) == {"pic.png": PNG}
    assert saved.length_verified
    assert len(opener.asked) == 2


async def test_an_error_page_that_stays_is_told_as_one(tmp_path: Path) -> None:
    opener = ScriptedOpener(*[Answer(chunks=[b"<!doctype html>login"]) for _ in range(3)])
    error = await refusal(opener, tmp_path)
    assert str(error) == "cdn.example: the host sent a web page, not an image"
    assert error.retryable


@pytest.mark.parametrize("encoding", ["zstd", "br", "gzip, gzip", "x"])
async def test_a_body_encoded_in_an_unknown_or_stacked_way_is_refused_unread(
    tmp_path: Path, encoding: str
) -> None:
    answer = Answer(chunks=[AssertionError("read")], headers={"content-encoding": encoding})
    assert "encoded" in str(await refusal(ScriptedOpener(answer), tmp_path))


async def test_an_endless_body_ends_at_the_cap(tmp_path: Path) -> None:
    opener = ScriptedOpener(Answer(chunks=[PNG], endless=True))
    error = await refusal(opener, tmp_path, max_bytes=3_000_000)
    assert "larger than 3000000" in str(error)
    assert len(opener.asked) == 1


async def test_an_announced_length_above_the_cap_is_refused_unread(tmp_path: Path) -> None:
    answer = Answer(chunks=[AssertionError("read")], headers={"content-length": "4000"})
    assert "larger" in str(await refusal(ScriptedOpener(answer), tmp_path, max_bytes=3999))


async def test_a_body_longer_than_announced_is_refused(tmp_path: Path) -> None:
    answers = [Answer(chunks=[PNG], headers={"content-length": "100"}) for _ in range(3)]
    assert "longer" in str(await refusal(ScriptedOpener(*answers), tmp_path))


@pytest.mark.parametrize(
    ("headers", "verified"),
    [
        ({}, False),
        ({"transfer-encoding": "chunked"}, True),
        ({"content-length": "9"}, True),
        ({"content-length": "nonsense"}, False),
        ({"content-length": "-1"}, False),
        ({"content-length": "9" * 30}, False),
    ],
)
async def test_an_unannounced_length_is_told(
    tmp_path: Path, headers: dict[str, str], *, verified: bool
) -> None:
    saved = await fetch(ScriptedOpener(Answer(chunks=[b"what ever"], headers=headers)), tmp_path)
    assert saved.length_verified is verified


async def test_a_file_of_unannounced_length_is_proven_by_its_own_end(tmp_path: Path) -> None:
    assert (await fetch(ScriptedOpener(Answer(chunks=[PNG])), tmp_path)).length_verified


async def test_a_full_disk_is_seen_before_and_while_writing(tmp_path: Path) -> None:
    error = await refusal(ScriptedOpener(png()), tmp_path, free_bytes=lambda _: 1000)
    assert error.local
    free = iter([1 << 40, 0])
    large = Answer(chunks=[PNG, *[bytes(1 << 20)] * 70], headers={})
    error = await refusal(ScriptedOpener(large), tmp_path, free_bytes=lambda _: next(free))
    assert str(error) == "cdn.example: the disk is full: 0 MiB free for files"
    assert (error.local, error.disk_full, error.retryable) == (True, True, False)


async def test_files_that_come_together_leave_the_reserve_to_the_ledger(tmp_path: Path) -> None:
    """As many at a time as a client fetches, of unannounced length, on a disk for one of them."""
    written, room = 0, 40 << 20

    def write(_: int, data: memoryview) -> int:
        nonlocal written
        written += len(data)
        return len(data)

    saving = options(
        part_file=partial(PartFile, write=write), free_bytes=lambda _: max(0, room - written)
    )

    async def one(number: int) -> None:
        large = Answer(chunks=[PNG, *[bytes(1 << 20)] * 30])
        with pytest.raises(DownloadError, match="the disk is full"):
            await fetch(ScriptedOpener(large), tmp_path / str(number), saving=saving)

    async with anyio.create_task_group() as group:
        for number in range(DOWNLOADS_AT_ONCE):
            group.start_soon(one, number)
    assert written < room + RESERVE_BYTES


async def test_a_folder_that_cannot_be_is_a_local_error(tmp_path: Path) -> None:
    (tmp_path / "media").write_bytes(b"a file")
    with pytest.raises(DownloadError, match="taken by a file") as caught:
        await fetch(ScriptedOpener(png()), tmp_path / "media")
    assert caught.value.local


async def test_a_thing_in_the_way_of_one_name_is_no_local_error(tmp_path: Path) -> None:
    (tmp_path / "pic.part").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DownloadError, match=r"pic\.png cannot be written") as caught:
        await fetch(ScriptedOpener(png()), tmp_path)
    assert not caught.value.local
    assert not (tmp_path / "elsewhere").exists()


async def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "pic.png").write_bytes(b"other")
    saved = await fetch(ScriptedOpener(png()), tmp_path)
    assert saved.path.name == "pic-2.png"
    again = await fetch(ScriptedOpener(png()), tmp_path)
    assert again.path.name == "pic-2.png"
    with pytest.raises(DownloadError, match="cannot be written") as caught:
        await fetch(ScriptedOpener(png()), tmp_path, saving=options(exists="keep"))
    assert not caught.value.local
    assert files_in(tmp_path) == {"pic.png": b"other", "pic-2.png": PNG}


async def test_keep_takes_a_file_of_that_length_and_start_without_fetching_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "pic.png").write_bytes(PNG)
    answer = Answer(
        chunks=[PNG[:2000], AssertionError("read on")], headers={"content-length": str(len(PNG))}
    )
    saved = await fetch(ScriptedOpener(answer), tmp_path, saving=options(exists="keep"))
    assert saved == SavedFile(tmp_path / "pic.png", len(PNG), "image/png", True)


@pytest.mark.parametrize("name", ["../x.png", "/tmp/x", "a/b", "", "..", "x.part"])  # noqa: S108
async def test_a_name_that_is_no_plain_name_is_a_programming_error(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(ConfigurationError):
        await save(
            ScriptedOpener(png()), URL, tmp_path, name, allow_private=False, options=options()
        )
    assert is_empty(tmp_path)


async def test_a_cancelled_download_leaves_nothing(tmp_path: Path) -> None:
    body = PNG[:8] + bytes(3 << 20)
    opener = ScriptedOpener(Answer(chunks=[body], hang=True))
    async with anyio.create_task_group() as tasks:

        def cancel_late(received: int) -> None:
            assert received
            tasks.cancel_scope.cancel()

        async def run() -> None:
            await fetch(opener, tmp_path, progress=cancel_late)

        tasks.start_soon(run)
    assert is_empty(tmp_path)
    assert opener.open_count == 0


@pytest.mark.parametrize("step", range(12))
async def test_a_download_cancelled_at_any_chunk_leaves_all_or_nothing(
    tmp_path: Path, step: int
) -> None:
    steps = iter(range(100))
    body = PNG[:8] + bytes(5 << 20)
    pieces = [body[at : at + (1 << 19)] for at in range(0, len(body), 1 << 19)]
    with anyio.CancelScope() as scope:

        def maybe_cancel() -> None:
            if next(steps) == step:
                scope.cancel()

        opener = ScriptedOpener(
            Answer(
                chunks=pieces,
                before_chunk=maybe_cancel,
                headers={"content-length": str(len(body))},
            )
        )
        await fetch(opener, tmp_path)
    found = files_in(tmp_path)
    assert found == ({} if scope.cancelled_caught else {"pic.png": body})
    assert scope.cancelled_caught == (step < len(pieces))
    assert opener.open_count == 0


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144])
async def test_asyncios_own_cancellation_leaves_all_or_nothing(tmp_path: Path, turns: int) -> None:
    """It reaches through shields, while a worker thread may be writing."""
    body = PNG[:8] + bytes(4 << 20)
    pieces = [body[at : at + (1 << 18)] for at in range(0, len(body), 1 << 18)]
    headers = {"content-length": str(len(body))}
    opener = ScriptedOpener(Answer(chunks=pieces, headers=headers))
    task = asyncio.get_running_loop().create_task(fetch(opener, tmp_path))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.done()
    # A file that was given its name just then stays, whole.
    found = files_in(tmp_path)
    assert found in ([{}, {"pic.png": body}] if task.cancelled() else [{"pic.png": body}])
    assert opener.open_count == 0


async def test_an_error_of_the_progress_callback_passes_and_leaves_nothing(tmp_path: Path) -> None:
    def broken(_: int) -> None:
        raise RuntimeError("theirs")

    with pytest.raises(RuntimeError, match="theirs"):
        await fetch(ScriptedOpener(png()), tmp_path, progress=broken)
    assert is_empty(tmp_path)


async def test_tries_wait_as_the_options_say(tmp_path: Path) -> None:
    taken: list[float] = []

    def waits() -> Iterator[float]:
        while True:
            taken.append(0.0)
            yield 0.0

    opener = ScriptedOpener(*[Answer(500) for _ in range(5)])
    await refusal(opener, tmp_path, waits=waits, attempts=5)
    assert len(taken) == 4


def test_waits_are_jittered_and_bounded() -> None:
    for _ in range(20):
        waits = full_jitter_waits()
        for number in range(12):
            assert 0 <= next(waits) <= min(2**number, MAX_RETRY_SECONDS)


def test_a_body_is_too_slow_below_a_rate_after_a_while() -> None:
    assert not too_slow(0, 60.0)
    assert too_slow(60 * 1024, 61.0)
    assert not too_slow(62 * 1024, 61.0)


async def test_a_dripping_body_is_given_up() -> None:
    """Time counts only while the host is waited for, not while the reader works."""
    now = 0.0

    def drip() -> None:
        nonlocal now
        now += 1.0

    answer = Answer(chunks=[b"\x89PNG\r\n\x1a\n" + bytes(1016)], before_chunk=drip, endless=True)
    answer.chunks = [*answer.chunks, *[b"x"] * 1000]
    async with open_checked(
        ScriptedOpener(answer), URL, allow_private=False, resolve=resolver(), clock=lambda: now
    ) as stream:
        assert len(await anext(stream)) == 1024
        now += 1000.0
        assert await anext(stream) == b"x"
        with pytest.raises(DownloadError, match="too slowly"):
            await drain(stream)
    assert now > 1060


async def test_bytes_that_came_fast_buy_no_slow_rest() -> None:
    """The rate is judged again and again: a megabyte at once, and then a byte a second."""
    now = 0.0

    def drip() -> None:
        nonlocal now
        now += 1.0

    chunks = [PNG[:1024] + bytes(1 << 20), *[b"x"] * 1000]
    answer = Answer(chunks=chunks, before_chunk=drip)
    async with open_checked(
        ScriptedOpener(answer), URL, allow_private=False, resolve=resolver(), clock=lambda: now
    ) as stream:
        with pytest.raises(DownloadError, match="too slowly"):
            await drain(stream)
    assert 60 < now < 200


def in_virtual_time(work: Callable[[], Awaitable[Result]]) -> Result:
    return anyio.run(work, backend_options={"loop_factory": VirtualClockLoop})


def test_a_host_that_falls_silent_is_given_up_whatever_a_library_still_takes_in() -> None:
    async def read() -> float:
        opener = ScriptedOpener(Answer(chunks=[PNG[:2000]], hang=True))
        started = anyio.current_time()
        async with open_checked(opener, URL, allow_private=False, resolve=resolver()) as stream:
            with pytest.raises(DownloadError, match="did not answer in time"):
                await drain(stream)
        assert opener.open_count == 0
        return anyio.current_time() - started

    assert in_virtual_time(read) == pytest.approx(SLOW_AFTER_SECONDS)


async def test_an_endless_body_that_unpacks_to_nothing_ends_at_the_cap(tmp_path: Path) -> None:
    nothing = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    start = nothing.compress(PNG) + nothing.flush(zlib.Z_SYNC_FLUSH)
    empty_blocks = b"\0\0\0\xff\xff" * 1000
    answer = Answer(chunks=[start, *[empty_blocks] * 100], headers={"content-encoding": "gzip"})
    error = await refusal(ScriptedOpener(answer), tmp_path, max_bytes=100_000)
    assert "larger than 100000 bytes" in str(error)


@pytest.mark.parametrize(
    ("asked", "waited"), [("7", 7), ("0", 0), ("100000", 60), ("-3", 0), ("soon", 0), ("nan", 0)]
)
def test_a_host_that_names_a_time_is_asked_again_then(
    tmp_path: Path, asked: str, waited: float
) -> None:
    async def read() -> float:
        started = anyio.current_time()
        await fetch(ScriptedOpener(Answer(503, headers={"retry-after": asked}), png()), tmp_path)
        return anyio.current_time() - started

    assert in_virtual_time(read) == pytest.approx(waited, abs=0.5)
    assert files_in(tmp_path) == {"pic.png": PNG}


async def test_opening_gives_the_bytes_under_the_same_guards() -> None:
    opener = ScriptedOpener(png())
    async with open_checked(opener, URL, allow_private=False, resolve=resolver()) as stream:
        assert (stream.media_type, stream.extension, stream.length) == (
            "image/png",
            ".png",
            len(PNG),
        )
        assert await drain(stream) == PNG
        assert stream.length_verified
    assert opener.open_count == 0


async def test_leaving_an_opened_file_early_releases_it() -> None:
    opener = ScriptedOpener(Answer(chunks=[PNG], endless=True))
    async with open_checked(opener, URL, allow_private=False, resolve=resolver()) as stream:
        async for chunk in stream:
            assert chunk.startswith(b"\x89PNG")
            break
    assert opener.open_count == 0


async def test_a_body_that_is_a_generator_is_closed_when_left_in_the_middle() -> None:
    """Both backends warn about a generator that is left to the garbage collector."""
    endless = Answer(chunks=[PNG], endless=True)
    generator = (chunk async for chunk in endless)

    class Generating(Answer):
        def __aiter__(self) -> AsyncIterator[bytes]:
            return generator

    opener = ScriptedOpener(Generating())
    async with open_checked(opener, URL, allow_private=False, resolve=resolver()) as stream:
        assert await anext(stream) == PNG
        assert await anext(generator) == PNG
    assert await anext(generator, None) is None
    assert opener.open_count == 0


async def test_an_error_of_the_reader_passes_unchanged() -> None:
    with pytest.raises(KeyError):
        async with open_checked(
            ScriptedOpener(png()), URL, allow_private=False, resolve=resolver()
        ):
            raise KeyError


async def test_a_file_that_breaks_off_while_it_is_read_is_told() -> None:
    answer = Answer(chunks=[PNG[:2000]], headers={"content-length": "5000"})
    async with open_checked(
        ScriptedOpener(answer), URL, allow_private=False, resolve=resolver()
    ) as stream:
        with pytest.raises(DownloadError, match="2000 of 5000"):
            await drain(stream)


# Real sockets: the API runs on loopback, and so do the files.


async def test_a_file_comes_over_a_real_socket(tmp_path: Path) -> None:
    answers = {
        "/old": raw_answer(b"", "Location: /x.png", status="302 Found"),
        "/x.png": raw_answer(PNG, f"Content-Length: {len(PNG)}", "Content-Type: image/png"),
    }
    async with http_server(answers) as (base, requests):
        resolve = ResolverFake({"127.0.0.1": ["127.0.0.1"]})
        saved = await fetch(
            RawOpener(),
            tmp_path,
            f"{base}/old",
            allow_private=True,
            saving=options(resolve=resolve),
        )
        assert files_in(tmp_path) == {"pic.png": PNG}
        assert saved.length_verified
        assert len(requests) == 2
        assert not any(b"authorization" in request.lower() for request in requests)


async def test_a_cut_body_over_a_real_socket_leaves_nothing(tmp_path: Path) -> None:
    answers = {
        "/short": raw_answer(PNG[:3000], f"Content-Length: {len(PNG)}"),
        "/page": raw_answer(b"<html>502</html>", "Content-Type: image/png"),
        "/loop": raw_answer(b"", "Location: /loop", status="301 Moved"),
        "/inside": raw_answer(b"", "Location: http://10.0.0.1/x", status="302 Found"),
    }
    resolve = ResolverFake({"127.0.0.1": ["127.0.0.1"]})
    async with http_server(answers) as (base, _requests):
        for path, told in [
            ("/short", "broke off after 3000"),
            ("/page", "web page"),
            ("/loop", "more than 5 times"),
            ("/inside", "plain http"),
        ]:
            error = await refusal(
                RawOpener(), tmp_path, f"{base}{path}", allow_private=True, resolve=resolve
            )
            assert told in str(error)


async def test_loopback_is_not_asked_when_the_api_is_elsewhere(tmp_path: Path) -> None:
    async with http_server({}) as (base, requests):
        for url in [base, base.replace("http:", "https:")]:
            with pytest.raises(DownloadError):
                await save(RawOpener(), url, tmp_path, "x.png", allow_private=False)
        assert requests == []


async def test_a_refused_connection_is_worth_another_try(tmp_path: Path) -> None:
    async with http_server({}) as (base, _requests):
        pass
    error = await refusal(
        RawOpener(),
        tmp_path,
        base,
        allow_private=True,
        resolve=ResolverFake({"127.0.0.1": ["127.0.0.1"]}),
    )
    assert "connection failed" in str(error)
    assert error.retryable


# Bodies that come packed, caps over several files, and disks that fill up.


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_packed_body_is_saved_as_the_file_it_is(tmp_path: Path, encoding: str) -> None:
    packed = gzip.compress(PNG) if encoding == "gzip" else zlib.compress(PNG)
    headers = {"content-encoding": encoding, "content-length": str(len(packed))}
    saved = await fetch(ScriptedOpener(Answer(chunks=[packed], headers=headers)), tmp_path)
    assert saved == SavedFile(tmp_path / "pic.png", len(PNG), "image/png", True)
    assert files_in(tmp_path) == {"pic.png": PNG}


@pytest.mark.parametrize("bad", [gzip.compress(PNG)[:-20], b"\x1f\x8b nonsense", PNG])
async def test_a_packed_body_that_is_damaged_is_worth_another_try(
    tmp_path: Path, bad: bytes
) -> None:
    broken = Answer(chunks=[bad], headers={"content-encoding": "gzip"})
    await fetch(ScriptedOpener(broken, png()), tmp_path)
    assert files_in(tmp_path) == {"pic.png": PNG}


async def test_a_bomb_ends_at_the_cap_on_what_it_unpacks_to(tmp_path: Path) -> None:
    bomb = gzip.compress(PNG[:8] + bytes(64 << 20), 9)
    opener = ScriptedOpener(Answer(chunks=[bomb], headers={"content-encoding": "gzip"}))
    error = await refusal(opener, tmp_path, max_bytes=1 << 20)
    assert "larger than 1048576" in str(error)
    assert not error.retryable


async def test_all_files_together_are_bounded(tmp_path: Path) -> None:
    """A file that would not fit is refused unread, one of unknown length when it is too much."""
    quota = Quota(len(PNG) * 2 + 10)
    saving = options(quota=quota)
    await fetch(ScriptedOpener(png()), tmp_path / "a", saving=saving)
    await fetch(ScriptedOpener(png()), tmp_path / "b", saving=saving)
    for answer in (png(PNG * 2), Answer(chunks=[PNG[:2000], *[PNG] * 50])):
        with pytest.raises(DownloadError, match="all files together are larger") as caught:
            await fetch(ScriptedOpener(answer), tmp_path / "c", saving=saving)
        assert (caught.value.local, caught.value.retryable) == (True, False)
        assert not list((tmp_path / "c").glob("*")) if (tmp_path / "c").exists() else True


async def test_an_endless_body_ends_at_the_bound_of_all_files(tmp_path: Path) -> None:
    opener = ScriptedOpener(Answer(chunks=[PNG], endless=True))
    error = await refusal(opener, tmp_path, quota=Quota(2_000_000))
    assert "all files together" in str(error)


class Disk:
    """A disk of so many bytes; every write counts, none is undone."""

    def __init__(self, size: int, code: int = errno.ENOSPC) -> None:
        self.left = size
        self._code = code

    def write(self, fd: int, data: memoryview) -> int:
        if not self.left:
            raise OSError(self._code, os.strerror(self._code))
        written = os.write(fd, data[: self.left])
        self.left -= written
        return written

    def part_file(self, directory: Path, name: str) -> PartFile:
        return PartFile(directory, name, write=self.write)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
async def test_a_disk_that_fills_up_keeps_what_came_and_goes_on_later(
    tmp_path: Path, code: int
) -> None:
    body = PNG[:8] + bytes(1 << 20)
    headers = {"content-length": str(len(body)), "etag": '"v1"'}
    disk = Disk(600_000, code)
    opener = ScriptedOpener(Answer(chunks=[body], headers=headers))
    with pytest.raises(DownloadError) as caught:
        await fetch(opener, tmp_path, saving=options(part_file=disk.part_file))
    assert str(caught.value) == "cdn.example: the disk is full: pic.png is not whole"
    assert (caught.value.disk_full, caught.value.local) == (True, True)
    assert len(files_in(tmp_path)["pic.part"]) == 600_000
    disk.left = 1 << 30
    start = 600_000 - 4096
    rest = {**headers, "content-length": str(len(body) - start)}
    rest["content-range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
    again = ScriptedOpener(Answer(206, chunks=[body[start:]], headers=rest))
    await fetch(again, tmp_path, saving=options(part_file=disk.part_file))
    assert files_in(tmp_path) == {"pic.png": body}
    assert again.headers == [{"range": f"bytes={start}-", "if-range": '"v1"'}]


async def test_another_error_of_the_disk_is_told_by_its_reason(tmp_path: Path) -> None:
    disk = Disk(0, errno.EIO)
    with pytest.raises(DownloadError, match=r"pic\.png cannot be written: Input/output") as caught:
        await fetch(ScriptedOpener(png()), tmp_path, saving=options(part_file=disk.part_file))
    assert (caught.value.disk_full, caught.value.local) == (False, True)


async def test_behind_a_proxy_no_resolver_is_asked(tmp_path: Path) -> None:
    fake = resolver()
    await fetch(ScriptedOpener(png(), route="proxy"), tmp_path, saving=options(resolve=fake))
    assert fake.asked == []


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(url=hostile_urls, route=st.sampled_from(["proxy", "foreign"]), redirected=st.booleans())
def test_no_hostile_address_is_asked_through_a_proxy_or_a_foreign_client(
    tmp_path: Path, url: str, route: str, *, redirected: bool
) -> None:
    # These two names are hostile only by what they resolve to, which a proxy alone knows.
    assume(not (route == "proxy" and "rebind.example" in url))

    async def attempt() -> None:
        opener = ScriptedOpener(Answer(302, headers={"location": url}), Answer(404), route=route)
        table = NumericResolver()

        async def resolve(host: str, port: int) -> tuple[str, ...]:
            addresses = await table(host, port)
            return (PUBLIC,) if host == "start.example" else addresses

        first = "https://start.example/" if redirected else url
        with pytest.raises(DownloadError):
            await fetch(opener, tmp_path, first, saving=options(resolve=resolve))
        assert all(asked.startswith("https://start.example/") for asked in opener.asked)

    anyio.run(attempt)
    assert is_empty(tmp_path)
