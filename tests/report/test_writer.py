"""When the report is written, and what happens when it cannot be."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from kinovi_async._cli._entry import run_app
from kinovi_async._cli._report import REPORT_NAME, RunReport, report_on, write_report
from kinovi_async._cli._report._command import is_live
from kinovi_async._cli._report._writer import LEAST_PAUSE, pause_after
from kinovi_async._cli._results import RESULTS_NAME
from kinovi_async._errors import ConfigurationError
from kinovi_async._ledger import JsonObject, MemoryLedger, NewJob, SQLiteLedger

from .outs import NOW, row

JOB: JsonObject = {"model": "nanobanana2", "inputs": {"prompt": "x"}}


def keeper(out: Path, said: list[str]) -> RunReport:
    return RunReport(out, tags={}, simulated=False, tell=said.append, warn=said.append)


def test_a_report_takes_a_twentieth_of_the_time_at_most() -> None:
    assert pause_after(0.01) == LEAST_PAUSE
    assert pause_after(3.0) == 60


def test_the_old_page_or_the_new_one_is_there(tmp_path: Path) -> None:
    path = write_report(tmp_path, [row("one")], live=False, simulated=False, at=NOW)
    first = path.read_text("utf-8")
    write_report(tmp_path, [row("one"), row("two", number=2)], live=False, simulated=False, at=NOW)
    assert "two" in path.read_text("utf-8") != first
    assert [each.name for each in tmp_path.iterdir()] == [REPORT_NAME]


def test_a_link_that_waits_for_the_page_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("mine")
    (tmp_path / f".{REPORT_NAME}.{os.getpid()}.tmp").symlink_to(other)
    path = write_report(tmp_path, [row("one")], live=False, simulated=False, at=NOW)
    assert other.read_text() == "mine"
    assert not path.is_symlink()


def test_a_page_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / REPORT_NAME).mkdir()
    with pytest.raises(OSError, match="irectory"):
        write_report(tmp_path, [], live=False, simulated=False)
    assert [each.name for each in tmp_path.iterdir()] == [REPORT_NAME]


async def test_a_run_s_report_is_written_at_once_and_when_jobs_have_ended(tmp_path: Path) -> None:
    page, results = tmp_path / REPORT_NAME, tmp_path / RESULTS_NAME
    ledger = MemoryLedger()
    await ledger.open()
    results.write_text("")
    seen: list[str] = []
    scope = anyio.CancelScope()

    async def sleep(seconds: float) -> None:
        """A pause: nothing happens in the first, a job is entered and ends in the second."""
        await anyio.lowlevel.checkpoint()
        assert seconds >= LEAST_PAUSE
        seen.append(page.read_text("utf-8") if page.exists() else "")
        page.unlink(missing_ok=True)
        if len(seen) == 2:
            await ledger.add([NewJob("one", JOB, 1.0)])
            results.write_text("{}")
        if len(seen) == 3:
            scope.cancel()
            await anyio.lowlevel.checkpoint()

    said: list[str] = []
    report = RunReport(
        tmp_path, tags={}, simulated=False, tell=said.append, warn=said.append, sleep=sleep
    )
    with scope:
        await report.keep(ledger)
    first, unchanged, last = seen
    assert "Run in progress" in first
    assert unchanged == ""
    assert "1 queued" in last
    await report.finish(await ledger.rows())
    text = page.read_text("utf-8")
    assert "Run in progress" not in text
    assert "1 queued" in text
    assert said == []


async def test_a_report_that_cannot_be_written_is_told_once_and_hurts_nothing(
    tmp_path: Path,
) -> None:
    said: list[str] = []
    report = keeper(tmp_path / "gone", said)
    await report.finish([row("a")])
    await report.finish([row("a")])
    assert len(said) == 1
    assert said[0].startswith("cannot write report.html: ")


def test_a_run_leaves_its_report_and_the_command_writes_it_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "b.jsonl", tmp_path / "out"
    file.write_text('{"id": "a", "model": "nanobanana2", "inputs": {"prompt": "x"}}\n')
    assert run_app(["run", str(file), "-o", str(out), "--simulate"]) == 0
    page = out / REPORT_NAME
    assert capsys.readouterr().out.endswith(f"report: {page}\n")
    text = page.read_text("utf-8")
    assert "1 succeeded" in text
    assert "nothing was paid" in text
    assert "Run in progress" not in text
    page.unlink()
    capsys.readouterr()
    assert run_app(["report", str(out)]) == 0
    assert capsys.readouterr().out == f"{page}\n"
    assert "1 succeeded" in page.read_text("utf-8")


WITHOUT_JINJA = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"jinja2", "markupsafe"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
from kinovi_async._cli._entry import run_app
file, out = sys.argv[1:]
ran = run_app(["run", file, "-o", out, "--simulate"])
print("--", file=sys.stderr, flush=True)
print(ran, run_app(["report", out]))
"""


def test_without_jinja2_a_run_goes_on_and_says_once_how_to_get_the_report(tmp_path: Path) -> None:
    file, out = tmp_path / "b.jsonl", tmp_path / "out"
    file.write_text('{"id": "a", "model": "nanobanana2", "inputs": {"prompt": "x"}}\n')
    environment = {name: value for name, value in os.environ.items() if "KINOVI" not in name}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", WITHOUT_JINJA, str(file), str(out)],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout.endswith("\n0 2\n"), done.stderr
    assert "report: " not in done.stdout
    ran, told = done.stderr.split("--\n")
    assert ran.count("pip install 'kinovi-async[report]'") == 1
    assert not (out / REPORT_NAME).exists()
    assert "pip install 'kinovi-async[report]'" in told


async def test_a_directory_without_a_ledger_is_none_of_ours(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no output directory"):
        await report_on(tmp_path)


async def test_a_live_run_is_told_by_the_lease_it_holds(tmp_path: Path) -> None:
    assert not is_live(tmp_path)
    ledger = SQLiteLedger(tmp_path / "ledger.sqlite3")
    await ledger.open()
    await ledger.acquire_lease("run", "it")
    assert is_live(tmp_path)
    await report_on(tmp_path)
    assert "Run in progress" in (tmp_path / REPORT_NAME).read_text("utf-8")
    await ledger.aclose()
    assert not is_live(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="asks the system about a process")
def test_a_run_that_was_killed_is_not_live(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    lock = tmp_path / "ledger.sqlite3.lock"
    lock.write_text(f'{{"pid": {gone.pid}, "host": "{socket.gethostname()}"}}')
    assert not is_live(tmp_path)
    lock.write_text('{"pid": 1, "host": "another machine"}')
    assert is_live(tmp_path)
    for nonsense in ('{"pid": []}', "[]", "{", '{"pid": 1e400, "host": "x"}'):
        lock.write_text(nonsense)
        assert not is_live(tmp_path)
