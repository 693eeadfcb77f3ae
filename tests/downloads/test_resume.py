"""Downloads that go on where another one ended; rows 98 and 101 of the catalogue."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import anyio
import pytest

from kinovi_async._downloads import SavedFile, save
from kinovi_async._downloads._resume import (
    MIN_RESUMED_BYTES,
    OVERLAP_BYTES,
    Leftover,
    Note,
    note_of,
    partial_problem,
)
from kinovi_async._errors import APIConnectionError, DownloadError
from tests.downloads.fakes import Answer, ScriptedOpener, files_in, options
from tests.transport.clients import transport_for
from tests.transport.faultd import Connection, faultd

BODY = b"\x89PNG\r\n\x1a\n" + random.Random(7).randbytes(1_500_000) + b"IEND\xaeB`\x82"
ETAG = '"v1"'
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@dataclass
class Host:
    """A storage host, which misbehaves as told."""

    body: bytes = BODY
    etag: str | None = ETAG
    modified: datetime | None = None
    breaks_at: list[int] = field(default_factory=list)
    """After so many bytes of an answer the connection ends, one number an answer."""
    stalls_at: int | None = None
    knows_ranges: bool = True
    partial: Mapping[str, str] = field(default_factory=dict)
    """Headers of an answer 206 in place of the right ones."""
    refuses_ranges: int | None = None
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Range and If-Range of every request."""
    sent: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/media/a.png?signature=1"

    async def script(self, connection: Connection) -> None:
        while True:
            request = (await connection.request()).decode()
            lines = (line.partition(": ") for line in request.split("\r\n")[1:])
            headers = {name.lower(): value for name, _, value in lines}
            wanted, condition = headers.get("range"), headers.get("if-range")
            self.asked.append((wanted or "", condition))
            await self._answer(connection, wanted, condition)

    async def _answer(
        self, connection: Connection, wanted: str | None, condition: str | None
    ) -> None:
        said = {"date": format_datetime(NOW, usegmt=True), "content-type": "image/png"}
        if self.etag:
            said["etag"] = self.etag
        if self.modified:
            said["last-modified"] = format_datetime(self.modified, usegmt=True)
        same = condition in {said.get("etag"), said.get("last-modified")}
        start, status = 0, 200
        if wanted and self.refuses_ranges is not None:
            status, said["content-range"] = self.refuses_ranges, f"bytes */{len(self.body)}"
            said["content-length"] = "0"
            await self._send(connection, status, said, b"")
            return
        if wanted and self.knows_ranges and same:
            start, status = int(wanted.removeprefix("bytes=").removesuffix("-")), 206
            said["content-range"] = f"bytes {start}-{len(self.body) - 1}/{len(self.body)}"
        said["content-length"] = str(len(self.body) - start)
        if status == 206:
            said |= self.partial
        await self._send(connection, status, said, self.body[start:])

    async def _send(
        self, connection: Connection, status: int, said: Mapping[str, str], body: bytes
    ) -> None:
        head = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in said.items())]
        end = self.breaks_at.pop(0) if self.breaks_at and body else len(body)
        await connection.send("\r\n".join([*head, "", ""]).encode())
        if self.stalls_at is not None:
            await connection.send(body[: self.stalls_at])
            await anyio.sleep_forever()
        self.sent += len(body[:end])
        await connection.send(body[:end])
        if end < len(body):
            await connection.stream.aclose()


@asynccontextmanager
async def serving(host: Host) -> AsyncIterator[None]:
    async with faultd(host.script) as server:
        host.port = server.port
        yield


async def fetch(host: Host, directory: Path, url: str = "", **changes: object) -> SavedFile:
    async with transport_for("own", "https://api.invalid/v1") as transport:
        return await save(
            transport,
            url or host.url,
            directory,
            lambda extension: f"pic{extension}",
            allow_private=True,
            options=options(**changes),
        )


async def broken_off(host: Host, directory: Path) -> int:
    """Leaves half a file; answers its size."""
    host.breaks_at = [len(host.body) // 2]
    with pytest.raises(DownloadError, match="broke off"):
        await fetch(host, directory, attempts=1)
    host.asked.clear()
    host.sent = 0
    return (directory / "pic.part").stat().st_size


async def test_what_broke_off_goes_on_in_the_next_try(tmp_path: Path) -> None:
    host = Host(breaks_at=[500_000, 700_000])
    async with serving(host):
        saved = await fetch(host, tmp_path)
        assert saved.path.read_bytes() == BODY
        assert (saved.size, saved.media_type, saved.length_verified) == (
            len(BODY),
            "image/png",
            True,
        )
        assert files_in(tmp_path).keys() == {"pic.png"}
        assert [condition for _, condition in host.asked] == [None, ETAG, ETAG]
        assert host.sent <= len(BODY) + 2 * OVERLAP_BYTES


async def test_what_broke_off_waits_for_the_next_call(tmp_path: Path) -> None:
    host = Host()
    async with serving(host):
        size = await broken_off(host, tmp_path)
        assert size == len(BODY) // 2
        assert files_in(tmp_path).keys() == {"pic.part", "pic.part.part"}
        note = json.loads(files_in(tmp_path)["pic.part.part"])
        assert "signature" not in str(note)
        await fetch(host, tmp_path)
        assert files_in(tmp_path) == {"pic.png": BODY}
        assert host.asked == [(f"bytes={size - OVERLAP_BYTES}-", ETAG)]


async def test_a_new_signature_of_the_same_address_goes_on(tmp_path: Path) -> None:
    host = Host()
    async with serving(host):
        size = await broken_off(host, tmp_path)
        await fetch(host, tmp_path, host.url.replace("=1", "=2"))
        assert files_in(tmp_path) == {"pic.png": BODY}
        assert host.sent == len(BODY) - size + OVERLAP_BYTES


async def test_another_address_under_the_same_name_starts_anew(tmp_path: Path) -> None:
    host = Host()
    async with serving(host):
        await broken_off(host, tmp_path)
        await fetch(host, tmp_path, host.url.replace("a.png", "b.png"))
        assert host.asked == [("", None)]
        assert files_in(tmp_path) == {"pic.png": BODY}


async def test_a_time_of_change_serves_where_there_is_no_etag(tmp_path: Path) -> None:
    host = Host(etag=None, modified=NOW - timedelta(days=1))
    async with serving(host):
        await broken_off(host, tmp_path)
        await fetch(host, tmp_path)
        assert files_in(tmp_path) == {"pic.png": BODY}
        assert host.sent < len(BODY)
        assert host.asked[0][1] == "Fri, 20 Nov 2026 12:00:00 GMT"


OTHER = b"\x89PNG\r\n\x1a\n" + bytes(len(BODY) - 16) + b"IEND\xaeB`\x82"


@pytest.mark.parametrize(
    ("changes", "requests"),
    [
        ({"etag": '"v2"', "body": OTHER}, 1),
        ({"etag": '"v2"', "body": OTHER[:1_000_000] + OTHER[-8:]}, 1),
        ({"knows_ranges": False}, 1),
        ({"refuses_ranges": 416}, 2),
        ({"refuses_ranges": 412}, 2),
        ({"refuses_ranges": 400}, 2),
        ({"body": OTHER}, 2),  # the same ETag, and other bytes where both must agree
        ({"partial": {"content-range": "bytes 0-9/10"}}, 2),
        ({"partial": {"content-range": "bytes 5000-*/*"}}, 2),
        ({"partial": {"content-range": ""}}, 2),
        ({"partial": {"content-range": f"bytes 4096-{len(BODY) - 1}/{len(BODY)}"}}, 2),
        ({"partial": {"etag": '"v3"'}}, 2),
        ({"partial": {"content-encoding": "gzip"}}, 2),
    ],
)
async def test_a_file_that_is_no_longer_the_same_starts_anew(
    tmp_path: Path, changes: dict[str, object], requests: int
) -> None:
    """Whatever the host does, the result is what it sends now, whole."""
    host = Host()
    async with serving(host):
        await broken_off(host, tmp_path)
        for name, value in changes.items():
            setattr(host, name, value)
        await fetch(host, tmp_path)
        assert files_in(tmp_path) == {"pic.png": host.body}
        assert len(host.asked) == requests
        assert all(condition == ETAG for wanted, condition in host.asked if wanted)


@pytest.mark.parametrize(
    "changes",
    [
        {"etag": None},
        {"etag": 'W/"v1"'},
        {"etag": "v1"},
        {"etag": None, "modified": NOW},
        {"etag": '"' + "x" * 2000 + '"'},
    ],
)
async def test_without_a_strong_validator_nothing_is_kept(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    host = Host(breaks_at=[len(BODY) // 2], **changes)  # type: ignore[arg-type]
    async with serving(host):
        with pytest.raises(DownloadError):
            await fetch(host, tmp_path, attempts=1)
        assert files_in(tmp_path) == {}


TAIL = BODY[500_000 - OVERLAP_BYTES : 500_000]


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        ([TAIL, BODY[500_000:900_000]], "broke off after 900000 of"),
        ([TAIL, BODY[500_000:] + b"more"], "longer than announced"),
        ([TAIL + BODY[500_000:] + b"more"], None),
        ([TAIL[:100]], None),
    ],
)
async def test_a_rest_of_unannounced_length_must_be_the_whole_rest(
    tmp_path: Path, rest: list[bytes], told: str | None
) -> None:
    """A host that sends the rest in chunks; too little of it, too much, not even the overlap."""
    said = {"etag": ETAG, "content-length": str(len(BODY))}
    half = Answer(chunks=[BODY[:500_000], APIConnectionError("cut")], headers=said)
    part = {"etag": ETAG, "transfer-encoding": "chunked"}
    part["content-range"] = f"bytes {500_000 - OVERLAP_BYTES}-{len(BODY) - 1}/{len(BODY)}"
    whole = Answer(chunks=[BODY], headers=said)
    opener = ScriptedOpener(half, Answer(206, chunks=rest, headers=part), whole)

    async def attempt() -> SavedFile:
        return await save(
            opener,
            "https://cdn.example/a.png",
            tmp_path,
            "a.png",
            allow_private=False,
            options=options(attempts=1),
        )

    with pytest.raises(DownloadError, match="connection"):
        await attempt()
    if told is not None:
        with pytest.raises(DownloadError, match=told):
            await attempt()
        # What came too much says that nothing of it is to be trusted.
        assert bool(files_in(tmp_path)) == (told.startswith("broke"))
    else:
        assert (await attempt()).path.read_bytes() == BODY
        assert len(opener.asked) == 3


async def test_a_little_that_came_is_not_kept(tmp_path: Path) -> None:
    host = Host(breaks_at=[MIN_RESUMED_BYTES - 1])
    async with serving(host):
        with pytest.raises(DownloadError):
            await fetch(host, tmp_path, attempts=1)
        assert files_in(tmp_path) == {}


async def test_a_cancelled_download_goes_on_too(tmp_path: Path) -> None:
    host = Host()
    async with serving(host):
        async with anyio.create_task_group() as group:

            def enough(received: int) -> None:
                if received > 1_000_000:
                    group.cancel_scope.cancel()

            async with transport_for("own", "https://api.invalid/v1") as transport:
                await save(
                    transport,
                    host.url,
                    tmp_path,
                    "pic.png",
                    allow_private=True,
                    options=options(),
                    progress=enough,
                )
        assert files_in(tmp_path).keys() == {"pic.png.part", "pic.png.part.part"}
        async with transport_for("own", "https://api.invalid/v1") as transport:
            await save(
                transport, host.url, tmp_path, "pic.png", allow_private=True, options=options()
            )
        assert files_in(tmp_path) == {"pic.png": BODY}
        assert host.asked[1][1] == ETAG


CHILD = """
import os, pathlib, sys
import anyio
from functools import partial
from kinovi_async._downloads import PartFile, SaveOptions, save
from tests.transport.clients import transport_for

def write(fd, data):
    written = os.write(fd, data)
    print(written, flush=True)
    return written

async def main():
    async with transport_for("own", "https://api.invalid/v1") as transport:
        await save(
            transport, sys.argv[1], pathlib.Path(sys.argv[2]), "pic.png", allow_private=True,
            options=SaveOptions(part_file=partial(PartFile, write=write)),
        )

anyio.run(main)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
async def test_a_killed_download_goes_on_to_identical_bytes(tmp_path: Path) -> None:
    """A real process, killed in the middle of a file, over a real socket."""
    host = Host(stalls_at=1_000_000)
    async with serving(host):
        command = [sys.executable, "-c", CHILD, host.url, str(tmp_path)]
        root = str(Path(__file__).parents[2])
        async with await anyio.open_process(
            command, cwd=root, env={**os.environ, "PYTHONPATH": root}, stderr=None
        ) as child:
            assert child.stdout is not None
            told = b""
            while sum(int(line) for line in told.split(b"\n")[:-1]) < 512 << 10:
                told += await child.stdout.receive()
            child.send_signal(signal.SIGKILL)
        left = files_in(tmp_path)
        assert left.keys() == {"pic.png.part", "pic.png.part.part"}
        size = len(left["pic.png.part"])
        assert left["pic.png.part"] == BODY[:size]
        host.stalls_at = None
        async with transport_for("own", "https://api.invalid/v1") as transport:
            saved = await save(
                transport, host.url, tmp_path, "pic.png", allow_private=True, options=options()
            )
        assert saved.path.read_bytes() == BODY
        assert files_in(tmp_path).keys() == {"pic.png"}
        assert host.asked[1:] == [(f"bytes={size - OVERLAP_BYTES}-", ETAG)]
        assert host.sent == len(BODY) - size + OVERLAP_BYTES


# --- the decisions

URL = "https://cdn.example/a.png?sig=1"
HEADERS = {"etag": ETAG, "date": format_datetime(NOW, usegmt=True)}


def the_note(**changes: object) -> Note:
    note = note_of(URL, HEADERS, total=500_000)
    assert note is not None
    return Note(**{**{name: getattr(note, name) for name in Note.__slots__}, **changes})


def test_a_note_survives_being_written() -> None:
    for note in (the_note(), the_note(etag=None, modified=HEADERS["date"])):
        assert Note.decode(note.encode()) == note


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"kinovi_async": 2}',
        the_note().encode()[:-20],
        the_note().encode().replace(b"500000", b'"5"'),
        the_note().encode().replace(b"500000", b"true"),
        the_note(etag=None).encode(),
        the_note(etag="W/weak").encode(),
        the_note(etag='"a"\r\nX: y').encode(),
        the_note(etag=None, modified="yesterday").encode(),
        the_note(etag=None, modified="Fri, 20 Nov 2026 12:00:00 GMT\r\nX: y").encode(),
        the_note(etag='"' + "x" * 9000 + '"').encode(),
    ],
)
def test_a_torn_or_edited_note_is_none(data: bytes) -> None:
    assert Note.decode(data) is None


def test_a_note_serves_its_address_and_with_an_etag_its_other_signatures() -> None:
    note, timed = the_note(), the_note(etag=None, modified=HEADERS["date"])
    assert note.serves(URL)
    assert timed.serves(URL)
    assert note.serves("https://cdn.example/a.png?sig=2#x")
    assert not timed.serves("https://cdn.example/a.png?sig=2")
    assert not note.serves("https://cdn.example/b.png?sig=1")
    assert not note.serves("https://evil.example/a.png?sig=1")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"etag": "", "last-modified": ""},
        {"etag": ETAG, "accept-ranges": "none"},
        {"last-modified": "Fri, 20 Nov 2026 12:00:00 GMT"},
        {"last-modified": "soon", "date": HEADERS["date"]},
        {"last-modified": HEADERS["date"], "date": HEADERS["date"]},
        {"last-modified": "Fri, 20 Nov 99999 12:00:00 GMT", "date": HEADERS["date"]},
    ],
)
def test_an_answer_without_a_strong_validator_has_no_note(headers: dict[str, str]) -> None:
    assert note_of(URL, headers, total=5) is None


def test_a_file_of_unknown_length_has_no_note() -> None:
    assert note_of(URL, HEADERS, total=None) is None


def test_a_part_must_be_the_one_that_was_asked_for() -> None:
    left = Leftover(the_note(), 100_000, b"head", bytes(4096))
    assert left.headers() == {"range": "bytes=95904-", "if-range": ETAG}
    right = {"content-range": "bytes 95904-499999/500000", "etag": ETAG, "content-length": "404096"}
    assert partial_problem(right, left) is None
    assert partial_problem({"content-range": right["content-range"]}, left) is None
    for name, value in [
        ("content-range", "bytes 95905-499999/500000"),
        ("content-range", "bytes 95904-499998/500000"),
        ("content-range", "bytes 95904-500000/500001"),
        ("content-range", "bytes 95904-499999/*"),
        ("content-range", "items 95904-499999/500000"),
        ("content-length", "404095"),
        ("content-encoding", "gzip"),
        ("etag", '"v2"'),
    ]:
        assert partial_problem({**right, name: value}, left) is not None
