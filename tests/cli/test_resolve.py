"""Ambiguous jobs: what a run says of them, and what `kinovi jobs resolve` does with them."""

# ruff: noqa: S603 - the processes are our own command

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import anyio
import pytest

from kinovi_async._cli._books import open_book
from kinovi_async._cli._resolve import Settlement, find_jobs, parse_settlement
from kinovi_async._cli._unclear import LISTED, settle_lines, unclear_lines, worst_case
from kinovi_async._errors import ConfigurationError
from kinovi_async._ledger import JobRow, Resolution
from kinovi_async._outcomes import AttemptResult, OutcomeStatus
from kinovi_async.simulator import RunningSimulator, Simulator, SubmitRule, TaskRule

from .rows import row
from .runs import SPEED, Kinovi, Serve, accepted, batch, prompts, results_of, run
from .test_process import KINOVI, environment, events_until

OUT = Path("out")


def unclear(key: str = "cat", *, reserved: int = 15, exposed: int = 0) -> JobRow:
    made = row(key, status=OutcomeStatus.AMBIGUOUS, results=(AttemptResult.AMBIGUOUS,))
    return replace(made, task_id=None, reserved=Decimal(reserved), exposed=Decimal(exposed))


def job(out: Path, key: str) -> JobRow:
    async def read() -> JobRow:
        async with open_book(out) as ledger:
            found = await ledger.get(key)
            assert found is not None
            return found

    return anyio.run(read)


def task_of(running: RunningSimulator, prompt: str) -> str:
    (task,) = (each for each in running.simulator.books.accepted if each.prompt == prompt)
    return task.task_id


@pytest.fixture
def lost(start: Serve, kinovi: Kinovi, tmp_path: Path) -> tuple[RunningSimulator, Path, Path]:
    """A run of three lines; the answer to the second was lost after it was accepted."""
    running = start(Simulator(speed=SPEED))
    running.simulator.script(SubmitRule(answer="lost-answer", prompt="picture 2", times=1))
    file, out = batch(tmp_path / "b.jsonl", 3), tmp_path / "out"
    ran = run(kinovi, file, out)
    assert ran.code == 3, ran.err
    return running, file, out


def test_a_named_task_is_waited_for_and_its_file_fetched(
    kinovi: Kinovi, lost: tuple[RunningSimulator, Path, Path]
) -> None:
    running, file, out = lost
    task_id = task_of(running, "picture 2")
    settled = kinovi("jobs", "resolve", out, "job-2", "--task-id", task_id)
    assert settled.code == 0, settled.err
    assert settled.out.splitlines() == [
        f"job-2: is task {task_id}; 15 credits ($0.075) stays reserved until the task has ended",
        "spent: 30 credits ($0.15)",
        "reserved: 15 credits ($0.075) for what is unfinished or unclear",
        "worst case: 45 credits ($0.225) in all",
        (
            "the next `kinovi run` waits for what is accepted, and fetches its files (one that "
            "is at work now does not, a scheduler or worker on this ledger does so at once); "
            "results.jsonl follows then"
        ),
    ]
    after = run(kinovi, file, out)
    assert after.code == 0, after.err
    assert results_of(out)["job-2"]["task_id"] == task_id
    assert results_of(out)["job-2"]["files"] == ["media/job-2_1.png"]
    assert accepted(running) == 3
    (attempt,) = job(out, "job-2").attempts
    assert attempt.result is AttemptResult.ACCEPTED
    assert attempt.detail is not None
    assert attempt.detail.endswith(f"; resolved: it became task {task_id}")


def test_what_was_not_created_releases_its_credits_and_is_sent_by_the_next_run(
    kinovi: Kinovi, lost: tuple[RunningSimulator, Path, Path]
) -> None:
    """Nothing was paid, so it is like a line that was never submitted: no --rerun needed."""
    running, file, out = lost
    settled = kinovi("jobs", "resolve", out, "job-2", "--not-created")
    assert settled.code == 0
    assert settled.out.splitlines()[:3] == [
        "job-2: was not created; 15 credits ($0.075) released, nothing was paid",
        "spent: 30 credits ($0.15)",
        "reserved: nothing; this is the worst case too",
    ]
    after = run(kinovi, file, out)
    assert after.code == 0, after.err
    assert "1 to generate, 2 done already" in after.err
    assert results_of(out)["job-2"]["status"] == "succeeded"
    assert results_of(out)["job-2"]["attempts"] == 1
    assert prompts(running).count("picture 2") == 2  # the books know what the person did not
    first, second = job(out, "job-2").attempts
    assert first.result is AttemptResult.NOT_SENT
    assert (first.detail or "").endswith("resolved: not created")
    assert second.result is AttemptResult.ACCEPTED


def test_what_is_resubmitted_is_sent_again_and_both_prices_count(
    kinovi: Kinovi, lost: tuple[RunningSimulator, Path, Path]
) -> None:
    _, file, out = lost
    settled = kinovi("jobs", "resolve", out, "job-2", "--resubmit")
    assert settled.code == 0
    assert settled.out.splitlines()[:4] == [
        (
            "job-2: is to be sent again; 15 credits ($0.075) stays counted as exposed, for the "
            "first submission may have been paid"
        ),
        "spent: 30 credits ($0.15)",
        (
            "exposed: 15 credits ($0.075) for submissions that were sent again and may have "
            "been accepted as well"
        ),
        "worst case: 45 credits ($0.225) in all",
    ]
    over = run(kinovi, file, out, "--budget", 59)
    assert over.code == 4, "the first submission's price is still counted"
    after = run(kinovi, file, out, "--budget", 60)
    assert after.code == 0, after.err
    assert "worst case: 60 credits ($0.30) in all" in after.out
    assert results_of(out)["job-2"]["attempts"] == 2
    results = [attempt.result for attempt in job(out, "job-2").attempts]
    assert results == [AttemptResult.AMBIGUOUS, AttemptResult.ACCEPTED]


def test_a_line_edited_under_a_resubmitted_job_is_refused(
    kinovi: Kinovi, lost: tuple[RunningSimulator, Path, Path]
) -> None:
    """Its first submission may be paid for: another request would hide that."""
    running, file, out = lost
    kinovi("jobs", "resolve", out, "job-2", "--resubmit")
    file.write_text(file.read_text().replace("picture 2", "another picture"))
    ran = run(kinovi, file, out)
    assert ran.code == 2
    assert "the line was edited, but its job 'job-2' is queued" in ran.err
    assert accepted(running) == 3


def test_all_ambiguous_jobs_are_settled_at_once(
    start: Serve, kinovi: Kinovi, tmp_path: Path
) -> None:
    running = start(Simulator(speed=SPEED))
    running.simulator.script(SubmitRule(answer="lost-answer", times=2))
    file, out = batch(tmp_path / "b.jsonl", 4), tmp_path / "out"
    assert run(kinovi, file, out).code == 3
    settled = kinovi("jobs", "resolve", out, "--all-ambiguous", "--not-created")
    assert settled.code == 0
    assert settled.out.count("was not created; 15 credits") == 2
    assert run(kinovi, file, out).code == 0
    again = kinovi("jobs", "resolve", out, "--all-ambiguous", "--not-created")
    assert again.code == 0
    assert again.out == "no job is ambiguous: nothing to settle\n"


def test_a_task_that_never_was_becomes_told_and_the_line_stays_resumable(
    kinovi: Kinovi, lost: tuple[RunningSimulator, Path, Path]
) -> None:
    """A mistyped task id costs nothing: no submission follows from it."""
    running, file, out = lost
    before = running.simulator.books.submissions
    assert kinovi("jobs", "resolve", out, "job-2", "--task-id", "task_mistyped").code == 0
    ran = run(kinovi, file, out, "--max-wait", "0.5")
    assert ran.code == 1, ran.err
    assert job(out, "job-2").status is OutcomeStatus.EXPIRED
    assert running.simulator.books.submissions == before


def test_what_cannot_be_settled_is_one_sentence_and_changes_nothing(
    kinovi: Kinovi, lost: tuple[RunningSimulator, Path, Path]
) -> None:
    _, _, out = lost
    # Each by itself would run the batch anew, which takes longer than all of this.
    for arguments, words in [
        (["job-2"], "say one of --task-id TASK_ID, --not-created and --resubmit"),
        (["job-2", "--resubmit", "--not-created"], "say one of"),
        (["job-2", "--task-id", "t", "--resubmit"], "say one of"),
        (["--resubmit"], "name one job by its ID, or all of them with --all-ambiguous"),
        (["job-2", "--all-ambiguous", "--resubmit"], "name one job by its ID, or all"),
        (["--all-ambiguous", "--task-id", "t"], "--task-id belongs to one job"),
        (["job-2", "--task-id", " "], "--task-id: an empty id"),
        (["job-2", "--task-id", "a b"], "--task-id: a task id has no spaces"),
        (["job-9", "--resubmit"], "there is no job 'job-9' in"),
        (["job-1", "--resubmit"], "job 'job-1' is not ambiguous, it is succeeded"),
    ]:
        ran = kinovi("jobs", "resolve", out, *arguments)
        assert ran.code == 2, arguments
        assert words in ran.err
        assert len(ran.err.splitlines()) == 1
        assert job(out, "job-2").status is OutcomeStatus.AMBIGUOUS


def test_the_task_of_another_job_is_refused(
    kinovi: Kinovi, lost: tuple[RunningSimulator, Path, Path]
) -> None:
    running, _, out = lost
    task_id = task_of(running, "picture 3")
    ran = kinovi("jobs", "resolve", out, "job-2", "--task-id", task_id)
    assert ran.code == 2
    assert f"task {task_id} is that of job 'job-3' already" in ran.err
    assert job(out, "job-2").status is OutcomeStatus.AMBIGUOUS


def test_a_directory_without_a_ledger_is_refused(kinovi: Kinovi, tmp_path: Path) -> None:
    ran = kinovi("jobs", "resolve", tmp_path, "cat", "--resubmit")
    assert ran.code == 2
    assert "is no output directory" in ran.err
    assert list(tmp_path.iterdir()) == []


def test_a_directory_called_resolve_can_be_listed(
    start: Serve, kinovi: Kinovi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(Simulator(speed=SPEED))
    monkeypatch.chdir(tmp_path)
    assert run(kinovi, batch(tmp_path / "b.jsonl", 1), Path("resolve")).code == 0
    assert "job-1" in kinovi("jobs", "./resolve").out
    assert "job-1" in kinovi("jobs", "--status", "succeeded", "resolve").out
    assert kinovi("jobs", "resolve").code == 2


def test_help_names_both_commands(kinovi: Kinovi) -> None:
    assert "  jobs resolve " in kinovi("--help").out
    assert "Usage: kinovi jobs [OPTIONS] " in kinovi("jobs", "--help").out
    shown = kinovi("jobs", "resolve", "--help").out
    assert "Usage: kinovi jobs resolve [OPTIONS] " in shown
    assert "paid a second time" in " ".join(shown.split())


def test_the_listing_tells_what_an_ambiguous_job_may_have_cost(
    kinovi: Kinovi, lost: tuple[RunningSimulator, Path, Path]
) -> None:
    _, _, out = lost
    ran = kinovi("jobs", out, "--status", "ambiguous")
    header, line = ran.out.splitlines()
    assert header.split()[:4] == ["ID", "STATUS", "MODEL", "CREDITS"]
    assert "job-2" in line
    assert "at most 15" in line
    assert "1 job is ambiguous: at most 15 credits ($0.075)" in ran.err
    assert f"kinovi jobs resolve {out} job-2 --resubmit  " in ran.err
    assert kinovi("jobs", out, "--status", "succeeded").err == ""


def test_the_end_of_a_run_tells_the_worst_case_and_commands_that_work(
    kinovi: Kinovi, lost: tuple[RunningSimulator, Path, Path]
) -> None:
    running, file, out = lost
    ran = run(kinovi, file, out)
    assert ran.code == 3
    assert "ambiguous: job-2 (line 2): may have cost 15 credits ($0.075): " in ran.err
    assert "1 job is ambiguous: at most 15 credits ($0.075)" in ran.err
    assert "spent: 30 credits ($0.15)" in ran.out
    assert "reserved: 15 credits ($0.075)" in ran.out
    assert "worst case: 45 credits ($0.225) in all" in ran.out
    (copied,) = (line for line in ran.err.splitlines() if "--task-id" in line)
    copied = copied.replace("TASK_ID", task_of(running, "picture 2"))
    program, *arguments = shlex.split(copied, comments=True)
    assert program == "kinovi"
    assert kinovi(*arguments).code == 0
    assert run(kinovi, file, out).code == 0


def test_the_facts_for_programs_hold_the_same_money(
    kinovi: Kinovi, lost: tuple[RunningSimulator, Path, Path]
) -> None:
    _, file, out = lost
    finished = run(kinovi, file, out, "--json").events[-1]
    assert finished["credits"] == 30
    assert finished["credits_reserved"] == 15
    assert finished["credits_exposed"] == 0
    assert finished["credits_at_most"] == 45


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_job_is_resolved_while_a_run_is_at_work(
    start: Serve, kinovi: Kinovi, tmp_path: Path
) -> None:
    """The live run neither takes it up nor writes over it; the next one goes on from it."""
    running = start(Simulator(speed=SPEED))
    running.simulator.script(
        SubmitRule(answer="lost-answer", prompt="picture 1", times=1),
        TaskRule(prompt="picture 2", stuck=True),
    )
    file, out = batch(tmp_path / "b.jsonl", 2), tmp_path / "out"
    process = subprocess.Popen(
        [*KINOVI, "run", str(file), "-o", str(out), "--json", "--poll-interval", "0.02,0.03"],
        env={**environment(), **_account(running)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert list(events_until(process, "result"))[-1]["status"] == "ambiguous"
        task_id = task_of(running, "picture 1")
        settled = kinovi("jobs", "resolve", out, "job-1", "--task-id", task_id)
        assert settled.code == 0, settled.err
        assert results_of(out)["job-1"]["status"] == "ambiguous"
    finally:
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=20)
    assert process.returncode == 130, stderr
    assert "may have cost" not in stderr
    assert json.loads(stdout.splitlines()[-1])["jobs"] == {"unfinished": 2}
    assert results_of(out) == {}
    ran = run(kinovi, file, out, "--max-wait", "1")
    assert ran.code == 1
    assert results_of(out)["job-1"]["status"] == "succeeded"
    assert accepted(running) == 2


def _account(running: RunningSimulator) -> dict[str, str]:
    return {"KINOVI_BASE_URL": running.base_url, "KINOVI_API_KEY": "sk-CANARY-of-the-command"}


# -- words -----------------------------------------------------------------------------


def test_many_ambiguous_jobs_are_told_in_few_lines() -> None:
    lines = list(unclear_lines([unclear(f"job-{n}") for n in range(500)], {}, OUT))
    assert len(lines) == LISTED + 7
    assert lines[LISTED] == "ambiguous: 480 more; all of them: kinovi jobs out --status ambiguous"
    assert lines[LISTED + 1] == "500 jobs are ambiguous: at most 7,500 credits ($37.50)"
    assert "--all-ambiguous" in lines[-1]


def test_no_ambiguous_job_is_no_line() -> None:
    assert list(unclear_lines([], {}, OUT)) == []
    assert list(settle_lines([], OUT)) == []


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([unclear(exposed=30)], "at most 45 credits ($0.225)"),
        ([unclear(reserved=0)], "at most the price of 1 job"),
        ([unclear("a", reserved=0), unclear("b")], "at most 15 credits ($0.075) and the price of"),
    ],
)
def test_the_worst_case_counts_every_submission(rows: list[JobRow], words: str) -> None:
    assert worst_case(rows).startswith(words)


@pytest.mark.parametrize("key", ["two words", "it's", "-x", "$(rm)", "a#b"])
def test_the_printed_command_names_the_job_whatever_its_id(key: str) -> None:
    lines = [line for line in settle_lines([unclear(key)], Path("my out")) if "kinovi" in line]
    assert len(lines) == 3
    for line in lines:
        words = shlex.split(line, comments=True)
        assert words[:3] == ["kinovi", "jobs", "resolve"]
        place = words.index("my out")
        assert words[place + 1] == key
        assert ("--" in words[:place]) == key.startswith("-")


def test_a_job_on_the_wire_is_told_as_one() -> None:
    from kinovi_async._ledger import JobState

    sending = {"cat": row(state=JobState.SENDING)}
    with pytest.raises(ConfigurationError, match="being sent; if no run is at work here"):
        find_jobs(sending, Settlement(Resolution.RESUBMIT, key="cat"), OUT)


def test_a_settlement_is_read_from_its_arguments() -> None:
    none = {"all_ambiguous": False, "not_created": False, "resubmit": False}
    assert parse_settlement("cat", **none, task_id=" t1\n") == Settlement(
        Resolution.ACCEPTED, "t1", "cat"
    )
    assert parse_settlement(
        None, task_id=None, **(none | {"all_ambiguous": True, "resubmit": True})
    ) == Settlement(Resolution.RESUBMIT)
