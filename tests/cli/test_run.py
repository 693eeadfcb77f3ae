"""`kinovi run` against a simulator on a real socket, judged by the simulator's books."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import cast

import pytest

from kinovi_async.simulator import AccountSettings, Simulator, SubmitRule, TaskRule

from .runs import KEY, SPEED, Kinovi, Serve, accepted, batch, prompts, results_of, run


def test_a_batch_fills_three_slots_and_the_second_run_does_nothing(
    start: Serve, kinovi: Kinovi, tmp_path: Path
) -> None:
    running = start(Simulator(speed=SPEED, limit=3))
    file, out = batch(tmp_path / "b.jsonl", 24), tmp_path / "out"
    first = run(kinovi, file, out)
    assert first.code == 0, first.err
    assert "24 jobs: 24 succeeded" in first.out
    assert "spent: 360 credits ($1.80)" in first.out
    books = running.simulator.books
    assert books.peak_running <= 3
    assert len(books.accepted) == 24
    assert len(set(prompts(running))) == 24
    assert books.keys_leaked == 0
    found = results_of(out)
    assert [line["line"] for line in found.values()] == list(range(1, 25))
    assert {line["attempts"] for line in found.values()} == {1}
    for line in found.values():
        (name,) = cast("list[str]", line["files"])
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    again = run(kinovi, file, out)
    assert again.code == 0
    assert "24 done already" in again.err
    assert again.out.startswith("nothing to do\n")
    assert "spent: 360 credits ($1.80) in all, 0 in this run\n" in again.out
    assert running.simulator.books.submissions == books.submissions
    assert running.simulator.books.downloads == books.downloads
    everything = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    assert KEY.encode() not in everything


def test_max_in_flight_bounds_from_above(start: Serve, kinovi: Kinovi, tmp_path: Path) -> None:
    running = start(Simulator(speed=SPEED, limit=5))
    ran = run(kinovi, batch(tmp_path / "b.jsonl"), tmp_path / "out", "--max-in-flight", 2)
    assert ran.code == 0
    assert running.simulator.books.peak_running <= 2


def test_a_bad_file_sends_nothing(start: Serve, kinovi: Kinovi, tmp_path: Path) -> None:
    running = start(Simulator())
    file = tmp_path / "b.csv"
    file.write_text("id,model,prompt,duration\na,seedance-20,x,60\nb,seedance-20,,5\n")
    ran = run(kinovi, file, tmp_path / "out")
    assert ran.code == 2
    assert f"{file}:2: inputs.duration: a whole number from 4 to 15" in ran.err
    assert f"{file}:3: inputs.prompt" in ran.err
    assert "nothing was sent: 2 problems" in ran.err
    assert running.simulator.books.submissions == 0
    assert not (tmp_path / "out").exists()


def test_a_missing_key_is_named(
    kinovi: Kinovi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KINOVI_API_KEY", raising=False)
    ran = run(kinovi, batch(tmp_path / "b.jsonl"), tmp_path / "out")
    assert ran.code == 2
    assert "KINOVI_API_KEY" in ran.err
    assert len(ran.err.splitlines()) == 1
    assert "--simulate" in ran.err
    assert "--simulate" not in kinovi("task", "task_1").err


def test_a_dry_run_needs_no_key_and_writes_nothing(
    kinovi: Kinovi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KINOVI_API_KEY", raising=False)
    ran = run(kinovi, batch(tmp_path / "b.jsonl"), tmp_path / "out", "--dry-run", "--budget", 50)
    assert ran.code == 0
    assert "cost: 90 credits ($0.45) for 6 jobs" in ran.out
    assert "not enough: the run will stop there" in ran.out
    assert not (tmp_path / "out").exists()


def test_failures_are_left_until_rerun_and_may_be_edited(
    start: Serve, kinovi: Kinovi, tmp_path: Path
) -> None:
    running = start(Simulator(speed=SPEED))
    running.simulator.script(TaskRule(prompt="picture 1", code="2038", times=1))
    file, out = batch(tmp_path / "b.jsonl", 3), tmp_path / "out"
    ran = run(kinovi, file, out)
    assert ran.code == 1
    assert "2 succeeded" in ran.out
    assert "1 failed" in ran.out
    assert "\njob-1: failed: [2038] " in ran.err
    failed = results_of(out)["job-1"]
    assert failed["credits"] == 0
    assert failed["error"]["code"] == "2038"  # type: ignore[index]
    batch(file, 3, aspectRatio="1:1")
    again = run(kinovi, file, out)
    assert again.code == 1
    assert accepted(running) == 3
    rerun = run(kinovi, file, out, "--rerun", "failed,rejected")
    assert rerun.code == 0, rerun.err
    assert accepted(running) == 4
    mended = results_of(out)["job-1"]
    assert (mended["status"], mended["attempts"], mended["credits"]) == ("succeeded", 2, 15)


def test_a_line_edited_under_a_paid_job_is_refused(
    start: Serve, kinovi: Kinovi, tmp_path: Path
) -> None:
    running = start(Simulator(speed=SPEED))
    file, out = batch(tmp_path / "b.jsonl", 3), tmp_path / "out"
    assert run(kinovi, file, out).code == 0
    batch(file, 4, resolution="4k")
    ran = run(kinovi, file, out)
    assert ran.code == 2
    assert f"{file}:1: id: the line was edited, but its job 'job-1' is succeeded" in ran.err
    assert accepted(running) == 3


def test_a_shorter_file_touches_only_its_lines(
    start: Serve, kinovi: Kinovi, tmp_path: Path
) -> None:
    running = start(Simulator(speed=SPEED))
    file, out = batch(tmp_path / "b.jsonl", 6), tmp_path / "out"
    assert run(kinovi, file, out, "--first", 2).code == 0
    assert accepted(running) == 2
    check = kinovi("check", file, "-o", out)
    assert "4 new" in check.out
    assert "2 done" in check.out
    batch(file, 1)
    assert "1 gone from the file (not touched): job-2" in kinovi("check", file, "-o", out).out
    assert run(kinovi, file, out).code == 0
    assert set(results_of(out)) == {"job-1", "job-2"}


def test_the_budget_stops_the_run_over_all_resumes(
    start: Serve, kinovi: Kinovi, tmp_path: Path
) -> None:
    running = start(Simulator(speed=SPEED))
    file, out = batch(tmp_path / "b.jsonl", 6), tmp_path / "out"
    ran = run(kinovi, file, out, "--budget", 50)
    assert ran.code == 4
    assert "budget" in ran.err
    assert "3 succeeded, 3 unfinished" in ran.out
    assert running.simulator.books.spent == 45
    assert run(kinovi, file, out, "--budget", 50).code == 4
    assert running.simulator.books.spent == 45
    assert run(kinovi, file, out, "--budget", 90).code == 0
    assert running.simulator.books.spent == 90


def test_a_budget_refuses_an_unknown_price(start: Serve, kinovi: Kinovi, tmp_path: Path) -> None:
    running = start(Simulator(speed=SPEED))
    file = tmp_path / "b.jsonl"
    file.write_text('{"model": "future-1", "inputs": {"prompt": "x"}}\n')
    ran = run(kinovi, file, tmp_path / "out", "--budget", 50)
    assert ran.code == 2
    assert "--assume-cost" in ran.err
    assert running.simulator.books.submissions == 0


@pytest.mark.parametrize("status", [401, 402, 403])
def test_the_account_stops_the_run_with_one_sentence(
    start: Serve, kinovi: Kinovi, tmp_path: Path, status: int
) -> None:
    running = start(Simulator(speed=SPEED))
    running.simulator.script(SubmitRule(answer=status, nth=3, times=None))
    file, out = batch(tmp_path / "b.jsonl", 5), tmp_path / "out"
    ran = run(kinovi, file, out, "--max-in-flight", 1)
    assert ran.code == 4
    assert sum(line.startswith("stopped: ") for line in ran.err.splitlines()) == 1
    assert "2 succeeded, 3 unfinished" in ran.out
    assert set(results_of(out)) == {"job-1", "job-2"}
    resumed = run(kinovi, file, out)
    assert resumed.code == 0
    assert len(prompts(running)) == len(set(prompts(running))) == 5


def test_a_wrong_address_stops_the_run_and_is_named(
    start: Serve, kinovi: Kinovi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start(Simulator(speed=SPEED))
    wrong = f"{running.origin}/api/v7"
    monkeypatch.setenv("KINOVI_BASE_URL", wrong)
    ran = run(kinovi, batch(tmp_path / "b.jsonl", 3), tmp_path / "out")
    assert ran.code == 4
    assert f"{wrong} may be the wrong address" in ran.err
    assert "KINOVI_BASE_URL" in ran.err


@pytest.mark.parametrize("name", ["KINOVI_BASE_URL", "KINOVI_API_KEY"])
def test_a_refused_environment_leaves_nothing_behind(
    start: Serve, kinovi: Kinovi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    start(Simulator())
    monkeypatch.setenv(name, "http://example.com/\x07")
    file, out = batch(tmp_path / "b.jsonl"), tmp_path / "out"
    assert run(kinovi, file, out).code == 2
    assert kinovi("generate", "nanobanana2", "-p", "x", "-o", out).code == 2
    assert kinovi("task", "task_1", "-o", out).code == 2
    assert not out.exists()


def test_an_unknown_model_is_told_once_with_the_likely_one(kinovi: Kinovi, tmp_path: Path) -> None:
    file = tmp_path / "b.jsonl"
    lines = [
        {"model": model, "inputs": {"prompt": f"{model} {number}"}}
        for model in ("nobananna2", "future-1", "nanobanana2")
        for number in range(2)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    ran = kinovi("check", file)
    assert ran.code == 0
    passed = "not described here, passed through unchecked, price unknown"
    assert ran.err.splitlines() == [
        f"model nobananna2: {passed}; did you mean nanobanana2?",
        f"model future-1: {passed}",
    ]


def test_a_500_that_may_have_been_paid_is_told_as_such(
    start: Serve, kinovi: Kinovi, tmp_path: Path
) -> None:
    running = start(Simulator(speed=SPEED))
    running.simulator.script(SubmitRule(answer=500, times=1))
    ran = run(kinovi, batch(tmp_path / "b.jsonl", 1), tmp_path / "out")
    assert ran.code == 0
    assert "exposed: 15 credits ($0.075) for submissions that were sent again" in ran.out
    assert "worst case: 30 credits ($0.15) in all" in ran.out
    assert "reserved" not in ran.out


def test_a_template_without_an_extension_gets_one(
    start: Serve, kinovi: Kinovi, tmp_path: Path
) -> None:
    start(Simulator(speed=SPEED))
    file, out = batch(tmp_path / "b.jsonl", 1), tmp_path / "out"
    assert run(kinovi, file, out, "--name-template", "{model}-{id}").code == 0
    assert results_of(out)["job-1"]["files"] == ["media/nanobanana2-job-1.png"]


def test_stop_after_failures(start: Serve, kinovi: Kinovi, tmp_path: Path) -> None:
    running = start(Simulator(speed=SPEED))
    running.simulator.script(TaskRule(code="2038"))
    ran = run(
        kinovi,
        batch(tmp_path / "b.jsonl", 9),
        tmp_path / "out",
        "--max-in-flight",
        1,
        "--stop-after-failures",
        2,
    )
    assert ran.code == 4
    assert "2 jobs failed (--stop-after-failures)" in ran.err
    assert accepted(running) <= 3


def test_retry_failed_runs_again_what_is_worth_it(
    start: Serve, kinovi: Kinovi, tmp_path: Path
) -> None:
    running = start(Simulator(speed=SPEED))
    busy = "The service is temporarily unavailable"
    running.simulator.script(TaskRule(code="500", message=busy, prompt="picture 1", times=2))
    running.simulator.script(TaskRule(code="2038", prompt="picture 2"))
    running.simulator.script(TaskRule(code="500", message=busy, prompt="picture 3"))
    out = tmp_path / "out"
    ran = run(kinovi, batch(tmp_path / "b.jsonl", 3), out, "--retry-failed", 2)
    assert ran.code == 1, ran.err
    ended = {key: (line["status"], line["attempts"]) for key, line in results_of(out).items()}
    assert ended == {"job-1": ("succeeded", 3), "job-2": ("failed", 1), "job-3": ("failed", 3)}
    assert accepted(running) == 7
    assert running.simulator.books.spent == 15


def test_an_unclear_submission_is_held_and_priced(
    start: Serve, kinovi: Kinovi, tmp_path: Path
) -> None:
    running = start(Simulator(speed=SPEED))
    running.simulator.script(SubmitRule(answer="lost-answer", prompt="picture 2"))
    file, out = batch(tmp_path / "b.jsonl", 3), tmp_path / "out"
    ran = run(kinovi, file, out)
    assert ran.code == 3
    assert "ambiguous: job-2 (line 2): may have cost 15 credits ($0.075)" in ran.err
    assert results_of(out)["job-2"]["credits"] is None
    assert run(kinovi, file, out, "--rerun", "failed,rejected").code == 3
    assert prompts(running) == ["picture 1", "picture 2", "picture 3"]


def test_hold_on_500_sends_once(start: Serve, kinovi: Kinovi, tmp_path: Path) -> None:
    running = start(Simulator(speed=SPEED))
    running.simulator.script(SubmitRule(answer=500, times=1))
    file = batch(tmp_path / "b.jsonl", 1)
    assert run(kinovi, file, tmp_path / "held", "--hold-on-500").code == 3
    assert running.simulator.books.submissions == 1
    running.simulator.reset()
    running.simulator.script(SubmitRule(answer=500, times=1))
    assert run(kinovi, file, tmp_path / "retried").code == 0
    assert results_of(tmp_path / "retried")["job-1"]["attempts"] == 2


def test_a_lost_file_is_fetched_again_and_nothing_is_paid(
    start: Serve, kinovi: Kinovi, tmp_path: Path
) -> None:
    running = start(Simulator(speed=SPEED))
    file, out = batch(tmp_path / "b.jsonl", 2), tmp_path / "out"
    assert run(kinovi, file, out).code == 0
    (out / "media" / "job-1_1.png").unlink()
    ran = run(kinovi, file, out)
    assert ran.code == 0
    assert "1 with files to fetch, 1 done already" in ran.err
    assert (out / "media" / "job-1_1.png").is_file()
    (out / "media" / "job-2_1.png").unlink()
    assert kinovi("download", out).code == 0
    assert (out / "media" / "job-2_1.png").is_file()
    assert accepted(running) == 2


def test_without_download_the_files_come_later(
    start: Serve, kinovi: Kinovi, tmp_path: Path
) -> None:
    start(Simulator(speed=SPEED))
    file, out = batch(tmp_path / "b.jsonl", 2), tmp_path / "out"
    assert run(kinovi, file, out, "--no-download").code == 0
    assert results_of(out)["job-1"]["files"] == []
    assert run(kinovi, file, out, "--name-template", "{model}-{line}{ext}").code == 0
    assert results_of(out)["job-1"]["files"] == ["media/nanobanana2-1.png"]


def test_names_that_differ_only_in_case_stay_apart(
    start: Serve, kinovi: Kinovi, tmp_path: Path
) -> None:
    start(Simulator(speed=SPEED))
    file, out = tmp_path / "b.csv", tmp_path / "out"
    file.write_text("id,model,prompt\nCat,nanobanana2,x\ncat,nanobanana2,y\n../cat,nanobanana2,z\n")
    assert run(kinovi, file, out).code == 0
    names = {path.name.casefold() for path in (out / "media").iterdir()}
    assert len(names) == 3


def test_json_events_tell_the_whole_story(start: Serve, kinovi: Kinovi, tmp_path: Path) -> None:
    start(Simulator(speed=SPEED))
    ran = run(kinovi, batch(tmp_path / "b.jsonl", 2), tmp_path / "out", "--json")
    assert ran.code == 0
    names = [event["event"] for event in ran.events]
    assert {"queued", "submitted", "accepted", "ended", "result", "finished"} <= set(names)
    assert names[-1] == "finished"
    assert ran.events[-1]["exit_code"] == 0
    results = [event for event in ran.events if event["event"] == "result"]
    assert {event["id"] for event in results} == {"job-1", "job-2"}
    assert all(event["files"] for event in results)
    assert "2 jobs: 2 succeeded" in ran.err


def test_quiet_says_nothing_when_all_is_well(start: Serve, kinovi: Kinovi, tmp_path: Path) -> None:
    start(Simulator(speed=SPEED))
    ran = run(kinovi, batch(tmp_path / "b.jsonl", 1), tmp_path / "out", "--quiet")
    assert (ran.code, ran.out, ran.err) == (0, "", "")


def test_simulated_and_real_jobs_are_not_mixed(
    start: Serve, kinovi: Kinovi, tmp_path: Path
) -> None:
    start(Simulator(speed=SPEED))
    file, out = batch(tmp_path / "b.jsonl", 1), tmp_path / "out"
    assert run(kinovi, file, out).code == 0
    ran = kinovi("run", file, "-o", out, "--simulate")
    assert ran.code == 2
    assert "holds real jobs" in ran.err


def test_failed_jobs_come_back_as_a_csv_that_runs(
    start: Serve, kinovi: Kinovi, tmp_path: Path
) -> None:
    running = start(Simulator(speed=SPEED))
    running.simulator.script(TaskRule(prompt="=bad", code="2038", times=1))
    file, out = tmp_path / "b.csv", tmp_path / "out"
    file.write_text(
        'id;model;prompt;quality;aspect_ratio;szene\n1;midjourney-v7;"=bad; ""x""";0,5;1:1;früh\n'
        "2;midjourney-v7;good;;;\n",
        encoding="cp1252",
    )
    tags = ("--tags", "szene")
    assert run(kinovi, file, out, *tags).code == 1
    mended = tmp_path / "mended.csv"
    mended.write_text(kinovi("jobs", out, "--status", "failed", "--format", "csv").out)
    header, row = mended.read_text().splitlines()
    assert header == "id,model,prompt,aspect_ratio,quality,szene,status,error".replace(
        "aspect_ratio,quality", ",".join(sorted(["aspect_ratio", "quality"], key=header.index))
    )
    assert "'=bad" in row
    assert "2038" in row
    ran = run(kinovi, mended, out, *tags, "--rerun", "failed")
    assert ran.code == 0, ran.err
    bodies = [dict(task.body["inputs"]) for task in running.simulator.books.accepted]  # type: ignore[call-overload]
    again = [body for body in bodies if body["prompt"] == '=bad; "x"']
    assert len(again) == 2
    assert again[0] == again[1]
    assert results_of(out)["1"]["tags"] == {"szene": "früh"}


def test_jobs_lists_what_is_there(start: Serve, kinovi: Kinovi, tmp_path: Path) -> None:
    running = start(Simulator(speed=SPEED))
    running.simulator.script(TaskRule(prompt="picture 1", code="2038"))
    file, out = batch(tmp_path / "b.jsonl", 2), tmp_path / "out"
    run(kinovi, file, out)
    table = kinovi("jobs", out)
    assert table.code == 0
    assert len(table.out.splitlines()) == 3
    lines = kinovi("jobs", out, "--status", "succeeded", "--format", "jsonl").out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["job-2"]
    assert kinovi("jobs", out, "--status", "nonsense").code == 2
    assert kinovi("jobs", tmp_path / "nowhere").code == 2


def test_generate_and_task(start: Serve, kinovi: Kinovi, tmp_path: Path) -> None:
    running = start(Simulator(speed=2000))
    ran = kinovi(
        "generate",
        "nanobanana2",
        "--prompt",
        "a cat",
        "--set",
        "aspect_ratio=1:1",
        "-o",
        tmp_path,
    )
    assert ran.code == 0, ran.err
    url, path = ran.out.splitlines()
    assert url.startswith(running.origin)
    assert Path(path).read_bytes().startswith(b"\x89PNG")
    (task,) = running.simulator.books.accepted
    assert task.body["inputs"] == {"prompt": "a cat", "aspectRatio": "1:1"}
    shown = kinovi("task", task.task_id, "--wait")
    assert json.loads(shown.out)["status"] == "success"
    saved = kinovi("task", task.task_id, "--wait", "-o", tmp_path / "saved")
    assert json.loads(saved.out)["status"] == "success"
    (fetched,) = (tmp_path / "saved").iterdir()
    assert fetched.read_bytes().startswith(b"\x89PNG")
    unknown = kinovi("task", "task_unknown")
    assert unknown.code == 1
    assert "kinovi: task task_unknown: " in unknown.err
    wrong = kinovi("generate", "nanobanana2", "--prompt", "x", "--set", "duration=5")
    assert wrong.code == 2
    assert "inputs.duration" in wrong.err


def test_a_balance_of_another_account_does_not_matter(
    start: Serve, kinovi: Kinovi, tmp_path: Path
) -> None:
    running = start(Simulator(speed=SPEED, keys={KEY: AccountSettings(credits=Decimal(30))}))
    ran = run(kinovi, batch(tmp_path / "b.jsonl", 4), tmp_path / "out")
    assert ran.code == 4
    assert "nsufficient" in ran.err or "credits" in ran.err
    assert running.simulator.books.spent == 30
