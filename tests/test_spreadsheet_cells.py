"""Texts that a spreadsheet would run: marked in files, whole again when read."""

from __future__ import annotations

import io

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from bayes_cmvt.spreadsheet_cells import harmless_cells, original_cells

RUN_BY_SPREADSHEETS = ("=", "+", "-", "@", "\t", "\r")
texts = st.text(alphabet="'=+-@ab1.\t", max_size=6)


@given(st.lists(texts, min_size=1, max_size=5))
def test_what_is_written_is_read_back_and_begins_like_no_formula(cells):
    table = pd.DataFrame({"label": cells, "number": -1.5})
    written = harmless_cells(table)
    for cell in written["label"]:
        assert not cell.startswith(RUN_BY_SPREADSHEETS) or _number(cell)
    pd.testing.assert_frame_equal(original_cells(written), table)


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_numbers_written_as_texts_stay_numbers():
    table = pd.DataFrame({"value": ["-5", "+3e2", "-inf", "=5", "-5 mg"]})
    written = harmless_cells(table)["value"].tolist()
    assert written == ["-5", "+3e2", "-inf", "'=5", "'-5 mg"]


def test_names_of_columns_are_made_harmless_too():
    table = pd.DataFrame({"=1+1": [1.0], "age": [2.0]})
    text = harmless_cells(table).to_csv(index=False)
    assert text.startswith("'=1+1,age")
    read = original_cells(pd.read_csv(io.StringIO(text)))
    assert list(read) == ["=1+1", "age"]
