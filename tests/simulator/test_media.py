"""Files: real pictures and videos of the promised size and length, served as HTTP wants it."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFont

from kinovi_async.simulator import Faults, Simulator, TaskRule
from kinovi_async.simulator._media import MediaStore, draw
from kinovi_async.simulator._movies import annotated, boxes, film, length, retimed
from kinovi_async.simulator._pictures import picture, shown, wrapped
from kinovi_async.simulator._ranges import part_of
from kinovi_async.simulator._state import Download
from tests.simulator.calls import Clock, JsonObject, banana, caller, seedance

if TYPE_CHECKING:
    import httpx

RATIOS = {
    "16:9": (1280, 720),
    "9:16": (720, 1280),
    "1:1": (960, 960),
    "4:3": (1112, 834),
    "3:4": (834, 1112),
    "21:9": (1470, 630),
}


def midjourney(**inputs: Any) -> JsonObject:
    return {"model": "midjourney-v7", "inputs": {"prompt": "x", **inputs}}


def described(movie: bytes) -> dict[str, Any]:
    """What a player reads off an MP4: its boxes, sizes, lengths and frames."""
    found: dict[str, Any] = {"top": [box.kind for box in boxes(movie)]}

    def read(start: int, end: int) -> None:
        for box in boxes(movie, start, end):
            if box.kind in {b"moov", b"trak", b"mdia", b"minf", b"stbl"}:
                read(box.start, box.end)
            elif box.kind == b"mvhd":
                timescale, duration = struct.unpack_from(">II", movie, box.start + 12)
                found["movie_seconds"] = duration / timescale
            elif box.kind == b"mdhd":
                timescale, duration = struct.unpack_from(">II", movie, box.start + 12)
                found["track_seconds"] = duration / timescale
            elif box.kind == b"tkhd":
                width, height = struct.unpack_from(">II", movie, box.end - 8)
                found["size"] = (width >> 16, height >> 16)
            elif box.kind == b"stsd":
                found["codec"] = movie[box.start + 12 : box.start + 16]
            elif box.kind == b"stsz":
                (found["frames"],) = struct.unpack_from(">I", movie, box.start + 8)

    read(0, len(movie))
    return found


async def finished(simulator: Simulator, clock: Clock, body: JsonObject) -> JsonObject:
    async with caller(simulator) as client:
        task_id = await client.created(body)
        clock.advance(1000)
        return await client.record(task_id)


@pytest.mark.parametrize(
    ("body", "count", "size"),
    [
        (banana(), 1, (1792, 2368)),
        (banana(aspectRatio="1:1", resolution="1k"), 1, (1024, 1024)),
        (banana(aspectRatio="16:9", resolution="4k"), 1, (5504, 3072)),
        (midjourney(), 4, (1024, 1024)),
        (midjourney(aspectRatio="21:9"), 4, (1680, 720)),
        ({"model": "gpt-image-2", "inputs": {"prompt": "x", "aspectRatio": "4:3"}}, 1, (1184, 896)),
    ],
)
async def test_pictures_have_the_size_that_their_record_states(
    body: JsonObject, count: int, size: tuple[int, int], clock: Clock
) -> None:
    simulator = Simulator(clock=clock)
    record = await finished(simulator, clock, body)
    assert len(record["output"]) == count
    contents = set()
    async with caller(simulator, key=None) as client:
        for output in record["output"]:
            answer = await client.get(output["url"])
            assert answer.headers["content-type"] == "image/png"
            with Image.open(io.BytesIO(answer.content)) as image:
                image.load()
                assert (image.format, image.size) == ("PNG", size)
            assert (output["width"], output["height"]) == size
            contents.add(answer.content)
    assert len(contents) == count


@pytest.mark.parametrize("upscale", [None, "4k"])
@pytest.mark.parametrize("ratio", RATIOS)
async def test_videos_have_the_size_and_length_that_were_asked_for(
    ratio: str, upscale: str | None, clock: Clock
) -> None:
    more = {"upscaleResolution": upscale} if upscale else {}
    simulator = Simulator(clock=clock)
    record = await finished(simulator, clock, seedance(aspectRatio=ratio, duration="7", **more))
    (output,) = record["output"]
    width, height = (side * (3 if upscale else 1) for side in RATIOS[ratio])
    assert (output["width"], output["height"]) == (width, height)
    async with caller(simulator, key=None) as client:
        answer = await client.get(output["url"])
    assert answer.headers["content-type"] == "video/mp4"
    movie = described(answer.content)
    # The movie's header before its data: a browser plays it while it still arrives.
    assert [kind for kind in movie["top"] if kind in {b"ftyp", b"moov", b"mdat"}] == [
        b"ftyp",
        b"moov",
        b"mdat",
    ]
    assert (movie["size"], movie["codec"]) == ((width, height), b"avc1")
    assert (movie["movie_seconds"], movie["track_seconds"]) == (7, 7)
    assert movie["frames"] == (12 if upscale else 120)


@pytest.mark.parametrize("seconds", range(1, 31))
def test_every_documented_length_is_exact(seconds: int) -> None:
    movie = film(1280, 720, seconds, "note")
    assert length(movie) == pytest.approx(seconds, abs=1e-3)
    assert described(movie)["track_seconds"] == pytest.approx(seconds, abs=1e-3)


def test_retiming_touches_the_timescales_alone() -> None:
    original = film(720, 1280, 5, "")
    again = retimed(original, 11)
    assert sum(a != b for a, b in zip(original, again, strict=True)) <= 8
    assert retimed(again, 5) == original


def test_a_header_with_64_bit_times_is_retimed_too() -> None:
    header = struct.pack(">B3xQQIQ", 1, 0, 0, 1000, 8000) + bytes(80)
    box = struct.pack(">I4s", len(header) + 8, b"mvhd") + header
    movie = struct.pack(">I4s", len(box) + 8, b"moov") + box
    assert (length(movie), length(retimed(movie, 4))) == (8, 4)


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_video_of_no_length_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="lasts longer"):
        retimed(film(960, 960, 5, ""), seconds)


def test_a_file_without_a_movie_is_refused() -> None:
    for no_movie in (b"", annotated(b"", "x")):
        with pytest.raises(ValueError, match="no movie header"):
            retimed(no_movie, 5)
        with pytest.raises(ValueError, match="no movie header"):
            length(no_movie)


@pytest.mark.parametrize(
    "broken", [b"\0\0\0", b"\0\0\0\x07free", b"\0\0\0\x09free", b"\0\0\0\x01free\0\0\0"]
)
def test_a_broken_box_is_refused(broken: bytes) -> None:
    with pytest.raises(ValueError, match="byte 0"):
        list(boxes(broken))


def test_a_box_may_have_a_long_size_or_reach_to_the_end() -> None:
    long = struct.pack(">I4sQ", 1, b"mdat", 20) + b"four"
    last = struct.pack(">I4s", 0, b"free") + b"rest"
    assert [(kind, end - start) for kind, start, end in boxes(long + last)] == [
        (b"mdat", 4),
        (b"free", 4),
    ]


@given(st.binary(max_size=64))
def test_boxes_of_any_bytes_end_or_are_refused(data: bytes) -> None:
    try:
        found = list(boxes(data))
    except ValueError:
        return
    assert all(0 <= box.start <= box.end <= len(data) for box in found)


HOSTILE = [
    "",
    " ",
    "\n\r\t\x00\x1b[31m",
    "\ud800 lone surrogate",
    "漢字かな交じり文と한국어",
    "🐆👩\u200d👩\u200d👧 emoji",
    "مرحبا \u202e overridden",
    "e" + "\u0301" * 500,
    "x" * 4000,
    "word " * 800,
    "\u2028\u2029\ufeff\uffff",
    "<script>alert(1)</script> %s %n {}",
]


@pytest.mark.parametrize("prompt", HOSTILE, ids=ascii)
def test_any_prompt_can_be_drawn(prompt: str) -> None:
    content = picture(320, 240, prompt, "footer", name=prompt)
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        assert image.size == (320, 240)


@settings(max_examples=60, deadline=None)
@given(st.text(), st.integers(64, 300), st.integers(64, 300))
def test_any_text_can_be_drawn_at_any_size(text: str, width: int, height: int) -> None:
    with Image.open(io.BytesIO(picture(width, height, text, text, name=text))) as image:
        assert image.size == (width, height)


def test_a_picture_shows_its_prompt() -> None:
    blank = picture(400, 400, "", "", name="same")
    written = picture(400, 400, "a cat", "", name="same")
    other = picture(400, 400, "a cow", "", name="same")
    assert len({blank, written, other}) == 3


@given(st.text(max_size=300), st.integers(20, 400), st.integers(1, 5))
def test_wrapped_text_fits_and_a_cut_one_ends_in_an_ellipsis(
    text: str, width: int, rows: int
) -> None:
    font = ImageFont.load_default(12)
    text = shown(text)
    lines = wrapped(text, font, width, rows)
    assert len(lines) <= rows
    assert all(font.getlength(line) <= width or len(line) <= 2 for line in lines)
    kept = "".join(lines).replace(" ", "")
    everything = text.replace(" ", "")
    assert kept == everything or (
        kept.endswith("…") and everything.startswith(kept.removesuffix("…"))
    )


async def test_a_file_has_a_length_a_type_and_a_tag_and_head_says_the_same(clock: Clock) -> None:
    simulator = Simulator(clock=clock)
    record = await finished(simulator, clock, seedance())
    async with caller(simulator, key=None) as client:
        url = record["output"][0]["url"]
        got, head = await client.get(url), await client.head(url)
    assert (head.status_code, head.content) == (200, b"")
    assert int(got.headers["content-length"]) == len(got.content)
    for name in ("content-length", "content-type", "etag", "accept-ranges"):
        assert got.headers[name] == head.headers[name]
    assert got.headers["accept-ranges"] == "bytes"


async def test_a_file_comes_in_pieces_and_not_again_when_it_is_there(clock: Clock) -> None:
    simulator = Simulator(clock=clock)
    record = await finished(simulator, clock, banana(resolution="1k"))
    async with caller(simulator, key=None) as client:
        url = record["output"][0]["url"]
        whole = await client.get(url)
        size, tag = len(whole.content), whole.headers["etag"]

        async def part(**headers: str) -> httpx.Response:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.get(url, headers=names)

        first, rest = await part(range="bytes=0-99"), await part(range="bytes=100-")
        assert first.content + rest.content == whole.content
        assert (first.status_code, first.headers["content-length"]) == (206, "100")
        assert first.headers["content-range"] == f"bytes 0-99/{size}"
        last = await part(range="bytes=-10", if_range=tag)
        assert last.content == whole.content[-10:]
        changed = await part(range="bytes=0-9", if_range='"other"')
        assert (changed.status_code, changed.content) == (200, whole.content)
        beyond = await part(range=f"bytes={size}-")
        assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")
        known = await part(if_none_match=tag)
        assert (known.status_code, known.content) == (304, b"")


def pieces(wanted: str | None, **more: str | None) -> tuple[int, int, int]:
    options: dict[str, str | None] = {"if_range": None, "if_none_match": None, **more}
    return part_of(100, '"tag"', wanted=wanted, **options)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (None, (200, 0, 100)),
        ("bytes=0-", (206, 0, 100)),
        ("bytes=5-5", (206, 5, 6)),
        ("bytes=90-1000", (206, 90, 100)),
        ("bytes=-1000", (206, 0, 100)),
        ("bytes=-0", (416, 0, 0)),
        ("bytes=100-", (416, 0, 0)),
        ("bytes=9-5", (200, 0, 100)),
        ("bytes=-", (200, 0, 100)),
        ("bytes=0-1,5-6", (200, 0, 100)),
        ("lines=0-1", (200, 0, 100)),
        ("bytes=a-b", (200, 0, 100)),
    ],
)
def test_which_piece_a_range_means(wanted: str | None, expected: tuple[int, int, int]) -> None:
    assert pieces(wanted) == expected


def test_a_tag_that_matches_wins_over_a_range() -> None:
    assert pieces("bytes=0-1", if_none_match='"x", W/"tag"') == (304, 0, 0)
    assert pieces("bytes=0-1", if_none_match="*") == (304, 0, 0)
    assert pieces("bytes=0-1", if_none_match='"x"') == (206, 0, 2)


@given(st.text(max_size=30), st.integers(0, 1000))
def test_any_range_is_answered_within_the_file(text: str, size: int) -> None:
    status, start, end = part_of(
        size, '"t"', wanted=f"bytes={text}", if_range=None, if_none_match=None
    )
    assert status in {200, 206, 416}
    assert 0 <= start <= end <= size


async def test_only_files_of_succeeded_tasks_exist(clock: Clock) -> None:
    simulator = Simulator(clock=clock)
    simulator.script(TaskRule(prompt="bad", code="2038"))
    async with caller(simulator, key="k") as client:
        good, bad = await client.created(banana("good")), await client.created(banana("bad"))
        origin = "http://simulator/media"

        async def status(path: str) -> int:
            return (await client.get(f"{origin}/{path}")).status_code

        assert await status(f"{good}/0.png") == 404
        clock.advance(1000)
        assert await status(f"{good}/0.png") == 200
        for path in (f"{bad}/0.png", f"{good}/1.png", f"{good}/0.mp4", f"{good}/x", "no/0.png"):
            assert await status(path) == 404


async def test_a_key_sent_to_a_file_is_noticed(clock: Clock) -> None:
    simulator = Simulator(clock=clock)
    record = await finished(simulator, clock, banana())
    url = record["output"][0]["url"]
    async with caller(simulator, key=None) as without, caller(simulator) as with_key:
        await without.get(url)
        assert (simulator.books.downloads, simulator.books.keys_leaked) == (1, 0)
        await with_key.get(url)
    assert (simulator.books.downloads, simulator.books.keys_leaked) == (2, 1)


async def test_files_fail_and_break_off_by_rate(clock: Clock) -> None:
    for faults, status in ((Faults(media_error=1), 503), (Faults(media_truncated=1), 200)):
        simulator = Simulator(clock=clock, faults=faults)
        record = await finished(simulator, clock, banana())
        async with caller(simulator, key=None) as client:
            answer = await client.get(record["output"][0]["url"])
        assert answer.status_code == status
        if status == 200:
            assert len(answer.content) == int(answer.headers["content-length"]) // 2


async def test_the_same_task_has_the_same_bytes_after_they_were_dropped(clock: Clock) -> None:
    simulator = Simulator(clock=clock)
    record = await finished(simulator, clock, banana(resolution="1k"))
    found = simulator.find_file(record["taskId"], "0.png", with_key=False)
    assert isinstance(found, Download)
    store = MediaStore(room=1)
    assert store.drawn(found.task, 0) == draw(found.task, 0)
    assert store.kept(found.task, 0) is None


def test_the_least_recently_wanted_file_is_dropped_first(clock: Clock) -> None:
    simulator = Simulator(clock=clock, limit=10)
    tasks = []
    for number in range(3):
        body = f'{{"model":"seedance-20","inputs":{{"prompt":"{number}"}}}}'.encode()
        simulator.submit("Bearer k", body, "http://x/media")
    clock.advance(1000)
    for accepted in simulator.books.accepted:
        found = simulator.find_file(accepted.task_id, "0.mp4", with_key=False)
        assert isinstance(found, Download)
        tasks.append(found.task)
    one, two, three = tasks
    store = MediaStore(room=2 * len(draw(one, 0).content) + 10)
    store.drawn(one, 0)
    store.drawn(two, 0)
    assert store.kept(one, 0) is not None
    store.drawn(three, 0)
    assert [store.kept(task, 0) is not None for task in (one, two, three)] == [True, False, True]
    store.clear()
    assert store.kept(one, 0) is None
