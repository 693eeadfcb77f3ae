"""What an address shows, and what a prompt may cite."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinovi_async._errors import InvalidRequestError
from kinovi_async._requests import Image, OmniReference, Video, parse_request
from kinovi_async._requests._kinds import Kind
from kinovi_async._requests._references import Reference, citations, kind_of

IMAGE = "https://example.com/a.png"
VIDEO = "https://example.com/a.mp4"
UNKNOWN = "https://example.com/asset/a"
AUDIO = "https://example.com/a.mp3"


@pytest.mark.parametrize(
    ("reference", "kind"),
    [
        *((f"https://example.com/a.{ext}", Kind.IMAGE) for ext in ("jpg", "jpeg", "png", "webp")),
        *((f"https://example.com/a.{ext}", Kind.VIDEO) for ext in ("mp4", "mov", "webm")),
        *((f"https://example.com/a.{ext}", Kind.AUDIO) for ext in ("mp3", "wav", "flac")),
        ("https://example.com/a.b.JPG?file=c.mp4#d.mp4", Kind.IMAGE),
        ("https://example.com/a?file=c.mp4", None),
        ("https://example.mp4/a", None),
        ("https://example.com/a.gif", None),
        ("https://example.com/v.mp4/", None),
        ("https://example.com/.png", None),
        (Image(VIDEO), Kind.IMAGE),
        (Video(UNKNOWN), Kind.VIDEO),
    ],
)
def test_the_kind_is_marked_or_read_off_the_path(reference: Reference, kind: Kind | None) -> None:
    assert kind_of(reference) is kind


ACCEPTED = [
    ("A sunset without citations", [IMAGE], []),
    ("A person @image1 walking on the beach", [IMAGE], []),
    ("@image1 and @Image2 having a conversation", [IMAGE, VIDEO, IMAGE], []),
    ("@IMAGE1 performs the moves from @ViDeO1", [VIDEO, IMAGE], []),
    ("synced to @Audio1 and @AUDIO2", [IMAGE], [AUDIO, AUDIO]),
    ("@image01 is the first", [IMAGE], []),
    ("让@image1跳舞", [IMAGE], []),
    ("(@image1,@image1)", [IMAGE], []),
    ("mail me @home, @images, @image, @imagine1", [VIDEO], []),
    ("@image1", [UNKNOWN], []),
    ("@video1", [UNKNOWN], []),
    ("@image2 and @video1", [IMAGE, UNKNOWN, VIDEO], []),
    ("@image1 and @video1", [UNKNOWN, UNKNOWN], []),
    ("@image1 and @video1", [Image(UNKNOWN), Video(UNKNOWN)], []),
]


@pytest.mark.parametrize(("prompt", "urls", "audio"), ACCEPTED)
def test_a_citation_of_something_given_is_accepted(
    prompt: str, urls: list[Reference], audio: list[str]
) -> None:
    assert OmniReference(prompt=prompt, urls=urls, audio_urls=audio).prompt == prompt


REFUSED = [
    ("@image2", [IMAGE], [], "@image2", "@image1"),
    ("@image0", [IMAGE], [], "@image0", "@image1"),
    ("@Video1 dances", [IMAGE, IMAGE], [], "@Video1", "@image1 to @image2"),
    ("@image1 and @video4", [IMAGE, VIDEO], [], "@video4", "@image1 and @video1"),
    ("@audio1", [IMAGE], [], "@audio1", "@image1"),
    ("@audio2", [IMAGE], [AUDIO], "@audio2", "@image1 and @audio1"),
    ("@image3", [IMAGE, UNKNOWN], [], "@image3", "@image1 to @image2 and @video1"),
    ("@image2 @image2 @audio9", [IMAGE], [], "@image2, @audio9", "@image1"),
    # One file of unknown kind cannot be both.
    ("@image1 and @video1", [UNKNOWN], [], "@image1, @video1", "@image1 and @video1"),
    ("@image1", [Video(UNKNOWN)], [], "@image1", "@video1"),
]


@pytest.mark.parametrize(("prompt", "urls", "audio", "given_text", "citable"), REFUSED)
def test_a_citation_of_nothing_is_refused(
    prompt: str, urls: list[Reference], audio: list[str], given_text: str, citable: str
) -> None:
    inputs = {"prompt": prompt, "urls": urls, "audioUrls": audio, "mode": "reference"}
    with pytest.raises(InvalidRequestError) as caught:
        parse_request({"model": "seedance-20", "inputs": inputs})
    (problem,) = caught.value.problems
    assert problem.field == "inputs.prompt"
    assert problem.given == given_text
    assert problem.allowed == f"@ references to what is given, here {citable}"


def test_an_endless_number_is_no_crash() -> None:
    digits = "9" * 5000
    with pytest.raises(InvalidRequestError) as caught:
        parse_request(
            {
                "model": "seedance-20",
                "inputs": {
                    "prompt": f"@image{digits[:3900]}",
                    "urls": [IMAGE],
                    "mode": "reference",
                },
            }
        )
    assert len(caught.value.problems[0].given) <= 80
    assert [each.number for each in citations(f"@image{digits}")] == [999999]


@pytest.mark.parametrize("inputs", [{}, {"urls": [IMAGE]}])
def test_the_other_modes_have_no_citations(inputs: dict[str, object]) -> None:
    with pytest.raises(InvalidRequestError, match=r"@Image1") as caught:
        parse_request({"model": "seedance-20", "inputs": {**inputs, "prompt": "@Image1 walks"}})
    assert 'mode "reference"' in str(caught.value)


@settings(deadline=None)
@given(
    images=st.integers(0, 9),
    videos=st.integers(0, 3),
    cited=st.lists(
        st.tuples(st.sampled_from(["image", "Video"]), st.integers(1, 10)), min_size=1, max_size=4
    ),
)
def test_without_unknown_kinds_exactly_the_given_may_be_cited(
    images: int, videos: int, cited: list[tuple[str, int]]
) -> None:
    if images + videos == 0:
        images = 1
    urls = [IMAGE] * images + [VIDEO] * videos
    prompt = "A scene with " + " and ".join(f"@{kind}{number}" for kind, number in cited)
    fine = all(number <= (images if kind == "image" else videos) for kind, number in cited)
    body = {"model": "seedance-20", "inputs": {"prompt": prompt, "urls": urls, "mode": "reference"}}
    if fine:
        assert parse_request(body).to_wire() == body
    else:
        with pytest.raises(InvalidRequestError):
            parse_request(body)
