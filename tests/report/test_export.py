"""`kinovi export`: copies for delivery, decided before the first byte is copied."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import anyio
import pytest

from kinovi_async._cli._entry import run_app
from kinovi_async._cli._export import Copy, copy_file, costs_table, plan_copies, write_costs
from kinovi_async._cli._picks import picked, read_picks
from kinovi_async._errors import ConfigurationError
from kinovi_async._ledger import Ending, JobRow, JsonObject, NewJob, SQLiteLedger
from kinovi_async._outcomes import OutcomeStatus

from .outs import failed, row


@dataclass
class Ran:
    code: int
    out: str
    err: str


Export = Callable[..., Ran]
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="symbolic links")


async def fill(out: Path, jobs: dict[str, tuple[list[str], dict[str, str]]]) -> None:
    """A ledger of succeeded jobs with these files and tags."""
    ledger = SQLiteLedger(out / "ledger.sqlite3")
    await ledger.open()
    for line, (key, (files, tags)) in enumerate(jobs.items(), start=1):
        body: JsonObject = {"model": "midjourney-v8", "inputs": {"prompt": key}}
        await ledger.add([NewJob(key, body, 1.0, meta={"line": line, "tags": tags})])
        await ledger.intent(key, "run", at=2.0, reserve=Decimal(12))
        await ledger.accepted(key, "run", f"task_{line}", at=3.0)
        record = {"taskId": f"task_{line}", "status": "success", "output": []}
        ending = Ending(OutcomeStatus.SUCCEEDED, at=4.0, record=record, credits=Decimal(12))
        await ledger.end(key, ending)
        await ledger.set_files(key, files)
    await ledger.aclose()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Three jobs: a set of four, and two of one client."""
    out = tmp_path / "out"
    (out / "media").mkdir(parents=True)
    four = [f"media/leopard_{n}.png" for n in range(1, 5)]
    jobs = {
        "leopard": (four, {"client": "Zoo"}),
        "cup": (["media/cup_1.png"], {"client": "Kiku"}),
        "bowl": (["media/bowl_1.png"], {"client": "Kiku"}),
    }
    anyio.run(fill, out, jobs)
    for files, _ in jobs.values():
        for file in files:
            (out / file).write_bytes(b"picture " + file.encode())
    return out


@pytest.fixture
def export(capsys: pytest.CaptureFixture[str], out: Path, tmp_path: Path) -> Export:
    def call(*arguments: object) -> Ran:
        capsys.readouterr()
        code = run_app(["export", str(out), str(tmp_path / "to"), *map(str, arguments)])
        captured = capsys.readouterr()
        return Ran(int(code), captured.out, captured.err)

    return call


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def picks(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value))
    return path


def test_everything_is_copied_under_its_name(export: Export, out: Path, tmp_path: Path) -> None:
    ran = export()
    assert (ran.code, ran.err) == (0, "")
    assert "6 files copied" in ran.out
    assert names(tmp_path / "to") == names(out / "media")
    for name in names(tmp_path / "to"):
        assert (tmp_path / "to" / name).read_bytes() == (out / "media" / name).read_bytes()


def test_a_second_export_finds_its_files_and_copies_what_is_new(
    export: Export, tmp_path: Path
) -> None:
    assert export().code == 0
    (tmp_path / "to" / "cup_1.png").unlink()
    ran = export()
    assert ran.code == 0
    assert "1 file copied" in ran.out
    assert "5 there already" in ran.out


def test_picks_choose_single_files(export: Export, tmp_path: Path) -> None:
    chosen = [{"id": "leopard", "file": "media/leopard_2.png"}, "bowl", "media/leopard_4.png"]
    ran = export("--picks", picks(tmp_path / "picks.json", {"picks": chosen}))
    assert ran.code == 0
    assert names(tmp_path / "to") == ["bowl_1.png", "leopard_2.png", "leopard_4.png"]


def test_a_template_names_the_copies(export: Export, tmp_path: Path) -> None:
    assert export("--name-template", "{client}-{id}-{n}").code == 0
    found = names(tmp_path / "to")
    assert found == [
        "Kiku-bowl-1.png",
        "Kiku-cup-1.png",
        *(f"Zoo-leopard-{n}.png" for n in range(1, 5)),
    ]


def test_a_template_without_a_number_gives_each_file_of_a_set_one(
    export: Export, tmp_path: Path
) -> None:
    assert export("--name-template", "{id}{ext}").code == 0
    found = names(tmp_path / "to")
    assert found[2:] == ["leopard-2.png", "leopard-3.png", "leopard-4.png", "leopard.png"]


def test_names_that_collide_are_refused_naming_both_before_anything_is_copied(
    export: Export, tmp_path: Path
) -> None:
    ran = export("--name-template", "{client}-{n}{ext}", "--costs", tmp_path / "costs.csv")
    assert ran.code == 2
    assert "media/cup_1.png (job cup) and media/bowl_1.png (job bowl) would both be" in ran.err
    assert not (tmp_path / "to").exists()
    assert not (tmp_path / "costs.csv").exists()


def test_names_that_only_a_system_without_case_takes_for_one_collide() -> None:
    rows = [row("A", files=["media/Cat.png"]), row("b", number=2, files=["media/cat.png"])]
    chosen = {each.key: each.files for each in rows}
    with pytest.raises(ConfigurationError, match="names collide"):
        plan_copies(rows, chosen, template=None)


def test_another_file_of_the_name_is_never_overwritten(export: Export, tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "CUP_1.png").write_text("precious")
    ran = export()
    assert ran.code == 2
    assert "CUP_1.png (for media/cup_1.png)" in ran.err
    assert names(tmp_path / "to") == ["CUP_1.png"]
    assert (tmp_path / "to" / "CUP_1.png").read_text() == "precious"


@posix_only
def test_a_link_in_the_way_is_not_written_through(export: Export, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "cup_1.png").symlink_to(target)
    assert export().code == 2
    assert not target.exists()


@posix_only
@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_link_among_the_sources_is_not_followed(
    export: Export, out: Path, tmp_path: Path, what: str
) -> None:
    secret = tmp_path / "secret"
    if what == "file":
        secret.write_text("secret")
        (out / "media" / "cup_1.png").unlink()
        (out / "media" / "cup_1.png").symlink_to(secret)
    else:
        (out / "media").rename(secret)
        (out / "media").symlink_to(secret)
    ran = export()
    assert ran.code == 1
    copied = names(tmp_path / "to")
    assert "cup_1.png" not in copied
    assert len(copied) == (5 if what == "file" else 0)
    assert "kinovi download" in ran.err


@pytest.mark.parametrize("file", ["../outside.png", "/etc/hostname", "media/../ledger.sqlite3"])
def test_a_ledger_that_names_other_files_gets_none_of_them(
    export: Export, out: Path, tmp_path: Path, file: str
) -> None:
    (tmp_path / "outside.png").write_text("secret")
    anyio.run(_rename, out, file)
    ran = export()
    assert ran.code in {1, 2}
    assert not (tmp_path / "to").exists() or len(names(tmp_path / "to")) == 5


async def _rename(out: Path, file: str) -> None:
    ledger = SQLiteLedger(out / "ledger.sqlite3")
    await ledger.open()
    await ledger.set_files("cup", [file])
    await ledger.aclose()


@posix_only
def test_a_source_that_became_a_pipe_makes_nobody_wait(out: Path, tmp_path: Path) -> None:
    (out / "media" / "cup_1.png").unlink()
    os.mkfifo(out / "media" / "cup_1.png")
    with pytest.raises(OSError, match="no plain file"):
        copy_file(out, "media/cup_1.png", tmp_path, "x.png")
    assert not (tmp_path / "x.png").exists()


def test_a_copy_never_replaces_what_came_meanwhile(out: Path, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_text("precious")
    with pytest.raises(FileExistsError):
        copy_file(out, "media/cup_1.png", tmp_path, "x.png")
    assert (tmp_path / "x.png").read_text() == "precious"
    assert names(tmp_path) == ["out", "x.png"]


def test_a_file_that_is_missing_is_told_and_the_rest_delivered(
    export: Export, out: Path, tmp_path: Path
) -> None:
    (out / "media" / "cup_1.png").unlink()
    ran = export()
    assert ran.code == 1
    assert "1 file is not there: kinovi download" in ran.err
    assert len(names(tmp_path / "to")) == 5


def test_a_picked_file_that_is_missing_stops_the_delivery(
    export: Export, out: Path, tmp_path: Path
) -> None:
    (out / "media" / "cup_1.png").unlink()
    ran = export("--picks", picks(tmp_path / "p.json", ["cup", "bowl"]))
    assert ran.code == 2
    assert "media/cup_1.png" in ran.err
    assert not (tmp_path / "to").exists()


def test_media_itself_is_no_destination(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["export", str(out), str(out / "media")]) == 2
    assert "where the files come from" in capsys.readouterr().err


@pytest.mark.parametrize("template", ["../{id}", "{nonsense}", "{id", ""])
def test_a_wrong_template_is_refused(export: Export, tmp_path: Path, template: str) -> None:
    assert export("--name-template", template).code == 2
    assert not (tmp_path / "to").exists()


# -- picks.json ------------------------------------------------------------------------


def test_a_pick_that_is_no_file_of_the_directory_is_named() -> None:
    rows = [row("a", files=["media/a.png"])]
    with pytest.raises(ConfigurationError, match=r"2 picks are no file .*: media/b.png, zzz"):
        picked(rows, [("a", "media/b.png"), ("zzz", ""), ("a", "")])


def test_picks_keep_the_order_of_the_jobs() -> None:
    rows = [row("b", files=["media/1", "media/2"]), row("a", number=2, files=["media/3"])]
    found = picked(rows, [("a", ""), ("", "media/2"), ("wrong id", "media/1"), ("a", "media/3")])
    assert found == {"b": ("media/1", "media/2"), "a": ("media/3",)}


@pytest.mark.parametrize("text", ["", "{", "7", '{"picks": 7}', '[{"id": "a"}]', "[" * 100_000])
def test_what_is_no_picks_json_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"is no picks\.json"):
        read_picks(path)
    with pytest.raises(ConfigurationError, match="cannot read"):
        read_picks(tmp_path / "nowhere.json")


# -- costs -----------------------------------------------------------------------------


def costs_of(tmp_path: Path, *rows: JobRow, copies: tuple[Copy, ...] = ()) -> list[dict[str, str]]:
    write_costs(tmp_path / "costs.csv", costs_table(rows, copies))
    with (tmp_path / "costs.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_dollars_are_those_of_the_generation_in_which_a_job_went_out(tmp_path: Path) -> None:
    seed, later = row("a", number=1), row("b", number=2)
    later = replace(later, meta={**later.meta, "options": {"api_generation": "2026-09"}})
    lines = costs_of(tmp_path, seed, later)
    assert [(line["credits"], line["dollars"]) for line in lines] == [
        ("15", "0.075"),
        ("15", "0.0705"),
    ]


def test_costs_tell_every_job(tmp_path: Path) -> None:
    cells = costs_of(
        tmp_path,
        row("a", tags={"client": "Acme", "status": "x"}, credits=Decimal("569.50")),
        failed("b", 2),
        copies=(Copy("a", "media/a.png", "one.png"), Copy("a", "media/b.png", "two.png")),
    )
    assert [cell["credits"] for cell in cells] == ["569.5", "0"]
    assert [cell["dollars"] for cell in cells] == ["2.8475", "0"]
    assert cells[0]["exported"] == "one.png two.png"
    assert (cells[0]["client"], cells[0]["tag status"], cells[0]["status"]) == (
        "Acme", "x", "succeeded",
    )  # fmt: skip
    assert cells[1]["client"] == ""


@pytest.mark.parametrize(
    "text",
    [
        "=HYPERLINK(1)", "+1+A1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "\u00a0=1",
        "'=1", "\uff1d1+1", "\uff0b1+1", "\uff0d1+1", "\uff20A1", "a\r=1", "a\n=1", "a\t =1",
        "a;=1", "a; \uff1d1",
    ],
)  # fmt: skip
def test_no_cell_is_a_formula(tmp_path: Path, text: str) -> None:
    """Nor does one become a formula where cells are split by semicolons, or at every line end."""
    (cells,) = costs_of(tmp_path, row(text, model=text, tags={text: text}))
    for cell in (*cells, *cells.values()):
        assert not re.search(r"(^|[;\t\r\n])\s*[=+@\uff1d\uff0b\uff0d\uff20-]", cell)
    assert cells["id"].replace("'", "") == text.replace("'", "")


def test_costs_of_any_text_can_be_written(tmp_path: Path) -> None:
    """An id from a batch file may hold half a character."""
    (cells,) = costs_of(tmp_path, row("caf\u00e9 \U0001f98a \ud800"))
    assert cells["id"] == "caf\u00e9 \U0001f98a \\ud800"


def test_costs_again_are_the_same_file(export: Export, tmp_path: Path) -> None:
    costs = tmp_path / "costs.csv"
    assert export("--costs", costs).code == 0
    before = costs.read_bytes()
    again = export("--costs", costs)
    assert again.code == 0, again.err
    assert costs.read_bytes() == before
    costs.unlink()
    costs.symlink_to(tmp_path / "elsewhere")
    assert export("--costs", costs).code == 2
    assert not (tmp_path / "elsewhere").exists()


@posix_only
def test_costs_that_cannot_be_written_whole_are_not_there(out: Path, tmp_path: Path) -> None:
    """A disk without room, as the system itself tells it: a bound on the size of files."""
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))\n"
        "from kinovi_async._cli._export import write_costs; from pathlib import Path\n"
        "write_costs(Path(sys.argv[1]), bytes(50_000))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "to" / "costs.csv")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    assert ran.returncode == 1
    assert "File too large" in ran.stderr
    assert names(tmp_path / "to") == []


def test_costs_overwrite_nothing(export: Export, tmp_path: Path) -> None:
    (tmp_path / "costs.csv").write_text("precious")
    ran = export("--costs", tmp_path / "costs.csv")
    assert ran.code == 2
    assert (tmp_path / "costs.csv").read_text() == "precious"
    assert not (tmp_path / "to").exists()
    assert export("--costs", tmp_path / "new.csv").code == 0
    assert (tmp_path / "new.csv").read_text().startswith("id,model,status,task_id,client,credits")
