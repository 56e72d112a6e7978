import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayes_cmvt.cells import match_levels, missing_cells, shown_cell
from bayes_cmvt.numerals import MISSING_TOKENS
from bayes_cmvt.plaintext import normalise_text
from bayes_cmvt.schema import level_key


def codes(cells, levels, labels=None):
    return match_levels(pd.Series(cells), levels, value_labels=labels or {}).codes.tolist()


def unknown(cells, levels, labels=None):
    found = match_levels(pd.Series(cells), levels, value_labels=labels or {}).unknown
    return {cell: positions.tolist() for cell, positions in found.items()}


def notes(cells, levels):
    return match_levels(pd.Series(cells), levels, value_labels={}).notes


@pytest.mark.parametrize("cell", [1, "1", 1.0, "1.0", True, np.int8(1), np.float32(1)])
@pytest.mark.parametrize("level", [1, "1", 1.0, "1.0"])
def test_one_is_one_however_it_is_written(cell, level):
    cells = pd.Series([cell, None], dtype=object)
    assert codes(cells, [0, level]) == [1, -1]
    assert notes(cells, [0, level]) == ()


def test_columns_of_any_numeric_type_match_numbers_and_texts():
    for dtype in ("int8", "Int64", "float32", "float64", "object", "string"):
        cells = pd.Series([1, 2, 1]).astype(dtype)
        assert codes(cells, [1, 2]) == codes(cells, ["1", "2"]) == [0, 1, 0], dtype


def test_a_code_with_a_leading_zero_is_a_level_of_its_own():
    assert codes(["01", "1"], ["1", "01"]) == [1, 0]
    assert unknown(["1", 1.0], ["01", "02"]) == {'"1"': [0], "1": [1]}


def test_a_number_written_otherwise_is_read_and_noted():
    assert codes(["01", "+1", "1.", "1e0"], [0, 1]) == [1, 1, 1, 1]
    assert notes(["01", "01", "+1"], [0, 1]) == (
        '2 cells "01" read as "1"',
        '1 cell "+1" read as "1"',
    )


@pytest.mark.parametrize("cell", ["1_0", "٣", "0x1", "1e999", "1,0", "ten", "10 %"])
def test_what_python_alone_takes_for_a_number_is_no_level(cell):
    assert unknown([cell], [0, 1, 3, 10]) == {f'"{cell}"': [0]}


def test_case_is_never_ignored():
    assert codes(["GA", "ga", "Ga"], ["GA", "RA"]) == [0, -1, -1]
    assert unknown(["GA", "ga", "Ga"], ["GA", "RA"]) == {'"ga"': [1], '"Ga"': [2]}
    assert codes(["ga", "GA"], ["GA", "ga"]) == [1, 0]


def test_blanks_and_full_width_forms_are_repaired_and_noted():
    cells = ["GA ", "\u3000ＧＡ", "GA", "G\u200bA", "GA "]
    assert codes(cells, ["RA", "GA"]) == [1] * 5
    assert notes(cells, ["RA", "GA"]) == (
        '2 cells "GA " read as "GA"',
        '1 cell "\\u3000ＧＡ" read as "GA"',
        '1 cell "G\\u200bA" read as "GA"',
    )


@pytest.mark.parametrize("cell", [" 1", "1 ", "\xa01", "１", "１．０", " 01"])
def test_blanks_around_numbers_are_noted_too(cell):
    assert codes([cell], [0, 1]) == [1]
    assert notes([cell], [0, 1]) == (f'1 cell {shown_cell(cell)} read as "1"',)


def test_a_repaired_cell_prefers_the_level_that_is_written_plainly():
    assert codes(["GA ", "ＧＡ"], ["GA", "ＧＡ"]) == [0, 1]
    assert codes(["GA ", "ＧＡ"], ["ＧＡ", "GA"]) == [1, 0]


def test_blanks_inside_a_text_are_not_ignored():
    assert unknown(["G A", "G  A"], ["GA", "G A"]) == {'"G  A"': [1]}


def test_value_labels_stand_for_their_codes():
    labels = {1.0: "white", 2.0: "black"}
    for cells in (np.array([2.0, 1.0, np.nan]), np.array([2, 1, 3]), pd.array([2, 1, None])):
        assert codes(cells, ["white", "black"], labels) == [1, 0, -1]
    assert codes(["b", "a"], ["x", "y"], {"a": "x", "b": "y"}) == [1, 0]


def test_a_level_given_as_code_needs_no_label():
    assert codes(np.array([2.0, 1.0]), [1, 2], {1.0: "white", 2.0: "black"}) == [1, 0]


def test_the_written_cell_goes_before_its_label():
    assert codes(np.array([1.0, 2.0]), [1, 2], {1.0: "2", 2.0: "1"}) == [0, 1]


def test_an_unlabelled_code_is_unknown():
    assert unknown(np.array([1.0, 9.0]), ["white"], {1.0: "white"}) == {"9": [1]}


@pytest.mark.parametrize("token", [*sorted(MISSING_TOKENS), "", "  ", "\u3000", " NA "])
def test_signs_for_missing_are_neither_level_nor_unknown(token):
    assert codes([token, "x"], ["x", "y"]) == [-1, 0]
    assert unknown([token, "x"], ["x", "y"]) == {}
    assert missing_cells(pd.Series([token, "x"])).tolist() == [True, False]


@pytest.mark.parametrize("token", sorted(MISSING_TOKENS))
def test_a_declared_level_is_never_a_sign_for_missing(token):
    cells = pd.Series([token, None, f"{token} ", "x", ""])
    assert codes(cells, ["x", token]) == [1, -1, 1, 0, -1]
    assert missing_cells(cells, ["x", token]).tolist() == [False, True, False, False, True]
    assert missing_cells(cells).tolist() == [True, True, True, False, True]


def test_booleans_are_0_and_1_or_the_texts_of_their_names():
    cells = pd.Series([True, None, False], dtype="boolean")
    assert codes(cells, [0, 1]) == [1, -1, 0]
    assert codes([True, False], ["True", "False"]) == [0, 1]
    assert unknown(["TRUE", "FALSE"], [0, 1]) == {'"TRUE"': [0], '"FALSE"': [1]}


def test_missing_values_of_every_type_are_missing():
    for nothing in (None, np.nan, pd.NA, pd.NaT):
        cells = pd.Series(["x", nothing], dtype=object)
        assert codes(cells, ["x", "y"]) == [0, -1]
        assert unknown(cells, ["x", "y"]) == {}
        assert missing_cells(cells).tolist() == [False, True]
    dates = pd.Series(pd.to_datetime(["2020-01-01", None]))
    assert missing_cells(dates).tolist() == [False, True]
    assert unknown(dates, ["x", "y"]) == {"2020-01-01 00:00:00": [0]}


def test_categories_are_matched_by_their_values():
    cells = pd.Series(["b", "a", None, "z"], dtype="category")
    assert codes(cells, ["a", "b"]) == [1, 0, -1, -1]
    assert unknown(cells, ["a", "b"]) == {'"z"': [3]}


def test_cells_that_are_no_values_are_unknown_and_no_crash():
    cells = pd.Series([[1], {"a": 1}, 10**400, b"x", "x", None], dtype=object)
    assert codes(cells, ["x", 1]) == [-1, -1, -1, -1, 0, -1]
    assert len(unknown(cells, ["x", 1])) == 4
    assert missing_cells(cells).tolist() == [False] * 5 + [True]


def test_unknown_cells_that_begin_alike_are_counted_apart():
    cells = ["a" * 50 + "b", "a" * 50 + "c", "a" * 50 + "b"]
    assert sorted(unknown(cells, ["x", "y"]).values()) == [[0, 2], [1]]


def test_fifty_thousand_distinct_texts_are_each_counted():
    cells = pd.Series([f"text {number % 50_000}" for number in range(100_000)], dtype=object)
    found = match_levels(cells, ["text 1", "b"], value_labels={})
    assert len(found.unknown) == 49_999
    assert found.unknown['"text 2"'].tolist() == [2, 50_002]
    assert np.flatnonzero(found.codes == 0).tolist() == [1, 50_001]


def test_infinity_is_a_cell_like_any_other():
    assert unknown([np.inf, 1.0], [0, 1]) == {"inf": [0]}


def test_a_column_of_nothing_has_no_levels():
    assert codes(pd.Series([], dtype=object), ["x", "y"]) == []
    assert codes([None, None], ["x", "y"]) == [-1, -1]
    assert missing_cells(pd.Series([], dtype=object)).tolist() == []


def test_shown_cells_are_quoted_cut_and_printable():
    assert shown_cell("a\x1b[2J") == '"a\\x1b[2J"'
    assert shown_cell("x" * 41) == '"' + "x" * 37 + '…"'
    assert (shown_cell("x" * 40), shown_cell(0.1), shown_cell(1e300)) == (
        '"' + "x" * 40 + '"',
        "0.1",
        "1e+300",
    )


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Cf"]), max_size=5)
level_lists = st.lists(
    st.one_of(st.integers(-50, 50), words.filter(lambda text: normalise_text(text) != "")),
    min_size=2,
    max_size=6,
    unique_by=level_key,
)


@given(level_lists, st.data())
def test_every_level_is_found_as_it_was_declared(levels, data):
    order = data.draw(st.lists(st.integers(0, len(levels) - 1), min_size=1, max_size=20))
    cells = pd.Series([levels[i] for i in order], dtype=object)
    assert codes(cells, levels) == order
    assert unknown(cells, levels) == {}
    assert notes(cells, levels) == ()
    texts = pd.Series([str(levels[i]) for i in order], dtype=object)  # as a CSV file has them
    assert codes(texts, levels) == order
    assert not missing_cells(texts, levels).any()


@given(level_lists, st.lists(st.one_of(words, st.floats(), st.integers(), st.booleans())))
def test_every_cell_is_a_level_unknown_or_missing(levels, found):
    cells = pd.Series(found, dtype=object)
    matched = match_levels(cells, levels, value_labels={})
    missing = missing_cells(cells, levels)
    named = np.zeros(len(cells), dtype=bool)
    for positions in matched.unknown.values():
        assert not named[positions].any()
        named[positions] = True
    assert ((matched.codes >= 0).astype(int) + named + missing == 1).all()


@given(level_lists, st.lists(words, max_size=10), st.randoms())
def test_order_of_rows_changes_nothing(levels, found, random):
    cells = [*found, *map(str, levels)]
    order = list(range(len(cells)))
    random.shuffle(order)
    straight = codes(cells, levels)
    assert codes([cells[i] for i in order], levels) == [straight[i] for i in order]
