"""Local files in requests: what is taken, what is stored, and what JSON must not do."""

from __future__ import annotations

import io
import os
import pickle
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from kinovi_async import (
    Generation,
    Image,
    InvalidRequestError,
    LocalFile,
    Midjourney,
    NanoBanana2,
    OmniReference,
    Upload,
    Video,
    parse_request,
)
from kinovi_async._requests import body_hash, restore_request
from kinovi_async._sniffing import sniff
from tests.media_files import HTML, MP4, WAV, png, write


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    return write(tmp_path / "cat.png", png())


def test_a_path_becomes_a_file_known_by_its_content(cat: Path) -> None:
    (file,) = NanoBanana2(prompt="p", image_urls=[cat]).files
    assert isinstance(file, LocalFile)
    assert file.path == str(cat)
    assert file.size == len(png())
    assert file.media_type == "image/png"
    assert "cat" not in file.upload_name


def test_a_relative_path_is_stored_as_an_absolute_one(
    cat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(cat.parent)
    (file,) = NanoBanana2(prompt="p", image_urls=[Path("cat.png")]).files
    assert file.path == str(cat)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("page.png", HTML, "of no known type"),
        ("clip.mp4", MP4, "video/mp4"),
        ("empty.png", b"", "an empty file"),
        ("text.png", b"hello", "of no known type"),
        ("photo.gif", b"GIF89a" + bytes(20), "image/gif"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_allowed(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    path = write(tmp_path / name, content)
    body = {"model": "nanobanana2", "inputs": {"prompt": "p", "imageUrls": [path]}}
    with pytest.raises(InvalidRequestError) as info:
        parse_request(body)
    (problem,) = info.value.problems
    assert problem.field == "inputs.imageUrls[0]"
    assert problem.allowed == "an image file (JPEG, PNG or WebP)"
    assert problem.given.endswith(f"({reason})")
    assert len(problem.given) <= 80


def test_a_directory_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.png", Path("\0")):
        with pytest.raises(ValidationError, match="an image file"):
            NanoBanana2(prompt="p", image_urls=[path])


def test_a_pipe_and_links_in_a_circle_are_refused_at_once(tmp_path: Path) -> None:
    circle, pipe = tmp_path / "circle.png", tmp_path / "pipe.png"
    circle.symlink_to(circle)
    with pytest.raises(ValidationError, match=r"links in a circle|[Tt]oo many"):
        NanoBanana2(prompt="p", image_urls=[circle])
    if hasattr(os, "mkfifo"):
        os.mkfifo(pipe)
        with pytest.raises(ValidationError, match="not a regular file"):
            NanoBanana2(prompt="p", image_urls=[pipe])


class Stream:
    """As little as a file can be."""

    def read(self) -> bytes:
        return png(3)


def test_a_stream_that_knows_nothing_but_reading_is_taken() -> None:
    (file,) = NanoBanana2(prompt="p", image_urls=[Stream()]).files
    assert file.content == png(3)


def test_open_files_are_taken_by_name_or_kept_in_memory(cat: Path) -> None:
    with cat.open("rb") as stream:
        (named,) = NanoBanana2(prompt="p", image_urls=[stream]).files
    (nameless,) = NanoBanana2(prompt="p", image_urls=[io.BytesIO(png())]).files
    assert named.path == str(cat)
    assert nameless.path is None
    assert nameless.content == png()
    assert named.sha256 == nameless.sha256
    with cat.open(encoding="latin-1") as text, pytest.raises(ValidationError, match="as text"):
        NanoBanana2(prompt="p", image_urls=[text])


def test_a_path_as_text_is_no_address(cat: Path) -> None:
    with pytest.raises(ValidationError, match="http or https"):
        NanoBanana2(prompt="p", image_urls=[str(cat)])


def test_a_callback_is_never_a_file(cat: Path) -> None:
    with pytest.raises(ValidationError):
        NanoBanana2(prompt="p", callback_url=cat)


def test_the_kind_of_a_mixed_reference_is_that_of_its_content(tmp_path: Path, cat: Path) -> None:
    clip = write(tmp_path / "looks-like.png", MP4)
    request = OmniReference(prompt="@video1 @image1", urls=[clip, cat])
    uploaded = {f.sha256: f"https://x.test/{f.upload_name}" for f in request.files}
    inputs: Any = request.to_wire(api_generation="2026-09", uploaded=uploaded)["inputs"]
    assert [url[-4:] for url in inputs["imageUrls"] + inputs["videoUrls"]] == [".png", ".mp4"]
    with pytest.raises(ValidationError, match="a video file"):
        OmniReference(prompt="p", urls=[Video(cat)])
    with pytest.raises(ValidationError, match="an image file"):
        OmniReference(prompt="p", urls=[Image(clip)])
    with pytest.raises(ValidationError, match="an image file"):
        OmniReference(prompt="p", urls=[write(tmp_path / "a.wav", WAV)])


def test_a_citation_counts_local_files(cat: Path) -> None:
    with pytest.raises(ValidationError, match="@video1"):
        OmniReference(prompt="@video1", urls=[cat])


def test_a_request_with_a_file_has_no_wire_form_before_the_upload(cat: Path) -> None:
    for request in (
        NanoBanana2(prompt="p", image_urls=[cat]),
        Midjourney(prompt="p", source_image_url=cat),
        OmniReference(prompt="p", urls=[cat]),
        Generation(model="new", inputs={"x": [cat]}),
    ):
        with pytest.raises(InvalidRequestError, match="uploaded first"):
            request.to_wire()
        (file,) = request.files
        wire = request.to_wire(uploaded={file.sha256: "https://x.test/1.png"})
        assert "https://x.test/1.png" in str(wire)
        assert str(cat) not in str(wire)


def test_the_stored_form_comes_back_without_the_file_and_tells_an_edit(cat: Path) -> None:
    requests = (
        NanoBanana2(prompt="p", image_urls=["https://x.test/1.png", cat]),
        Midjourney(model="midjourney-v8", prompt="p", source_image_url=cat),
        OmniReference(prompt="@image1", urls=[cat]),
        Generation(model="new", inputs={"x": [cat]}),
        Generation(model="nanobanana2", inputs={"prompt": "p", "imageUrls": [cat]}),
        Generation(model="nanobanana2", inputs={"y": cat}, check=False),
    )
    content = cat.read_bytes()
    cat.unlink()
    for request in requests:
        stored = request.to_stored()
        back = restore_request(stored)
        assert back.to_stored() == stored
        assert body_hash(back) == body_hash(request)
        assert back.files == request.files
        assert back.cost() == request.cost()
        assert pickle.loads(pickle.dumps(request)) == request  # noqa: S301
    write(cat, content + b"edited")
    again = NanoBanana2(prompt="p", image_urls=["https://x.test/1.png", cat])
    assert body_hash(again) != body_hash(requests[0])


def test_json_cannot_name_a_file(cat: Path) -> None:
    """A server that takes bodies from outside must not be made to read its own files."""
    form = NanoBanana2(prompt="p", image_urls=[cat]).to_stored()["inputs"]["imageUrls"][0]  # type: ignore[index, call-overload]
    for value in (form, {"file": str(cat)}, str(cat), f"file://{cat}"):
        for model in ("nanobanana2", "seedance-20"):
            inputs = {"prompt": "p", "imageUrls": [value], "urls": [value], "mode": "reference"}
            with pytest.raises(InvalidRequestError):
                parse_request({"model": model, "inputs": inputs})
    with pytest.raises(InvalidRequestError, match="local file"):
        parse_request({"model": "new", "inputs": {"x": form}})
    assert parse_request({"model": "new", "inputs": {"x": {"file": str(cat)}}}).files == ()


def test_an_upload_is_its_address_with_its_kind() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    image = Upload("https://x.test/1", at, 1, "image/png")
    video = Upload("https://x.test/2", at, 1, "video/mp4")
    assert NanoBanana2(prompt="p", image_urls=[image]).image_urls == ("https://x.test/1",)
    request = OmniReference(prompt="@image1 @video1", urls=[image, video])
    inputs: Any = request.to_wire(api_generation="2026-09")["inputs"]
    assert (inputs["imageUrls"], inputs["videoUrls"]) == ([image.url], [video.url])
    with pytest.raises(ValidationError):
        NanoBanana2(prompt="p", image_urls=[video])


WEBM = b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\xf2\x81\x04B\xf3\x81\x08B\x82\x84webm"
MOV = b"\x00\x00\x00\x14ftypqt  " + bytes(20)
FLAC = b"fLaC" + bytes(40)


def _boxed(brand: bytes) -> bytes:
    return b"\x00\x00\x00\x18ftyp" + brand + bytes(12)


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (_boxed(b"crx "), "image/x-canon-cr3"),
        (_boxed(b"heim"), "image/heic"),
        (_boxed(b"hevx"), "image/heic"),
        (_boxed(b"miaf"), "image/heic"),
        (_boxed(b"F4A "), "audio/mp4"),
        (_boxed(b"mp42"), "video/mp4"),
        (b"\x00\x00\x00\x08free\x00\x00\x10\x00mdat", "video/quicktime"),
        (b"RF64\xff\xff\xff\xffWAVEds64", "audio/wav"),
    ],
)
def test_rare_forms_of_media_are_known_for_what_they_are(content: bytes, media_type: str) -> None:
    assert sniff(content) == media_type


@pytest.mark.parametrize("brand", [b"mp42", b"isom", b"dash", b"M4A "])
def test_sound_in_an_mp4_of_no_brand_of_its_own_is_told_by_its_name(
    tmp_path: Path, cat: Path, brand: bytes
) -> None:
    voice = write(tmp_path / "Voice 001.M4A", _boxed(brand))
    (_, file) = OmniReference(prompt="p", urls=[cat], audio_urls=[voice]).files
    assert (file.media_type, file.upload_name[-4:]) == ("audio/mp4", ".m4a")


@pytest.mark.parametrize(
    ("model", "field", "content", "allowed"),
    [
        ("wan3.0-ref-to-video", "videoUrls", WEBM, "a video file (MP4 or MOV)"),
        ("wan3.0-prime-ref-to-video", "videoUrls", WEBM, "a video file (MP4 or MOV)"),
        ("wan3.0-ref-to-video", "audioUrls", FLAC, "an audio file (MP3, WAV, M4A or OGG)"),
        ("seedance2-5-edit", "videoUrls", WAV, "a video file (MP4, MOV or WebM)"),
    ],
)
def test_a_model_takes_files_of_its_own_formats(
    tmp_path: Path, model: str, field: str, content: bytes, allowed: str
) -> None:
    path = write(tmp_path / "media", content)
    media_type = str(sniff(content))
    upload = Upload("https://x.test/1", datetime(2026, 1, 1, tzinfo=UTC), 1, media_type)
    for value in (path, upload):
        with pytest.raises(InvalidRequestError, match=re.escape(f"request for {model}")) as info:
            parse_request({"model": model, "inputs": {"prompt": "p", field: [value]}})
        (problem,) = info.value.problems
        assert (problem.field, problem.allowed) == (f"inputs.{field}[0]", allowed)
        assert media_type in problem.given


def test_a_video_that_only_the_later_api_reads_is_refused_by_the_seeds(
    tmp_path: Path, cat: Path
) -> None:
    for content in (MOV, WEBM):
        clip = write(tmp_path / "clip", content)
        request = OmniReference(prompt="p", urls=[cat, clip])
        uploaded = {file.sha256: f"https://x.test/{file.upload_name}" for file in request.files}
        assert request.to_wire(api_generation="2026-09", uploaded=uploaded)
        with pytest.raises(InvalidRequestError, match="request for seedance-20") as info:
            request.to_wire(uploaded=uploaded)
        (problem,) = info.value.problems
        assert problem.field == "inputs.urls[1]"
        assert problem.allowed == (
            "an image file (JPEG, PNG or WebP) or a video file (MP4) (API generation seed)"
        )
        assert restore_request(request.to_stored()).to_stored() == request.to_stored()
        # In the form that it always had: a job of an earlier version keeps its hash.
        stored: Any = request.to_stored()["inputs"]
        assert list(stored) == ["urls", "prompt", "mode"]
    assert OmniReference(prompt="p", urls=[write(tmp_path / "clip", MP4)]).cost() == 200
