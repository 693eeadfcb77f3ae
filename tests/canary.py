"""The key of the whole test suite, and a look-out for it over everything a session makes.

Every record that any logger emits (all of them at DEBUG, those of the HTTP libraries too),
every warning, everything a test printed and every file below the session's temporary
directory is searched. One find, and the session fails and names the place.

Tests that hand a key to somebody who is meant to keep it take another one.
"""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CANARY = "sk-CANARY-0123456789"
"""Nobody's key. Nothing else looks like it, so that one find is one leak."""

MARK = "sk-CANARY-"
_PIECE = 1 << 20
_LARGEST_FILE = 8 << 20
"""Bytes of a file that are read; nothing the suite writes is longer, but for speed's sake."""
_SHOWN = 20
_FORMAT = logging.Formatter("%(name)s %(message)s")

PATTERNS = tuple(MARK.encode(code) for code in ("utf-8", "utf-16-le", "utf-16-be"))


def holds_key(text: str) -> bool:
    """Whether the key, or the beginning of one, is in a text."""
    return MARK in text


def file_holds_key(path: Path) -> bool:
    """Whether the key is in a file's name or its bytes, in any common encoding."""
    if holds_key(path.name):
        return True
    with path.open("rb") as stream:
        before = b""
        read = 0
        while (piece := stream.read(_PIECE)) and read < _LARGEST_FILE:
            read += len(piece)
            both = before + piece
            if any(pattern in both for pattern in PATTERNS):
                return True
            before = piece[-64:]
    return False


def is_the_servers_word(record: logging.LogRecord) -> bool:
    """Whether a record repeats what a server sent, which a test may let it send."""
    return record.name.startswith("httpcore") and "receive_response_headers" in str(record.msg)


class Lookout(logging.Handler):
    """Searches a session's artefacts; registered as a plugin by `tests/conftest.py`."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.searched: Counter[str] = Counter()
        self.finds: list[str] = []
        self._test = "before the first test"

    def found(self, where: str) -> None:
        """Notes a leak by its place; what was found is not repeated."""
        find = f"{where} ({self._test})"
        if find not in self.finds:  # what a test printed stands in several reports
            self.finds.append(find)

    # -- logging ---------------------------------------------------------------------

    def emit(self, record: logging.LogRecord) -> None:
        """Searches a record as any handler would show it, and what it was made of."""
        self.searched["log records"] += 1
        try:
            text = f"{_FORMAT.format(record)} {record.args!r}"
        except Exception:  # noqa: BLE001 - a mistake in the call; logging tells of it itself
            return
        if holds_key(text) and not is_the_servers_word(record):
            self.found(f"log record of {record.name} at {record.pathname}:{record.lineno}")

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hears every logger at DEBUG."""
        root = logging.getLogger()
        level = root.level
        root.addHandler(self)
        root.setLevel(logging.DEBUG)
        try:
            yield
        finally:
            root.removeHandler(self)
            root.setLevel(level)

    # -- hooks of pytest -------------------------------------------------------------

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._test = item.nodeid
        with self.listening():
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[None]:
        report: Any = yield
        for title, text in report.sections:
            self.searched["printed texts"] += 1
            # Logs have been searched record by record.
            if "log" not in title and holds_key(text):
                self.found(title)
        return report  # type: ignore[no-any-return]

    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        self.searched["warnings"] += 1
        if holds_key(str(warning_message.message)):
            self.found(f"warning at {warning_message.filename}:{warning_message.lineno}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        config: Any = session.config
        is_worker = hasattr(config, "workerinput")
        # Workers search what is theirs; what they found has come by `pytest_testnodedown`.
        if is_worker or getattr(config.option, "dist", "no") == "no":
            self.search_files(Path(config._tmp_path_factory.getbasetemp()))
        if is_worker:
            config.workeroutput["canary"] = (dict(self.searched), self.finds)
        self._judge(session)

    def _judge(self, session: pytest.Session) -> None:
        if self.finds and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        searched, finds = getattr(node, "workeroutput", {}).get("canary", ({}, []))
        self.searched.update(searched)
        self.finds += finds

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        searched = ", ".join(f"{count} {what}" for what, count in self.searched.items())
        if not self.finds:
            terminalreporter.write_line(f"the key is in none of {searched}")
            return
        terminalreporter.section("the key leaked", red=True)
        for find in self.finds[:_SHOWN]:
            terminalreporter.write_line(find)
        terminalreporter.write_line(f"{len(self.finds)} finds in {searched}")

    def search_files(self, directory: Path) -> None:
        """Searches everything below a directory; the tests' names stand in the paths."""
        self._test = "after the last test"
        for path in directory.rglob("*"):
            if path.is_symlink() or not path.is_file():
                continue
            try:
                leaks = file_holds_key(path)
            except OSError:  # a test took its rights away
                continue
            self.searched["files"] += 1
            self.searched["bytes of files"] += path.stat().st_size
            if leaks:
                self.found(f"file {path.relative_to(directory)}")
