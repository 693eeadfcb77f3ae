from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kinovi_async._downloads._files import (
    LEFTOVER_SECONDS,
    MAX_ALTERNATIVES,
    PartFile,
    alternatives,
    existing_match,
    free_bytes,
    remove_old_leftovers,
)
from kinovi_async._downloads._resume import Note, note_of
from tests.downloads.fakes import files_in

POSIX = pytest.mark.skipif(os.name == "nt", reason="links and FIFOs of POSIX")


def written(directory: Path, name: str = "a.png", data: bytes = b"new") -> PartFile:
    part = PartFile(directory, name)
    part.open()
    part.write(data)
    return part


def test_a_file_gets_its_name_complete_and_the_part_file_goes(tmp_path: Path) -> None:
    part = written(tmp_path / "deep" / "media")
    assert files_in(tmp_path / "deep" / "media") == {"a.png.part": b"new"}
    final = part.settle("rename")
    assert final == tmp_path / "deep" / "media" / "a.png"
    assert files_in(final.parent) == {"a.png": b"new"}
    part.discard()
    assert files_in(final.parent) == {"a.png": b"new"}


def test_discarding_leaves_nothing(tmp_path: Path) -> None:
    part = written(tmp_path)
    part.discard()
    part.discard()
    assert files_in(tmp_path) == {}
    part.write(b"late")
    with pytest.raises(OSError, match="discarded"):
        part.settle("rename")


def test_a_part_file_discarded_before_it_was_opened_is_never_created(tmp_path: Path) -> None:
    """A worker thread may come to `open` after its caller was cancelled."""
    part = PartFile(tmp_path, "a.png")
    part.discard()
    part.open()
    assert files_in(tmp_path) == {}


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"old")
    (tmp_path / "a-2.png").write_bytes(b"older")
    assert written(tmp_path).settle("rename") == tmp_path / "a-3.png"
    with pytest.raises(FileExistsError):
        written(tmp_path, data=b"newer").settle("keep")
    assert files_in(tmp_path).keys() == {"a.png", "a-2.png", "a-3.png", "a.png.part"}
    assert (tmp_path / "a.png").read_bytes() == b"old"
    assert (tmp_path / "a-2.png").read_bytes() == b"older"


@pytest.mark.parametrize("exists", ["keep", "rename"])
def test_the_same_bytes_under_the_name_are_the_result(tmp_path: Path, exists: str) -> None:
    (tmp_path / "a.png").write_bytes(b"new")
    before = (tmp_path / "a.png").stat()
    assert written(tmp_path).settle("keep" if exists == "keep" else "rename") == tmp_path / "a.png"
    after = (tmp_path / "a.png").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert files_in(tmp_path) == {"a.png": b"new"}


def test_the_same_length_with_other_bytes_is_another_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"now")
    assert written(tmp_path).settle("rename").name == "a-2.png"


@POSIX
def test_a_link_a_folder_or_a_pipe_under_the_name_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_bytes(b"new")
    (tmp_path / "a.png").symlink_to(target)
    (tmp_path / "a-2.png").mkdir()
    os.mkfifo(tmp_path / "a-3.png")
    (tmp_path / "a-4.png").symlink_to(tmp_path / "nowhere")
    assert written(tmp_path).settle("rename").name == "a-5.png"
    assert target.read_bytes() == b"new"
    assert (tmp_path / "a.png").is_symlink()
    assert not (tmp_path / "nowhere").exists()


@POSIX
def test_a_link_in_place_of_the_part_file_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_bytes(b"old")
    for name, to in [("a.png.part", target), ("b.png.part", tmp_path / "nowhere")]:
        (tmp_path / name).symlink_to(to)
        with pytest.raises(FileExistsError):
            PartFile(tmp_path, name.removesuffix(".part")).open()
    assert target.read_bytes() == b"old"
    assert not (tmp_path / "nowhere").exists()
    assert (tmp_path / "a.png.part").is_symlink()


@POSIX
@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_other_things_in_place_of_the_part_file_are_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.png.part"
    if kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    with pytest.raises(FileExistsError):
        PartFile(tmp_path, "a.png").open()
    assert path.exists()


def test_the_leftover_of_a_crash_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.png.part").write_bytes(b"half of another download, longer than this one")
    assert written(tmp_path).settle("rename") == tmp_path / "a.png"
    assert files_in(tmp_path) == {"a.png": b"new"}


def test_a_leftover_that_is_a_second_name_of_a_finished_file_does_not_hurt_it(
    tmp_path: Path,
) -> None:
    """A crash between the final name and the removal of the part file."""
    (tmp_path / "a.png").write_bytes(b"old")
    (tmp_path / "a.png.part").hardlink_to(tmp_path / "a.png")
    assert written(tmp_path).settle("rename").name == "a-2.png"
    assert files_in(tmp_path) == {"a.png": b"old", "a-2.png": b"new"}


def test_a_part_file_in_use_is_left_to_its_download(tmp_path: Path) -> None:
    first = written(tmp_path, data=b"first")
    second = written(tmp_path, data=b"second")
    assert files_in(tmp_path).keys() == {"a.png.part", "a-2.png.part"}
    assert second.settle("rename").name == "a.png"
    assert first.settle("rename").name == "a-2.png"
    assert files_in(tmp_path) == {"a.png": b"second", "a-2.png": b"first"}


@POSIX
def test_a_part_file_is_in_use_across_processes_and_free_after_a_kill(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from kinovi_async._downloads._files import PartFile\n"
        "part = PartFile(pathlib.Path(sys.argv[1]), 'a.png')\n"
        "part.open(); part.write(b'theirs'); print('ready', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"
        ours = written(tmp_path)
        assert files_in(tmp_path) == {"a.png.part": b"theirs", "a-2.png.part": b"new"}
        ours.discard()
        other.kill()
    assert files_in(tmp_path) == {"a.png.part": b"theirs"}
    written(tmp_path).settle("rename")
    assert files_in(tmp_path) == {"a.png": b"new"}


def test_a_part_file_exchanged_by_somebody_does_not_become_the_result(tmp_path: Path) -> None:
    part = written(tmp_path)
    (tmp_path / "a.png.part").unlink()
    (tmp_path / "a.png.part").write_bytes(b"theirs")
    with pytest.raises(OSError, match="replaced by somebody"):
        part.settle("rename")
    part.discard()
    assert files_in(tmp_path) == {"a.png.part": b"theirs"}


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_hard_links_nothing_is_overwritten_either(tmp_path: Path, code: int) -> None:
    def refuse(_part: Path, _final: Path) -> None:
        raise OSError(code, "no links here")

    (tmp_path / "a.png").write_bytes(b"old")
    part = PartFile(tmp_path, "a.png", link=refuse)
    part.open()
    part.write(b"new")
    assert part.settle("rename").name == "a-2.png"
    assert files_in(tmp_path) == {"a.png": b"old", "a-2.png": b"new"}


def test_another_error_of_the_link_is_told(tmp_path: Path) -> None:
    def full(_part: Path, _final: Path) -> None:
        raise OSError(errno.ENOSPC, "no space")

    part = PartFile(tmp_path, "a.png", link=full)
    part.open()
    with pytest.raises(OSError, match="no space"):
        part.settle("rename")
    part.discard()
    assert files_in(tmp_path) == {}


def test_a_file_in_place_of_the_folder_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "media").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        PartFile(tmp_path / "media", "a.png").open()


def test_a_folder_that_is_a_link_is_the_users_choice(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "media").symlink_to(tmp_path / "real", target_is_directory=True)
    assert written(tmp_path / "media").settle("rename").exists()
    assert files_in(tmp_path / "real") == {"a.png": b"new"}


@POSIX
def test_the_mode_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        final = written(tmp_path).settle("rename")
    finally:
        os.umask(before)
    assert final.stat().st_mode & 0o777 == 0o600


def test_there_are_only_so_many_names(tmp_path: Path) -> None:
    names = list(alternatives("a.png"))
    assert names[:3] == ["a.png", "a-2.png", "a-3.png"]
    assert len(names) == MAX_ALTERNATIVES
    for name in names:
        (tmp_path / name).touch()
    part = written(tmp_path)
    with pytest.raises(FileExistsError):
        part.settle("rename")
    for name in names[1:]:
        (tmp_path / f"{name}.part").mkdir()
    part.discard()


def test_a_match_is_a_plain_file_of_that_length_and_start(tmp_path: Path) -> None:
    path = tmp_path / "a"
    assert not existing_match(path, size=3, head=b"ne")
    path.write_bytes(b"new")
    assert existing_match(path, size=3, head=b"ne")
    assert not existing_match(path, size=4, head=b"ne")
    assert not existing_match(path, size=3, head=b"no")
    assert not existing_match(tmp_path, size=tmp_path.stat().st_size, head=b"")


def test_free_space_is_that_of_the_nearest_folder_there_is(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "not" / "yet") > 0


# Leftovers that are gone on with.

URL = "https://cdn.example/a.png"
LONG = bytes(range(256)) * 1024


def the_note(total: int = 1 << 20) -> Note:
    note = note_of(URL, {"etag": '"v1"'}, total=total)
    assert note is not None
    return note


def left_behind(directory: Path, data: bytes = LONG) -> None:
    part = PartFile(directory, "a")
    part.open(the_note())
    part.write(data)
    part.discard(keep=True)


def test_a_kept_leftover_is_taken_up_and_finished(tmp_path: Path) -> None:
    left_behind(tmp_path)
    part = PartFile(tmp_path, "a")
    found = part.take_up(URL)
    assert found is not None
    assert (found.size, found.head, found.tail) == (len(LONG), LONG[:1024], LONG[-4096:])
    part.write(b"the rest")
    assert part.settle("rename", name="a.png") == tmp_path / "a.png"
    assert files_in(tmp_path) == {"a.png": LONG + b"the rest"}


def test_a_leftover_that_is_taken_up_in_vain_is_begun_anew(tmp_path: Path) -> None:
    left_behind(tmp_path)
    part = PartFile(tmp_path, "a")
    assert part.take_up(URL) is not None
    part.open(None)
    part.write(b"new")
    assert part.settle("rename", name="a.png").read_bytes() == b"new"
    assert files_in(tmp_path) == {"a.png": b"new"}


def test_a_leftover_that_is_not_kept_goes_with_its_note(tmp_path: Path) -> None:
    left_behind(tmp_path)
    part = PartFile(tmp_path, "a")
    assert part.take_up(URL) is not None
    part.discard()
    assert files_in(tmp_path) == {}


def test_a_file_without_note_is_not_kept(tmp_path: Path) -> None:
    part = written(tmp_path, data=LONG)
    part.discard(keep=True)
    assert files_in(tmp_path) == {}


def test_nothing_is_taken_up_after_the_end(tmp_path: Path) -> None:
    """A worker thread may come to it after its caller was cancelled."""
    left_behind(tmp_path)
    part = PartFile(tmp_path, "a")
    part.discard()
    assert part.take_up(URL) is None
    assert files_in(tmp_path)["a.part"] == LONG


@POSIX
@pytest.mark.parametrize(
    "what",
    ["no file", "in use", "another address", "short", "too long", "second name", "pipe", "link"],
)
def test_what_is_no_usable_leftover_is_left_alone(tmp_path: Path, what: str) -> None:
    left_behind(tmp_path)
    path, url, held = tmp_path / "a.part", URL, PartFile(tmp_path, "a")
    if what == "in use":
        assert held.take_up(URL) is not None
    elif what == "another address":
        url = "https://cdn.example/b.png"
    elif what == "short":
        os.truncate(path, 1000)
    elif what == "too long":
        os.truncate(path, (1 << 20) + 1)
    elif what == "second name":  # a crash between the final name and the removal of this one
        (tmp_path / "a.png").hardlink_to(path)
    else:
        path.unlink()
        if what == "pipe":
            os.mkfifo(path)
        elif what == "link":
            (tmp_path / "precious").write_bytes(LONG)
            path.symlink_to(tmp_path / "precious")
    before = files_in(tmp_path)
    assert PartFile(tmp_path, "a").take_up(url) is None
    assert files_in(tmp_path) == before
    held.discard()


@POSIX
def test_a_note_is_never_written_or_read_through_a_link(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(the_note().encode())
    left_behind(tmp_path)
    (tmp_path / "a.part.part").unlink()
    (tmp_path / "a.part.part").symlink_to(precious)
    assert PartFile(tmp_path, "a").take_up(URL) is None
    (tmp_path / "a.part").unlink()
    left_behind(tmp_path)
    assert precious.read_bytes() == the_note().encode()
    assert not (tmp_path / "a.part.part").is_symlink()
    (tmp_path / "a.part.part").unlink()
    (tmp_path / "a.part.part").mkdir()
    assert PartFile(tmp_path, "a").take_up(URL) is None
    left_behind(tmp_path)  # cannot be noted, so it is not kept
    assert not (tmp_path / "a.part").exists()


def test_a_disk_without_room_for_the_note_costs_only_the_resumption(tmp_path: Path) -> None:
    part = PartFile(tmp_path, "a")
    (tmp_path / "a.part.part").mkdir()
    part.open(the_note())
    part.write(b"x")
    assert part.settle("rename").read_bytes() == b"x"


def test_old_leftovers_are_removed_and_others_are_not(tmp_path: Path) -> None:
    left_behind(tmp_path)
    busy = written(tmp_path, name="busy")
    (tmp_path / "c.part").mkdir()
    (tmp_path / "d.png").write_bytes(b"")
    now = (tmp_path / "a.part").stat().st_mtime
    remove_old_leftovers(tmp_path)
    assert files_in(tmp_path).keys() == {"a.part", "a.part.part", "busy.part", "d.png"}
    remove_old_leftovers(tmp_path, now=now + LEFTOVER_SECONDS + 60)
    assert files_in(tmp_path).keys() == {"busy.part", "d.png"}
    busy.discard()
    remove_old_leftovers(tmp_path / "nowhere")


@pytest.mark.skipif(sys.platform != "linux", reason="a program that runs cannot be opened")
def test_a_leftover_that_cannot_be_removed_keeps_no_other(tmp_path: Path) -> None:
    sleep = shutil.which("sleep")
    assert sleep is not None
    names = [f"{letter}.part" for letter in "abcdefgh"]
    with contextlib.ExitStack() as stack:
        for name in names[::2]:
            shutil.copy(sleep, tmp_path / name)
            running = stack.enter_context(subprocess.Popen([tmp_path / name, "60"]))  # noqa: S603 - ours
            stack.callback(running.kill)
        for name in names[1::2]:
            (tmp_path / name).touch()
        remove_old_leftovers(tmp_path, now=time.time() + LEFTOVER_SECONDS + 60)
        assert sorted(files_in(tmp_path)) == names[::2]


@pytest.mark.skipif(sys.platform == "win32", reason="modes of folders")
def test_a_folder_that_became_read_only_hides_neither_a_result_nor_an_error(
    tmp_path: Path,
) -> None:
    script = """
import os, sys
from pathlib import Path
from kinovi_async._downloads import PartFile
os.chdir(sys.argv[1])

def link(part, final):
    os.link(part, final)
    os.chmod(".", 0o555)
    if os.geteuid() == 0:
        os.seteuid(65534)

one, two = PartFile(Path(), "a.png", link=link), PartFile(Path(), "b.png")
for each in (one, two):
    each.open()
    each.write(b"x")
print(one.settle("rename"))
two.discard()
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    tmp_path.chmod(0o755)
    assert (ran.stdout, ran.stderr) == ("a.png\n", "")
    assert files_in(tmp_path) == {"a.png": b"x", "a.png.part": b"x", "b.png.part": b"x"}


def test_a_part_of_the_disk_is_never_taken(tmp_path: Path) -> None:
    assert 0 <= free_bytes(tmp_path) < shutil.disk_usage(tmp_path).free
