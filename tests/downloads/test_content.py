from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinovi_async._downloads._content import (
    HEAD_BYTES,
    UNKNOWN_EXTENSION,
    check_content,
    declared_type,
    expected_type,
    extension_for,
    is_media_extension,
    looks_like_html,
    media_type_of,
    same_format,
    sniff,
)
from tests.downloads.fakes import MP4, PNG

HEADS = {
    "image/png": PNG,
    "image/jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF",
    "image/gif": b"GIF89a\x01\x00",
    "image/webp": b"RIFF\x24\x00\x00\x00WEBPVP8 ",
    "image/avif": b"\x00\x00\x00\x20ftypavif\x00\x00",
    "image/heic": b"\x00\x00\x00\x20ftypheic\x00\x00",
    "image/bmp": b"BM\x36\x00\x0c\x00\x00\x00\x00\x00\x36",
    "image/tiff": b"II*\x00\x08\x00",
    "video/mp4": MP4,
    "video/quicktime": b"\x00\x00\x00\x14ftypqt  \x00\x00",
    "video/webm": b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm",
    "video/x-matroska": b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x88matroska",
    "audio/wav": b"RIFF\x24\x00\x00\x00WAVEfmt ",
    "audio/mpeg": b"ID3\x04\x00\x00",
    "audio/mp4": b"\x00\x00\x00\x20ftypM4A \x00\x00",
    "audio/aac": b"\xff\xf1\x50\x80",
    "audio/ogg": b"OggS\x00\x02",
    "audio/flac": b"fLaC\x00\x00",
}
PAGES = [
    b"<!DOCTYPE html><html>",
    b"  \r\n<!doctype HTML>",
    b"<HTML lang=en>",
    b"\xef\xbb\xbf<html>",
    "\ufeff<html><body>Sperre</body>".encode("utf-16-le"),
    "\ufeff<html>".encode("utf-16-be"),
    b"<?xml version='1.0'?>\n<!-- proxy --><!DOCTYPE html PUBLIC>",
    b"<!-- never closed " + b"x" * 2000,
    b"<head><title>502</title>",
    b"<center><h1>Bad Gateway</h1>",
    "<html>被拒绝".encode("gbk"),
]


@pytest.mark.parametrize(("media_type", "head"), HEADS.items())
def test_the_first_bytes_tell_the_media_type(media_type: str, head: bytes) -> None:
    assert sniff(head) == media_type
    assert check_content("image", head[:HEAD_BYTES]) is None
    assert not looks_like_html(head)
    assert extension_for(media_type, "") != UNKNOWN_EXTENSION


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"\x00\x00\x00\x08wide\x00\x00", "video/quicktime"),
        (b"\xff\xfb\x90\x00", "audio/mpeg"),
        (b"\x00\x00\x00\x18ftypmp42", "video/mp4"),
        (b"\xff\xfe<\x00", None),
        (b"RIFF\x24\x00\x00\x00AVI ", None),
        (b"\xff", None),
        (b"", None),
        (b"hello", None),
    ],
)
def test_less_usual_first_bytes(head: bytes, media_type: str | None) -> None:
    assert sniff(head) == media_type


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("declared", ["image/png", "video", None, "application/octet-stream"])
def test_a_web_page_is_no_result(page: bytes, declared: str | None) -> None:
    assert looks_like_html(page[:HEAD_BYTES])
    assert "web page" in str(check_content(declared, page[:HEAD_BYTES]))


@pytest.mark.parametrize("text", [b'{"message": "expired"}', b"[]", b'\n { "a": 1', b"[ {"])
def test_a_json_error_is_no_picture_but_may_be_something_else(text: bytes) -> None:
    assert "JSON" in str(check_content("image/png", text))
    assert check_content("application/json", text) is None
    assert check_content(None, text) is None


def test_an_xml_error_is_no_picture_but_a_drawing_is() -> None:
    assert "XML" in str(check_content("image", b"<?xml version='1.0'?><Error><Code>AccessDenied"))
    assert check_content("image", b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/'>") is None
    assert check_content("video", b"<svg>") is not None


def test_nothing_is_no_result_and_unknown_bytes_are_kept() -> None:
    assert check_content("image/png", b"") == "the file is empty"
    assert check_content("image/png", b"some unknown picture format") is None
    assert check_content("image/png", bytes(64)) is None
    assert check_content("text/html", b"<html>") is None


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=1100), st.none() | st.text(max_size=20))
def test_any_bytes_are_judged_without_an_error(head: bytes, declared: str | None) -> None:
    problem = check_content(declared, head)
    assert problem is None or problem.isprintable()
    assert sniff(head) is None or "/" in str(sniff(head))


@pytest.mark.parametrize(
    ("media_type", "url", "extension"),
    [
        ("image/png", "https://h/x.jpg", ".png"),
        ("image/JPEG; charset=x", "https://h/x", ".jpg"),
        ("image/jpg", "https://h/x", ".jpg"),
        (None, "https://h/a/x.JPEG?sig=1.exe", ".jpeg"),
        ("application/octet-stream", "https://h/x.mp4", ".mp4"),
        (None, "https://h/x.exe", ".bin"),
        ("image/svg+xml", "https://h/x.svg", ".bin"),
        (None, "https://h/x.svg", ".bin"),
        ("text/html", "https://h/x.html", ".bin"),
        (None, "https://h/a.png/x", ".bin"),
        (None, "https://[", ".bin"),
        (None, "", ".bin"),
        (None, "https://h/png", ".bin"),
    ],
)
def test_the_extension_is_one_of_media_whatever_the_server_says(
    media_type: str | None, url: str, extension: str
) -> None:
    assert extension_for(media_type, url) == extension


def test_what_a_file_should_be_is_declared_or_read_off_the_address() -> None:
    assert expected_type("image/PNG", "https://h/x.mp4") == "image/png"
    assert expected_type(None, "https://h/x.m4v") == "video/mp4"
    assert expected_type("application/octet-stream", "https://h/x.jpeg") == "image/jpeg"
    assert expected_type("application/zip", "https://h/x") == "application/zip"
    assert expected_type(None, "https://h/x") is None


def test_a_hosts_useless_word_gives_way_to_the_records() -> None:
    assert declared_type("text/plain", "image/png") == "image/png"
    assert declared_type("image/webp", "image/png") == "image/webp"
    assert declared_type("text/plain", None) == "text/plain"
    assert declared_type(None, "image") is None
    assert media_type_of("nonsense") is None


def test_spellings_of_one_extension_are_one_format() -> None:
    assert same_format(".JPEG", ".jpg")
    assert not same_format(".jpg", ".png")
    assert is_media_extension(".TIF")
    assert not is_media_extension(".exe")
