"""The events of `--json` are those of docs/json-events.md, field for field."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kinovi_async.progress._snapshot import snapshot_facts
from kinovi_async.simulator import Faults, Simulator
from tests.progress.shots import shot

from .runs import POLL, SPEED, Kinovi, Serve, batch, run

PAGE = Path(__file__).parents[2] / "docs" / "json-events.md"


@pytest.fixture(scope="module")
def documented() -> dict[str, set[str]]:
    text, _, _worker = PAGE.read_text("utf-8").partition("## `kinovi worker")
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| (.*) \|$", text, re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", fields)) for name, fields in rows}


def test_every_event_and_every_field_is_documented(
    tmp_path: Path, start: Serve, kinovi: Kinovi, documented: dict[str, set[str]]
) -> None:
    start(Simulator(limit=2, speed=SPEED, faults=Faults(fail=0.5), seed=3))
    file = batch(tmp_path / "b.jsonl", 8)
    events = run(kinovi, file, tmp_path / "out", "--json").events
    events += kinovi("check", file, "--json").events
    start(Simulator(speed=SPEED, credits=0))
    events += run(kinovi, file, tmp_path / "poor", "--json").events
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text('{"model": "nanobanana2"}\n')
    events += kinovi("run", wrong, "-o", tmp_path / "no", "--json", "--poll-interval", POLL).events
    told = set()
    for event in events:
        name = str(event.pop("event"))
        assert set(event) == documented[name], name
        told.add(name)
    # Progress comes once a second at most, and the run above may be quicker.
    assert set(snapshot_facts(shot())) == documented["progress"]
    assert told | {"progress"} == set(documented)
