"""The look-out for the suite's key finds it wherever it could come to light."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .canary import CANARY, Lookout, file_holds_key, holds_key

LEAKS = f"""
import logging, warnings, pytest
KEY = {CANARY!r}

def test_nothing():
    pass

def test_a_debug_record():
    logging.getLogger("httpcore.connection").debug("headers %r", {{"Authorization": KEY}})

def test_a_warning():
    warnings.warn("key " + KEY)

def test_output():
    print(KEY)

def test_a_file(tmp_path):
    (tmp_path / "a.txt").write_text("x" * (1 << 20) + KEY, "utf-16-le")

def test_a_name(tmp_path):
    (tmp_path / KEY).touch()
"""
ROOT = Path(__file__).parents[1]


def session(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A session of its own over tests that all pass, with the look-out of this suite."""
    directory.joinpath("conftest.py").write_text(
        "from tests.canary import Lookout\n"
        "def pytest_configure(config):\n"
        "    config.pluginmanager.register(Lookout(), 'canary')\n"
    )
    base = directory / "base"
    return subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-m", "pytest", "-q", f"--basetemp={base}", "-c", os.devnull,
         f"--rootdir={directory}", "-p", "no:cacheprovider", *arguments, str(directory)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=directory,
    )  # fmt: skip


@pytest.fixture
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("session")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_session_that_shows_the_key_fails_and_names_the_places(empty: Path, workers: int) -> None:
    if workers:
        pytest.importorskip("xdist")
    tests = empty / "test_leaks.py"
    tests.write_text(LEAKS)
    ran = session(empty, *([f"-n{workers}"] if workers else []))
    for path in [tests, *empty.rglob("*")]:  # our own session looks here too
        if path.is_file():
            path.unlink()
    assert "6 passed" in ran.stdout, ran.stdout + ran.stderr
    assert ran.returncode == 1
    for place in (
        "log record of httpcore.connection",
        "test_leaks.py::test_a_debug_record",
        "warning at ",
        "Captured stdout call (",
        "test_leaks.py::test_output",
        "test_a_file0/a.txt",
        "test_a_name0/",
    ):
        assert place in ran.stdout
    assert "the key leaked" in ran.stdout


def test_a_session_that_does_not_show_it_passes(empty: Path) -> None:
    empty.joinpath("test_well.py").write_text("def test(tmp_path): (tmp_path / 'a').touch()\n")
    ran = session(empty)
    assert ran.returncode == 0, ran.stdout
    assert "the key is in none of 1 files, 0 bytes of files" in ran.stdout


def test_a_file_is_searched_across_its_pieces(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
        path.write_bytes(b"x" * ((1 << 20) - 7) + CANARY.encode(encoding))
        assert file_holds_key(path)
    path.write_bytes(b"x" * (1 << 21))
    assert not file_holds_key(path)


def test_what_a_server_sent_is_its_own_word() -> None:
    lookout = Lookout()
    for message, finds in (("receive_response_headers.complete %s", 0), ("send_request %s", 1)):
        lookout.finds.clear()
        record = logging.LogRecord("httpcore.http11", 10, "a", 1, message, (CANARY,), None)
        lookout.emit(record)
        assert len(lookout.finds) == finds
    assert holds_key(CANARY)
