"""Tables: detection, typing and everything a spreadsheet can do to a batch."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinovi_async._cli._csv import TableOptions, TableReader, guarded, typed, unguarded
from kinovi_async._cli._lines import Batch, BatchReader
from kinovi_async._cli._vocabulary import Kind, kinovi_vocabulary

from .conftest import ReadFile

SIMPLE = "id,model,prompt\na,nanobanana2,a cat\n"


def inputs(batch: Batch) -> list[object]:
    assert batch.problems == []
    return [line.body["inputs"] for line in batch.lines]


def test_columns_in_snake_and_wire_names_are_typed_by_the_model(read: ReadFile) -> None:
    text = (
        "id,model,prompt,aspect_ratio,duration,quality,imageUrls,stylize\n"
        "v,seedance-20,a sea,16:9,8,,,\n"
        'i,nanobanana2,a cat,1:1,,,"https://e.com/a.png|https://e.com/b.png",\n'
        "m,midjourney-v7,a dog,,,0.5,,250.0\n"
    )
    batch = read(text.encode(), ".csv")
    assert inputs(batch) == [
        {"prompt": "a sea", "aspectRatio": "16:9", "duration": "8"},
        {
            "prompt": "a cat",
            "aspectRatio": "1:1",
            "imageUrls": ["https://e.com/a.png", "https://e.com/b.png"],
        },
        {"prompt": "a dog", "quality": 0.5, "stylize": 250},
    ]
    assert batch.notes == ["read as UTF-8, comma between the cells"]


def test_a_choice_and_an_address_have_no_white_space_around_them(read: ReadFile) -> None:
    text = (
        "model, prompt, aspectRatio, sourceImageUrl\n"
        "midjourney-v7, a fox, 16:9 , https://x.test/a.png\n"
    )
    (found,) = inputs(read(text.encode(), ".csv"))
    assert found == {
        "prompt": " a fox",
        "aspectRatio": "16:9",
        "sourceImageUrl": "https://x.test/a.png",
    }


def test_a_german_excel_csv(read: ReadFile) -> None:
    """cp1252, semicolons, decimal commas, CRLF and a line of nothing but separators."""
    text = (
        "id;model;prompt;quality;stylize;szene\r\n"
        "1;midjourney-v7;Frühstück für zwölf, „süß“;0,5;250,0;früh\r\n"
        ";;;;;\r\n"
        "2;midjourney-v7;Straße im Nebel;1;;spät\r\n"
    )
    batch = read(text.encode("cp1252"), ".csv", tags=("szene",))
    assert inputs(batch) == [
        {"prompt": "Frühstück für zwölf, „süß“", "quality": 0.5, "stylize": 250},
        {"prompt": "Straße im Nebel", "quality": 1},
    ]
    assert [(line.number, line.tags) for line in batch.lines] == [
        (2, {"szene": "früh"}),
        (4, {"szene": "spät"}),
    ]
    assert batch.notes == ["read as cp1252, semicolon between the cells"]


def test_a_japanese_utf_16_csv_with_tabs(read: ReadFile) -> None:
    text = "id\tmodel\tprompt\r\n猫\tnanobanana2\t紙の帽子をかぶった赤い猫、「スタジオ」\r\n"
    batch = read(text.encode("utf-16"), ".csv")
    assert inputs(batch) == [{"prompt": "紙の帽子をかぶった赤い猫、「スタジオ」"}]
    assert batch.lines[0].key == "猫"
    assert batch.notes == ["read as UTF-16, tab between the cells"]


def test_utf_8_with_bom_keeps_the_first_header(read: ReadFile) -> None:
    batch = read(SIMPLE.encode("utf-8-sig"), ".csv")
    assert batch.lines[0].key == "a"
    assert "UTF-8 with BOM" in batch.notes[0]


@pytest.mark.parametrize("codec", ["cp932", "gb18030"])
def test_east_asian_legacy_text_is_refused_not_garbled(read: ReadFile, codec: str) -> None:
    text = "id,model,prompt\na,nanobanana2,紙の帽子をかぶった猫、ねこ\n"
    (problem,) = read(text.encode(codec), ".csv").problems
    assert "not valid UTF-8" in problem.message or "garbled" in problem.message
    assert "save it as UTF-8" in problem.message


def test_one_wrong_byte_in_utf_8_is_named_not_read_as_cp1252(read: ReadFile) -> None:
    data = "id,model,prompt\na,nanobanana2,größer\nb,nanobanana2,x".encode() + b"\xfc\n"
    (problem,) = read(data, ".csv").problems
    assert problem.line == 3
    assert "0xfc is not valid UTF-8" in problem.message
    assert f"byte {len(data) - 2:,} of the file" in problem.message


def test_excels_sep_line_names_the_separator(read: ReadFile) -> None:
    batch = read(b"sep=;\r\nid;model;prompt\r\na;nanobanana2;x,y\r\n", ".csv")
    assert inputs(batch) == [{"prompt": "x,y"}]
    assert batch.lines[0].number == 3


def test_embedded_line_ends_keep_the_line_numbers(read: ReadFile) -> None:
    text = 'id,model,prompt\na,nanobanana2,"one\r\ntwo\nthree"\nb,nanobanana2,\nc,nanobanana2,x\n'
    batch = read(text.encode(), ".csv")
    assert [problem.line for problem in batch.problems] == [5]
    assert [line.number for line in batch.lines] == [2, 6]
    assert batch.lines[0].body["inputs"] == {"prompt": "one\r\ntwo\nthree"}


def test_an_empty_cell_is_unset_and_its_row_may_lack_an_id(read: ReadFile) -> None:
    batch = read(b"id,model,prompt,seed\n,nanobanana2,x, \n", ".csv")
    assert inputs(batch) == [{"prompt": "x"}]
    assert len(batch.lines[0].key) == 16


def test_cells_that_begin_like_formulas_are_data(read: ReadFile) -> None:
    text = "id,model,prompt\n=1+1,nanobanana2,=HYPERLINK(x)\nb,nanobanana2,'=SUM(A1)\n"
    batch = read(text.encode(), ".csv")
    assert batch.lines[0].key == "=1+1"
    assert inputs(batch) == [{"prompt": "=HYPERLINK(x)"}, {"prompt": "=SUM(A1)"}]


def test_unknown_columns_are_listed_with_the_flag(read: ReadFile) -> None:
    (problem,) = read(b"model,prompt,scene,mood\nnanobanana2,x,a,b\n", ".csv").problems
    assert problem.line == 1
    assert "columns 'scene', 'mood' are no fields of any model" in problem.message
    assert "--tags scene,mood" in problem.message


def test_tags_travel_and_win_over_fields(read: ReadFile) -> None:
    batch = read(b"model,prompt,style\nnanobanana2,x,noir\n", ".csv", tags=("style",))
    assert batch.lines[0].tags == {"style": "noir"}
    assert inputs(batch) == [{"prompt": "x"}]


def test_a_tag_without_a_column_is_named(read: ReadFile) -> None:
    (problem,) = read(SIMPLE.encode(), ".csv", tags=("scene",)).problems
    assert "no column 'scene', which --tags names" in problem.message


def test_id_column(read: ReadFile) -> None:
    batch = read(b"sku,model,prompt\n7,nanobanana2,x\n", ".csv", id_column="sku")
    assert batch.lines[0].key == "7"
    found = read(SIMPLE.encode(), ".csv", id_column="sku").problems
    assert any("no column 'sku', which --id-column names" in each.message for each in found)


def test_model_option_fills_rows_without_a_model(read: ReadFile) -> None:
    batch = read(b"prompt,model\nx,\ny,midjourney-v7\n", ".csv", model="nanobanana2")
    assert [line.body["model"] for line in batch.lines] == ["nanobanana2", "midjourney-v7"]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("model,prompt,prompt\nm,x,y\n", 1, "is there twice"),
        ("model,aspectRatio,aspect_ratio\nm,x,y\n", 1, "says the same as 'aspectRatio'"),
        ("model,prompt\nnanobanana2\n", 2, "1 cell, but the header has 2"),
        ("model,prompt\nnanobanana2,x,y\n", 2, "3 cells, but the header has 2"),
        ("model,prompt,\nnanobanana2,x,y\n", 2, "a value in a column without a name"),
        ('model,prompt\nnanobanana2,"x\n', 2, "a quote is opened and never closed"),
        ('model,prompt\nnanobanana2,"x" y\n', 2, "text after a closing quote"),
        ("model,prompt\nnanobanana2," + "x" * 140_000, 2, "a cell longer than"),
        (
            "model,prompt,duration\nseedance-20,x,five\n",
            2,
            "a whole number from 4 to 15, not 'five'",
        ),
        ("model,prompt,duration\nnanobanana2,x,5\n", 2, "duration"),
        ("id\n1\n", 1, "no column is a field of a model"),
        ("", 0, "no requests in this file"),
        ("model,prompt\n", 0, "no requests in this file"),
    ],
)
def test_a_bad_table_is_named_by_line(read: ReadFile, text: str, line: int, words: str) -> None:
    found = read(text.encode(), ".csv").problems
    assert any(p.line == line and words in f"{p.field}: {p.message}" for p in found), found


def test_empty_cells_beyond_the_header_are_no_matter(read: ReadFile) -> None:
    assert inputs(read(b"model,prompt\nnanobanana2,x,,\n", ".csv")) == [{"prompt": "x"}]


def test_a_model_nobody_described_takes_inputs_columns(read: ReadFile) -> None:
    text = "model,prompt,inputs.steps,inputs.hint\nfuture-1,x,30,red\n"
    assert inputs(read(text.encode(), ".csv")) == [{"prompt": "x", "steps": 30, "hint": "red"}]


def test_report_columns_are_read_over_and_told(read: ReadFile) -> None:
    batch = read(b"id,model,prompt,status,error\na,nanobanana2,x,failed,why\n", ".csv")
    assert inputs(batch) == [{"prompt": "x"}]
    assert "not read: column status, error" in batch.notes


@pytest.mark.parametrize(
    ("cell", "kind", "comma", "value"),
    [
        ("5", Kind.INTEGER, False, 5),
        ("5.0", Kind.INTEGER, False, 5),
        ("5,0", Kind.INTEGER, True, 5),
        ("5,0", Kind.INTEGER, False, "5,0"),
        ("5.5", Kind.INTEGER, False, "5.5"),
        ("0,25", Kind.NUMBER, True, 0.25),
        ("nan", Kind.NUMBER, False, "nan"),
        ("1e999", Kind.NUMBER, False, float("inf")),
        ("WAHR", Kind.BOOLEAN, False, True),
        ("no", Kind.BOOLEAN, False, False),
        ("maybe", Kind.BOOLEAN, False, "maybe"),
        ("a|b", Kind.LIST, False, ["a", "b"]),
        ("a|b\nc\n", Kind.LIST, False, ["a|b", "c"]),
        (" x ", Kind.TEXT, False, " x "),
        (" 16:9 ", Kind.WORD, False, "16:9"),
    ],
)
def test_typed(cell: str, kind: Kind, comma: bool, value: object) -> None:  # noqa: FBT001 - a parameter
    assert typed(cell, kind, decimal_comma=comma) == value


@given(st.text(max_size=20))
def test_a_guarded_cell_reads_as_it_was_and_is_no_formula(cell: str) -> None:
    kept = guarded(cell)
    assert unguarded(kept) == cell or cell != unguarded(cell)
    if not kept.lstrip("+-").replace(".", "").replace(",", "").isdigit():
        assert not kept.startswith(("=", "+", "-", "@", "\t", "\r"))


@given(st.sampled_from(["=1", "+a", "-a", "@x", "\tx", "'=x", "''=x", "'+1", "-5", "'", "x"]))
def test_guarding_is_undone_exactly(cell: str) -> None:
    assert unguarded(guarded(cell)) == cell


def read_all(data: bytes) -> Batch:
    vocabulary = kinovi_vocabulary()
    options = TableOptions(model="nanobanana2")
    reader = BatchReader(vocabulary, model=options.model)
    return reader.read("x.csv", TableReader(vocabulary, options).read(data))


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_no_bytes_raise(data: bytes) -> None:
    read_all(data)


@given(
    st.lists(
        st.lists(
            st.sampled_from(["id", "model", "prompt", "seedance-20", "5", "", '"', '""', "\n", "é"])
            | st.text(max_size=4),
            max_size=5,
        ),
        max_size=5,
    ),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
)
@settings(max_examples=300, deadline=None)
def test_no_table_raises(rows: list[list[str]], separator: str, codec: str) -> None:
    text = "\n".join(separator.join(row) for row in rows)
    batch = read_all(text.encode(codec, "ignore"))
    assert batch.lines or batch.problems
