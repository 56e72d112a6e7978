"""Folds that a user brings: what is read, and everything that is refused, in words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayes_cmvt as bc
from bayes_cmvt.fold_file import read_folds
from tests.baseline_study import cohort_of, patients, small_cohort
from tests.builders import numeric_cohort


def folds_of(cohort, folds=5):
    """A good table: each row of the file, its fold."""
    rows = np.arange(1, dict(cohort.flow)["rows in the file"] + 1)
    return pd.DataFrame({"row": rows, "fold": rows % folds + 1})


@pytest.fixture
def read(tmp_path):
    """Write a table and read its folds."""

    def written(table, cohort=None, name="folds.csv"):
        path = tmp_path / name
        if isinstance(table, str):
            path.write_text(table)
        elif name.endswith("xlsx"):
            table.to_excel(path, index=False)
        else:
            table.to_csv(path, index=False)
        return read_folds(path, cohort or small_cohort())

    return written


def refusal(read, table, cohort=None):
    with pytest.raises(bc.DataError) as caught:
        read(table, cohort)
    assert "folds.csv" in caught.value.heading
    assert "does not give the folds" in caught.value.heading
    return list(caught.value.problems)


def test_folds_follow_the_rows_whatever_their_order(read):
    cohort = small_cohort()
    table = folds_of(cohort)
    expected = cohort.rows[cohort.development] % 5 + 1
    found = read(table)
    assert found.tolist() == expected.tolist()
    assert np.issubdtype(found.dtype, np.integer)
    shuffled = table.sample(frac=1, random_state=3)
    np.testing.assert_array_equal(read(shuffled), expected)
    np.testing.assert_array_equal(read(shuffled, name="folds.xlsx"), expected)


def test_rows_that_do_not_develop_the_model_may_be_left_out_or_named(read):
    cohort = small_cohort()
    table = folds_of(cohort)
    own = table[table["row"].isin(cohort.rows[cohort.development])]
    np.testing.assert_array_equal(read(own), read(table))
    odd = table.copy()
    odd.loc[~odd["row"].isin(own["row"]), "fold"] = 99  # of nobody whom it concerns
    np.testing.assert_array_equal(read(odd), read(table))


def test_other_columns_and_numbers_written_otherwise_do_not_matter(read):
    table = folds_of(small_cohort()).assign(note="x")[["note", "fold", "row"]]
    expected = read(folds_of(small_cohort()))
    np.testing.assert_array_equal(read(table), expected)
    as_text = table.assign(fold=table["fold"].map(" {}.0 ".format))
    np.testing.assert_array_equal(read(as_text), expected)


def test_rows_that_the_analysis_left_out_may_be_named(read):
    frame = patients()
    frame.loc[3:5, "age"] = np.nan
    study = cohort_of(patients()).study.with_missing("drop")
    cohort = bc.load_cohort(study, frame)
    table = folds_of(cohort)
    assert len(table) == 200 > len(cohort.rows)
    assert len(read(table, cohort)) == cohort.n_development < 150
    found = refusal(read, table.drop(index=[21]), cohort)
    assert found == [f"row 22: development patients without a fold, 1 of {cohort.n_development}"]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"row": "Row"}, 'column "row" is missing; did you mean "Row"?'),
        ({"fold": "folds"}, 'column "fold" is missing; did you mean "folds"?'),
        ({"row": "a", "fold": "b"}, 'column "row" is missing'),
    ],
)
def test_missing_columns_are_named_with_the_nearest(read, columns, words):
    found = refusal(read, folds_of(small_cohort()).rename(columns=columns))
    assert found[0].replace(" - ", "; ").startswith(words[:25])
    assert all(part in found[0] for part in words.split("; did you mean "))
    assert len(found) == len(columns)


def test_repeated_unknown_and_missing_rows_are_told_at_once(read):
    table = folds_of(small_cohort())
    table = table[~table["row"].isin([6, 7])]  # 6 and 7 develop the model
    more = pd.DataFrame({"row": [2, 2, 10, 0, 201, -5], "fold": 1})
    found = refusal(read, pd.concat([table, more]))
    assert found == [
        "row 2: occurs 3 times; each row has one fold",
        "row 10: occurs 2 times; each row has one fold",
        f"rows 0, 201, -5: not in {small_cohort().source}, whose rows are 1 to 200",
        "rows 6, 7: development patients without a fold, 2 of 150",
    ]


def test_long_lists_of_rows_are_cut(read):
    found = refusal(read, folds_of(small_cohort()).head(100))
    assert len(found) == 1
    assert found[0].endswith(", …: development patients without a fold, 75 of 150")
    assert found[0].count(",") == 10 + 1
    found = refusal(read, pd.concat([folds_of(small_cohort())] * 2))
    assert len(found) <= 11
    assert found[0] == "row 1: occurs 2 times; each row has one fold"


@pytest.mark.parametrize("cell", ["a", "1.5", "", "inf", "1e400", "NA", "一"], ids=ascii)
@pytest.mark.parametrize("column", ["row", "fold"])
def test_cells_that_are_no_whole_numbers_are_named(read, column, cell):
    table = folds_of(small_cohort()).astype(str)
    table.loc[7, column] = cell
    found = refusal(read, table)
    assert len(found) == 1
    shown = f'found "{cell}"' if cell else "the cell is empty"
    assert found[0].startswith(f"line 9, column {column}: {shown}")
    assert "whole number" in found[0]


def test_many_bad_cells_are_counted(read):
    table = folds_of(small_cohort()).astype({"fold": object})
    table.loc[:29, "fold"] = "x"
    found = refusal(read, table)
    assert len(found) == 11
    assert found[-1] == "column fold: 30 such cells in all"


def test_one_fold_is_none(read):
    table = folds_of(small_cohort()).assign(fold=3)
    assert refusal(read, table) == [
        "all development patients are in fold 3; 2 or more folds are needed"
    ]


def test_a_fold_without_which_one_outcome_is_left_is_named(read):
    cohort = numeric_cohort(np.random.default_rng(1).normal(size=(40, 2)), 6)
    table = folds_of(cohort)
    table["fold"] = np.where(table["row"] <= 6, 1, table["row"] % 3 + 1)
    assert refusal(read, table, cohort) == [
        "fold 1: all events are in this fold, so that the others have one outcome only"
    ]
    table["fold"] = np.where(table["row"] > 6, 2, 1)  # each fold has one outcome
    assert refusal(read, table, cohort) == [
        "fold 1: all events are in this fold, so that the others have one outcome only",
        "fold 2: all patients without the event are in this fold, so that the others have one "
        "outcome only",
    ]
    table["fold"] = np.where(table["row"] <= 5, 1, table["row"] % 3 + 2)
    assert len(read(table, cohort)) == 40  # an event is left


@pytest.mark.parametrize("text", ["", "row,fold\n", "\x00\x01\x02", '"row,fold\n1,2'])
def test_a_file_that_is_no_table_is_refused(read, text):
    with pytest.raises(bc.DataError, match=r"folds\.csv"):
        read(text)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(bc.DataError, match=r"nothing\.csv"):
        read_folds(tmp_path / "nothing.csv", small_cohort())
    with pytest.raises(bc.DataError):
        read_folds(tmp_path, small_cohort())
