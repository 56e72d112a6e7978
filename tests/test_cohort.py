import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_cmvt.cohort import flow_table, load_cohort, load_new_patients
from bayes_cmvt.errors import DataError, OptionError
from bayes_cmvt.study import load_study
from tests.builders import OUTCOME, X, patients, predictor, study

DROP = '[data]\nmissing = "drop"\n'
ARM = predictor("arm", "binary", levels='["placebo", "drug"]')
SPLIT = '[split]\ncolumn = "set"\ndevelopment = "training"\nvalidation = "test"\n'


def problems(one, frame, load=load_cohort):
    with pytest.raises(DataError) as caught:
        load(one, frame)
    return list(caught.value.problems)


def problem(one, frame, load=load_cohort):
    found = problems(one, frame, load)
    assert len(found) == 1, found
    return found[0]


# What is read -------------------------------------------------------------------------------------


def test_the_embedded_trial_has_its_published_counts():
    cohort = load_cohort(load_study("pep"))
    assert (len(cohort.outcome), int(cohort.outcome.sum())) == (602, 79)
    assert (cohort.n_development, cohort.events_development) == (602, 79)
    assert dict(cohort.flow)["analysed"] == 602
    assert cohort.source == "indo_rct.csv"
    assert repr(cohort) == "Cohort of 602 patients with 79 events, study 'pep', indo_rct.csv"


def test_a_study_without_data_says_what_can_be_done():
    with pytest.raises(DataError, match='no patient data come with study "ldh"') as caught:
        load_cohort(load_study("ldh"))
    assert "bayes-cmvt sample ldh --data FILE" in str(caught.value)


def test_values_levels_and_rows_are_those_of_the_table():
    frame = patients(4, arm=["drug", "placebo", "placebo", "drug"], stray=[1, 2, 3, 4])
    cohort = load_cohort(study(X + ARM), frame.set_index(pd.Index([7, 7, 9, 0])))
    assert cohort.rows.tolist() == [1, 2, 3, 4]
    assert cohort.outcome.tolist() == [0, 1, 0, 1]
    assert cohort.predictors["x"].tolist() == [1.0, 2.0, 3.0, 4.0]
    assert cohort.predictors["arm"].cat.codes.tolist() == [1, 0, 0, 1]
    assert list(cohort.predictors["arm"].cat.categories) == ["placebo", "drug"]
    assert list(cohort.predictors) == ["x", "arm"]
    assert cohort.development.all()


cells = st.one_of(st.floats(-1e6, 1e6).map(lambda x: round(x, 3)), st.none())
tables = st.lists(
    st.tuples(cells, st.sampled_from(["placebo", "drug", None]), st.sampled_from([0, 1])),
    min_size=1,
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(rows=tables)
def test_a_table_and_its_csv_file_give_the_same_cohort(tmp_path_factory, rows):
    ends = [(1.5, "drug", 0), (2.5, "placebo", 1)]
    frame = pd.DataFrame([*ends, *rows], columns=["x", "arm", "y"])
    path = tmp_path_factory.mktemp("csv") / "cohort.csv"
    frame.to_csv(path, index=False)
    one = study(X + ARM, DROP)
    from_table, from_file = load_cohort(one, frame), load_cohort(one, path)
    pd.testing.assert_frame_equal(from_table.predictors, from_file.predictors)
    np.testing.assert_array_equal(from_table.outcome, from_file.outcome)
    assert from_table.flow == from_file.flow
    complete = frame.dropna()
    assert from_table.rows.tolist() == (complete.index + 1).tolist()
    assert from_table.predictors["x"].tolist() == complete["x"].tolist()


def test_value_labels_of_stata_serve_predictors_outcome_and_split(tmp_path):
    frame = patients(4, arm=[2, 1, 1, 2], set=[1, 1, 2, 2])
    labels = {
        "y": {0: "no", 1: "yes"},
        "arm": {1: "placebo", 2: "drug"},
        "set": {1: "training", 2: "test"},
    }
    path = tmp_path / "cohort.dta"
    frame.to_stata(path, write_index=False, value_labels=labels)
    outcome = '[outcome]\ncolumn = "y"\nevent = "yes"\n'
    cohort = load_cohort(study(X + ARM, SPLIT, outcome=outcome), path)
    assert cohort.predictors["arm"].tolist() == ["drug", "placebo", "placebo", "drug"]
    assert cohort.outcome.tolist() == [0, 1, 0, 1]
    assert cohort.development.tolist() == [True, True, False, False]


def test_flow_adds_up_and_counts_each_patient_once():
    frame = patients(10, arm=["placebo", "drug"] * 5, set=["training"] * 6 + ["test"] * 4).astype(
        {"y": object, "x": object}
    )
    frame.loc[0, "y"] = None
    frame.loc[1, ["y", "x"]] = None  # counted under the outcome alone
    frame.loc[[2, 3], "x"] = None
    frame.loc[3, "arm"] = ""
    cohort = load_cohort(study(X + ARM, DROP + SPLIT), frame)
    assert cohort.flow == (
        ("rows in the file", 10),
        ("left out: outcome missing", 2),
        ("left out: a predictor missing", 2),
        ("analysed", 6),
    )
    table = dict(flow_table(cohort).itertuples(index=False))
    assert table["rows in the file"] - 2 - 2 == table["analysed"] == 6
    assert table["development: patients"] + table["validation: patients"] == 6
    assert (table["development: patients"], table["development: events"]) == (2, 1)
    assert (table["validation: patients"], table["validation: events"]) == (4, 2)
    assert cohort.rows.tolist() == [5, 6, 7, 8, 9, 10]


def test_a_level_named_like_a_sign_for_missing_is_no_missing_value():
    grade = predictor("g", "binary", levels='["None", "mild"]')
    cohort = load_cohort(study(grade), patients(4, g=["None", "mild", "None", "mild"]))
    assert cohort.predictors["g"].cat.codes.tolist() == [0, 1, 0, 1]
    new = load_new_patients(study(grade), pd.DataFrame({"g": ["None"]}))
    assert new.predictors["g"].tolist() == ["None"]


def test_repairs_are_noted_for_predictors_outcome_and_split():
    frame = patients(4, arm=["drug ", "placebo"] * 2, set=["training"] * 3 + ["test "])
    frame["y"] = ["1 ", "0", "1", "0"]
    assert load_cohort(study(X + ARM, SPLIT), frame).notes == (
        'column arm: 2 cells "drug " read as "drug"',
        'column y: 1 cell "1 " read as "1"',
        'column set: 1 cell "test " read as "test"',
    )


def test_decimal_commas_follow_the_study():
    frame = patients(4, x=["1,234", "2,5", "3", "4"])
    assert load_cohort(study(), frame).predictors["x"].tolist() == [1.234, 2.5, 3.0, 4.0]
    both = patients(4, x=["1,234", "2,345", "3", "4"])
    assert problem(study(), both).startswith('column x: "1,234" can be read as 1234')
    one = study(rest='[data]\ndecimal = ","\n')
    assert load_cohort(one, both).predictors["x"].tolist() == [1.234, 2.345, 3.0, 4.0]


# What is refused ----------------------------------------------------------------------------------


def test_an_unknown_level_is_named_with_count_place_and_nearest():
    frame = patients(4, arm=["drug", "Drug", "placebo", "Drug"])
    assert problem(study(X + ARM), frame) == (
        'column arm: level "Drug" (2 rows, first row 2, line 3) is not one of '
        '"placebo", "drug"; did you mean "drug"?'
    )
    frame.loc[3, "arm"] = "drug"
    assert "(1 row, first row 2, line 3)" in problem(study(X + ARM), frame)


def test_a_value_outside_the_declared_range_is_named_with_its_place():
    one = study(predictor("d", range="[0, 100]", unit='"mg/L"'))
    frame = patients(4, d=[0.0, 100.0, 884.0, -0.5])
    assert problems(one, frame) == [
        "row 3 (line 4), column d: 884 is outside the plausible range 0 to 100 mg/L "
        "declared in study.toml",
        "row 4 (line 5), column d: -0.5 is outside the plausible range 0 to 100 mg/L "
        "declared in study.toml",
    ]


def test_a_value_just_outside_the_range_is_printed_to_its_last_digit():
    one = study(predictor("d", range="[0, 1234567]"))
    assert problem(one, patients(2, d=[1.0, 1234567.001])) == (
        "row 2 (line 3), column d: 1234567.001 is outside the plausible range 0 to 1234567 "
        "declared in study.toml"
    )


@pytest.mark.parametrize(
    ("transform", "bad", "good", "allowed"),
    [
        ("log", 0.0, 1e-300, "above 0"),
        ("log1p", -1.0, -0.999, "above -1"),
        ("sqrt", -0.001, 0.0, "0 or above"),
    ],
)
def test_a_value_that_the_transform_cannot_take_is_named(transform, bad, good, allowed):
    one = study(predictor("d", transform=f'"{transform}"'))
    assert problem(one, patients(3, d=[1.0, bad, 2.0])) == (
        f"row 2 (line 3), column d: {bad:g} has no {transform}; allowed: {allowed}"
    )
    cohort = load_cohort(one, patients(3, d=[1.0, good, 2.0]))
    assert cohort.predictors["d"].tolist() == [1.0, good, 2.0]


def test_a_text_that_is_no_number_is_named_with_its_place():
    frame = patients(4, x=["1", "12 mg", "3", "a\x1b[2J"])
    assert problems(study(), frame) == [
        'row 2 (line 3), column x: "12 mg" is not a number',
        'row 4 (line 5), column x: "a\\x1b[2J" is not a number',
    ]


@pytest.mark.parametrize("found", [np.inf, -np.inf, "inf", "1e400"])
def test_infinite_values_are_refused(found):
    said = problem(study(), patients(3, x=pd.Series([1.0, found, 2.0], dtype=object)))
    assert said.startswith("row 2 (line 3), column x: ")
    assert said.endswith("is not a finite number")


def test_cells_of_no_kind_are_refused():
    frame = patients(4, x=pd.Series([1, [2], {}, 3], dtype=object))
    assert problems(study(), frame) == [
        'row 2 (line 3), column x: "[2]" is not a number',
        'row 3 (line 4), column x: "{}" is not a number',
    ]


def test_missing_outcomes_are_counted_with_their_rows():
    frame = patients(8).astype({"y": object})
    frame.loc[[1, 2], "y"] = [None, "NA"]
    assert problem(study(), frame) == (
        "column y: 2 of 8 outcomes are missing (rows 2, 3); complete them, or set missing = "
        '"drop" under [data]'
    )
    frame["y"] = [None] * 6 + [0, 1]
    assert "6 of 8 outcomes are missing (rows 1, 2, 3, 4, 5, … (6 in all))" in problem(
        study(), frame
    )


def test_missing_predictors_are_counted_by_column_with_the_remedy():
    frame = patients(4, arm=["drug", "", "NA", "placebo"]).astype({"x": object})
    frame.loc[0, "x"] = np.nan
    remedy = 'correct them, or set missing = "drop" under [data] (or --missing drop)'
    expected = [
        f"column x: 1 of 4 values are missing; {remedy}",
        f"column arm: 2 of 4 values are missing; {remedy}",
    ]
    assert problems(study(X + ARM), frame) == expected
    new = problems(study(X + ARM), frame, load_new_patients)
    advice = "complete them, or leave these rows out"
    assert new == [text.replace(remedy, advice) for text in expected]


def test_a_study_of_ones_own_without_data_says_how_to_name_them():
    with pytest.raises(DataError, match=r"names no data file; give one with --data FILE"):
        load_cohort(study(X))


def test_a_study_given_by_its_name_is_not_loaded_silently():
    with pytest.raises(OptionError, match=r"load_cohort\(load_study\('pep'\), data\)"):
        load_cohort("pep")


def test_unreadable_cells_are_not_counted_as_missing_as_well():
    frame = patients(4, x=["1", "two", "3", "4"], arm=["drug", "drag", "drug", "placebo"])
    assert problems(study(X + ARM), frame) == [
        'row 2 (line 3), column x: "two" is not a number',
        'column arm: level "drag" (1 row, first row 2, line 3) is not one of '
        '"placebo", "drug"; did you mean "drug"?',
    ]


def test_unreadable_cells_are_refused_even_where_missing_ones_are_dropped():
    frame = patients(4, x=["1", "two", "", "4"])
    assert problem(study(rest=DROP), frame) == 'row 2 (line 3), column x: "two" is not a number'


def test_an_outcome_without_any_event_is_refused():
    declared = study(outcome=OUTCOME + "non_event = [0]\n")
    assert problem(declared, patients(3).assign(y=0)) == (
        "column y: no row holds the event 1; found only the values without the event"
    )


def test_all_events_are_one_class():
    assert problem(study(), patients(3).assign(y=1)) == (
        "column y: of 3 patients all have the event; "
        "a risk model needs patients with and without it"
    )


def test_an_event_that_no_row_holds_is_named_with_its_neighbour():
    one = study(outcome='[outcome]\ncolumn = "y"\nevent = "Yes"\n')
    assert problem(one, patients(3).assign(y=["yes", "yes", "yes"])) == (
        'column y: no row holds the event \'Yes\'; did you mean "yes"?; found "yes"'
    )


def test_one_class_in_the_development_set_is_refused():
    frame = patients(4, set=["training", "test"] * 2)
    assert problem(study(rest=SPLIT), frame) == (
        "column y: of 2 patients in the development set none has the event; "
        "a risk model needs patients with and without it"
    )


def test_several_values_without_the_event_must_be_declared():
    frame = patients(4).assign(y=["yes", "no", "unclear", "no"])
    yes = '[outcome]\ncolumn = "y"\nevent = "yes"\n'
    assert problem(study(outcome=yes), frame) == (
        'column y: holds 2 values other than the event \'yes\' ("no", "unclear"); '
        "name the values without the event as non_event under [outcome]"
    )
    declared = study(outcome=yes + 'non_event = ["no", "unclear"]\n')
    assert load_cohort(declared, frame).outcome.tolist() == [1, 0, 0, 0]
    partly = study(outcome=yes + 'non_event = ["no"]\n')
    assert problem(partly, frame) == (
        'column y: level "unclear" (1 row, first row 3, line 4) is not one of "no", "yes"'
    )


def test_outcome_values_that_begin_alike_are_several():
    frame = patients(4).assign(y=["1", "1", "a" * 50 + "b", "a" * 50 + "c"])
    assert problem(study(), frame).startswith("column y: holds 2 values other than the event 1")


def test_split_values_must_be_declared_and_present():
    frame = patients(4, set=["training", "Test", None, "training"])
    assert problems(study(rest=SPLIT), frame) == [
        'column set: level "Test" (1 row, first row 2, line 3) is not one of '
        '"training", "test"; did you mean "test"?',
        'column set: 1 row belongs to no set (first row 3); write "training", "test"',
    ]


def test_an_empty_development_set_is_refused_for_its_reason():
    frame = patients(4, set="test")
    assert problem(study(rest=SPLIT), frame) == "the file holds no patient in the development set"
    frame = patients(4, set=["training", "training", "test", "test"]).astype({"x": object})
    frame.loc[[0, 1], "x"] = None
    assert problem(study(rest=SPLIT + DROP), frame) == (
        "no patient is left in the development set; "
        'see which cells are missing with missing = "error"'
    )


def test_a_missing_column_is_named_with_the_nearest_spelling():
    frame = patients(4, Arm="drug").rename(columns={"y": "Y"})
    assert problems(study(X + ARM), frame) == [
        'column "y" is not in the file; did you mean "Y"?',
        'column "arm" is not in the file; did you mean "Arm"?',
    ]
    assert problem(study(rest=SPLIT), patients(4)) == 'column "set" is not in the file'


def test_duplicated_columns_are_refused():
    frame = pd.concat([patients(4), patients(4)[["x"]]], axis=1)
    with pytest.raises(DataError, match='names columns twice: "x"; name each column once'):
        load_cohort(study(), frame)
    blanks = patients(4).assign(**{"x ": 0})
    with pytest.raises(DataError, match='names columns twice: "x"'):
        load_cohort(study(), blanks)
    alike = patients(4).assign(**{"1": 0}).rename(columns={"y": 1})
    with pytest.raises(DataError, match='names columns twice: "1"'):
        load_cohort(study(), alike)


def test_column_names_are_normalised_as_those_of_files(tmp_path):
    frame = patients(4).rename(columns={"x": " ｘ\u200b", "y": "y\u3000"})
    cohort = load_cohort(study(), frame)
    assert cohort.predictors["x"].tolist() == [1.0, 2.0, 3.0, 4.0]
    frame.to_csv(tmp_path / "cohort.csv", index=False)
    from_file = load_cohort(study(), tmp_path / "cohort.csv")
    assert cohort.notes == from_file.notes
    assert cohort.notes == (
        '2 columns read without stray blanks or full-width characters: "y", "x"',
    )


def test_half_of_a_surrogate_pair_is_hashed_and_named_where_it_is_no_level():
    half = pd.Series(["\ud83d", "a", "b", "c"], dtype=object)
    frame = patients(4, arm=["drug", "placebo"] * 2, stray=half)
    frame.columns = pd.Index(["y", "x", "arm", "\ud83d"], dtype=object)
    assert len(load_cohort(study(X + ARM), frame).sha256) == 64
    frame["arm"] = pd.Series(["drug", "\udc00", "drug", "placebo"], dtype=object)
    assert r'level "\udc00" (1 row, first row 2' in problem(study(X + ARM), frame)


def test_all_problems_come_at_once():
    frame = patients(
        4, arm=["drug", "x", "placebo", ""], d=[1, 2, 300, 4], set=["training", "z"] * 2
    ).assign(x=["1", "two", "", "4"], y=[0, 1, None, 1])
    declared = X + ARM + predictor("d", range="[0, 100]") + predictor("gone")
    with pytest.raises(DataError, match=r"cannot be analysed as study \"s\": 8 problems") as caught:
        load_cohort(study(declared, SPLIT), frame)
    starts = [
        'column "gone" is not in the file',
        'row 2 (line 3), column x: "two" is not a number',
        'column arm: level "x" (1 row, first row 2, line 3) is not one of',
        "row 3 (line 4), column d: 300 is outside the plausible range 0 to 100",
        "column y: 1 of 4 outcomes are missing (rows 3)",
        'column set: level "z" (2 rows, first row 2, line 3) is not one of',
        "column x: 1 of 4 values are missing",
        "column arm: 1 of 4 values are missing",
    ]
    for start, said in zip(starts, caught.value.problems, strict=True):
        assert said.startswith(start)


@pytest.mark.parametrize(
    ("column", "word"),
    [
        (X, {"x": [f"bad {i}" for i in range(25)] + [f"{i}" for i in range(35)]}),
        (predictor("x", range="[0, 1]"), {"x": np.r_[np.arange(2.0, 27.0), np.linspace(0, 1, 35)]}),
    ],
)
def test_a_long_list_of_cells_is_cut_with_its_count(column, word):
    found = problems(study(column), patients(60, **word))
    assert len(found) == 21
    assert found[19].startswith("row 20 (line 21), column x: ")
    assert found[20] == "column x: 5 more cells like these"


def test_a_column_that_mostly_holds_no_numbers_is_one_problem():
    found = problems(study(X), patients(60, x=["50-59"] * 40 + ["1"] * 20))
    assert found == [
        'column x: 40 of 60 cells hold no number, such as "50-59" in row 1; if these are levels, '
        "declare the predictor as categorical or ordinal"
    ]


def test_a_long_list_of_levels_is_cut_with_its_count():
    found = problems(study(ARM), patients(25, arm=[f"bad {i}" for i in range(25)]))
    assert len(found) == 21
    assert found[20] == "column arm: 5 more levels like these"


def test_twenty_cells_are_all_named():
    found = problems(study(), patients(20, x=[f"bad {i}" for i in range(20)]))
    assert len(found) == 20
    assert found[-1].startswith("row 20 ")


def test_a_table_without_rows_holds_no_patient():
    assert problem(study(), patients(0)) == "the file holds no patient"
    with pytest.raises(DataError, match="holds no row with all predictors of study s"):
        load_new_patients(study(), patients(0))


# New patients -------------------------------------------------------------------------------------


def test_new_patients_need_no_outcome_and_no_set():
    new = load_new_patients(study(X + ARM, SPLIT), pd.DataFrame({"arm": ["drug"], "x": [3]}))
    assert list(new.predictors) == ["x", "arm"]
    assert new.predictors.loc[1].tolist() == [3.0, "drug"]
    assert list(new.predictors["arm"].cat.categories) == ["placebo", "drug"]
    assert (new.notes, new.left_out) == ((), 0)


def test_repairs_of_new_patients_are_noted():
    new = load_new_patients(study(ARM), pd.DataFrame({"arm ": ["drug ", "placebo"]}))
    assert new.notes == (
        '1 column read without stray blanks or full-width characters: "arm"',
        'column arm: 1 cell "drug " read as "drug"',
    )


def test_new_patients_with_unseen_levels_or_impossible_values_are_refused():
    one = study(predictor("x", range="[0, 10]") + ARM)
    with pytest.raises(DataError, match=r'risks for the table cannot be computed with study "s"'):
        load_new_patients(one, pd.DataFrame({"x": [11.0], "arm": ["other"]}))
    assert problems(one, pd.DataFrame({"x": [11.0], "arm": ["other"]}), load_new_patients) == [
        "row 1 (line 2), column x: 11 is outside the plausible range 0 to 10 "
        "declared in study.toml",
        'column arm: level "other" (1 row, first row 1, line 2) is not one of "placebo", "drug"',
    ]


def test_incomplete_new_patients_are_left_out_where_the_study_drops_them():
    frame = pd.DataFrame({"x": [1.0, None, 3.0]})
    new = load_new_patients(study(rest=DROP), frame)
    assert new.predictors.index.tolist() == [1, 3]
    assert new.left_out == 1
    with pytest.raises(DataError, match="holds no row with all predictors of study s"):
        load_new_patients(study(rest=DROP), frame.loc[[1]])
