"""`kinovi check`: what it says about prices and budgets."""

from __future__ import annotations

import json
from pathlib import Path

from kinovi_async.simulator import Simulator

from .runs import SPEED, Kinovi, Serve, batch, run


def lines(path: Path, *models: str) -> Path:
    bodies = [{"model": model, "inputs": {"prompt": "x"}} for model in models]
    path.write_text("".join(json.dumps(body) + "\n" for body in bodies))
    return path


def test_an_unknown_price_is_not_told_as_nothing(kinovi: Kinovi, tmp_path: Path) -> None:
    ran = kinovi("check", lines(tmp_path / "b.jsonl", "unheard-of"))
    assert ran.code == 0
    assert "cost: unknown for 1 job" in ran.out
    assert "0 credits" not in ran.out


def test_jobs_of_unknown_price_are_counted_once(kinovi: Kinovi, tmp_path: Path) -> None:
    ran = kinovi("check", lines(tmp_path / "b.jsonl", "nanobanana2", "unheard-of"))
    assert "cost: 15 credits ($0.075) for 1 job, and unknown for 1 job" in ran.out


def test_a_budget_that_is_spent_is_enough_when_nothing_is_left_to_pay(
    kinovi: Kinovi, start: Serve, tmp_path: Path
) -> None:
    start(Simulator(speed=SPEED))
    file = batch(tmp_path / "b.jsonl", 2)
    assert run(kinovi, file, tmp_path / "out").code == 0
    ran = kinovi("check", file, "-o", tmp_path / "out", "--budget", "5")
    assert "budget: 0 credits left of 5 credits, enough" in ran.out


def test_a_document_over_several_lines_is_told_once(kinovi: Kinovi, tmp_path: Path) -> None:
    for text in ('[\n{"model": "x"},\n{"model": "y"}\n]\n', '{\n  "model": "x"\n}\n'):
        file = tmp_path / "b.jsonl"
        file.write_text(text)
        ran = kinovi("check", file)
        assert ran.code == 2
        assert "b.jsonl:1: every request is one line: {" in ran.err
        assert "1 problem" in ran.err


def test_a_json_file_is_told_what_is_needed(kinovi: Kinovi, tmp_path: Path) -> None:
    file = tmp_path / "b.json"
    file.write_text("[]")
    ran = kinovi("check", file)
    assert ran.code == 2
    assert "is neither .jsonl nor .csv" in ran.err
    assert "one request a line" in ran.err
