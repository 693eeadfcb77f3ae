from __future__ import annotations

import unicodedata
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kinovi_async._downloads._names import (
    CLIENT_TEMPLATE,
    DEFAULT_TEMPLATE,
    MAX_NAME_BYTES,
    PART_SUFFIX,
    check_template,
    collision_key,
    collision_suffixes,
    file_name,
    is_plain_name,
    split_extension,
    unique_names,
    with_suffix,
)
from kinovi_async._errors import ConfigurationError

HOSTILE = [
    "../../etc/passwd",
    "..",
    ".",
    "/etc/passwd",
    "C:\\Windows\\system32",
    "C:",
    "\\\\server\\share\\x",
    "a\x00b",
    "CON",
    "con",
    "NUL.txt",
    "COM1",
    "LPT¹",
    "aux .jpg",
    "trailing...",
    "trailing   ",
    " leading",
    ".hidden",
    "x" * 300,
    "猫" * 300,
    "evil\u202egnp.exe",
    "zero\u200bwidth",
    "new\nline\r\x1b]8;;http://x\x07",
    "lone\ud800surrogate",
    "unassigned\uffff",
    'a:b<c>d|e?f*g"h',
    "x.part",
    "line\u2028separator",
    "",
    "   ",
    "~root",
    "%2e%2e%2f",
    "{id}",
]
hostile_text = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(codec=None), max_size=400),
    st.text(alphabet="./\\:\x00 CONcon\u202e\u0301é-_{}", max_size=40),
)
templates = st.sampled_from(
    [
        DEFAULT_TEMPLATE,
        CLIENT_TEMPLATE,
        "{id}",
        "{id}{ext}",
        "COM{n}",
        "{model}{id}.png",
        "{id}.png{ext}",
        ".png",
        "{ext}{id}",
    ]
)


def fields(value: str, *, n: str = "1", ext: str = ".png") -> dict[str, str]:
    return {"id": value, "task_id": value, "model": value, "n": n, "ext": ext}


def assert_safe(name: str, directory: Path) -> None:
    assert (directory / name).resolve().parent == directory.resolve()
    assert Path(name).name == name
    assert PureWindowsPath("D:/out", name) == PureWindowsPath("D:/out") / name
    assert PureWindowsPath(name).name == name
    assert not PureWindowsPath(name).drive
    assert len(name.encode()) <= MAX_NAME_BYTES
    assert unicodedata.is_normalized("NFC", name)
    assert not any(unicodedata.category(char)[0] == "C" for char in name)
    assert not name.endswith((".", " ", PART_SUFFIX))
    assert not name.startswith(".")
    assert name.partition(".")[0].strip().lower() not in {
        "con",
        "nul",
        "aux",
        "prn",
        "com1",
        "lpt1",
    }
    assert is_plain_name(name)


@settings(max_examples=400, deadline=None)
@given(value=hostile_text, ext=hostile_text, template=templates, suffix=hostile_text)
@example(value="..", ext="/..", template="{id}{ext}", suffix="")
@example(value="1", ext="", template="COM{n}", suffix="")
@example(value="x" * 90 + ".part", ext="", template="{id}", suffix=".part")
def test_no_hostile_value_escapes_its_folder(
    value: str, ext: str, template: str, suffix: str
) -> None:
    name = file_name(template, fields=fields(value, ext=ext), suffix=suffix)
    assert_safe(name, Path("/srv/out"))


@pytest.mark.parametrize("value", HOSTILE)
def test_each_listed_hostile_value_can_be_created_as_a_file(value: str, tmp_path: Path) -> None:
    name = file_name(DEFAULT_TEMPLATE, fields=fields(value))
    assert_safe(name, tmp_path)
    (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_harmless_value_stays_as_it_is() -> None:
    assert file_name(DEFAULT_TEMPLATE, fields=fields("cat-1")) == "cat-1_1.png"
    assert file_name("{model} {id}{ext}", fields=fields("größe 猫")) == "größe 猫 größe 猫.png"


def test_values_that_sanitise_alike_get_different_names() -> None:
    alike = ["a/b", "a\\b", "a:b", "a_b", "a?b", "é", "e\u0301", ".x", "_x", "x.", "x"]
    names = [file_name(DEFAULT_TEMPLATE, fields=fields(value)) for value in alike]
    assert len({collision_key(name) for name in names}) == len(alike)
    assert names[3] == "a_b_1.png"


def test_a_cut_name_keeps_its_number_and_extension_and_stays_unique() -> None:
    names = {
        file_name(DEFAULT_TEMPLATE, fields=fields("x" * 300 + end, n=n))
        for end in "ab"
        for n in ("1", "2")
    }
    assert len(names) == 4
    assert {name[-6:] for name in names} == {"_1.png", "_2.png"}


def test_an_overlong_whole_is_cut_with_a_hash_of_the_whole() -> None:
    template = "{id}-{model}-{task_id}{ext}"
    one = file_name(template, fields=fields("x" * 90))
    two = file_name(template, fields={**fields("x" * 90), "task_id": "x" * 89 + "y"})
    assert one != two
    assert len(one.encode()) <= MAX_NAME_BYTES
    assert one.endswith(".png")


def test_an_extension_that_is_none_is_dropped() -> None:
    assert file_name("{id}{ext}", fields=fields("a", ext=".p/ng")) == "a"
    assert file_name("{id}{ext}", fields=fields("a", ext=".PNG")) == "a.png"


@pytest.mark.parametrize(
    ("template", "ext", "name"),
    [
        ("{id}.png", ".png", "a.png"),
        ("{id}.png{ext}", ".png", "a.png"),
        ("{id}.png", ".jpg", "a.jpg"),
        ("{id}.png{ext}", ".mp4", "a.mp4"),
        ("{id}.jpeg", ".jpg", "a.jpeg"),
        ("{id}.JPEG{ext}", ".jpg", "a.JPEG"),
        ("{id}.png", "", "a.png"),
        ("{id}.png{ext}", ".bin", "a.png"),
        ("{id}.final", ".png", "a.final"),
        ("{id}.final{ext}", ".png", "a.final.png"),
        ("{id}.tar{ext}", ".png", "a.tar.png"),
        ("pic.png", ".jpg", "pic.jpg"),
        ("{ext}{id}.png", ".jpg", "_jpga.jpg"),
        (".png", ".jpg", "_png"),
        ("{id}{ext}.png", ".jpg", "a.jpg.jpg"),
        ("{ext}", ".jpg", "_jpg"),
    ],
)
def test_a_template_with_its_own_extension_is_not_given_another(
    template: str, ext: str, name: str
) -> None:
    assert file_name(template, fields=fields("a", ext=ext)) == name


def test_a_number_goes_before_a_templates_own_extension() -> None:
    assert file_name("{id}.png{ext}", fields=fields("a"), suffix="-2") == "a-2.png"


def test_empty_becomes_an_underscore() -> None:
    assert file_name("{id}{ext}", fields=fields("")) == "_.png"


@pytest.mark.parametrize("template", [DEFAULT_TEMPLATE, CLIENT_TEMPLATE, "{line} {colour}.jpg"])
def test_good_templates_pass(template: str) -> None:
    check_template(template, tags=["colour"])


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("", "empty"),
        ("{di}{ext}", "known: {id}, {n}, {ext}, {model}, {task_id}, {line}, {colour}"),
        ("{}", "unknown field"),
        ("{0}", "unknown field"),
        ("{id.__class__}", "unknown field"),
        ("{id[0]}", "unknown field"),
        ("{id", "malformed"),
        ("{id!r}", "malformed"),
        ("{id:>500}", "malformed"),
        ("{id:{n}}", "malformed"),
        ("a/{id}", "folders"),
        ("..\\{id}", "dot"),
        ("x\\{id}", "folders"),
        (".{id}", "dot"),
        ("{id}:{n}", "':'"),
        ("{id}\u202e", "\\u202e"),
        ("x" * 101 + "{id}", "too long"),
    ],
)
def test_bad_templates_are_refused_early_with_the_reason(template: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_template(template, tags=["colour"])
    assert told in str(caught.value)


def test_a_field_without_a_value_names_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"\{line\}.*known: \{id\}"):
        file_name("{line}", fields=fields("a"))


def test_names_that_differ_in_case_or_spelling_only_come_apart() -> None:
    names = {
        "Cat": "Cat_1.png",
        "cat": "cat_1.png",
        "é": "é.png",
        "e\u0301": "e\u0301.png",
        "d": "d.png",
    }
    unique = unique_names(names)
    assert unique["d"] == "d.png"
    assert len({collision_key(name) for name in unique.values()}) == 5
    assert unique["Cat"].startswith("Cat_1-")
    assert unique["Cat"].endswith(".png")


@pytest.mark.parametrize(
    ("one", "other"),
    [("\u00e9", "e\u0301"), ("\u00c9", "e\u0301"), ("\ufb01", "fi"), ("\uff21", "a"), ("ẞ", "ss")],
)
def test_names_of_any_spelling_are_taken_for_one(one: str, other: str) -> None:
    """A folder may hold names that are not ours, in the spelling of another system."""
    assert collision_key(f"{one}.png") == collision_key(f"{other}.PNG")


job_ids = st.text(alphabet="aAbBéÉ-1", min_size=1, max_size=3)


@settings(max_examples=200, deadline=None)
@given(
    names=st.dictionaries(job_ids, st.sampled_from(["a.png", "A.png", "b", "B", "É.png"])),
)
def test_names_of_different_jobs_are_unique_and_depend_on_no_order(
    names: dict[str, str],
) -> None:
    unique = unique_names(names)
    assert len({collision_key(name) for name in unique.values()}) == len(names)
    turned = dict(reversed(names.items()))
    assert unique_names(turned) == unique
    for name in unique.values():
        assert_safe(name, Path("/srv/out"))


def test_a_job_named_like_another_jobs_suffixed_name_comes_apart_too() -> None:
    names = {"x": "a.png", "y": "A.png"}
    taken = unique_names(names)["x"]
    names["z"] = taken
    unique = unique_names(names)
    assert len({collision_key(name) for name in unique.values()}) == 3


def test_the_suffix_of_a_job_serves_all_its_files() -> None:
    suffix = collision_suffixes({"Cat": "Cat_1", "cat": "cat_1"})["cat"]
    one, two = (file_name(DEFAULT_TEMPLATE, fields=fields("cat", n=n), suffix=suffix) for n in "12")
    assert one == f"cat_1{suffix}.png"
    assert two == f"cat_2{suffix}.png"


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a.png", ("a", ".png")),
        ("a", ("a", "")),
        (".png", (".png", "")),
        ("a.b c", ("a.b c", "")),
        ("a.tar.gz", ("a.tar", ".gz")),
        ("a.toolongtobeone", ("a.toolongtobeone", "")),
    ],
)
def test_an_extension_is_a_short_word_after_the_last_dot(name: str, parts: tuple[str, str]) -> None:
    assert split_extension(name) == parts


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\\b", "a\x00", "CON", "x.part", "a.", ".a"]
)
def test_special_names_are_not_plain(name: str) -> None:
    assert not is_plain_name(name)


def test_a_suffix_never_makes_an_unfinished_files_name() -> None:
    assert with_suffix("a", ".part") == "a.part_"
