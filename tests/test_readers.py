import codecs
import datetime
import hashlib
import os
import zipfile
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyreadstat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayes_cmvt.errors import DataError
from bayes_cmvt.readers import LARGEST_FILE, read_table

SAVE_AS_UTF8 = "save the file as UTF-8 (Excel: CSV UTF-8)"
CHINESE = "姓名,性别,年龄\n张三,男,34\n李四,女,56\n王五,男,61\n"
GERMAN = "name,sex,age\nJürgen,männlich,34\nZoë,weiblich,56\nBjörn,männlich,61\n"


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def cells(table):
    return table.frame.to_numpy().tolist()


def problems(path):
    with pytest.raises(DataError) as refused:
        read_table(path)
    return list(refused.value.problems)


def problem(path):
    (only,) = problems(path)
    return only


def workbook(folder, *rows, name="data.xlsx"):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(folder / name)
    return folder / name


# delimited text -----------------------------------------------------------------------------------


def test_text_cells_are_kept_as_they_are_written(tmp_path):
    table = read_table(write(tmp_path, "data.csv", "id,crp,sex\n01, 2.50 ,NA\n002,,m\n"))
    assert list(table.frame.columns) == ["id", "crp", "sex"]
    assert cells(table) == [["01", " 2.50 ", "NA"], ["002", None, "m"]]
    assert [str(dtype) for dtype in table.frame.dtypes] == ["object"] * 3
    assert table.notes == ()
    assert table.value_labels == {}


def test_the_source_is_the_name_of_the_file_and_the_hash_that_of_its_bytes(tmp_path):
    raw = b"\xef\xbb\xbfa\r\n1\r\n"
    table = read_table(write(tmp_path, "Data.CSV", raw))
    assert table.source == "Data.CSV"
    assert table.sha256 == hashlib.sha256(raw).hexdigest()


def test_rows_are_numbered_from_the_first_after_the_names_counting_blank_ones(tmp_path):
    table = read_table(write(tmp_path, "data.csv", "a,b\n1,2\n\n3,4\n , \n5,6\n\n,\n"))
    assert table.frame.index.tolist() == [1, 3, 5]
    assert table.frame.index.name == "row"
    assert table.frame["a"].tolist() == ["1", "3", "5"]
    assert table.notes == ("2 blank rows left out: 2, 4",)


def test_blank_lines_above_the_names_are_left_out_and_told(tmp_path):
    table = read_table(write(tmp_path, "data.csv", "\n\na,b\n1,2\n"))
    assert table.frame.index.tolist() == [1]
    assert table.notes == ("2 blank lines above the column names left out",)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_end_is_a_line_end(tmp_path, end):
    table = read_table(write(tmp_path, "data.csv", end.join(["a,b", "1,2", "3,4"])))
    assert cells(table) == [["1", "2"], ["3", "4"]]


def test_quoted_cells_may_hold_delimiters_quotes_and_line_breaks(tmp_path):
    table = read_table(write(tmp_path, "data.csv", 'a,b\n"1,5","say ""no""\nnow"\n2,x\n'))
    assert cells(table) == [["1,5", 'say "no"\nnow'], ["2", "x"]]


@pytest.mark.parametrize(
    ("name", "delimiter", "notes"),
    [
        ("data.csv", ",", ()),
        ("data.csv", ";", ("columns are separated by the semicolon",)),
        ("data.csv", "\t", ("columns are separated by the tab",)),
        ("data.csv", "|", ("columns are separated by the vertical bar",)),
        ("data.tsv", "\t", ()),
        ("data.tab", "\t", ()),
        ("data.tsv", ",", ("columns are separated by the comma",)),
        ("data.txt", "\t", ("columns are separated by the tab",)),
    ],
)
def test_the_delimiter_is_found_and_told_unless_usual(tmp_path, name, delimiter, notes):
    lines = [["a", "b", "c"], ["1", "2", "x"], ["3", "4", "y"]]
    text = "\n".join(delimiter.join(line) for line in lines)
    table = read_table(write(tmp_path, name, text))
    assert cells(table) == lines[1:]
    assert table.notes == notes


def test_decimal_commas_do_not_hide_semicolons(tmp_path):
    table = read_table(write(tmp_path, "data.csv", "a;b\n1,5;2,5\n3,5;4,5\n"))
    assert cells(table) == [["1,5", "2,5"], ["3,5", "4,5"]]


def test_one_column_needs_no_delimiter(tmp_path):
    table = read_table(write(tmp_path, "data.csv", "crp\n1,5\n2,5\n".replace(",", ".")))
    assert cells(table) == [["1.5"], ["2.5"]]
    assert table.notes == ()


def test_tabs_in_a_tsv_win_over_commas_in_the_cells(tmp_path):
    table = read_table(write(tmp_path, "data.tsv", "a,x\tb\n1,5\t2\n"))
    assert list(table.frame.columns) == ["a,x", "b"]


def test_two_delimiters_that_fit_equally_well_are_refused(tmp_path):
    path = write(tmp_path, "data.csv", "ALT,U/L;AST,U/L\n2,5;3,1\n")
    assert problem(path) == (
        "comma and semicolon divide its lines equally well; save it with tabs as .tsv, or as .xlsx"
    )


def test_rows_of_another_width_are_all_named(tmp_path):
    path = write(tmp_path, "data.csv", "a,b\n1,2\n1,2,3\n\n4\n5,6\n7,8\n")
    assert problems(path) == [
        "row 2 (line 3) has 3 fields, not 2 as the column names",
        "row 4 (line 5) has 1 field, not 2 as the column names",
    ]


def test_a_line_is_counted_in_the_file_where_cells_hold_line_breaks(tmp_path):
    path = write(tmp_path, "data.csv", 'a,b\n"1\n\n",2\n3,4\n5\n')
    assert problem(path) == "row 3 (line 6) has 1 field, not 2 as the column names"


def test_a_title_above_the_names_is_refused(tmp_path):
    path = write(tmp_path, "data.csv", "My study\na,b\n1,2\n3,4\n")
    assert problem(path) == (
        "line 1 has 1 column name, but 3 of 3 rows have 2 fields; the first line must hold one "
        "name for every column, without a title above it"
    )


def test_an_open_quote_is_refused_with_its_line(tmp_path):
    path = write(tmp_path, "data.csv", 'a,b\n1,2\n3,"x\n4,5\n')
    assert problem(path) == (
        'line 3: a quote (") opens a cell and is not closed before the next delimiter; '
        "close it, and write a quote inside a quoted cell twice"
    )


def test_a_quote_inside_a_quoted_cell_is_refused_with_its_line(tmp_path):
    path = write(tmp_path, "data.csv", 'a,b\n1,2\n3,"x"y\n')
    assert problem(path).startswith('line 3: a quote (") opens a cell and is not closed')


@given(
    rows=st.lists(
        st.tuples(
            *[st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)] * 2
        ),
        min_size=1,
        max_size=6,
    )
)
def test_any_text_survives_writing_and_reading(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("any") / "data.tsv"
    kept = [["anchor", *row] for row in rows]  # no row is blank
    frame = pd.DataFrame(kept, columns=["a", "b", "c"])
    frame.to_csv(path, sep="\t", index=False, quoting=1, lineterminator="\n")
    assert cells(read_table(path)) == [[cell or None for cell in row] for row in kept]


# encodings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [CHINESE, GERMAN, "a,b\n1,2\n"])
@pytest.mark.parametrize(
    ("encoding", "notes"),
    [
        ("utf-8", ()),
        ("utf-8-sig", ()),
        ("utf-16", ("text read as UTF-16",)),
        ("utf-32", ("text read as UTF-32",)),
    ],
)
def test_unicode_texts_are_read_and_told_unless_utf8(tmp_path, text, encoding, notes):
    table = read_table(write(tmp_path, "data.csv", text.encode(encoding)))
    header, *rows = [line.split(",") for line in text.splitlines()]
    assert list(table.frame.columns) == header
    assert cells(table) == rows
    assert table.notes == notes


def test_big_endian_utf16_is_read_by_its_mark(tmp_path):
    raw = codecs.BOM_UTF16_BE + CHINESE.encode("utf-16-be")
    assert cells(read_table(write(tmp_path, "data.csv", raw)))[0] == ["张三", "男", "34"]


CHINESE_TEXTS = [
    CHINESE,
    "sex,age\n男,34\n女,56\n男,77\n",
    "id,group\n1,对照组\n2,试验组\n3,对照组\n",
    "a,b\n1,有\n2,无\n3,有\n",
    "患者编号,D-二聚体\n1,2.5\n2,3.5\n3,1.5\n",
    "sex,site\n1,髋\n2,胫\n1,髂\n",
    "姓名,部位\n陳大文,髋\n喆,胫骨\n李,髂\n",
]
WESTERN_TEXTS = [
    GERMAN,
    "Größe,Gewicht\n1,2\n3,4\n5,6\n",
    "id,crp µg/L,temp °C\n1,2,3\n4,5,6\n7,8,9\n",
    "año,sexo\n1,señor\n2,niña\n3,señor\n",
    "Prénom,Âge\nZoë,3\nÉlodie,4\nCréée,5\n",
    "a,b\nmøøse,åå\nöö,1\nsmörgås,2\n",
    "a,b\n1±2,3²\n4±1,5²\n2±2,1²\n",
    "a,b\nd’été,–\n“x”,€\nç,½\n",
]


@pytest.mark.parametrize("copies", [1, 200])
@pytest.mark.parametrize(
    ("encoding", "name", "text"),
    [
        *[("gb18030", "GB18030 (Chinese)", text) for text in CHINESE_TEXTS],
        *[("cp1252", "Windows-1252 (Western European)", text) for text in WESTERN_TEXTS],
        ("latin-1", "Windows-1252 (Western European)", GERMAN),
    ],
)
def test_chinese_and_western_texts_are_told_apart(tmp_path, encoding, name, text, copies):
    header, *rows = [line.split(",") for line in text.splitlines()]
    body = text.split("\n", 1)[1] * copies
    raw = (text.split("\n", 1)[0] + "\n" + body).encode(encoding)
    table = read_table(write(tmp_path, "data.csv", raw))
    assert list(table.frame.columns) == header
    assert cells(table) == rows * copies
    assert table.notes == (f"text read as {name}; if it looks wrong, {SAVE_AS_UTF8}",)


def test_a_text_in_neither_encoding_is_refused_with_the_place(tmp_path):
    path = write(tmp_path, "data.csv", "a,b\n1,2\nx,мужской\ny,женский\n".encode("cp1251"))
    assert problem(path) == (
        "byte 11 (line 3) is not UTF-8, nor is the text GB18030 (Chinese) or Windows-1252 "
        f"(Western European); {SAVE_AS_UTF8}"
    )


def test_damaged_utf8_is_refused_with_the_place(tmp_path):
    raw = "性别,麻醉\n男,全麻\n女,椎管内\n".encode()
    assert problem(write(tmp_path, "data.csv", raw[:-2] + b"\n")) == (
        f"byte 36 (line 3) is not UTF-8, while the rest of the text is; {SAVE_AS_UTF8}"
    )


def test_a_text_that_breaks_the_promise_of_its_mark_is_refused(tmp_path):
    path = write(tmp_path, "data.csv", codecs.BOM_UTF8 + b"a,b\n1,\xff\n")
    assert problem(path) == (
        f"it starts with the mark of UTF-8, but byte 10 (line 2) is not UTF-8; {SAVE_AS_UTF8}"
    )


def test_a_utf16_text_cut_short_is_refused_with_the_place(tmp_path):
    path = write(tmp_path, "data.csv", "a,b\n1,2\n".encode("utf-16")[:-1])
    assert problem(path) == (
        "it starts with the mark of UTF-16, but byte 17 (line 2) is not UTF-16-LE; " + SAVE_AS_UTF8
    )


def test_nul_bytes_are_refused(tmp_path):
    path = write(tmp_path, "data.csv", "a,b\n1,2\n".encode("utf-16-le"))
    assert problem(path) == (
        f"it holds NUL bytes: it is binary, or UTF-16 without its mark; {SAVE_AS_UTF8}"
    )


# column names -------------------------------------------------------------------------------------


def test_column_names_are_normalised_and_told(tmp_path):
    table = read_table(write(tmp_path, "data.csv", " age ,ＣＲＰ（mg）,sex\n1,2,3\n"))
    assert list(table.frame.columns) == ["age", "CRP(mg)", "sex"]
    assert table.notes == (
        '2 columns read without stray blanks or full-width characters: "age", "CRP(mg)"',
    )


def test_a_nameless_column_with_cells_is_refused(tmp_path):
    path = write(tmp_path, "data.csv", "a,,b\nx,1,y\nx,2,y\n")
    assert problem(path) == (
        'column 2 has cells (first: "1") but no name; give it one, or delete it'
    )


def test_a_nameless_column_without_cells_is_left_out_and_told(tmp_path):
    table = read_table(write(tmp_path, "data.csv", "a,b,\n1,2,\n3,4,\n"))
    assert list(table.frame.columns) == ["a", "b"]
    assert table.notes == ("1 column without name or cells left out: 3",)


def test_names_used_twice_are_refused_with_their_positions(tmp_path):
    path = write(tmp_path, "data.csv", "age,b,ａｇｅ,b,c\n1,2,3,4,5\n")
    assert problems(path) == [
        'columns 1, 3 have the same name "age"; rename them',
        'columns 2, 4 have the same name "b"; rename them',
    ]


def test_all_problems_of_the_names_come_together(tmp_path):
    assert len(problems(write(tmp_path, "data.csv", "a,a,,b,c\n1,2,3,4,5\n"))) == 2


def test_control_characters_never_reach_a_message(tmp_path):
    path = write(tmp_path, "da\x1bta.csv", "a\x1b[1m,a\x1b[1m\n1,2\n")
    with pytest.raises(DataError) as refused:
        read_table(path)
    assert str(refused.value) == (
        "da\\x1bta.csv cannot be read: 1 problem\n\n"
        '  columns 1, 2 have the same name "a\\x1b[1m"; rename them'
    )


# Excel --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["data.xlsx", "data.XLSM"])
def test_excel_cells_keep_their_kind(tmp_path, name):
    moment = datetime.datetime(2021, 3, 4)
    path = workbook(
        tmp_path,
        ["age", "crp", "sex", "day", "icu", "mixed", "full"],
        [34, 1.5, "男", moment, True, "1,5", 1],
        [56, None, None, None, False, 2.5, 2],
        [None, 2, "女", None, None, None, 3],
        name=name,
    )
    frame = read_table(path).frame
    np.testing.assert_array_equal(frame["age"], [34, 56, np.nan])
    np.testing.assert_array_equal(frame["crp"], [1.5, np.nan, 2])
    assert frame["sex"].tolist() == ["男", None, "女"]
    assert frame["day"].tolist() == [moment, None, None]
    assert frame["icu"].tolist() == [True, False, None]
    assert frame["mixed"].tolist() == ["1,5", 2.5, None]
    assert frame["full"].tolist() == [1, 2, 3]
    assert frame.index.tolist() == [1, 2, 3]
    assert frame.dtypes.astype(str).tolist() == ["float64"] * 2 + ["object"] * 4 + ["int64"]


def test_blank_excel_rows_are_counted_and_left_out(tmp_path):
    table = read_table(workbook(tmp_path, ["a", "b"], [1, 2], [], [3, 4], [None, "  "]))
    assert table.frame.index.tolist() == [1, 3]
    assert table.frame["a"].tolist() == [1, 3]
    assert table.notes == ("1 blank row left out: 2",)


def test_numbers_as_excel_column_names_become_texts(tmp_path):
    assert list(read_table(workbook(tmp_path, [2021, "b"], [1, 2])).frame.columns) == ["2021", "b"]


def test_the_first_sheet_is_read_and_the_others_named(tmp_path):
    book = openpyxl.Workbook()
    book.active.title = "cohort"
    for row in (["a"], [1]):
        book.active.append(row)
    book.create_sheet("codes").append(["x"])
    book.create_sheet("说明")
    book.save(tmp_path / "data.xlsx")
    table = read_table(tmp_path / "data.xlsx")
    assert cells(table) == [[1]]
    assert table.notes == ('sheet "cohort" read, others not: "codes", "说明"',)


def test_formulas_without_a_stored_result_are_told(tmp_path):
    path = workbook(tmp_path, ["a", "b"], [1, "=A2*2"], [2, "=A3*2"], [3, 6])
    table = read_table(path)
    np.testing.assert_array_equal(table.frame["b"], [np.nan, np.nan, 6])
    assert table.notes == (
        "2 formula cells without a stored result read as empty: B2, B3; "
        "open and save the workbook in Excel",
    )


def test_formulas_with_a_stored_result_give_it_silently(tmp_path):
    path = workbook(tmp_path, ["a", "b"], [1, "=A2*2"])
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    assert b"<v />" in parts[sheet] or b"<v/>" in parts[sheet] or b"<v></v>" in parts[sheet]
    for empty in (b"<v />", b"<v/>", b"<v></v>"):
        parts[sheet] = parts[sheet].replace(empty, b"<v>2</v>")
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    table = read_table(path)
    assert cells(table) == [[1, 2]]
    assert table.notes == ()


def test_a_title_above_an_excel_table_is_refused(tmp_path):
    path = workbook(tmp_path, ["My study"], ["a", "b", "c"], [1, 2, 3])
    assert problem(path) == (
        "the first row names 1 of 3 columns; it must hold the column names: delete titles and "
        "merged cells above them"
    )


def test_excel_names_used_twice_are_refused_not_renamed(tmp_path):
    path = workbook(tmp_path, ["age", "b", "age"], [1, 2, 3])
    assert problem(path) == 'columns 1, 3 have the same name "age"; rename them'


# SPSS and Stata -----------------------------------------------------------------------------------


def coded():
    return pd.DataFrame({"sex": [1.0, 2.0, np.nan], "name": ["张", "b", "c"], "x": [1.5, 2.5, 9.0]})


@pytest.mark.parametrize(("name", "compress"), [("data.sav", False), ("data.zsav", True)])
def test_spss_codes_stay_values_beside_their_labels(tmp_path, name, compress):
    frame = coded().rename(columns={"sex": "性别"})
    labels = {"性别": {1.0: "男", 2.0: "女"}}
    pyreadstat.write_sav(frame, tmp_path / name, compress=compress, variable_value_labels=labels)
    table = read_table(tmp_path / name)
    np.testing.assert_array_equal(table.frame["性别"], [1, 2, np.nan])
    assert table.frame["name"].tolist() == ["张", "b", "c"]
    assert table.value_labels == labels
    assert table.frame.index.tolist() == [1, 2, 3]
    assert table.notes == ()
    assert table.sha256 == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()


def test_what_spss_declares_missing_is_missing_and_told(tmp_path):
    pyreadstat.write_sav(coded(), tmp_path / "data.sav", missing_ranges={"x": [9.0]})
    table = read_table(tmp_path / "data.sav")
    np.testing.assert_array_equal(table.frame["x"], [1.5, 2.5, np.nan])
    assert table.notes == ('1 column with codes that SPSS declares missing, read as missing: "x"',)


def test_spss_labels_of_texts_keep_texts_as_codes(tmp_path):
    labels = {"arm": {"a": "neuraxial", "b": "general"}}
    pyreadstat.write_sav(
        pd.DataFrame({"arm": ["a", "b"]}), tmp_path / "data.sav", variable_value_labels=labels
    )
    assert read_table(tmp_path / "data.sav").value_labels == labels


def test_stata_codes_stay_values_beside_their_labels(tmp_path):
    pyreadstat.write_dta(
        coded(), tmp_path / "data.dta", variable_value_labels={"sex": {1: "男", 2: "女"}}
    )
    table = read_table(tmp_path / "data.dta")
    np.testing.assert_array_equal(table.frame["sex"], [1, 2, np.nan])
    assert table.frame["name"].tolist() == ["张", "b", "c"]
    assert table.value_labels == {"sex": {1.0: "男", 2.0: "女"}}
    assert {type(code) for code in table.value_labels["sex"]} == {float}


def test_missing_values_of_stata_are_missing(tmp_path):
    frame = pd.DataFrame({"x": pd.Series([1.0, "a", 3.0], dtype=object)})
    pyreadstat.write_dta(frame, tmp_path / "data.dta", missing_user_values={"x": ["a"]})
    np.testing.assert_array_equal(read_table(tmp_path / "data.dta").frame["x"], [1, np.nan, 3])


def test_a_wide_spss_file_is_read_without_a_warning(tmp_path):
    frame = pd.DataFrame({f"x{column}": [1.0, 2.0] for column in range(150)})
    pyreadstat.write_sav(frame, tmp_path / "data.sav")
    assert cells(read_table(tmp_path / "data.sav")) == [[1.0] * 150, [2.0] * 150]


# Parquet ------------------------------------------------------------------------------------------


def test_parquet_columns_keep_their_values(tmp_path):
    frame = pd.DataFrame(
        {"n": [1, 2], "x": [0.5, np.nan], "性别": ["男", None], "b": [True, False]}
    )
    frame.to_parquet(tmp_path / "data.parquet")
    found = read_table(tmp_path / "data.parquet").frame
    assert found["n"].tolist() == [1, 2]
    np.testing.assert_array_equal(found["x"], [0.5, np.nan])
    assert found["性别"].isna().tolist() == [False, True]
    assert found["b"].tolist() == [True, False]
    assert found.index.tolist() == [1, 2]


def test_the_index_that_pandas_saved_is_a_column_like_any_other(tmp_path):
    frame = pd.DataFrame({"x": [0.5, 1.5]}, index=pd.Index([7, 9], name="patient"))
    frame.to_parquet(tmp_path / "data.parquet")
    found = read_table(tmp_path / "data.parquet").frame
    assert found["patient"].tolist() == [7, 9]
    assert found.index.tolist() == [1, 2]


def test_parquet_names_used_twice_are_refused(tmp_path):
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    pq.write_table(table, tmp_path / "data.parquet")
    assert problem(tmp_path / "data.parquet") == (
        'columns 1, 2 have the same name "a"; rename them'
    )


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (pd.DataFrame({"a": [1.0]}).iloc[:0], "it has no rows"),
        (pd.DataFrame(), "it has no columns"),
    ],
)
def test_a_typed_file_without_rows_or_columns_is_refused(tmp_path, frame, told):
    frame.to_parquet(tmp_path / "data.parquet")
    assert problem(tmp_path / "data.parquet") == told


def test_a_typed_file_whose_columns_are_all_empty_and_nameless_is_refused(tmp_path):
    pd.DataFrame({"": [np.nan, np.nan]}).to_parquet(tmp_path / "data.parquet")
    assert problem(tmp_path / "data.parquet") == "it has no columns"


# files that cannot be read ------------------------------------------------------------------------


def test_a_missing_file_is_refused_with_the_nearest_name(tmp_path):
    write(tmp_path, "cohort.csv", "a\n1\n")
    with pytest.raises(DataError) as refused:
        read_table(tmp_path / "cohrot.csv")
    assert refused.value.heading == "cohrot.csv cannot be read"
    assert refused.value.problems == (
        f'there is no such file in the folder "{tmp_path}"; did you mean "cohort.csv"?',
    )


def test_a_missing_folder_is_refused():
    assert problem(Path("no-such-folder/data.csv")) == (
        'the folder "no-such-folder" does not exist'
    )


def test_a_folder_is_refused(tmp_path):
    (tmp_path / "data.csv").mkdir()
    assert problem(tmp_path / "data.csv") == "it is a folder; name the file in it"


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "data.csv")
    assert problem(tmp_path / "data.csv") == ("it is not a regular file; copy the data into a file")


def test_a_file_below_a_file_is_refused_with_the_reason_of_the_system(tmp_path):
    path = write(tmp_path, "data.csv", "a\n1\n") / "data.csv"
    assert problem(path) == (
        "the system does not open it (Not a directory); check its name and permissions"
    )


def test_a_file_without_permission_is_refused(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    path = write(tmp_path, "data.csv", "a\n1\n")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert problem(path) == (
        "the system does not open it (Permission denied); check its name and permissions"
    )


def test_an_empty_file_is_refused(tmp_path):
    assert problem(write(tmp_path, "data.csv", b"")) == (
        "it is empty (0 bytes); export the data again"
    )


def test_a_file_above_two_gibibytes_is_refused_before_reading(tmp_path):
    path = write(tmp_path, "data.csv", "a\n1\n")
    os.truncate(path, LARGEST_FILE + 2**28)  # sparse: nothing is written
    assert problem(path) == ("it has 2.2 GiB, more than 2 GiB; keep only the columns of the study")


@pytest.mark.parametrize("text", ["\n\n \n", ",,\n,,\n", codecs.BOM_UTF8.decode()])
def test_a_text_of_blank_lines_is_refused(tmp_path, text):
    assert problem(write(tmp_path, "data.csv", text)) == "it holds only blank lines"


def test_a_table_of_names_alone_is_refused(tmp_path):
    told = "it has column names but no rows"
    assert problem(write(tmp_path, "data.csv", "a,b\n\n,\n")) == told
    assert problem(workbook(tmp_path, ["a", "b"])) == told


def test_an_empty_workbook_is_refused(tmp_path):
    assert problem(workbook(tmp_path)) == "it holds only blank lines"


ALLOWED = '".csv", ".tsv", ".tab", ".txt", ".xlsx", ".xlsm", ".sav", ".zsav", ".dta", ".parquet"'


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("data.xls", "the old Excel format .xls is not supported; save it as .xlsx"),
        ("data.rds", f'the suffix ".rds" is not one of {ALLOWED}'),
        ("data.xlxs", f'the suffix ".xlxs" is not one of {ALLOWED}; did you mean ".xlsx"?'),
        ("data", f"a name without a suffix is not one of {ALLOWED}"),
    ],
)
def test_other_formats_are_refused_with_the_allowed_ones(tmp_path, name, told):
    assert problem(write(tmp_path, name, "a\n1\n")) == told


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"PK\x03\x04rest", "an Excel workbook or another zip archive"),
        (b"\xd0\xcf\x11\xe0rest", "an old (.xls) or password-protected Office file"),
        (b"$FL2rest", "an SPSS file (.sav)"),
        (b"$FL3rest", "an SPSS file (.zsav)"),
        (b"<stata_dta>rest", "a Stata file (.dta)"),
        (b"PAR1\x15rest", "a Parquet file"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\x1f\x8brest", "a gzip archive"),
        (b"{\\rtf1", "a rich text document"),
        (b"\x89PNGrest", "a picture"),
        (b"\n <!DOCTYPE html><table>", "a web page or XML"),
    ],
)
def test_another_format_under_a_text_name_is_recognised(tmp_path, raw, kind):
    assert problem(write(tmp_path, "data.csv", raw)) == (
        f"it is not text but looks like {kind}; give it the suffix of its format"
    )


def test_a_column_may_be_named_like_the_signature_of_a_format(tmp_path):
    assert list(read_table(write(tmp_path, "data.csv", "PAR1,b\n1,2\n")).frame) == ["PAR1", "b"]


def intact(folder, suffix):
    path = folder / f"intact{suffix}"
    if suffix == ".parquet":
        coded().to_parquet(path)
    elif suffix == ".xlsx":
        coded().to_excel(path)
    else:
        {".sav": pyreadstat.write_sav, ".dta": pyreadstat.write_dta}[suffix](coded(), path)
    return path.read_bytes()


KINDS = {
    ".xlsx": "an Excel workbook",
    ".sav": "an SPSS file",
    ".dta": "a Stata file",
    ".parquet": "a Parquet file",
}


@pytest.mark.parametrize(("suffix", "kind"), KINDS.items())
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_a_file_cut_short_is_refused(tmp_path, suffix, kind, share):
    raw = intact(tmp_path, suffix)
    path = write(tmp_path, f"data{suffix}", raw[: int(len(raw) * share)])
    assert problem(path) == (
        f"it cannot be read as {kind}: it is damaged or incomplete; export it again"
    )


def test_a_parquet_file_with_damaged_pages_is_refused(tmp_path):
    raw = intact(tmp_path, ".parquet")
    path = write(tmp_path, "data.parquet", raw[:40] + b"\0" * 8 + raw[48:])
    assert problem(path) == (
        "it cannot be read as a Parquet file: it is damaged or incomplete; export it again"
    )


def test_an_archive_that_is_no_workbook_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "data.xlsx", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    assert problem(tmp_path / "data.xlsx") == (
        "it cannot be read as an Excel workbook: it is damaged or incomplete; export it again"
    )


@pytest.mark.parametrize(("suffix", "kind"), KINDS.items())
def test_a_document_under_the_name_of_a_data_file_is_recognised(tmp_path, suffix, kind):
    assert problem(write(tmp_path, f"data{suffix}", b"%PDF-1.7 rest")) == (
        f"it cannot be read as {kind}: it looks like a PDF document; "
        "give it the suffix of its format"
    )


def test_the_exception_of_the_library_is_kept_as_the_cause(tmp_path):
    with pytest.raises(DataError, match="cannot be read as an Excel workbook") as refused:
        read_table(write(tmp_path, "data.xlsx", b"text"))
    assert isinstance(refused.value.__cause__, zipfile.BadZipFile)


def test_a_machine_without_enough_memory_is_not_taken_for_a_damaged_file(tmp_path, monkeypatch):
    def exhaust(*arguments, **options):
        raise MemoryError

    path = write(tmp_path, "data.dta", intact(tmp_path, ".dta"))
    monkeypatch.setattr(pyreadstat, "read_dta", exhaust)
    with pytest.raises(MemoryError):
        read_table(path)


def test_the_heading_of_a_refusal_names_the_file(tmp_path):
    with pytest.raises(DataError, match=r"^data\.rds cannot be read: 1 problem"):
        read_table(write(tmp_path, "data.rds", "a\n1\n"))


def test_row_names_of_r_and_pandas_are_left_out_and_told(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text('"","y","age"\n"1",0,61\n"2",1,70\n')
    table = read_table(path)
    assert list(table.frame.columns) == ["y", "age"]
    assert table.notes == ("column 1 has no name and is left out: it holds the names of the rows",)
