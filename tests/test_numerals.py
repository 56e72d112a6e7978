import datetime
import time
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayes_cmvt.numerals import parse_numbers
from bayes_cmvt.plaintext import normalise_text, printable

SWAPPED = str.maketrans(",.", ".,")
REMEDY = 'set decimal = "," or decimal = "." under [data] of the study file'

finite = st.floats(allow_nan=False, allow_infinity=False)


def reasons(cells, **options):
    return [str(cell) for cell in parse_numbers(cells, **options).unreadable]


def test_plain_texts_are_the_numbers_that_they_spell():
    column = parse_numbers(["1234.5", ".5", "1e-3", "-7", "+2.", "2E+2"])
    assert column.values.tolist() == [1234.5, 0.5, 0.001, -7.0, 2.0, 200.0]
    assert (column.separators, column.notes, column.unreadable) == ("plain", (), ())
    assert not column.missing.any()


def test_a_column_without_cells_has_no_values():
    assert parse_numbers([]).values.shape == (0,)


# missing ------------------------------------------------------------------------------------------


def test_empty_cells_are_missing_without_a_note():
    column = parse_numbers(["1", "", "  ", "\u3000", None, float("nan"), pd.NA, pd.NaT])
    assert column.missing.tolist() == [False] + [True] * 7
    assert np.isnan(column.values).tolist() == [False] + [True] * 7
    assert column.notes == ()


@pytest.mark.parametrize("token", ["NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null", "None", "."])
def test_tokens_for_missing_are_counted(token):
    column = parse_numbers([token, "1", f" {token}"])
    assert column.missing.tolist() == [True, False, True]
    assert column.notes == (f'2 cells "{token}" read as missing',)


def test_other_words_for_missing_are_not_guessed():
    assert reasons(["na", "missing", "-", "?", "无"]) == [
        f'"{word}" is not a number' for word in ["na", "missing", "-", "?", "无"]
    ]


def test_missing_values_of_the_numpy_kinds_are_missing():
    cells = [
        np.datetime64("NaT", "D"),
        np.timedelta64("NaT", "s"),
        np.float32("nan"),
        Decimal("sNaN"),
    ]
    assert parse_numbers(cells).missing.all()


# cells that are not text --------------------------------------------------------------------------


def test_numbers_and_booleans_keep_their_value():
    cells = [True, False, 3, 2.5, np.int8(4), np.float32(0.5), np.bool_(True), Decimal("1.25")]
    assert parse_numbers(cells).values.tolist() == [1, 0, 3, 2.5, 4, 0.5, 1, 1.25]


def test_dates_and_times_are_not_numbers():
    moment = datetime.datetime(2021, 3, 4)
    cells = [moment, moment.date(), moment.time(), datetime.timedelta(days=1), pd.Timestamp(moment)]
    assert reasons([*cells, np.datetime64("2021-03-04"), np.timedelta64(3, "D")]) == [
        '"2021-03-04 00:00:00" is a date, not a number',
        '"2021-03-04" is a date, not a number',
        '"00:00:00" is a time, not a number',
        '"1 day, 0:00:00" is a time, not a number',
        '"2021-03-04 00:00:00" is a date, not a number',
        '"2021-03-04" is a date, not a number',
        '"3 days" is a time, not a number',
    ]


def test_objects_of_another_kind_are_not_numbers():
    assert reasons([1j, b"1", [1]]) == [
        '"1j" is not a number',
        "\"b'1'\" is not a number",
        '"[1]" is not a number',
    ]


@pytest.mark.parametrize(
    "cell", ["inf", "-Infinity", "∞", "1e999", "9" * 400, float("inf"), 10**400, Decimal("1e400")]
)
def test_what_is_not_finite_is_refused(cell):
    column = parse_numbers(["1", cell])
    assert [bad.reason for bad in column.unreadable] == ["is not a finite number"]
    assert column.unreadable[0].position == 1
    assert np.isnan(column.values[1])
    assert not column.missing[1]


@pytest.mark.parametrize("cell", ["1e-999", "0.001e-400", Decimal("1e-400")])
def test_what_would_silently_become_zero_is_refused(cell):
    assert [bad.reason for bad in parse_numbers([cell]).unreadable] == [
        "is too small to be held as a number other than 0"
    ]


def test_zero_may_have_any_exponent():
    assert parse_numbers(["0e-999", "0.0", Decimal(0)]).values.tolist() == [0, 0, 0]


# repairs ------------------------------------------------------------------------------------------


def test_full_width_and_blank_characters_are_repaired_and_counted():
    column = parse_numbers(["２．５", "\u30003", "\ufeff4\xa0", "1\u200b5", "6"])
    assert column.values.tolist() == [2.5, 3, 4, 15, 6]
    assert column.notes == (
        "4 values with stray blanks or full-width characters read without them",
    )


def test_unicode_minus_is_a_minus():
    column = parse_numbers(["\u22122.5", "－1", "3"])
    assert column.values.tolist() == [-2.5, -1, 3]
    assert column.notes == (
        "1 value with stray blanks or full-width characters read without them",
        "1 value with a Unicode minus read as negative numbers",
    )


def test_full_width_commas_count_as_commas():
    assert parse_numbers(["2，5"]).values.tolist() == [2.5]


def test_what_python_reads_by_accident_is_not_a_number():
    assert reasons(["1_000", "١٢", "²", "0x10", "1e1_0", "½"]) == [
        '"1_000" is not a number: write thousands without blanks, apostrophes or underscores',
        '"١٢" is not a number',
        '"²" is not a number',
        '"0x10" is not a number',
        '"1e1_0" is not a number',
        '"½" is not a number',
    ]


@pytest.mark.parametrize("cell", ["1 234", "1'234", "1’234", "12\u202f345,5", "-1 234 567"])
def test_thousands_by_blank_or_apostrophe_are_refused_with_the_remedy(cell):
    (bad,) = parse_numbers([cell]).unreadable
    assert bad.cell == cell
    assert bad.reason == (
        "is not a number: write thousands without blanks, apostrophes or underscores"
    )


@pytest.mark.parametrize(
    "cell", ["12 %", "5%", "12 mg", "<0.01", ">100", "1/2", "--5", "2-3", "e5"]
)
def test_units_signs_and_limits_are_not_numbers(cell):
    assert reasons(["1", cell]) == [f'"{cell}" is not a number']


def test_a_message_about_a_cell_escapes_its_control_characters():
    assert reasons(["\x1b[31m7\u202e"]) == [r'"\x1b[31m7\u202e" is not a number']


def test_positions_count_from_zero_over_all_cells():
    column = parse_numbers([None, "x", "1", "x"])
    assert [bad.position for bad in column.unreadable] == [1, 3]


# separators ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("proof", "value"), [("2,5", 2.5), ("0,123", 0.123), ("1234,5", 1234.5)])
def test_a_comma_that_cannot_group_thousands_makes_the_column_decimal(proof, value):
    column = parse_numbers(["1,234", proof, "7"])
    assert column.values.tolist() == [1.234, value, 7]
    assert column.separators == "decimal comma"
    assert column.notes == ('2 values with a decimal comma ("1,234") read as decimal numbers',)


def test_commas_that_all_fit_thousands_are_not_guessed():
    column = parse_numbers(["1,234", "12", "x", "NA"])
    assert column.ambiguous == (
        '"1,234" can be read as 1234 (thousands comma) or as 1.234 (decimal comma); ' + REMEDY
    )
    assert np.isnan(column.values).all()
    assert column.separators == "undecided"
    assert column.missing.tolist() == [False, False, False, True]
    assert [str(bad) for bad in column.unreadable] == ['"x" is not a number']
    assert column.notes == ('1 cell "NA" read as missing',)


def test_an_ambiguous_column_gives_no_value_even_for_cells_that_are_numbers():
    assert np.isnan(parse_numbers(["1,234", 1.5]).values).all()


@pytest.mark.parametrize(("proof", "value"), [("1,234.5", 1234.5), ("1,234,567", 1234567)])
def test_a_comma_proven_to_group_thousands_is_removed(proof, value):
    column = parse_numbers([proof, "2,345", "0.5"])
    assert column.values.tolist() == [value, 2345, 0.5]
    assert column.separators == "thousands comma"
    assert column.notes == (f'2 values with thousands commas ("{proof}") read without them',)


def test_a_decimal_point_beside_one_group_does_not_prove_thousands():
    column = parse_numbers(["1.5", "1,234"])  # typed on two keyboards: 1234 or 1.234
    assert column.ambiguous is not None
    assert column.ambiguous.startswith('"1,234" can be read as 1234 (thousands comma)')


def test_points_that_group_thousands_make_the_comma_decimal():
    column = parse_numbers(["1.234,5", "2.345", "7,25"])
    assert column.values.tolist() == [1234.5, 2345, 7.25]
    assert column.separators == "decimal comma and thousands point"
    assert column.notes == (
        '2 values with a decimal comma ("1.234,5") read as decimal numbers',
        '2 values with thousands points ("1.234,5") read without them',
    )


def test_points_in_groups_of_a_million_are_thousands():
    column = parse_numbers(["1.234.567", "2.345"])
    assert column.values.tolist() == [1234567, 2345]
    assert column.separators == "thousands point"


@pytest.mark.parametrize("cells", [["1.5", "2,5"], ["2,5", "1.5"]])
def test_decimal_points_beside_decimal_commas_are_refused_naming_one_of_each(cells):
    column = parse_numbers([*cells, "3"])
    assert column.ambiguous == (
        '"1.5" has a decimal point and "2,5" a decimal comma; correct the cells, or '
        f"{REMEDY} to have every cell listed that does not agree with it"
    )
    assert np.isnan(column.values).all()


def test_one_point_group_beside_a_decimal_comma_is_not_guessed():
    assert parse_numbers(["1.234", "2,5"]).ambiguous == (
        '"1.234" can be read as 1234 (thousands point) or as 1.234 (decimal point), '
        f'beside "2,5" with its decimal comma; {REMEDY}'
    )


@pytest.mark.parametrize(
    ("decimal", "values", "bad"),
    [
        (",", [1.234, 1234, 2.5, np.nan, 1234.5], "1.5"),
        (".", [1234, 1.234, np.nan, 1.5, np.nan], "2,5"),
    ],
)
def test_a_given_decimal_sign_decides(decimal, values, bad):
    column = parse_numbers(["1,234", "1.234", "2,5", "1.5", "1.234,5"], decimal=decimal)
    np.testing.assert_array_equal(column.values, values)
    sign, other = ("comma", "point") if decimal == "," else ("point", "comma")
    assert column.ambiguous is None
    assert str(column.unreadable[0]) == (
        f'"{bad}" is not a number where the {sign} is decimal and the {other} groups thousands'
    )


def test_groups_that_are_not_of_three_digits_are_refused():
    cells = ["1,23,456", "1234,567.8", "0,123.4", "1.2.3", "1,"]
    assert [bad.cell for bad in parse_numbers(cells).unreadable] == cells


def test_exponents_do_not_follow_thousands():
    assert parse_numbers(["1,5e3"]).values.tolist() == [1500]
    assert reasons(["1,234.5e3"]) == ['"1,234.5e3" is not a number']


# round trips: recovered or refused, never changed -------------------------------------------------


def unchanged(column, number):
    refused = column.ambiguous is not None or len(column.unreadable) == 1
    return bool(np.isnan(column.values[0])) if refused else column.values[0] == number


@given(finite)
def test_any_float_survives_its_own_spelling(number):
    assert parse_numbers([repr(number)]).values[0] == number


@given(finite)
def test_any_float_with_a_decimal_comma_is_recovered_or_refused(number):
    text = repr(number).translate(SWAPPED)
    assert unchanged(parse_numbers([text]), number)
    assert parse_numbers([text], decimal=",").values[0] == number


@given(st.floats(-1e15, 1e15).map(lambda number: round(number, 3)))
def test_any_float_in_thousands_is_recovered_or_refused(number):
    text = f"{number:,.3f}"
    assert unchanged(parse_numbers([text]), number)
    assert unchanged(parse_numbers([text.translate(SWAPPED)]), number)
    assert parse_numbers([text], decimal=".").values[0] == number
    assert parse_numbers([text.translate(SWAPPED)], decimal=",").values[0] == number


@given(st.lists(finite, min_size=1, max_size=8), st.data())
def test_the_order_of_the_cells_does_not_matter(numbers, data):
    spelt = [repr(number).translate(SWAPPED if i % 2 else {}) for i, number in enumerate(numbers)]
    order = data.draw(st.permutations(range(len(spelt))))
    forth, back = parse_numbers(spelt), parse_numbers([spelt[position] for position in order])
    np.testing.assert_array_equal(forth.values[order], back.values)
    assert forth.separators == back.separators


@given(st.lists(st.text(max_size=6) | st.text("0123456789.,-+eE '_", max_size=8), max_size=6))
def test_any_text_is_a_value_missing_unreadable_or_in_an_ambiguous_column(cells):
    column = parse_numbers(cells)
    unreadable = np.isin(np.arange(len(cells)), [bad.position for bad in column.unreadable])
    has_value = ~np.isnan(column.values)
    if column.ambiguous is None:
        assert (has_value.astype(int) + column.missing + unreadable == 1).all()
    else:
        assert not has_value.any()
    assert np.isfinite(column.values[has_value]).all()


@given(st.text())
def test_normalising_a_text_twice_is_normalising_it_once(text):
    assert normalise_text(normalise_text(text)) == normalise_text(text)


@given(st.text(max_size=80))
def test_printable_texts_hold_only_printable_letters(text):
    assert printable(text).isprintable()


def test_texts_are_normalised_as_the_eye_reads_them():
    assert normalise_text(" Ａ（ｂ）\u3000") == "A(b)"
    assert normalise_text("a\xa0b") == "a b"
    assert normalise_text("\ufeff男\u200b") == "男"


# columns that are numbers already, and speed ------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "Int64", "Float64"])
def test_numeric_columns_keep_their_values(dtype):
    column = parse_numbers(pd.Series([1, 0, 3], dtype=dtype))
    assert column.values.tolist() == [1, 0, 3]
    assert column.values.dtype == np.float64


def test_boolean_columns_are_zero_and_one():
    assert parse_numbers(np.array([True, False])).values.tolist() == [1, 0]
    nullable = parse_numbers(pd.Series([True, None], dtype="boolean"))
    np.testing.assert_array_equal(nullable.values, [1, np.nan])
    assert nullable.missing.tolist() == [False, True]


def test_numeric_columns_tell_missing_and_infinite_values():
    column = parse_numbers(pd.Series([1.5, np.nan, -np.inf]))
    np.testing.assert_array_equal(column.values, [1.5, np.nan, np.nan])
    assert column.missing.tolist() == [False, True, False]
    assert [(bad.position, str(bad)) for bad in column.unreadable] == [
        (2, '"-inf" is not a finite number')
    ]


def test_a_numeric_array_is_copied():
    values = np.array([1.0, 2.0])
    parse_numbers(values).values[0] = 9
    assert values[0] == 1


def test_complex_columns_are_not_numbers():
    assert reasons(np.array([1j])) == ['"1j" is not a number']


def test_categories_and_pandas_texts_are_read_cell_by_cell():
    assert parse_numbers(pd.Series(["1", "2,5"], dtype="category")).values.tolist() == [1, 2.5]
    texts = parse_numbers(pd.Series(["1", None, "2"], dtype="str"))
    assert texts.missing.tolist() == [False, True, False]


def test_a_national_registry_is_read_at_once():
    numbers = np.random.default_rng(1).normal(size=46_541)
    texts = [f"{number:.6f}" for number in numbers]
    start = time.process_time()
    column = parse_numbers(texts)
    for _ in range(40):
        parse_numbers(numbers)
    assert time.process_time() - start < 3  # about 0.25 s; the margin is for a loaded machine
    np.testing.assert_allclose(column.values, numbers, atol=5e-7)
