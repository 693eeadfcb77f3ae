"""The report in a real headless Chromium, as a person uses it."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kinovi_async._cli._entry import run_app
from kinovi_async._ledger import JobState

from .browser import missing, play
from .outs import (
    HOSTILE,
    ambiguous,
    expired,
    failed,
    many,
    rejected,
    row,
    write_out,
    write_pictures,
)

reason = missing()
pytestmark = pytest.mark.skipif(reason is not None, reason=f"no browser: {reason}")

BATCH = [
    {"id": "film", "model": "seedance-20", "inputs": {"prompt": "A film of the sea", "duration": "4"}},
    {"id": "four", "model": "midjourney-v8", "inputs": {"prompt": "Four pictures"},
     "tags": {"client": "Acme"}},
    {"id": "one", "model": "nanobanana2", "inputs": {"prompt": "<script>window.hacked=1</script>"},
     "tags": {"client": "Acme"}},
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report that a simulated run wrote."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "b.jsonl").write_text("".join(json.dumps(each) + "\n" for each in BATCH))
    batch, out = str(folder / "b.jsonl"), str(folder / "out")
    assert run_app(["run", batch, "-o", out, "--simulate", "--quiet"]) == 0
    return folder / "out" / "report.html"


@pytest.fixture(scope="module")
def mixed(run: Path) -> Path:
    """A made-up directory in which jobs came to every end."""
    out = run.parents[1] / "mixed"
    write_pictures(out, [f"media/four_{number}.png" for number in range(1, 5)])
    (out / "media" / "film.mp4").write_bytes((run.parent / "media" / "film_1.mp4").read_bytes())
    four = [f"media/four_{number}.png" for number in range(1, 5)]
    rows = [
        row("film", number=1, model="seedance-20", prompt="A film of the sea", inputs={"duration": 4},
            files=["media/film.mp4"], credits=Decimal(160)),
        row("four", number=2, model="midjourney-v8", files=four, tags={"client": "Acme"}),
        failed("bad", 3, tags={"client": "Acme"}),
        rejected("no", 4), ambiguous("perhaps", 5), expired("slow", 6),
        row("lost", number=7, download_error="the host answered 503"),
        row("next", number=8, status=None, state=JobState.QUEUED),
    ]  # fmt: skip
    return write_out(out, rows)


@pytest.fixture(scope="module")
def hostile(run: Path) -> Path:
    """Jobs whose every text is an attack."""
    out = run.parents[1] / "hostile"
    write_pictures(out, ["media/x.png"])
    rows = [
        row(f"{number} {text}", number=number, prompt=text, model=text[:60], files=["media/x.png"],
            tags={text: text}, inputs={text: text})
        for number, text in enumerate(HOSTILE, start=1)
    ]  # fmt: skip
    rows += [
        failed(f"f{number}", 50 + number, {"code": text[:60], "message": text})
        for number, text in enumerate(HOSTILE)
    ]
    return write_out(out, rows)


@pytest.fixture(scope="module")
def crowd(run: Path) -> Path:
    """Five thousand jobs."""
    out = run.parents[1] / "crowd"
    return write_out(out, many(out, 5_000))


@pytest.fixture(scope="module")
def played(run: Path, mixed: Path, hostile: Path, crowd: Path) -> dict[str, dict[str, Any]]:
    """What everybody saw."""
    pages = {"gallery": run, "filters": mixed, "hostile": hostile, "many": crowd, "narrow": mixed}
    plan: dict[str, tuple[Path, dict[str, Any]]] = {name: (at, {}) for name, at in pages.items()}
    return play({**plan, "stars": (mixed, {"folder": str(run.parent)})})


@pytest.fixture
def seen(request: pytest.FixtureRequest, played: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What the scenario of a test saw: nothing went wrong, and nothing left the machine."""
    found = played[request.param]
    assert "error" not in found, found["error"]
    assert found["complaints"] == []
    assert found["schemes"] == ["file"]
    return found


@pytest.mark.parametrize("seen", ["gallery"], indirect=True)
def test_thumbnails_load_films_play_and_keys_move(seen: dict[str, Any]) -> None:
    assert seen["film"] == seen["focused"] == seen["back"] == "film"
    assert seen["next"] == seen["opened"] == "four"
    assert "A film of the sea" in seen["facts"]
    assert "160 credits ($0.80)" in seen["facts"]
    assert "task_" in seen["facts"]
    assert set(seen["loading"]) == {"lazy"}
    assert seen["playing"] == 0


@pytest.mark.parametrize("seen", ["filters"], indirect=True)
def test_filters_and_search_find_what_they_should(seen: dict[str, Any]) -> None:
    counts = {name: str(told).partition(",")[0] for name, told in seen.items()}
    assert counts["all"] == counts["again"] == "8 jobs"
    assert counts["failed"] == counts["model"] == counts["search"] == "1 of 8 jobs"
    assert counts["tag"] == "2 of 8 jobs"
    assert counts["nothing"] == "0 of 8 jobs"
    assert seen["said"] == "No job is like that."
    assert seen["model names"] == ["four"]
    assert seen["search names"] == ["film"]
    assert seen["reason names"] == ["perhaps"]
    assert seen["dearest"] == "slow"
    assert seen["spent"] in seen["all"]
    assert seen["places"] == [[str(place), "8"] for place in range(1, 9)]


@pytest.mark.parametrize("seen", ["filters"], indirect=True)
def test_on_paper_it_is_light_and_cards_flow(seen: dict[str, Any]) -> None:
    assert seen["printed"] == ["static", "rgb(247, 247, 245)"]


@pytest.mark.parametrize("seen", ["stars"], indirect=True)
def test_stars_become_picks_json_and_come_back(seen: dict[str, Any], run: Path) -> None:
    assert seen["name"] == "picks.json"
    assert json.loads((run.parent / "picks.json").read_text()) == {
        "format": "kinovi picks 1",
        "picks": [
            {"id": "film", "file": "media/film.mp4"},
            {"id": "four", "file": "media/four_3.png"},
        ],
    }
    assert seen["pressed"] == "true"
    assert seen["kept"] == ["film", "four"]
    assert (seen["cleared"], seen["loaded"]) == ("0", "2")
    # A job by its id, a file; one without files, and what is no pick.
    assert seen["by hand"] == ["2 picks loaded, 4 not in this report", "5"]


@pytest.mark.parametrize("seen", ["hostile"], indirect=True)
def test_hostile_texts_do_nothing(seen: dict[str, Any]) -> None:
    assert seen["hacked"] is None
    assert seen["scripts"] == 2
    assert seen["strange"] == 0
    shown = seen["prompts"]
    assert len(shown) == 2 * len(HOSTILE)
    assert [text for text in HOSTILE if text.isprintable()] == [
        text for text in shown[: len(HOSTILE)] if text in HOSTILE and text.isprintable()
    ]


@pytest.mark.parametrize("seen", ["many"], indirect=True)
def test_five_thousand_jobs_keep_the_document_small(seen: dict[str, Any]) -> None:
    for elements, images in seen["sizes"]:
        assert elements < 3_000
        assert images < 150
    assert seen["names"] == ["job-04242"]
    assert seen["told"].startswith(seen["opened"])
    assert "in the queue" in seen["told"]
    assert seen["wide"] == [True, True]


@pytest.mark.parametrize("seen", ["narrow"], indirect=True)
def test_a_phone_in_the_dark_can_read_it(seen: dict[str, Any]) -> None:
    assert seen["light"] != seen["dark"]
    assert seen["inside"]
    assert seen["width"] == 360
    for worst, whose in seen["contrasts"]:
        assert worst >= 4.5, whose
