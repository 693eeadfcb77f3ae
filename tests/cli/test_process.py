"""The command as a process: signals, terminals, the lease, and a whole simulated run."""

# ruff: noqa: S603 - the processes are our own command

from __future__ import annotations

import json
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
KINOVI = [sys.executable, "-m", "kinovi_async"]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and terminals")


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KINOVI_")}
    path = f"{ROOT}{os.pathsep}{kept.get('PYTHONPATH', '')}"
    return {**kept, "PYTHONPATH": path, "PYTHONWARNINGS": "error", **more}


def kinovi(*arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*KINOVI, *map(str, arguments)],
        env=environment(**more),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def start(*arguments: object, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*KINOVI, *map(str, arguments)],
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def mixed_batch(path: Path, count: int = 24) -> Path:
    """A third pictures, a third sets of four, a third long videos."""
    lines = []
    for number in range(count):
        kinds: list[tuple[str, dict[str, object]]] = [
            ("nanobanana2", {}),
            ("midjourney-v7", {"stylize": number}),
            ("seedance-20", {"duration": "15"}),
        ]
        model, more = kinds[number % 3]
        inputs = {"prompt": f"prompt {number}", **more}
        lines.append(json.dumps({"id": f"job-{number}", "model": model, "inputs": inputs}))
    path.write_text("\n".join(lines))
    return path


def paid(out: Path) -> list[str]:
    """The prompts that the simulator accepted, over all runs in this directory."""
    lines = (out / "simulator.jsonl").read_text().splitlines()
    return [json.loads(line)["body"]["inputs"]["prompt"] for line in lines]


def events_until(process: subprocess.Popen[str], name: str) -> Iterator[dict[str, object]]:
    """The events of a `--json` run, up to the first of a name."""
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        yield event
        if event["event"] == name:
            return


def test_a_simulated_batch_gives_valid_files_and_then_rests(tmp_path: Path) -> None:
    file, out = mixed_batch(tmp_path / "b.jsonl"), tmp_path / "out"
    ran = kinovi("run", file, "-o", out, "--simulate")
    assert ran.returncode == 0, ran.stderr
    results = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert len(results) == 24
    assert {line["status"] for line in results} == {"succeeded"}
    names = [name for line in results for name in line["files"]]
    assert len(names) == len(set(names)) == 8 * (1 + 4 + 1)
    for name in names:
        head = (out / name).read_bytes()[:12]
        assert head.startswith(b"\x89PNG") if name.endswith(".png") else head[4:8] == b"ftyp"
    assert len(paid(out)) == len(set(paid(out))) == 24
    before = (out / "results.jsonl").read_bytes()
    again = kinovi("run", file, "-o", out, "--simulate")
    assert again.returncode == 0
    assert "24 done already" in again.stderr
    assert (out / "results.jsonl").read_bytes() == before
    assert len(paid(out)) == 24


@pytest.fixture
def hangup_is_heard() -> Iterator[None]:
    """A run under nohup inherits an ignored SIGHUP, and rightly leaves it ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangup_is_heard")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_goes_on_and_pays_each_prompt_once(
    tmp_path: Path, signum: signal.Signals
) -> None:
    file, out = mixed_batch(tmp_path / "b.jsonl", 12), tmp_path / "out"
    process = start("run", file, "-o", out, "--simulate", "--json")
    assert list(events_until(process, "ended"))
    process.send_signal(signum)
    stdout, stderr = process.communicate(timeout=12)
    assert process.returncode == 130
    assert "interrupted: the same command goes on" in stderr
    finished = json.loads(stdout.splitlines()[-1])
    assert finished["event"] == "finished"
    assert finished["interrupted"] is True
    assert finished["jobs"]["unfinished"] > 0
    done = json.loads(f"[{','.join((out / 'results.jsonl').read_text().splitlines())}]")
    assert done
    assert len(done) < 12
    resumed = kinovi("run", file, "-o", out, "--simulate")
    assert resumed.returncode == 0, resumed.stderr
    assert len(paid(out)) == len(set(paid(out))) == 12


def test_a_killed_run_goes_on_and_pays_each_prompt_once(tmp_path: Path) -> None:
    file, out = mixed_batch(tmp_path / "b.jsonl", 12), tmp_path / "out"
    process = start("run", file, "-o", out, "--simulate", "--json")
    list(events_until(process, "ended"))
    process.kill()
    process.communicate()
    resumed = kinovi("run", file, "-o", out, "--simulate")
    # A submission may have been on the wire; then nobody can know, and nothing is resent.
    assert resumed.returncode in {0, 3}, resumed.stderr
    assert len(paid(out)) == len(set(paid(out)))


def test_a_second_signal_leaves_at_once(tmp_path: Path) -> None:
    """Here the first one would wait for a POST that is not answered for a long time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        more = {
            "KINOVI_BASE_URL": f"http://127.0.0.1:{port}/api/v1",
            "KINOVI_API_KEY": "sk-CANARY-of-a-process",
        }
        file, out = mixed_batch(tmp_path / "b.jsonl", 1), tmp_path / "out"
        process = start("run", file, "-o", out, "--json", **more)
        list(events_until(process, "submitted"))
        connection, _ = silent.accept()
        with connection:
            connection.recv(65536)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            assert any("stopping" in line for line in process.stderr)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=5)
    assert process.returncode == 130
    left = kinovi("run", file, "-o", out, **{**more, "KINOVI_BASE_URL": "http://127.0.0.1:9/"})
    assert left.returncode == 3
    assert "ambiguous: job-0" in left.stderr


def test_a_full_disk_stops_the_run_in_order(tmp_path: Path) -> None:
    import resource

    lines = [
        json.dumps({"model": "nanobanana2", "inputs": {"prompt": f"{number} {'x' * 3000}"}})
        for number in range(300)
    ]
    file, out = tmp_path / "b.jsonl", tmp_path / "out"
    file.write_text("\n".join(lines))
    process = subprocess.run(
        [*KINOVI, "run", str(file), "-o", str(out), "--simulate"],
        env={name: environment()[name] for name in environment() if "COV" not in name},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == 4, process.stderr
    assert "stopped: cannot" in process.stderr
    assert "Traceback" not in process.stderr
    again = kinovi("run", file, "-o", out, "--simulate", "--no-download", "--first", "20")
    assert again.returncode in {0, 3}
    assert len(paid(out)) == len(set(paid(out)))


def test_a_proxy_of_the_environment_is_not_asked_for_the_simulator(tmp_path: Path) -> None:
    dead = "http://127.0.0.1:9"
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"), dead)
    file = mixed_batch(tmp_path / "b.jsonl", 1)
    ran = kinovi("run", file, "-o", tmp_path / "out", "--simulate", **proxies)
    assert ran.returncode == 0, ran.stderr


def test_a_second_run_in_a_live_directory_is_refused_and_reading_is_not(tmp_path: Path) -> None:
    file, out = mixed_batch(tmp_path / "b.jsonl", 12), tmp_path / "out"
    process = start("run", file, "-o", out, "--simulate", "--json")
    try:
        list(events_until(process, "accepted"))
        second = kinovi("run", file, "-o", out, "--simulate")
        assert second.returncode == 2
        assert f"pid {process.pid}" in second.stderr
        assert "Traceback" not in second.stderr
        assert kinovi("jobs", out).returncode == 0
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=12)


def test_a_terminal_gets_a_live_display_of_its_width(tmp_path: Path) -> None:
    import pty

    file, out = mixed_batch(tmp_path / "b.jsonl", 6), tmp_path / "out"
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*KINOVI, "run", str(file), "-o", str(out), "--simulate"],
        env=environment(TERM="xterm", COLUMNS="80", LINES="24"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = drain(ours)
    assert process.wait(timeout=30) == 0
    assert "of 6 jobs done" in shown
    assert "in use" in shown
    assert "Ctrl-C stops" in shown
    assert shown.rstrip().endswith("report.html")
    assert "\x1b[?25h" in shown


def test_a_terminal_that_goes_away_does_not_end_the_run(tmp_path: Path) -> None:
    import pty

    file, out = mixed_batch(tmp_path / "b.jsonl", 3), tmp_path / "out"
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*KINOVI, "run", str(file), "-o", str(out), "--simulate"],
        env=environment(TERM="xterm"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    assert b"to generate" in os.read(ours, 65536)
    os.close(ours)
    assert process.wait(timeout=30) == 0
    results = (out / "results.jsonl").read_text().splitlines()
    assert [json.loads(line)["status"] for line in results] == ["succeeded"] * 3


@pytest.mark.parametrize("signum", [signal.SIGINT])
def test_an_interrupted_simulated_generate_ends(tmp_path: Path, signum: signal.Signals) -> None:
    process = start("generate", "seedance-20", "-p", "x", "--simulate", "-o", tmp_path / "a" / "b")
    assert process.stderr is not None
    assert "Ctrl-C" in process.stderr.readline()
    process.send_signal(signum)
    process.communicate(timeout=20)
    assert process.returncode == 130


def test_a_simulated_generate_makes_its_directory_and_leaves_nothing_else(tmp_path: Path) -> None:
    new = tmp_path / "new" / "folder"
    ran = kinovi("generate", "nanobanana2", "-p", "x", "--simulate", "-o", new)
    assert ran.returncode == 0, ran.stderr
    assert Path(ran.stdout.splitlines()[1]).parent == new
    here = tmp_path / "here"
    here.mkdir()
    ran = subprocess.run(
        [*KINOVI, "generate", "nanobanana2", "-p", "x", "--simulate"],
        cwd=here,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert [path.suffix for path in here.iterdir()] == [".png"]


def test_an_interrupted_generate_tells_how_to_go_on(tmp_path: Path) -> None:
    simulator = start("simulator", "--port", "0", "--speed", "0.01")
    try:
        assert simulator.stdout is not None
        simulator.stdout.readline()
        address = simulator.stdout.readline().split("KINOVI_BASE_URL=")[1].split()[0]
        account = {"KINOVI_BASE_URL": address, "KINOVI_API_KEY": "any-key", "KINOVI_LOG": ""}
        process = start("generate", "nanobanana2", "-p", "x", "-o", tmp_path / "a b", **account)
        assert process.stderr is not None
        process.stderr.readline()
        origin = address.removesuffix("/api/v1")
        while not httpx.get(f"{origin}/simulator/books").json()["accepted"]:
            pass
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=20)
    finally:
        simulator.send_signal(signal.SIGINT)
        simulator.communicate(timeout=20)
    assert process.returncode == 130
    told = shlex.split(stderr.splitlines()[0].partition("to go on waiting: ")[2])
    assert told[:2] == ["kinovi", "task"]
    assert told[3:] == ["--wait", "-o", str(tmp_path / "a b")]


def drain(descriptor: int) -> str:
    data = b""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        ready, _, _ = select.select([descriptor], [], [], 1)
        if ready:
            try:
                chunk = os.read(descriptor, 65536)
            except OSError:  # Linux: the other side is closed
                break
            if not chunk:
                break
            data += chunk
    os.close(descriptor)
    return data.decode(errors="replace")


def test_json_lines_come_through_standard_input(tmp_path: Path) -> None:
    line = '{"model": "nanobanana2", "inputs": {"prompt": "x"}}\n'
    ran = subprocess.run(
        [*KINOVI, "run", "-", "-o", str(tmp_path / "out"), "--simulate"],
        input=line * 2,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "2 jobs: 2 succeeded" in ran.stdout
    assert paid(tmp_path / "out") == ["x", "x"]


def test_help_and_version_tell_what_there_is() -> None:
    shown = kinovi("--help", COLUMNS="100")
    assert shown.returncode == 0
    for command in ("run", "check", "generate", "task", "jobs", "download", "models", "simulator"):
        assert f"  {command} " in shown.stdout
    run = kinovi("run", "--help", COLUMNS="100").stdout
    for flag in ("--max-in-flight", "--budget", "--rerun", "--hold-on-500", "--simulate", "--json"):
        assert flag in run
    assert kinovi("--version").stdout.startswith("kinovi ")


def test_help_imports_none_of_the_library() -> None:
    """`--help` is quick because it needs neither httpx nor pydantic."""
    code = (
        "import sys; from kinovi_async._cli._entry import run_app; run_app(['--help']);"
        "print([m for m in ('httpx', 'pydantic', 'anyio', 'rich') if m in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert ran.stdout.splitlines()[-1] == "[]"


def test_without_the_extra_one_line_names_it(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError('no', name='typer')\n")
    ran = subprocess.run(
        KINOVI,
        env={**environment(), "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ran.returncode == 2
    assert ran.stderr.splitlines() == [
        "kinovi: the command needs two more packages: pip install 'kinovi-async[cli]'"
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "nowhere.jsonl"), "cannot read nowhere.jsonl: no such file"),
        (("run", "folder.csv"), "cannot read folder.csv: is a directory"),
        (("run", "a.txt"), "a.txt is neither .jsonl nor .csv"),
        (("run", "a.jsonl", "--poll-interval", "5,3"), "--poll-interval is LOW,HIGH"),
        (("run", "a.jsonl", "--rerun", "ambiguous"), "may be paid for"),
        (("run", "a.jsonl", "--rerun", "done"), "--rerun takes failed, rejected"),
        (("run", "a.jsonl", "--budget", "much"), "--budget is a number of credits"),
        (("run", "a.jsonl", "--budget", "-1"), "--budget is a number of credits"),
        (("run", "a.jsonl", "--name-template", "a/{id}"), "one file name, without folders"),
        (("run", "a.jsonl", "--name-template", "{scene}"), "unknown field {scene}"),
        (("run", "a.jsonl", "--max-in-flight", "0"), "--max-in-flight"),
        (("run", "a.jsonl", "--nonsense"), "--nonsense"),
    ],
)
def test_bad_usage_is_one_sentence_and_exit_2(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "a.txt").touch()
    (tmp_path / "a.jsonl").write_text('{"model": "nanobanana2", "inputs": {"prompt": "x"}}\n')
    ran = subprocess.run(
        [*KINOVI, *arguments, "-o", "out", "--dry-run"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ran.returncode == 2
    assert words in ran.stderr
    assert "Traceback" not in ran.stderr
