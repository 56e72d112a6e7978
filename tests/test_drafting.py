import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_cmvt.cohort import load_cohort
from bayes_cmvt.columns import outward_range
from bayes_cmvt.design import learn_design
from bayes_cmvt.drafting import draft_study, study_name
from bayes_cmvt.errors import DataError
from bayes_cmvt.guessing import guess_study
from bayes_cmvt.plaintext import normalise_text
from bayes_cmvt.readers import SourceTable, read_table
from bayes_cmvt.study import parse_study, shipped_studies

RNG = np.random.default_rng(7)
ROWS = 40
AGE = np.round(RNG.normal(60, 10, ROWS), 1)
OUTCOME = ["1"] * 10 + ["0"] * 30


def source(columns, labels=None, name="cohort.csv"):
    frame = pd.DataFrame(columns)
    frame.index = pd.RangeIndex(1, len(frame) + 1, name="row")
    return SourceTable(frame, name, "0" * 64, labels or {})


def draft(columns=None, *, outcome="y", labels=None, **options):
    table = source({"y": OUTCOME, "age": AGE} | (columns or {}), labels)
    return draft_study(table, outcome=outcome, **options)


def predictors(text):
    return {one["name"]: one for one in tomllib.loads(text)["predictors"]}


def left_out(text):
    """Return the reasons by column of the comment lines below "Left out:"."""
    _, _, after = text.partition("# Left out:\n")
    lines = after.partition("\n\n")[0].splitlines()
    return dict(line.removeprefix("# ").split(": ", 1) for line in lines)


def cycle(*values):
    return [values[(i * i + i // 3) % len(values)] for i in range(ROWS)]


# the shipped trial --------------------------------------------------------------------------------


def shipped_table():
    return read_table(Path(shipped_studies()["pep"]).parent / "indo_rct.csv")


def test_draft_of_the_shipped_trial_gives_a_working_design():
    table = shipped_table()
    text = draft_study(table, outcome="pep_outcome", file="indo_rct.csv")
    study = parse_study(text)
    cohort = load_cohort(study.with_missing("drop"), table.frame)
    assert (len(cohort.outcome), int(cohort.outcome.sum())) == (601, 79)
    assert learn_design(cohort).terms == study.terms
    assert (study.name, study.heading.data, study.rules.missing) == (
        *("indo_rct", "indo_rct.csv", "error"),
    )
    reasons = left_out(text)
    assert set(reasons) == {"id", "asa", "bleed"}
    assert reasons["asa"] == 'is an exact combination of "asa81", "asa325"'
    assert "575 of 602 cells are missing" in reasons["bleed"]
    assert "2 cells missing, in 1 of 602 rows" in text


def test_guesses_hold_what_the_draft_says():
    columns = {
        "y": OUTCOME,
        "age": AGE,
        "sex": cycle("f", "m", "f"),
        "copy": AGE,
        "k": ["a"] * ROWS,
    }
    columns["age"] = [None, *AGE[1:]]
    columns["copy"] = [None, *AGE[1:]]
    columns["sex"][1] = None
    guesses = guess_study(source(columns), outcome="y")
    assert [entry.key for entry in guesses.outcome] == ["column", "event"]
    assert [one.predictor.name for one in guesses.candidates] == ["age", "sex"]
    assert [one.predictor.kind for one in guesses.candidates] == ["continuous", "binary"]
    assert {one.name: one.why for one in guesses.left_out} == {
        "copy": 'says exactly the same as "age"',
        "k": 'is constant, "a" in all rows',
    }
    assert (guesses.missing_cells, guesses.incomplete_rows) == (2, 2)
    written = tomllib.loads(draft_study(source(columns), outcome="y"))["predictors"]
    assert written == [
        {entry.key: entry.value for entry in one.entries} for one in guesses.candidates
    ]


def test_draft_is_the_same_every_time():
    table = shipped_table()
    assert draft_study(table, outcome="pep_outcome") == draft_study(table, outcome="pep_outcome")


# kinds --------------------------------------------------------------------------------------------


def test_a_plain_table_loads_and_has_a_design():
    columns = {
        "sex": cycle("male", "female", "male"),
        "smoker": cycle("yes", "no"),
        "asa": cycle("II", "I", "II", "III", "II"),
        "crp": [f"{value:.2f}".replace(".", ",") for value in RNG.gamma(2, 5, ROWS)],
    }
    text = draft(columns)
    table = source({"y": OUTCOME, "age": AGE} | columns)
    cohort = load_cohort(parse_study(text), table.frame)
    assert len(learn_design(cohort).terms) == 6
    found = predictors(text)
    assert found["smoker"]["levels"] == ["no", "yes"]
    assert found["asa"]["levels"][0] == "II"
    assert found["asa"]["kind"] == "categorical"
    assert found["crp"]["kind"] == "continuous"
    assert found["age"]["range"][0] <= AGE.min()
    assert found["age"]["range"][1] >= AGE.max()


def test_every_guess_says_that_it_is_one():
    for line in draft({"sex": cycle("m", "f")}).splitlines():
        if line.startswith(("kind", "levels", "range", "event", "title")):
            assert "  # guess: " in line


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        (("1", "0"), [0, 1]),
        (("2", "1"), [1, 2]),
        (("是", "否", "是"), ["否", "是"]),
        (("Yes", "No", "Yes"), ["No", "Yes"]),
        (("Ja", "Nein"), ["Nein", "Ja"]),
        ((True, False, True), [0, 1]),
        (("0.5", "2.50"), [0.5, 2.5]),
        (("5000000000", "6000000000"), ["5000000000", "6000000000"]),
        (('say "a"', "back\\slash"), ["back\\slash", 'say "a"']),
        ((" GA", "neuraxial", "GA"), ["GA", "neuraxial"]),
    ],
)
def test_two_values_are_binary_with_no_first(values, levels):
    text = draft({"x": cycle(*values)})
    found = predictors(text)["x"]
    assert found["kind"] == "binary"
    assert sorted(map(str, found["levels"])) == sorted(map(str, levels))
    if levels[0] != "back\\slash":  # equally frequent values without a meaning: any order
        assert found["levels"] == levels
    load_cohort(parse_study(text), source({"y": OUTCOME, "age": AGE, "x": cycle(*values)}).frame)


def test_few_unreadable_cells_leave_a_measurement():
    crp = [f"{value:.2f}" for value in RNG.gamma(2, 5, ROWS)]
    text = draft({"crp": ["<0.5", *crp[1:]]})
    assert predictors(text)["crp"]["kind"] == "continuous"
    assert '# 1 cell cannot be read as numbers: "<0.5"; correct them' in text


def test_missing_cells_are_counted_and_stay_an_error():
    text = draft({"x": [None, "NA", *cycle("a", "b")[2:]]})
    assert "# 2 of 40 cells are missing" in text
    assert 'missing = "error"  # 2 cells missing, in 2 of 40 rows' in text


LABELS = {"asa": {1.0: "ASA I", 2.0: "ASA II", 3.0: "ASA III", 9.0: "unknown"}}


def test_labelled_codes_are_categorical_and_found_by_their_labels(tmp_path):
    from pyreadstat import write_sav

    path = tmp_path / "cohort.sav"
    asa = [float(code) for code in cycle(2, 1, 2, 3, 2)]
    frame = pd.DataFrame({"y": [float(y) for y in OUTCOME], "age": AGE, "asa": asa})
    write_sav(frame, str(path), variable_value_labels={"asa": LABELS["asa"]})
    text = draft_study(read_table(path), outcome="y")
    assert predictors(text)["asa"]["levels"] == ["ASA II", "ASA I", "ASA III"]
    cohort = load_cohort(parse_study(text), path)
    assert (cohort.predictors["asa"] == "ASA II").sum() == asa.count(2.0)
    assert len(learn_design(cohort).terms) == 3


def test_labels_that_look_like_other_codes_are_not_used():
    labels = {"x": {1.0: "2", 2.0: "1"}}
    text = draft({"x": [float(code) for code in cycle(1, 2)]}, labels=labels)
    # the codes themselves, "1" called 2 before "2" called 1
    assert predictors(text)["x"]["levels"] == [2, 1]


# what is left out ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ([None] * ROWS, "is empty"),
        (["NA"] * ROWS, "is empty"),
        (["7"] * ROWS, 'is constant, "7" in all rows'),
        (["1,5", "1,50"] * 20, 'is constant, "1,5" in all rows'),
        ([f"P{i}" for i in range(ROWS)], "all 40 values are distinct texts"),
        ([1000 + i * i for i in range(ROWS)], "all 40 values are distinct whole numbers"),
        ([str(10**17 + i) for i in range(ROWS)], "all 40 values are distinct whole numbers"),
        ([f"word {i % 25}" for i in range(ROWS)], "25 distinct texts"),
        ([f"2024-01-{1 + i % 28:02d}" for i in range(ROWS)], "dates"),
        (list(pd.date_range("2024-01-01", periods=ROWS)), "dates"),
        (["1", *[None] * 39], "39 of 40 cells are missing"),
        (["1,234", "2,345", "3,456", "4,567"] * 10, "can be read in two ways"),
        ([[1], [2]] * 20, "neither numbers nor texts"),
        (["a\x1bb", "c"] * 20, "control characters"),
        ([f"{value:.3f}" for value in AGE * 2], 'says exactly the same as "age"'),
        (["no"] * 10 + ["yes"] * 30, "says exactly the same as the outcome"),
        ([1e15 + value for value in AGE], "as far as numbers of 16 digits can tell"),
    ],
)
def test_what_no_model_can_use_is_left_out_with_the_reason(cells, reason):
    text = draft({"x": cells})
    assert set(predictors(text)) == {"age"}
    assert reason in left_out(text)["x"]


def test_names_that_a_study_cannot_hold_stay_in_their_comment():
    names = ['x\n[outcome]\ncolumn = "z"', "x\u2028y", " x", "(Intercept)", "x\x1b[31m"]
    sexes = {name: cycle("m", "f", "m", *"fm" * number) for number, name in enumerate(names)}
    text = draft(sexes)
    assert set(predictors(text)) == {"age"}
    assert tomllib.loads(text)["outcome"]["column"] == "y"
    assert len(left_out(text)) == len(names)


def test_a_name_that_a_level_would_take_is_left_out():
    text = draft({"a": cycle("p", "q", "r", "p"), "a[q]": cycle(1, 5, 2, 3, 3)})
    assert '"a[q]" would name two columns' in left_out(text)["a[q]"]


@pytest.mark.parametrize("name", ['a "b"', "back\\slash", "a'b", "年龄 # x", "a = 1", "[x]", "😀"])
def test_any_printable_name_survives(name):
    text = draft({name: cycle("m", "f", "m")})
    assert predictors(text)[name]["levels"] == ["m", "f"]


# outcome ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "event", "reason"),
    [
        (("0", "1", "1"), 1, "0/1 most often means no event/event"),
        (("1", "2", "2"), 2, "1/2 is used both ways"),
        (("no", "yes", "yes"), "yes", "no/yes"),
        (("TRUE", "FALSE"), "TRUE", "FALSE/TRUE"),
        (("nein", "ja"), "ja", "nein/ja"),
        (("是", "否"), "是", "否/是"),
        (("alive", "dead", "alive", "alive"), "dead", "the rarer of two values"),
    ],
)
def test_event_is_guessed_with_its_reason(values, event, reason):
    cells = cycle(*values)
    text = draft({"y": cells})
    assert tomllib.loads(text)["outcome"]["event"] == event
    line = next(line for line in text.splitlines() if line.startswith("event"))
    count = sum(str(cell) == str(event) for cell in cells)
    assert "# guess: " in line
    assert reason in line
    assert f"{count} of 40 rows" in line
    cohort = load_cohort(parse_study(text), source({"y": cells, "age": AGE}).frame)
    assert cohort.outcome.sum() == count


def test_a_given_event_is_found_by_number_text_or_label():
    floats = {"y": [float(y) for y in OUTCOME]}
    assert tomllib.loads(draft(floats, event="0"))["outcome"]["event"] == 0
    assert tomllib.loads(draft(floats, event="0.0"))["outcome"]["event"] == 0
    labels = {"y": {0.0: "no PEP", 1.0: "PEP"}}
    assert tomllib.loads(draft(floats, event="PEP", labels=labels))["outcome"]["event"] == 1
    text = draft({"y": ["Ja "] * 10 + ["Nein"] * 30}, event="Ja")
    assert "guess" not in next(line for line in text.splitlines() if line.startswith("event"))


def test_more_than_two_values_need_an_event_and_name_the_others():
    grades = {"y": cycle("none", "mild", "severe", "none", "mild")}
    text = draft(grades, event="severe")
    assert tomllib.loads(text)["outcome"]["non_event"] == ["mild", "none"]
    cohort = load_cohort(parse_study(text), source(grades | {"age": AGE}).frame)
    assert cohort.outcome.sum() == grades["y"].count("severe")
    with pytest.raises(DataError, match=r"holds 3 distinct values .*say with --event"):
        draft(grades)


def test_spellings_that_differ_by_blanks_are_one_value():
    answers = {"y": ["yes"] * 10 + ["no", "no "] * 15}
    text = draft(answers)
    assert tomllib.loads(text)["outcome"]["non_event"] == ["no"]
    assert load_cohort(parse_study(text), source(answers | {"age": AGE}).frame).outcome.sum() == 10


def test_unusable_outcomes_are_refused_in_words():
    with pytest.raises(DataError, match='"yy" is not in the file; did you mean "y"'):
        draft(outcome="yy")
    with pytest.raises(DataError, match="needs two distinct values; found 1"):
        draft({"y": ["1"] * ROWS})
    with pytest.raises(DataError, match="found only missing cells"):
        draft({"y": [None] * ROWS})
    with pytest.raises(DataError, match=r'no row holds the event "2"; found 0, 1'):
        draft(event="2")
    with pytest.raises(DataError, match="holds neither numbers nor texts"):
        draft({"y": list(pd.date_range("2024-01-01", periods=ROWS))})
    with pytest.raises(DataError, match="holds neither numbers nor texts"):
        draft({"y": [[1], [2]] * 20})
    with pytest.raises(DataError, match=r"no column can be a predictor(?s:.*)age: is empty"):
        draft({"age": [None] * ROWS})
    with pytest.raises(DataError, match="only name data in its own folder"):
        draft(file="../cohort.csv")


# names and ranges ---------------------------------------------------------------------------------


@given(st.text())
def test_study_names_fit_the_pattern(text):
    (found,) = {study_name(text), study_name(study_name(text))}
    assert 0 < len(found) <= 64
    assert set(found) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-")


measurement = st.floats(-1e100, 1e100)


@given(measurement, measurement)
def test_ranges_enclose_what_was_observed_and_little_more(one, other):
    low, high = min(one, other), max(one, other)
    if low == high:
        return
    below, above = outward_range(low, high)
    assert below <= low < high <= above
    assert above - below <= (high - low) * 1.2 * (1 + 1e-9) + 4 * np.spacing(max(-low, high))


# anything -----------------------------------------------------------------------------------------

# as the readers and `load_cohort` give them
names = st.text(max_size=6).map(normalise_text) | st.sampled_from(
    ['a"b', "a\\b", "a\nb = 1", "年龄", "id", "a[x]", "#"]
)
words = st.sampled_from(["x", "y ", 'q"', "b\\", "中", "", "NA", "\n", "\u2028", "1", "0", "2,5"])
cell_kinds = [
    words,
    st.integers(-3, 3),
    st.floats(),
    st.floats(0, 5).map(lambda value: f"{value:.1f}"),
    st.booleans(),
    st.one_of(words, st.integers(0, 2), st.none(), st.dates()),
    st.text(max_size=3),
    st.integers(),
    st.integers(0, 1),
    st.floats(0, 1e3),
    st.sampled_from(["red", "green", "blue"]),
]
words_of_y = st.sampled_from(["0", "1"])


@st.composite
def tables(draw):
    rows = draw(st.integers(4, 12))
    columns = draw(st.lists(names, min_size=1, max_size=5, unique=True))
    cells = {
        name: draw(st.lists(cell_kinds[kind], min_size=rows, max_size=rows))
        for name in columns
        for kind in [draw(st.integers(0, len(cell_kinds) - 1))]
    }
    cells["y"] = ["0", "1", *draw(st.lists(words_of_y, min_size=rows - 2, max_size=rows - 2))]
    return source({name: pd.Series(column, dtype=object) for name, column in cells.items()})


@settings(max_examples=150, deadline=None)
@given(tables(), st.booleans(), st.data())
def test_a_draft_parses_and_loads_unless_the_data_break_a_rule(table, as_numbers, data):
    if as_numbers:  # such as Parquet gives
        table = source(table.frame.infer_objects().to_dict("series"))
    outcome = data.draw(st.sampled_from(["y"] * 9 + sorted(table.frame.columns)))
    event = data.draw(st.sampled_from([None, None, None, "1", "x", "True"]))
    refusal = ""
    try:
        text = draft_study(table, outcome=outcome, event=event)
    except DataError as error:
        refusal = str(error)
    if refusal:
        assert refusal.startswith("no study can be drafted from cohort.csv")
        return
    study = parse_study(text)
    used = {one.name for one in study.predictors}
    assert outcome not in used
    assert used <= set(table.frame.columns)
    if "cells missing" in text or "1 cell missing" in text or "cannot be read" in text:
        return
    learn_design(load_cohort(study, table.frame))
