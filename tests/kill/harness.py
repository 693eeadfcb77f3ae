"""Kills runs at chosen moments, goes on with them, and compares with the server's books."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from kinovi_async._cli._exits import ExitCode
from tests.canary import CANARY

from .cases import OPTIONS, SERVER, Case, Kind, Moment, Recording
from .processes import Ran, Server, run, server

JOBS = 5
POLL_INTERVAL = "0.02,0.03"
_MORE_RUNS = 5
"""Runs without a kill until everything has ended; one does, unless answers are lost."""


@dataclass
class Report:
    """What became of a case."""

    case: str
    findings: list[str] = field(default_factory=list)
    """What should not be; empty when all is well."""
    sending: set[str] = field(default_factory=set)
    """Jobs whose intent was durable and whose result was not, at one of the kills."""
    statuses: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    """Tasks by the server's books."""
    kills: int = 0

    def check(self, ok: object, finding: str) -> None:
        """Notes a finding unless `ok`."""
        if not ok:
            self.findings.append(finding)

    def row(self) -> str:
        """A line of the table."""
        ended = ", ".join(f"{count} {status}" for status, count in sorted(self.statuses.items()))
        verdict = "; ".join(self.findings) or "ok"
        return f"{self.case} | {len(self.sending)} | {ended} | {self.accepted} | {verdict}"


HEADER = "moment | on the wire | ended as | paid tasks | verdict"


@dataclass(frozen=True)
class Bench:
    """A place to run cases one after the other: a server and a directory."""

    server: Server
    directory: Path
    jobs: int = JOBS

    @property
    def out(self) -> Path:
        return self.directory / "out"

    def prepare(self) -> None:
        """An empty output directory, a server without a past, and the batch file."""
        shutil.rmtree(self.out, ignore_errors=True)
        self.server.reset()
        lines = [
            {"id": key, "model": "nanobanana2", "inputs": {"prompt": f"prompt of {key}"}}
            for key in self.keys()
        ]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        self.directory.joinpath("batch.jsonl").write_text(text)

    def keys(self) -> list[str]:
        return [f"job-{number}" for number in range(self.jobs)]

    def go(self, kind: Kind, action: str = "none", moment: Moment | None = None) -> Ran:
        """One run of the command."""
        at = moment or Moment("*", 0)
        return run(
            action,
            at.point,
            at.passage,
            self.directory / "trace",
            "run",
            self.directory / "batch.jsonl",
            "-o",
            self.out,
            "--poll-interval",
            POLL_INTERVAL,
            *OPTIONS[kind],
            base_url=self.server.base_url,
        )

    def record(self, kind: Kind, before: Moment | None = None) -> Recording:
        """Which points a run passes, or the run that follows one killed at `before`."""
        self.prepare()
        if before is not None:
            self.go(kind, "kill", before)
        ran = self.go(kind)
        assert ran.code in {0, 1, 3}, ran.output
        return Recording.of(ran.trace)

    def try_case(self, case: Case) -> Report:
        """Kills, goes on, compares."""
        self.prepare()
        report = Report(str(case))
        for moment in case.kills:
            ran = self.go(case.kind, "kill", moment)
            look_at_output(report, ran)
            if ran.code != -signal.SIGKILL:
                report.check(ok=False, finding=f"{moment} was not met (exit {ran.code})")
                return report
            report.kills += 1
            report.sending |= jobs_on_the_wire(self.out)
        self.finish(report, "serial" if case.kind == "impatient" else case.kind)
        return report

    def try_random_kills(self, seed: int, kills: int) -> Report:
        """Kills at random passages, counted over all points, then goes on to the end."""
        self.prepare()
        rng = Random(seed)
        report = Report(f"seed {seed}: {kills} kills at random points")
        # A run of all jobs passes some 25 points a job; each kill takes its share of them.
        longest = max(60, 25 * self.jobs // kills)
        while report.kills < kills:
            ran = self.go("crowded", "kill", Moment("*", rng.randint(40, longest)))
            look_at_output(report, ran)
            if ran.code != -signal.SIGKILL:
                report.check(ok=False, finding=f"ended with {ran.code} before the last kill")
                return report
            report.kills += 1
            report.sending |= jobs_on_the_wire(self.out)
        self.finish(report, "crowded")
        return report

    def finish(self, report: Report, kind: Kind) -> None:
        """Goes on to the end and compares the output with the server's books."""
        for _ in range(_MORE_RUNS):
            ran = self.go(kind)
            look_at_output(report, ran)
            # 4: three unclear answers in a row stop a run, and the next one goes on.
            expected = ran.code in {0, 1, 3, 4}
            report.check(expected, f"exit {ran.code}: {ran.output[-300:]!r}")
            if not expected or ran.code < ExitCode.STOPPED:
                break
        audit(report, self.out, self.server, self.keys())


def look_at_output(report: Report, ran: Ran) -> None:
    """No run shows the key or a traceback, killed or not."""
    report.check(CANARY not in ran.output, "the key was shown")
    report.check("Traceback" not in ran.output, f"a traceback: {ran.output[-600:]!r}")


def jobs_on_the_wire(out: Path) -> set[str]:
    """What the ledger of a killed run holds as sending, read from a copy of its files."""
    with TemporaryDirectory() as copies:
        for name in ("ledger.sqlite3", "ledger.sqlite3-wal"):
            if (out / name).exists():
                shutil.copy(out / name, copies)
        path = Path(copies, "ledger.sqlite3")
        if not path.exists():
            return set()
        with closing(sqlite3.connect(path)) as connection:
            found = connection.execute("SELECT key FROM jobs WHERE state = 'sending'").fetchall()
    return {key for (key,) in found}


def read_results(out: Path) -> list[dict[str, Any]]:
    """The lines of `results.jsonl`."""
    path = out / "results.jsonl"
    return (
        [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
    )


def audit(report: Report, out: Path, on: Server, keys: Sequence[str]) -> None:
    """Nothing was paid twice, nothing paid was lost, and only what had to be is unclear."""
    books, lines = on.books(), read_results(out)
    accepted = books["accepted"]
    report.accepted = len(accepted)
    report.statuses = Counter(line["status"] for line in lines)
    report.check(sorted(line["id"] for line in lines) == sorted(keys), "jobs without one line each")
    by_key = {line["id"]: line for line in lines}

    paid = Counter(task["prompt"] for task in accepted)
    for prompt, count in paid.items():
        report.check(count == 1, f"PAID {count} TIMES: {prompt}")
    unclear = {key for key, line in by_key.items() if line["status"] == "ambiguous"}
    lost = {_key(task) for task in accepted if task["submission"] == "lost-answer"}
    needless = unclear - report.sending - lost
    report.check(not needless, f"ambiguous without need: {sorted(needless)}")
    resent = report.sending - unclear
    report.check(not resent, f"on the wire when killed, yet not ambiguous: {sorted(resent)}")
    known = {line["task_id"] for line in lines}
    for task in accepted:
        key = _key(task)
        kept = task["task_id"] in known or key in unclear
        report.check(kept, f"LOST: {task['task_id']} of {key}")
    for key, line in by_key.items():
        settled = line["status"] in {"succeeded", "failed", "ambiguous"}
        report.check(settled, f"{key} ended as {line['status']}")
    _audit_files(report, out, on, lines)
    _audit_money(report, out, lines)


def _key(task: Mapping[str, Any]) -> str:
    return str(task["prompt"]).removeprefix("prompt of ")


def _audit_files(report: Report, out: Path, on: Server, lines: Iterable[dict[str, Any]]) -> None:
    named: set[str] = set()
    for line in lines:
        wanted = len(line["urls"]) if line["status"] == "succeeded" else 0
        report.check(len(line["files"]) == wanted, f"{line['id']} lacks files: {line['error']}")
        named |= set(line["files"])
        for name, url in zip(line["files"], line["urls"], strict=False):
            same = (out / name).is_file() and (out / name).read_bytes() == on.file(url)
            report.check(same, f"{name} is not the server's file")
    there = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    ours = {"results.jsonl", "ledger.sqlite3", "ledger.sqlite3.lock", "report.html"}
    report.check(there - ours == named, f"debris: {sorted(there - ours - named)}")
    for path in out.rglob("*"):
        if path.is_file():
            report.check(CANARY.encode() not in path.read_bytes(), f"the key is in {path.name}")


def _audit_money(report: Report, out: Path, lines: Iterable[dict[str, Any]]) -> None:
    with closing(sqlite3.connect(out / "ledger.sqlite3")) as connection:
        spent, reserved = connection.execute("SELECT spent, reserved FROM book").fetchone()
        (whole,) = connection.execute("PRAGMA integrity_check").fetchone()
    told = sum(line["credits"] for line in lines if line["status"] == "succeeded")
    report.check(float(spent) == told, f"the ledger spent {spent}, its jobs {told}")
    unclear = any(line["status"] == "ambiguous" for line in lines)
    report.check((float(reserved) > 0) == unclear, f"{reserved} credits are reserved")
    report.check(whole == "ok", f"the ledger is damaged: {whole}")


def try_all(
    tries: Iterable[Callable[[Bench], Report]], places: Sequence[Bench]
) -> Iterator[Report]:
    """Does things at once on several benches; reports in their order."""
    free: SimpleQueue[Bench] = SimpleQueue()
    for bench in places:
        free.put(bench)

    def one(attempt: Callable[[Bench], Report]) -> Report:
        bench = free.get()
        try:
            return attempt(bench)
        finally:
            free.put(bench)

    with ThreadPoolExecutor(len(places)) as pool:
        yield from pool.map(one, tries)


def benches(
    stack: ExitStack, directory: Path, count: int, *, jobs: int = JOBS, **options: Any
) -> list[Bench]:
    """Several benches below a directory, with servers of these options or the usual ones."""
    made = []
    for number in range(count):
        place = directory / f"bench-{number}"
        place.mkdir(parents=True)
        made.append(Bench(stack.enter_context(server(**(options or SERVER))), place, jobs))
    return made
