"""At most one process runs a ledger's jobs, for as long as it lives."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from kinovi_async._errors import LedgerError
from kinovi_async._ledger import SQLiteLedger

from .builders import job
from .processes import child, line, tell

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals, fork and links")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


def lock_text(path: Path) -> str:
    return Path(f"{path}.lock").read_text()


def write_lock(path: Path, content: bytes) -> None:
    Path(f"{path}.lock").write_bytes(content)


def link_lock(path: Path, target: Path) -> None:
    target.write_text("precious")
    Path(f"{path}.lock").symlink_to(target)


async def opened(path: Path) -> SQLiteLedger:
    ledger = SQLiteLedger(path)
    await ledger.open()
    return ledger


async def test_a_second_process_is_refused_and_told_who_holds_it(path: Path) -> None:
    ledger = await opened(path)
    with child("hold", path) as holder:
        assert line(holder) == ["held"]
        with pytest.raises(LedgerError) as caught:
            await ledger.acquire_lease("run", "pid 1")
        text = str(caught.value)
        assert f"the ledger {path} is in use by pid {holder.pid} on {socket.gethostname()}" in text
        assert " since 20" in text
        assert text.endswith(" UTC (kinovi run cats.jsonl)")
        await ledger.add([job()])  # submitting needs no lease
        holder.kill()
        holder.wait()
        await ledger.acquire_lease("run", "pid 1")
    await ledger.aclose()


async def test_a_second_object_of_the_same_process_is_refused_until_the_first_closes(
    path: Path,
) -> None:
    first, second = await opened(path), await opened(path)
    await first.acquire_lease("run-1", f"pid {os.getpid()} on {socket.gethostname()}")
    with pytest.raises(LedgerError, match=rf"is in use by pid {os.getpid()} on \S+ since .* UTC$"):
        await second.acquire_lease("run-2", "it")
    await first.aclose()
    await second.acquire_lease("run-2", "it")
    await second.aclose()


async def test_a_ledger_by_another_name_is_the_same_ledger(path: Path, tmp_path: Path) -> None:
    first = await opened(path)
    await first.acquire_lease("run-1", "it")
    link = tmp_path / "link.sqlite3"
    try:
        link.symlink_to(path)
    except OSError:
        pytest.skip("no symbolic links here")
    second = await opened(link)
    with pytest.raises(LedgerError, match="is in use by"):
        await second.acquire_lease("run-2", "it")
    await second.aclose()
    await first.aclose()


async def test_one_object_holds_it_for_one_execution(path: Path) -> None:
    ledger = await opened(path)
    await ledger.acquire_lease("run-1", "it")
    await ledger.acquire_lease("run-1", "it")
    with pytest.raises(LedgerError, match="is in use by"):
        await ledger.acquire_lease("run-2", "it")
    await ledger.release_lease()
    await ledger.release_lease()
    await ledger.acquire_lease("run-2", "it")
    await ledger.aclose()


async def test_the_lock_file_names_nobody_when_nobody_holds_it(path: Path) -> None:
    ledger = await opened(path)
    await ledger.acquire_lease("run-1", "it")
    assert f'"pid": {os.getpid()}' in lock_text(path)
    assert '"holder": "it"' in lock_text(path)
    await ledger.release_lease()
    assert lock_text(path) == ""
    await ledger.aclose()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": 1}', b"\xff\xfe", b"0" * 10_000])
async def test_the_lock_and_not_what_is_written_in_the_file_decides(
    path: Path, content: bytes
) -> None:
    write_lock(path, content)
    first, second = await opened(path), await opened(path)
    await first.acquire_lease("run-1", "it")
    write_lock(path, content)
    with pytest.raises(LedgerError, match="is in use by another process"):
        await second.acquire_lease("run-2", "it")
    await first.aclose()
    await second.aclose()


@posix_only
async def test_a_forked_child_does_not_keep_the_lease_of_its_dead_parent(path: Path) -> None:
    ledger = await opened(path)
    with child("hold_and_fork", path) as parent:
        assert line(parent)[0] == "forked"
        with pytest.raises(LedgerError, match=f"pid {parent.pid} "):
            await ledger.acquire_lease("run-2", "it")
        parent.kill()
        parent.wait()
        await ledger.acquire_lease("run-2", "it")
        tell(parent)
    await ledger.aclose()


@posix_only
async def test_a_lock_file_that_is_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious.txt"
    link_lock(path, precious)
    ledger = await opened(path)
    with pytest.raises(LedgerError, match="cannot open the lock file"):
        await ledger.acquire_lease("run", "it")
    await ledger.aclose()
    assert lock_text(path) == "precious"
