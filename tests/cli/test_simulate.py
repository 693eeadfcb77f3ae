"""The simulator of `--simulate` outlives its command, as an account does."""

from __future__ import annotations

import json
from pathlib import Path

from kinovi_async._cli._simulate import kept_calls, lasting_simulator
from kinovi_async._records import TaskStatus

KEY = "simulated-key"
BEARER = f"Bearer {KEY}"


def body(prompt: str) -> bytes:
    return json.dumps({"model": "nanobanana2", "inputs": {"prompt": prompt}}).encode()


def test_the_next_one_knows_the_same_tasks_with_the_same_ends(tmp_path: Path) -> None:
    calls = tmp_path / "calls.jsonl"
    first = lasting_simulator(calls, speed=1, key=KEY)
    for prompt in ("one", "two", "one"):
        assert first.submit(BEARER, body(prompt), "http://a").answer.status == 200
    second = lasting_simulator(calls, speed=1, key=KEY)
    before, after = first.books.accepted, second.books.accepted
    assert [task.task_id for task in after] == [task.task_id for task in before]
    for old, new in zip(before, after, strict=True):
        assert old.ends_at is not None
        assert new.ends_at is not None
        assert abs(old.ends_at - new.ends_at) < 0.5
        assert new.status is not TaskStatus.FAIL
    assert second.books.running == 3
    third = lasting_simulator(calls, speed=1, key=KEY)
    assert len(third.books.accepted) == 3


def test_refused_calls_are_not_kept(tmp_path: Path) -> None:
    calls = tmp_path / "calls.jsonl"
    simulator = lasting_simulator(calls, speed=1, key=KEY)
    assert simulator.submit(BEARER, b"{}", "").answer.status == 400
    assert list(kept_calls(calls)) == []


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    calls = tmp_path / "calls.jsonl"
    lasting_simulator(calls, speed=1, key=KEY).submit(BEARER, body("one"), "")
    calls.write_bytes(calls.read_bytes() + b'{"at": 17, "bo')
    assert len(list(kept_calls(calls))) == 1
    assert len(lasting_simulator(calls, speed=1, key=KEY).books.accepted) == 1
