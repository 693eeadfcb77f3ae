"""What CI runs, session by session: `nox -l` lists them, `nox -s tests` is the main one."""

from __future__ import annotations

import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "typing", "tests", "examples", "bench", "build"]
# Where uv is at hand, as in CI, an environment takes 5 seconds rather than 25.
nox.options.default_venv_backend = "uv|venv"

ROOT = Path(__file__).parent
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
CODE = ["kinovi_async", "tests", "examples", "benchmarks", "noxfile.py"]


def _group(name: str) -> tuple[str, ...]:
    return nox.project.dependency_groups(PROJECT, name)


def _async_modules() -> list[str]:
    modules = (path for name in CODE for path in (ROOT / name).rglob("*.py"))
    return [str(path.relative_to(ROOT)) for path in modules if "async " in path.read_text("utf-8")]


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff (rules and format), and flake8-async for what ruff does not know.

    Not its optional ASYNC9 rules, which want a checkpoint on every early return; nor
    ASYNC127, which wants another library than httpx.
    """
    session.install(*_group("lint"))
    session.run("ruff", "check", *CODE)
    session.run("ruff", "format", "--check", *CODE)
    # Its rules are about async code, and it is slow: `--enable` spares it the others.
    rules = ["--enable=ASYNC1,ASYNC2", "--select=ASYNC1,ASYNC2", "--extend-ignore=ASYNC127"]
    # A test is async for the sake of its fixtures.
    tests_may = "--per-file-ignores=tests/*:ASYNC124"
    session.run("flake8", *rules, tests_may, *_async_modules(), log=False)  # 200 names


@nox.session
def typing(session: nox.Session) -> None:
    """Mypy, strict, over everything."""
    session.install(".[all]", *_group("test"), *_group("typing"), "nox")
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """All tests, on asyncio and trio, against the built wheel; branch coverage >= 90 %."""
    session.install(".[all]", *_group("test"))
    # Away from the source tree, or Python would import it instead of the wheel.
    away = Path(session.create_tmp()) / "away"
    shutil.rmtree(away, ignore_errors=True)
    away.mkdir()
    for name in ("tests", "examples", "benchmarks", "docs"):
        shutil.copytree(ROOT / name, away / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, away)
    session.chdir(away)
    # What tests start imports the same modules over and over.
    session.env["PYTHONDONTWRITEBYTECODE"] = ""
    # All of them on all cores; some, asked for by name, in order and with a debugger at hand.
    session.run("coverage", "run", "-m", "pytest", *(session.posargs or ["-n", "auto"]))
    if not session.posargs:
        session.run("coverage", "combine", "--quiet")
        session.run("coverage", "report", "--fail-under=90")


@nox.session(python=["3.11", "3.12", "3.13", "3.14"])
def compat(session: nox.Session) -> None:
    """The tests on every supported Python that is installed."""
    session.install(".[all]", *_group("test"))
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def simulation(session: nox.Session) -> None:
    """The long form of tests/simulation: 10,000 and 1,000 seeds, then every mutant."""
    session.install(".[all]", *_group("test"))
    for tier, seeds in (("transport", "10000"), ("bytes", "1000")):
        options = session.posargs or ["--seeds", seeds, "--jobs", "2"]
        session.run("python", "-m", "tests.simulation", "--tier", tier, *options)
    session.run("python", "-m", "tests.simulation.mutants")


@nox.session
def kill(session: nox.Session) -> None:
    """The long form of tests/kill: SIGKILL at every numbered point, and while resuming."""
    session.install(".[all]", *_group("test"))
    for form in ("--all", "--lossy"):
        session.run("python", "-m", "tests.kill", form, *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """The long form of the webhook receiver's fuzz test: 100,000 requests, no 5xx, < +20 MB."""
    session.install(".[all]", *_group("test"))
    session.run("python", "-m", "tests.webhooks.fuzz", *session.posargs)


@nox.session
def workers(session: nox.Session) -> None:
    """The long form of tests/workers: members of one ledger die, freeze and come at random."""
    session.install(".[all]", *_group("test"))
    session.run("python", "-m", "tests.workers", *session.posargs)


@nox.session
def examples(session: nox.Session) -> None:
    """Every example, as a user would run it, against the simulator."""
    session.install(".[all]")
    out = Path(session.create_tmp()) / "out"
    shutil.rmtree(out.parent, ignore_errors=True)
    run = ["kinovi", "run", "examples/batch.jsonl", "-o", str(out), "--simulate"]
    session.run(*run)
    session.run(*run)
    session.run("python", "examples/bulk.py", "--simulate", "-o", str(out.parent / "bulk"))
    session.run("python", "examples/service.py", "--simulate")


@nox.session
def bench(session: nox.Session) -> None:
    """A short pass of each benchmark; `nox -s bench -- --full` for the figures of the README."""
    session.install(".[all]")
    for script in sorted(Path("benchmarks").glob("[!_]*.py")):
        session.run("python", str(script), *(session.posargs or ["--short"]))


@nox.session
def build(session: nox.Session) -> None:
    """The wheel and the source distribution, checked."""
    session.install("build", "twine")
    out = Path(session.create_tmp()) / "dist"
    shutil.rmtree(out, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(out))
    session.run("twine", "check", "--strict", *map(str, out.iterdir()))
